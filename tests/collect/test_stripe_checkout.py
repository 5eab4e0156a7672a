"""What Stripe's webhooks become. Objects are made from Stripe's own specification, signatures by its own library."""

from __future__ import annotations

import json
from typing import Any

import pytest

from stackfluence.click.click_id import ClickIdKeys
from stackfluence.clock import now_ms, uuid7
from stackfluence.collect import stripe_checkout as module
from stackfluence.collect.documents import read_document
from stackfluence.collect.payloads import Payload
from stackfluence.collect.recording import Told
from stackfluence.collect.unusable import Unusable
from tests.collect.vendors import STRIPE_SECRET, Document, sign_stripe, stripe_event, stripe_object
from tests.edge.edges import LINK, ORGANIZATION, SECRETS, TTL_HOURS

NOW = 1_795_000_000


def told(event: Document) -> Told | None:
    return module.told(read_document(json.dumps(event).encode()), "acct_1")


def heard(event: Document) -> Payload:
    found = told(event)
    assert found is not None
    assert isinstance(found.payload, Payload), found.payload
    return found.payload


def key_of(event: Document) -> str:
    found = told(event)
    assert found is not None
    return found.key


def refused(event: Document) -> tuple[str, str]:
    found = told(event)
    assert found is not None
    assert isinstance(found.payload, Unusable), found.payload
    return found.payload.reason, found.payload.detail


def checkout(topic: str = "checkout.session.completed", **fields: Any) -> Document:
    """Return the event of a paid session."""
    given: Document = {
        "id": "cs_1", "payment_status": "paid", "mode": "payment", "payment_intent": "pi_1", "created": NOW,
        "amount_total": 10_900, "amount_subtotal": 11_000, "currency": "eur",
        "total_details": {"amount_discount": 1_000, "amount_shipping": 500, "amount_tax": 400}, **fields,
    }  # fmt: skip
    return stripe_event(topic, stripe_object("checkout.session", **given))


def refunded(so_far: int, before: int | None, **fields: Any) -> Document:
    """Return the event of a charge of which `so_far` went back, `before` of it earlier."""
    given: Document = {
        "id": "ch_1", "amount": 10_900, "amount_refunded": so_far, "currency": "eur", "payment_intent": "pi_1", **fields
    }  # fmt: skip
    previous = None if before is None else {"amount_refunded": before, "receipt_url": None}
    return stripe_event("charge.refunded", stripe_object("charge", **given), previous)


def refund_told(topic: str, status: str, **fields: Any) -> Document:
    """Return an event about a refund by itself."""
    given: Document = {
        "id": "re_1", "amount": 3_000, "currency": "eur", "charge": "ch_1", "payment_intent": "pi_1", "status": status,
        **fields,
    }  # fmt: skip
    return stripe_event(topic, stripe_object("refund", **given), {"status": "pending"})


def dispute(topic: str, status: str, **fields: Any) -> Document:
    given: Document = {
        "id": "dp_1", "amount": 10_900, "currency": "eur", "charge": "ch_1", "payment_intent": "pi_1", "status": status,
        "reason": "fraudulent", **fields,
    }  # fmt: skip
    return stripe_event(f"charge.dispute.{topic}", stripe_object("dispute", **given))


def test_a_paid_checkout_is_told_in_full() -> None:
    details = {"email": "emma@brand.example", "name": "Emma"}
    order = heard(checkout(customer="cus_1", customer_details=details))
    assert (order.event_type, order.shop, order.order_id, order.currency) == ("purchase", "acct_1", "pi_1", "EUR")
    assert (order.revenue_cents, order.subtotal_cents, order.discount_cents) == (10_900, 11_000, 1_000)
    assert (order.tax_cents, order.shipping_cents) == (400, 500)
    assert (order.customer_id, order.email, order.is_test) == ("cus_1", "emma@brand.example", False)
    assert order.occurred_at == "2026-11-18T11:06:40.000Z"
    assert order.revised_at == "2026-11-18T11:06:40.000Z"
    assert order.metadata == {"checkout_session": "cs_1"}


