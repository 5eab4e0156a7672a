"""An open, empty event store for tests: `store` in this process, `served_store` over HTTP, `any_store` each in turn.

An engine has one directory per process, so a test process has one engine and each test a database of its own in it.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from stackfluence.events.store import Store

_NUMBERS = count(1)


@pytest.fixture(scope="session")
def engine_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Keep this process's engine open and return its address."""
    url = f"chdb://{tmp_path_factory.mktemp('engine')}"
    keeper = Store(url, "keeper")
    yield url
    keeper.close()


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
def server_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Serve an engine of another process over HTTP and return its address."""
    with serve_clickhouse(tmp_path_factory.mktemp("server") / "engine") as url:
        yield url


def _fresh(url: str) -> Iterator[Store]:
    store = Store(url, f"test_{next(_NUMBERS)}")
    store.create_schema()
    yield store
    drop(store)


def drop(store: Store) -> None:
    """Close a store and remove its database: a hundred of them make an engine slow."""
    with store.session() as session:
        session._client.command(f"drop database {store.database} sync")
    store.close()


@pytest.fixture
def store(engine_url: str) -> Iterator[Store]:
    """Open an empty event store in this process."""
    yield from _fresh(engine_url)


@pytest.fixture
def served_store(server_url: str) -> Iterator[Store]:
    """Open an empty event store over HTTP."""
    yield from _fresh(server_url)


@pytest.fixture(params=["store", "served_store"])
def any_store(request: pytest.FixtureRequest) -> Store:
    """Open an empty event store, in this process and over HTTP in turn."""
    found: Store = request.getfixturevalue(request.param)
    return found
