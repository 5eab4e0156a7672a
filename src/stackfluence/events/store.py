"""The event store: one client for an engine inside this process (`chdb:///path`) and for a ClickHouse server.

An embedded engine has one directory per process, is never used after a fork, and belongs to the core. Rows go in by
`load.sql` alone; `statements.check_allowed` refuses any file that would change or remove them.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from io import IOBase
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, cast
from urllib.parse import urlsplit

import clickhouse_connect
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import Error as DriverError

from stackfluence.errors import StoreError
from stackfluence.events.statements import Statement, read_statements

PIECE_BYTES = 1 << 20
HANDLES = 4  # readers at a time; more wait
DATABASE = "stackfluence"
SETTINGS = {
    "async_insert": "0",  # an insert is stored when it returns
    "session_timezone": "UTC",
    "max_threads": "2",
    # a statement would be compiled when it runs for the fourth time, and again for other constants: 90 ms, to save none
    "compile_expressions": "0",
    "compile_aggregate_expressions": "0",
    "compile_sort_description": "0",
}
LOADER_SETTINGS = {
    "max_threads": "1",  # a loader is one core's work: `groupArray` then keeps its subquery's order, too
    "max_insert_threads": "1",
    "min_insert_block_size_rows": "1000000",  # a turn is one part a table
    "min_insert_block_size_bytes": "1073741824",
    "join_use_nulls": "0",
    "session_timeout": "3600",  # its temporary tables outlive a pause between turns
}
SCHEMA = read_statements(Path(__file__).with_name("schema.sql"))
PARTS = read_statements(Path(__file__).with_name("parts.sql"))["list_parts"]
_DATABASE_NAME = re.compile(r"\w{1,64}", re.ASCII)

Row = dict[str, Any]


class StatementFailed(StoreError):
    """The event store refused a statement."""

    def __init__(self, statement: str, code: int | None, message: str) -> None:
        super().__init__(f"{statement}: {message}")
        self.code = code
        self.message = message


class Session:
    """One connection, its temporary tables included; used by one thread at a time."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def rows(self, statement: Statement, **parameters: Any) -> list[Row]:
        """Return a query's rows; raises StatementFailed."""
        with _failures(statement.name):
            return list(self._client.query(statement.sql, parameters=parameters).named_results())

    def row(self, statement: Statement, **parameters: Any) -> Row:
        """Return the row of a query that has exactly one; raises StatementFailed."""
        rows = self.rows(statement, **parameters)
        if len(rows) != 1:
            raise StatementFailed(statement.name, None, f"gave {len(rows)} rows in place of one")
        return rows[0]

    def raw(self, statement: Statement, form: str, **parameters: Any) -> bytes:
        """Return a query's rows as the engine writes them in a format, `Parquet`; raises StatementFailed.

        One thread, so that the same rows in the same order are the same bytes.
        """
        with _failures(statement.name):
            one_thread = {"max_threads": "1"}
            return bytes(self._client.raw_query(statement.sql, parameters=parameters, settings=one_thread, fmt=form))

    def run(self, statement: Statement, **parameters: Any) -> None:
        """Run a statement that returns nothing; raises StatementFailed."""
        with _failures(statement.name):
            self._client.command(statement.sql, parameters=parameters)

    def upload(self, table: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """Insert rows into one of this connection's temporary tables; raises StatementFailed."""
        with _failures(f"upload to {table}"):
            self._client.insert(table, rows, column_names=columns)

    def stream(self, statement: Statement, form: str, **parameters: Any) -> Iterator[bytes]:
        """Yield a query's answer in one of the engine's formats, `Native` say, in pieces; raises StatementFailed."""
        with _failures(statement.name):
            answer = cast(IOBase, self._client.raw_stream(statement.sql, parameters=parameters, fmt=form))
            with contextlib.closing(answer):
                while piece := answer.read(PIECE_BYTES):
                    yield piece

    def put_back(self, table: str, pieces: Iterable[bytes]) -> None:
        """Insert rows that `stream` gave in `Native` form; for a restored backup alone. Raises StatementFailed."""
        with _failures(f"put back {table}"):
            self._client.raw_insert(table, insert_block=(piece for piece in pieces), fmt="Native")

    def close(self) -> None:
        """Give the connection and its temporary tables back."""
        self._client.close()


class Store:
    """An open event store. Synchronous in `session`, asynchronous in `read`, both safe from any thread or task."""

    def __init__(self, url: str, database: str = "") -> None:
        """Open the store; `database` is by default the URL's, or `stackfluence`. Raises StoreError."""
        parts = urlsplit(url)
        if parts.scheme not in ("chdb", "http", "https"):
            raise StoreError(f"Its address begins with chdb://, http:// or https://, not {parts.scheme!r}.")
        self.is_embedded = parts.scheme == "chdb"
        self._url = url if self.is_embedded else parts._replace(path="").geturl()
        self.database = database or ("" if self.is_embedded else parts.path.strip("/")) or DATABASE
        if not _DATABASE_NAME.fullmatch(self.database):
            raise StoreError(f"{self.database!r} is no name of a database.")
        if self.is_embedded:
            Path(parts.path).mkdir(mode=0o700, parents=True, exist_ok=True)
        self._process = os.getpid()
        self._idle: SimpleQueue[Session] = SimpleQueue()
        self._opened: list[Session] = []
        self._lock = threading.Lock()
        self._threads = ThreadPoolExecutor(HANDLES, thread_name_prefix="store")
        with _failures("open"):
            first = self._connect("default", SETTINGS)
            first.command(f"create database if not exists {self.database}")  # the name is checked above
            first.close()

    def create_schema(self) -> None:
        """Create the tables of events that don't exist yet; again is harmless."""
        self.create(SCHEMA)

    def create(self, schema: Mapping[str, Statement]) -> None:
        """Create tables that don't exist yet, and add to those of an earlier version what they lack.

        Adding one column that is there costs the engine more than to list all.
        """
        with self.session() as session:
            for statement in schema.values():
                if not statement.additions:
                    session.run(statement)
            parts = {(row["table_name"], row["name"]) for row in session.rows(PARTS)}
            for statement in schema.values():
                if not statement.additions <= parts:
                    session.run(statement)

    def open_session(self, settings: Mapping[str, str] | None = None) -> Session:
        """Return a connection of one's own, to be closed; raises StoreError."""
        with _failures("open"):
            return Session(self._connect(self.database, SETTINGS | dict(settings or {})))

    @contextlib.contextmanager
    def session(self) -> Iterator[Session]:
        """Lend a connection; it keeps no temporary tables for the next."""
        session = self._borrow()
        try:
            yield session
        finally:
            self._idle.put(session)

    async def read(self, statement: Statement, **parameters: Any) -> list[Row]:
        """Return a query's rows without holding up the event loop; raises StatementFailed."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._read, statement, parameters)

    async def read_raw(self, statement: Statement, form: str, **parameters: Any) -> bytes:
        """Return a query's rows in a format without holding up the event loop; raises StatementFailed."""

        def read() -> bytes:
            with self.session() as session:
                return session.raw(statement, form, **parameters)

        return await asyncio.get_running_loop().run_in_executor(self._threads, read)

    def close(self) -> None:
        """Wait for what is under way and let the engine go."""
        self._threads.shutdown(wait=True)
        with self._lock:
            for session in self._opened:
                session.close()
            self._opened.clear()

    def _read(self, statement: Statement, parameters: dict[str, Any]) -> list[Row]:
        with self.session() as session:
            return session.rows(statement, **parameters)

    def _borrow(self) -> Session:
        with contextlib.suppress(Empty):
            return self._idle.get_nowait()
        session = self.open_session()
        with self._lock:
            self._opened.append(session)
        return session

    def _connect(self, database: str, settings: Mapping[str, str]) -> Client:
        if os.getpid() != self._process:
            raise StoreError("It was opened before a fork; open it in the process that uses it.")
        # the embedded engine would take over a `database=` of an address that it can't reach before it is created
        return clickhouse_connect.get_client(dsn=self._url, database=database, settings=dict(settings), tz_mode="aware")


@contextlib.contextmanager
def _failures(statement: str) -> Iterator[None]:
    try:
        yield
    except DriverError as error:
        raise StatementFailed(statement, getattr(error, "code", None), str(error)) from None
    except OSError as error:
        raise StatementFailed(statement, None, str(error)) from None
