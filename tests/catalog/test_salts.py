"""Visitor salts exist before they are needed and are gone when nobody may need them."""

from __future__ import annotations

import asyncio
from datetime import date, timedelta
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.engine import make_url

from stackfluence.catalog import Catalog, ensure_salts, open_catalog
from stackfluence.catalog.books import VisitorSalt
from stackfluence.snapshot import SALT
from tests.catalog.samples import EdgeCopy

TODAY = date(2026, 11, 22)


async def _salts(catalog: Catalog) -> dict[str, bytes]:
    async with catalog.reading() as session:
        return {salt.day: salt.salt for salt in await session.scalars(select(VisitorSalt))}


async def test_three_days_are_ready_and_asking_again_changes_nothing(catalog: Catalog) -> None:
    assert await ensure_salts(catalog, TODAY)
    salts = await _salts(catalog)
    assert sorted(salts) == ["2026-11-22", "2026-11-23", "2026-11-24"]
    assert {len(salt) for salt in salts.values()} == {32}
    assert len(set(salts.values())) == 3
    assert not await ensure_salts(catalog, TODAY)
    assert await _salts(catalog) == salts
    assert await catalog.current_revision() == 1


async def test_a_salt_lives_48_hours_after_its_day_and_edges_forget_it_too(catalog: Catalog) -> None:
    edge = EdgeCopy()
    await ensure_salts(catalog, TODAY)
    first = await _salts(catalog)
    await ensure_salts(catalog, TODAY + timedelta(days=2))  # its day ended 24 h before this one began
    assert (await _salts(catalog))["2026-11-22"] == first["2026-11-22"]
    await edge.poll(catalog)
    await ensure_salts(catalog, TODAY + timedelta(days=3))
    assert sorted(await _salts(catalog)) == [f"2026-11-{day}" for day in (23, 24, 25, 26, 27)]
    await edge.poll(catalog)
    assert edge.keys(SALT) == {f"2026-11-{day}".encode() for day in (23, 24, 25, 26, 27)}


async def test_cores_that_ask_at_once_agree(catalog: Catalog, catalog_url: str) -> None:
    second = open_catalog(catalog_url)
    await asyncio.gather(*(ensure_salts((catalog, second)[n % 2], TODAY) for n in range(6)))
    assert await _salts(catalog) == await _salts(second)
    await second.close()


async def test_a_deleted_salt_is_in_no_file_any_more(sqlite_url: str) -> None:
    catalog = open_catalog(sqlite_url)
    await ensure_salts(catalog, TODAY)
    salt = (await _salts(catalog))["2026-11-22"]
    path = make_url(sqlite_url).database
    assert path is not None

    def in_files() -> bool:
        return any(salt in Path(path + suffix).read_bytes() for suffix in ("", "-wal"))

    assert in_files()
    await ensure_salts(catalog, TODAY + timedelta(days=3))
    assert not in_files()
    await catalog.close()
