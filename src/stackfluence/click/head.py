"""What a request's headers say, parsed, read by the rules and encoded once for all clicks that send the same ones.

Phones of one model and app send identical headers. `Heads` remembers whole header blocks, byte for byte, so that a
click that brings a known one is neither parsed nor judged again; `evidence` remembers header sets, for blocks that
differ in what is not kept of them.
"""

from __future__ import annotations

import re
from functools import lru_cache, partial
from sys import intern
from typing import TYPE_CHECKING

import msgspec

from stackfluence.click.bot_score import Reading, read
from stackfluence.click.signals import read_fields
from stackfluence.click.visitor import referrer_host
from stackfluence.native import compiled

if TYPE_CHECKING:
    from stackfluence.click.judge import Verdicts
    from stackfluence.click.request import Request

MAX_USER_AGENT = 1_000
MAX_LANGUAGES = 200  # characters of Accept-Language; browsers send up to about 100
MAX_SIGNALS = 8_000  # bytes of header evidence that are kept for scoring again
REMEMBERED = 5_000  # header sets, about 15 MB; 200 MB when somebody sends the largest ones that are read
MAX_BLOCK = 4_000  # bytes of a header block that is remembered; so 60 MB when somebody sends the largest ones
# What rules and lists read. Of every other header only the name is kept: proxies, carriers and companies put addresses,
# telephone numbers, mail addresses, credentials and numbers of single requests into headers of any name.
KEPT_VALUES = frozenset(
    (
        b"user-agent", b"accept", b"accept-charset", b"accept-encoding", b"accept-language", b"connection", b"dnt",
        b"pragma", b"cache-control", b"priority", b"te", b"upgrade-insecure-requests", b"save-data", b"purpose",
        b"x-purpose", b"x-moz", b"x-requested-with", b"device-memory", b"downlink", b"dpr", b"ect", b"rtt",
        b"viewport-width",
    )
)  # fmt: skip
_MAX_NAMES = 1_000  # of headers that are remembered; 24 MB of the longest
_encode = msgspec.json.Encoder().encode


class Evidence:
    """What a header set says: `reading` to the rules, `expiring` as members of the half that expires.

    `verdicts` is the judge's, who remembers here what it found together with networks and pace: both go together.
    """

    __slots__ = ("accept_language", "expiring", "reading", "verdicts")

    def __init__(self, reading: Reading, accept_language: str, expiring: str) -> None:
        self.reading = reading
        self.accept_language = accept_language
        self.expiring = expiring
        self.verdicts: Verdicts | None = None


class _Seen(msgspec.Struct):
    user_agent: str = ""
    signals: str = ""


@lru_cache(maxsize=REMEMBERED)
def evidence(
    method: bytes, headers: tuple[tuple[bytes, bytes], ...], is_https: bool, is_order_kept: bool, is_self_referred: bool
) -> Evidence:
    """Return what the rules find in a request's headers, and what is kept of them, in the order and case they came in.

    `headers` must hold nothing personal: `kept_headers` takes it out.
    """
    pairs: list[tuple[str, str]] = []
    fields: dict[str, str] = {}
    for name, sent in headers:
        written, folded, _ = _NAMES[name]
        value = sent.decode("latin-1")
        pairs.append((written, value))
        fields[folded] = value
    if len(fields) < len(pairs):
        fields = read_fields(pairs)
    verb = method.decode("latin-1")
    reading = read(
        pairs,
        fields=fields,
        method=verb,
        is_https=is_https,
        is_order_kept=is_order_kept,
        is_self_referred=is_self_referred,
    )
    if len(fields) < len(pairs):  # of what is sent twice, the first is kept
        fields = {name.lower(): value for name, value in reversed(pairs)}
    said: dict[str, object] = {"method": verb, "transport": "https" if is_https else "http", "headers": pairs}
    if not is_order_kept:
        said["is_order_kept"] = False
    signals = _encode(said).decode()
    seen = _Seen(fields.get("user-agent", "")[:MAX_USER_AGENT], signals if len(signals) <= MAX_SIGNALS else "")
    return Evidence(reading, fields.get("accept-language", "")[:MAX_LANGUAGES], _encode(seen).decode()[1:-1])


def kept_headers(headers: list[tuple[bytes, bytes]]) -> tuple[tuple[bytes, bytes], ...]:
    """Return the headers as they may be kept: all names in their order, and the values of those that rules read."""
    return tuple([pair if _NAMES[pair[0]][2] else (pair[0], b"") for pair in headers])


