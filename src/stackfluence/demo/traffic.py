"""Live traffic: visits begin at a given rate, each goes its own way, and every request's answer is counted."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from random import Random

from stackfluence.demo.header_sets import HeaderSets
from stackfluence.demo.journeys import MIX
from stackfluence.demo.sample import Sample
from stackfluence.demo.sent import Sent
from stackfluence.demo.visitor import Left, Traffic, Visitor
from stackfluence.demo.wire import Address

MAX_VISITS = 5_000  # under way at once; past it new ones wait


async def drive(
    base_url: str,
    sample: Sample,
    visits_per_second: float,
    until: asyncio.Event,
    *,
    sent: Sent | None = None,
    seed: int = 1,
    visits: int | None = None,
    pace: float = 1.0,
    corpus: Path | None = None,
    is_proxied: bool = False,
) -> Sent:
    """Send traffic to the edge at `base_url` until `until` is set or `visits` visits have ended; return the counts.

    The counts can be watched meanwhile when `sent` is given. Same sample, seed and pace: the same requests, but for the
    click IDs the edge gives. See `Traffic` for `pace` and `is_proxied`, `HeaderSets` for `corpus`. Once `until` is set,
    visitors finish the request they are in and leave. Raises ValueError for an address that is none.
    """
    traffic = Traffic(
        address=Address.of(base_url),
        sample=sample,
        header_sets=HeaderSets(corpus),
        seed=f"{seed}/{sample.run}",
        pace=pace,
        is_proxied=is_proxied,
        sent=Sent() if sent is None else sent,
        leaving=until,
    )
    begun: set[asyncio.Task[None]] = set()
    room = asyncio.Semaphore(MAX_VISITS)
    loop = asyncio.get_running_loop()
    due = loop.time()
    number = 0
    try:
        for gap in _gaps(traffic, visits_per_second, visits):
            due += gap
            if due > loop.time():
                await _sleep_until(due, until)
            await room.acquire()
            if until.is_set():
                break
            number += 1
            task = loop.create_task(_visit(traffic, number, room))
            begun.add(task)
            task.add_done_callback(partial(_end, traffic, begun))
        await asyncio.gather(*begun, return_exceptions=True)
    finally:
        for task in list(begun):
            task.cancel()
    return traffic.sent


async def _visit(traffic: Traffic, number: int, room: asyncio.Semaphore) -> None:
    visitor = Visitor(traffic, f"{traffic.sample.run}-{number}")
    journeys = list(MIX)
    journey = visitor.rng.choices(journeys, list(MIX.values()))[0]
    traffic.sent.visits += 1
    try:
        await journey(visitor)
    except Left:
        pass
    finally:
        room.release()
        await visitor.close()


def _end(traffic: Traffic, begun: set[asyncio.Task[None]], task: asyncio.Task[None]) -> None:
    begun.discard(task)
    if not task.cancelled() and (error := task.exception()):
        traffic.sent.surprise(f"a visit ended with {error!r}")


def _gaps(traffic: Traffic, visits_per_second: float, visits: int | None) -> Iterator[float]:
    """Give the seconds between visits, which come independently of each other, as people do."""
    rng = Random(f"{traffic.seed}/gaps")  # noqa: S311 — repeatable is the point
    number = 0
    while visits is None or number < visits:
        number += 1
        yield rng.expovariate(visits_per_second)


async def _sleep_until(due: float, until: asyncio.Event) -> None:
    timer = due - asyncio.get_running_loop().time()
    try:
        await asyncio.wait_for(until.wait(), timer)
    except TimeoutError:
        return
