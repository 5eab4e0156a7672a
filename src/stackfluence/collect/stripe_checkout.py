"""Stripe's webhooks: who signed them, and the paid Checkout, refund or dispute they tell of. Formats: docs.stripe.com.

An order's id is what a shop whose orders are told by others too says in the session's metadata, `order_id` and `shop`;
else the session's payment intent, else its invoice. Refunds and disputes find it by the payment, whatever it is called:
charges and disputes name their payment intent, and a session, too, names that or, of a subscription, its invoice. Since
version 2025-03-31 nothing but an invoice payment says which intent paid an invoice; before, the invoice itself did
("Adds support for multiple (partial) payments on invoices" in Stripe's changelog). Either is told as a payment.

A charge tells the sum of its refunds so far (`amount_refunded`); what this one gave back is that less
`previous_attributes`, so that each is counted once, when it is made. One that fails or is cancelled later is told by up
to three events, and takes that back once. A dispute takes money back when it is created or its funds are withdrawn, and
gives it back when it is won or they are reinstated: each once, whichever of the events are sent. One that is only an
inquiry (`warning_…`) or was prevented moves none.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from typing import Any

from stackfluence.click import click_id
from stackfluence.clock import rfc3339
from stackfluence.collect import documents
from stackfluence.collect.documents import Document, inside, objects, required, text
from stackfluence.collect.money import minor_digits, stripe_minor_units
from stackfluence.collect.payloads import MAX_CODES, MAX_EMAIL, MAX_TEXT, Payload, Text, limited
from stackfluence.collect.recording import Told
from stackfluence.collect.unusable import Unusable
from stackfluence.vocabulary import ConversionType, EventType, QuarantineReason, RefundReason

TOLERANCE_SECONDS = 300  # docs.stripe.com/webhooks/signature: what their own libraries take
CHECKOUTS = ("checkout.session.completed", "checkout.session.async_payment_succeeded")
REFUND_UPDATES = ("refund.failed", "refund.updated", "charge.refund.updated")  # the last one before 2024-10-28
TYPES = {
    **dict.fromkeys(CHECKOUTS, EventType.conversion),
    "invoice_payment.paid": EventType.payment,
    "invoice.paid": EventType.payment,
    "charge.refunded": EventType.refund,
    **dict.fromkeys(REFUND_UPDATES, EventType.refund),
    "charge.dispute.created": EventType.refund,
    "charge.dispute.funds_withdrawn": EventType.refund,
    "charge.dispute.closed": EventType.refund,
    "charge.dispute.funds_reinstated": EventType.refund,
}
FAILED = ("failed", "canceled")  # the statuses of a refund that gave nothing back after all; both are final
INQUIRY = "warning_"  # how the status of a dispute begins that has moved no money
MAX_SIGNATURES = 16
_SHOWN = ("id", "type", "created", "livemode", "account", "api_version")
_SHOWN_OBJECT = (
    "id", "amount", "amount_total", "amount_refunded", "currency", "payment_intent", "payment_status", "status",
    "charge", "invoice",
)  # fmt: skip


class Unsigned(Exception):
    """A hook whose signature is not by any of the secrets, or too old; the message says which."""


def check_signature(body: bytes | bytearray, header: bytes, secrets: Iterable[str], now_seconds: int) -> None:
    """Raise Unsigned unless `Stripe-Signature` (`t=…,v1=…`) is one of the secrets' and at most 300 seconds old.

    `v1` is HMAC-SHA256, hex, of `t`, a full stop and the raw body; while secrets are rolled there are several.
    """
    parts = [part.strip().partition(b"=") for part in header.split(b",", MAX_SIGNATURES)[:MAX_SIGNATURES]]
    stated = next((value for name, _, value in parts if name == b"t"), b"")
    if not stated.isdigit() or len(stated) > 12:
        raise Unsigned("Stripe-Signature has no time.")
    signed = b".".join((stated, body))
    wanted = [hmac.digest(secret.encode(), signed, "sha256").hex().encode() for secret in secrets]
    given = [value for name, _, value in parts if name == b"v1"]
    if not any(hmac.compare_digest(each, other) for each in wanted for other in given):
        raise Unsigned("Stripe-Signature is none of this connection's secrets'.")
    if abs(now_seconds - int(stated)) > TOLERANCE_SECONDS:
        raise Unsigned(f"Stripe-Signature's time is more than {TOLERANCE_SECONDS} seconds away from ours.")


def told(document: Document, shop: str) -> Told | None:
    """Return the event that a webhook tells of, None for one that moves nothing. Its id makes it known for ever."""
    topic = inside(document, "type")
    event_type = TYPES.get(topic) if isinstance(topic, str) else None
    if event_type is None:
        return None
    key = f"stripe/{inside(document, 'id')}"
    payload: Payload | Unusable | None
    try:
        key = f"stripe/{required(document, 'id')}"
        if topic in _TURNS:
            key = f"stripe/{required(_object(document), 'id')}/{_TURNS[topic].value}"
        payload = _READERS[topic](document, shop)
        if event_type is EventType.payment and payload is not None:  # both topics may tell of the same
            key = f"stripe/{payload.order_id}/{payload.payment_id}"
    except Unusable as problem:
        payload = problem
    if payload is None:
        return None
    shown = documents.shown(document, _SHOWN)
    shown["object"] = documents.shown(inside(document, "data", "object"), _SHOWN_OBJECT)
    return Told(event_type, key, limited(payload), shown)


def _checkout(event: Document, shop: str) -> Payload | None:
    session = _object(event)
    if text(session, "payment_status") != "paid":
        return None  # an async payment tells when it succeeded; nothing to pay is nobody's purchase
    currency = _currency(session)

    def amount(*names: str) -> int:
        return _amount(session, currency, *names)

    goods_tax, shipping_tax = _taxes_inside(session, currency)
    return Payload(
        event_type=ConversionType.purchase.value,
        shop=_shop(session, shop),
        order_id=text(session, "metadata", "order_id") or _payment_id(session) or required(session, "id"),
        payment_id=_payment_id(session),
        occurred_at=_at(session),
        revised_at=_at(event),
        inf_click_id=_click_id(session),
        currency=currency,
        revenue_cents=amount("amount_total"),
        subtotal_cents=amount("amount_subtotal") - goods_tax,
        discount_cents=amount("total_details", "amount_discount"),
        tax_cents=amount("total_details", "amount_tax"),
        shipping_cents=amount("total_details", "amount_shipping") - shipping_tax,
        coupon_codes=_codes(session),
        customer_id=_id(session, "customer"),
        email=_email(session),
        is_test=inside(event, "livemode") is False,
        metadata={"checkout_session": required(session, "id")},
        **_presentment(session, currency),
    )


def _taxes_inside(session: Document, currency: str) -> tuple[int, int]:
    """Return the taxes that the prices of goods and of shipping include: by how much the parts exceed the total."""

    def amount(*names: str) -> int:
        return _amount(session, currency, *names)

    tax, shipping = amount("total_details", "amount_tax"), amount("total_details", "amount_shipping")
    parts = amount("amount_subtotal") - amount("total_details", "amount_discount") + shipping + tax
    whole = min(max(parts - amount("amount_total"), 0), tax)
    cost = amount("shipping_cost", "amount_subtotal") + amount("shipping_cost", "amount_tax")
    of_shipping = min(max(cost - amount("shipping_cost", "amount_total"), 0), whole, shipping)
    return whole - of_shipping, of_shipping


def _payment(event: Document, shop: str) -> Payload | None:
    """Return by what an invoice was paid, None when that is not said, or was not Stripe's."""
    about = _object(event)
    is_invoice = text(event, "type") == "invoice.paid"
    payment = about if is_invoice else inside(about, "payment")
    payment_id = _id(payment, "payment_intent") or _id(payment, "charge")
    if not payment_id:
        return None
    return Payload(
        shop=shop,
        order_id=required(about, "id") if is_invoice else _id(about, "invoice"),
        payment_id=payment_id,
        occurred_at=_at(event),
        is_test=inside(event, "livemode") is False,
    )


