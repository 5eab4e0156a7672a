"""Header blocks that are known: what they say must be what the parser would have said."""

from __future__ import annotations

import asyncio
import ipaddress
from pathlib import Path
from typing import Any

import msgspec
import pytest

from stackfluence.click import head as head_module
from stackfluence.click.head import MAX_HEAD
from tests.edge.edges import Client, Event, RunningEdge, a_link, start_edge

BROWSER = (
    b"Host: go.brand.example\r\nConnection: keep-alive\r\nUser-Agent: Mozilla/5.0 (iPhone)\r\n"
    b"Accept-Language: de-DE\r\nReferer: https://social.example/p/1\r\n"
)
PROXIES = (ipaddress.ip_network("127.0.0.0/8"),)


async def click(client: Client, block: bytes, target: bytes = b"/c/emma/summer") -> int:
    """Click with exactly these header lines and return the status."""
    client.send(b"GET %b HTTP/1.1\r\n%b\r\n" % (target, block))
    return (await client.response()).status


def known(running: RunningEdge) -> list[bytes]:
    """Return the blocks that are known."""
    return [block for heads in running.server.heads for block in heads.known]


def said(event: Event) -> dict[str, Any]:
    """Return an event's fields, without those that differ between any two clicks."""
    assert event.expiring is not None
    fields = msgspec.structs.asdict(event.leaf) | msgspec.structs.asdict(event.expiring)
    for name in ("event_id", "click_id", "seq", "occurred_at", "received_at", "personal_commitment", "salt"):
        del fields[name]
    fields["bot_reasons"] = [reason for reason in fields["bot_reasons"] if reason != "possible_duplicate"]  # the pace's
    return fields


@pytest.mark.parametrize(
    "block",
    [
        BROWSER,
        b"host: h\r\n",
        BROWSER + b"Sec-GPC: 1\r\n",
        BROWSER + b'X-Odd: \xe9"\\\r\nx-odd: 2\r\n',
        BROWSER + b"X-Forwarded-For: 198.51.100.7\r\nX-Forwarded-Proto: https\r\n",
        b"Host: go.brand.example\r\nReferer: \r\n",
    ],
)
@pytest.mark.parametrize("proxies", [(), PROXIES])
async def test_a_known_block_says_what_it_said_the_first_time(tmp_path: Path, block: bytes, proxies: Any) -> None:
    async with start_edge(tmp_path, [a_link()], proxies=proxies) as running:
        client = await running.connect()
        assert [await click(client, block) for _ in range(3)] == [302] * 3
        assert len(known(running)) == 1
        first, *others = running.events()
        assert [said(event) for event in others] == [said(first)] * 2


async def test_visitors_behind_a_proxy_share_a_block_and_keep_their_addresses(tmp_path: Path) -> None:
    async with start_edge(tmp_path, [a_link()], proxies=PROXIES) as running:
        client = await running.connect()
        addresses = [b"203.0.113.9", b"198.51.100.7", b"2001:db8:1::5", b"192.0.2.1, 198.51.100.8"]
        for address in addresses:
            assert await click(client, BROWSER + b"X-Forwarded-For: %b\r\n" % address) == 302
        assert len(known(running)) == 1
        prefixes = [event.expiring.ip_prefix for event in running.events() if event.expiring is not None]
        assert prefixes == ["203.0.113.0/24", "198.51.100.0/24", "2001:db8:1::/48", "198.51.100.0/24"]


@pytest.mark.parametrize(
    "odd",
    [
        b"X-Forwarded-For: \r\n",
        b"X-Forwarded-For:198.51.100.7\r\n",
        b"X-Forwarded-For: unknown\r\n",
        b"x-FORWARDED-for: 198.51.100.7\r\n",
        b"X-Forwarded-For: 198.51.100.7\r\nx-forwarded-for: 198.51.100.8\r\n",
        b"",
    ],
)
async def test_an_odd_forwarded_header_never_gets_another_visitors_address(tmp_path: Path, odd: bytes) -> None:
    async with start_edge(tmp_path, [a_link()], proxies=PROXIES) as running:
        client = await running.connect()
        await click(client, BROWSER + odd)
        await click(client, BROWSER + b"X-Forwarded-For: 203.0.113.9\r\n")
        await click(client, BROWSER + odd)
        before, _, after = running.events()
        assert said(before) == said(after)


