"""The derivation run: a number that was never given before, and the load up to which the run reads.

Both are taken in one transaction, so that of two runs the one with the higher number has read at least as much, however
they overlap: readers follow the highest, and never see less than before.
"""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import func, insert, select, text

from stackfluence.catalog.books import Derivation, Load
from stackfluence.catalog.connect import Catalog
from stackfluence.clock import now_ms


class TakenRun(NamedTuple):
    """A run's number, and the last load that was finished when it was taken."""

    run_id: int
    as_of: int


async def take_run(catalog: Catalog, organization_id: str, minimum: int = 1) -> TakenRun:
    """Return a run of an organization with a number never given before and at least `minimum`."""
    async with catalog.transaction() as connection:
        if not catalog.is_sqlite:  # there, BEGIN IMMEDIATE did it: takers wait for each other, readers don't
            await connection.execute(text("LOCK TABLE derivations IN SHARE ROW EXCLUSIVE MODE"))
        highest = (await connection.execute(select(func.coalesce(func.max(Derivation.run_id), 0)))).scalar_one()
        done = select(func.coalesce(func.max(Load.load_number), 0)).where(Load.state == "done")
        as_of = (await connection.execute(done)).scalar_one()
        taken = TakenRun(max(minimum, highest + 1), int(as_of))
        values = {"organization_id": organization_id, "taken_at": now_ms(), **taken._asdict()}
        await connection.execute(insert(Derivation).values(**values))
    return taken
