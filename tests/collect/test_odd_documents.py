"""Whatever stands in a field of a vendor's document, the result is an event or a reason, never an error."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stackfluence.clock import now_ms
from stackfluence.collect import payloads, stripe_checkout
from stackfluence.collect import shopify as module
from stackfluence.collect.documents import read_document
from stackfluence.collect.payloads import Payload
from stackfluence.collect.recording import Told, keyed_event_id
from stackfluence.collect.unusable import Unusable
from stackfluence.events.event import Leaf, encode_leaf
from tests.collect.test_stripe_checkout import checkout, dispute, refunded
from tests.collect.vendors import SHOP, SHOPIFY, Document, shopify

ODD: list[Any] = [
    None, True, False, 0, -1, 10**40, 1.5, "", " ", "x" * 5_000, "\u0000", "NaN", "-1.00", "1e9", "٣", "2026-13-01",
    [], {}, [None], [[]], [{}], {"x": {}}, [1, "2"], {"shop_money": None}, {"shop_money": {"amount": {}}}, "https://[",
    "\U0001f600",
]  # fmt: skip


def paths(document: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Yield the path of everything in a document."""
    children = document.items() if isinstance(document, dict) else enumerate(document)
    for name, child in children:
        yield (*path, name)
        if isinstance(child, dict | list):
            yield from paths(child, (*path, name))


def with_odd(document: Document, path: tuple[str | int, ...], value: Any) -> Document:
    """Return a document with another value in one place."""
    changed: Any = copy.deepcopy(document)
    inner = changed
    for name in path[:-1]:
        inner = inner[name]
    inner[path[-1]] = value
    found: Document = changed
    return found


ORDER_TOPICS = ("orders/paid", "orders/updated", "orders/cancelled")


def becomes_an_event_or_a_reason(found: Told | None) -> None:
    """Take what was told as far as the journal."""
    if found is None or isinstance(found.payload, Unusable):
        json.dumps(found and found.document)
        return
    assert isinstance(found.payload, Payload)
    assert found.event_type is not None
    leaf = Leaf(event_id="", event_type=found.event_type, occurred_at="", received_at="")
    try:
        payloads.check(found.event_type, found.payload)
        payloads.occurred(found.payload, now_ms(), False)
        leaf.revised_at = payloads.revised(found.payload, now_ms(), False)
        payloads.metadata_text(found.payload.metadata)
        payloads.fill(leaf, found.payload, "EUR")
        keyed_event_id("org", f"{SHOP}\0{found.event_type}", found.key)
        payloads.customer_hash(b"k", found.payload.customer_id, found.payload.shop)
    except Unusable:
        return
    for name in ("revenue_cents", "refund_amount_cents", "subtotal_cents", "tax_cents", "discount_cents"):
        assert (getattr(leaf, name) or 0) >= 0, name
    encode_leaf(leaf)


@pytest.mark.parametrize("topic", [*ORDER_TOPICS, "refunds/create", "order_transactions/create"])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=150)
@given(st.data())
def test_anything_in_a_field_of_shopifys(topic: str, data: st.DataObject) -> None:
    sample = shopify(topic)
    if topic in ORDER_TOPICS:
        sample["financial_status"] = "paid"
        sample["refunds"] = [shopify("refunds/create")]
    for _ in range(data.draw(st.integers(1, 3))):
        places = [path for path in paths(sample) if path[0] != "billing_address"]
        sample = with_odd(sample, data.draw(st.sampled_from(places)), data.draw(st.sampled_from(ODD)))
    if topic == "order_transactions/create":
        sample["kind"] = "refund"
    for found in module.told(topic, read_document(json.dumps(sample).encode()), SHOP):
        becomes_an_event_or_a_reason(found)


@pytest.mark.parametrize(
    "make",
    [
        lambda: checkout(metadata={"order_id": "1"}, customer_details={"email": "e@brand.example"}, discounts=[{}]),
        lambda: refunded(5_000, 3_000),
        lambda: refunded(5_000, None, refunds={"data": [{"created": 1, "amount": 5}]}),
        lambda: dispute("created", "needs_response"),
        lambda: dispute("closed", "won"),
    ],
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=80)
@given(st.data())
def test_anything_in_a_field_of_stripes(make: Any, data: st.DataObject) -> None:
    event = make()
    for _ in range(data.draw(st.integers(1, 3))):
        event = with_odd(event, data.draw(st.sampled_from(list(paths(event)))), data.draw(st.sampled_from(ODD)))
    becomes_an_event_or_a_reason(stripe_checkout.told(read_document(json.dumps(event).encode()), "acct_1"))


@pytest.mark.parametrize("topic", [*ORDER_TOPICS, "refunds/create", "order_transactions/create"])
def test_the_samples_of_every_version_of_shopifys_api_are_usable(topic: str) -> None:
    shopify(topic)
    found = sorted(SHOPIFY.glob(f"metadatas/*/{topic}.json"))
    assert len(found) > 8
    for path in found:
        sample = json.loads(path.read_text())["response"]
        if topic in ORDER_TOPICS:
            sample["financial_status"] = "paid"
        if topic == "order_transactions/create":
            assert sample["kind"] == "authorization", path
            sample["kind"] = "refund"
        told = module.told(topic, read_document(json.dumps(sample).encode()), SHOP)
        if topic == "refunds/create" and all(each["kind"] != "refund" for each in sample["transactions"]):
            assert told == [], path
            continue
        assert told, path
        for each in told:
            assert isinstance(each.payload, Payload), (path, each.payload)
            assert each.payload.currency == "USD"


def test_a_lone_surrogate_is_no_json() -> None:
    with pytest.raises(Unusable):
        read_document(b'{"id": "\\ud800"}')


def test_a_number_beyond_all_bounds_is_refused() -> None:
    for number in (b"1e99999999999999999999", b"-1e-99999999999999999999"):
        with pytest.raises(Unusable):
            read_document(b'{"id": 1, "note": %b}' % number)


@pytest.mark.parametrize("status", [[], {}, [["success"]]])
def test_a_status_that_is_no_text_moves_no_money(status: Any) -> None:
    transaction = {"kind": "refund", "status": status, "amount": "5.00", "currency": "EUR"}
    refund = {"id": 1, "order_id": 2, "transactions": [transaction]}
    assert module.told("refunds/create", read_document(json.dumps(refund).encode()), SHOP) == []
