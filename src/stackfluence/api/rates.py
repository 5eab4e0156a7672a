"""How many requests a key may make: counted by `limits`, in Redis for all cores or in this one's memory.

The window slides as `click/velocity.py` has it, two counters a key. Answers tell it with the fields RateLimit-Policy
and RateLimit of draft-ietf-httpapi-ratelimit-headers-10, sections 3 and 4.

`limits` is used with its client "redispy", since the one it prefers isn't installed. Its extra for redis ends below
version 8 and isn't installed either: what it calls (register_script, EVALSHA, GET) is tested with the locked version.
"""

from __future__ import annotations

import logging
import math
import time
from typing import Any

from limits import RateLimitItemPerSecond
from limits.aio.storage import MemoryStorage, RedisStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter

log = logging.getLogger(__name__)

WINDOW_SECONDS = 60
PATIENCE_SECONDS = 0.1  # Redis answers in 0.5 ms; a request waits no longer for one that hangs
PAUSE_SECONDS = 10.0  # and no other request asks it meanwhile
POLICY = "default"


class Rates:
    """Counts the requests of each key. `failures` is how often Redis could not be asked, `is_away` that it isn't there.

    `most` requests are let in within `window_seconds` (a minute), of every key.
    """

    def __init__(self, most: int, redis_url: str = "", *, window_seconds: int = 0) -> None:
        window_seconds = window_seconds or WINDOW_SECONDS
        self.most = most
        self.failures = 0
        self.is_away = False
        self._window = RateLimitItemPerSecond(most, window_seconds, "sf:api")
        self._policy = f'"{POLICY}";q={most};w={window_seconds}'
        self._alone = SlidingWindowCounterRateLimiter(MemoryStorage())
        self._shared: RedisStorage | None = None
        self._ask_again_at = 0.0
        if redis_url:
            options: Any = {
                "socket_timeout": PATIENCE_SECONDS,
                "socket_connect_timeout": PATIENCE_SECONDS,
                "retry": None,
            }
            self._shared = RedisStorage(f"async+{redis_url}", implementation="redispy", key_prefix="sf:api", **options)
            self._together = SlidingWindowCounterRateLimiter(self._shared)

    async def count(self, key_id: str) -> dict[str, str]:
        """Count a request and return the headers of its answer; with `Retry-After` it must be refused."""
        is_within, left, reset_at = await self._count(key_id)
        seconds = max(1, math.ceil(reset_at - time.time()))
        headers = {"RateLimit-Policy": self._policy, "RateLimit": f'"{POLICY}";r={left};t={seconds}'}
        return headers if is_within else headers | {"Retry-After": str(seconds)}

    async def close(self) -> None:
        """Let go of Redis."""
        if self._shared is not None:
            bridge: Any = self._shared.bridge
            await bridge.get_connection().aclose()

    async def _count(self, key_id: str) -> tuple[bool, int, float]:
        if self._shared is not None and time.monotonic() >= self._ask_again_at:
            was_away = self.is_away
            if was_away:  # one request finds out for all
                self._ask_again_at = time.monotonic() + PAUSE_SECONDS
            try:
                answer = await self._ask_together(self._shared, key_id)
            except Exception as error:  # whatever the driver raises: this process counts alone
                self.failures += 1
                self._ask_again_at = time.monotonic() + PAUSE_SECONDS
                if not self.is_away:  # of requests that failed at once, one says so
                    log.warning("redis_away", extra={"error": repr(error)})
                self.is_away = True
            else:
                if was_away and self.is_away:
                    log.info("redis_back")
                    self.is_away, self._ask_again_at = False, 0.0
                return answer
        return await self._ask(self._alone, key_id)

    async def _ask_together(self, shared: RedisStorage, key_id: str) -> tuple[bool, int, float]:
        """Ask Redis, once more where a connection had died: when it was restarted, it is there and they aren't.

        The driver itself overlooks that one was closed. Who was kept waiting doesn't try again.
        """
        began = time.monotonic()
        try:
            return await self._ask(self._together, key_id)
        except Exception:
            if time.monotonic() - began >= PATIENCE_SECONDS:
                raise
        bridge: Any = shared.bridge
        await bridge.get_connection().connection_pool.disconnect(inuse_connections=False)
        return await self._ask(self._together, key_id)

    async def _ask(self, limiter: SlidingWindowCounterRateLimiter, key_id: str) -> tuple[bool, int, float]:
        is_within = await limiter.hit(self._window, key_id)
        reset_at, left = await limiter.get_window_stats(self._window, key_id)
        return is_within, left, reset_at
