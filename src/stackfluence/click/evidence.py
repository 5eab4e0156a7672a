"""What a request's headers say, scored and encoded once for all clicks that send the same ones.

Phones of one model and app send identical headers, so this is remembered by header set: 0.3 µs instead of 15.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import msgspec

from stackfluence.click import bot_score

MAX_USER_AGENT = 1_000
MAX_SIGNALS = 8_000  # bytes of header evidence that are kept for scoring again
REMEMBERED = 5_000  # header sets, about 15 MB; 200 MB when somebody sends the largest ones that are read
UNKEPT_HEADERS = frozenset(
    (
        b"cookie",
        b"authorization",
        b"proxy-authorization",
        b"via",
        b"referer",
        # addresses of people, by the names that proxies and networks of proxies give them
        b"forwarded", b"x-forwarded", b"x-forwarded-for", b"x-original-forwarded-for", b"forwarded-for", b"x-real-ip",
        b"client-ip", b"x-client-ip", b"x-cluster-client-ip", b"true-client-ip", b"cf-connecting-ip",
        b"cf-connecting-ipv6", b"cf-pseudo-ipv4", b"fastly-client-ip", b"fly-client-ip", b"do-connecting-ip",
        b"x-azure-clientip", b"x-azure-socketip", b"x-appengine-user-ip", b"x-envoy-external-address",
        b"cloudfront-viewer-address", b"x-originating-ip", b"x-remote-ip", b"x-remote-addr",
    )
)  # fmt: skip
_encode = msgspec.json.Encoder().encode


class Evidence(NamedTuple):
    """A header set's share of an event, as members of its JSON objects: `leaf` ends with a comma or is empty."""

    leaf: str
    expiring: str


class _Judged(msgspec.Struct, omit_defaults=True):
    bot_score: int = 0
    bot_reasons: list[str] = []
    list_versions: dict[str, str] = {}


class _Seen(msgspec.Struct):
    user_agent: str = ""
    signals: str = ""


@lru_cache(maxsize=REMEMBERED)
def evidence(method: bytes, headers: tuple[tuple[bytes, bytes], ...], is_https: bool) -> Evidence:
    """Return what the leaf and the expiring half keep of a request's headers, in the order and case they came in.

    `headers` must hold neither cookies, nor credentials, nor addresses: `kept_headers` takes them out.
    """
    score = bot_score.score(method, headers, is_https)
    pairs = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in headers]
    user_agent = next((value for name, value in pairs if name.lower() == "user-agent"), "")[:MAX_USER_AGENT]
    said = {"method": method.decode("latin-1"), "transport": "https" if is_https else "http", "headers": pairs}
    signals = _encode(said).decode()
    leaf = _encode(_Judged(score.score, score.reasons, score.list_versions)).decode()[1:-1]
    seen = _Seen(user_agent, signals if len(signals) <= MAX_SIGNALS else "")
    return Evidence(leaf + "," if leaf else "", _encode(seen).decode()[1:-1])


def kept_headers(headers: list[tuple[bytes, bytes]], fields: dict[bytes, bytes]) -> tuple[tuple[bytes, bytes], ...]:
    """Return the headers that may be kept; `fields` are the same by lower-case name."""
    if UNKEPT_HEADERS.isdisjoint(fields):
        return tuple(headers)
    return tuple(pair for pair in headers if pair[0].lower() not in UNKEPT_HEADERS)