def _refund(event: Document, shop: str) -> Payload | None:
    charge = _object(event)
    currency = _currency(charge)
    so_far = _amount(charge, currency, "amount_refunded")
    if inside(event, "data", "previous_attributes", "amount_refunded") is not None:
        given_back = so_far - _amount(event, currency, "data", "previous_attributes", "amount_refunded")
    else:  # older versions list the refunds in the charge, the newest first
        refunds = objects(charge, "refunds", "data")
        if not refunds:
            raise Unusable(QuarantineReason.missing_field, "data.previous_attributes.amount_refunded")
        given_back = _amount(max(refunds, key=_created), currency, "amount")
    if given_back == 0:
        return None
    payment_id = _id(charge, "payment_intent") or required(charge, "id")
    return _money_back(event, shop, payment_id, given_back, RefundReason.refund, {"charge": required(charge, "id")})


def _failed_refund(event: Document, shop: str) -> Payload | None:
    refund = _object(event)
    payment_id = _id(refund, "payment_intent") or _id(refund, "charge")
    if text(refund, "status") not in FAILED or not payment_id:  # a customer's balance is refunded without a payment
        return None
    metadata = {"refund": required(refund, "id"), "failure_reason": text(refund, "failure_reason")[:MAX_TEXT]}
    cents = _amount(refund, _currency(refund), "amount")
    return _money_back(event, shop, payment_id, cents, RefundReason.refund_failed, metadata)


