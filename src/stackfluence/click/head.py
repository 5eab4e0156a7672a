"""What a request's headers say, parsed, read by the rules and encoded once for all clicks that send the same ones.

Phones of one model and app send identical headers. `Heads` remembers whole header blocks, byte for byte, so that a
click that brings a known one is neither parsed nor judged again; `evidence` remembers header sets, for blocks that
differ in what is not kept of them.
"""

from __future__ import annotations

import re
from functools import lru_cache
from hashlib import sha256
from sys import intern
from typing import TYPE_CHECKING

import msgspec

from stackfluence.click.bot_score import Reading, read
from stackfluence.click.request import Request
from stackfluence.click.rules.arrival import names_a_link
from stackfluence.click.signals import read_fields
from stackfluence.click.visitor import referrer_host
from stackfluence.native import compiled

if TYPE_CHECKING:
    from stackfluence.click.judge import Verdicts
    from stackfluence.click.server import Connection

MAX_USER_AGENT = 1_000
MAX_LANGUAGES = 200  # characters of Accept-Language; browsers send up to about 100
MAX_SIGNALS = 8_000  # bytes of header evidence that are kept for scoring again
REMEMBERED = 5_000  # header sets, about 15 MB; 200 MB when somebody sends the largest ones that are read
MAX_HEAD = 16 << 10  # bytes of request line and headers; browsers send 1 to 4 KB
MAX_BLOCK = 4_000  # bytes of what a head is known by; so 60 MB when somebody sends the largest ones
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
        is_self_referred = referrer is not None and names_a_link(referrer, self.host)
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


class Post:
    """What all requests with one head say that bring an event or some; `forwarded` is the X-Forwarded-For header.

    `asked` is what the intake read in it; nothing that authorizes is among the `fields`.
    """

    __slots__ = ("asked", "fields", "forwarded", "route", "target")

    def __init__(self, request: Request) -> None:
        self.target = request.target
        self.fields = {name: value for name, value in request.fields.items() if name not in _NEVER_KEPT}
        self.forwarded = request.forwarded
        self.route = request.route
        self.asked = request.asked


class Heads:
    """The heads that clicks and events brought, and what they say.

    Each is known by what `known_by` makes of it; an event's by the hash of that, since keys are among it. Only what the
    parser took for the whole of a GET for a link, or of a POST, gets in: the same bytes would be read the same way
    again.
    """

    def __init__(self) -> None:
        self.known: dict[bytes, Head] = {}
        self.posts: dict[bytes, Post] = {}

    def find(self, connection: Connection, message: bytes) -> Request | None:
        """Return the request that a message is, when its head is known."""
        if (link := find_head(self.known, message)) is not None:
            request = Request(connection, link[0])
            _, request.head, request.forwarded = link
            request.route = connection.edge.route(b"GET", request.target)
            return request
        if (sent := find_post(self.posts, message)) is None:
            return None
        post, forwarded, body = sent
        request = Request(connection, post.target)
        request.method, request.fields, request.forwarded, request.body = b"POST", post.fields, forwarded, body
        request.route, request.asked = post.route, post.asked
        return request

    def learn(self, message: bytes, request: Request) -> None:
        """Remember the head of what was read as one request, when others may share it."""
        if not request.keeps_alive or not _NEVER_SHARED.isdisjoint(request.fields):
            return
        if request.asked is not None:
            found = _post_parts(message)
            if found is not None and len(found[0]) <= MAX_BLOCK:
                if len(self.posts) >= REMEMBERED:
                    self.posts.clear()
                self.posts[sha256(found[0]).digest()] = Post(request)
        elif request.head is not None:
            block = _link_parts(message)
            if block is not None and len(block[1]) <= MAX_BLOCK:
                if len(self.known) >= REMEMBERED:
                    self.known.clear()
                self.known[block[1]] = request.head


