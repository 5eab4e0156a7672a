"""What one of Shopify's orders or refunds is worth, in the shop's currency: the amounts behind `shopify`.

**What an order is worth.** `total_price` is what was sold, before returns and refunds: it grows when a line is added,
and stays when one is taken out. `current_total_price` is what is left after returns, refunds and edits. Refunds are
events of their own and are subtracted later, so an order's revenue must be what it was before them, and it must not
contain what an edit took out without money going back (an exchange: one line out, another in). Hence

    revenue = the smaller of total_price and current_total_price + the money given back so far

and the parts (subtotal, discount, tax, shipping) are those of the same moment. Where the lines add up to something else
than `total_line_items_price`, the totals were not kept up with an edit, and only the second half counts. With every
refund subtracted, what is left is `current_total_price`, in whatever order the webhooks come.

A refund is the money that went back: the sum of its refund transactions that succeeded, shipping and adjustments
included. One without any (lines taken out, nothing paid back yet) moves no money; the order's next update has the new
amounts. Each transaction is one event: one that is pending is told by `order_transactions/create` when it succeeds, and
one that succeeds at once by that and by `refunds/create`. ("Occurs when a order transaction is created or when it's
status is updated. Only occurs for transactions with a status of success, failure or error", says Shopify of the topic.)
"""

from __future__ import annotations

from typing import NamedTuple

from stackfluence.collect.documents import Document, inside, objects, text
from stackfluence.collect.money import minor_units, share
from stackfluence.collect.unusable import Unusable
from stackfluence.vocabulary import QuarantineReason

_LINE_SETS = ("subtotal_set", "total_tax_set")
_ADJUSTMENT_SETS = ("amount_set", "tax_amount_set")


class Amounts(NamedTuple):
    """An order's amounts of one moment, in minor units; `merchandise` is after discounts."""

    total: int
    merchandise: int
    discount: int
    tax: int
    shipping: int


def worth(order: Document, currency: str, sold: Amounts, left: Amounts | None) -> int:
    """Return what an order was worth before its refunds, edits included: the module's first paragraph."""
    if left is None:
        return sold.total
    before_refunds = left.total + given_back(order, currency)
    lines = objects(order, "line_items")
    listed = sum(price(line, "price", currency) * many_of(line, False) for line in lines)
    is_kept_up = listed == price(order, "total_line_items_price", currency)
    return min(sold.total, before_refunds) if is_kept_up else before_refunds


def sold_for(order: Document, currency: str) -> Amounts:
    """Return the amounts before returns and refunds."""
    merchandise = price(order, "subtotal_price", currency)
    listed = price(order, "total_line_items_price", currency)
    shipping = sum(
        price(each, "discounted_price", currency)
        for each in objects(order, "shipping_lines")
        if inside(each, "is_removed") is not True
    )
    return Amounts(
        price(order, "total_price", currency),
        merchandise,
        max(listed - merchandise, 0),  # total_discounts has those on shipping too
        price(order, "total_tax", currency),
        shipping,
    )


def left_of(order: Document, currency: str) -> Amounts | None:
    """Return the amounts after returns, refunds and edits, None for a payload without them."""
    names = ("current_total_price", "current_subtotal_price", "current_total_discounts", "current_total_tax")
    if any(inside(order, name) is None for name in names):
        return None
    total, merchandise, discount, tax = (price(order, name, currency) for name in names)
    return Amounts(total, merchandise, discount, tax, price(order, "current_shipping_price", currency))


def scaled(part: int, revenue: int, parts: Amounts) -> int:
    """Return a part of the order as it was when the order was worth `revenue`; mostly that is unchanged."""
    return part if revenue == parts.total or parts.total <= 0 else share(part, revenue, parts.total)


def given_back(order: Document, currency: str) -> int:
    """Return the money that all refunds of an order gave back so far."""
    rate = inside(order, "total_price_set")
    return sum(
        returned_by(transaction, refund, currency, rate)
        for refund in objects(order, "refunds")
        for transaction in money_back(refund)
    )


def money_back(refund: Document) -> list[Document]:
    """Return a refund's transactions by which money went back."""
    return [each for each in objects(refund, "transactions") if is_money_back(each)]


def is_money_back(transaction: Document) -> bool:
    """Whether money went back by a transaction: others are pending, or came to nothing."""
    return bool(inside(transaction, "kind") == "refund" and inside(transaction, "status") == "success")


def returned_by(transaction: Document, refund: Document, currency: str, rate: object = None) -> int:
    """Return the money that one transaction of a refund gave back, in the shop's currency.

    Transactions are in the currency that the shopper paid with. From another one they are converted at the rate of the
    refund's own amounts, which are in both, else at the order's (`rate`, amounts in both).
    """
    amount, paid_in = inside(transaction, "amount"), text(transaction, "currency").upper() or currency
    if paid_in == currency:
        return minor_units(amount, currency, "transactions.amount")
    ours, theirs = _both(refund, currency, paid_in, rate)
    return share(minor_units(amount, paid_in, "transactions.amount"), ours, theirs)


def _both(refund: Document, currency: str, paid_in: str, rate: object) -> tuple[int, int]:
    """Return the same amount in the shop's currency and in the shopper's; raises Unusable when nothing says it."""
    sets = [inside(each, name) for each in objects(refund, "refund_line_items") for name in _LINE_SETS]
    sets += [inside(each, name) for each in objects(refund, "order_adjustments") for name in _ADJUSTMENT_SETS]
    found = [_both_of(each, currency, paid_in) for each in sets]
    ours, theirs = sum(abs(pair[0]) for pair in found), sum(abs(pair[1]) for pair in found)
    if not theirs:
        ours, theirs = _both_of(rate, currency, paid_in)
    if theirs <= 0 or ours < 0:
        raise Unusable(QuarantineReason.missing_field, f"the refund in {currency}")
    return ours, theirs


def _both_of(money_set: object, currency: str, paid_in: str) -> tuple[int, int]:
    shop, shopper = inside(money_set, "shop_money"), inside(money_set, "presentment_money")
    if inside(shop, "currency_code") != currency or inside(shopper, "currency_code") != paid_in:
        return 0, 0
    return (
        minor_units(inside(shop, "amount"), currency, "shop_money"),
        minor_units(inside(shopper, "amount"), paid_in, "presentment_money"),
    )


def price(document: Document, name: str, currency: str) -> int:
    """Return an amount in the shop's currency, 0 for none."""
    amount = inside(document, f"{name}_set", "shop_money", "amount")
    if amount is None:
        amount = inside(document, name)
    return 0 if amount is None else minor_units(amount, currency, name)


def many_of(line: Document, is_edited: bool) -> int:
    """Return how many of a line were sold, or are left after an edit."""
    quantity = inside(line, "current_quantity") if is_edited else None
    quantity = inside(line, "quantity") if quantity is None else quantity
    if isinstance(quantity, bool) or not isinstance(quantity, int):
        raise Unusable(QuarantineReason.wrong_type, "line_items.quantity")
    return quantity
