"""What advertisers send: accepted, a duplicate, quarantined with its reason, or refused; and what is then on disk."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from stackfluence.click.click_id import TEST, UNRECORDED, ClickIdKeys
from stackfluence.clock import now_ms, parse_rfc3339, rfc3339, uuid7
from stackfluence.collect import recording
from tests.edge.edges import (
    LINK,
    ORGANIZATION,
    OTHER_KEY,
    OTHER_ORGANIZATION,
    PUBLISHABLE_KEY,
    REVOKED_KEY,
    SECRET_KEY,
    SECRETS,
    SHOP_ORIGIN,
    TTL_HOURS,
    Event,
    Response,
    RunningEdge,
)

SERVER = {"Authorization": f"Bearer {SECRET_KEY}"}
BROWSER = {"Authorization": f"Bearer {PUBLISHABLE_KEY}", "Origin": SHOP_ORIGIN}
PURCHASE = {"order_id": "o-1", "revenue_cents": 12_900}
DAY_MS = 86_400_000
NOWHERE = "01a20000-0000-7000-8000-000000000000"


async def send(running: RunningEdge, event_type: str, body: Any, headers: dict[str, str] = SERVER) -> Response:
    """POST an event; bytes go as they are."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return await running.request("POST", f"/v1/events/{event_type}", raw, **headers)


async def accepted(
    running: RunningEdge, event_type: str, body: dict[str, Any], headers: dict[str, str] = SERVER
) -> Event:
    """Send an event that must be accepted; returns what is on disk."""
    answer = await send(running, event_type, body, headers)
    assert answer.status == 202, answer
    assert answer.json["status"] == "accepted", answer
    [event] = [e for e in running.events() if e.leaf.event_id == answer.json["event_id"]]
    return event


async def test_a_purchase_of_a_server_is_kept_in_full(running: RunningEdge) -> None:
    order = {
        "order_id": "o-1", "shop": "berlin", "revenue_cents": 12_900, "currency": "pln", "subtotal_cents": 12_000,
        "discount_cents": 1_000, "tax_cents": 1_900, "shipping_cents": 0, "gift_card_cents": 500,
        "coupon_codes": ["EMMA10", 4711], "customer_id": "c-1", "customer_type": "new", "is_renewal": True,
        "page_url": "https://shop.brand.example/orders/emma%40brand.example/thanks?utm_source=x&sku=1",
        "referrer": "https://Pay.example/x", "session_id": "s-1", "metadata": {"a.b": 1, "a": {"b": 2}},
        "lines": [{"line_id": 1, "product_id": 2**60, "sku": "S", "quantity": 2, "subtotal_cents": 12_000}],
        "occurred_at": "2026-11-01T12:00:00.5+01:00", "unknown_field": "ignored",
    }  # fmt: skip
    event = await accepted(running, "conversion", order)
    leaf, kept, expiring = event.leaf, event.kept, event.expiring

    assert (leaf.event_type, leaf.conversion_type) == ("conversion", "purchase")
    assert (leaf.order_id, leaf.shop, leaf.revenue_cents, leaf.currency) == ("o-1", "berlin", 12_900, "PLN")
    assert (leaf.subtotal_cents, leaf.discount_cents, leaf.tax_cents) == (12_000, 1_000, 1_900)
    assert (leaf.shipping_cents, leaf.gift_card_cents) == (0, 500)
    assert leaf.coupon_codes == ["EMMA10", "4711"]
    assert [(line.line_id, line.product_id, line.sku, line.quantity) for line in leaf.lines] == [
        ("1", str(2**60), "S", 2)
    ]
    assert (leaf.customer_type, leaf.is_renewal, leaf.session_id) == ("new", True, "s-1")
    assert leaf.page_path == "/orders/…/thanks"
    assert leaf.landing_params == {"utm_source": "x"}
    assert leaf.referrer_host == "pay.example"
    assert (leaf.trust_tier, leaf.click_id_status, leaf.consent) == ("server", "missing", "unknown")
    assert leaf.occurred_at == "2026-11-01T11:00:00.500Z"
    assert leaf.received_at > leaf.occurred_at
    assert not leaf.is_clamped
    assert kept is not None
    assert len(kept.customer_hash) == 32
    assert json.loads(kept.properties) == {"a.b": 1, "a": {"b": 2}}
    assert expiring is not None
    assert expiring.page_url == order["page_url"]
    assert expiring.user_agent == expiring.ip_prefix == ""
    assert event.organization_id == ORGANIZATION


