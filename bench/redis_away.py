"""Redirects while Redis is killed, hangs and comes back: none waits for it.

A server that is killed and started costs whoever shares the cores with it something by itself. So another Redis, which
no edge asks, is killed and started in the same way, and the loads during the one and during the other are compared
pair by pair, in an order that changes from round to round. Both run on the load's core, when that has nothing else to
do: a Redis is elsewhere, and what is measured is the edge's own work.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from redis import Redis
from tests.redis_server import RedisServer

from bench import rig
from stackfluence.click.exchange import EDGES

LINKS = 10_000
ROUNDS = 9
SECONDS = 8.0
KILLED_AT, BACK_AFTER = 1.0, 2.0  # the edge tries again after 1, 2 and 4 s: it is back before the load ends
# people at many addresses, behind a proxy that is trusted: each has counts of its own to exchange
VISITORS = f"""
delay = function() return 8 end
request = function()
  local address = "10." .. math.random(0, 99) .. "." .. math.random(0, 255) .. "." .. math.random(1, 254)
  local headers = {{["User-Agent"] = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 " ..
    "(KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1", ["X-Forwarded-For"] = address}}
  return wrk.format("GET", "/c/emma/spring/" .. math.random(0, {LINKS - 1}), headers)
end
"""


class _Elsewhere(RedisServer):
    """A Redis that takes nothing from the edge's core and nothing that the load needs."""

    def start(self) -> None:
        super().start()
        assert self._process is not None
        for thread in Path(f"/proc/{self._process.pid}/task").iterdir():
            os.sched_setaffinity(int(thread.name), {int(rig.LOAD_CORE)})
            os.sched_setscheduler(int(thread.name), os.SCHED_IDLE, os.sched_param(0))


def run() -> dict[str, Any]:
    """Return p99 in ms of a steady load while the edge's Redis is killed or hangs, and while another one is.

    `ratios` has each one's median over the rounds and its quartiles, `ratio` is the worse median.
    """
    if lacking := rig.missing_tools():
        return {"skipped": lacking}
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as other_folder:
        redis, other = _Elsewhere(Path(folder)), _Elsewhere(Path(other_folder))
        try:
            redis.start()
            other.start()
            variables = {"SF_REDIS_URL": redis.url, "SF_TRUSTED_PROXIES": "127.0.0.1/32"}
            with rig.edge(LINKS, **variables) as (address, _, _process):
                rig.wrk(address, VISITORS, 64, SECONDS)
                rounds = [_round(address, redis, other, number) for number in range(ROUNDS)]
        finally:
            redis.kill()
            other.kill()
    ratios = {
        name: [each[name]["p99_ms"] / each[f"other_{name}"]["p99_ms"] for each in rounds]
        for name in ("killed", "hanging")
    }
    quartiles = {name: [round(cut, 2) for cut in statistics.quantiles(found, n=4)] for name, found in ratios.items()}
    return {
        "ratio": max(statistics.median(found).__round__(2) for found in ratios.values()),
        "against": "p99 of the same load on the same edge while the same is done to a Redis that it doesn't ask",
        "quartiles": quartiles,
        **{name: rig.medians([each[name] for each in rounds]) for name in rounds[0]},
    }


def _round(address: str, redis: RedisServer, other: RedisServer, number: int) -> dict[str, dict[str, float]]:
    """Load the edge four times, beginning with another each round."""
    loads = [("killed", redis, _kill), ("other_killed", other, _kill)]
    loads += [("hanging", redis, _hang), ("other_hanging", other, _hang)]
    loads = loads[number % 4 :] + loads[: number % 4]
    figures = {name: _load(address, server, disturb) for name, server, disturb in loads}
    assert _edges(redis) == 1, "the edge hasn't found its Redis again"
    assert _edges(other) == 0
    return figures


def _kill(redis: RedisServer) -> None:
    redis.kill()
    time.sleep(BACK_AFTER)
    redis.start()


def _hang(redis: RedisServer) -> None:
    redis.pause()
    time.sleep(BACK_AFTER)
    redis.kill()
    redis.start()


def _load(address: str, redis: RedisServer, disturb: Callable[[RedisServer], None]) -> dict[str, float]:
    with ThreadPoolExecutor(1) as loading:
        load = loading.submit(rig.wrk, address, VISITORS, 64, SECONDS)
        time.sleep(KILLED_AT)
        disturb(redis)  # here, not in the thread: a server ends with the thread that started it
        return load.result()


def _edges(redis: RedisServer) -> int:
    """Return how many edges have told a Redis that they are there."""
    with Redis.from_url(redis.url) as client:
        return int(client.zcard(EDGES))
