"""What Stripe's webhooks of one order come to together, by whatever each calls it, in whatever order they come."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from stackfluence.collect import stripe_checkout
from stackfluence.collect.documents import read_document
from stackfluence.collect.payloads import Payload, fill
from stackfluence.collect.recording import keyed_event_id
from stackfluence.events.event import Leaf
from stackfluence.facts import derive_orders
from tests.collect.vendors import Document, stripe_event, stripe_object
from tests.facts.days import DAY, DAY_START_MS, Days
from tests.facts.order_cases import conversions

NOW = DAY_START_MS // 1000 + 3600
OWN = {"order_id": "1001", "shop": "brand.example"}
SINGLE: Document = {"payment_intent": "pi_1", "mode": "payment"}
SUBSCRIPTION: Document = {"payment_intent": None, "invoice": "in_1", "mode": "subscription"}


def webhooks(session: Document, metadata: Document, charged: Document) -> list[Document]:
    """Return a checkout, what paid its invoice, refunds of 10.00 and 5.00 (which fails), a dispute about 20.00."""
    sold: Document = {
        "id": "cs_1", "payment_status": "paid", "created": NOW, "amount_total": 10_900, "amount_subtotal": 10_900,
        "currency": "eur", "metadata": metadata, **session,
    }  # fmt: skip
    payment: Document = {"type": "payment_intent", "payment_intent": "pi_1"}
    failed = stripe_object(
        "refund", id="re_2", amount=500, currency="eur", charge="ch_1", payment_intent="pi_1", status="failed"
    )
    told = [
        ("checkout.session.completed", stripe_object("checkout.session", **sold), None),
        (
            "invoice_payment.paid",
            stripe_object("invoice_payment", id="inpay_1", invoice="in_1", payment=payment, currency="eur"),
            None,
        ),
        (
            "charge.refunded",
            stripe_object(
                "charge", id="ch_1", amount=10_900, amount_refunded=1_000, currency="eur", payment_intent="pi_1",
                metadata=charged,
            ),
            {"amount_refunded": 0},
        ),
        (
            "charge.refunded",
            stripe_object(
                "charge", id="ch_1", amount=10_900, amount_refunded=1_500, currency="eur", payment_intent="pi_1",
                metadata=charged,
            ),
            {"amount_refunded": 1_000},
        ),
        *((topic, failed, {"status": "pending"}) for topic in stripe_checkout.REFUND_UPDATES),
        (
            "charge.dispute.funds_withdrawn",
            stripe_object(
                "dispute", id="dp_1", amount=2_000, currency="eur", charge="ch_1", payment_intent="pi_1",
                status="needs_response",
            ),
            None,
        ),
    ]  # fmt: skip
    if not session.get("invoice"):
        del told[1]
    return [
        stripe_event(topic, about, previous, id=f"evt_{place}", created=NOW + 60 * place)
        for place, (topic, about, previous) in enumerate(told)
    ]


def deliver(days: Days, event: Document) -> None:
    """Put on disk what the edge makes of a webhook."""
    told = stripe_checkout.told(read_document(json.dumps(event).encode()), "acct_1")
    assert told is not None
    assert told.event_type is not None
    assert isinstance(told.payload, Payload), told.payload
    leaf = Leaf(event_id="", event_type=told.event_type, occurred_at="", received_at="", trust_tier="connector")
    fill(leaf, told.payload, "EUR")
    names = ("order_id", "payment_id", "shop", "original_order_id", "refund_amount_cents", "reason", "currency",
             "conversion_type", "revenue_cents", "trust_tier")  # fmt: skip
    fields: dict[str, Any] = {name: getattr(leaf, name) for name in names}
    event_id = keyed_event_id(days.organization_id, f"stripe\0{told.event_type}", told.key)
    days.event(told.event_type, event["created"] * 1000 - DAY_START_MS, event_id=event_id, **fields)


@pytest.mark.parametrize(
    ("session", "metadata", "charged", "named"),
    [
        (SINGLE, {}, {}, "pi_1"),
        (SINGLE, OWN, OWN, "1001"),
        (SINGLE, OWN, {}, "1001"),
        (SINGLE | {"invoice": "in_1"}, {}, {}, "pi_1"),
        (SUBSCRIPTION, {}, {}, "in_1"),
        (SUBSCRIPTION, OWN, {}, "1001"),
    ],
)
def test_refund_and_dispute_are_of_the_order_that_was_paid(
    days: Days, session: Document, metadata: Document, charged: Document, named: str
) -> None:
    """In whatever order they arrive; each is of an organization of its own."""
    events = webhooks(session, metadata, charged)
    chance = random.Random(0)
    arrivals = [events, events[::-1], *(chance.sample(events, len(events)) for _ in range(4))]
    for number, arrival in enumerate(arrivals):
        days.organization_id = f"org_{number:07d}"
        for event in arrival:
            deliver(days, event)
    days.load()
    for number in range(len(arrivals)):
        days.organization_id = f"org_{number:07d}"
        derive_orders(days.store, days.run(), [DAY])
        found = conversions(days)
        assert list(found) == [named]
        order = found[named]
        assert (order["revenue_cents"], order["refunded_cents"], order["refunds"]) == (10_900, 3_000, 4)
        assert order["refunded_by_reason"] == {"refund": 1_500, "refund_failed": 500, "chargeback": 2_000}
