"""What Shopify's webhooks become. Every document is Shopify's own sample, changed where the test says."""

from __future__ import annotations

import base64
import hmac
import json
from decimal import Decimal
from typing import Any

import pytest

from stackfluence.collect import shopify as module
from stackfluence.collect.documents import read_document
from stackfluence.collect.payloads import Payload
from stackfluence.collect.recording import Told
from stackfluence.collect.unusable import Unusable
from tests.collect.vendors import SHOP, Document, money, shopify, totals

BIG = 820982911946154508  # JavaScript would round it


def told_all(topic: str, document: Document) -> list[Told]:
    """Return what a webhook tells, read from its bytes as the edge does."""
    return module.told(topic, read_document(json.dumps(document).encode()), SHOP)


def told(topic: str, document: Document) -> Told | None:
    """Return what a webhook tells, which is one event at most."""
    found = told_all(topic, document)
    assert len(found) <= 1
    return found[0] if found else None


def paid(**changed: Any) -> Document:
    """Return Shopify's sample of a paid order, said to be paid: the sample itself says `voided`."""
    return shopify("orders/paid", financial_status="paid", **changed)


def heard(topic: str, document: Document) -> Payload:
    """Return a webhook's payload, which must be usable."""
    found = told(topic, document)
    assert found is not None
    assert isinstance(found.payload, Payload), found.payload
    return found.payload


def heard_all(topic: str, document: Document) -> list[Payload]:
    """Return the payloads of a webhook, all of which must be usable."""
    found = [each.payload for each in told_all(topic, document)]
    assert all(isinstance(payload, Payload) for payload in found), found
    return [payload for payload in found if isinstance(payload, Payload)]


def refused(topic: str, document: Document) -> tuple[str, str]:
    """Return why a webhook can't be used."""
    found = told(topic, document)
    assert found is not None
    assert isinstance(found.payload, Unusable), found.payload
    return found.payload.reason, found.payload.detail


def cents(text: str) -> int:
    return int(Decimal(text) * 100)


def test_a_paid_order_is_told_in_full() -> None:
    sample = paid()
    order = heard("orders/paid", sample)
    assert (order.event_type, order.shop, order.currency) == ("purchase", SHOP, sample["currency"])
    assert order.revenue_cents == cents(sample["total_price"])
    assert order.occurred_at == sample["processed_at"]
    assert order.is_test is sample["test"] is True
    assert (order.email, order.customer_id) == (sample["email"], str(sample["customer"]["id"]))
    assert [line.sku for line in order.lines] == [line["sku"] for line in sample["line_items"]]
    assert [line.subtotal_cents for line in order.lines] == [cents(line["price"]) for line in sample["line_items"]]
    assert order.customer_type == "", "this version of the API doesn't say how many orders a customer has"
    assert order.subtotal_cents is not None
    assert order.discount_cents is not None
    assert order.tax_cents is not None
    assert order.shipping_cents is not None
    assert order.subtotal_cents == cents(sample["total_line_items_price"])
    assert order.subtotal_cents - order.discount_cents == cents(sample["subtotal_price"])
    assert order.subtotal_cents - order.discount_cents + order.tax_cents + order.shipping_cents == order.revenue_cents


def test_ids_beyond_2_to_the_53_survive() -> None:
    sample = paid(id=BIG)
    sample["customer"]["id"] = BIG + 2
    sample["line_items"][0] |= {"id": BIG + 4, "variant_id": BIG + 6}
    order = heard("orders/paid", sample)
    assert (order.order_id, order.customer_id) == (str(BIG), str(BIG + 2))
    assert (order.lines[0].line_id, order.lines[0].variant_id) == (str(BIG + 4), str(BIG + 6))
    refunds = heard_all("refunds/create", shopify("refunds/create", order_id=BIG))
    assert {refund.original_order_id for refund in refunds} == {str(BIG)}


@pytest.mark.parametrize(
    ("fields", "click_id"),
    [
        ({"note_attributes": [{"name": "gift", "value": "no"}, {"name": "inf_click_id", "value": "abc"}]}, "abc"),
        ({"note_attributes": [{"name": "_inf_click_id", "value": "abc"}]}, "abc"),
        ({"landing_site": "/socks?utm_source=x&inf_click_id=from-address#top"}, "from-address"),
        (
            {
                "note_attributes": [{"name": "inf_click_id", "value": "abc"}],
                "landing_site": "/?inf_click_id=from-address",
            },
            "abc",
        ),
        ({"landing_site": "/socks"}, ""),
        ({"note_attributes": [{"name": "inf_click_id", "value": None}]}, ""),
        ({}, ""),
    ],
)
def test_the_click_id_is_the_carts_else_the_landing_pages(fields: Document, click_id: str) -> None:
    sample = paid() | fields
    assert heard("orders/paid", sample).inf_click_id == click_id


