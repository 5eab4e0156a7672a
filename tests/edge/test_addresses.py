"""Addresses of visitors: read in one spelling, cut to their prefix, and believed from trusted proxies alone."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stackfluence.click.visitor import Proxies, ip_prefix, packed, plain_address

PROXIES = Proxies(tuple(ipaddress.ip_network(text) for text in ("10.0.0.0/8", "192.0.2.7/32", "2001:db8:ff::/48")))
NETWORKS = ("10.0.0.0/8", "192.0.2.7/32", "2001:db8:ff::/48")
numbers = st.one_of(
    st.integers(0, 2**32 - 1).map(ipaddress.IPv4Address),
    st.integers(0, 2**128 - 1).map(ipaddress.IPv6Address),
    st.lists(st.sampled_from([0, 0, 1, 0xFFFF, 0x2001]), min_size=8, max_size=8).map(
        lambda groups: ipaddress.IPv6Address(b"".join(group.to_bytes(2, "big") for group in groups))
    ),
)
written = st.one_of(
    numbers.map(str),
    numbers.map(lambda number: number.exploded.upper()),
    st.from_regex(r"\A[0-9a-fA-F:.%]{0,20}\Z"),
    st.from_regex(r"\A[0-9]{1,4}(\.[0-9]{1,4}){3}\Z"),
    st.sampled_from(
        ["::ffff:203.0.113.5", "64:ff9b::192.0.2.1", "1:2:3:4:5:6:7::", "::1.2.3.4", "fe80::1%eth0", "\0", "ä"]
    ),
)


def parsed(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Return what the standard library makes of an address, IPv4 in IPv6 as IPv4."""
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        return None
    return getattr(found, "ipv4_mapped", None) or found


@given(written)
def test_an_address_is_what_the_standard_library_reads(text: str) -> None:
    if text.count(":") == 1 or text.startswith("["):
        return
    found = parsed(text)
    assert plain_address(text) == ("" if found is None else str(found))


@given(numbers)
def test_a_prefix_is_the_network_of_the_address(number: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    found = parsed(str(number))
    assert found is not None
    network = ipaddress.ip_network(f"{found}/{24 if found.version == 4 else 48}", strict=False)
    assert ip_prefix(plain_address(str(number))) == str(network)
    assert ip_prefix(number.exploded) == str(network)


@pytest.mark.parametrize(("text", "prefix"), [("", ""), ("unix", ""), ("1.2.3", ""), ("fe80::1%eth0", "fe80::/48")])
def test_what_is_no_address_has_no_prefix(text: str, prefix: str) -> None:
    assert ip_prefix(text) == prefix


@given(numbers)
def test_proxies_are_those_of_the_networks_that_are_trusted(
    number: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    trusted = any(number in ipaddress.ip_network(text) for text in NETWORKS)
    assert PROXIES.has(str(number)) is trusted
    assert not Proxies().has(str(number))


@pytest.mark.parametrize(
    ("address", "is_trusted"),
    [
        ("10.0.0.0", True), ("10.255.255.255", True), ("11.0.0.0", False), ("9.255.255.255", False),
        ("192.0.2.7", True), ("192.0.2.8", False), ("2001:db8:ff::", True),
        ("2001:db8:ff:ffff:ffff:ffff:ffff:ffff", True), ("", False),
        ("2001:db8:fe:ffff::", False), ("a0a:a0a::", False), ("10.1", False),
    ],
)  # fmt: skip
def test_the_edges_of_a_trusted_network(address: str, is_trusted: bool) -> None:
    assert PROXIES.has(address) is is_trusted


@pytest.mark.parametrize(
    ("peer", "forwarded", "visitor"),
    [
        ("10.0.0.1", b"203.0.113.9", "203.0.113.9"),
        ("10.0.0.1", b"198.51.100.1, 203.0.113.9, 10.2.2.2", "203.0.113.9"),
        ("10.0.0.1", b"203.0.113.9:4711", "203.0.113.9"),
        ("10.0.0.1", b"[2001:db8::9]:443", "2001:db8::9"),
        ("10.0.0.1", b"odd, 10.9.9.9", "10.9.9.9"),
        ("10.0.0.1", b"10.3.3.3", "10.3.3.3"),
        ("10.0.0.1", b"", "10.0.0.1"),
        ("11.0.0.1", b"198.51.100.1", "11.0.0.1"),
    ],
)
def test_only_trusted_proxies_say_whom_they_bring(peer: str, forwarded: bytes, visitor: str) -> None:
    assert PROXIES.client_address(peer, forwarded) == visitor
    assert PROXIES.visitor_behind(peer, forwarded) == (visitor, ip_prefix(visitor))


def test_behind_a_proxy_nearby_that_is_not_trusted_nobody_has_an_address() -> None:
    assert PROXIES.visitor_behind("192.168.1.1", b"203.0.113.9") is None


def test_an_address_has_four_or_sixteen_bytes() -> None:
    assert packed("192.0.2.1") == bytes([192, 0, 2, 1])
    assert len(packed("2001:db8::1")) == 16
    assert packed("192.0.2.1%eth0") == packed("nobody") == b""
