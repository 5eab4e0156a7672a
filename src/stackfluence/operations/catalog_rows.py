"""The catalog as rows: one JSON line each, table after table, those that others refer to first.

The same file restores into SQLite and PostgreSQL. Visitor salts are left out: what is destroyed after 48 hours must not
live on in a backup, and a restored catalog makes its own.
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import AsyncIterator, Iterable
from typing import Any

import msgspec
from sqlalchemy import LargeBinary, Table, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from stackfluence.catalog import Catalog
from stackfluence.catalog.books import AuditEntry, CatalogLineage, CatalogRevision, EdgeRemoval, Load, VisitorSalt
from stackfluence.catalog.tables import Base, Organization
from stackfluence.errors import OperationRefused

LEFT_OUT = frozenset({VisitorSalt.__tablename__})
BATCH = 5000  # rows a commit: writers of SQLite wait for each other
# what edges and readers of the installation before may have seen lies behind it: more than a backup's age brings
JUMP = 1_000_000


def tables() -> list[Table]:
    """Return the tables of a backup, in an order in which rows can be inserted."""
    return [table for table in Base.metadata.sorted_tables if table.name not in LEFT_OUT]


async def rows(catalog: Catalog, counts: dict[str, int]) -> AsyncIterator[bytes]:
    """Yield every row of one snapshot as a line `["table", [values…]]`; `counts` gets the rows of each table.

    Values are in the order of the table's columns, bytes in base64.
    """
    async with catalog.snapshot() as connection:
        for table in tables():
            name = f"{table.name}"  # as plain text, which SQLAlchemy's name is not
            counts[name] = 0
            binary = [isinstance(column.type, LargeBinary) for column in table.columns]
            async with connection.stream(select(table).execution_options(yield_per=1000)) as found:
                async for part in found.partitions():
                    counts[name] += len(part)
                    yield b"".join(_line(name, row, binary) for row in part)


def _line(name: str, row: Iterable[Any], binary: list[bool]) -> bytes:
    values = [
        base64.b64encode(value).decode() if is_binary and value is not None else value
        for value, is_binary in zip(row, binary, strict=True)
    ]
    return msgspec.json.encode([name, values]) + b"\n"


async def is_empty(catalog: Catalog) -> bool:
    """Whether nothing was ever written to the catalog."""
    async with catalog.snapshot() as connection:
        return (await connection.execute(select(func.count()).select_from(Organization))).scalar_one() == 0


async def put_back(catalog: Catalog, lines: Iterable[bytes]) -> dict[str, int]:
    """Insert the lines that `rows` gave into an empty catalog; returns the rows of each table.

    Raises OperationRefused for a table this version doesn't have.
    """
    known = {f"{table.name}": table for table in tables()}
    counts = dict.fromkeys(known, 0)
    batch: list[dict[str, Any]] = []
    current: Table | None = None
    for line in lines:
        name, values = msgspec.json.decode(line)
        table = known.get(name)
        if table is None or len(values) != len(table.columns):
            raise OperationRefused(f"The backup's table {name!r} is not one of this version.")
        if batch and (table is not current or len(batch) >= BATCH):
            await _insert(catalog, current, batch)
            batch = []
        current = table
        batch.append(_row(table, values))
        counts[name] += 1
    if batch:
        await _insert(catalog, current, batch)
    return counts


def _row(table: Table, values: list[Any]) -> dict[str, Any]:
    return {
        column.name: base64.b64decode(value) if isinstance(column.type, LargeBinary) and value is not None else value
        for column, value in zip(table.columns, values, strict=True)
    }


async def _insert(catalog: Catalog, table: Table | None, batch: list[dict[str, Any]]) -> None:
    if table is None:
        return
    async with catalog.transaction() as connection:
        if table.name == CatalogRevision.__tablename__:  # its one row is there from the start
            await connection.execute(update(CatalogRevision).values(revision=batch[0]["revision"]))
        else:
            await connection.execute(insert(table), batch)


async def jump(catalog: Catalog, highest_load: int) -> None:
    """Put the restored catalog ahead of whatever the installation before showed to edges and readers.

    Every edge that comes with an earlier revision gets everything anew, and new events get load numbers behind any
    cursor that was given out.
    """
    async with catalog.transaction() as connection:
        revision = (
            await connection.execute(
                update(CatalogRevision)
                .values(revision=CatalogRevision.revision + JUMP)
                .returning(CatalogRevision.revision)
            )
        ).scalar_one()
        await _advance_sequences(catalog, connection)
        # edges know a history by its tokens: this one begins anew
        await connection.execute(insert(CatalogLineage).values(revision=revision, token=secrets.token_hex(16)))
        newest = (await connection.execute(select(func.coalesce(func.max(Load.load_number), 0)))).scalar_one()
        await connection.execute(update(Load).where(Load.state == "taken").values(state="abandoned"))
        number = max(newest, highest_load) + JUMP
        await connection.execute(
            insert(Load).values(load_number=number, holder="restore", state="abandoned", taken_at=0, finished_at=None)
        )


async def _advance_sequences(catalog: Catalog, connection: AsyncConnection) -> None:
    if catalog.is_sqlite:  # it counts from the highest row by itself
        return
    for table in (EdgeRemoval, AuditEntry):
        newest = select(func.coalesce(func.max(table.id), 0) + 1).scalar_subquery()
        sequence = func.pg_get_serial_sequence(table.__tablename__, "id")
        await connection.execute(select(func.setval(sequence, newest, False)))
