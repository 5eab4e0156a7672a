"""Load numbers: one a segment, in commit order, never another for the same range."""

from __future__ import annotations

import asyncio

import pytest

from stackfluence.catalog import (
    Catalog,
    Reservation,
    finish_load,
    lowest_unfinished_load,
    open_catalog,
    reserve_load,
)
from stackfluence.errors import JournalDiverged


async def test_a_segment_keeps_its_number_however_often_it_is_reserved(catalog: Catalog) -> None:
    first = await reserve_load(catalog, "node-a", 1, 100, "aa")
    assert first == Reservation(1, is_done=False)
    assert await reserve_load(catalog, "node-a", 1, 100, "aa") == first
    await finish_load(catalog, 1)
    await finish_load(catalog, 1)
    assert await reserve_load(catalog, "node-a", 1, 100, "aa") == Reservation(1, is_done=True)
    assert await reserve_load(catalog, "node-a", 101, 101, "bb") == Reservation(2, is_done=False)
    assert await reserve_load(catalog, "node-b", 1, 100, "cc") == Reservation(3, is_done=False)


@pytest.mark.parametrize(
    "segment", [(1, 100, "xx"), (1, 99, "aa"), (1, 101, "aa"), (50, 60, "xx"), (100, 200, "xx"), (0, 1, "xx")]
)
async def test_another_content_for_the_same_range_is_refused(catalog: Catalog, segment: tuple[int, int, str]) -> None:
    await reserve_load(catalog, "node-a", 1, 100, "aa")
    with pytest.raises(JournalDiverged):
        await reserve_load(catalog, "node-a", *segment)


async def test_readers_stop_below_the_lowest_unfinished_load(catalog: Catalog) -> None:
    assert await lowest_unfinished_load(catalog) == 1
    for seq in (1, 2, 3):
        await reserve_load(catalog, "node-a", seq, seq, f"{seq}")
    await finish_load(catalog, 2)
    assert await lowest_unfinished_load(catalog) == 1
    await finish_load(catalog, 1)
    assert await lowest_unfinished_load(catalog) == 3
    await finish_load(catalog, 3)
    assert await lowest_unfinished_load(catalog) == 4


async def test_loaders_that_race_get_one_number_a_segment_and_no_gaps(catalog: Catalog, catalog_url: str) -> None:
    second = open_catalog(catalog_url)
    segments = [(node, seq) for node in ("node-a", "node-b") for seq in range(1, 11)] * 2

    async def load(position: int) -> tuple[tuple[str, int], int]:
        node, seq = segments[position]
        reserved = await reserve_load((catalog, second)[position % 2], node, seq, seq, f"{node} {seq}")
        return (node, seq), reserved.load_number

    pairs = set(await asyncio.gather(*(load(position) for position in range(len(segments)))))
    await second.close()
    assert len(pairs) == 20
    assert sorted(number for _, number in pairs) == list(range(1, 21))


async def test_a_reader_never_passes_a_number_that_is_still_to_come(catalog: Catalog, catalog_url: str) -> None:
    """Whatever it has passed stays finished: no lower number ever appears afterwards."""
    second = open_catalog(catalog_url)

    async def load(node: str) -> None:
        for seq in range(1, 16):
            reserved = await reserve_load(second, node, seq, seq, node)
            await finish_load(catalog, reserved.load_number)

    loaders = asyncio.gather(*(load(f"node-{n}") for n in range(4)))
    passed = 1
    while not loaders.done():
        now = await lowest_unfinished_load(catalog)
        assert now >= passed
        passed = now
        await asyncio.sleep(0)
    await loaders
    await second.close()
    assert await lowest_unfinished_load(catalog) == 61