@pytest.mark.parametrize(
    ("event_type", "body"),
    [
        ("session", {"session_id": "s"}),
        ("pageview", {"session_id": "s", "time_on_page_ms": 12_000}),
        ("conversion", PURCHASE),
        ("conversion", {"event_type": "signup"}),
        ("conversion", {"event_type": "lead"}),
        ("conversion", {"event_type": "add_to_cart"}),
        ("conversion", {"event_type": "custom"}),
        ("refund", {"original_order_id": "o-1", "refund_amount_cents": 0, "reason": "damaged"}),
        ("identify", {"customer_id": "c-1"}),
    ],
)
@pytest.mark.parametrize("headers", [SERVER, BROWSER])
async def test_every_type_is_accepted_from_servers_and_browsers(
    running: RunningEdge, event_type: str, body: dict[str, Any], headers: dict[str, str]
) -> None:
    event = await accepted(running, event_type, body, headers)
    assert event.leaf.event_type == event_type
    assert event.leaf.trust_tier == ("server" if headers is SERVER else "browser")
    assert (event.leaf.currency == "EUR") == (event_type in ("conversion", "refund"))
    assert bool(event.leaf.visitor_hash) == (headers is BROWSER)


async def test_what_a_browser_says_of_itself_is_kept_for_a_while(running: RunningEdge) -> None:
    event = await accepted(running, "session", {"session_id": "s"}, {**BROWSER, "User_Agent": "A" * 3000})
    await running.get("/c/emma/summer", User_Agent="A" * 3000)
    click = running.events()[-1]
    assert event.expiring is not None
    assert (event.expiring.user_agent, event.expiring.ip_prefix) == ("A" * 1000, "127.0.0.0/24")
    assert event.leaf.visitor_hash == click.leaf.visitor_hash != ""


@pytest.mark.parametrize("content_type", ["application/json", "text/plain;charset=UTF-8", "Application/JSON; x=y", ""])
async def test_json_may_come_as_plain_text(running: RunningEdge, content_type: str) -> None:
    headers = {**BROWSER, "Content_Type": content_type} if content_type else BROWSER
    assert (await send(running, "session", {"session_id": "s"}, headers)).status == 202


@pytest.mark.parametrize(
    ("name", "headers", "body", "status"),
    [
        ("secret in the header", SERVER, {}, 202),
        ("publishable in the header, right origin", BROWSER, {}, 202),
        ("upper-case origin", {**BROWSER, "Origin": SHOP_ORIGIN.upper()}, {}, 202),
        ("publishable in the body", {"Origin": SHOP_ORIGIN}, {"key": PUBLISHABLE_KEY}, 202),
        ("bare organization", {"Origin": SHOP_ORIGIN}, {"organization_id": ORGANIZATION}, 202),
        ("key and its organization", SERVER, {"organization_id": ORGANIZATION}, 202),
        ("lower-case scheme", {"Authorization": f"bearer {SECRET_KEY}"}, {}, 202),
        ("nothing", {}, {}, 401),
        ("unknown key", {"Authorization": "Bearer sf_sec_nobody"}, {}, 401),
        ("revoked", {"Authorization": f"Bearer {REVOKED_KEY}"}, {}, 401),
        ("another scheme", {"Authorization": f"Basic {SECRET_KEY}"}, {}, 401),
        ("secret in the body", {}, {"key": SECRET_KEY}, 401),
        ("key of another kind in the body", {}, {"key": 17}, 401),
        ("unknown organization", {"Origin": SHOP_ORIGIN}, {"organization_id": "org_zzzzzzz"}, 401),
        ("organization without a publishable key", {}, {"organization_id": OTHER_ORGANIZATION}, 401),
        ("organization that is no text", {}, {"organization_id": 5}, 401),
        ("another organization's key", SERVER, {"organization_id": OTHER_ORGANIZATION}, 403),
        ("the key of another", {"Authorization": f"Bearer {OTHER_KEY}"}, {"organization_id": ORGANIZATION}, 403),
        ("organization of another type", SERVER, {"organization_id": 5}, 403),
        ("wrong origin", {**BROWSER, "Origin": "https://evil.example"}, {}, 403),
        ("origin with a longer name", {**BROWSER, "Origin": SHOP_ORIGIN + ".evil.example"}, {}, 403),
        ("no origin", {"Authorization": f"Bearer {PUBLISHABLE_KEY}"}, {}, 403),
        ("null origin", {**BROWSER, "Origin": "null"}, {}, 403),
        ("bare organization, wrong origin", {"Origin": "https://evil.example"}, {"organization_id": ORGANIZATION}, 403),
    ],
)
async def test_keys(
    running: RunningEdge, name: str, headers: dict[str, str], body: dict[str, Any], status: int
) -> None:
    answer = await send(running, "session", {"session_id": "s", **body}, headers)

    assert answer.status == status, name
    assert len(running.events()) == (status == 202)
    if status != 202:
        assert answer["content-type"] == "application/problem+json"
        assert running.intake.recorder.counts == {"refused": 1}
        assert (answer.get("www-authenticate") == "Bearer") == (status == 401)
    if "Origin" in headers:
        assert answer["access-control-allow-origin"] == headers["Origin"]
        assert answer["vary"] == "origin"


