"""Where a link leads: the destination with its own query and fragment kept, what the visitor brought passed through.

Nothing a visitor sends can change the destination's host, path or own parameters: incoming parameters are compared
with the destination's as the most lenient servers would read them, and the ones that collide are dropped.
"""

from __future__ import annotations

import re
from functools import lru_cache
from struct import Struct
from urllib.parse import quote, quote_plus, unquote_to_bytes, urlsplit

import msgspec

from stackfluence.click.click_id import TEST, Mint, PreparedKey, mint
from stackfluence.names import ascii_host
from stackfluence.native import compiled
from stackfluence.snapshot import Link

PARAMETER = b"inf_click_id"
MACROS = ("creator", "campaign", "asset", "platform", "link_id")
MAX_PASSED = 2_000  # bytes of incoming query that are passed on; longer addresses fail in shops and proxies
MAX_PAGE = 500  # characters of a page, as of those that pages tell
FOREVER_MS = 1 << 62  # milliseconds: no end
_URL_CHARACTERS = "!#$%&'()*+,/:;=?@[]~"  # RFC 3986 reserved, and % so that what is encoded stays as it is
_encode = msgspec.json.Encoder().encode
_PLAIN = re.compile(r"[!-~]+")  # printable ASCII: nothing that could end a header line
# What is encoded in a parameter that is passed on: `;` too, since old servers read it as `&`.
_UNSAFE = re.compile(rb"[^!$%&'()*+,/:=?@~\w.\-]|%(?![0-9A-Fa-f]{2})", re.ASCII)
_TEXTS = Struct("=2s12s2x3I")
_BLANKS = bytes.maketrans(b". \t\n\v\f\r", b"_______")


class _LinkShare(msgspec.Struct, omit_defaults=True):
    """What a link contributes to the leaf of its clicks."""

    link_id: str
    creator_id: str
    campaign_id: str
    asset_slug: str = ""
    is_test: bool = False
    page_path: str = ""


class Destination:
    """A link made ready to redirect to: everything about its address that doesn't depend on the visitor."""

    __slots__ = (
        "_bare",
        "click_id_key",
        "closes_ms",
        "fallback",
        "flags",
        "is_stale",
        "link",
        "link_id",
        "opens_ms",
        "organization",
        "own_names",
        "texts",
    )

    def __init__(self, link: Link, minting: Mint) -> None:
        self.link = link
        self.link_id = link.id.encode()
        self.is_stale = False  # the snapshot has a newer one
        self.flags = TEST if link.is_test else 0
        self.organization = _organization(link.organization_id)
        self.fallback = to_ascii(link.fallback_url).encode() if link.fallback_url else b""
        destination = to_ascii(fill_macros(link))
        page = page_of(destination)
        share = _LinkShare(link.id, link.creator_id, link.campaign_id, link.asset_slug, link.is_test, page)
        address, hash_sign, fragment = destination.encode().partition(b"#")
        query = address.partition(b"?")[2]
        self._bare = address
        self.own_names = frozenset(lenient_name(pair) for pair in query.split(b"&") if pair) | {PARAMETER}
        if b"?" not in address:
            address += b"?"
        elif query and not query.endswith(b"&"):
            address += b"&"
        self.click_id_key, head, middle = minting.args
        self.texts = pack_texts(head, middle, _encode(share)[1:-1], address, hash_sign + fragment)
        ends = [end for end in (link.expires_at_ms, link.ends_at_ms) if end is not None]
        self.opens_ms = link.starts_at_ms or 0
        self.closes_ms = min(ends, default=FOREVER_MS) if link.status == "active" else 0

    def is_open(self, at_ms: int) -> bool:
        """Whether the link redirects at a time: active, inside its own and its campaign's dates."""
        return self.opens_ms <= at_ms < self.closes_ms

    @property
    def leaf(self) -> str:
        """What the link contributes to the leaf of its clicks, as members of a JSON object."""
        return read_texts(self.texts)[2].decode()

    def address(self, query: bytes, signed_click_id: bytes) -> bytes:
        """Return the Location for a request's raw query and a click ID; empty: without one, as HEAD gets it."""
        passed = self.passed(query) if query else b""
        before, behind = read_texts(self.texts)[3:]
        if signed_click_id:
            return b"%b%b%b=%b%b" % (before, passed, PARAMETER, signed_click_id, behind)
        return (before + passed[:-1] if passed else self._bare) + behind

    def passed(self, query: bytes) -> bytes:
        """Return what of a request's raw query goes into the address, with an ampersand at its end, or nothing."""
        if len(query) > MAX_PASSED:
            query = query[:MAX_PASSED].rpartition(b"&")[0]  # half a network's click ID is none
        kept = [pair for pair in query.split(b"&") if pair and lenient_name(pair) not in self.own_names]
        return _UNSAFE.sub(_percent, b"&".join(kept)) + b"&" if kept else b""


