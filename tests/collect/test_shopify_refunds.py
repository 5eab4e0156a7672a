"""Refunds, cancellations and edits: with all of them told, what is left is what Shopify says is left."""

from __future__ import annotations

import itertools
from decimal import Decimal
from typing import Any

import pytest

from stackfluence.collect.payloads import Payload
from stackfluence.collect.unusable import Unusable
from tests.collect.test_shopify import cents, heard, heard_all, refused, told, told_all
from tests.collect.vendors import Document, money, shopify, totals


def transaction(amount: str, status: str = "success", kind: str = "refund", currency: str | None = "USD") -> Document:
    """Return a transaction as in Shopify's sample."""
    sample: Document = shopify("refunds/create")["transactions"][0]
    return sample | {"amount": amount, "status": status, "kind": kind, "currency": currency}


def a_refund(number: int, *transactions: Document, lines: list[Document] | None = None, **fields: Any) -> Document:
    """Return a refund of the sample order."""
    found = shopify("refunds/create", id=number, order_id=shopify("orders/paid")["id"])
    return found | {"transactions": list(transactions), "refund_line_items": lines or [], **fields}


def an_order(total: str, left: str, refunds: list[Document], **fields: Any) -> Document:
    """Return an update of an order of `total`, of which `left` is left."""
    amounts = totals(
        total_price=total, subtotal_price=total, total_line_items_price=total, total_tax="0.00",
        current_total_price=left, current_subtotal_price=left, current_total_tax="0.00",
        current_total_discounts="0.00", current_shipping_price="0.00",
    )  # fmt: skip
    line = shopify("orders/updated")["line_items"][0] | {"price": total, "price_set": money(total)}
    changes = {"financial_status": "paid", "refunds": refunds, "line_items": [line], "shipping_lines": []}
    return shopify("orders/updated") | amounts | changes | fields


def test_a_refund_is_the_money_that_went_back() -> None:
    sample = shopify("refunds/create")
    refunds = heard_all("refunds/create", sample)
    assert [each.refund_amount_cents for each in refunds] == [cents(each["amount"]) for each in sample["transactions"]]
    assert [len(each.lines) for each in refunds] == [len(sample["refund_line_items"]), 0]
    refund = refunds[0]
    assert (refund.reason, refund.currency, refund.original_order_id) == ("refund", "USD", str(sample["order_id"]))
    assert refund.occurred_at == sample["processed_at"]
    assert [line.quantity for line in refund.lines] == [1] * len(sample["refund_line_items"])
    assert refund.lines[0].subtotal_cents == cents(str(sample["refund_line_items"][0]["subtotal"]))


ALSO: dict[str, Document] = {
    "nothing else": {},
    "pending": {"amount": "99.00", "status": "pending"},
    "failed": {"amount": "99.00", "status": "failure"},
    "in error": {"amount": "99.00", "status": "error"},
    "a void": {"amount": "99.00", "kind": "void"},
}


@pytest.mark.parametrize("also", ALSO)
def test_only_money_that_goes_back_counts(also: str) -> None:
    transactions = [transaction("10.00")] + ([transaction(**ALSO[also])] if ALSO[also] else [])
    assert heard("refunds/create", a_refund(1, *transactions)).refund_amount_cents == 1_000
    order = heard("orders/updated", an_order("100.00", "90.00", [a_refund(1, *transactions)]))
    assert order.revenue_cents == 10_000


def test_a_transaction_without_a_currency_is_in_the_shops() -> None:
    assert heard("refunds/create", a_refund(1, transaction("5.50", currency=None))).refund_amount_cents == 550


def alone(each: Document, number: int) -> Document:
    """Return a transaction as its own webhook tells of it."""
    given = {name: each[name] for name in ("amount", "status", "kind", "currency")}
    return shopify("order_transactions/create") | given | {"id": number, "order_id": shopify("orders/paid")["id"]}


def test_a_refund_that_takes_days_counts_when_it_succeeds_and_never_when_it_fails() -> None:
    for status, counted in (("success", 550), ("failure", None), ("error", None), ("pending", None)):
        assert told("refunds/create", a_refund(1, transaction("5.50", status="pending") | {"id": 7})) is None
        later = alone(transaction("5.50", status=status), 7)
        if counted is None:
            assert told("order_transactions/create", later) is None
            continue
        refund = heard("order_transactions/create", later)
        assert (refund.refund_amount_cents, refund.reason, refund.currency) == (counted, "refund", "USD")
        assert refund.original_order_id == str(shopify("orders/paid")["id"])
        assert refund.occurred_at == later["created_at"]


