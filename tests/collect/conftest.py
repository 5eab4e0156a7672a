"""A running edge, as in tests/edge."""

from __future__ import annotations

from tests.edge.conftest import patience, pytest_asyncio_loop_factories, running

__all__ = ["patience", "pytest_asyncio_loop_factories", "running"]
