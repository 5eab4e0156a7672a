"""What is kept of people: pseudonyms of their ids and addresses, and without their consent nothing."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest

from stackfluence.collect.payloads import customer_hash, email_digest, email_hash
from tests.edge.edges import PUBLISHABLE_KEY, SECRET_KEY, SHOP_ORIGIN, Event, RunningEdge

SERVER = {"Authorization": f"Bearer {SECRET_KEY}"}
BROWSER = {"Authorization": f"Bearer {PUBLISHABLE_KEY}", "Origin": SHOP_ORIGIN}
KEY = b"1" * 32
EMAIL = "emma@brand.example"
DIGEST = hashlib.sha256(EMAIL.encode()).hexdigest()


async def told(running: RunningEdge, event_type: str, body: dict[str, Any], headers: dict[str, str]) -> Event:
    """Send an event and return what is on disk of it."""
    answer = await running.request("POST", f"/v1/events/{event_type}", json.dumps(body).encode(), **headers)
    assert answer.status == 202, answer
    return running.events()[-1]


@pytest.mark.parametrize("written", [EMAIL, " Emma@Brand.Example\t", "EMMA@BRAND.EXAMPLE"])
async def test_an_address_is_hashed_at_once_and_not_stored(running: RunningEdge, written: str) -> None:
    event = await told(running, "identify", {"email": written}, SERVER)
    assert event.kept is not None
    assert event.kept.email_hash == email_hash(KEY, DIGEST)
    assert len(event.kept.email_hash) == 32
    assert b"brand.example" not in event.line.lower()


async def test_a_page_sends_the_addresss_digest(running: RunningEdge) -> None:
    for written in (DIGEST, DIGEST.upper()):
        event = await told(running, "identify", {"email_sha256": written}, BROWSER)
        assert event.kept is not None
        assert event.kept.email_hash == email_hash(KEY, email_digest(EMAIL))
        assert DIGEST.encode() not in event.line


@pytest.mark.parametrize(
    ("body", "headers", "detail"),
    [
        ({"email": EMAIL}, BROWSER, "a page sends email_sha256"),
        ({"email": "nobody"}, SERVER, "email"),
        ({"email": "a@" + "b" * 400}, SERVER, "email"),
        ({"email": 5}, SERVER, "email"),
        ({"email": 5, "email_sha256": DIGEST}, SERVER, "email"),
        ({"email": EMAIL, "email_sha256": DIGEST}, BROWSER, "a page sends email_sha256"),
        ({"email_sha256": "abc"}, SERVER, "64 hex digits"),
        ({"email_sha256": "g" * 64}, SERVER, "64 hex digits"),
        ({}, SERVER, "customer_id, email or email_sha256"),
    ],
)
async def test_an_address_that_cannot_be_used_is_quarantined_and_not_kept(
    running: RunningEdge, body: dict[str, Any], headers: dict[str, str], detail: str
) -> None:
    event = await told(running, "identify", body, headers)
    assert detail in event.leaf.quarantine_detail
    assert event.kept is None
    assert EMAIL.encode() not in event.line
    assert DIGEST.encode() not in event.line


async def test_a_customer_that_a_shop_numbers_is_another_than_the_organizations_own(running: RunningEdge) -> None:
    plain = await told(running, "identify", {"customer_id": 12}, SERVER)
    of_shop = await told(running, "identify", {"customer_id": 12, "shop": "berlin"}, SERVER)
    assert plain.kept is not None
    assert of_shop.kept is not None
    assert plain.kept.customer_hash == customer_hash(KEY, "12")
    assert of_shop.kept.customer_hash == customer_hash(KEY, "12", "berlin")
    assert plain.kept.customer_hash != of_shop.kept.customer_hash


@pytest.mark.parametrize(
    ("headers", "said"),
    [
        (BROWSER, {"consent": "denied"}),
        ({**BROWSER, "Sec_GPC": "1"}, {}),
        (SERVER, {"consent": "denied"}),
    ],
)
async def test_without_consent_an_order_is_counted_and_nobody_is_singled_out(
    running: RunningEdge, headers: dict[str, str], said: dict[str, Any]
) -> None:
    order = {
        "order_id": "o-1", "revenue_cents": 12_900, "currency": "EUR", "coupon_codes": ["EMMA10"], "session_id": "s-1",
        "customer_id": "c-1", "email_sha256": DIGEST, "metadata": {"note": "x"},
        "page_url": "https://shop.brand.example/thanks?utm_source=x", **said,
    }  # fmt: skip
    event = await told(running, "conversion", order, {**headers, "User_Agent": "emma's phone"})
    leaf = event.leaf
    assert (leaf.order_id, leaf.revenue_cents, leaf.coupon_codes) == ("o-1", 12_900, ["EMMA10"])
    assert (leaf.page_path, leaf.landing_params) == ("/thanks", {"utm_source": "x"})
    assert (leaf.session_id, leaf.visitor_hash, event.kept, event.expiring) == ("", "", None, None)


@pytest.mark.parametrize("event_type", ["session", "pageview"])
async def test_a_visit_without_consent_says_that_the_click_arrived_and_no_more(
    running: RunningEdge, event_type: str
) -> None:
    event = await told(running, event_type, {"consent": "denied", "session_id": "s-1"}, BROWSER)
    assert (event.leaf.consent, event.leaf.session_id, event.leaf.quarantine_reason) == ("denied", "", "")
    event = await told(running, event_type, {}, {**BROWSER, "Sec_GPC": "1"})
    assert (event.leaf.consent, event.leaf.quarantine_reason) == ("opted_out", "")
    event = await told(running, event_type, {}, BROWSER)
    assert event.leaf.quarantine_detail == "session_id"


async def test_what_the_shopper_saw_in_another_currency_is_kept(running: RunningEdge) -> None:
    order = {"order_id": "o-1", "revenue_cents": 5_000, "currency": "eur"}
    shown = {"presentment_currency": "jpy", "presentment_revenue_cents": 8_100}
    leaf = (await told(running, "conversion", {**order, **shown}, SERVER)).leaf
    assert (leaf.presentment_currency, leaf.presentment_revenue_cents) == ("JPY", 8_100)
    same = {"presentment_currency": "EUR", "presentment_revenue_cents": 5_000}
    leaf = (await told(running, "conversion", {**order, **same}, SERVER)).leaf
    assert (leaf.presentment_currency, leaf.presentment_revenue_cents) == ("", None)


@pytest.mark.parametrize("field", ["currency", "presentment_currency"])
@pytest.mark.parametrize("currency", ["XYZ", "XXX", "XAU", "EURO", "€"])
async def test_a_currency_that_iso_doesnt_list_is_quarantined(running: RunningEdge, field: str, currency: str) -> None:
    order = {"order_id": "o-1", "revenue_cents": 5_000, field: currency}
    leaf = (await told(running, "conversion", order, SERVER)).leaf
    assert (leaf.quarantine_reason, currency in leaf.quarantine_detail) == ("unknown_value", True)


async def test_a_server_says_when_an_order_was_revised_and_a_page_cannot(running: RunningEdge) -> None:
    order = {"order_id": "o-1", "revenue_cents": 1, "revised_at": "2026-11-01T12:00:00+01:00"}
    assert (await told(running, "conversion", order, SERVER)).leaf.revised_at == "2026-11-01T11:00:00.000Z"
    assert (await told(running, "conversion", order, BROWSER)).leaf.revised_at == ""
    for wrong, reason in (("soon", "wrong_type"), ("1999-01-01T00:00:00Z", "time_out_of_range")):
        leaf = (await told(running, "conversion", order | {"revised_at": wrong}, SERVER)).leaf
        assert leaf.quarantine_reason == reason
