"""An open, migrated, empty catalog for tests, on SQLite and on PostgreSQL: `catalog` runs a test on both."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from stackfluence.catalog import Catalog, open_catalog
from stackfluence.migrate import migrate


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an SQLite file with the catalog's tables, to be copied."""
    path = tmp_path_factory.mktemp("catalog") / "template.sqlite"
    asyncio.run(migrate(f"sqlite+aiosqlite:///{path}"))
    return path


@pytest.fixture
def sqlite_url(tmp_path: Path, migrated_sqlite: Path) -> str:
    """Return the address of a fresh SQLite catalog."""
    path = tmp_path / "catalog.sqlite"
    shutil.copyfile(migrated_sqlite, path)
    return f"sqlite+aiosqlite:///{path}"


@pytest.fixture(params=["sqlite", "postgres"])
def catalog_url(request: pytest.FixtureRequest) -> str:
    """Return the address of a fresh catalog, on each database in turn."""
    return str(request.getfixturevalue(f"{request.param}_url"))


@pytest.fixture
async def catalog(catalog_url: str) -> AsyncIterator[Catalog]:
    """Open a fresh catalog, on each database in turn."""
    opened = open_catalog(catalog_url)
    yield opened
    await opened.close()
