"""Fixtures of all tests come from plugins, each named for what it provides."""

from __future__ import annotations

import gc

pytest_plugins = ["tests.postgres", "tests.catalogs", "tests.redis_server", "tests.stores", "tests.processes.serving"]

gc.disable()  # what is imported and collected stays: looking for garbage in it is in vain


def pytest_collection_finish() -> None:
    """Leave what stays out of all collections; a tenth of the tests' time went into looking through it."""
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    gc.enable()