async def test_an_event_belongs_to_its_keys_organization(running: RunningEdge) -> None:
    answer = await send(running, "session", {"session_id": "s"}, {"Authorization": f"Bearer {OTHER_KEY}"})
    assert answer.status == 202
    assert running.events()[0].organization_id == OTHER_ORGANIZATION


@pytest.mark.parametrize(
    ("event_type", "body", "reason", "detail"),
    [
        ("session", {}, "missing_field", "session_id"),
        ("session", {"session_id": ""}, "missing_field", "session_id"),
        ("pageview", {}, "missing_field", "session_id"),
        ("conversion", {"revenue_cents": 1}, "missing_field", "order_id"),
        ("conversion", {"order_id": "o"}, "missing_field", "revenue_cents"),
        ("refund", {"original_order_id": "o"}, "missing_field", "refund_amount_cents"),
        ("refund", {"refund_amount_cents": 1}, "missing_field", "original_order_id"),
        ("identify", {}, "missing_field", "customer_id"),
        ("conversion", {**PURCHASE, "revenue_cents": "12900"}, "wrong_type", "revenue_cents"),
        ("conversion", {**PURCHASE, "revenue_cents": 129.0}, "wrong_type", "revenue_cents"),
        ("conversion", {**PURCHASE, "revenue_cents": 1e300}, "wrong_type", "revenue_cents"),
        ("conversion", {**PURCHASE, "revenue_cents": True}, "wrong_type", "revenue_cents"),
        ("conversion", {**PURCHASE, "revenue_cents": [1]}, "wrong_type", "revenue_cents"),
        ("conversion", {**PURCHASE, "order_id": None}, "wrong_type", "order_id"),
        ("conversion", {**PURCHASE, "order_id": 1.5}, "wrong_type", "order_id"),
        ("conversion", {**PURCHASE, "coupon_codes": "EMMA10"}, "wrong_type", "coupon_codes"),
        ("conversion", {**PURCHASE, "lines": {"sku": "S"}}, "wrong_type", "lines"),
        ("conversion", {**PURCHASE, "lines": [{"quantity": "2"}]}, "wrong_type", "quantity"),
        ("conversion", {**PURCHASE, "metadata": "text"}, "wrong_type", "metadata"),
        ("conversion", {**PURCHASE, "is_test": 1}, "wrong_type", "is_test"),
        ("conversion", {**PURCHASE, "occurred_at": 1795000000}, "wrong_type", "occurred_at"),
        ("conversion", {**PURCHASE, "occurred_at": "yesterday"}, "wrong_type", "occurred_at"),
        ("conversion", {**PURCHASE, "occurred_at": "2026-11-01T12:00:00"}, "wrong_type", "occurred_at"),
        ("conversion", {**PURCHASE, "revenue_cents": -1}, "amount_out_of_range", "revenue_cents"),
        ("conversion", {**PURCHASE, "revenue_cents": 10**12 + 1}, "amount_out_of_range", "revenue_cents"),
        ("conversion", {**PURCHASE, "revenue_cents": 2**63}, "amount_out_of_range", "revenue_cents"),
        ("conversion", {**PURCHASE, "revenue_cents": 10**40}, "amount_out_of_range", "revenue_cents"),
        ("conversion", {**PURCHASE, "tax_cents": -5}, "amount_out_of_range", "tax_cents"),
        ("conversion", {**PURCHASE, "lines": [{"quantity": -1}]}, "amount_out_of_range", "lines.quantity"),
        ("refund", {"original_order_id": "o", "refund_amount_cents": -1}, "amount_out_of_range", "refund_amount_cents"),
        ("pageview", {"session_id": "s", "time_on_page_ms": -1}, "amount_out_of_range", "time_on_page_ms"),
        ("pageview", {"session_id": "s", "time_on_page_ms": 10**9}, "amount_out_of_range", "time_on_page_ms"),
        ("conversion", {**PURCHASE, "event_type": "subscribe"}, "unknown_value", "event_type"),
        ("conversion", {**PURCHASE, "currency": "EURO"}, "unknown_value", "currency"),
        ("conversion", {**PURCHASE, "currency": "€"}, "unknown_value", "currency"),
        ("conversion", {**PURCHASE, "customer_type": "loyal"}, "unknown_value", "customer_type"),
        ("conversion", {**PURCHASE, "consent": "perhaps"}, "unknown_value", "consent"),
        ("conversion", {**PURCHASE, "order_id": "o" * 201}, "text_too_long", "order_id"),
        ("conversion", {**PURCHASE, "order_id": 10**201}, "text_too_long", "order_id"),
        ("conversion", {**PURCHASE, "coupon_codes": ["c" * 201]}, "text_too_long", "coupon_codes"),
        ("conversion", {**PURCHASE, "coupon_codes": ["c"] * 21}, "text_too_long", "coupon_codes"),
        ("conversion", {**PURCHASE, "lines": [{}] * 501}, "text_too_long", "lines"),
        ("conversion", {**PURCHASE, "lines": [{"sku": "s" * 201}]}, "text_too_long", "lines.sku"),
        ("conversion", {**PURCHASE, "metadata": {"x": "y" * 16_384}}, "text_too_long", "metadata"),
        ("conversion", {**PURCHASE, "occurred_at": "1999-12-31T23:59:59Z"}, "time_out_of_range", "occurred_at"),
        ("conversion", {**PURCHASE, "occurred_at": "2999-01-01T00:00:00Z"}, "time_out_of_range", "occurred_at"),
        ("session", {"session_id": "s" * 201}, "text_too_long", "session_id"),
    ],
)  # fmt: skip
async def test_what_can_be_read_but_not_used_is_kept_with_its_reason(
    running: RunningEdge, event_type: str, body: dict[str, Any], reason: str, detail: str
) -> None:
    answer = await send(running, event_type, body)
    assert (answer.status, answer.json["status"]) == (202, "quarantined")
    assert answer.json["reason"] == reason
    assert detail in answer.json["detail"]
    [event] = running.events()
    leaf = event.leaf
    assert (leaf.quarantine_reason, leaf.quarantine_detail) == (reason, answer.json["detail"])
    assert (leaf.event_type, leaf.revenue_cents, leaf.order_id) == (event_type, None, "")
    assert event.kept is None
    assert event.expiring is not None
    raw = json.dumps(body, separators=(",", ":"), ensure_ascii=False).replace("e+", "e")
    assert event.expiring.raw == raw[: recording.MAX_RAW]
    assert running.intake.recorder.counts == {"quarantined": 1}


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"[]", 400),
        (b"null", 400),
        (b'"text"', 400),
        (b'{"revenue_cents": NaN}', 400),
        (b'{"revenue_cents": 1e999}', 400),
        (b'{"revenue_cents": Infinity}', 400),
        (b'{"revenue_cents": ' + b"9" * 5000 + b"}", 400),
        (b'{"session_id": "\xff\xfe"}', 400),
        (b'{"session_id": "\\ud800"}', 400),
        (b"[" * 100_000, 400),
        (b'{"a":' * 50_000, 400),
        (b'{"session_id":"s"} trailing', 400),
        (b"\xef\xbb\xbf{}", 400),
        (b"x" * 300_000, 413),
    ],
)
async def test_what_cannot_be_read_is_refused_and_nothing_is_kept(
    running: RunningEdge, raw: bytes, status: int
) -> None:
    answer = await send(running, "session", raw)
    assert answer.status == status
    assert answer["content-type"] == "application/problem+json"
    assert running.intake.recorder.counts == {"refused": 1}
    assert running.events() == []


