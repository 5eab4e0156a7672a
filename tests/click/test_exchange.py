"""Edges that tell each other what they counted, through a real Redis that comes, goes and forgets."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from itertools import product
from secrets import token_bytes

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stackfluence.click import exchange
from stackfluence.click.exchange import Exchange
from stackfluence.click.velocity import (
    HALF_HOUR_MS,
    MINUTE_MS,
    PREFIX_A_MINUTE,
    VISITOR_A_MINUTE,
    Key,
    Velocity,
    Window,
    pair_of,
)
from stackfluence.vocabulary import TrafficReason
from tests.redis_server import RedisServer

R = TrafficReason
START = 1_795_000_000_000 // HALF_HOUR_MS * HALF_HOUR_MS
SECRET = b"the same on all edges"
BRAND, OTHER = b"org_brand", b"org_other"
Connect = Callable[..., tuple[Velocity, Exchange]]


@pytest.fixture
async def edge() -> AsyncIterator[Connect]:
    """Start edges that exchange through an address; all are closed in the end."""
    opened = []

    def connect(url: str, secret: bytes = SECRET, seconds: float = 0.01) -> tuple[Velocity, Exchange]:
        counted = Velocity()
        exchanging = Exchange(counted, url, secret, seconds=seconds)
        opened.append(exchanging)
        return counted, exchanging

    yield connect
    for exchanging in opened:
        await exchanging.close()


def sums(counted: Velocity) -> dict[tuple[bytes, str, object], tuple[int, int]]:
    """Return all that an edge knows: own and others' counts of every key, current bucket and the one before."""
    found = {}
    for organization, counts in counted.organizations.items():
        for window in counts.windows:
            for key in window.counted():
                now, before = window.own(key)
                there = window.there.get(key, 0), window.there_before.get(key, 0)
                found[organization, window.kind, key] = now + there[0], before + there[1]
    return found


async def settle(*exchanging: Exchange) -> None:
    """Exchange until everybody has read what everybody has written."""
    for _ in range(2):
        for one in exchanging:
            assert await one.share()


async def test_what_two_edges_count_together_is_found_on_both(redis: RedisServer, edge: Connect) -> None:
    (here, to_here), (there, to_there) = edge(redis.url), edge(redis.url)
    await settle(to_here, to_there)
    assert (to_here.edges, to_there.edges) == (1, 1)
    for number in range(VISITOR_A_MINUTE):
        counted = (here, there)[number % 2]
        assert R.visitor_velocity not in counted.count(BRAND, b"lnk_%d" % (number % 9), "emma", "", START)
    await settle(to_here, to_there)
    assert R.visitor_velocity in here.count(BRAND, b"lnk_0", "emma", "", START)
    assert R.visitor_velocity in there.count(BRAND, b"lnk_0", "emma", "", START)
    assert here.count(OTHER, b"lnk_0", "emma", "", START) == ()
    assert here.count(BRAND, b"lnk_0", "liam", "", START) == ()


async def test_a_second_click_on_another_edge_is_a_possible_duplicate(redis: RedisServer, edge: Connect) -> None:
    (here, to_here), (there, to_there) = edge(redis.url), edge(redis.url)
    await settle(to_here, to_there)
    here.count(BRAND, b"lnk_reel", "emma", "", START)
    there.count(BRAND, b"lnk_reel", "emma", "", START + 1)
    await settle(to_here, to_there)
    assert there.count(BRAND, b"lnk_reel", "emma", "", START + 2) == (R.possible_duplicate,)
    known = there.organizations[BRAND].pairs
    assert (known.own(pair_of(b"lnk_reel", "emma")), known.there) == ((2, 0), {pair_of(b"lnk_reel", "emma"): 1})


CLICKS = st.tuples(
    st.integers(0, 1),  # the edge
    st.sampled_from([BRAND, OTHER]),
    st.sampled_from([b"lnk_reel", b"lnk_story"]),
    st.sampled_from(["", "emma", "liam"]),
    st.sampled_from(["", "203.0.113.0/24"]),
    st.integers(0, 5).map(lambda step: START + HALF_HOUR_MS - MINUTE_MS + step * 20_000),  # over the border of both
)


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(clicks=st.lists(CLICKS, max_size=60), rounds=st.sets(st.integers(0, 60), max_size=6))
async def test_two_edges_agree_with_one_that_saw_everything(
    redis: RedisServer,
    edge: Connect,
    clicks: list[tuple[int, bytes, bytes, str, str, int]],
    rounds: set[int],
) -> None:
    alone = Velocity()
    secret = token_bytes(32)  # other fields than the examples before
    edges = [edge(redis.url, secret) for _ in range(2)]
    exchanging = [one for _, one in edges]
    await settle(*exchanging)
    for at, (which, organization, link, visitor, prefix, at_ms) in enumerate(sorted(clicks, key=lambda one: one[-1])):
        alone.count(organization, link, visitor, prefix, at_ms)
        edges[which][0].count(organization, link, visitor, prefix, at_ms)
        if at in rounds:
            await settle(*exchanging)
    last_ms = START + HALF_HOUR_MS + MINUTE_MS - 1
    for organization, link, visitor in product((BRAND, OTHER), (b"lnk_reel", b"lnk_story"), ("", "emma", "liam")):
        for counted, _ in edges:  # what an edge is not asked for, it doesn't ask for
            counted.count(organization, link, visitor, "203.0.113.0/24", last_ms)
            alone.count(organization, link, visitor, "203.0.113.0/24", last_ms)
    await settle(*exchanging)
    for counted, _ in edges:
        assert sums(counted) == sums(alone)
    for one in exchanging:
        await one.close()


