"""Events are taken the same with compiled code and without it, whatever comes in."""

from __future__ import annotations

import asyncio
import ipaddress
import json
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stackfluence import native
from stackfluence.click.click_id import TEST, UNRECORDED, ClickIdKeys
from stackfluence.click.head import known_by
from stackfluence.clock import uuid7
from tests.edge.compiled import Bench, in_python, needs_compiled
from tests.edge.edges import (
    LINK,
    ORGANIZATION,
    OTHER_ORGANIZATION,
    PUBLISHABLE_KEY,
    SECRET_KEY,
    SECRETS,
    SHOP_ORIGIN,
    TTL_HOURS,
    a_link,
    a_snapshot,
)
from tests.edge.test_compiled import MIDNIGHT_MS, NOON_MS

PROXIES = (ipaddress.ip_network("10.0.0.0/8"),)
KEYS = ClickIdKeys(SECRETS, TTL_HOURS)


def click_id(organization_id: str = ORGANIZATION, at_ms: int = NOON_MS, flags: int = 0) -> str:
    """Return a signed click ID."""
    return KEYS.mint_for(organization_id, LINK)(uuid7(at_ms)[0], flags).decode()


GOOD = click_id()
click_ids = st.one_of(
    st.sampled_from(
        [
            GOOD, "", GOOD[:-1], GOOD + "A", GOOD[:30] + "_" + GOOD[31:], GOOD[:-1] + "B", "ä" * 63, "B" + GOOD[1:],
            click_id(OTHER_ORGANIZATION), click_id(at_ms=NOON_MS - 10**11), click_id(flags=TEST | UNRECORDED),
        ]
    ),
    st.text(max_size=70),
)  # fmt: skip
texts = st.one_of(st.text(alphabet=st.characters(blacklist_categories=["Cs"]), max_size=8), st.integers(0, 2**70))
events = st.fixed_dictionaries(
    {},
    optional={
        "inf_click_id": click_ids, "type": st.sampled_from(["session", "conversion", "click", ""]),
        "order_id": texts, "session_id": texts, "idempotency_key": texts, "customer_id": texts,
        "revenue_cents": st.integers(-1, 10**13), "currency": st.sampled_from(["", "usd", "ä"]),
        "consent": st.sampled_from(["denied", "granted", "odd"]), "page_url": st.text(max_size=9),
        "metadata": st.dictionaries(texts.map(str), texts, max_size=2), "odd": st.none(),
    },
)  # fmt: skip
lines = st.lists(
    st.one_of(
        st.sampled_from(
            [
                b"Authorization: Bearer %b\r\n" % SECRET_KEY.encode(), b"Sec-GPC: 1\r\n", b"Cookie: a\r\n",
                b"Authorization: Bearer %b\r\nOrigin: %b\r\n" % (PUBLISHABLE_KEY.encode(), SHOP_ORIGIN.encode()),
                b"X-Forwarded-For: 203.0.113.9\r\n", b"x-forwarded-for: 2001:db8::7\r\n", b"X-Forwarded-For: odd\r\n",
                b"Content-Length: 2\r\n", b"content-length: 20\r\n", b"Content-Encoding: gzip\r\n",
            ]
        ),
        st.from_regex(rb"\A[A-Za-z-]{1,12}: ?[ -~\x80-\xff]{0,30}\r\n\Z"),
    ),
    max_size=4,
)  # fmt: skip
posts = st.tuples(st.sampled_from([b"conversion", b"session", b"batch", b"click"]), lines, st.lists(events, max_size=3))


def message(name: bytes, some: list[bytes], told: list[dict[str, Any]]) -> bytes:
    """Return a whole request."""
    body = json.dumps({"events": told} if name == b"batch" else told[0] if told else [], ensure_ascii=False).encode()
    head = b"POST /v1/events/%b HTTP/1.1\r\nHost: h\r\n%bContent-Length: %d\r\n\r\n"
    return head % (name, b"".join(some), len(body)) + body