async def test_nesting_of_any_depth_ends_in_an_answer(running: RunningEdge) -> None:
    for depth in [*range(100, 900, 100), *range(900, 1010, 2)]:
        for field in (b"metadata", b"lines"):
            raw = b'{"session_id":"s","%b":%b1%b}' % (field, b'{"a":' * depth, b"}" * depth)
            answer = await send(running, "session", raw)
            assert answer.status in (202, 400), (depth, answer)
    assert await running.is_well()


@pytest.mark.parametrize(
    ("target", "headers", "status"),
    [
        ("/v1/events/click", {}, 404),
        ("/v1/events/", {}, 404),
        ("/v1/events/purchase", {}, 404),
        ("/v1/events/session/1", {}, 404),
        ("/v1/events/session/", {}, 202),
        ("/v1/events/session?x=1", {}, 202),
        ("/v1/events/session", {"Content_Type": "application/xml"}, 415),
        ("/v1/events/session", {"Content_Encoding": "gzip"}, 415),
    ],
)
async def test_addresses_and_types(running: RunningEdge, target: str, headers: dict[str, str], status: int) -> None:
    answer = await running.request("POST", target, b'{"session_id":"s"}', **SERVER, **headers)
    assert answer.status == status


async def test_the_same_idempotency_key_is_the_same_event_for_ever(running: RunningEdge) -> None:
    body = {**PURCHASE, "idempotency_key": "k-1"}
    first, second = await send(running, "conversion", body), await send(running, "conversion", body)
    assert [first.json["status"], second.json["status"]] == ["accepted", "duplicate"]
    assert first.json["event_id"] == second.json["event_id"] == "46df1134-98fb-86b6-9774-5c930aa00a8b"
    assert len(running.events()) == 2  # both kept: the facts decide
    other = await send(running, "conversion", body, {"Authorization": f"Bearer {OTHER_KEY}"})
    refund = {"original_order_id": "o-1", "refund_amount_cents": 1, "idempotency_key": "k-1"}
    another = await send(running, "refund", refund)
    assert {other.json["status"], another.json["status"]} == {"accepted"}
    assert len({first.json["event_id"], other.json["event_id"], another.json["event_id"]}) == 3
    assert running.intake.recorder.counts == {"accepted": 3, "duplicate": 1}