def test_a_refund_that_both_hooks_tell_of_is_one_event() -> None:
    refund = a_refund(1, transaction("5.50") | {"id": 7})
    both = [told("refunds/create", refund), told("order_transactions/create", alone(transaction("5.50"), 7))]
    assert {each.key for each in both if each is not None} == {"shopify/transaction/7"}


def test_a_refund_by_several_transactions_is_told_by_each() -> None:
    """A gift card and a card; what the second gives back can't be told in the shop's currency, and hides no other."""
    parts = [transaction(amount) | {"id": number} for number, amount in ((7, "5.50"), (8, "4.50"))]
    keys = ["shopify/transaction/7", "shopify/transaction/8"]
    assert [each.key for each in told_all("refunds/create", a_refund(1, *parts))] == keys
    later = [told("order_transactions/create", alone(part, part["id"])) for part in parts]
    assert [found.key for found in later if found is not None] == keys
    assert heard("orders/updated", an_order("100.00", "90.00", [a_refund(1, *parts)])).revenue_cents == 10_000
    parts[1]["currency"] = "EUR"
    first, second = told_all("refunds/create", a_refund(1, *parts))
    assert isinstance(first.payload, Payload)
    assert (second.key, isinstance(second.payload, Unusable)) == (keys[1], True)


@pytest.mark.parametrize("kind", ["sale", "capture", "authorization", "void", "change", "", None, 5, ["refund"]])
def test_a_transaction_that_gives_nothing_back_moves_nothing(kind: object) -> None:
    assert told("order_transactions/create", alone(transaction("5.50"), 7) | {"kind": kind}) is None


def test_while_a_refund_is_pending_the_order_comes_to_what_shopify_says_is_left() -> None:
    """The line is out of the order at once; what it is worth and what came back add up to that before and after."""
    for status, paid_back in (("pending", 0), ("success", 4_000), ("failure", 0)):
        refund = a_refund(1, transaction("40.00", status=status))
        revenue = heard("orders/updated", an_order("100.00", "60.00", [refund])).revenue_cents or 0
        assert revenue - paid_back == 6_000, status


def test_a_refund_of_shipping_alone_counts() -> None:
    adjustment = {
        "id": 1, "order_id": 2, "refund_id": 3, "kind": "shipping_refund", "reason": "Shipping refund",
        "amount": "-8.00", "amount_set": money("-8.00"), "tax_amount": "0.00", "tax_amount_set": money("0.00"),
    }  # fmt: skip
    refund = a_refund(1, transaction("8.00"), order_adjustments=[adjustment])
    assert heard("refunds/create", refund).refund_amount_cents == 800


def test_a_refund_without_money_moves_nothing() -> None:
    assert told("refunds/create", a_refund(1)) is None
    assert told("refunds/create", a_refund(1, transaction("5.00", status="failure"))) is None


def test_a_refund_in_the_shoppers_currency_is_converted_at_its_own_rate() -> None:
    """Paid in euros at a shop of dollars: of 90.00 EUR, which were 100.00 USD, 45.00 EUR go back."""
    line = shopify("refunds/create")["refund_line_items"][0]
    line |= {"subtotal_set": money("100.00", "USD", "90.00", "EUR"), "total_tax_set": money("0", "USD", "0", "EUR")}
    refund = a_refund(1, transaction("45.00", currency="EUR"), lines=[line])
    told_of = heard("refunds/create", refund)
    assert (told_of.currency, told_of.refund_amount_cents) == ("USD", 5_000)


def test_a_refund_whose_currency_nothing_converts_is_refused() -> None:
    refund = a_refund(1, transaction("45.00", currency="EUR"))
    assert refused("refunds/create", refund)[0] == "missing_field"
    assert told("refunds/create", refund).key == f"shopify/transaction/{refund['transactions'][0]['id']}"  # type: ignore[union-attr]


def test_a_negative_refund_is_refused() -> None:
    assert refused("refunds/create", a_refund(1, transaction("-5.00")))[0] == "amount_out_of_range"


def test_several_refunds_of_one_order_are_several_events() -> None:
    refunds = [a_refund(number, transaction("5.00") | {"id": number}) for number in (1, 2, 3)]
    keys = {told("refunds/create", refund).key for refund in refunds}  # type: ignore[union-attr]
    assert len(keys) == 3