def test_taxes_that_prices_include_are_taken_out_of_goods_and_shipping() -> None:
    """Goods of 119.00 with 19.00 inside, shipping of 5.95 with 0.95 inside; then the same shipping with tax on top."""
    details = {"amount_discount": 0, "amount_shipping": 595, "amount_tax": 1_995}
    cost = {"amount_subtotal": 595, "amount_tax": 95, "amount_total": 595}
    order = heard(checkout(amount_subtotal=11_900, amount_total=12_495, total_details=details, shipping_cost=cost))
    assert (order.revenue_cents, order.subtotal_cents, order.shipping_cents, order.tax_cents) == (
        12_495,
        10_000,
        500,
        1_995,
    )
    details["amount_shipping"] = 500
    cost = {"amount_subtotal": 500, "amount_tax": 95, "amount_total": 595}
    order = heard(checkout(amount_subtotal=11_900, amount_total=12_495, total_details=details, shipping_cost=cost))
    assert (order.revenue_cents, order.subtotal_cents, order.shipping_cents, order.tax_cents) == (
        12_495,
        10_000,
        500,
        1_995,
    )


@pytest.mark.parametrize("status", ["unpaid", "no_payment_required"])
def test_a_checkout_that_is_not_paid_moves_nothing(status: str) -> None:
    assert told(checkout(payment_status=status)) is None


def test_a_payment_that_takes_days_is_told_when_it_succeeded() -> None:
    order = heard(checkout("checkout.session.async_payment_succeeded"))
    assert (order.order_id, order.revenue_cents) == ("pi_1", 10_900)


def test_an_order_is_known_by_what_its_refunds_name() -> None:
    assert heard(checkout()).order_id == heard(refunded(100, 0)).original_order_id == "pi_1"
    assert heard(dispute("created", "needs_response")).original_order_id == "pi_1"
    assert heard(checkout(invoice="in_1")).order_id == "pi_1", "a receipt for a single payment is an invoice, too"
    subscription = checkout(payment_intent=None, invoice="in_1", mode="subscription")
    assert heard(subscription).order_id == "in_1"
    assert heard(checkout(payment_intent=None)).order_id == "cs_1"


def names(payload: Payload) -> tuple[object, object, str]:
    return payload.order_id or payload.original_order_id, payload.payment_id, payload.shop


def test_whatever_a_shop_calls_its_order_the_payment_is_named() -> None:
    own = {"order_id": "1001", "shop": "brand.example"}
    assert names(heard(checkout())) == ("pi_1", "pi_1", "acct_1")
    assert names(heard(checkout(metadata=own))) == ("1001", "pi_1", "brand.example")
    subscription: Document = {"payment_intent": None, "invoice": "in_1", "mode": "subscription"}
    assert names(heard(checkout(metadata=own, **subscription))) == ("1001", "in_1", "brand.example")
    assert names(heard(refunded(100, 0))) == ("pi_1", "pi_1", "acct_1")
    assert names(heard(refunded(100, 0, metadata=own))) == ("1001", "pi_1", "brand.example")
    assert names(heard(dispute("created", "needs_response"))) == ("pi_1", "pi_1", "acct_1")
    without_intent = {"payment_intent": None}
    assert names(heard(refunded(100, 0, **without_intent))) == ("ch_1", "ch_1", "acct_1")
    assert names(heard(dispute("created", "needs_response", **without_intent))) == ("ch_1", "ch_1", "acct_1")


def invoice_paid(**payment: Any) -> Document:
    """Return the event by which Stripe says what paid an invoice."""
    given: Document = {
        "id": "inpay_1", "invoice": "in_1", "status": "paid", "amount_paid": 10_900, "amount_requested": 10_900,
        "currency": "eur", "payment": {"type": "payment_intent", "payment_intent": "pi_1", **payment},
    }  # fmt: skip
    return stripe_event("invoice_payment.paid", stripe_object("invoice_payment", **given))


def test_what_paid_an_invoice_is_told_once() -> None:
    found = told(invoice_paid())
    assert found is not None
    assert (found.event_type, names(heard(invoice_paid()))) == ("payment", ("in_1", "pi_1", "acct_1"))
    by_charge = invoice_paid(type="charge", payment_intent=None, charge="ch_1")
    assert names(heard(by_charge)) == ("in_1", "ch_1", "acct_1")
    # before version 2025-03-31, whose published form had these two fields, the invoice said so itself
    invoice = stripe_object("invoice", id="in_1") | {"payment_intent": "pi_1", "charge": "ch_1"}
    earlier = told(stripe_event("invoice.paid", invoice, id="evt_2"))
    assert earlier is not None
    assert (earlier.event_type, earlier.key) == (found.event_type, found.key)


def test_an_invoice_that_stripe_was_not_paid_names_no_payment() -> None:
    record = {"type": "payment_record", "payment_record": "prec_1", "payment_intent": None}
    assert told(invoice_paid(**record)) is None
    assert told(stripe_event("invoice.paid", stripe_object("invoice", id="in_1"))) is None


