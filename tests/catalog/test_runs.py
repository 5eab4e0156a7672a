"""Derivation runs: numbers that only grow, and reading that never shrinks."""

from __future__ import annotations

import asyncio

from stackfluence.catalog import Catalog, finish_load, open_catalog, take_load, take_run


async def _organization(catalog: Catalog) -> str:
    async with catalog.writing("cli") as change:
        return (await change.add_organization("Brand", "EUR", "Europe/Berlin")).organization_id


async def test_a_run_reads_up_to_the_last_finished_load(catalog: Catalog) -> None:
    organization_id = await _organization(catalog)
    assert await take_run(catalog, organization_id) == (1, 0)
    await take_load(catalog, "a", 1, is_sole=True)
    assert await take_run(catalog, organization_id) == (2, 0)
    await finish_load(catalog, 1)
    assert await take_run(catalog, organization_id) == (3, 1)


async def test_a_restored_catalog_continues_behind_the_store(catalog: Catalog) -> None:
    organization_id = await _organization(catalog)
    assert (await take_run(catalog, organization_id, 41)).run_id == 41
    assert (await take_run(catalog, organization_id, 7)).run_id == 42


async def test_runs_that_race_never_share_a_number(catalog: Catalog, catalog_url: str) -> None:
    organization_id = await _organization(catalog)
    other = open_catalog(catalog_url)
    taken = await asyncio.gather(*(take_run(place, organization_id) for place in (catalog, other) * 4))
    await other.close()
    assert sorted(run.run_id for run in taken) == list(range(1, 9))