_LINK_LINE = re.compile(rb"GET (/c/[\w\-.~!$&'()*+,;=:@/?%]+) HTTP/1\.1\r\n", re.ASCII)
_ADDRESSES = re.compile(rb"[0-9a-fA-F.:, ]+")
_VALUE = re.compile(rb"[\t -~\x80-\xff]*")  # RFC 9110, section 5.5
_LENGTH = re.compile(rb"[0-9]{1,6}")
_NEVER_SHARED = frozenset((b"transfer-encoding", b"upgrade", b"expect"))
_NEVER_KEPT = frozenset((b"authorization", b"content-length", b"x-forwarded-for"))
# What is read of a request for a link, or of an event, and what tells the parser where a request ends
_READ_VALUES = KEPT_VALUES | {
    b"host", b"referer", b"x-forwarded-proto", b"cf-visitor", b"cloudfront-forwarded-proto",
    b"authorization", b"origin", b"content-type", b"content-encoding",
    b"transfer-encoding", b"proxy-connection", b"upgrade", b"expect",
}  # fmt: skip


def known_by(lines: bytes) -> tuple[bytes, bytes, int] | None:
    """Return what the lines of a head are known by, the X-Forwarded-For in them and their Content-Length, -1 for none.

    Known are all names, and the values that are read; in place of others, which proxies number each request with or
    which are a visitor's own, is a NUL. None for lines that are no head, or no usual one.
    """
    many = lines.count(b"\r\n")
    if b"\0" in lines or not lines.endswith(b"\r\n\r\n") or (lines.count(b"\r"), lines.count(b"\n")) != (many, many):
        return None
    kept, forwarded, length, has_forwarded = [], b"", -1, False
    for line in lines[:-4].split(b"\r\n"):
        name, colon, value = line.partition(b":")
        folded = name.lower()
        if not line or line[0] in b" \t":
            return None
        if not (colon and name) or folded in _READ_VALUES or folded.startswith(b"sec-"):
            kept.append(line)
            continue
        value = value.strip(b" \t")
        if folded == b"content-length":
            if length >= 0 or not _LENGTH.fullmatch(value):
                return None
            length = int(value)
        elif folded == b"x-forwarded-for":
            if has_forwarded:
                return None
            has_forwarded = True
            if not _ADDRESSES.fullmatch(value):
                kept.append(line)
                continue
            forwarded = value
        elif not _VALUE.fullmatch(value):
            kept.append(line)
            continue
        kept.append(name + b":\0")
    return b"\r\n".join(kept), forwarded, length


def _link_parts(message: bytes) -> tuple[bytes, bytes, bytes] | None:
    """Return the target of a GET for a link, what its head is known by, and its X-Forwarded-For."""
    line = _LINK_LINE.match(message)
    if line is None or len(message) > MAX_HEAD:
        return None
    found = known_by(message[line.end() :])
    return None if found is None or found[2] >= 0 else (line[1], found[0], found[1])


def _post_parts(message: bytes) -> tuple[bytes, bytes, bytes] | None:
    """Return what the head of a POST with a body is known by, its X-Forwarded-For, and its body."""
    start, end = message.find(b"\r\n") + 2, message.find(b"\r\n\r\n") + 4
    if not message.startswith(b"POST ") or start < 2 or end < 4 or b"\0" in message[:start] or len(message) > MAX_HEAD:
        return None
    found = known_by(message[start:end])
    return (
        None
        if found is None or found[2] != len(message) - end
        else (message[:start] + found[0], found[1], message[end:])
    )


@compiled
def find_head(known: dict[bytes, Head], message: bytes) -> tuple[bytes, Head, bytes] | None:
    """Return target, head and X-Forwarded-For of a request for a link whose head is known, else None."""
    parts = _link_parts(message)
    head = None if parts is None else known.get(parts[1])
    return None if parts is None or head is None else (parts[0], head, parts[2] or head.forwarded)


@compiled
def find_post(known: dict[bytes, Post], message: bytes) -> tuple[Post, bytes, bytes] | None:
    """Return what is known of a POST's head, its X-Forwarded-For and its body, else None."""
    parts = _post_parts(message)
    post = None if parts is None else known.get(sha256(parts[0]).digest())
    return None if parts is None or post is None else (post, parts[1] or post.forwarded, parts[2])