def test_the_landing_page_tells_of_other_networks() -> None:
    order = heard("orders/paid", paid() | {"landing_site": "/?gclid=1", "referring_site": "https://m.example/x"})
    assert (order.page_url, order.referrer) == ("/?gclid=1", "https://m.example/x")


def test_all_codes_are_told_once_and_automatic_discounts_are_none() -> None:
    order = paid() | {
        "discount_codes": [{"code": "EMMA10", "amount": "10.00", "type": "percentage"}],
        "discount_applications": [
            {"type": "discount_code", "code": "EMMA10", "value": "10.0"},
            {"type": "discount_code", "code": "FREESHIP", "value": "100.0"},
            {"type": "automatic", "title": "Summer"},
        ],
    }
    assert heard("orders/paid", order).coupon_codes == ["EMMA10", "FREESHIP"]


@pytest.mark.parametrize(("orders", "kind"), [(0, "new"), (1, "new"), (2, "returning"), (None, ""), ("2", "")])
def test_who_has_ordered_before_is_returning(orders: Any, kind: str) -> None:
    sample = paid()
    sample["customer"]["orders_count"] = orders
    assert heard("orders/paid", sample).customer_type == kind


def test_an_order_without_a_customer_is_told() -> None:
    order = heard("orders/paid", paid() | {"customer": None, "email": "", "contact_email": None})
    assert (order.customer_id, order.email) == ("", "")


def test_what_the_shopper_saw_and_paid_is_kept_beside_the_shops_currency() -> None:
    sample = paid(presentment_currency="JPY")
    sample["total_price_set"] = money(sample["total_price"], "USD", "61234", "JPY")
    order = heard("orders/paid", sample)
    assert (order.currency, order.revenue_cents) == ("USD", cents(sample["total_price"]))
    assert (order.presentment_currency, order.presentment_revenue_cents) == ("JPY", 61_234)
    assert heard("orders/paid", paid()).presentment_currency == ""


def test_taxes_that_prices_include_are_taken_out_of_the_merchandise() -> None:
    """An order of 119.00 with 19% inside, shipping 5.95 with 0.95 inside."""
    tax = {"title": "VAT", "rate": 0.19, "channel_liable": False}
    sample = paid() | totals(
        total_line_items_price="119.00", subtotal_price="119.00", total_price="124.95", total_tax="19.95",
        current_total_price="124.95", current_subtotal_price="119.00", current_total_tax="19.95",
        current_total_discounts="0.00",
    )  # fmt: skip
    sample["taxes_included"] = True
    line = sample["line_items"][0] | {"price": "119.00", "price_set": money("119.00")}
    line["tax_lines"] = [tax | {"price": "19.00", "price_set": money("19.00")}]
    sample["line_items"] = [line]
    sample["shipping_lines"][0] |= {"discounted_price": "5.95", "discounted_price_set": money("5.95")}
    sample["shipping_lines"][0]["tax_lines"] = [tax | {"price": "0.95", "price_set": money("0.95")}]
    order = heard("orders/paid", sample)
    assert (order.revenue_cents, order.subtotal_cents, order.tax_cents) == (12_495, 10_000, 1_995)
    assert (order.shipping_cents, order.discount_cents) == (500, 0)
    assert (order.lines[0].subtotal_cents, order.lines[0].tax_cents) == (10_000, 1_900)


def test_shipping_that_was_taken_out_of_an_edited_order_takes_no_tax_with_it() -> None:
    """Two of 119.00 with 5.95 of shipping, tax inside; one was taken out and shipping given away."""
    sample = paid() | totals(
        total_line_items_price="119.00", subtotal_price="238.00", total_price="243.95", total_tax="38.95",
        current_total_price="119.00", current_subtotal_price="119.00", current_total_tax="19.00",
        current_total_discounts="0.00", current_shipping_price="0.00",
    )  # fmt: skip
    sample["taxes_included"] = True
    sample["line_items"] = [
        sample["line_items"][0] | {"price": "119.00", "price_set": money("119.00"), "tax_lines": []}
    ]
    sample["shipping_lines"][0] |= {"discounted_price": "5.95", "discounted_price_set": money("5.95")}
    sample["shipping_lines"][0]["tax_lines"] = [{"price": "0.95", "price_set": money("0.95")}]
    order = heard("orders/updated", sample)
    assert (order.revenue_cents, order.subtotal_cents, order.shipping_cents, order.tax_cents) == (
        11_900,
        10_000,
        0,
        1_900,
    )


