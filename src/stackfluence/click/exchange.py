"""What other edges counted, through Redis: each writes its own counts and reads the others', once a second.

An edge writes absolute counts into hashes of its own, so that writing again changes nothing; when Redis has forgotten
them, all of the two buckets is written again. Nothing that a visitor waits for waits for Redis: `Velocity` counts
alone until it is back.

Keys are `sf:{pace}:<kind>:<bucket>:<edge>`, a hash of field → count; `sf:{pace}:edges`, a sorted set of edges by when
they were last here in ms; and `sf:{pace}:told`, how often an edge wrote everything, upon which the others read
everything once more. The braces keep them on one node of a cluster. A field is 8 bytes of a keyed hash: whoever reads
Redis can neither tell a visitor or network prefix from it nor try them out.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from hashlib import blake2b
from itertools import islice
from struct import pack, unpack
from typing import Any

from stackfluence.click.velocity import Key, Velocity, Window, pair_of
from stackfluence.clock import now_ms, random_bytes

log = logging.getLogger(__name__)

SECONDS = 1.0
LAST_PAUSE_SECONDS = 30.0
PATIENCE_SECONDS = 2.0
SLICE = 50  # clicks or keys that are looked at in one turn of the event loop, in some 0.1 ms
TURNS = 100  # that all clicks of an exchange are looked at in; of a faster edge, more are in each
PAUSE_SECONDS = 0.001  # between turns: the journal's thread, whose commits answer clicks, needs the interpreter as well
MOST_CLICKS = 200_000  # of one exchange, some 40 MB
BATCH = 250  # keys that are sent at once; Redis is busy with them for some 0.3 ms
KEPT_BUCKETS = 3  # current, before, and one for clocks that differ
EDGES = "sf:{pace}:edges"
TOLD = "sf:{pace}:told"
FORGOTTEN_MS = 7_200_000  # later than any count of an edge that has gone

# Two buckets, the current and the one before. KEYS: the own hashes, those of the first other edge, and so on. ARGV:
# seconds to keep, fields of 8 bytes, own counts of 4 bytes in the one bucket and in the other. Returns the others' sums
# in the same form. In Lua, because to read the many empty answers of HMGET costs the edge more than all the rest.
_SHARE = """
local fields, many = {}, #ARGV[2] / 8
for at = 1, many do fields[at] = ARGV[2]:sub(at * 8 - 7, at * 8) end
local answer = {}
for bucket = 1, 2 do
    local written, sums = {}, {}
    for at = 1, many do
        local count = struct.unpack('<I4', ARGV[bucket + 2], at * 4 - 3)
        sums[at] = 0
        if count > 0 then
            written[#written + 1] = fields[at]
            written[#written + 1] = count
        end
    end
    if #written > 0 then
        redis.call('HSET', KEYS[bucket], unpack(written))
        redis.call('EXPIRE', KEYS[bucket], ARGV[1])
    end
    for other = bucket + 2, #KEYS, 2 do
        for at, count in ipairs(redis.call('HMGET', KEYS[other], unpack(fields))) do
            if count then sums[at] = sums[at] + tonumber(count) end
        end
    end
    for at = 1, many do answer[#answer + 1] = struct.pack('<I4', sums[at]) end
end
return table.concat(answer)
"""

Named = tuple[bytes, int, Key, bytes]  # organization, which of its windows, key, and the field it is told as
Touched = dict[bytes, tuple[dict[Key, bytes], ...]]  # by organization, for each of its windows: keys, and their fields


class _Batch:
    """Keys of one kind and bucket, with what one call of the script sends of them."""

    __slots__ = ("before", "bucket", "fields", "keys", "now", "windows")

    def __init__(self, bucket: int) -> None:
        self.bucket = bucket
        self.windows: list[Window] = []
        self.keys: list[Key] = []
        self.fields: list[bytes] = []
        self.now: list[int] = []
        self.before: list[int] = []


class Exchange:
    """Keeps one edge's `Velocity` told of what the other edges count.

    `failures` is how often Redis could not be asked; `edges` how many others are there. The edge has a random name per
    start. `secret` is the same on all edges, any length.
    """

    def __init__(self, velocity: Velocity, url: str, secret: bytes, *, seconds: float = SECONDS) -> None:
        from redis.asyncio import Redis  # before the edge serves: importing it takes 0.2 s

        self.failures = 0
        self.edges = 0
        self._velocity = velocity
        self._seconds = seconds
        self._name = random_bytes(8).hex()
        self._key = blake2b(secret, digest_size=32, person=b"stackfluence pac").digest()
        self._redis: Redis = Redis.from_url(
            url,
            socket_timeout=PATIENCE_SECONDS,
            socket_connect_timeout=PATIENCE_SECONDS,
            retry=None,  # `run` does that
            max_connections=1,
        )
        self._share = self._redis.register_script(_SHARE)
        self._others: list[tuple[str, float]] = []
        self._run_id: object = None
        self._told = 0
        self._again: Touched = {}

    async def run(self) -> None:
        """Exchange once a second until cancelled; while Redis is away, try again ever more rarely."""
        pause = self._seconds
        took = 0.0
        time = asyncio.get_running_loop().time
        this = asyncio.current_task()
        while this is None or not this.cancelling():  # the driver loses a cancellation now and then
            await asyncio.sleep(max(pause - took, PAUSE_SECONDS))
            began = time()
            is_there = await self.share()
            took = time() - began
            pause = self._seconds if is_there else min(pause * 2, LAST_PAUSE_SECONDS)
        raise asyncio.CancelledError

    async def share(self) -> bool:
        """Exchange once; return whether Redis took part."""
        try:
            await self._meet()
            await self._write_changed()
        except Exception as error:  # whatever the driver raises: the edge counts alone
            self.failures += 1
            if self._velocity.clicks is not None or self.failures == 1:
                log.warning("redis_away", extra={"error": repr(error)})
            self._velocity.clicks = None
            self._run_id = None
            return False
        return True

    async def close(self) -> None:
        """Let go of Redis; what was written stays until it expires, since it was counted."""
        self._velocity.clicks = None
        await self._redis.aclose()

    async def _meet(self) -> None:
        """Say that this edge is here, see who else is, and write and read everything where it is not known."""
        at_ms = now_ms()
        async with self._redis.pipeline(transaction=False) as asked:
            asked.zadd(EDGES, {self._name: at_ms})
            asked.zremrangebyscore(EDGES, 0, at_ms - FORGOTTEN_MS)
            asked.zrange(EDGES, 0, -1, withscores=True)
            asked.pexpire(EDGES, FORGOTTEN_MS)
            asked.get(TOLD)
            asked.info("server")
            is_new, _, edges, _, told, server = await asked.execute()
        self._others = [(name.decode(), seen_ms) for name, seen_ms in edges if name != self._name.encode()]
        self.edges = len(self._others)
        told = int(told or 0)
        run_id = server.get("run_id", "")
        has_forgotten = bool(is_new) or run_id != self._run_id
        if has_forgotten and self._velocity.clicks is None:
            self._velocity.clicks = []
            log.info("redis_joined", extra={"edges": self.edges})
        if has_forgotten or told != self._told:
            await _let_go(self._again)
            self._again = {}
            many = await self._write(self._everything())
            if has_forgotten and many:
                told += 1
                if await self._redis.incr(TOLD) != told:  # somebody else did the same meanwhile: look again
                    told = -1
                await self._redis.pexpire(TOLD, FORGOTTEN_MS)
        self._run_id, self._told = run_id, told

    def _everything(self) -> Iterator[Named]:
        for organization, counts in list(self._velocity.organizations.items()):
            for at, window in enumerate(counts.windows):
                for key in window.counted():
                    yield organization, at, key, self._field(organization, key)

    async def _write_changed(self) -> None:
        """Write what was counted since the last time; read it, and what was counted the time before, once more.

        The second reading finds what others wrote in the meantime.
        """
        clicks, self._velocity.clicks = self._velocity.clicks or [], []
        touched: Touched = {}
        at_once = max(SLICE, len(clicks) // TURNS)
        is_too_many = len(clicks) > MOST_CLICKS  # Redis was too slow to keep up: look through all counts instead
        if is_too_many:
            self._run_id = None
        while clicks:
            some = [] if is_too_many else clicks[-at_once:]
            for organization, link, visitor, prefix in some:
                keys = touched.get(organization)
                if keys is None:
                    keys = touched[organization] = ({}, {}, {}, {}, {})
                if visitor:
                    keys[0][visitor] = keys[1][pair_of(link, visitor)] = b""
                if prefix:
                    keys[2][prefix] = b""
                keys[3][link] = keys[4][organization] = b""
            del clicks[-at_once:]  # bit by bit: a hundred thousand tuples at once take 10 ms
            await asyncio.sleep(PAUSE_SECONDS)
        again, self._again = self._again, touched
        await self._write(self._named(touched), at_once)
        if self.edges:
            await self._write(_taken(again, touched), at_once)
        await _let_go(again)

    def _named(self, touched: Touched) -> Iterator[Named]:
        """Yield keys with their fields, which are remembered."""
        for organization, windows in touched.items():
            for at, fields in enumerate(windows):
                for key in fields:
                    field = fields[key] = self._field(organization, key)
                    yield organization, at, key, field

    async def _write(self, counted: Iterator[Named], at_once: int = SLICE) -> int:
        """Write and read keys, each with its field, in batches; return how many."""
        many = 0
        batches: dict[tuple[int, int], _Batch] = {}
        while some := list(islice(counted, at_once)):
            many += len(some)
            for organization, at, key, field in some:
                counts = self._velocity.organizations.get(organization)
                if counts is None:
                    continue
                window = counts.windows[at]
                now, before = window.own(key)
                if now or before:
                    batch = batches.get((at, window.bucket))
                    if batch is None:
                        batch = batches[at, window.bucket] = _Batch(window.bucket)
                    batch.windows.append(window)
                    batch.keys.append(key)
                    batch.fields.append(field)
                    batch.now.append(now)
                    batch.before.append(before)
            for name in [name for name, batch in batches.items() if len(batch.keys) >= BATCH]:
                await self._swap(batches.pop(name))
            await asyncio.sleep(PAUSE_SECONDS)
        for batch in batches.values():
            await self._swap(batch)
        return many

    async def _swap(self, batch: _Batch) -> None:
        """Write own counts, and take over the others'."""
        window, many = batch.windows[0], len(batch.keys)
        kept_ms = KEPT_BUCKETS * window.length_ms
        here_since = now_ms() - kept_ms
        names = [self._name, *(name for name, seen_ms in self._others if seen_ms >= here_since)]
        sums: Any = await self._share(
            keys=[
                f"sf:{{pace}}:{window.kind}:{bucket}:{name}"
                for name in names
                for bucket in (batch.bucket, batch.bucket - 1)
            ],
            args=[
                kept_ms // 1000,
                b"".join(batch.fields),
                pack(f"<{many}I", *batch.now),
                pack(f"<{many}I", *batch.before),
            ],
        )
        if sums.count(0) == len(sums):  # as nearly always: nobody else saw any of them
            return
        told = unpack(f"<{2 * many}I", sums)
        for at in range(many):
            if told[at] or told[many + at]:
                batch.windows[at].learn(batch.bucket, batch.keys[at], told[at])
                batch.windows[at].learn(batch.bucket - 1, batch.keys[at], told[many + at])

    def _field(self, organization: bytes, key: Key) -> bytes:
        text = key if isinstance(key, bytes) else key.encode()
        return blake2b(b"%b\0%b" % (organization, text), digest_size=8, key=self._key).digest()


def _taken(again: Touched, touched: Touched) -> Iterator[Named]:
    """Take out keys with their fields, but for those that are touched."""
    for organization, windows in again.items():
        for at, fields in enumerate(windows):
            now = touched[organization][at] if organization in touched else {}
            while fields:
                key, field = fields.popitem()
                if key not in now:
                    yield organization, at, key, field


async def _let_go(touched: Touched) -> None:
    """Empty it bit by bit: a hundred thousand keys at once take 10 ms."""
    rest = _taken(touched, {})
    while list(islice(rest, 10 * SLICE)):
        await asyncio.sleep(PAUSE_SECONDS)
