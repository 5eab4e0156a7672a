"""An event store with the tables of facts, and journals that are loaded into it as an edge's are."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from stackfluence.events.store import Store
from tests.facts.days import Days
from tests.stores import Engine


@pytest.fixture(scope="session")
def has_facts() -> bool:
    """Stores have the tables of facts here."""
    return True


@pytest.fixture
def days(store: Store, tmp_path: Path) -> Iterator[Days]:
    """Open a store with facts, and what writes events into it."""
    opened = Days(store, tmp_path / "journal")
    yield opened
    opened.close()


@pytest.fixture
def other_days(engine: Engine, tmp_path: Path) -> Iterator[Callable[[str], Days]]:
    """Open further stores with facts, each by a name."""
    with contextlib.ExitStack() as lent:

        def open_another(name: str) -> Days:
            opened = Days(lent.enter_context(engine.lend(has_facts=True)), tmp_path / name)
            lent.callback(opened.close)
            return opened

        yield open_another


@pytest.fixture(scope="module")
def shared_days(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Days]:
    """Open a store that the tests of a module share, each with an organization of its own."""
    with engine.lend(has_facts=True) as store:
        opened = Days(store, tmp_path_factory.mktemp("shared") / "journal")
        yield opened
        opened.close()
