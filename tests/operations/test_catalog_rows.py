"""The catalog as rows: out of one database and into another, SQLite or PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from sqlalchemy import select

from stackfluence.catalog import Catalog, changes_since, ensure_salts, find_link, finish_load, open_catalog, take_load
from stackfluence.catalog.books import AuditEntry, Load, VisitorSalt
from stackfluence.catalog.sources import Connection
from stackfluence.errors import OperationRefused
from stackfluence.migrate import migrate
from stackfluence.operations import catalog_rows
from stackfluence.vault import HookVault
from stackfluence.vocabulary import ConnectionVendor
from tests.catalog.samples import AT_MS, a_brand, add_link


@pytest.fixture(params=["sqlite", "postgres"])
def other_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return the address of a second database without tables, on each engine in turn."""
    if request.param == "sqlite":
        return f"sqlite+aiosqlite:///{tmp_path / 'other.sqlite'}"
    return str(request.getfixturevalue("empty_postgres_url"))


@pytest.fixture
async def other(other_url: str) -> AsyncIterator[Catalog]:
    """Open a second, empty catalog."""
    await migrate(other_url)
    opened = open_catalog(other_url)
    yield opened
    await opened.close()


async def lines_of(catalog: Catalog) -> tuple[list[bytes], dict[str, int]]:
    counts: dict[str, int] = {}
    pieces = [piece async for piece in catalog_rows.rows(catalog, counts)]
    return b"".join(pieces).splitlines(keepends=True), counts


async def token_of(catalog: Catalog) -> tuple[int, str]:
    """Return the revision and lineage that an edge has afterwards."""
    last = [chunk async for chunk in changes_since(catalog, 0)][-1]
    return last.revision, last.lineage


async def test_every_row_but_the_salts_moves_to_another_database(catalog: Catalog, other: Catalog) -> None:
    brand = await a_brand(catalog)
    await add_link(catalog, brand.link(tags=["spring", "ümlaut"]))
    vault = HookVault({1: b"Wn3xR8vQ1kZ6tM0yLb5CjF2hDs9PgKeU"})
    async with catalog.writing("cli") as change:
        await change.add_code(brand.organization_id, "ÜMLAUT15", brand.creator.id, brand.campaign.id, ends_at=AT_MS)
        connected = await change.add_connection(brand.organization_id, ConnectionVendor.stripe, "Main")
        connected.hook_secrets = vault.encrypt(["whsec_abcdefgh"], connected.id)
        connected.settings = {"secret_given_at": "2026-11-22T00:00:00.000Z"}
    await ensure_salts(catalog, date(2026, 11, 22))
    assert await take_load(catalog, "ldr_1", 1, is_sole=True) == 1
    await finish_load(catalog, 1)
    lines, counts = await lines_of(catalog)
    assert (counts["links"], counts["codes"], counts["connections"]) == (1, 1, 1)
    assert "visitor_salts" not in counts

    assert await catalog_rows.is_empty(other)
    assert await catalog_rows.put_back(other, lines) == counts
    assert (await lines_of(other))[0] == lines
    assert not await catalog_rows.is_empty(other)
    found = await find_link(other, "", "emma", "summer")
    assert found == await find_link(catalog, "", "emma", "summer")
    async with other.reading() as session:
        assert (await session.scalars(select(VisitorSalt))).all() == []
        restored = await session.get_one(Connection, connected.id)
        assert vault.decrypt(restored.hook_secrets, restored.id) == ["whsec_abcdefgh"]
        assert restored.settings == connected.settings


async def test_a_restored_catalog_is_ahead_of_all_that_edges_and_readers_saw(catalog: Catalog, other: Catalog) -> None:
    await a_brand(catalog)
    assert await take_load(catalog, "ldr_1", 7, is_sole=True) == 7
    lines, _ = await lines_of(catalog)
    await a_brand(catalog, handle="anna", slug="autumn")  # an edge saw this, the backup didn't
    revision, lineage = await token_of(catalog)

    await catalog_rows.put_back(other, lines)
    await catalog_rows.jump(other, highest_load=9)
    await ensure_salts(other, datetime.now(UTC).date())
    await a_brand(other, handle="nina", slug="winter")  # ids go on behind those that were restored
    answer = [chunk async for chunk in changes_since(other, revision, lineage)]
    assert answer[0].is_reset
    assert answer[-1].revision > revision
    assert not any(b"autumn" in row.key for chunk in answer for row in chunk.rows)
    assert await take_load(other, "ldr_2", 10, is_sole=False) == catalog_rows.JUMP + 10
    async with other.reading() as session:
        states = list(await session.scalars(select(Load.state).order_by(Load.load_number)))
        assert states == ["abandoned", "abandoned", "taken"]
        entries = list(await session.scalars(select(AuditEntry).where(AuditEntry.at == AT_MS)))
        assert len({entry.id for entry in entries}) == len(entries) > 4


async def test_rows_of_another_version_are_refused(other: Catalog) -> None:
    with pytest.raises(OperationRefused, match="not one of this version"):
        await catalog_rows.put_back(other, [b'["inventions",["a"]]\n'])
