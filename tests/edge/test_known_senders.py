"""Heads of events that are known by heart: read the same as the first time, and trusted no longer than their key."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Iterator
from typing import Any

import pytest

from stackfluence import snapshot
from stackfluence.click import head
from stackfluence.events.event import split_line
from stackfluence.snapshot import KEY, EdgeRow, Key
from tests.edge.compiled import Bench
from tests.edge.edges import ORGANIZATION, PUBLISHABLE_KEY, SECRET_KEY, SHOP_ORIGIN, a_link, a_snapshot, digest
from tests.edge.test_compiled import NOON_MS

SERVER = b"Authorization: Bearer %b\r\n" % SECRET_KEY.encode()
BROWSER = b"Authorization: Bearer %b\r\nOrigin: %b\r\nUser-Agent: Phone\r\n" % (
    PUBLISHABLE_KEY.encode(),
    SHOP_ORIGIN.encode(),
)
PROXIES = (ipaddress.ip_network("10.0.0.0/8"),)


@pytest.fixture
async def bench() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        yield Bench(a_snapshot([a_link()]), patch, NOON_MS, PROXIES)


def post(lines: bytes, body: dict[str, Any], name: bytes = b"session", *, length: int | None = None) -> bytes:
    """Return a request; `length` is what it states."""
    raw = json.dumps(body).encode()
    stated = len(raw) if length is None else length
    return b"POST /v1/events/%b HTTP/1.1\r\nHost: h\r\n%bContent-Length: %d\r\n\r\n%b" % (name, lines, stated, raw)


def statuses(sent: bytes) -> list[int]:
    """Return the status of each answer."""
    return [int(part[:3]) for part in sent.split(b"HTTP/1.1 ")[1:]]


def leaves(bench: Bench) -> Iterator[dict[str, Any]]:
    """Yield what is kept of each event."""
    for line in bench.lines:
        parts = split_line(line)
        assert parts is not None
        yield json.loads(parts.leaf)


def knows_it(bench: Bench, message: bytes, *, is_proxied: bool = False) -> bool:
    """Whether the head of a request is known."""
    return head.find_post(bench.server.heads[is_proxied].posts, message) is not None


async def test_the_same_head_brings_other_events(bench: Bench) -> None:
    connection, wire = bench.connect()
    bodies = [{"session_id": "s" * number} for number in (1, 5, 150)]
    for body in bodies:
        connection.data_received(post(SERVER, body))
    bench.settle()
    assert knows_it(bench, post(SERVER, {}))
    assert statuses(wire.sent) == [202] * 3
    assert [leaf["session_id"] for leaf in leaves(bench)] == [body["session_id"] for body in bodies]


@pytest.mark.parametrize(
    ("lines", "replaced", "status"),
    [
        (SERVER, Key("key_1", ORGANIZATION, "secret", [], True), 401),
        (SERVER, None, 401),
        (BROWSER, Key("key_2", ORGANIZATION, "publishable", ["https://other.example"], False), 403),
    ],
)
async def test_a_key_that_may_no_longer_send_is_noticed(
    bench: Bench, lines: bytes, replaced: Key | None, status: int
) -> None:
    connection, wire = bench.connect()
    for _ in range(2):
        connection.data_received(post(lines, {"session_id": "s"}))
    bench.settle()
    key = SECRET_KEY if lines is SERVER else PUBLISHABLE_KEY
    packed = None if replaced is None else snapshot.encode(replaced)
    bench.edge.snapshot.apply_one(EdgeRow(KEY, digest(key), packed))
    connection.data_received(post(lines, {"session_id": "s"}))
    assert statuses(wire.sent) == [202, 202, status]


async def test_a_known_sender_may_not_speak_for_another_organization(bench: Bench) -> None:
    connection, wire = bench.connect()
    for body in ({"session_id": "s"}, {"session_id": "s", "organization_id": "org_other"}):
        connection.data_received(post(SERVER, body))
    bench.settle()
    assert sorted(statuses(wire.sent)) == [202, 403]


async def test_each_visitor_behind_a_proxy_has_an_address_of_their_own(bench: Bench) -> None:
    connection, _ = bench.connect("10.0.0.1")
    for address in (b"203.0.113.9", b"2001:db8::7", b"198.51.100.8, 10.1.1.1"):
        connection.data_received(post(BROWSER + b"X-Forwarded-For: %b\r\n" % address, {"session_id": "s"}))
    bench.settle()
    assert knows_it(bench, post(BROWSER + b"X-Forwarded-For: 192.0.2.1\r\n", {}), is_proxied=True)
    kept = [json.loads(line.rstrip().split(b"\t")[3])["ip_prefix"] for line in bench.lines]
    assert kept == ["203.0.113.0/24", "2001:db8::/48", "198.51.100.0/24"]
    assert len({leaf["visitor_hash"] for leaf in leaves(bench)}) == 3


@pytest.mark.parametrize(
    "lines",
    [
        SERVER + b"Connection: close\r\n",
        SERVER + b"Expect: 100-continue\r\n",
        SERVER + b"X-Forwarded-For: 203.0.113.9\r\nX-Forwarded-For: 203.0.113.10\r\n",
        SERVER + b"Accept: %b\r\n" % (b"p" * head.MAX_BLOCK),
        b"Authorization: Bearer unknown\r\nContent-Encoding: gzip\r\n",
    ],
)
async def test_heads_that_mean_more_than_their_bytes_are_not_remembered(bench: Bench, lines: bytes) -> None:
    connection, wire = bench.connect()
    connection.data_received(post(lines, {"session_id": "s"}))
    bench.settle()
    assert wire.sent
    assert not bench.server.heads[False].posts


@pytest.mark.parametrize("cut", [10, 40, -5])
async def test_an_event_may_come_in_pieces_after_its_head_is_known(bench: Bench, cut: int) -> None:
    connection, wire = bench.connect()
    message = post(SERVER, {"session_id": "s"})
    for piece in (message, message[:cut], message[cut:], message + message):
        connection.data_received(piece)
    bench.settle()
    assert statuses(wire.sent) == [202] * 4


@pytest.mark.parametrize("length", [0, 5, 1_000_000, 99_999_999])
async def test_another_length_than_the_bodys_is_left_to_the_parser(bench: Bench, length: int) -> None:
    connection, _ = bench.connect()
    connection.data_received(post(SERVER, {"session_id": "s"}))
    assert not knows_it(bench, post(SERVER, {"session_id": "s"}, length=length))


async def test_no_key_is_kept_in_memory(bench: Bench) -> None:
    connection, _ = bench.connect()
    connection.data_received(post(SERVER, {"session_id": "s"}))
    [(name, known)] = bench.server.heads[False].posts.items()
    kept = repr((name, known.fields, known.target, [getattr(known.asked, slot) for slot in known.asked.__slots__]))
    assert SECRET_KEY not in kept


async def test_the_heads_remembered_are_bounded(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(head, "REMEMBERED", 8)
    connection, _ = bench.connect()
    for number in range(30):
        connection.data_received(post(SERVER + b"X-%d: 1\r\n" % number, {"session_id": "s"}))
        bench.settle()
        assert 0 < len(bench.server.heads[False].posts) <= 8
