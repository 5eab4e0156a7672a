"""The load number: the order in which segments become readable, so that a cursor never skips one that came late.

A loader reserves a number, inserts the segment into the event store, and finishes. Readers stop below the lowest number
that is not finished.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Row, case, func, insert, select, text, update

from stackfluence.catalog.books import Load
from stackfluence.catalog.connect import Catalog
from stackfluence.clock import now_ms
from stackfluence.errors import JournalDiverged


@dataclass(frozen=True, slots=True)
class Reservation:
    """A segment's load number, and whether it was loaded already."""

    load_number: int
    is_done: bool


async def reserve_load(catalog: Catalog, node: str, first_seq: int, last_seq: int, seal_hash: str) -> Reservation:
    """Return the load number of a node's segment, a fresh one the first time and the same ever after.

    Numbers are counted, not drawn from a sequence: a sequence's numbers may commit out of order, and a reader that has
    passed 7 would never see a 6 that commits later. Raises JournalDiverged when another segment claims some of the same
    sequence numbers.
    """
    async with catalog.transaction() as connection:
        if not catalog.is_sqlite:  # there, BEGIN IMMEDIATE did it: reservations wait for each other, readers don't
            await connection.execute(text("LOCK TABLE loads IN SHARE ROW EXCLUSIVE MODE"))
        before = await connection.execute(
            select(Load.load_number, Load.first_seq, Load.last_seq, Load.seal_hash, Load.state)
            .where(Load.node == node, Load.first_seq <= last_seq)
            .order_by(Load.first_seq.desc())
            .limit(1)
        )
        known = before.one_or_none()
        if known is not None and known.last_seq >= first_seq:
            return _same_segment(known, node, first_seq, last_seq, seal_hash)
        number = 1 + (await connection.execute(select(func.coalesce(func.max(Load.load_number), 0)))).scalar_one()
        await connection.execute(
            insert(Load).values(
                load_number=number,
                node=node,
                first_seq=first_seq,
                last_seq=last_seq,
                seal_hash=seal_hash,
                state="reserved",
                reserved_at=now_ms(),
            )
        )
    return Reservation(number, is_done=False)


async def finish_load(catalog: Catalog, load_number: int) -> None:
    """Mark a load as complete in the event store; again is harmless."""
    async with catalog.transaction() as connection:
        await connection.execute(
            update(Load)
            .where(Load.load_number == load_number, Load.state == "reserved")
            .values(state="done", done_at=now_ms())
        )


async def lowest_unfinished_load(catalog: Catalog) -> int:
    """Return the number below which every load is complete: the lowest reserved one, or the next to be given."""
    unfinished = func.min(case((Load.state == "reserved", Load.load_number)))
    async with catalog.snapshot() as connection:
        found = await connection.execute(select(func.coalesce(unfinished, func.max(Load.load_number) + 1, 1)))
        return int(found.scalar_one())


def _same_segment(
    known: Row[int, int, int, str, str], node: str, first_seq: int, last_seq: int, seal_hash: str
) -> Reservation:
    if (known.first_seq, known.last_seq, known.seal_hash) != (first_seq, last_seq, seal_hash):
        raise JournalDiverged(
            f"Node {node}: {first_seq}-{last_seq} ({seal_hash}) overlaps {known.first_seq}-{known.last_seq} "
            f"({known.seal_hash}), load {known.load_number}."
        )
    return Reservation(known.load_number, is_done=known.state == "done")