def test_gift_cards_that_were_bought_are_marked_and_how_much_was_paid_with_one_is_not_guessed() -> None:
    sample = paid(payment_gateway_names=["gift_card", "visa"])
    sample["line_items"][1]["gift_card"] = True
    order = heard("orders/paid", sample)
    assert [line.is_gift_card for line in order.lines[:3]] == [False, True, False]
    assert order.gift_card_cents is None


@pytest.mark.parametrize("status", ["pending", "authorized", "partially_paid", "voided", "expired", None])
def test_an_order_that_is_not_paid_moves_nothing_whatever_the_topic_says(status: str | None) -> None:
    assert told("orders/updated", paid() | {"financial_status": status}) is None
    assert told("orders/paid", paid() | {"financial_status": status}) is None


def test_an_order_that_is_not_cancelled_is_not_called_so_by_the_topic() -> None:
    assert told("orders/cancelled", paid() | {"cancelled_at": None}) is None


def test_a_body_under_the_topic_of_another_is_refused() -> None:
    assert refused("refunds/create", paid())[0] in ("missing_field", "wrong_type")
    assert told("orders/paid", shopify("refunds/create")) is None


@pytest.mark.parametrize("topic", ["orders/create", "orders/edited", "app/uninstalled", "products/update", ""])
def test_a_topic_that_is_not_used_moves_nothing(topic: str) -> None:
    assert told(topic, paid()) is None


@pytest.mark.parametrize(
    ("changed", "reason", "detail"),
    [
        ({"currency": "XYZ"}, "unknown_value", "currency"),
        ({"currency": None}, "missing_field", "currency"),
        ({"line_items": []}, "missing_field", "line_items"),
        ({"line_items": None}, "missing_field", "line_items"),
        ({"line_items": "many"}, "wrong_type", "line_items"),
        ({"total_price_set": money("-5.00")}, "amount_out_of_range", "revenue_cents"),
        ({"total_price_set": money("99999999999.00")}, "amount_out_of_range", ""),
        ({"total_price_set": money("5.001")}, "amount_out_of_range", "total_price"),
        ({"total_price_set": money("five")}, "wrong_type", "total_price"),
        ({"id": None}, "missing_field", "id"),
        ({"id": 1.5}, "wrong_type", "id"),
        ({"note_attributes": {"inf_click_id": "x"}}, "wrong_type", "note_attributes"),
    ],
)
def test_an_order_that_makes_no_sense_is_refused_with_its_reason(changed: Document, reason: str, detail: str) -> None:
    sample = {name: None if name.startswith("current_") else value for name, value in paid().items()}
    found = refused("orders/paid", sample | changed)
    assert found[0] == reason
    assert detail in found[1]


def test_of_an_order_that_cannot_be_used_nothing_personal_is_shown() -> None:
    found = told("orders/paid", paid(currency="XYZ"))
    assert found is not None
    assert isinstance(found.document, dict)
    assert {"id", "currency", "total_price"} <= set(found.document)
    assert not {"email", "customer", "billing_address", "phone", "token"} & set(found.document)


def test_keys_are_the_bodys_own_since_only_the_body_is_signed() -> None:
    order, refund = paid(), shopify("refunds/create")
    keys = [told(topic, order).key for topic in ("orders/paid", "orders/updated", "orders/cancelled")]  # type: ignore[union-attr]
    number, at = order["id"], f"{order['updated_at']}/{cents(order['total_price'])}"
    assert keys == [f"shopify/orders/paid/{number}/{at}", f"shopify/orders/updated/{number}/{at}",
                    f"shopify/orders/cancelled/{number}"]  # fmt: skip
    paid_by = [f"shopify/transaction/{each['id']}" for each in refund["transactions"]]
    assert [each.key for each in told_all("refunds/create", refund)] == paid_by


def test_a_shop_is_known_by_its_own_domain_only() -> None:
    assert module.shop_of(paid()).endswith(".myshopify.com")
    assert module.shop_of(paid(order_status_url="https://shop.brand.example/1/orders/2")) == ""
    for odd in ("", "https://[", "//", None, 5):
        assert module.shop_of({"order_status_url": odd}) == ""


def test_a_signature_is_one_of_the_secrets_over_the_raw_body() -> None:
    signature = b"MFydFrGH5wHbCaW3ENBdEOXxm1ZAhbjAXAwf2kxyoqg="
    body = b'{"id":1}'
    assert not module.is_signed(body, signature, ["a"])
    for secret in ("a", "ä"):
        own = base64.b64encode(hmac.digest(secret.encode(), body, "sha256"))
        assert module.is_signed(body, own, ["old", secret])
        assert not module.is_signed(body + b" ", own, ["old", secret])
        assert not module.is_signed(body, own.lower(), ["old", secret])
        assert not module.is_signed(body, own, [])
    assert not module.is_signed(body, b"\xff", ["a"])
