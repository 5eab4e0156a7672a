"""kill -9 of edge, core and both at random moments under load: every answered event is stored, exactly once."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from bench.crowd import Answers, Crowd

from tests.processes.serving import HTTP, Serving, serving, wait_for

ROUNDS = int(os.environ.get("SF_TEST_CRASH_ROUNDS", "5"))


@pytest.mark.crash
@pytest.mark.timeout(120 + 20 * ROUNDS)
def test_every_answered_event_is_stored_exactly_once(tmp_path: Path) -> None:
    with serving(tmp_path) as running:
        seed = time.time_ns()
        answers = asyncio.run(crash(running, ROUNDS, seed))
        assert len(answers.clicks) > 100
        assert len(answers.events) > 100
        stored = wait_for(lambda: all_stored(running, answers), running.log)
    counts = Counter(stored)
    assert [event for event, times in counts.items() if times > 1] == []
    assert [event for event in answers.promised if counts[event] != 1] == [], f"seed {seed}"


@pytest.mark.crash
@pytest.mark.timeout(180)
def test_a_standstill_of_the_core_without_its_catalog_costs_no_event(tmp_path: Path) -> None:
    with serving(tmp_path) as running:
        answers = asyncio.run(stand_still(running))
        assert len(answers.clicks) > 100
        counts = Counter(wait_for(lambda: all_stored(running, answers), running.log))
    assert set(counts.values()) == {1}
    assert [event for event in answers.promised if counts[event] != 1] == []


async def crash(running: Serving, rounds: int, seed: int) -> Answers:
    """Run a crowd and kill what is to be killed, once a round."""
    chance = random.Random(seed)
    crowd, stop = crowd_at(running), asyncio.Event()
    crowding = asyncio.create_task(crowd.run(stop))
    for number in range(rounds):
        await asyncio.sleep(chance.uniform(0.2, 1.5))
        for victim in (("edge-0",), ("core",), ("edge-0", "core"))[number % 3]:
            await kill(running, victim)
        await go_on(crowd.answers.clicks, "after a kill no click was answered")
    await asyncio.sleep(0.5)
    stop.set()
    await crowding
    return crowd.answers


async def stand_still(running: Serving, seconds: float = 1.0) -> Answers:
    """Run a crowd; stop the core, take the catalog away, kill the edge; put all back after clicks for some seconds."""
    crowd, stop = crowd_at(running), asyncio.Event()
    crowding = asyncio.create_task(crowd.run(stop))
    await asyncio.sleep(2.0)  # the edge has the links on its disk
    core = running.pid_of("core")
    os.kill(core, signal.SIGSTOP)
    files = [path for path in running.directory.glob("catalog.sqlite*") if path.is_file()]
    for path in files:
        path.rename(path.with_name(f"away-{path.name}"))
    await kill(running, "edge-0")
    await go_on(crowd.answers.clicks, "no click was answered meanwhile")
    await asyncio.sleep(seconds)
    for path in files:
        path.with_name(f"away-{path.name}").rename(path)
    os.kill(core, signal.SIGCONT)
    await asyncio.sleep(1.0)
    stop.set()
    await crowding
    return crowd.answers


async def go_on(answers: Sequence[Any], otherwise: str) -> None:
    """Wait until some more have come."""
    seen = len(answers)
    for _ in range(1200):
        if len(answers) > seen + 20:
            return
        await asyncio.sleep(0.05)
    raise AssertionError(otherwise)


def crowd_at(running: Serving) -> Crowd:
    """Return a crowd for five new links."""
    links = [new_link(running, f"c{number}") for number in range(5)]
    parts = urlsplit(running.address)
    return Crowd(parts.hostname or "", parts.port or 0, links, running.keys["secret_key"])


async def kill(running: Serving, victim: str) -> None:
    """kill -9 a child, after it was started again if it is down."""
    for _ in range(600):
        with contextlib.suppress(ProcessLookupError):
            running.kill(victim)
            return
        await asyncio.sleep(0.05)
    raise AssertionError(f"{victim} was not started again; {running.log.read_text()[-3000:]}")


def new_link(running: Serving, campaign: str) -> str:
    """Create a link and return its path."""
    body = {"creator_handle": "emma", "campaign_slug": campaign, "destination_url": "https://brand.example/shop"}
    answer = HTTP.post(f"{running.address}/v1/links", json=body, headers=running.secret, timeout=10)
    assert answer.status_code == 201, answer.text
    return f"/c/emma/{campaign}"


def all_stored(running: Serving, answers: Answers) -> list[str]:
    """Return the ids of all stored events once none of the promised is missing, before that nothing."""
    found: list[str] = []
    cursor = None
    try:
        while True:
            parameters = {"limit": 1000} | ({"cursor": cursor} if cursor else {})
            page = HTTP.get(f"{running.address}/v1/events", params=parameters, headers=running.secret, timeout=20)
            if page.status_code != 200:
                return []
            found += [event["event_id"] for event in page.json()["items"]]
            cursor = page.json()["next_cursor"]
            if not page.json()["items"] or cursor is None:
                break
    except httpx.HTTPError:
        return []
    return found if set(answers.promised) <= set(found) else []
