"""Hooks at a running edge: signature first, then the disk, then the status that makes a vendor repeat or stop."""

from __future__ import annotations

import itertools
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from stackfluence.click.request import MAX_HOOK_BODY
from stackfluence.clock import now_ms
from stackfluence.collect import hooks
from stackfluence.collect.payloads import customer_hash, email_digest, email_hash
from tests.collect.test_shopify import BIG
from tests.collect.test_shopify_refunds import an_order
from tests.collect.test_stripe_checkout import checkout, refunded
from tests.collect.vendors import (
    SHOP,
    SHOPIFY_SECRET,
    STRIPE_SECRET,
    Document,
    connect,
    shopify,
    sign_shopify,
    sign_stripe,
)
from tests.edge.edges import (
    ORGANIZATION,
    SECRET_KEY,
    Event,
    Response,
    RunningEdge,
    start_edge,
)

OWN_URL = f"https://{SHOP}/1/orders/2/authenticate?key=x"
CUSTOMER_KEY = b"1" * 32


def paid(**changed: Any) -> Document:
    """Return a paid order of the connection's shop."""
    return shopify("orders/paid", financial_status="paid", order_status_url=OWN_URL, **changed)


async def shopify_says(
    running: RunningEdge, connection: str, topic: str, document: Document | bytes, **headers: str
) -> Response:
    """Deliver a webhook of Shopify's."""
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    given = {
        "Content_Type": "application/json",
        "X_Shopify_Topic": topic,
        "X_Shopify_Shop_Domain": SHOP,
        "X_Shopify_Hmac_Sha256": sign_shopify(body),
        "X_Shopify_API_Version": "2026-07",
        "X_Shopify_Webhook_Id": "b54557e4-bdd9-4b37-8a5f-bf7d70bcd043",
        **headers,
    }
    return await running.request("POST", f"/v1/hooks/shopify/{connection}", body, **given)


async def stripe_says(
    running: RunningEdge, connection: str, document: Document | bytes, header: str | None = None
) -> Response:
    """Deliver a webhook of Stripe's."""
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    signature = sign_stripe(body) if header is None else header
    return await running.request("POST", f"/v1/hooks/stripe/{connection}", body, Stripe_Signature=signature)


def the_event(running: RunningEdge) -> Event:
    [event] = running.events()
    return event


async def test_a_paid_order_is_on_disk_when_shopify_is_answered(running: RunningEdge) -> None:
    sample = paid(id=BIG, note_attributes=[{"name": "inf_click_id", "value": "no-click-id"}])
    answer = await shopify_says(running, connect(running), "orders/paid", sample)
    event = the_event(running)
    assert (answer.status, answer.json) == (200, {"event_id": event.leaf.event_id, "status": "accepted"})
    leaf = event.leaf
    assert (leaf.event_type, leaf.conversion_type, leaf.trust_tier) == ("conversion", "purchase", "connector")
    assert (leaf.order_id, leaf.shop, event.organization_id) == (str(BIG), SHOP, ORGANIZATION)
    assert (leaf.click_id_status, leaf.signed_click_id) == ("malformed", "no-click-id")
    assert (leaf.currency, leaf.is_test, leaf.consent) == (sample["currency"], True, "unknown")
    assert leaf.revised_at == "2022-01-01T00:00:00.000Z"
    assert event.kept is not None
    assert event.kept.email_hash == email_hash(CUSTOMER_KEY, email_digest(sample["email"]))
    assert event.kept.customer_hash == customer_hash(CUSTOMER_KEY, sample["customer"]["id"], SHOP)
    assert sample["email"].encode() not in event.line
    assert sample["billing_address"]["city"].encode() not in event.line


async def test_a_customer_of_one_shop_is_nobody_in_another(running: RunningEdge) -> None:
    assert len({customer_hash(CUSTOMER_KEY, 12, shop) for shop in ("", "a.myshopify.com", "b.myshopify.com")}) == 3


