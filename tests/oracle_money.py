"""The oracle of an order's money: which telling its amounts are of, what came back, and the commission base."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stackfluence.clock import parse_rfc3339
from tests.oracle_events import Event, Input

AMOUNTS = (
    "revenue_cents", "subtotal_cents", "discount_cents", "tax_cents", "shipping_cents", "gift_card_cents",
    "presentment_revenue_cents",
)  # fmt: skip
MICROS = 1_000_000
APART = ("refund_failed", "chargeback", "chargeback_reversed")  # adding again, or the bank's

Key = tuple[str, ...]  # (shop, order id) of a purchase, (event id,) of anything else


@dataclass(frozen=True)
class Order:
    """Everything that was told of one order, in the order of receipt."""

    key: Key
    events: tuple[Event, ...]

    @property
    def is_confirmed(self) -> bool:
        """Whether a server or connector tells of it."""
        return any(event.is_believed for event in self.events)

    @property
    def believed(self) -> list[Event]:
        """What those told whose word counts: servers and connectors, where there are any."""
        return [event for event in self.events if event.is_believed or not self.is_confirmed]

    @property
    def first(self) -> Event:
        """The telling that fixes time and terms."""
        return self.believed[0]

    @property
    def placed_by_ms(self) -> int:
        """By when it was placed at the latest: a browser's clock isn't believed, its telling's receipt is."""
        return max(self.first.at_ms, self.first.received_ms) if not self.is_confirmed else self.first.at_ms

    @property
    def priced(self) -> Event:
        """The telling that all amounts are of: the latest version of the highest tier."""
        return max(self.events, key=lambda event: (event.strength, _version_ms(event), event.received_ms))

    @property
    def is_test(self) -> bool:
        """Whether its latest version says so."""
        return self.priced.is_test

    @property
    def revenue(self) -> int | None:
        """What it was worth."""
        found: int | None = self.priced.get("revenue_cents", None)
        return found


def _version_ms(event: Event) -> int:
    revised_at = event.get("revised_at")
    return parse_rfc3339(revised_at) if revised_at else event.received_ms


def orders_of(given: Input) -> dict[Key, Order]:
    """Return every order by its key."""
    found: dict[Key, list[Event]] = {}
    for event in sorted(given.of_type("conversion"), key=lambda event: event.received_ms):
        is_order = event.get("conversion_type") == "purchase" and event.get("order_id")
        key = (event.get("shop"), event.get("order_id")) if is_order else (event.event_id,)
        found.setdefault(key, []).append(event)
    return {key: Order(key, tuple(events)) for key, events in found.items()}


def refunds_by_order(given: Input, orders: Mapping[Key, Order]) -> dict[Key, list[Event]]:
    """Return the refunds of each order, by payment or by name."""
    invoices: dict[str, set[str]] = {}
    for event in given.of_type("payment"):
        invoices.setdefault(event.get("payment_id"), set()).add(event.get("order_id"))
    found: dict[Key, list[Event]] = {}
    for refund in sorted(given.of_type("refund"), key=lambda event: event.received_ms):
        named = (refund.get("shop"), refund.get("original_order_id"))
        payment = refund.get("payment_id")
        names = {payment, *invoices.get(payment, ())} if payment else set()
        paid = sorted(
            key for key, order in orders.items() if any(event.get("payment_id") in names for event in order.events)
        )
        if len(paid) == 1 or (paid and named not in orders):
            found.setdefault(paid[0], []).append(refund)
        elif named in orders:
            found.setdefault(named, []).append(refund)
    return found