async def test_what_visitors_claim_is_not_taken_for_what_proxies_say(tmp_path: Path) -> None:
    async with start_edge(tmp_path, [a_link()]) as running:
        client = await running.connect()
        for address in (b"203.0.113.9", b"198.51.100.7"):
            await click(client, BROWSER + b"X-Forwarded-For: %b\r\n" % address)
        prefixes = {event.expiring.ip_prefix for event in running.events() if event.expiring is not None}
        assert prefixes == {"127.0.0.0/24"}


@pytest.mark.parametrize(
    "extra", [b"Expect: 100-continue\r\n", b"Content-Length: 0\r\n", b"Accept: " + b"x" * 4_000 + b"\r\n"]
)
async def test_a_block_that_nobody_shares_is_not_remembered(running: RunningEdge, extra: bytes) -> None:
    client = await running.connect()
    assert await click(client, BROWSER + extra) == 302
    assert known(running) == []


@pytest.mark.parametrize("name", [b"Cookie", b"X-Amzn-Trace-Id", b"CF-Ray", b"traceparent", b"X-Real-IP"])
async def test_what_nobody_reads_does_not_keep_visitors_from_sharing_a_block(running: RunningEdge, name: bytes) -> None:
    client = await running.connect()
    for value in (b"1", b"", b"\xe9" * 5_000, b"a\tb"):
        assert await click(client, BROWSER + b"%b: %b\r\n" % (name, value)) == 302
    assert len(known(running)) == 1
    first, *others = running.events()
    assert [said(event) for event in others] == [said(first)] * 3


@pytest.mark.parametrize(
    "header",
    [
        b"Accept: text/html", b"user-AGENT: Other", b"Sec-Purpose: prefetch", b"Referer: https://go.brand.example/c/a/b",
        b"X-Forwarded-Proto: https", b"CF-Visitor: http", b"Priority: u=0", b"X-Requested-With: app",
    ],
)  # fmt: skip
async def test_what_is_read_makes_another_block(running: RunningEdge, header: bytes) -> None:
    client = await running.connect()
    for end in (b"", b"x", b"y"):
        assert await click(client, b"Host: go.brand.example\r\n%b%b\r\n" % (header, end)) == 302
    assert len(known(running)) == 3


@pytest.mark.parametrize("odd", [b"\0", b"\x01", b"\x7f", b"\n", b"\r", b"\r\n more"])
async def test_a_known_block_lets_no_odd_value_past_the_parser(running: RunningEdge, odd: bytes) -> None:
    unknown, client = await running.connect(), await running.connect()
    expected = await click(unknown, BROWSER + b"X-Other: a%bb\r\n" % odd)
    for _ in range(2):
        assert await click(client, BROWSER + b"X-Trace: ab\r\n") == 302
    assert await click(client, BROWSER + b"X-Trace: a%bb\r\n" % odd) == expected


async def test_only_a_whole_request_for_a_link_is_remembered(running: RunningEdge) -> None:
    client = await running.connect()
    for method, target in ((b"HEAD", b"/c/emma/summer"), (b"GET", b"/c/emma/winter"), (b"GET", b"/healthz")):
        client.send(b"%b %b HTTP/1.1\r\n%b\r\n" % (method, target, BROWSER))
        await client.response(of_head=method == b"HEAD")
    client.send(b"GET /c/emma/summer HTTP/1.1\r\n" + BROWSER[:30])
    await client.writer.drain()
    await asyncio.sleep(0.05)
    client.send(BROWSER[30:] + b"\r\n")
    await client.response()
    whole = b"GET /c/emma/summer HTTP/1.1\r\n%b\r\n" % BROWSER
    client.send(whole + whole)
    assert [(await client.response()).status for _ in range(2)] == [302, 302]
    assert known(running) == []


async def test_a_known_block_in_a_request_that_is_more_or_less_is_parsed(running: RunningEdge) -> None:
    client = await running.connect()
    assert await click(client, BROWSER) == 302
    whole = b"GET /c/emma/summer HTTP/1.1\r\n%b\r\n" % BROWSER
    client.send(whole + whole[:40])
    assert (await client.response()).status == 302
    client.send(whole[40:] + b"POST /c/emma/summer HTTP/1.1\r\nContent-Length: 0\r\n" + BROWSER + b"\r\n" + whole)
    assert [(await client.response()).status for _ in range(3)] == [302, 405, 302]
    assert await click(client, BROWSER, b"/c/emma/summer?" + b"a" * MAX_HEAD) == 431