async def test_webhook_retries_and_the_pixel_in_any_order_name_one_order(tmp_path: Path) -> None:
    """Each delivery has headers of its own; the body is one. The pixel's event is another event of the same order."""
    order = paid(id=BIG)
    pixel = json.dumps(
        {"order_id": str(BIG), "shop": SHOP, "revenue_cents": 40_495, "currency": "USD", "idempotency_key": "pixel"}
    ).encode()
    for number, places in enumerate(itertools.islice(itertools.permutations(range(6)), 0, 720, 97)):
        async with start_edge(tmp_path / str(number)) as running:
            connection = connect(running)
            for place in places:
                if place == 5:
                    sent = {"Authorization": f"Bearer {SECRET_KEY}"}
                    assert (await running.request("POST", "/v1/events/conversion", pixel, **sent)).status == 202
                else:
                    ids = {"X_Shopify_Webhook_Id": f"w-{place}", "X_Shopify_Event_Id": f"e-{place // 2}"}
                    assert (await shopify_says(running, connection, "orders/paid", order, **ids)).status == 200
            told = [event.leaf for event in running.events()]
            assert len(told) == 6
            assert len({leaf.event_id for leaf in told if leaf.trust_tier == "connector"}) == 1
            assert {(leaf.shop, leaf.order_id) for leaf in told} == {(SHOP, str(BIG))}
            assert running.intake.recorder.counts == {"accepted": 2, "duplicate": 4}


async def test_a_connection_made_anew_tells_the_same_events(running: RunningEdge) -> None:
    refund = shopify("refunds/create")
    for name in ("con_0000000001", "con_0000000009"):
        assert (await shopify_says(running, connect(running, id=name), "refunds/create", refund)).status == 200
    events = running.events()
    assert len({event.leaf.event_id for event in events}) == len(refund["transactions"]) == len(events) // 2


async def test_a_refund_paid_in_parts_is_answered_when_all_of_it_is_on_disk(running: RunningEdge) -> None:
    refund = shopify("refunds/create")
    answer = await shopify_says(running, connect(running), "refunds/create", refund)
    events = running.events()
    assert answer.status == 200
    assert answer.json == {"events": [{"event_id": each.leaf.event_id, "status": "accepted"} for each in events]}
    amounts = [each.leaf.refund_amount_cents for each in events]
    assert amounts == [int(Decimal(each["amount"]) * 100) for each in refund["transactions"]]
    assert running.intake.recorder.counts == {"accepted": len(events)}


async def test_no_senders_key_is_ever_a_vendors_event(running: RunningEdge) -> None:
    refund = shopify("refunds/create")
    await shopify_says(running, connect(running), "refunds/create", refund)
    key = f"shopify/transaction/{refund['transactions'][0]['id']}"
    bodies = [
        {"original_order_id": "1", "refund_amount_cents": 1, "idempotency_key": text}
        for text in (key, f"{SHOP}\0{key}", f"shopify\0{SHOP}\0refund\0{key}")
    ]
    for body in bodies:
        sent = json.dumps(body).encode()
        await running.request("POST", "/v1/events/refund", sent, Authorization=f"Bearer {SECRET_KEY}")
    assert len({event.leaf.event_id for event in running.events()}) == len(refund["transactions"]) + len(bodies)


async def test_an_updated_order_is_another_event_of_the_same_order(running: RunningEdge) -> None:
    connection = connect(running)
    for topic, left in (("orders/paid", "100.00"), ("orders/updated", "60.00")):
        sample = an_order("100.00", left, [], order_status_url=OWN_URL)
        assert (await shopify_says(running, connection, topic, sample)).json["status"] == "accepted"
    first, second = (event.leaf for event in running.events())
    assert first.order_id == second.order_id
    assert first.event_id != second.event_id
    assert (first.revenue_cents, second.revenue_cents) == (10_000, 6_000)


@pytest.mark.parametrize(
    "signature",
    ["", "x", sign_shopify(b"another body"), "\xff", "A" * 4000],
)
async def test_a_forged_shopify_signature_is_401(running: RunningEdge, signature: str) -> None:
    answer = await shopify_says(running, connect(running), "orders/paid", paid(), X_Shopify_Hmac_Sha256=signature)
    assert (answer.status, answer.json["type"]) == (401, "/problems/bad-signature")
    assert running.events() == []
    assert running.intake.recorder.counts == {"refused": 1}
    [refusal] = running.intake.recorder.refusals
    assert (refusal.status, refusal.organization_id) == (401, ORGANIZATION)


@pytest.mark.parametrize("fields", [{"X_Shopify_Shop_Domain": "other.myshopify.com"}, {"X_Shopify_Shop_Domain": ""}])
async def test_another_shops_hook_is_403(running: RunningEdge, fields: dict[str, str]) -> None:
    answer = await shopify_says(running, connect(running), "orders/paid", paid(), **fields)
    assert (answer.status, answer.json["type"]) == (403, "/problems/wrong-account")
    assert running.events() == []


