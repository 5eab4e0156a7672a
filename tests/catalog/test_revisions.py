"""Many writers at once: revisions commit in their order, so a poller misses nothing; nobody fails for a lock."""

from __future__ import annotations

import asyncio
import random

import pytest

from stackfluence.catalog import Catalog, find_one, open_catalog, resolve_creator
from stackfluence.catalog.tables import Campaign, Creator, Link
from tests.catalog.samples import Brand, EdgeCopy, a_brand

WRITERS = 8
CHANGES_EACH = 12


async def _write(catalog: Catalog, brand: Brand, writer: int) -> None:
    """Make random changes, with pauses inside and between transactions, some of them rolled back."""
    dice = random.Random(writer)
    own: list[str] = []
    for number in range(CHANGES_EACH):
        try:
            async with catalog.writing(f"writer {writer}") as change:
                choice = dice.choice(["add", "add", "pause", "move", "delete", "campaign", "alias", "fail"])
                if choice == "add" or not own:
                    link = await change.add(brand.link(f"w{writer}-{number}"))
                    own.append(link.id)
                elif choice in ("pause", "move"):
                    link = await find_one(change.session, Link, brand.organization_id, dice.choice(own))
                    if choice == "pause":
                        link.status = "paused"
                    else:
                        link.asset_slug = f"w{writer}-{number}-moved"
                elif choice == "delete":
                    gone = own.pop(dice.randrange(len(own)))
                    await change.delete(await find_one(change.session, Link, brand.organization_id, gone))
                elif choice == "campaign":
                    campaign = await find_one(change.session, Campaign, brand.organization_id, brand.campaign.id)
                    campaign.fallback_url = f"https://brand.example/{writer}/{number}"
                elif choice == "alias":
                    creator = await find_one(change.session, Creator, brand.organization_id, brand.creator.id)
                    await change.add_alias(creator, f"emma-{writer}-{number}")
                await asyncio.sleep(dice.random() * 0.004)
                if choice == "fail":
                    raise ZeroDivisionError
        except ZeroDivisionError:
            pass
        await asyncio.sleep(dice.random() * 0.004)


async def test_a_poller_among_eight_writers_ends_with_what_a_fresh_edge_gets(
    catalog: Catalog, catalog_url: str
) -> None:
    brand = await a_brand(catalog)
    # two processes' worth of connections: within one, SQLite's writers queue before they reach the database
    second = open_catalog(catalog_url)
    writers = asyncio.gather(*(_write((catalog, second)[n % 2], brand, n) for n in range(WRITERS)))
    poller, polls = EdgeCopy(), 0
    while not writers.done():
        before = poller.revision
        await poller.poll(catalog)
        polls += poller.revision > before
        await asyncio.sleep(0.001)
    await writers
    await poller.poll(catalog)
    fresh = EdgeCopy()
    await fresh.poll(second)
    await second.close()
    assert poller.rows == fresh.rows
    assert poller.revision == fresh.revision == await catalog.current_revision()
    assert poller.resets == 1
    assert polls > 5
    assert len(fresh.rows) > 10


async def test_each_transaction_counts_the_revision_once(catalog: Catalog) -> None:
    brand = await a_brand(catalog)
    before = await catalog.current_revision()
    async with catalog.writing("cli") as change:
        links = [await change.add(brand.link(f"a{number}")) for number in range(5)]
    assert {link.revision for link in links} == {before + 1}
    assert await catalog.current_revision() == before + 1


async def test_of_many_who_want_the_same_link_one_gets_it(catalog: Catalog, catalog_url: str) -> None:
    brand = await a_brand(catalog)
    second = open_catalog(catalog_url)

    async def add(which: Catalog) -> str:
        async with which.writing("cli") as change:
            return (await change.add(brand.link("reel"))).id

    results = await asyncio.gather(*(add((catalog, second)[n % 2]) for n in range(8)), return_exceptions=True)
    await second.close()
    assert sum(isinstance(result, str) for result in results) == 1
    assert {type(result).__name__ for result in results} == {"str", "Conflict"}


async def test_a_reader_sees_one_moment_whatever_is_written_meanwhile(catalog: Catalog) -> None:
    brand = await a_brand(catalog)
    async with catalog.reading() as session:
        assert await resolve_creator(session, brand.organization_id, "emma") is not None
        async with catalog.writing("cli") as change:
            await change.add_creator(brand.organization_id, "noah")
        assert await resolve_creator(session, brand.organization_id, "noah") is None
    async with catalog.reading() as session:
        assert await resolve_creator(session, brand.organization_id, "noah") is not None


async def test_what_a_reading_session_changes_is_not_kept(catalog: Catalog) -> None:
    brand = await a_brand(catalog)
    async with catalog.reading() as session:
        creator = await find_one(session, Creator, brand.organization_id, brand.creator.id)
        creator.name = "changed"
    async with catalog.reading() as session:
        assert (await find_one(session, Creator, brand.organization_id, brand.creator.id)).name == ""


async def test_a_cancelled_writer_leaves_nothing_and_lets_the_next_one_in(catalog: Catalog) -> None:
    brand = await a_brand(catalog)
    inside = asyncio.Event()

    async def hang() -> None:
        async with catalog.writing("cli") as change:
            await change.add_creator(brand.organization_id, "noah")
            inside.set()
            await asyncio.sleep(60)

    task = asyncio.create_task(hang())
    await inside.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with catalog.writing("cli") as change:
        assert await resolve_creator(change.session, brand.organization_id, "noah") is None