STORIES = {
    "nothing happened": ("100.00", "100.00", [], 10_000),
    "half refunded": ("100.00", "50.00", ["50.00"], 10_000),
    "refunded in three parts": ("100.00", "0.00", ["50.00", "30.00", "20.00"], 10_000),
    "goodwill that leaves the total alone": ("100.00", "100.00", ["10.00"], 10_000),
    "a line added": ("150.00", "150.00", [], 15_000),
    "a line added, another refunded": ("150.00", "100.00", ["50.00"], 15_000),
    "exchanged for the same price": ("200.00", "100.00", [], 10_000),
    "exchanged for something cheaper": ("180.00", "80.00", ["20.00"], 10_000),
    "a line taken out, nothing paid back yet": ("100.00", "60.00", [], 6_000),
}


def test_totals_that_an_edit_left_behind_do_not_cap_what_was_added() -> None:
    """A line of 50.00 was added to an order of 100.00, and paid, and `total_price` says what it said before."""
    sample = an_order("100.00", "150.00", [])
    sample["line_items"] *= 2
    sample["line_items"][1] = sample["line_items"][1] | {"id": 2, "price": "50.00", "price_set": money("50.00")}
    assert heard("orders/updated", sample).revenue_cents == 15_000
    exchanged = an_order("100.00", "100.00", [])
    exchanged["line_items"] = [exchanged["line_items"][0] | {"current_quantity": 0}, exchanged["line_items"][0]]
    assert heard("orders/updated", exchanged).revenue_cents == 10_000


@pytest.mark.parametrize("story", STORIES)
def test_an_updated_order_is_worth_what_it_was_before_its_refunds(story: str) -> None:
    total, left, paid_back, revenue = STORIES[story]
    refunds = [a_refund(number, transaction(amount)) for number, amount in enumerate(paid_back)]
    order = heard("orders/updated", an_order(total, left, refunds))
    assert order.revenue_cents == revenue
    given_back = sum(heard("refunds/create", refund).refund_amount_cents or 0 for refund in refunds)
    if story != "goodwill that leaves the total alone":
        assert revenue - given_back == cents(left)
    assert (order.subtotal_cents or 0) - (order.discount_cents or 0) == revenue


@pytest.mark.parametrize("paid_back", [[], ["30.00"], ["30.00", "70.00"]])
def test_a_cancelled_order_leaves_nothing_whenever_its_refunds_are_told(paid_back: list[str]) -> None:
    refunds = [a_refund(number, transaction(amount)) for number, amount in enumerate(paid_back)]
    left = f"{100 - sum(Decimal(amount) for amount in paid_back):.2f}"
    cancelled = heard("orders/cancelled", an_order("100.00", left, refunds, cancelled_at="2026-11-01T12:00:00Z"))
    assert cancelled.reason == "cancellation"
    assert cancelled.occurred_at == "2026-11-01T12:00:00Z"
    taken = [heard("refunds/create", refund).refund_amount_cents or 0 for refund in refunds]
    assert (cancelled.refund_amount_cents or 0) + sum(taken) == 10_000


def test_an_order_is_dated_when_it_was_placed_and_a_revision_when_it_was_made() -> None:
    """So that of two revisions the later one counts, in whatever order they come."""
    sample = an_order("100.00", "100.00", [], updated_at="2026-11-02T08:00:00+01:00")
    for topic in ("orders/paid", "orders/updated"):
        order = heard(topic, sample)
        assert (order.occurred_at, order.revised_at) == (sample["processed_at"], "2026-11-02T08:00:00+01:00")


def test_two_revisions_of_one_second_are_two_events_and_a_repetition_is_none() -> None:
    documents = [
        an_order("100.00", left, [], updated_at="2026-11-02T08:00:00Z") for left in ("100.00", "60.00", "60.00")
    ]
    keys = [told("orders/updated", document).key for document in documents]  # type: ignore[union-attr]
    assert keys[0] != keys[1] == keys[2]


def test_lines_that_an_edit_took_out_are_not_told() -> None:
    sample = an_order("200.00", "100.00", [])
    kept, gone = (sample["line_items"][0] | {"id": number, "price_set": money("100.00")} for number in (1, 2))
    sample["line_items"] = [kept | {"quantity": 1, "current_quantity": 1}, gone | {"current_quantity": 0}]
    order = heard("orders/updated", sample)
    assert [(line.line_id, line.quantity, line.subtotal_cents) for line in order.lines] == [("1", 1, 10_000)]


def test_any_sequence_of_money_back_leaves_what_shopify_says() -> None:
    for parts in itertools.product(("0.01", "33.33", "12.50"), repeat=3):
        refunds = [a_refund(number, transaction(amount)) for number, amount in enumerate(parts)]
        left = f"{100 - sum(map(Decimal, parts)):.2f}"
        revenue = heard("orders/updated", an_order("100.00", left, refunds)).revenue_cents
        assert revenue == 10_000, parts
