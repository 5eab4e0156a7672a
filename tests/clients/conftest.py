"""An edge to send to, and a server that answers as a test says."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from stackfluence.events import journal
from tests.clients.scripted import Scripted, scripted
from tests.edge.edges import RunningEdge, start_edge


@pytest.fixture
async def edge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[RunningEdge]:
    """Run an edge whose disk has more time than visitors give it: the machine is busy."""
    monkeypatch.setattr(journal, "DEADLINE_SECONDS", 10.0)
    monkeypatch.setattr(journal, "STALLED_SECONDS", 20.0)
    async with start_edge(tmp_path) as running:
        yield running


@pytest.fixture
async def server() -> AsyncIterator[Scripted]:
    """Run a server that answers 202, unless the test gives it other answers."""
    async with scripted() as running:
        yield running
