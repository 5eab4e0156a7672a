"""Time and randomness, so that tests can hold both still.

Every module that needs the time or a random identifier takes it from here. Tests replace `now_ms`.
"""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime, timedelta

from stackfluence.native import compiled

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_POOL_BYTES = 4096  # one getrandom(2) call (about 0.6 µs) serves 400 event ids
_pool = b""
_pool_at = _POOL_BYTES

UUID_TAIL_BYTES = 10  # of a UUIDv7, after its time
_TAILS_BYTES = 400 * UUID_TAIL_BYTES
_VERSION_AND_VARIANT = int.from_bytes(b"\x70\0\x80\0\0\0\0\0\0\0" * 400, "big")
_RANDOM_BITS = int.from_bytes(b"\x0f\xff\x3f\xff\xff\xff\xff\xff\xff\xff" * 400, "big")
_tails, _tails_hex = b"", ""
_tail_at = _TAILS_BYTES
_uuid_ms = -1
_uuid_time, _uuid_time_text = b"", ""


def now_ms() -> int:
    """Return the time as milliseconds since 1970-01-01 UTC."""
    return time.time_ns() // 1_000_000


def random_bytes(size: int) -> bytes:
    """Return `size` (at most 4096) bytes from the system's random source, drawn in pools."""
    global _pool, _pool_at
    end = _pool_at + size
    if end > _POOL_BYTES:
        _pool = os.urandom(_POOL_BYTES)
        _pool_at, end = 0, size
    chunk = _pool[_pool_at:end]
    _pool_at = end
    return chunk


def _forget_pool() -> None:
    global _pool_at, _tail_at
    _pool_at, _tail_at = _POOL_BYTES, _TAILS_BYTES


os.register_at_fork(after_in_child=_forget_pool)  # two processes must never share randomness


def uuid7(at_ms: int) -> tuple[bytes, str]:
    """Return a UUIDv7 (RFC 9562, section 5.7) of `at_ms`, 48 bits of time and 74 of randomness, as bytes and as text.

    The randomness of 400 is drawn and brought into shape at once: every click needs one.
    """
    global _tails, _tails_hex, _tail_at, _uuid_ms, _uuid_time, _uuid_time_text
    if _tail_at == _TAILS_BYTES:
        drawn = int.from_bytes(os.urandom(_TAILS_BYTES), "big")
        _tails = (drawn & _RANDOM_BITS | _VERSION_AND_VARIANT).to_bytes(_TAILS_BYTES, "big")
        _tails_hex, _tail_at = _tails.hex(), 0
    if at_ms != _uuid_ms:
        _uuid_time = at_ms.to_bytes(6, "big")
        text = _uuid_time.hex()
        _uuid_ms, _uuid_time_text = at_ms, f"{text[:8]}-{text[8:]}"
    start, end = _tail_at, _tail_at + UUID_TAIL_BYTES
    _tail_at = end
    tail = _tails_hex[2 * start : 2 * end]
    return _uuid_time + _tails[start:end], f"{_uuid_time_text}-{tail[:4]}-{tail[4:8]}-{tail[8:]}"


def uuid7_of(at_ms: int, tail: bytes) -> bytes:
    """Return the UUIDv7 of a time and 10 random bytes, six bits of which give way to version and variant."""
    version, variant = 0x70 | tail[0] & 0x0F, 0x80 | tail[2] & 0x3F
    return b"%b%c%c%c%b" % (at_ms.to_bytes(6, "big"), version, tail[1], variant, tail[3:])


@compiled
def uuid_text(raw: bytes) -> str:
    """Return 16 bytes in the hyphenated form of RFC 9562."""
    text = raw.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


_second = -1  # the text of the last second and millisecond are kept: thousands of events share them
_second_text = ""
_last_ms = -1
_last_text = ""


def rfc3339(at_ms: int) -> str:
    """Return a time as RFC 3339 in UTC with milliseconds, `2026-11-22T13:00:00.123Z`."""
    global _second, _second_text, _last_ms, _last_text
    if at_ms == _last_ms:
        return _last_text
    second, milliseconds = divmod(at_ms, 1000)
    if second != _second:
        _second_text = datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S.")
        _second = second
    _last_text = f"{_second_text}{milliseconds:03d}Z"
    _last_ms = at_ms
    return _last_text


def parse_rfc3339(text: str) -> int:
    """Return the milliseconds since 1970 of an RFC 3339 time; raises ValueError when it has no zone or is no time."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("time without a zone: end it with Z or an offset")
    return (moment - _EPOCH) // timedelta(milliseconds=1)
