"""What is kept of who clicked: as little as the rules need, never a full address, never a fingerprint."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from functools import lru_cache
from hashlib import sha256
from socket import AF_INET, AF_INET6, inet_ntop, inet_pton
from urllib.parse import parse_qsl, urlsplit

from stackfluence.native import compiled

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Networks = tuple[Network, ...]

_MAPPED = bytes(10) + b"\xff\xff"  # IPv4 in IPv6, RFC 4291, section 2.5.5.2
MIDNIGHT_MS = 30 * 60_000  # a session lasts over midnight for its idle time: both days' hashes are kept that long
DAY_MS = 86_400_000
AD_CLICK_IDS = {  # query parameter → network that put it there
    "gclid": "google", "gbraid": "google", "wbraid": "google", "dclid": "google", "fbclid": "meta", "ttclid": "tiktok",
    "msclkid": "microsoft", "twclid": "x", "li_fat_id": "linkedin", "ScCid": "snapchat", "epik": "pinterest",
    "rdt_cid": "reddit", "irclickid": "impact", "dub_id": "dub", "awc": "awin", "cjevent": "cj",
}  # fmt: skip
CAMPAIGN_PARAMETERS = frozenset(
    ("utm_source", "utm_medium", "utm_campaign", "utm_content", "utm_term", "utm_id", "ref", "via")
)
LANDING = {  # every parameter that is kept → its network, empty for a campaign's
    name.encode(): AD_CLICK_IDS.get(name, "").encode() for name in (*CAMPAIGN_PARAMETERS, *AD_CLICK_IDS)
}


class Proxies:
    """The proxies that are trusted to say whom they bring; false when there are none."""

    __slots__ = ("_ranges",)

    def __init__(self, networks: Networks = ()) -> None:
        # addresses of one length compare as bytes as they do as numbers
        self._ranges = [(network[0].packed, network[-1].packed) for network in networks]

    def __bool__(self) -> bool:
        return bool(self._ranges)

    def has(self, address: str) -> bool:
        """Whether an address is one of them."""
        raw, size = packed(address), 16 if ":" in address else 4
        return any(len(first) == size and first <= raw <= last for first, last in self._ranges)

    def client_address(self, peer: str, forwarded: bytes) -> str:
        """Return the visitor's address: the peer, or the nearest X-Forwarded-For entry that is no trusted proxy."""
        if not forwarded or not self.has(peer):
            return peer
        for part in reversed(forwarded.decode("latin-1").split(",")):
            address = plain_address(part.strip())
            if not address:
                return peer  # a proxy of ours would not write this
            peer = address
            if not self.has(address):
                return address
        return peer

    def visitor_behind(self, peer: str, forwarded: bytes) -> tuple[str, str] | None:
        """Return address and prefix of who came from `peer` with an X-Forwarded-For header.

        None when that is a proxy on this machine or network that isn't trusted: behind it, all have its address.
        """
        if not self.has(peer) and is_nearby(peer):
            return None
        address = self.client_address(peer, forwarded)
        return address, ip_prefix(address)


def packed(address: str) -> bytes:
    """Return an address as 4 or 16 bytes, empty when it is none. What a link-local one says of its link is left out."""
    try:
        if ":" in address:
            return inet_pton(AF_INET6, address.partition("%")[0])
        return inet_pton(AF_INET, address)
    except (OSError, ValueError):
        return b""


def plain_address(text: str) -> str:
    """Return an address without port, brackets or the prefix of IPv4 in IPv6; empty when it is none."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    raw = packed(text)
    if len(raw) == 4:
        return text  # has one spelling
    if raw and any(raw[:10]) and "%" not in text:
        return inet_ntop(AF_INET6, raw)  # RFC 5952
    try:
        parsed = ipaddress.ip_address(text)
    except ValueError:
        return ""
    return str(getattr(parsed, "ipv4_mapped", None) or parsed)


@lru_cache(maxsize=10_000)
def is_nearby(address: str) -> bool:
    """Whether an address is of this machine or a private network (RFC 1918, RFC 4193): no visitor's on the internet."""
    try:
        return ipaddress.ip_address(address).is_private
    except ValueError:
        return False


def ip_prefix(address: str) -> str:
    """Return the address without its host: /24 of IPv4, /48 of IPv6; empty when it is none."""
    raw = packed(address)
    if len(raw) == 4:
        return address[: address.rindex(".")] + ".0/24"
    if raw[:12] == _MAPPED:
        return f"{raw[12]}.{raw[13]}.{raw[14]}.0/24"
    return inet_ntop(AF_INET6, raw[:6] + bytes(10)) + "/48" if raw else ""


@compiled
def visitor_hash(salt: bytes, organization_id: bytes, address: str, user_agent: bytes) -> str:
    """Return 128 bits that are the same for one visitor of one organization on one day, and mean nothing after it.

    SHA-256 of the day's salt (32 random bytes, destroyed later), organization, address and user agent; cut to half.
    """
    return sha256(b"%b%b\0%b\0%b" % (salt, organization_id, address.encode(), user_agent)).hexdigest()[:32]


def landing_parameters(query: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """Return what the leaf keeps of a query, and the networks' click IDs, which are personal.

    The leaf gets campaign parameters (at most 100 characters, nothing that looks like an address of a person) and, as
    `network:<name>` = "1", which networks' click IDs were there.
    """
    kept: dict[str, str] = {}
    identifiers: dict[str, str] = {}
    for name, value in query.items():
        if name in CAMPAIGN_PARAMETERS:
            kept[name] = "" if "@" in value else value[:100]
        elif name in AD_CLICK_IDS:
            kept[f"network:{AD_CLICK_IDS[name]}"] = "1"
            identifiers[name] = value[:300]
    return kept, identifiers


def visitor_hashes(
    salts: Mapping[int, bytes], now_ms: int, organization_id: bytes, address: str, user_agent: bytes
) -> tuple[str, str]:
    """Return the visitor's hash of the day, and in the half hour after midnight that of the day before, else empty.

    `salts` are by day since 1970. Both hashes are empty without a salt, after two days without a catalog.
    """
    day, since_midnight = divmod(now_ms, DAY_MS)
    salt = salts.get(day)
    today = visitor_hash(salt, organization_id, address, user_agent) if salt else ""
    if since_midnight >= MIDNIGHT_MS or day - 1 not in salts:
        return today, ""
    return today, visitor_hash(salts[day - 1], organization_id, address, user_agent)


def read_query(query: bytes) -> dict[str, str]:
    """Return a query's parameters, the first hundred, the last of equal names."""
    pairs = query.decode("latin-1").split("&", 100)[:100]
    return dict(parse_qsl("&".join(pairs), keep_blank_values=True, errors="replace"))


def referrer_host(referrer: bytes) -> str:
    """Return the host a visitor came from, lower case, empty when the header names none."""
    try:
        return (urlsplit(referrer[:2_000].decode("latin-1")).hostname or "")[:253]
    except ValueError:
        return ""