@lru_cache(maxsize=10_000)
def _organization(organization_id: str) -> bytes:
    """Return an id as bytes, one object for all links of an organization: what a click reads is to stay in caches."""
    return organization_id.encode()


def pack_texts(head: bytes, middle: bytes, leaf: bytes, before: bytes, behind: bytes) -> bytes:
    """Return all that a click reads of a link in one piece: memory is read in lines, and of a link all are far away.

    `head` and `middle` are of the click ID, `before` and `behind` the address on either side of the parameters that are
    added to it.
    """
    return _TEXTS.pack(head, middle, len(leaf), len(before), len(behind)) + leaf + before + behind


def read_texts(texts: bytes) -> tuple[bytes, bytes, bytes, bytes, bytes]:
    """Return what was packed."""
    head, middle, *sizes = _TEXTS.unpack_from(texts)
    start, parts = _TEXTS.size, []
    for size in sizes:
        parts.append(texts[start : start + size])
        start += size
    leaf, before, behind = parts
    return head, middle, leaf, before, behind


@compiled
def answer_found(texts: bytes, key: PreparedKey, found: bytes, passed: bytes, event: bytes, flags: int) -> bytes:
    """Return the answer to a click: `found` and the address, with what is passed on and an ID as `mint` gives it."""
    head, middle, _, before, behind = read_texts(texts)
    signed = mint(key, head, middle, event, flags)
    return b"%b%b%b%b=%b%b\r\n\r\n" % (found, before, passed, PARAMETER, signed, behind)


def fill_macros(link: Link) -> str:
    """Return the destination with the MACROS in its query, `{creator}` and so on, replaced by the link's values."""
    address, mark, query = link.destination_url.partition("?")
    if "{" not in query:
        return link.destination_url
    values = (link.creator_handle, link.campaign_slug, link.asset_slug, link.platform, link.id)
    for name, value in zip(MACROS, values, strict=True):
        if f"{{{name}}}" in query:
            query = query.replace(f"{{{name}}}", quote_plus(value))
    return address + mark + query


def lenient_name(pair: bytes) -> bytes:
    """Return a parameter's name as the most lenient reader sees it.

    PHP reads `a.b`, `a b` and `a[b` as `a_b`, `a[b]` as `a`, ignores leading blanks and takes the last of two; others
    ignore case. Two names that any of them could confuse come out equal here.
    """
    name = pair.partition(b"=")[0]
    if b"%" in name or b"+" in name:
        name = unquote_to_bytes(name.replace(b"+", b" "))
    name = name.partition(b"\0")[0]
    bracket = name.find(b"[")
    if bracket >= 0:
        name = name[:bracket] if b"]" in name[bracket:] else name.replace(b"[", b"_")
    if not name.isascii():
        name = name.decode("utf-8", "replace").casefold().encode()
    return name.lower().translate(_BLANKS).strip(b"_")


def page_of(url: str) -> str:
    """Return the page that an address names, as `//host/path` (RFC 3986, 4.2): what clicks have in common.

    Queries and a slash at the end make no other page; what is longer than 500 characters is cut off.
    """
    parts = urlsplit(url)
    return f"//{parts.hostname or ''}{parts.path.rstrip('/')}"[:MAX_PAGE]


def to_ascii(url: str) -> str:
    """Return an address as it may stand in a header: host in IDNA, everything else percent-encoded where it must be.

    Raises ValueError for what is no http or https address.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("https", "http") or not parts.netloc:
        raise ValueError("a destination is http or https")
    if _PLAIN.fullmatch(url):
        return url
    rest = url.split("://", 1)[1][len(parts.netloc) :]
    return f"{parts.scheme}://{_ascii_host(parts.netloc)}{quote(rest, safe=_URL_CHARACTERS)}"


def _ascii_host(netloc: str) -> str:
    host, colon, port = netloc.partition(":")
    return ascii_host(host) + colon + port


def _percent(match: re.Match[bytes]) -> bytes:
    return b"".join(b"%%%02X" % byte for byte in match.group())
