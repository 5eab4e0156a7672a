"""An open, empty event store for tests: `store` in this process, `served_store` over HTTP, `any_store` each in turn.

An engine has one directory per process, so a test process has one engine and each test a database of its own in it.
Making and dropping a database costs most of a second of processor time, emptying one a fraction of that: a database
that is empty again, and as it was made, serves a later test.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path
from queue import Empty

import pytest

from stackfluence.events.statements import Statement
from stackfluence.events.store import Row, Store
from stackfluence.facts import create_tables
from tests.memory_disk import memory_folder

_NUMBERS = count(1)
_TABLES = Statement(
    "list_tables",
    "",
    """
    select name, create_table_query as made, active_parts > 0 as is_filled from system.tables
    where database = currentDatabase() and not is_temporary order by name
    """,
)
_MUTATIONS = Statement(
    "list_mutations",
    "",
    "select count() as pending from system.mutations where database = currentDatabase() and not is_done",
)


class Engine:
    """An engine's databases: those that a test has used and left as they were made serve the next tests."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._idle: dict[bool, list[tuple[Store, dict[str, object]]]] = {False: [], True: []}

    @contextlib.contextmanager
    def lend(self, *, has_facts: bool) -> Iterator[Store]:
        """Lend an empty database with the tables of events, and with those of facts too."""
        store, was = self._idle[has_facts].pop() if self._idle[has_facts] else self._make(has_facts)
        yield store
        if empty(store, was):
            self._idle[has_facts].append((store, was))
        else:
            drop(store)

    def rest(self) -> None:
        """Let all databases go: an engine in this process that no store has open gives way to one elsewhere."""
        for store, _ in self._idle[False] + self._idle[True]:
            store.close()
        self._idle = {False: [], True: []}

    def _make(self, has_facts: bool) -> tuple[Store, dict[str, object]]:
        store = Store(self.url, f"test_{next(_NUMBERS)}")
        store.create_schema()
        if has_facts:
            create_tables(store)
        with store.session() as session:
            return store, _state(store, session.rows(_TABLES))


def empty(store: Store, was: dict[str, object]) -> bool:
    """Empty a test's database, and say whether all else is as it was and nothing is under way."""
    sessions = []
    with contextlib.suppress(Empty):
        while True:
            sessions.append(store._idle.get_nowait())
    is_at_rest = 0 < len(sessions) == len(store._opened)  # no reader has a connection, and nobody closed the store
    for session in sessions[1:]:
        store._opened.remove(session)
        session.close()
    for session in sessions[:1]:
        store._idle.put(session)
    if not is_at_rest:
        return False
    with store.session() as session:
        tables = session.rows(_TABLES)
        if _state(store, tables) != was or session.row(_MUTATIONS)["pending"]:
            return False
        for row in tables:
            if row["is_filled"]:
                session._client.command(f"truncate table {row['name']} sync")
    return True


def _state(store: Store, tables: Sequence[Row]) -> dict[str, object]:
    """Return what must be the same for a later test: how every table was made, and the open store itself."""
    return {str(row["name"]): row["made"] for row in tables} | {
        f".{name}": value for name, value in vars(store).items()
    }


def drop(store: Store) -> None:
    """Close a store and remove its database: a hundred of them make an engine slow."""
    with store.session() as session:
        session._client.command(f"drop database {store.database} sync")
    store.close()


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    """Keep this process's engine, and what its databases were made of."""
    with memory_folder() as folder:
        opened = Engine(f"chdb://{folder}")
        yield opened
        opened.rest()


@pytest.fixture(scope="session")
def engine_url(engine: Engine) -> str:
    """Return the address of this process's engine."""
    return engine.url


@contextlib.contextmanager
def serve_clickhouse(folder: Path, port: int = 0) -> Iterator[str]:
    """Serve an engine of another process over HTTP, from a folder of its own, and yield its address."""
    command = [sys.executable, "-m", "tests.clickhouse_facade", str(folder), str(port)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[1], text=True)
    assert process.stdout is not None
    try:
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()


@pytest.fixture(scope="session")
def clickhouse_server() -> Iterator[Engine]:
    """Serve an engine of another process over HTTP."""
    with memory_folder() as folder, serve_clickhouse(folder / "engine") as url:
        opened = Engine(url)
        yield opened
        opened.rest()


@pytest.fixture(scope="session")
def has_facts() -> bool:
    """Whether stores have the tables of facts, too: a folder whose tests read them says so."""
    return False


@pytest.fixture
def store(engine: Engine, has_facts: bool) -> Iterator[Store]:
    """Open an empty event store in this process."""
    with engine.lend(has_facts=has_facts) as lent:
        yield lent


@pytest.fixture
def served_store(clickhouse_server: Engine, has_facts: bool) -> Iterator[Store]:
    """Open an empty event store over HTTP."""
    with clickhouse_server.lend(has_facts=has_facts) as lent:
        yield lent


@pytest.fixture(params=["store", "served_store"])
def any_store(request: pytest.FixtureRequest) -> Store:
    """Open an empty event store, in this process and over HTTP in turn."""
    found: Store = request.getfixturevalue(request.param)
    return found
