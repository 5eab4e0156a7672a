"""Commands run inside of the test process here, and open the event store of an installation of the test's own."""

from __future__ import annotations

import pytest

from tests.stores import Engine


@pytest.fixture(scope="module", autouse=True)
def _no_other_engine(engine: Engine) -> None:
    """A process has one engine: that of earlier tests gives way."""
    engine.rest()
