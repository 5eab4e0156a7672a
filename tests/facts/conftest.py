"""An event store with the tables of facts, and journals that are loaded into it as an edge's are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from stackfluence.events.store import Store
from stackfluence.facts.derive import create_tables
from tests.facts.days import Days
from tests.stores import drop


@pytest.fixture
def days(store: Store, tmp_path: Path) -> Iterator[Days]:
    """Open a store with facts, and what writes events into it."""
    create_tables(store)
    opened = Days(store, tmp_path / "journal")
    yield opened
    opened.close()


@pytest.fixture
def other_days(engine_url: str, tmp_path: Path) -> Iterator[Callable[[str], Days]]:
    """Open further stores with facts, each by a name."""
    opened: list[Days] = []

    def open_another(name: str) -> Days:
        store = Store(engine_url, f"facts_{name}")
        store.create_schema()
        create_tables(store)
        opened.append(Days(store, tmp_path / name))
        return opened[-1]

    yield open_another
    for found in opened:
        found.close()
        drop(found.store)


@pytest.fixture(scope="module")
def shared_days(engine_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Days]:
    """Open a store that the tests of a module share, each with an organization of its own."""
    store = Store(engine_url, "shared_facts")
    store.create_schema()
    create_tables(store)
    opened = Days(store, tmp_path_factory.mktemp("shared") / "journal")
    yield opened
    opened.close()
    drop(store)
