"""Shopify's webhooks: who signed them, and the order or refund they tell of. Formats: shopify.dev/docs/api/webhooks.

What an order or refund is worth is in `shopify_amounts`.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import urlsplit

from stackfluence.click.visitor import read_query
from stackfluence.collect import documents
from stackfluence.collect.documents import Document, inside, objects, required, text
from stackfluence.collect.money import minor_digits, minor_units, share
from stackfluence.collect.payloads import MAX_CODES, MAX_EMAIL, MAX_LINES, MAX_TEXT, OrderLine, Payload, Text, limited
from stackfluence.collect.recording import Told
from stackfluence.collect.shopify_amounts import (
    given_back,
    is_money_back,
    left_of,
    many_of,
    money_back,
    price,
    returned_by,
    scaled,
    sold_for,
    worth,
)
from stackfluence.collect.unusable import Unusable
from stackfluence.vocabulary import ConversionType, CustomerType, EventType, QuarantineReason, RefundReason

CLICK_ID_NAMES = ("inf_click_id", "_inf_click_id")  # of a cart attribute; the checkout hides what begins with _
PAID = frozenset(("paid", "partially_refunded", "refunded"))  # of financial_status
RENEWAL_SOURCE = "subscription_contract"  # source_name of an order that a subscription made by itself
TYPES = {
    "orders/paid": EventType.conversion,
    "orders/updated": EventType.conversion,
    "orders/cancelled": EventType.refund,
    "refunds/create": EventType.refund,
    "order_transactions/create": EventType.refund,
}
_SHOWN = (
    "id", "order_id", "name", "currency", "total_price", "current_total_price", "subtotal_price", "financial_status",
    "created_at", "processed_at", "updated_at", "cancelled_at", "test",
)  # fmt: skip


def is_signed(body: bytes | bytearray, signature: bytes, secrets: Iterable[str]) -> bool:
    """Whether `X-Shopify-Hmac-Sha256` is one of the secrets' HMAC-SHA256 over the raw body, in base64."""
    return any(
        hmac.compare_digest(base64.b64encode(hmac.digest(secret.encode(), body, hashlib.sha256)), signature)
        for secret in secrets
    )


def shop_of(document: Document) -> str:
    """Return the shop's own domain that an order names, `brand.myshopify.com`; empty where it shows another."""
    try:
        host = urlsplit(text(document, "order_status_url")).hostname or ""
    except (ValueError, Unusable):
        return ""
    return host if host.endswith(".myshopify.com") else ""


def told(topic: str, document: Document, shop: str) -> list[Told]:
    """Return the events that a webhook tells of, none for one that moves nothing, several for a refund paid in parts.

    Only the body is signed, so the topic and ids of the headers are not believed: a refund is known by the id of the
    transaction that gave the money back, an order by its id, the time of its last change and its worth, and whether it
    is paid or cancelled is what it says itself.
    """
    event_type = TYPES.get(topic)
    if event_type is None:
        return []
    key = ""
    payload: Payload | Unusable | None
    try:
        identifier = required(document, "id")
        if topic == "refunds/create":
            key = f"shopify/refund/{identifier}"
            return [_told(event_type, *each, document) for each in _refund(document, shop)]
        if topic == "order_transactions/create":
            key = f"shopify/transaction/{identifier}"
            payload = _transaction(document, shop) if is_money_back(document) else None
        elif topic == "orders/cancelled":
            key = f"shopify/{topic}/{identifier}"
            payload = _cancellation(document, shop) if text(document, "cancelled_at") else None
        else:
            key = f"shopify/{topic}/{identifier}/{text(document, 'updated_at')}"
            payload = _order(document, shop) if text(document, "financial_status") in PAID else None
            if payload is not None:  # whose time has whole seconds, in which an order may change twice
                key += f"/{payload.revenue_cents}"
    except Unusable as problem:
        payload = problem
    return [] if payload is None else [_told(event_type, key, payload, document)]


def _told(event_type: EventType, key: str, payload: Payload | Unusable, document: Document) -> Told:
    return Told(event_type, key, limited(payload), documents.shown(document, _SHOWN))