def _dispute(event: Document, shop: str) -> Payload | None:
    dispute = _object(event)
    topic, status = text(event, "type"), text(dispute, "status")
    if status.startswith(INQUIRY) or status == "prevented" or (topic == "charge.dispute.closed" and status != "won"):
        return None  # lost: what its creation took away stays away
    payment_id = _id(dispute, "payment_intent") or _id(dispute, "charge")
    metadata = {"dispute": required(dispute, "id"), "dispute_reason": text(dispute, "reason")[:MAX_TEXT]}
    return _money_back(
        event, shop, payment_id, _amount(dispute, _currency(dispute), "amount"), _DISPUTES[topic], metadata
    )


def _money_back(
    event: Document, shop: str, payment_id: str, cents: int, reason: RefundReason, metadata: dict[str, str]
) -> Payload:
    """Return what a refund or dispute did to the order that a payment paid."""
    subject = _object(event)
    return Payload(
        shop=_shop(subject, shop),
        # a charge of a version before 2025-03-31 names its invoice
        original_order_id=text(subject, "metadata", "order_id") or _id(subject, "invoice") or payment_id,
        payment_id=payment_id,
        occurred_at=_at(event),
        revised_at=_at(event),
        currency=_currency(subject),
        refund_amount_cents=cents,
        reason=reason.value,
        is_test=inside(event, "livemode") is False,
        metadata=metadata,
    )


_DISPUTES = {
    "charge.dispute.created": RefundReason.chargeback,
    "charge.dispute.funds_withdrawn": RefundReason.chargeback,
    "charge.dispute.closed": RefundReason.chargeback_reversed,
    "charge.dispute.funds_reinstated": RefundReason.chargeback_reversed,
}
# what several events may tell of one dispute or refund, once
_TURNS = {**_DISPUTES, **dict.fromkeys(REFUND_UPDATES, RefundReason.refund_failed)}
_READERS = {
    **dict.fromkeys(CHECKOUTS, _checkout),
    **dict.fromkeys(_DISPUTES, _dispute),
    **dict.fromkeys(REFUND_UPDATES, _failed_refund),
    "invoice_payment.paid": _payment,
    "invoice.paid": _payment,
    "charge.refunded": _refund,
}


def _id(document: object, name: str) -> str:
    """Return the id of another object, which may be spelt out."""
    found = inside(document, name)
    return text(found, "id") if isinstance(found, dict) else text(document, name)


def _payment_id(session: Document) -> str:
    """Return what a session was paid by, or, of a subscription, for; empty when it names neither."""
    return _id(session, "payment_intent") or _id(session, "invoice")


def _shop(document: Document, shop: str) -> str:
    return text(document, "metadata", "shop") or shop


def _object(event: Document) -> Document:
    found = inside(event, "data", "object")
    if not isinstance(found, dict):
        raise Unusable(QuarantineReason.missing_field, "data.object")
    return found


def _currency(document: Document) -> str:
    currency = required(document, "currency").upper()
    minor_digits(currency)
    return currency


def _amount(document: Document, currency: str, *names: str) -> int:
    """Return an amount in ISO's minor units, 0 for none; of the total itself there must be one."""
    found = inside(document, *names)
    if found is None:
        if names == ("amount_total",):
            raise Unusable(QuarantineReason.missing_field, "amount_total")
        return 0
    return stripe_minor_units(found, currency, ".".join(names))


def _created(document: Document) -> int:
    found = inside(document, "created")
    if isinstance(found, bool) or not isinstance(found, int) or not 0 <= found < 10**11:
        raise Unusable(QuarantineReason.wrong_type, "created")
    return found


def _at(document: Document) -> str:
    return rfc3339(_created(document) * 1000)


def _click_id(session: Document) -> str:
    """Return the click ID of the metadata, else the client reference, where that is one and not the shop's own."""
    found = inside(session, "metadata", "inf_click_id")
    if isinstance(found, str) and found:
        return found
    reference = inside(session, "client_reference_id")
    return reference if isinstance(reference, str) and click_id.decode(reference) is not None else ""


def _codes(session: Document) -> list[Text]:
    """Return the promotion codes that the event spells out, and those in the metadata's `coupon_codes`, by commas.

    By itself Stripe names a promotion code by its own id (`promo_…`), which no shopper types.
    """
    found = [text(each, "promotion_code", "code") for each in objects(session, "discounts")]
    found += [code.strip() for code in text(session, "metadata", "coupon_codes").split(",")]
    codes: list[Text] = [str(code)[:MAX_TEXT] for code in dict.fromkeys(found) if code]
    return codes[:MAX_CODES]


def _email(session: Document) -> str:
    email = text(session, "customer_details", "email") or text(session, "customer_email")
    return email if "@" in email and len(email) <= MAX_EMAIL else ""


def _presentment(session: Document, currency: str) -> dict[str, Any]:
    """Return what the shopper saw and paid, when Stripe offered another currency than the shop's price has."""
    paid_in = text(session, "presentment_details", "presentment_currency").upper()
    if paid_in in ("", currency):
        return {}
    amount = inside(session, "presentment_details", "presentment_amount")
    return {
        "presentment_currency": paid_in,
        "presentment_revenue_cents": stripe_minor_units(amount, paid_in, "presentment_amount"),
    }