async def test_an_order_of_another_shop_is_403_though_the_headers_say_this_one(running: RunningEdge) -> None:
    """One app may be installed in several shops, and signs for all with one secret."""
    other = shopify("orders/paid", financial_status="paid", order_status_url="https://other.myshopify.com/1/orders/2")
    assert (await shopify_says(running, connect(running), "orders/paid", other)).status == 403
    assert running.events() == []


async def test_a_secret_that_was_rolled_is_taken_until_it_is_removed(running: RunningEdge) -> None:
    connection = connect(running, "shpss_new", SHOPIFY_SECRET)
    assert (await shopify_says(running, connection, "orders/paid", paid())).status == 200
    connect(running, "shpss_new")
    assert (await shopify_says(running, connection, "orders/paid", paid())).status == 401


async def test_an_unknown_connection_is_404_and_an_ended_one_410(running: RunningEdge) -> None:
    connection = connect(running)
    assert (await shopify_says(running, "con_none", "orders/paid", paid())).status == 404
    assert (await stripe_says(running, connection, b"{}", "t=1,v1=x")).status == 404, "of another vendor"
    connect(running, status="disconnected")
    assert (await shopify_says(running, connection, "orders/paid", paid())).status == 410
    connect(running, status="pending")
    assert (await shopify_says(running, connection, "orders/paid", paid())).status == 200


async def test_a_secret_that_cannot_be_opened_here_is_503(running: RunningEdge) -> None:
    connection = connect(running)
    known = running.snapshot.connections
    known[connection] = type(known[connection])(connection, ORGANIZATION, "shopify", SHOP, b"\x07damaged", "active")
    answer = await shopify_says(running, connection, "orders/paid", paid())
    assert (answer.status, answer["retry-after"]) == (503, "5")


async def test_a_topic_that_is_not_used_is_200_and_ignored(running: RunningEdge) -> None:
    connection = connect(running)
    for topic in ("products/update", "app/uninstalled", ""):
        answer = await shopify_says(running, connection, topic, {"id": 1})
        assert (answer.status, answer.json) == (200, {"status": "ignored"})
    stripe = connect(running, vendor="stripe")
    answer = await stripe_says(running, stripe, checkout() | {"type": "invoice.finalized"})
    assert (answer.status, answer.json) == (200, {"status": "ignored"})
    assert running.events() == []
    assert running.intake.recorder.counts == {"ignored": 4}


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"currency": "XYZ"}, "unknown_value"),
        ({"total_price_set": {"shop_money": {"amount": "-5.00"}}}, "amount_out_of_range"),
        ({"line_items": []}, "missing_field"),
    ],
)
async def test_an_order_that_makes_no_sense_is_200_and_quarantined(
    running: RunningEdge, changed: Document, reason: str
) -> None:
    sample = {name: None if name.startswith("current_") else value for name, value in paid().items()}
    answer = await shopify_says(running, connect(running), "orders/paid", sample | changed)
    assert (answer.status, answer.json["status"], answer.json["reason"]) == (200, "quarantined", reason)
    event = the_event(running)
    assert (event.leaf.quarantine_reason, event.leaf.event_type) == (reason, "conversion")
    assert event.kept is None
    assert event.expiring is not None
    raw = json.loads(event.expiring.raw)
    assert raw["id"] == str(sample["id"])
    assert "line_items" in raw["fields"]
    whole = paid()
    for personal in (whole["email"], whole["billing_address"]["address1"], whole["customer"]["last_name"]):
        assert personal.encode() not in event.line


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"\xff", b"[" * 5_000])
async def test_what_is_signed_and_no_json_is_200_and_quarantined(running: RunningEdge, body: bytes) -> None:
    answer = await shopify_says(running, connect(running), "orders/paid", body)
    assert (answer.status, answer.json["reason"]) == (200, "wrong_type")
    stripe = connect(running, vendor="stripe")
    if body != b"\xff":
        answer = await stripe_says(running, stripe, body)
        assert (answer.status, answer.json["reason"]) == (200, "wrong_type")
    assert await running.is_well()