class _Names(dict[bytes, tuple[str, str, bool]]):
    """Headers' names by how somebody wrote them, of which a few hundred ways occur: text, lower case, whether kept."""

    def __missing__(self, name: bytes) -> tuple[str, str, bool]:
        if len(self) >= _MAX_NAMES:
            self.clear()
        written, lower = name.decode("latin-1"), name.lower()
        is_kept = lower in KEPT_VALUES or lower.startswith(b"sec-")
        known = self[name] = (written, intern(written.lower()), is_kept)
        return known


_NAMES = _Names()


class Head:
    """A header block as a click needs it.

    `leaf` and `expiring` are its share of the event beside the verdict, as members of JSON objects: `leaf` ends with a
    comma or is empty. `forwarded` is the X-Forwarded-For header.
    """

    __slots__ = ("evidence", "expiring", "forwarded", "host", "is_opted_out", "leaf", "user_agent")

    def __init__(self, request: Request) -> None:
        fields = request.fields
        referrer = fields.get(b"referer")
        self.host = fields.get(b"host", b"")
        is_self_referred = referrer is not None and _names_a_link(referrer, self.host)
        kept = kept_headers(request.headers)
        is_order_kept = not request.connection.is_proxied and b"x-forwarded-for" not in fields
        self.evidence = evidence(b"GET", kept, request.is_https, is_order_kept, is_self_referred)
        self.user_agent = fields.get(b"user-agent", b"")
        self.forwarded = request.forwarded
        self.is_opted_out = fields.get(b"sec-gpc") == b"1"
        self.leaf = ""
        self.expiring = self.evidence.expiring
        if referrer:
            self.leaf = f'"referrer_host":{_encode(referrer_host(referrer)).decode()},'
            if not self.is_opted_out:
                self.expiring += f',"referrer":{_encode(referrer[:2_000].decode("latin-1")).decode()}'


def _names_a_link(referrer: bytes, host: bytes) -> bool:
    """Whether a referrer is a tracked link on the host that was asked, whose answers are redirects and no pages."""
    address = referrer.partition(b"://")[2]
    return bool(host) and address.lower().startswith(host.lower() + b"/c/")


class Heads:
    """The header blocks that clicks brought, and what they say.

    A block is known by all its bytes but the value of X-Forwarded-For, which a proxy writes and which is another for
    every visitor. Only what the parser took for the whole of a GET for a link gets in: the same bytes would be read the
    same way again.
    """

    def __init__(self) -> None:
        self.known: dict[bytes, Head] = {}
        self.find = partial(find_head, self.known)

    def learn(self, data: bytes, request: Request) -> None:
        """Remember the header block of what was read as one request, when it was for a link and others may share it."""
        line = _LINK_LINE.match(data)
        head = request.head
        if line is None or head is None or not request.keeps_alive or not _NEVER_SHARED.isdisjoint(request.fields):
            return
        block = data[line.end() :]
        if len(block) > MAX_BLOCK or block.find(b"\r\n\r\n") != len(block) - 4:
            return
        if block.lower().count(b"\r\nx-forwarded-for:") > 1:
            return
        if len(self.known) >= REMEMBERED:
            self.known.clear()
        self.known[_without_addresses(block)[0]] = head


_LINK_LINE = re.compile(rb"GET (/c/[\w\-.~!$&'()*+,;=:@/?%]+) HTTP/1\.1(?=\r\n)", re.ASCII)
_ADDRESSES = re.compile(rb"[0-9a-fA-F.:, ]+")
_NEVER_SHARED = frozenset((b"content-length", b"transfer-encoding", b"upgrade", b"expect", b"cookie"))


def _without_addresses(block: bytes) -> tuple[bytes, bytes]:
    """Return a block with a NUL, which no header holds, for the value of X-Forwarded-For, and that value."""
    at = block.find(b"\r\nX-Forwarded-For: ")
    if at < 0:
        at = block.find(b"\r\nx-forwarded-for: ")
        if at < 0:
            return block, b""
    start = at + 19
    end = block.find(b"\r\n", start)
    if end < 0 or _ADDRESSES.fullmatch(block, start, end) is None:
        return block, b""
    return b"%b\0%b" % (block[:start], block[end:]), block[start:end]


@compiled
def find_head(known: dict[bytes, Head], message: bytes) -> tuple[bytes, Head, bytes] | None:
    """Return target, head and X-Forwarded-For of a request for a link that brings a known block, else None."""
    line = _LINK_LINE.match(message)
    if line is None or b"\0" in message:
        return None
    block, forwarded = _without_addresses(message[line.end() :])
    head = known.get(block)
    return None if head is None else (line[1], head, forwarded or head.forwarded)
