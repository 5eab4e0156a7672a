"""Edges that share a Redis judge pace as one edge alone does, also after Redis was away: real processes of each."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import time
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from itertools import count, cycle
from pathlib import Path

import httpx
import pytest

from stackfluence.catalog import ensure_salts, open_catalog
from stackfluence.catalog.tables import Link
from stackfluence.click import click_id
from stackfluence.settings import Settings
from stackfluence.vocabulary import TrafficReason
from tests.edge.edges import assert_gap_free, journal_events
from tests.edge.test_crash import EdgeProcess
from tests.operations.installations import signed_click_id
from tests.processes.serving import initialized
from tests.redis_server import RedisServer

R = TrafficReason
PACE = {R.possible_duplicate, R.visitor_velocity, R.prefix_velocity, R.link_velocity, R.organization_velocity}
# above what a visitor may do in a minute, and still 15 s into the next one; half of it is not
MANY, FEW = 450, 240
PATIENCE_SECONDS = 12.0  # exchanges pause for 2 and 4 s when Redis was away
ANSWER_SECONDS = 3.0
AT_ONCE = 16
FAST, SLOW, AGAIN = "198.51.100.1", "198.51.101.1", "198.51.102.1"


async def fill(directory: Path) -> None:
    """Give the catalog of a data directory links and what edges need to count visitors."""
    keys = initialized(directory)
    catalog = open_catalog(Settings(data_dir=str(directory)).catalog_url)
    try:
        await ensure_salts(catalog, datetime.now(UTC).date())
        async with catalog.writing("cli") as change:
            own = {"organization_id": keys["organization_id"]}
            creator = await change.add_creator(keys["organization_id"], "emma")
            for slug in (FAST, SLOW, AGAIN, "others"):
                campaign = await change.add_campaign(keys["organization_id"], slug)
                place = {"creator_id": creator.id, "campaign_id": campaign.id, "asset_slug": ""}
                await change.add(Link(**own, **place, destination_url="https://shop.brand.example/"))
    finally:
        await catalog.close()


class Edge:
    """An edge's process and what it answered; `answered` are the ids of clicks that it said are on disk."""

    def __init__(self, directory: Path, **settings: str) -> None:
        self.journal = directory / "journal" / "w0"
        self.answered: list[str] = []
        self.slowest = 0.0
        self.running = EdgeProcess(directory, SF_TRUSTED_PROXIES="127.0.0.1/32", **settings)
        self._client = httpx.AsyncClient(base_url=f"http://127.0.0.1:{self.running.port}", timeout=ANSWER_SECONDS)

    async def click(self, visitor: str, campaign: str = "") -> str:
        """Click as a visitor of an address; returns the click's id."""
        began = time.monotonic()
        answer = await self._client.get(f"/c/emma/{campaign or visitor}", headers={"X-Forwarded-For": visitor})
        self.slowest = max(self.slowest, time.monotonic() - began)
        raw = click_id.decode(signed_click_id(answer))
        assert raw is not None
        clicked = click_id.read(raw)
        if not clicked.is_unrecorded:
            self.answered.append(clicked.event_id)
        return clicked.event_id

    async def pace_of_next(self, visitor: str) -> set[str]:
        """Click once more, and return what is said of its pace."""
        event_id = await self.click(visitor)
        until = time.monotonic() + ANSWER_SECONDS
        while time.monotonic() < until:  # the disk may be late
            for event in journal_events(self.journal):
                if event.leaf.event_id == event_id:
                    return set(event.leaf.bot_reasons) & PACE
            await asyncio.sleep(0.05)
        raise AssertionError(f"{event_id} is not in the journal")

    async def end(self) -> None:
        """Let it drain and end by itself."""
        await self._client.aclose()
        await asyncio.to_thread(self.running.end)


@contextlib.asynccontextmanager
async def edges(directory: Path, redis: RedisServer) -> AsyncIterator[tuple[Edge, Edge, Edge]]:
    """Run two edges with Redis and one without, over copies of one catalog."""
    await fill(directory / "first")
    for name in ("second", "alone"):
        shutil.copytree(directory / "first", directory / name)
    shared = {"SF_REDIS_URL": redis.url}
    started: list[Edge] = []

    def start(name: str, settings: dict[str, str]) -> Edge:
        edge = Edge(directory / name, **settings)
        started.append(edge)
        return edge

    starting = [asyncio.to_thread(start, *each) for each in (("first", shared), ("second", shared), ("alone", {}))]
    try:
        first, second, alone = await asyncio.gather(*starting)
        yield first, second, alone
    finally:
        for edge in started:
            edge.running.process.kill()
            edge.running.process.wait()


async def click_many(visitor: str, many: int, *spread: Edge) -> None:
    """Click as one visitor, a share on each edge."""
    turns = cycle(spread)
    limit = asyncio.Semaphore(AT_ONCE)

    async def click(edge: Edge) -> None:
        async with limit:
            await edge.click(visitor)

    await asyncio.gather(*(click(next(turns)) for _ in range(many)))


async def agree(visitor: str, first: Edge, second: Edge, alone: Edge) -> set[str]:
    """Wait until both edges say of a visitor's next click what the one alone says; returns that."""
    until = time.monotonic() + PATIENCE_SECONDS
    while True:
        said = [await edge.pace_of_next(visitor) for edge in (first, second, alone)]
        if said[0] == said[1] == said[2]:
            return said[2]
        assert time.monotonic() < until, said
        await asyncio.sleep(0.2)


async def go_on(stop: asyncio.Event, *spread: Edge) -> int:
    """Click as ever other visitors on one edge after the other until told to stop; returns how often."""
    for number, edge in zip(count(), cycle(spread), strict=False):
        if stop.is_set():
            return number
        await edge.click(f"203.0.{number // 200 % 200}.{number % 200 + 1}", "others")
        await asyncio.sleep(0.02)
    raise AssertionError("never")


@pytest.mark.timeout(90)
async def test_two_edges_with_redis_say_of_pace_what_one_edge_says(tmp_path: Path, redis: RedisServer) -> None:
    async with edges(tmp_path, redis) as (first, second, alone):
        stop = asyncio.Event()
        others = asyncio.create_task(go_on(stop, first, second))
        await asyncio.gather(
            click_many(SLOW, FEW, first, second),
            click_many(SLOW, FEW, alone),
            click_many(FAST, MANY, first, second),
            click_many(FAST, MANY, alone),
        )
        assert await agree(FAST, first, second, alone) == {R.possible_duplicate, R.visitor_velocity}
        assert await agree(SLOW, first, second, alone) == {R.possible_duplicate}

        await asyncio.to_thread(redis.kill)
        await asyncio.gather(click_many(AGAIN, MANY, first, second), click_many(AGAIN, MANY, alone))
        assert R.visitor_velocity in await alone.pace_of_next(AGAIN)
        assert R.visitor_velocity not in await first.pace_of_next(AGAIN), "it counts alone, or nothing is shown below"
        await asyncio.to_thread(redis.start)
        assert await agree(AGAIN, first, second, alone) == {R.possible_duplicate, R.visitor_velocity}
        stop.set()
        assert await others > 50
        for edge in (first, second, alone):
            await edge.end()
        for edge in (first, second, alone):
            assert edge.slowest < ANSWER_SECONDS
            events = journal_events(edge.journal)
            assert_gap_free(events)
            found = Counter(event.leaf.event_id for event in events)
            assert [event_id for event_id in edge.answered if found[event_id] != 1] == []
            assert len(edge.answered) > FEW + MANY // 2
