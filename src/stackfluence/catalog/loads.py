"""The load number: the order in which events become readable, so that a cursor never skips what came late.

One load is under way at a time, whoever loads. A loader takes a number, inserts, and finishes it; readers go up to the
last finished one. A loader that dies leaves its number unfinished: the next takes it for abandoned, at once when it is
the only loader of its catalog, else when the lease has run out. What was inserted under an abandoned number is
completed under a later one, before readers can see either.
"""

from __future__ import annotations

import asyncio

from sqlalchemy import func, insert, select, text, update

from stackfluence.catalog.books import Load
from stackfluence.catalog.connect import Catalog
from stackfluence.clock import now_ms

LEASE_MS = 120_000  # a turn of 32 MB takes a second or two, on a slow disk ten


async def take_load(catalog: Catalog, holder: str, minimum: int, *, is_sole: bool) -> int | None:
    """Return a load number never given before and at least `minimum`, or None while another loader is at work.

    `holder` names the loader for as long as it runs; `is_sole` says that no other can be running.
    """
    async with catalog.transaction() as connection:
        if not catalog.is_sqlite:  # there, BEGIN IMMEDIATE did it: takers wait for each other, readers don't
            await connection.execute(text("LOCK TABLE loads IN SHARE ROW EXCLUSIVE MODE"))
        now = now_ms()
        if not is_sole:
            others = select(Load.load_number).where(
                Load.state == "taken", Load.holder != holder, Load.taken_at > now - LEASE_MS
            )
            if (await connection.execute(others.limit(1))).first() is not None:
                return None
        await connection.execute(update(Load).where(Load.state == "taken").values(state="abandoned"))
        highest = (await connection.execute(select(func.coalesce(func.max(Load.load_number), 0)))).scalar_one()
        number = max(minimum, highest + 1)
        values = {"load_number": number, "holder": holder, "state": "taken", "taken_at": now}
        await connection.execute(insert(Load).values(**values))
    return number


async def finish_load(catalog: Catalog, load_number: int) -> None:
    """Mark a load as complete in the event store; again is harmless."""
    async with catalog.transaction() as connection:
        await connection.execute(
            update(Load).where(Load.load_number == load_number).values(state="done", finished_at=now_ms())
        )


async def load_horizon(catalog: Catalog) -> int:
    """Return the last finished load number, up to which events may be read; 0 before the first."""
    async with catalog.snapshot() as connection:
        last = select(func.coalesce(func.max(Load.load_number), 0)).where(Load.state == "done")
        return int((await connection.execute(last)).scalar_one())


class CatalogNumbers:
    """The load numbers as a loader's thread asks for them; the catalog's loop does the work."""

    def __init__(self, catalog: Catalog, loop: asyncio.AbstractEventLoop, holder: str, *, is_sole: bool) -> None:
        self._catalog = catalog
        self._loop = loop
        self._holder = holder
        self._is_sole = is_sole

    def take(self, minimum: int) -> int | None:
        """Return a number never given before, at least `minimum`; None while another loader loads."""
        taking = take_load(self._catalog, self._holder, minimum, is_sole=self._is_sole)
        return asyncio.run_coroutine_threadsafe(taking, self._loop).result()

    def finish(self, number: int) -> None:
        """All rows of the load are in the store."""
        asyncio.run_coroutine_threadsafe(finish_load(self._catalog, number), self._loop).result()

    def horizon(self) -> int:
        """Return the last finished number, up to which readers may read."""
        return asyncio.run_coroutine_threadsafe(load_horizon(self._catalog), self._loop).result()
