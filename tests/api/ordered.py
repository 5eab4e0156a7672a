"""An organization's orders over the API: told, loaded, derived and listed."""

from __future__ import annotations

import asyncio
from datetime import date
from typing import Any

from stackfluence.catalog import load_horizon
from stackfluence.clock import parse_rfc3339
from stackfluence.events.event import Leaf
from stackfluence.events.store import Store
from stackfluence.facts import CodeBook, Run, Terms, derive_orders, read_code_books
from tests.api.brands import Brand
from tests.api.stored import Journal

DAY = date(2026, 11, 22)
LATER_MS = parse_rfc3339("2026-12-02T00:00:00Z")


class Orders:
    """An organization's journal, and the runs over what it loaded."""

    def __init__(self, journal: Journal, store: Store) -> None:
        self.journal = journal
        self.store = store
        self.runs = 0

    def order(self, order_id: str, revenue_cents: int = 4900, **fields: Any) -> Leaf:
        given = {"conversion_type": "purchase", "currency": "EUR", "revenue_cents": revenue_cents, **fields}
        return self.journal.event("conversion", order_id=order_id, **given)

    async def derive(self, brand: Brand | None = None) -> None:
        """Load what was written, and derive the day's orders."""
        if self.journal.writer.waiting:
            await self.journal.load()
        self.runs += 1
        organization_id = (brand or self.journal.brand).keys.organization_id
        catalog = self.journal.api.state.core.catalog
        books = await read_code_books(catalog, organization_id)
        run = Run(self.runs, organization_id, await load_horizon(catalog), LATER_MS)
        await asyncio.to_thread(derive_orders, self.store, run, [DAY], Terms(books.get(organization_id, CodeBook())))


async def listed(brand: Brand, path: str = "/v1/conversions", **query: Any) -> list[dict[str, Any]]:
    response = await brand.get(path, params=query)
    assert response.status_code == 200, response.text
    items: list[dict[str, Any]] = response.json()["items"]
    return items
