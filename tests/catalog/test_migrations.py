"""The migrations give the mapped schema, on both databases, however often and by however many they are run."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, inspect, text

from stackfluence.catalog import Catalog, open_catalog
from stackfluence.catalog.books import CatalogRevision
from stackfluence.catalog.connect import create_engine
from stackfluence.migrate import is_current, migrate
from stackfluence.vocabulary import ConnectionVendor
from tests.catalog.samples import a_brand, add_link


@pytest.fixture(params=["sqlite", "postgres"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite+aiosqlite:///{tmp_path / 'new' / 'directory' / 'catalog.sqlite'}"
    return str(request.getfixturevalue("empty_postgres_url"))


def _differences(connection: Connection) -> list[object]:
    context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
    return list(compare_metadata(context, CatalogRevision.metadata))


async def test_the_migrated_schema_is_the_mapped_one(catalog_url: str) -> None:
    engine = create_engine(catalog_url)
    async with engine.connect() as connection:
        assert await connection.run_sync(_differences) == []
        found = await connection.run_sync(lambda sync: set(inspect(sync).get_table_names()))
    await engine.dispose()
    assert found == {*CatalogRevision.metadata.tables, "alembic_version"}


async def test_migrating_again_changes_nothing(empty_url: str) -> None:
    await migrate(empty_url)
    catalog = open_catalog(empty_url)
    async with catalog.writing("cli") as change:
        await change.add_organization("Brand", "EUR", "Europe/Berlin")
    await migrate(empty_url)
    assert await is_current(empty_url)
    assert await catalog.current_revision() == 1
    await catalog.close()


async def test_a_catalog_of_an_earlier_version_keeps_its_rows_and_gets_the_new_tables(empty_url: str) -> None:
    await migrate(empty_url, "v0002")
    assert not await is_current(empty_url)
    catalog = open_catalog(empty_url)
    brand = await a_brand(catalog)
    await add_link(catalog, brand.link("reel", tags=["spring"]))
    before = await _rows(catalog)
    assert {table: len(rows) for table, rows in before.items()} == {"organizations": 1, "keys": 2, "links": 1}
    await migrate(empty_url)
    assert await is_current(empty_url)
    assert await _rows(catalog) == before
    async with catalog.writing("cli") as change:
        code = await change.add_code(brand.organization_id, "EMMA15", brand.creator.id)
        await change.add_connection(brand.organization_id, ConnectionVendor.stripe, "Main")
    assert code.id.startswith("cod_")
    await catalog.close()


async def _rows(catalog: Catalog) -> dict[str, list[object]]:
    async with catalog.snapshot() as connection:
        return {
            table: [tuple(row) for row in await connection.execute(text(f"select * from {table}"))]  # fixed names
            for table in ("organizations", "keys", "links")
        }


async def test_starters_that_migrate_at_once_wait_for_each_other(empty_url: str) -> None:
    await asyncio.gather(*(migrate(empty_url) for _ in range(4)))
    assert await is_current(empty_url)


async def test_a_database_without_tables_is_not_current(empty_postgres_url: str) -> None:
    assert not await is_current(empty_postgres_url)


async def test_sqlite_is_opened_as_durable_and_strict(sqlite_url: str) -> None:
    engine = create_engine(sqlite_url)
    async with engine.connect() as connection:
        found = {
            name: (await connection.execute(text(f"PRAGMA {name}"))).scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "secure_delete", "busy_timeout")
        }
    await engine.dispose()
    assert found == {
        "journal_mode": "wal",
        "synchronous": 2,
        "foreign_keys": 1,
        "secure_delete": 1,
        "busy_timeout": 30_000,
    }
