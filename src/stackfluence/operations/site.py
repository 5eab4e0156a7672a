"""An open installation, and how a command opens one when no core does."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from stackfluence.catalog import Catalog, open_catalog
from stackfluence.errors import OperationRefused
from stackfluence.events.erase import loaders_at_rest
from stackfluence.events.journal import lock
from stackfluence.events.load import Loader
from stackfluence.events.store import Store
from stackfluence.facts import create_tables
from stackfluence.migrate import migrate
from stackfluence.processes import refuse_unfinished
from stackfluence.settings import Settings

if TYPE_CHECKING:
    from stackfluence.api.rates import Rates

T = TypeVar("T")
Arguments = Mapping[str, Any]
Tell = Callable[[dict[str, Any]], None]


@dataclass(slots=True)
class Site:
    """What operations work with; `loader` and `rates` are a running core's, None when a command opened the site."""

    settings: Settings
    catalog: Catalog
    opened: Store | None
    loader: Loader | None = None
    rates: Rates | None = None
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)  # one operation at a time
    deriving: asyncio.Lock = field(default_factory=asyncio.Lock)  # one derivation at a time

    @property
    def store(self) -> Store:
        """The event store; raises OperationRefused while a core can't reach it."""
        if self.opened is None:
            raise OperationRefused("The core can't reach the event store; its log says why. It keeps trying.")
        return self.opened

    @property
    def journals(self) -> Path:
        """The directory of the journal directories `w0`, `w1`, …"""
        return self.settings.data_path / "journal"

    @contextlib.contextmanager
    def journals_at_rest(self) -> Iterator[None]:
        """Keep loaders between two turns: edges go on writing, nothing is loaded or put away meanwhile."""
        with loaders_at_rest(self.journals):
            yield


@contextlib.asynccontextmanager
async def open_site(settings: Settings) -> AsyncIterator[Site]:
    """Open an installation for one command, and close it.

    An embedded store has one owner: raises JournalLocked while a core has it. Raises OperationRefused for a data
    directory that isn't there or was restored by half.
    """
    if not settings.data_path.is_dir():
        raise OperationRefused(f"{settings.data_path} is no data directory; set SF_DATA_DIR.")
    refuse_unfinished(settings)
    held = lock(settings.data_path / "core.lock", create=True) if settings.is_embedded_store else -1
    try:
        await migrate(settings.catalog_url)
        catalog = open_catalog(settings.catalog_url)
        try:
            store = await asyncio.to_thread(open_store, settings)
            try:
                yield Site(settings, catalog, store)
            finally:
                await asyncio.to_thread(store.close)
        finally:
            await catalog.close()
    finally:
        if held >= 0:
            os.close(held)


def open_store(settings: Settings) -> Store:
    """Return the event store with its tables; raises StoreError."""
    store = Store(settings.store_url)
    store.create_schema()
    create_tables(store)
    return store


def told(step: str, done: int, total: int) -> dict[str, Any]:
    """Return a message of progress: `done` of `total` of a step."""
    return {"step": step, "done": done, "total": total}


async def finished(work: Callable[[], T]) -> T:
    """Return what work in a thread returns; it isn't left alone when whoever waits is interrupted."""
    thread = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(thread)
    except asyncio.CancelledError:
        await asyncio.wait([thread])
        raise