async def test_an_event_that_was_quarantined_may_be_mended_under_its_key(running: RunningEdge) -> None:
    broken = {**PURCHASE, "revenue_cents": "129.00", "idempotency_key": 17}
    first = await send(running, "conversion", broken)
    again = await send(running, "conversion", broken)
    mended = await send(running, "conversion", {**broken, "revenue_cents": 12_900, "idempotency_key": "17"})
    assert [a.json["status"] for a in (first, again, mended)] == ["quarantined", "quarantined", "accepted"]
    assert len({a.json["event_id"] for a in (first, again, mended)}) == 1


async def test_events_without_a_key_are_events_of_their_own(running: RunningEdge) -> None:
    ids = {(await send(running, "conversion", PURCHASE)).json["event_id"] for _ in range(3)}
    assert len(ids) == 3
    assert all(identifier[14] == "7" for identifier in ids)


async def test_ids_beyond_2_to_the_53_survive_as_written(running: RunningEdge) -> None:
    event = await accepted(running, "conversion", {"order_id": 2**53 + 1, "revenue_cents": 1, "customer_id": 10**30})
    assert event.leaf.order_id == "9007199254740993"
    text = await accepted(running, "identify", {"customer_id": str(10**30)})
    assert event.kept is not None
    assert text.kept is not None
    assert event.kept.customer_hash == text.kept.customer_hash


async def test_a_customers_pseudonym_is_another_for_each_organization(running: RunningEdge) -> None:
    ours = await accepted(running, "identify", {"customer_id": "emma@brand.example"})
    theirs = await accepted(
        running, "identify", {"customer_id": "emma@brand.example"}, {"Authorization": f"Bearer {OTHER_KEY}"}
    )
    assert ours.kept is not None
    assert theirs.kept is not None
    assert ours.kept.customer_hash != theirs.kept.customer_hash
    assert b"emma" not in ours.line


