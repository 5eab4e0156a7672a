"""What the API works with, put together once when the process starts."""

from __future__ import annotations

from dataclasses import dataclass, field

from stackfluence.api.report_pieces import Pieces
from stackfluence.catalog import Catalog
from stackfluence.click.click_id import ClickIdKeys
from stackfluence.errors import Unavailable
from stackfluence.events.store import Store
from stackfluence.settings import Settings


@dataclass(slots=True)
class Core:
    """Settings, catalog and keys; until there is an event store, events, reports and exports answer 503."""

    settings: Settings
    catalog: Catalog
    click_ids: ClickIdKeys
    store: Store | None = None
    pieces: Pieces = field(default_factory=Pieces)

    @property
    def events(self) -> Store:
        """The event store; raises Unavailable without one."""
        if self.store is None:
            raise Unavailable("The event store can't be reached. Events are kept until it is back.")
        return self.store