def test_a_charge_of_an_older_version_names_its_invoice() -> None:
    """Then a subscription's order is found without being told by what its invoice was paid."""
    event = refunded(100, 0)
    event["data"]["object"]["invoice"] = "in_1"
    assert names(heard(event)) == ("in_1", "pi_1", "acct_1")


def test_the_click_id_is_the_metadatas_else_the_reference_when_that_is_one() -> None:
    signed = ClickIdKeys(SECRETS, TTL_HOURS).mint_for(ORGANIZATION, LINK)(uuid7(now_ms())[0], 0).decode()
    assert heard(checkout(metadata={"inf_click_id": "abc"}, client_reference_id=signed)).inf_click_id == "abc"
    assert heard(checkout(metadata={}, client_reference_id=signed)).inf_click_id == signed
    assert heard(checkout(client_reference_id="cart-4711")).inf_click_id == ""
    assert heard(checkout()).inf_click_id == ""


def test_codes_are_those_spelt_out_and_the_metadatas() -> None:
    discounts = [{"coupon": None, "promotion_code": {"id": "promo_1", "code": "EMMA10"}}, {"promotion_code": "promo_2"}]
    order = heard(checkout(discounts=discounts, metadata={"coupon_codes": "EMMA10, SOCKS"}))
    assert order.coupon_codes == ["EMMA10", "SOCKS"]


@pytest.mark.parametrize(
    ("currency", "amount", "cents"),
    [("jpy", 500, 500), ("kwd", 5_120, 5_120), ("ugx", 500, 5), ("mga", 500, 50_000), ("usd", 500, 500)],
)
def test_amounts_follow_stripes_rules_of_decimals(currency: str, amount: int, cents: int) -> None:
    details = {"amount_discount": 0, "amount_shipping": 0, "amount_tax": 0}
    fields: Document = {"amount_total": amount, "amount_subtotal": amount, "total_details": details}
    assert heard(checkout(currency=currency, **fields)).revenue_cents == cents
    assert heard(refunded(amount, 0, currency=currency)).refund_amount_cents == cents


def test_what_the_shopper_saw_in_another_currency_is_kept() -> None:
    details = {"presentment_amount": 1_900, "presentment_currency": "jpy"}
    order = heard(checkout(presentment_details=details))
    assert (order.currency, order.presentment_currency, order.presentment_revenue_cents) == ("EUR", "JPY", 1_900)


def test_test_mode_is_told() -> None:
    assert heard(checkout() | {"livemode": False}).is_test
    assert heard(refunded(100, 0) | {"livemode": False}).is_test


def test_each_refund_of_a_charge_is_counted_once() -> None:
    """What Stripe tells is the sum so far; here 30.00, then 20.00, then the rest."""
    events = [refunded(3_000, 0), refunded(5_000, 3_000), refunded(10_900, 5_000)]
    assert [heard(event).refund_amount_cents for event in events] == [3_000, 2_000, 5_900]
    assert {heard(event).reason for event in events} == {"refund"}


def test_a_refund_of_an_older_version_is_the_newest_of_the_list() -> None:
    refunds = [
        stripe_object("refund", id="re_2", amount=2_000, created=200, currency="eur"),
        stripe_object("refund", id="re_1", amount=3_000, created=100, currency="eur"),
    ]
    listed = {"object": "list", "data": refunds, "has_more": False, "url": "/v1/charges/ch_1/refunds"}
    assert heard(refunded(5_000, None, refunds=listed)).refund_amount_cents == 2_000


def test_a_refund_that_cannot_be_told_from_earlier_ones_is_refused() -> None:
    assert refused(refunded(5_000, None)) == ("missing_field", "data.previous_attributes.amount_refunded")
    assert refused(refunded(1_000, 3_000))[0] == "amount_out_of_range"
    assert told(refunded(3_000, 3_000)) is None


@pytest.mark.parametrize("status", ["failed", "canceled"])
def test_a_refund_that_gave_nothing_back_is_told_once(status: str) -> None:
    events = [refund_told(topic, status) for topic in ("refund.failed", "refund.updated", "charge.refund.updated")]
    assert {(heard(event).reason, heard(event).refund_amount_cents) for event in events} == {("refund_failed", 3_000)}
    assert len({key_of(event) for event in events}) == 1
    assert names(heard(events[0])) == names(heard(refunded(3_000, 0))) == ("pi_1", "pi_1", "acct_1")
    other = refund_told("refund.updated", status, id="re_2", payment_intent=None)
    assert key_of(other) != key_of(events[0])
    assert names(heard(other)) == ("ch_1", "ch_1", "acct_1")