def money(order: Order, refunds: Sequence[Event]) -> dict[str, Any]:
    """Return amounts, what came back and the commission base, in the columns of `conversions`."""
    priced, revenue = order.priced, order.revenue
    refunds = [refund for refund in refunds if refund.is_test == order.is_test]
    believed = [refund for refund in refunds if refund.is_believed]
    whole = [refund for refund in believed if _is_cancellation(refund) and _is_whole(order, refund, believed)]
    by_kind, others, number = _add_up(order, [refund for refund in _same_money(believed) if refund not in whole])
    back = by_kind["refund"] - min(by_kind["refund_failed"], by_kind["refund"])
    back += by_kind["chargeback"] - min(by_kind["chargeback_reversed"], by_kind["chargeback"])
    confirmed = {_kind(refund) for refund in believed}
    worth = revenue or 0
    refunded = worth if whole else min(back, worth)
    base = commission_base(priced)
    return {
        **{name: priced.get(name, None) for name in AMOUNTS},
        "currency": priced.get("currency"),
        "presentment_currency": priced.get("presentment_currency"),
        "amounts_event_id": priced.event_id,
        "refunds": number,
        "unconfirmed_refunds": sum(not one.is_believed and _kind(one) not in confirmed for one in refunds),
        "other_currency_refunds": others,
        "is_cancelled": bool(whole),
        "refunded_cents": refunded,
        "refunded_by_reason": {kind: cents for kind, cents in by_kind.items() if cents},
        "net_revenue_cents": None if revenue is None else revenue - refunded,
        "commission_base_cents": base,
        "net_base_micros": None if base is None else _net_base(base, refunded, worth, is_cancelled=bool(whole)),
    }


def _net_base(base: int, refunded: int, worth: int, *, is_cancelled: bool) -> int:
    """Return what is left of the base, in micros: what came back takes the share that it takes of the revenue."""
    if is_cancelled:
        return 0
    return base * MICROS - (base * MICROS * refunded // worth if worth else 0)


def _kind(refund: Event) -> str:
    """Return which money it is: a bank's, there or back, a shop's that failed, or else a shop's."""
    found: str = refund.get("reason")
    return found if found in APART else "refund"


def _is_cancellation(refund: Event) -> bool:
    return bool(refund.get("reason") == "cancellation")


def _is_whole(order: Order, refund: Event, refunds: Sequence[Event]) -> bool:
    """Whether a cancellation takes all: the shop's hook's does, a server's when its amount covers what was left.

    No amount, and one in a currency that can't be compared, says no less than all.
    """
    if refund.tier == "connector":
        return True
    cents = cents_of(order, refund)
    others = [one for one in refunds if one.tier == "server" and _kind(one) == "refund" and not _is_cancellation(one)]
    left = (order.revenue or 0) - sum(cents_of(order, one) or 0 for one in others)
    return not cents or cents >= left


def _same_money(refunds: Sequence[Event]) -> list[Event]:
    """Leave out what a connector tells where a server tells of the same kind of money."""
    by_server = {_kind(refund) for refund in refunds if refund.tier == "server"}
    return [refund for refund in refunds if refund.tier == "server" or _kind(refund) not in by_server]


def cents_of(order: Order, refund: Event) -> int | None:
    """Return what a refund is worth in the order's currency, None when that can't be told."""
    cents: int = refund.get("refund_amount_cents", 0)
    priced = order.priced
    if refund.get("currency") == priced.get("currency"):
        return cents
    paid: int | None = priced.get("presentment_revenue_cents", None)
    revenue = order.revenue
    if refund.get("currency") == priced.get("presentment_currency") and paid and revenue is not None:
        return (2 * cents * revenue + paid) // (2 * paid)
    return None


def _add_up(order: Order, refunds: Sequence[Event]) -> tuple[Counter[str], int, int]:
    """Return cents by kind, how many are in another currency, and how many count."""
    by_kind: Counter[str] = Counter()
    counted = [(_kind(refund), cents_of(order, refund)) for refund in refunds]
    for kind, cents in counted:
        by_kind[kind] += cents or 0
    return by_kind, sum(cents is None for _, cents in counted), sum(cents is not None for _, cents in counted)


def commission_base(priced: Event) -> int | None:
    """Return merchandise after discounts, or revenue without tax and shipping where parts aren't told.

    Gift cards that were sold are no merchandise in either.
    """
    sold = [line for line in priced.get("lines", ()) if line.is_gift_card]
    cards: int = sum(line.subtotal_cents - line.discount_cents for line in sold)
    subtotal: int | None = priced.get("subtotal_cents", None)
    revenue: int | None = priced.get("revenue_cents", None)
    discount, tax, shipping = (priced.get(f"{name}_cents", 0) or 0 for name in ("discount", "tax", "shipping"))
    whole = subtotal - discount if subtotal is not None else None if revenue is None else revenue - tax - shipping
    return None if whole is None else max(int(whole) - cards, 0)