@pytest.mark.parametrize(
    "target", [b"/c/emma/summer#top", b"/c/emma/\xc3\xa9", b"http://a/c/emma/summer", b"/c/emma/a\x00b"]
)
async def test_a_known_block_lets_no_odd_target_past_the_parser(running: RunningEdge, target: bytes) -> None:
    unknown, client = await running.connect(), await running.connect()
    expected = await click(unknown, BROWSER + b"X-Other: 1\r\n", target)
    assert await click(client, BROWSER) == 302
    assert await click(client, BROWSER, target) == expected


async def test_answers_stay_in_order_when_known_and_unknown_blocks_mix(running: RunningEdge) -> None:
    client = await running.connect()
    await click(client, BROWSER)
    for number in range(20):
        client.send(b"GET /c/emma/summer?n=%d HTTP/1.1\r\n%b%b\r\n" % (number, BROWSER, b"X-N: 1\r\n" * (number % 2)))
        await client.writer.drain()
    locations = [(await client.response())["location"] for _ in range(20)]
    assert [f"n={number}&" in location for number, location in enumerate(locations)] == [True] * 20


async def test_the_memory_of_blocks_is_bounded(running: RunningEdge, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(head_module, "REMEMBERED", 10)
    client = await running.connect()
    for number in range(25):
        assert await click(client, BROWSER + b"X-%d: 1\r\n" % number) == 302
        assert len(known(running)) <= 10


async def test_a_nul_for_an_address_is_refused_as_the_parser_does(tmp_path: Path) -> None:
    async with start_edge(tmp_path, [a_link()], proxies=PROXIES) as running:
        client = await running.connect()
        assert await click(client, BROWSER + b"X-Forwarded-For: 203.0.113.9\r\n") == 302
        assert await click(client, BROWSER + b"X-Forwarded-For: \0\r\n") == 400


@pytest.mark.parametrize(
    ("referrer", "is_link"),
    [
        (b"https://go.brand.example/c/emma/summer", True),
        (b"http://GO.brand.example/c/", True),
        (b"https://go.brand.example/about", False),
        (b"https://shop.brand.example/c/emma/summer", False),
        (b"https://go.brand.example.social.example/c/emma", False),
    ],
)
async def test_a_referrer_that_is_a_tracked_link_is_a_reason(tmp_path: Path, referrer: bytes, is_link: bool) -> None:
    async with start_edge(tmp_path, [a_link()]) as running:
        client = await running.connect()
        assert await click(client, b"Host: go.brand.example\r\nReferer: %b\r\n" % referrer) == 302
        [event] = running.events()
        assert ("self_referred" in event.leaf.bot_reasons) is is_link


async def test_nobody_is_fast_behind_a_proxy_nearby_that_is_not_trusted(tmp_path: Path) -> None:
    async with start_edge(tmp_path, [a_link()]) as running:
        client = await running.connect()
        for _ in range(2):
            assert await click(client, BROWSER + b"X-Forwarded-For: 198.51.100.7\r\n") == 302
        assert running.edge.hidden == 2
        assert all("possible_duplicate" not in event.leaf.bot_reasons for event in running.events())


@pytest.mark.parametrize(
    ("said_by_proxies", "is_https"),
    [
        (b"X-Forwarded-Proto: https\r\n", True),
        (b"X-Forwarded-Proto: https, https\r\n", True),
        (b"X-Forwarded-Proto: http\r\n", False),
        (b"X-Forwarded-Proto: https, http\r\n", False),
        (b'X-Forwarded-Proto: https\r\nCF-Visitor: {"scheme":"http"}\r\n', False),
        (b"X-Forwarded-Proto: https\r\nCloudFront-Forwarded-Proto: http\r\n", False),
        (b"", False),
    ],
)
async def test_a_visit_is_encrypted_when_all_proxies_say_so(
    tmp_path: Path, said_by_proxies: bytes, is_https: bool
) -> None:
    async with start_edge(tmp_path, [a_link()], proxies=PROXIES) as running:
        client = await running.connect()
        assert await click(client, BROWSER + said_by_proxies) == 302
        [event] = running.events()
        assert event.expiring is not None
        assert ('"transport":"https"' in event.expiring.signals) is is_https