async def said(asked: list[bytes], peer: str, at_ms: int, *, is_python: bool = False) -> tuple[Any, ...]:
    """Return what an edge answers, writes and counts; every request comes three times, so that its head is known."""
    with pytest.MonkeyPatch.context() as patch:
        if is_python:
            in_python(patch)
        bench = Bench(a_snapshot([a_link()]), patch, at_ms, PROXIES)
        sent = []
        for number in range(3):
            for request in asked:
                connection, wire = bench.connect(peer)
                connection.data_received(request)
                bench.settle(is_recorded=number != 1)
                sent.append(wire.sent)
        return sent, bench.lines, bench.state()


@needs_compiled
@settings(max_examples=80, deadline=None)
@given(st.lists(posts, max_size=4), st.sampled_from(["198.51.100.7", "10.0.0.1"]), st.booleans())
def test_events_are_taken_the_same_in_both_ways(
    asked: list[tuple[bytes, list[bytes], list[dict[str, Any]]]], peer: str, is_night: bool
) -> None:
    requests, at_ms = [message(*one) for one in asked], MIDNIGHT_MS if is_night else NOON_MS

    async def both() -> None:
        assert await said(requests, peer, at_ms) == await said(requests, peer, at_ms, is_python=True)

    asyncio.run(both())


@needs_compiled
async def test_a_known_senders_conversion_is_taken_by_compiled_code() -> None:
    sender = b"Authorization: Bearer %b\r\n" % SECRET_KEY.encode()
    order = {"inf_click_id": GOOD, "order_id": "1", "revenue_cents": 5, "idempotency_key": "1", "customer_id": "c"}
    asked = [message(b"conversion", [sender], [order])]
    answers, written, state = await said(asked, "198.51.100.7", NOON_MS)
    assert [b"202" in answer for answer in answers] == [True, False, True]
    assert len(written) == 3
    assert state["events"] == {"accepted": 1, "unavailable": 1, "duplicate": 1}
    assert (answers, written, state) == await said(asked, "198.51.100.7", NOON_MS, is_python=True)


@needs_compiled
@given(posts, st.binary(max_size=8))
def test_known_heads_of_events_are_found_alike(
    asked: tuple[bytes, list[bytes], list[dict[str, Any]]], odd: bytes
) -> None:
    class Post:
        forwarded = b"of the head"

    whole = message(*asked)
    start, end = whole.find(b"\r\n") + 2, whole.find(b"\r\n\r\n") + 4
    parts = known_by(whole[start:end])
    table: dict[bytes, Any] = {} if parts is None else {sha256(whole[:start] + parts[0]).digest(): Post()}
    for sent in (whole, whole + odd, whole[: len(odd) * 9], odd + whole, whole.replace(b"\r\n", odd, 1)):
        assert native.counterpart("find_post")(table, sent) == native.twins["find_post"](table, sent)


@needs_compiled
@given(click_ids, st.binary(min_size=47, max_size=47))
def test_click_ids_are_opened_alike(text: str, raw: bytes) -> None:
    ours = ClickIdKeys(SECRETS, TTL_HOURS)
    with pytest.MonkeyPatch.context() as patch:
        in_python(patch)
        plain = ClickIdKeys(SECRETS, TTL_HOURS)
        plain.mint_for(ORGANIZATION, LINK)
        found = native.twins["opened"](plain._keys, text)
    ours.mint_for(ORGANIZATION, LINK)
    assert native.counterpart("opened")(ours._keys, GOOD) is not None
    assert native.counterpart("opened")(ours._keys, text) == found
    assert native.counterpart("uuid_text")(raw[:16]) == native.twins["uuid_text"](raw[:16])


@needs_compiled
@given(st.text(max_size=20), st.text(max_size=20), st.binary(max_size=200), st.binary(max_size=200))
def test_ids_and_commitments_are_the_same(one: str, other: str, kept: bytes, expiring: bytes) -> None:
    assert native.counterpart("commitment")(kept, expiring) == native.twins["commitment"](kept, expiring)
    assert native.counterpart("commitment")(b"", kept) == native.twins["commitment"](b"", kept)
    try:
        plain = native.twins["keyed_event_id"](one, other, one)
    except UnicodeEncodeError:
        with pytest.raises(UnicodeEncodeError):
            native.counterpart("keyed_event_id")(one, other, one)
    else:
        assert native.counterpart("keyed_event_id")(one, other, one) == plain