# batches


async def test_a_batch_is_answered_event_by_event(running: RunningEdge) -> None:
    events = [
        {"type": "session", "session_id": "s"},
        {"type": "pageview"},
        {"type": "conversion", **PURCHASE, "idempotency_key": "k"},
        {"type": "click"},
        {"session_id": "s"},
        {"type": 5},
        "text",
        None,
        {"type": "conversion", **PURCHASE, "organization_id": OTHER_ORGANIZATION},
        {"type": "conversion", **PURCHASE, "organization_id": ORGANIZATION},
    ]
    for body in (events, {"events": events}):
        answer = await send(running, "batch", body)
        assert answer.status == 202
        statuses = [event["status"] for event in answer.json["events"]]
        repeated = "accepted" if body is events else "duplicate"
        assert statuses == ["accepted", "quarantined", repeated, *["quarantined"] * 6, "accepted"]
        reasons = [event.get("reason") for event in answer.json["events"]]
        assert reasons[3:9] == ["unknown_value"] * 6
    assert {event.organization_id for event in running.events()} == {ORGANIZATION}
    assert [event.seq for event in running.events()] == list(range(1, 21))
    assert running.intake.recorder.counts == {"accepted": 5, "duplicate": 1, "quarantined": 14}


async def test_a_batchs_key_may_stand_in_its_envelope_or_its_first_event(running: RunningEdge) -> None:
    origin = {"Origin": SHOP_ORIGIN}
    event = {"type": "session", "session_id": "s"}
    for body in (
        {"organization_id": ORGANIZATION, "events": [event, event]},
        {"key": PUBLISHABLE_KEY, "events": [event]},
        [{**event, "organization_id": ORGANIZATION}, event],
        [{**event, "key": PUBLISHABLE_KEY}],
    ):
        answer = await send(running, "batch", body, origin)
        assert answer.status == 202
        assert {e["status"] for e in answer.json["events"]} == {"accepted"}
    assert (await send(running, "batch", [event], origin)).status == 401
    assert (await send(running, "batch", [], origin)).status == 401


async def test_batches_have_limits(running: RunningEdge) -> None:
    event = {"type": "session", "session_id": "s"}
    assert (await send(running, "batch", [event] * 1000)).status == 202
    assert len(running.events()) == 1000
    assert (await send(running, "batch", [event] * 1001)).status == 413
    assert (await send(running, "batch", b"[" + b" " * (1 << 20) + b"]")).status == 413
    assert (await send(running, "batch", [{**event, "metadata": {"x": "y" * 400}}] * 1000)).status == 202
    odd: tuple[Any, ...] = ({}, {"events": {}}, {"events": None}, 5)
    for body in odd:
        assert (await send(running, "batch", body)).status == 400
    empty = await send(running, "batch", [])
    assert (empty.status, empty.json) == (202, {"events": []})


async def test_the_counts_add_up(running: RunningEdge) -> None:
    bodies = [
        {**PURCHASE, "idempotency_key": f"k{n % 7}", **({"currency": "?"} if n % 5 == 0 else {})} for n in range(40)
    ]
    answers = await asyncio.gather(*(send(running, "conversion", body) for body in bodies))
    assert {answer.status for answer in answers} == {202}
    counts = running.intake.recorder.counts
    assert sum(counts.values()) == 40
    assert counts["quarantined"] == 8
    assert counts["accepted"] + counts["duplicate"] == 32
    assert len(running.events()) == 40


# CORS


@pytest.mark.parametrize("event_type", ["session", "batch", "anything"])
async def test_a_preflight_is_answered_here(running: RunningEdge, event_type: str) -> None:
    answer = await running.request(
        "OPTIONS", f"/v1/events/{event_type}", Origin=SHOP_ORIGIN, Access_Control_Request_Method="POST",
        Access_Control_Request_Headers="authorization, content-type",
    )  # fmt: skip
    assert answer.status == 204
    assert answer["access-control-allow-origin"] == SHOP_ORIGIN
    assert answer["access-control-allow-methods"] == "POST"
    assert answer["access-control-allow-headers"] == "authorization, content-type"
    assert answer["vary"] == "origin"