def _order(order: Document, shop: str) -> Payload:
    currency = _currency(order)
    lines = objects(order, "line_items")
    if not lines:
        raise Unusable(QuarantineReason.missing_field, "line_items")
    sold = sold_for(order, currency)
    left = left_of(order, currency)
    revenue = worth(order, currency, sold, left)
    is_edited = left is not None and left.total > 0 and revenue != sold.total
    parts = left if is_edited and left is not None else sold
    kept = [each for each in lines if many_of(each, is_edited)]
    # shipping that was given back since, or taken out, has its tax listed all the same
    shipping_tax = min(_shipping_tax(order, currency), parts.shipping)
    is_tax_inside = inside(order, "taxes_included") is True
    goods_tax = max(parts.tax - shipping_tax, 0) if is_tax_inside else 0
    return Payload(
        event_type=ConversionType.purchase.value,
        shop=shop,
        order_id=required(order, "id"),
        occurred_at=_placed_at(order),
        revised_at=text(order, "updated_at"),
        inf_click_id=_click_id(order),
        currency=currency,
        revenue_cents=revenue,
        subtotal_cents=scaled(parts.merchandise + parts.discount - goods_tax, revenue, parts),
        discount_cents=scaled(parts.discount, revenue, parts),
        tax_cents=scaled(parts.tax, revenue, parts),
        shipping_cents=scaled(parts.shipping - (shipping_tax if is_tax_inside else 0), revenue, parts),
        lines=[_line(each, currency, is_edited, is_tax_inside) for each in kept[:MAX_LINES]],
        coupon_codes=_codes(order),
        is_renewal=text(order, "source_name") == RENEWAL_SOURCE,
        is_test=inside(order, "test") is True,
        page_url=text(order, "landing_site")[:2_000],
        referrer=text(order, "referring_site")[:2_000],
        metadata={"order_name": text(order, "name")[:MAX_TEXT], "source_name": text(order, "source_name")[:MAX_TEXT]},
        **_presentment(order, currency, revenue, sold.total),
        **_customer(order),
    )


def _cancellation(order: Document, shop: str) -> Payload:
    """Return what a cancelled order still was worth: what was given back before is told by its refunds."""
    currency = _currency(order)
    sold, left = sold_for(order, currency), left_of(order, currency)
    still_worth = worth(order, currency, sold, left) - given_back(order, currency)
    return Payload(
        shop=shop,
        original_order_id=required(order, "id"),
        occurred_at=required(order, "cancelled_at"),
        revised_at=text(order, "updated_at"),
        currency=currency,
        refund_amount_cents=max(still_worth, 0),
        reason=RefundReason.cancellation.value,
        is_test=inside(order, "test") is True,
        metadata={"cancel_reason": text(order, "cancel_reason")[:MAX_TEXT]},
    )


def _refund(refund: Document, shop: str) -> Iterator[tuple[str, Payload | Unusable]]:
    """Yield, with its key, each transaction of a refund by which money went back; the first has the lines."""
    currency = _refund_currency(refund)
    lines = [_refunded_line(each, currency) for each in objects(refund, "refund_line_items")[:MAX_LINES]]
    for place, transaction in enumerate(money_back(refund)):
        key = f"shopify/transaction/{required(transaction, 'id')}"
        try:
            payload = Payload(
                shop=shop,
                original_order_id=required(refund, "order_id"),
                occurred_at=text(refund, "processed_at") or text(refund, "created_at"),
                currency=currency,
                refund_amount_cents=returned_by(transaction, refund, currency),
                reason=RefundReason.refund.value,
                is_test=inside(transaction, "test") is True,
                lines=[] if place else lines,
                metadata={"refund_id": required(refund, "id")},
            )
        except Unusable as problem:
            yield key, problem
        else:
            yield key, payload


def _transaction(transaction: Document, shop: str) -> Payload:
    """Return what a transaction gave back, in the currency that the shopper paid with."""
    currency = _currency(transaction)
    return Payload(
        shop=shop,
        original_order_id=required(transaction, "order_id"),
        occurred_at=text(transaction, "processed_at") or text(transaction, "created_at"),
        currency=currency,
        refund_amount_cents=minor_units(inside(transaction, "amount"), currency, "amount"),
        reason=RefundReason.refund.value,
        is_test=inside(transaction, "test") is True,
        metadata={"transaction_id": required(transaction, "id")},
    )


def _currency(order: Document) -> str:
    currency = required(order, "currency").upper()
    minor_digits(currency)
    return currency


