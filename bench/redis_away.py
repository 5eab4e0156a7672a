"""Redirects while Redis is killed, hangs and comes back: none waits for it."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.redis_server import RedisServer

from bench import rig

LINKS = 10_000
ROUNDS = 3
SECONDS = 6.0
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


def run() -> dict[str, Any]:
    """Return p99 in ms of a steady load with Redis there, killed in the middle, and hanging; `ratio` is the worst's."""
    if lacking := rig.missing_tools():
        return {"skipped": lacking}
    with tempfile.TemporaryDirectory() as folder:
        redis = RedisServer(Path(folder))
        redis.start()
        try:
            variables = {"SF_REDIS_URL": redis.url, "SF_TRUSTED_PROXIES": "127.0.0.1/32"}
            with rig.edge(LINKS, **variables) as (address, _, _process):
                rig.wrk(address, VISITORS, 64, SECONDS)
                rounds = [
                    {name: _load(address, redis, disturb) for name, disturb in _DISTURBANCES.items()}
                    for _ in range(ROUNDS)
                ]
        finally:
            redis.kill()
    result = {name: rig.medians([each[name] for each in rounds]) for name in _DISTURBANCES}
    worst = max(result["killed"]["p99_ms"], result["hanging"]["p99_ms"])
    return {
        "ratio": round(worst / result["undisturbed"]["p99_ms"], 2),
        "against": "p99 of the same load on the same edge while Redis answers",
        **result,
    }


def _nothing(redis: RedisServer) -> None:
    """Leave Redis alone."""


def _killed(redis: RedisServer) -> None:
    redis.kill()
    time.sleep(SECONDS / 3)
    redis.start()


def _hanging(redis: RedisServer) -> None:
    redis.pause()
    time.sleep(SECONDS / 3)
    _killed(redis)


_DISTURBANCES: dict[str, Callable[[RedisServer], None]] = {
    "undisturbed": _nothing,
    "killed": _killed,
    "hanging": _hanging,
}


def _load(address: str, redis: RedisServer, disturb: Callable[[RedisServer], None]) -> dict[str, float]:
    timer = threading.Timer(SECONDS / 6, disturb, (redis,))
    timer.start()
    try:
        return rig.wrk(address, VISITORS, 64, SECONDS)
    finally:
        timer.join()
        time.sleep(3)  # the edge finds Redis again
