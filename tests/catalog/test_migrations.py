"""The migrations give the mapped schema, on both databases, however often and by however many they are run."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, inspect, select, text

from stackfluence.catalog import Catalog, open_catalog
from stackfluence.catalog.books import CatalogRevision
from stackfluence.catalog.connect import create_engine
from stackfluence.catalog.policies import LEAD_MS, Policy
from stackfluence.catalog.tables import Link, Organization
from stackfluence.facts.policies import DEFAULT_POLICIES, read_policy_books
from stackfluence.migrate import is_current, migrate
from stackfluence.names import id_bytes
from stackfluence.vocabulary import ConnectionVendor, KeyKind
from tests.catalog.samples import AT_MS


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
    async with catalog.writing("cli", AT_MS) as change:  # as an earlier version did it
        made = await change.add(Organization(name="Brand", currency="EUR", accounting_time_zone="Europe/Berlin"))
        for kind in KeyKind:
            await change.add_key(made.id, kind, "first")
        creator = await change.add_creator(made.id, "emma")
        campaign = await change.add_campaign(made.id, "summer")
        owners = {"organization_id": made.id, "creator_id": creator.id, "campaign_id": campaign.id}
        await change.add(Link(**owners, destination_url="https://shop.brand.example/", tags=["spring"]))
    before = await _rows(catalog)
    assert {table: len(rows) for table, rows in before.items()} == {"organizations": 1, "keys": 2, "links": 1}
    await migrate(empty_url)
    assert await is_current(empty_url)
    assert await _rows(catalog) == before
    async with catalog.reading() as session:
        (policy,) = await session.scalars(select(Policy))
    assert (policy.organization_id, policy.created_at) == (made.id, AT_MS)
    assert id_bytes(policy.id)
    assert await read_policy_books(catalog) == {made.id: DEFAULT_POLICIES}
    async with catalog.writing("cli", AT_MS) as change:
        code = await change.add_code(made.id, "EMMA15", creator.id)
        await change.add_connection(made.id, ConnectionVendor.stripe, "Main")
        later = await change.add_policy(made.id, AT_MS + LEAD_MS)
    assert code.id.startswith("cod_")
    assert later.version == 2
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
