"""What edges wrote for an organization, on its way through a real journal and loader into a real event store."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastapi import FastAPI

from stackfluence.catalog import Catalog, CatalogNumbers
from stackfluence.events.event import Leaf
from stackfluence.events.load import Loader
from stackfluence.events.store import Store
from tests.api.brands import Brand
from tests.events.journals import Writer, drain


@dataclass
class Journal:
    """An edge's journal and the loader beside it. `node` begins anew with each directory."""

    api: FastAPI
    brand: Brand
    other: Brand
    writer: Writer
    loader: Loader

    def event(self, event_type: str = "click", brand: Brand | None = None, **fields: Any) -> Leaf:
        """Write an event of the brand, or of another."""
        return self.writer.event(event_type, (brand or self.brand).keys.organization_id, **fields)

    async def load(self) -> None:
        """Finish the segment and load it."""
        self.writer.finish()
        await asyncio.to_thread(drain, self.loader)


def open_journal(api: FastAPI, brand: Brand, other: Brand, catalog: Catalog, store: Store, directory: Path) -> Journal:
    """Return an empty journal below a directory, with a loader of its own; close the loader."""
    numbers = CatalogNumbers(catalog, asyncio.get_running_loop(), "ldr_test", is_sole=True)
    return Journal(api, brand, other, Writer(directory / "w0"), Loader(directory, store, numbers))
