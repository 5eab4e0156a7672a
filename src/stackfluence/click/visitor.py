"""What is kept of who clicked: as little as the rules need, never a full address, never a fingerprint."""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Mapping, Sequence
from functools import lru_cache
from urllib.parse import parse_qsl, urlsplit

import msgspec

from stackfluence.clock import rfc3339

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Networks = tuple[Network, ...]

MIDNIGHT_MS = 30 * 60_000  # a session lasts over midnight for its idle time: both days' hashes are kept that long
DAY_MS = 86_400_000
MAX_SIGNALS = 8_000  # bytes of header evidence that are kept for scoring again
UNKEPT_HEADERS = frozenset(
    (b"cookie", b"authorization", b"proxy-authorization", b"x-forwarded-for", b"forwarded", b"x-real-ip", b"via")
)
_encode = msgspec.json.Encoder().encode
AD_CLICK_IDS = {  # query parameter → network that put it there
    "gclid": "google", "gbraid": "google", "wbraid": "google", "dclid": "google", "fbclid": "meta", "ttclid": "tiktok",
    "msclkid": "microsoft", "twclid": "x", "li_fat_id": "linkedin", "ScCid": "snapchat", "epik": "pinterest",
    "rdt_cid": "reddit", "irclickid": "impact", "dub_id": "dub", "awc": "awin", "cjevent": "cj",
}  # fmt: skip
CAMPAIGN_PARAMETERS = frozenset(
    ("utm_source", "utm_medium", "utm_campaign", "utm_content", "utm_term", "utm_id", "ref", "via")
)


def client_address(peer: str, forwarded: bytes, proxies: Networks) -> str:
    """Return the visitor's address: the peer, or the nearest X-Forwarded-For entry that is no trusted proxy."""
    if not forwarded or not _is_within(peer, proxies):
        return peer
    for part in reversed(forwarded.decode("latin-1").split(",")):
        address = part.strip().strip("[]")
        try:
            ipaddress.ip_address(address)
        except ValueError:
            return peer  # a proxy of ours would not write this
        peer = address
        if not _is_within(address, proxies):
            return address
    return peer


@lru_cache(maxsize=10_000)
def _is_within(address: str, networks: Networks) -> bool:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    return any(parsed in network for network in networks)


@lru_cache(maxsize=50_000)
def ip_prefix(address: str) -> str:
    """Return the address without its host: /24 of IPv4, /48 of IPv6; empty when it is none."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return ""
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped:
        parsed = parsed.ipv4_mapped
    return str(ipaddress.ip_network(f"{parsed}/{24 if parsed.version == 4 else 48}", strict=False))


def visitor_hash(salt: bytes, organization_id: bytes, address: str, user_agent: bytes) -> str:
    """Return 128 bits that are the same for one visitor of one organization on one day, and mean nothing after it."""
    digest = hashlib.blake2b(organization_id, key=salt, digest_size=16)
    digest.update(b"\0%b\0%b" % (address.encode(), user_agent))
    return digest.hexdigest()


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
    salts: Mapping[str, bytes], now_ms: int, organization_id: bytes, address: str, user_agent: bytes
) -> tuple[str, str]:
    """Return the visitor's hash of the day, and in the half hour after midnight that of the day before, else empty.

    Both are empty when the edge has no salt for the day, after two days without a catalog.
    """
    salt = salts.get(rfc3339(now_ms)[:10])
    today = visitor_hash(salt, organization_id, address, user_agent) if salt else ""
    if now_ms % DAY_MS >= MIDNIGHT_MS:
        return today, ""
    salt = salts.get(rfc3339(now_ms - DAY_MS)[:10])
    return today, visitor_hash(salt, organization_id, address, user_agent) if salt else ""


def signals(method: bytes, headers: Sequence[tuple[bytes, bytes]], is_https: bool) -> str:
    """Return what a request said of itself, as JSON in the shape that scoring reads; no cookie, no credential, no address."""
    kept = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in headers if name.lower() not in UNKEPT_HEADERS]
    text = _encode({"method": method.decode(), "transport": "https" if is_https else "http", "headers": kept}).decode()
    return text if len(text) <= MAX_SIGNALS else ""


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