def _refund_currency(refund: Document) -> str:
    """Return the shop's currency, which a refund names only inside its amounts."""
    sets = [inside(refund, "total_duties_set")]
    sets += [inside(each, "subtotal_set") for each in objects(refund, "refund_line_items")]
    sets += [inside(each, "amount_set") for each in objects(refund, "order_adjustments")]
    codes = [text(each, "shop_money", "currency_code").upper() for each in sets]
    codes += [text(each, "currency").upper() for each in objects(refund, "transactions")]
    currency = next((code for code in codes if code), "")
    if not currency:
        raise Unusable(QuarantineReason.missing_field, "currency")
    minor_digits(currency)
    return currency


def _shipping_tax(order: Document, currency: str) -> int:
    lines = [tax for each in objects(order, "shipping_lines") for tax in objects(each, "tax_lines")]
    return sum(price(tax, "price", currency) for tax in lines)


def _line(line: Document, currency: str, is_edited: bool, is_tax_inside: bool) -> OrderLine:
    many, sold = many_of(line, is_edited), many_of(line, False)
    discount = sum(price(each, "amount", currency) for each in objects(line, "discount_allocations"))
    tax = sum(price(each, "price", currency) for each in objects(line, "tax_lines"))
    if many != sold and sold > 0:
        discount, tax = share(discount, many, sold), share(tax, many, sold)
    subtotal = price(line, "price", currency) * many - (tax if is_tax_inside else 0)
    return OrderLine(
        line_id=text(line, "id"),
        product_id=text(line, "product_id"),
        variant_id=text(line, "variant_id"),
        sku=text(line, "sku")[:MAX_TEXT],
        quantity=many,
        subtotal_cents=subtotal,
        discount_cents=discount,
        tax_cents=tax,
        is_gift_card=inside(line, "gift_card") is True,
    )


def _refunded_line(line: Document, currency: str) -> OrderLine:
    return OrderLine(
        line_id=text(line, "line_item_id"),
        product_id=text(line, "line_item", "product_id"),
        variant_id=text(line, "line_item", "variant_id"),
        sku=text(line, "line_item", "sku")[:MAX_TEXT],
        quantity=many_of(line, False),
        subtotal_cents=price(line, "subtotal", currency),
        tax_cents=price(line, "total_tax", currency),
        is_gift_card=inside(line, "line_item", "gift_card") is True,
    )


def _codes(order: Document) -> list[Text]:
    """Return all discount codes, each once, as written; automatic discounts have a title and no code."""
    found = [text(each, "code") for each in objects(order, "discount_codes")]
    for each in objects(order, "discount_applications"):
        if inside(each, "type") == "discount_code":
            found.append(text(each, "code"))
    codes: list[Text] = [str(code)[:MAX_TEXT] for code in dict.fromkeys(found) if code]
    return codes[:MAX_CODES]


def _click_id(order: Document) -> str:
    """Return the click ID of the cart's attributes, else that of the address by which the shopper came."""
    for attribute in objects(order, "note_attributes"):
        if inside(attribute, "name") in CLICK_ID_NAMES and isinstance(attribute.get("value"), str):
            return str(attribute["value"])
    query = text(order, "landing_site").partition("#")[0].partition("?")[2]
    return read_query(query.encode("utf-8", "replace")).get("inf_click_id", "")


def _placed_at(order: Document) -> str:
    return text(order, "processed_at") or text(order, "created_at")


def _presentment(order: Document, currency: str, revenue: int, sold: int) -> dict[str, Any]:
    """Return what the shopper saw and paid, when that was another currency."""
    paid_in = text(order, "presentment_currency").upper()
    if paid_in in ("", currency):
        return {}
    amount = inside(order, "total_price_set", "presentment_money", "amount")
    if amount is None:
        return {"presentment_currency": paid_in}
    paid = minor_units(amount, paid_in, "presentment_money")
    is_whole = revenue == sold or sold <= 0
    return {
        "presentment_currency": paid_in,
        "presentment_revenue_cents": paid if is_whole else share(paid, revenue, sold),
    }


def _customer(order: Document) -> dict[str, Any]:
    email = text(order, "email") or text(order, "contact_email") or text(order, "customer", "email")
    orders = inside(order, "customer", "orders_count")  # left out by newer versions of the API
    is_counted = isinstance(orders, int) and not isinstance(orders, bool)
    returning = CustomerType.returning.value if is_counted and orders > 1 else CustomerType.new.value
    return {
        "customer_id": text(order, "customer", "id"),
        "email": email if "@" in email and len(email) <= MAX_EMAIL else "",
        "customer_type": returning if is_counted else "",
    }