async def test_redis_that_is_killed_and_comes_back_empty_loses_no_count(
    redis: RedisServer, edge: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    (here, to_here), (there, to_there) = edge(redis.url), edge(redis.url)
    await settle(to_here, to_there)

    def count(many: int, at_ms: int) -> None:
        for number in range(many):
            for counted in (here, there):
                counted.count(BRAND, b"lnk_reel", "emma", f"198.51.{number % 50}.0/24", at_ms)

    count(30, START + MINUTE_MS - 1)
    await settle(to_here, to_there)
    redis.kill()
    count(30, START + MINUTE_MS - 1)
    count(30, START + MINUTE_MS)
    for _ in range(3):
        assert not await to_here.share()
        assert not await to_there.share()
    assert (to_here.failures, to_there.failures) == (3, 3)
    assert here.clicks is None, "while nobody takes them away, nothing is collected"
    count(30, START + MINUTE_MS)
    redis.start()
    await settle(to_here, to_there)
    for counted in (here, there):
        known = sums(counted)
        assert known[BRAND, "visitor", "emma"] == (120, 120)
        assert known[BRAND, "link", b"lnk_reel"] == (120, 120)
        assert known[BRAND, "pair", pair_of(b"lnk_reel", "emma")] == (240, 0)
        assert known[BRAND, "prefix", "198.51.7.0/24"] == (4, 4)
    assert [record.message for record in caplog.records].count("redis_away") == 2, "one an edge and outage"


async def test_redis_that_forgets_without_closing_a_connection_is_told_again(redis: RedisServer, edge: Connect) -> None:
    (here, to_here), (there, to_there) = edge(redis.url), edge(redis.url)
    await settle(to_here, to_there)
    here.count(BRAND, b"lnk_reel", "emma", "", START)
    await settle(to_here, to_there)
    await to_here._redis.flushall()
    there.count(BRAND, b"lnk_reel", "emma", "", START)
    await settle(to_here, to_there)
    assert sums(there)[BRAND, "visitor", "emma"] == (2, 0)
    assert sums(here)[BRAND, "visitor", "emma"] == (2, 0)


async def test_writing_again_counts_nothing_twice_and_an_edge_that_has_gone_still_counts(
    redis: RedisServer, edge: Connect
) -> None:
    (here, to_here), (there, to_there) = edge(redis.url), edge(redis.url)
    await settle(to_here, to_there)
    for _ in range(5):
        here.count(BRAND, b"lnk_reel", "emma", "", START)
    for _ in range(3):
        await to_here.share()
        to_here._run_id = None  # as if Redis were another: everything is written once more
    await to_here.close()
    there.count(BRAND, b"lnk_reel", "emma", "", START)
    await settle(to_there)
    assert sums(there)[BRAND, "visitor", "emma"] == (6, 0)


async def test_without_redis_an_edge_counts_alone_and_says_so_once(
    edge: Connect, unused_tcp_port: int, caplog: pytest.LogCaptureFixture
) -> None:
    counted, exchanging = edge(f"redis://127.0.0.1:{unused_tcp_port}/0")
    for _ in range(3):
        assert not await exchanging.share()
    for _ in range(VISITOR_A_MINUTE):
        counted.count(BRAND, b"lnk_reel", "emma", "", START)
    assert R.visitor_velocity in counted.count(BRAND, b"lnk_reel", "emma", "", START)
    assert exchanging.failures == 3
    assert [record.message for record in caplog.records] == ["redis_away"]


async def test_while_redis_hangs_clicks_are_counted(
    redis: RedisServer, edge: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchange, "PATIENCE_SECONDS", 0.2)
    counted, exchanging = edge(redis.url)
    await settle(exchanging)
    redis.pause()
    counted.count(BRAND, b"lnk_reel", "emma", "", START)
    asking = asyncio.create_task(exchanging.share())
    for _ in range(20):
        await asyncio.sleep(0)
        counted.count(BRAND, b"lnk_reel", "emma", "", START)
    assert not asking.done()
    assert sums(counted)[BRAND, "visitor", "emma"] == (21, 0)
    assert not await asking


async def test_it_runs_until_cancelled_through_an_outage(redis: RedisServer, edge: Connect) -> None:
    (here, to_here), (there, to_there) = edge(redis.url), edge(redis.url)
    running = [asyncio.create_task(one.run()) for one in (to_here, to_there)]

    async def until_both_know(many: int) -> None:
        async with asyncio.timeout(20):
            while any(sums(counted)[BRAND, "visitor", "emma"] != (many, 0) for counted in (here, there)):
                await asyncio.sleep(0.01)

    here.count(BRAND, b"lnk_reel", "emma", "", START)
    there.count(BRAND, b"lnk_reel", "emma", "", START)
    await until_both_know(2)
    redis.kill()
    while not (to_here.failures and to_there.failures):
        await asyncio.sleep(0.01)
    here.count(BRAND, b"lnk_reel", "emma", "", START)
    there.count(BRAND, b"lnk_reel", "emma", "", START)
    redis.start()
    await until_both_know(4)
    await stop(running)


async def test_it_ends_whenever_it_is_cancelled(redis: RedisServer, edge: Connect) -> None:
    for number in range(40):
        counted, exchanging = edge(redis.url, seconds=0.0005)
        counted.count(BRAND, b"lnk_reel", "emma", "", START)
        running = asyncio.create_task(exchanging.run())
        await asyncio.sleep(number / 4_000)
        await stop([running])


async def stop(running: list[asyncio.Task[None]]) -> None:
    for task in running:
        task.cancel()
    assert all(
        isinstance(end, asyncio.CancelledError) for end in await asyncio.gather(*running, return_exceptions=True)
    )


async def test_redis_holds_nothing_that_names_a_person_and_nothing_for_ever(redis: RedisServer, edge: Connect) -> None:
    counted, exchanging = edge(redis.url)
    await settle(exchanging)
    counted.count(BRAND, b"lnk_reel", "emma", "203.0.113.0/24", START)
    await settle(exchanging)
    client = exchanging._redis
    names = [name async for name in client.scan_iter()]
    hashes = [name for name in names if name != exchange.EDGES.encode()]
    assert len(hashes) == 5
    for name in hashes:
        [(field, count)] = (await client.hgetall(name)).items()
        assert (len(field), count) == (8, b"1")
        assert await client.ttl(name) > 0
        for word in (b"emma", b"203.0.113", b"lnk_reel", BRAND):
            assert word not in name + field


async def test_edges_with_another_secret_share_nothing(redis: RedisServer, edge: Connect) -> None:
    (here, to_here), (there, to_there) = edge(redis.url, b"one"), edge(redis.url, b"two")
    await settle(to_here, to_there)
    here.count(BRAND, b"lnk_reel", "emma", "", START)
    there.count(BRAND, b"lnk_reel", "emma", "", START)
    await settle(to_here, to_there)
    assert sums(here)[BRAND, "visitor", "emma"] == (1, 0)


async def test_more_keys_than_one_batch_arrive_whole(redis: RedisServer, edge: Connect) -> None:
    (here, to_here), (there, to_there) = edge(redis.url), edge(redis.url)
    await settle(to_here, to_there)
    many = exchange.BATCH * 2 + 7
    assert many < PREFIX_A_MINUTE
    for number in range(many):
        for counted in (here, there):
            counted.count(BRAND, b"lnk_reel", f"visitor {number}", "203.0.113.0/24", START)
    await settle(to_here, to_there)
    for counted in (here, there):
        known = sums(counted)
        assert {known[BRAND, "visitor", f"visitor {number}"] for number in range(many)} == {(2, 0)}
        assert known[BRAND, "prefix", "203.0.113.0/24"] == (2 * many, 0)


async def test_no_turn_of_the_loop_takes_more_than_a_slice_of_the_clicks_or_keys(
    redis: RedisServer, edge: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    (here, to_here), (_, to_there) = edge(redis.url), edge(redis.url)
    await settle(to_here, to_there)
    turns = [0]
    pause = asyncio.sleep

    async def sleep(seconds: float) -> None:
        assert seconds == exchange.PAUSE_SECONDS
        turns.append(0)
        await pause(0)

    def look_at_click(link: bytes, visitor: str) -> bytes:
        turns[-1] += 1
        return pair_of(link, visitor)

    def look_at_key(window: Window, key: Key) -> tuple[int, int]:
        turns[-1] += 1
        return own(window, key)

    own = Window.own
    monkeypatch.setattr(asyncio, "sleep", sleep)
    monkeypatch.setattr(exchange, "pair_of", look_at_click)
    many = 40 * exchange.SLICE
    for number in range(many):
        here.count(BRAND, b"lnk_reel", f"visitor {number}", "203.0.113.0/24", START)
    monkeypatch.setattr(Window, "own", look_at_key)
    for _ in range(2):  # what was counted is told, and read once more
        assert await to_here.share()
    to_here._run_id = None  # as if Redis had forgotten everything
    assert await to_here.share()
    assert max(turns) == exchange.SLICE
    assert sum(turns) == many + 3 * (2 * many + 3)
