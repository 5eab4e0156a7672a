"""Edges run on uvloop in production, and so do these tests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path

import pytest
import uvloop

from stackfluence.events import journal
from tests.edge.edges import RunningEdge, start_edge


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Run this folder's tests on uvloop."""
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture(autouse=True)
def patience(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the disk of a busy test machine more time than visitors do, except where a test is about that time."""
    if not {"disk", "small_disk"} & set(request.fixturenames):
        monkeypatch.setattr(journal, "DEADLINE_SECONDS", 10.0)
        monkeypatch.setattr(journal, "STALLED_SECONDS", 20.0)


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[RunningEdge]:
    """Return an edge with one link, `/c/emma/summer`."""
    async with start_edge(tmp_path) as edge:
        yield edge