async def test_metadata_of_a_megabyte_is_quarantined_and_more_than_four_are_413(running: RunningEdge) -> None:
    connection = connect(running)
    large = paid(note="x" * hooks.MAX_BODY)
    answer = await shopify_says(running, connection, "orders/paid", large)
    assert (answer.status, answer.json["status"], answer.json["reason"]) == (200, "quarantined", "text_too_long")
    assert len(the_event(running).line) < 2_000
    forged = await shopify_says(running, connection, "orders/paid", large, X_Shopify_Hmac_Sha256="x")
    assert forged.status == 401
    huge = b"x" * (MAX_HOOK_BODY + 1)
    assert (await shopify_says(running, connection, "orders/paid", huge)).status == 413
    event = b'{"order_id":"o","revenue_cents":1,"metadata":{"x":"%b"}}' % (b"x" * (1 << 20))
    sent = {"Authorization": f"Bearer {SECRET_KEY}"}
    assert (await running.request("POST", "/v1/events/conversion", event, **sent)).status == 413


async def test_a_disk_that_cannot_be_reached_is_503(running: RunningEdge, monkeypatch: pytest.MonkeyPatch) -> None:
    connection = connect(running)
    monkeypatch.setattr(running.journal, "is_stalled", lambda now: True)
    monkeypatch.setattr(running.journal, "_flying", [])
    answer = await shopify_says(running, connection, "orders/paid", paid())
    monkeypatch.undo()
    assert (answer.status, answer["retry-after"]) == (503, "5")
    assert running.intake.recorder.counts == {"unavailable": 1}
    assert (await shopify_says(running, connection, "orders/paid", paid())).json["status"] == "accepted"


async def test_a_paid_checkout_of_stripe_is_on_disk_when_it_is_answered(running: RunningEdge) -> None:
    connection = connect(running, vendor="stripe")
    event_of_session = checkout(customer_details={"email": "emma@brand.example"}, customer="cus_1")
    for status in ("accepted", "duplicate"):
        answer = await stripe_says(running, connection, event_of_session)
        assert (answer.status, answer.json["status"]) == (200, status)
    first, second = running.events()
    assert first.leaf.event_id == second.leaf.event_id
    assert (first.leaf.order_id, first.leaf.shop, first.leaf.trust_tier) == ("pi_1", "acct_1", "connector")
    assert first.kept is not None
    assert first.kept.customer_hash == customer_hash(CUSTOMER_KEY, "cus_1", "acct_1")
    assert b"emma" not in first.line
    assert (await stripe_says(running, connection, refunded(3_000, 0))).json["status"] == "accepted"
    refund = running.events()[-1].leaf
    assert (refund.original_order_id, refund.refund_amount_cents, refund.reason) == ("pi_1", 3_000, "refund")


@pytest.mark.parametrize("header", ["", "t=1,v1=abc", "nonsense"])
async def test_a_forged_stripe_signature_is_401(running: RunningEdge, header: str) -> None:
    answer = await stripe_says(running, connect(running, vendor="stripe"), checkout(), header)
    assert (answer.status, answer.json["type"]) == (401, "/problems/bad-signature")
    assert running.events() == []


async def test_a_replay_of_stripes_older_than_five_minutes_is_401(running: RunningEdge) -> None:
    body = json.dumps(checkout()).encode()
    connection, now = connect(running, vendor="stripe"), now_ms() // 1000
    assert (await stripe_says(running, connection, body, sign_stripe(body, at=now - 320))).status == 401
    assert (await stripe_says(running, connection, body, sign_stripe(body, "whsec_x", at=now))).status == 401
    assert running.events() == []
    assert (await stripe_says(running, connection, body, sign_stripe(body, STRIPE_SECRET, at=now - 280))).status == 200


async def test_another_accounts_event_is_403(running: RunningEdge) -> None:
    connection = connect(running, vendor="stripe")
    assert (await stripe_says(running, connection, checkout() | {"account": "acct_2"})).status == 403
    assert (await stripe_says(running, connection, checkout() | {"account": "acct_1"})).status == 200


async def test_a_hook_has_no_other_method_and_no_encoding(running: RunningEdge) -> None:
    connection = connect(running)
    answer = await shopify_says(running, connection, "orders/paid", paid(), Content_Encoding="gzip")
    assert answer.status == 415
    assert (await running.get(f"/v1/hooks/shopify/{connection}")).status != 200