@pytest.mark.parametrize("status", ["pending", "requires_action", "succeeded"])
def test_a_refund_that_goes_well_is_told_by_its_charge_alone(status: str) -> None:
    for topic in ("refund.updated", "charge.refund.updated"):
        assert told(refund_told(topic, status)) is None


def test_a_refund_of_no_payment_moves_nothing() -> None:
    assert told(refund_told("refund.failed", "failed", charge=None, payment_intent=None)) is None


def test_a_dispute_takes_back_and_a_won_one_gives_again_each_once() -> None:
    taken = [dispute("created", "needs_response"), dispute("funds_withdrawn", "needs_response")]
    given = [dispute("closed", "won"), dispute("funds_reinstated", "won")]
    for events, reason in ((taken, "chargeback"), (given, "chargeback_reversed")):
        assert {(heard(event).reason, heard(event).refund_amount_cents) for event in events} == {(reason, 10_900)}
        assert len({key_of(event) for event in events}) == 1
    assert told(dispute("closed", "lost")) is None
    assert told(dispute("created", "prevented")) is None


def test_a_shops_own_order_is_named_in_the_metadata_of_session_and_charge() -> None:
    named = {"order_id": "1001", "shop": "brand.example"}
    order, refund = heard(checkout(metadata=named)), heard(refunded(100, 0, metadata=named))
    assert (order.order_id, order.shop) == (refund.original_order_id, refund.shop) == ("1001", "brand.example")


def test_ids_may_be_spelt_out_as_objects() -> None:
    intent = stripe_object("payment_intent", id="pi_1")
    assert heard(checkout(payment_intent=intent, customer={"id": "cus_1"})).order_id == "pi_1"


@pytest.mark.parametrize(("topic", "status"), [("created", "warning_needs_response"), ("closed", "warning_closed")])
def test_an_inquiry_moves_no_money(topic: str, status: str) -> None:
    assert told(dispute(topic, status)) is None


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        (lambda: checkout(currency="xyz"), "unknown_value"),
        (lambda: checkout(currency=None), "missing_field"),
        (lambda: checkout(amount_total=-5), "amount_out_of_range"),
        (lambda: checkout(amount_total=None), "missing_field"),
        (lambda: checkout(amount_total=10**13), "amount_out_of_range"),
        (lambda: checkout() | {"data": {"object": "cs_1"}}, "missing_field"),
        (lambda: checkout() | {"id": None}, "missing_field"),
        (lambda: dispute("created", "needs_response", currency="xyz"), "unknown_value"),
    ],
)
def test_what_makes_no_sense_is_refused_with_its_reason(event: Any, reason: str) -> None:
    assert refused(event())[0] == reason


@pytest.mark.parametrize("topic", ["invoice.finalized", "charge.succeeded", "", None, 5])
def test_a_topic_that_is_not_used_moves_nothing(topic: object) -> None:
    assert told(checkout() | {"type": topic}) is None


def test_a_signature_of_stripes_own_library_is_taken() -> None:
    body = json.dumps(checkout()).encode()
    module.check_signature(body, sign_stripe(body, at=NOW).encode(), ["whsec_old", STRIPE_SECRET], NOW)
    module.check_signature(body, sign_stripe(body, at=NOW).encode(), [STRIPE_SECRET], NOW + 300)
    rolled = f"{sign_stripe(body, 'whsec_other', at=NOW)},v1={sign_stripe(body, at=NOW).rpartition('=')[2]}"
    module.check_signature(body, rolled.encode(), [STRIPE_SECRET], NOW)


@pytest.mark.parametrize("at", [NOW + 301, NOW - 301])
def test_a_replay_is_refused(at: int) -> None:
    body = json.dumps(checkout()).encode()
    with pytest.raises(module.Unsigned, match="300 seconds"):
        module.check_signature(body, sign_stripe(body, at=NOW).encode(), [STRIPE_SECRET], at)


@pytest.mark.parametrize(
    "header",
    [b"", b"t=1795000000", b"v1=abc", b"t=,v1=", b"t=1795000000,v1=", b"t=x,v1=abc", b"\xff" * 50, b"t=1," * 1000,
     b"t=" + b"9" * 400 + b",v1=a"],
)  # fmt: skip
def test_a_forged_signature_is_refused(header: bytes) -> None:
    with pytest.raises(module.Unsigned):
        module.check_signature(b"{}", header, [STRIPE_SECRET], NOW)
    with pytest.raises(module.Unsigned):
        module.check_signature(b"{}", sign_stripe(b"{}", at=NOW).encode(), [], NOW)
    with pytest.raises(module.Unsigned):
        module.check_signature(b"{ }", sign_stripe(b"{}", at=NOW).encode(), [STRIPE_SECRET], NOW)