async def test_a_page_can_read_every_answer(running: RunningEdge, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stackfluence.click.request.MAX_BODY", 300_000)
    for event_type, body in (
        ("session", {"session_id": "s"}), ("session", b"{"), ("nothing", b"{}"), ("session", bytes(270_000)),
        ("session", bytes(310_000)), ("session", {"session_id": "s", "organization_id": "org_0000000"}),
    ):  # fmt: skip
        client = await running.connect()
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        client.ask("POST", f"/v1/events/{event_type}", raw, **BROWSER)
        answer = await client.response()
        assert answer["access-control-allow-origin"] == SHOP_ORIGIN, answer
    monkeypatch.setattr(running.journal, "is_stalled", lambda now: True)
    monkeypatch.setattr(running.journal, "_flying", [])
    answer = await send(running, "session", {"session_id": "s"}, BROWSER)
    assert answer.status == 503
    assert answer["access-control-allow-origin"] == SHOP_ORIGIN
    assert answer["access-control-expose-headers"] == "retry-after"
    monkeypatch.undo()


# consent


PERSONAL = {
    "customer_id": "emma@brand.example", "metadata": {"mail": "emma@brand.example"}, "session_id": "s",
    "page_url": "https://shop.brand.example/?mail=emma@brand.example", "referrer": "https://m.example/emma",
}  # fmt: skip


@pytest.mark.parametrize(
    ("headers", "body", "consent"),
    [
        (SERVER, {"consent": "denied"}, "denied"),
        (SERVER, {"consent": "opted_out"}, "opted_out"),
        (BROWSER, {"consent": "denied"}, "denied"),
        ({**BROWSER, "Sec_GPC": "1"}, {}, "opted_out"),
        ({**BROWSER, "Sec_GPC": "1"}, {"consent": "granted"}, "opted_out"),
    ],
)
@pytest.mark.parametrize("more", [{}, {"order_id": None}])
async def test_without_consent_nothing_personal_is_kept(
    running: RunningEdge, headers: dict[str, str], body: dict[str, Any], consent: str, more: dict[str, Any]
) -> None:
    answer = await send(running, "pageview", {**PERSONAL, **body, **more}, {**headers, "User_Agent": "emma's browser"})
    assert answer.status == 202
    [event] = running.events()
    assert (answer.json["status"] == "quarantined") == bool(more)
    assert event.kept is None
    assert event.expiring is None
    assert event.leaf.visitor_hash == event.leaf.personal_commitment == ""
    assert b"emma" not in event.line
    if not more:
        assert event.leaf.consent == consent


async def test_granted_consent_is_recorded(running: RunningEdge) -> None:
    event = await accepted(running, "pageview", {**PERSONAL, "consent": "granted"}, BROWSER)
    assert event.leaf.consent == "granted"
    assert event.kept is not None
    assert event.kept.customer_hash
    assert b"emma@" not in event.line.split(b"\t")[1]  # the leaf is for ever


async def test_a_servers_own_headers_say_nothing_about_the_visitor(running: RunningEdge) -> None:
    event = await accepted(running, "pageview", PERSONAL, {**SERVER, "Sec_GPC": "1", "User_Agent": "backend"})
    assert event.leaf.consent == "unknown"
    assert event.expiring is not None
    assert event.expiring.user_agent == ""


# time


@pytest.mark.parametrize(("days", "expected"), [(-36, -35), (-34, -34), (-400_000, -35), (1, None), (5000, None)])
async def test_a_browsers_clock_is_clamped_and_marked(running: RunningEdge, days: int, expected: int | None) -> None:
    stated = "0001-01-01T00:00:00+23:59" if days == -400_000 else rfc3339(now_ms() + days * DAY_MS)
    event = await accepted(running, "session", {"session_id": "s", "occurred_at": stated}, BROWSER)
    received = parse_rfc3339(event.leaf.received_at)
    wanted = 5 * 60_000 if expected is None else expected * DAY_MS
    assert abs(parse_rfc3339(event.leaf.occurred_at) - received - wanted) < 1000
    assert event.leaf.is_clamped == (expected != days)


async def test_a_servers_stated_time_is_kept(running: RunningEdge) -> None:
    for stated, kept in (
        ("2001-02-03T04:05:06Z", "2001-02-03T04:05:06.000Z"),
        ("2026-01-01t00:00:00.1239z", "2026-01-01T00:00:00.123Z"),
        ("2026-01-01T00:00:00+14:00", "2025-12-31T10:00:00.000Z"),
    ):
        event = await accepted(running, "conversion", {**PURCHASE, "occurred_at": stated})
        assert (event.leaf.occurred_at, event.leaf.is_clamped) == (kept, False)


# click IDs


def a_click_id(age_days: float = 0, flags: int = 0, organization: str = ORGANIZATION) -> tuple[str, str]:
    """Mint a click ID issued some days ago; returns it and its event id."""
    event, event_id = uuid7(now_ms() - int(age_days * DAY_MS))
    return ClickIdKeys(SECRETS, TTL_HOURS).mint_for(organization, LINK)(event, flags).decode(), event_id


async def test_a_valid_click_id_names_click_and_link(running: RunningEdge) -> None:
    signed, event_id = a_click_id(29)
    leaf = (await accepted(running, "conversion", {**PURCHASE, "inf_click_id": signed})).leaf
    assert (leaf.click_id_status, leaf.click_id, leaf.link_id) == ("valid", event_id, LINK)
    assert (leaf.signed_click_id, leaf.is_test) == ("", False)


async def test_a_test_click_makes_a_test_event(running: RunningEdge) -> None:
    leaf = (await accepted(running, "conversion", {**PURCHASE, "inf_click_id": a_click_id(flags=TEST)[0]})).leaf
    assert (leaf.click_id_status, leaf.is_test) == ("valid", True)


async def test_click_id_statuses(running: RunningEdge) -> None:
    valid, _ = a_click_id()
    flipped = valid[:20] + ("A" if valid[20] != "A" else "B") + valid[21:]
    for signed, status, is_known in (
        ("", "missing", False),
        (a_click_id(31)[0], "expired", True),
        (a_click_id(flags=UNRECORDED)[0], "unrecorded", True),
        (a_click_id(organization=OTHER_ORGANIZATION)[0], "wrong_organization", False),
        (flipped, "bad_signature", False),
        (valid[:-1], "malformed", False),
        ("x" * 5000, "malformed", False),
        ("\t\n\u0000é", "malformed", False),
    ):
        leaf = (await accepted(running, "conversion", {**PURCHASE, "inf_click_id": signed})).leaf
        assert leaf.click_id_status == status
        assert bool(leaf.click_id) == bool(leaf.link_id) == is_known
        assert leaf.signed_click_id == ("" if status == "missing" else signed[:100])
        assert leaf.revenue_cents == 12_900  # stored all the same


async def test_expiry_is_judged_when_a_server_says_it_happened_and_when_a_browsers_event_came(
    running: RunningEdge,
) -> None:
    body = {**PURCHASE, "inf_click_id": a_click_id(31)[0], "occurred_at": rfc3339(now_ms() - 2 * DAY_MS)}
    assert (await accepted(running, "conversion", body)).leaf.click_id_status == "valid"
    assert (await accepted(running, "conversion", body, BROWSER)).leaf.click_id_status == "expired"


@pytest.mark.parametrize("event_type", ["session", "pageview"])
@pytest.mark.parametrize(
    ("said", "reasons"),
    [
        ({}, []),
        ({"is_webdriver": False, "has_interaction": True}, []),
        ({"is_webdriver": True}, ["webdriver"]),
        ({"has_interaction": False}, ["no_interaction"]),
        ({"has_interaction": None}, []),
        ({"is_webdriver": True, "has_interaction": False}, ["webdriver", "no_interaction"]),
        ({"is_webdriver": None, "has_interaction": "false"}, []),
        ({"is_webdriver": "true", "has_interaction": 0}, []),
        ({"is_webdriver": 1, "has_interaction": {"moved": []}}, []),
    ],
)
async def test_what_a_page_says_of_its_visitor_is_in_the_leaf(
    event_type: str, said: dict[str, Any], reasons: list[str], running: RunningEdge
) -> None:
    event = await accepted(running, event_type, {"session_id": "s-1", **said}, BROWSER)
    assert event.leaf.bot_reasons == reasons


async def test_an_order_says_nothing_of_its_visitor(running: RunningEdge) -> None:
    event = await accepted(running, "conversion", {**PURCHASE, "is_webdriver": True, "has_interaction": False})
    assert event.leaf.bot_reasons == []
