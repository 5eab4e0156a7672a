"""Load numbers: taken one at a time, never twice, readable when finished."""

from __future__ import annotations

import asyncio

import pytest

from stackfluence.catalog import Catalog, CatalogNumbers, finish_load, load_horizon, loads, open_catalog, take_load


async def test_numbers_rise_and_readers_go_up_to_the_last_finished(catalog: Catalog) -> None:
    assert await load_horizon(catalog) == 0
    assert await take_load(catalog, "a", 1, is_sole=False) == 1
    assert await load_horizon(catalog) == 0
    await finish_load(catalog, 1)
    await finish_load(catalog, 1)
    assert await load_horizon(catalog) == 1
    assert await take_load(catalog, "a", 1, is_sole=False) == 2


async def test_a_restored_catalog_continues_behind_the_store(catalog: Catalog) -> None:
    assert await take_load(catalog, "a", 41, is_sole=True) == 41
    await finish_load(catalog, 41)
    assert await take_load(catalog, "a", 7, is_sole=True) == 42


async def test_one_load_is_under_way_at_a_time(catalog: Catalog) -> None:
    assert await take_load(catalog, "a", 1, is_sole=False) == 1
    assert await take_load(catalog, "b", 1, is_sole=False) is None
    await finish_load(catalog, 1)
    assert await take_load(catalog, "b", 1, is_sole=False) == 2


async def test_a_dead_loaders_number_is_abandoned(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    assert await take_load(catalog, "dead", 1, is_sole=False) == 1
    assert await take_load(catalog, "only", 1, is_sole=True) == 2  # the only loader knows that no other lives
    assert await take_load(catalog, "other", 1, is_sole=False) is None
    monkeypatch.setattr(loads, "LEASE_MS", -1)  # the lease has run out
    assert await take_load(catalog, "other", 1, is_sole=False) == 3
    await finish_load(catalog, 3)
    assert await load_horizon(catalog) == 3


async def test_a_loader_that_failed_takes_a_new_number_at_once(catalog: Catalog) -> None:
    assert await take_load(catalog, "a", 1, is_sole=False) == 1
    assert await take_load(catalog, "a", 1, is_sole=False) == 2


async def test_loaders_that_race_never_share_a_number(catalog: Catalog, catalog_url: str) -> None:
    second = open_catalog(catalog_url)
    taken: list[int] = []

    async def load(which: Catalog, holder: str) -> None:
        while len(taken) < 30:
            number = await take_load(which, holder, 1, is_sole=False)
            if number is None:
                await asyncio.sleep(0.001)
                continue
            assert await load_horizon(which) == number - 1  # nothing before it is unfinished
            taken.append(number)
            await finish_load(which, number)

    try:
        await asyncio.gather(*(load((catalog, second)[i % 2], f"loader-{i}") for i in range(4)))
    finally:
        await second.close()
    assert sorted(taken) == list(range(1, len(taken) + 1))


async def test_a_loaders_thread_asks_through_the_catalogs_loop(catalog: Catalog) -> None:
    numbers = CatalogNumbers(catalog, asyncio.get_running_loop(), "a", is_sole=True)
    number = await asyncio.to_thread(numbers.take, 5)
    assert number == 5
    await asyncio.to_thread(numbers.finish, 5)
    assert await asyncio.to_thread(numbers.horizon) == 5
