"""The catalog's database, SQLite or PostgreSQL, and the two ways into it: reading and writing.

SQLite: WAL, so that readers see a snapshot and never wait; writers begin immediate and wait for their turn instead of
failing half-way; every commit is fsynced; deleted rows (a day's salt) are overwritten. PostgreSQL: readers see one
snapshot (repeatable read), writers queue at the row of `catalog_revision`.
"""

from __future__ import annotations

import asyncio
import secrets
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from typing import Any

import msgspec
from sqlalchemy import Connection, event, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession, create_async_engine

from stackfluence.catalog.books import CatalogLineage, CatalogRevision
from stackfluence.catalog.changes import Change
from stackfluence.catalog.recording import RecordingSession, Transaction
from stackfluence.clock import now_ms
from stackfluence.errors import Conflict

# Longer than any writing transaction may take (5,000 rows commit in about 1 s), shorter than a client's patience.
LOCK_WAIT_MS = 30_000
PRAGMA_TRIES, PRAGMA_WAIT_SECONDS = 100, 0.02  # that a file becomes a write-ahead one takes some milliseconds


class Catalog:
    """An open catalog. It belongs to one event loop; close it there."""

    def __init__(self, engine: AsyncEngine) -> None:
        self.is_sqlite = engine.dialect.name == "sqlite"
        self._engine = engine
        # Threads that wait inside SQLite poll at intervals up to 100 ms and overtake each other; tasks queue in order.
        self._turn: AbstractAsyncContextManager[None] = asyncio.Lock() if self.is_sqlite else nullcontext()
        if self.is_sqlite:
            self._readers = engine
            self._writers = engine.execution_options(sqlite_begin="IMMEDIATE")
        else:
            self._readers = engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
            self._writers = engine

    async def close(self) -> None:
        """Close all connections."""
        await self._engine.dispose()

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncSession]:
        """Open a session that sees one snapshot of the catalog; nothing it changes is kept."""
        async with AsyncSession(self._readers, expire_on_commit=False) as session:
            yield session

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[AsyncConnection]:
        """Open a connection that sees one snapshot of the catalog, for answers that are streamed."""
        async with self._readers.connect() as connection:
            yield connection

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        """Open a transaction for bookkeeping that no edge sees and no audit log needs; commits at the end."""
        async with self._turn, self._writers.begin() as connection:
            yield connection

    @asynccontextmanager
    async def writing(self, actor: str, at_ms: int | None = None) -> AsyncIterator[Change]:
        """Open the one transaction in which a change is made; commits at the end, rolls back on any exception.

        `actor` goes into the audit log: `key:key_…`, `cli`, `system`. Writers take turns, so what is checked inside
        still holds when it commits. Raises Conflict when the database refuses a duplicate or a dangling reference.
        """
        at_ms = now_ms() if at_ms is None else at_ms
        session = AsyncSession(self._writers, expire_on_commit=False, sync_session_class=RecordingSession)
        try:
            async with self._turn, session, session.begin():
                # The first statement: its row lock, held to the commit, makes revisions commit in their order.
                revision = await session.scalar(
                    update(CatalogRevision)
                    .values(revision=CatalogRevision.revision + 1)
                    .returning(CatalogRevision.revision)
                    .execution_options(synchronize_session=False)
                )
                if revision is None:
                    raise RuntimeError("catalog_revision has lost its row")
                token = secrets.token_hex(8)
                await session.execute(insert(CatalogLineage).values(revision=revision, token=token))
                session.info["transaction"] = Transaction(actor, at_ms, revision)
                yield Change(session, actor, at_ms, revision)
        except IntegrityError as error:
            raise Conflict("It exists already, or names something that doesn't exist.") from error

    @asynccontextmanager
    async def outside_transactions(self) -> AsyncIterator[AsyncConnection]:
        """Open a connection on which each statement stands alone, as the database's own upkeep demands."""
        options: dict[str, Any] = {"sqlite_begin": ""} if self.is_sqlite else {"isolation_level": "AUTOCOMMIT"}
        async with self._engine.execution_options(**options).connect() as connection:
            yield connection

    async def current_revision(self) -> int:
        """Return the number of the last writing transaction that committed."""
        async with self._readers.connect() as connection:
            return (await connection.execute(select(CatalogRevision.revision))).scalar_one()


def open_catalog(url: str) -> Catalog:
    """Return the catalog at `settings.catalog_url` (sqlite+aiosqlite:… or postgresql+asyncpg:…); connects when used.

    Must be called in the event loop that will use it. `migrate` creates the tables.
    """
    return Catalog(create_engine(url))


def create_engine(url: str) -> AsyncEngine:
    """Return an engine with the settings this module's docstring names."""
    options: dict[str, Any] = {"json_serializer": _write_json, "json_deserializer": msgspec.json.decode}
    options["hide_parameters"] = True  # an error's text is logged, and organizations' keys are among them
    if not url.startswith("sqlite"):
        limits = {
            "timezone": "UTC",
            "lock_timeout": str(LOCK_WAIT_MS),
            # a writer whose process hangs must not hold the revision's row for ever
            "idle_in_transaction_session_timeout": "60000",
        }
        return create_async_engine(url, connect_args={"server_settings": limits}, pool_pre_ping=True, **options)
    # isolation_level None: the driver begins nothing by itself, `_begin` does
    engine = create_async_engine(url, connect_args={"isolation_level": None}, **options)
    event.listen(engine.sync_engine, "connect", _configure)
    event.listen(engine.sync_engine, "begin", _begin)
    return engine


def _configure(connection: Any, _record: Any) -> None:
    cursor = connection.cursor()
    for pragma in (
        f"busy_timeout = {LOCK_WAIT_MS}",
        "journal_mode = WAL",
        "synchronous = FULL",
        "foreign_keys = ON",
        "secure_delete = ON",
        "cache_size = -32768",  # KiB; indexes by random ids are written twice as fast as with the default 2,000
    ):
        _set_pragma(cursor, pragma)
    cursor.close()


def _set_pragma(cursor: Any, pragma: str) -> None:
    """Set a property of a connection; a new file's journal mode once more when somebody else is about to set it.

    SQLite doesn't wait there, whatever its busy timeout: two that wait to become the only one would wait for ever.
    """
    for _ in range(PRAGMA_TRIES):
        try:
            cursor.execute(f"PRAGMA {pragma}")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error):
                raise
            time.sleep(PRAGMA_WAIT_SECONDS)
    cursor.execute(f"PRAGMA {pragma}")


def _begin(connection: Connection) -> None:
    if mode := connection.get_execution_options().get("sqlite_begin", "DEFERRED"):
        connection.exec_driver_sql(f"BEGIN {mode}")


def _write_json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
