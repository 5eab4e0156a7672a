"""Histories as chance tells them, small and nasty: of visits, of orders, of customers, and of what came back."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from stackfluence.events.event import Line
from stackfluence.facts import CodePeriod, OwnCustomerPeriod
from tests.facts.draft import NOON, TIERS, Draft
from tests.facts.histories import DAY, HOUR, MINUTE, SECOND, History

OUTSIDE = 2**50  # a bound of codes and own customers that is never reached


def history(chance: random.Random) -> History:
    """Return a history of one kind."""
    draft = Draft(chance)
    subject = draft.one_of(_visits, _returns, _orders, _orders, _money, _money, _customers)
    codes, own = subject(draft)
    return History(tuple(draft.tellings), tuple(codes), tuple(own))


Catalog = tuple[Sequence[CodePeriod], Sequence[OwnCustomerPeriod]]

REFUND_REASONS = (
    "", "refund", "refund", "own_word", "refund_failed", "cancellation", "cancellation", "chargeback",
    "chargeback_reversed",
)  # fmt: skip


def _visits(draft: Draft) -> Catalog:
    for _ in range(draft.one_of(1, 2, 3, 3, 4)):
        near = draft.clicks and draft.often(0.5)
        at_ms = (
            max(draft.clicks.values()) + draft.one_of(1, 20 * MINUTE, HOUR, 3 * HOUR, DAY - 1, DAY) if near else None
        )
        click = draft.click(at_ms)
        for _ in range(draft.one_of(0, 1, 2, 2, 3, 4)):
            _follow(draft, click)
    return (), ()


def _returns(draft: Draft) -> Catalog:
    """Tell of somebody who comes back through the same link, or nearly, in the same session."""
    at_ms, told = draft.moment(), {"consent": "unknown", "is_test": False}
    for _ in range(draft.one_of(2, 2, 3, 4)):
        stamp = draft.one_of([], [], [], ["hosting_network", "missing_headers", "unlike_header_order"], ["prefetch"])
        place = {"creator_id": draft.one_of(*["crt_emma~"] * 4, "crt_lena~"), "link_id": "lnk_emma~"}
        place["campaign_id"] = draft.one_of(*["cmp_spring~"] * 4, "cmp_autumn~")
        click = draft.click(at_ms, is_alone=False, **told, **place, bot_reasons=stamp)
        for _ in range(draft.one_of(1, 1, 2, 3)):
            _stay(draft, click)
        at_ms += draft.one_of(0, 1, 20 * MINUTE, 20 * MINUTE, HOUR, 3 * HOUR, DAY - 1, DAY)
    return (), ()


def _stay(draft: Draft, click: str) -> None:
    telling = draft.add(
        draft.one_of("session", "pageview", "pageview"),
        draft.clicks[click] + draft.one_of(12 * SECOND, MINUTE, 10 * MINUTE, -HOUR, 5 * HOUR),
        draft.one_of(0, 0, HOUR),
        trust_tier=draft.one_of("browser", "browser", "server"),
        click_id=click,
        click_id_status="valid",
        session_id=draft.one_of("a~", "a~", "a~", "b~"),
        engaged_ms=draft.one_of(0, 9_999, 10_000, 12_000, 60_000),
        bot_reasons=draft.one_of(*[[]] * 4, ["no_interaction"], ["no_interaction"], ["webdriver"]),
        is_test=draft.often(0.05),
    )
    if draft.often(0.1):
        draft.retell(telling)


def _follow(draft: Draft, click: str) -> None:
    at_ms = draft.clicks[click] + draft.one_of(
        2 * SECOND,
        2 * SECOND,
        5 * SECOND,
        12 * SECOND,
        MINUTE,
        10 * MINUTE,
        2 * HOUR,
        -HOUR,
        0,
        DAY,
        DAY + 1,
        -DAY,
        -DAY - 1,
    )
    event_type = draft.one_of("session", "session", "pageview", "pageview", "conversion")
    tier = draft.one_of("browser", "browser", "browser", "server", "connector")
    fields: dict[str, Any] = {
        "trust_tier": tier,
        "click_id": click,
        "click_id_status": draft.one_of(*["valid"] * 9, "expired"),
        "is_test": draft.often(0.1),
    }
    if event_type == "conversion":
        at_ms = draft.clicks[click] + draft.one_of(-1, 0, 4_999, 5_000, 14_999, 15_000, HOUR, DAY, DAY + 1)
        kind = draft.one_of("purchase", "signup", "lead", "add_to_cart", "custom")
        fields |= {"conversion_type": kind, "is_renewal": draft.often(0.15), "revenue_cents": 100, "currency": "EUR"}
        fields |= {"order_id": f"V{draft.events}~"} if kind == "purchase" else {}
    else:
        fields |= {
            "session_id": draft.one_of("a~", "a~", "a~", "b~", ""),
            "engaged_ms": draft.one_of(0, 0, 4_000, 9_999, 10_000, 10_001, 30_000, 3_600_000),
            "bot_reasons": draft.one_of([], [], [], ["no_interaction"], ["no_interaction"], ["webdriver"]),
        }
        fields["consent"] = "denied" if not fields["session_id"] else draft.one_of("unknown", "granted")
    later_ms = draft.one_of(0, 0, 0, 30 * SECOND, 2 * HOUR, 30 * DAY)
    telling = draft.add(event_type, at_ms, later_ms, **fields)
    if draft.often(0.15):
        draft.retell(telling)


def _orders(draft: Draft) -> Catalog:
    placed = draft.moment()
    for _ in range(draft.one_of(0, 1, 2, 3, 4)):
        back = draft.one_of(
            MINUTE, HOUR, 5 * HOUR, DAY, 7 * DAY, 7 * DAY + 1500, 8 * DAY, 14 * DAY, 29 * DAY, 30 * DAY, 30 * DAY + 1,
            31 * DAY, -2 * MINUTE, -5 * MINUTE, -5 * MINUTE - 1, 20 * SECOND, 10 * SECOND,
        )  # fmt: skip
        draft.click(placed - back)
    alone = {"trust_tier": "browser"} if draft.often(0.15) else {}
    for order in ["A1~", "B1~"][: draft.one_of(1, 1, 1, 2)]:
        for _ in range(draft.one_of(1, 1, 2, 3)):
            _tell_order(draft, order, placed, **alone)
    if draft.often(0.3):
        for _ in range(draft.one_of(1, 2)):
            _follow(draft, draft.one_of(*draft.clicks)) if draft.clicks else None
    return _codes(draft), _own(draft)


def _tell_order(draft: Draft, order: str, placed: int, **fields: Any) -> None:
    tier = fields.get("trust_tier") or draft.one_of("browser", "connector", "connector", "server", "server")
    ahead = 0 if tier == "browser" else draft.one_of(0, 0, 0, -3 * MINUTE, -20 * HOUR)
    later_ms = ahead or draft.one_of(0, SECOND, 5 * MINUTE, 2 * DAY, 30 * DAY)
    told: dict[str, Any] = {
        "trust_tier": tier,
        "order_id": order,
        "shop": "shop~",
        "conversion_type": draft.one_of(*["purchase"] * 9, "signup"),
        "customer_type": draft.one_of("", "new", "returning"),
        "is_renewal": draft.often(0.1),
        "is_test": draft.often(0.1),
        "currency": draft.one_of("EUR", "EUR", "EUR", "USD"),
        "revenue_cents": draft.one_of(0, 100, 4900, 9999, 12_345),
        **_parts(draft),
    }
    if tier != "browser" and draft.often(0.3):
        told["revised_at"] = placed + draft.one_of(0, HOUR, 2 * HOUR, 3 * HOUR) + draft.events
    if draft.clicks and draft.often(0.6):
        told["click_id"] = draft.one_of(*draft.clicks, "x1") if draft.often(0.2) else draft.one_of(*draft.clicks)
        told["click_id_status"] = draft.one_of(*["valid"] * 9, "expired", "bad_signature")
    if draft.often(0.4):
        words = ["EMMA10~", " emma10~", "ＥＭＭＡ10~", "LENA10~", "lena10~", "SALE~", "WELCOME~"]
        told["coupon_codes"] = draft.chance.sample(words, draft.one_of(1, 1, 2, 3))
    kept = {
        name: draft.one_of(*values)
        for name, values in (("customer_hash", ("h1~", "h1~", "h2~")), ("email_hash", ("m1~", "m2~")))
        if draft.often(0.3)
    }
    told["kept"] = kept or None
    at_ms = placed + draft.one_of(0, 0, 0, SECOND, -HOUR, DAY if draft.often(0.3) else MINUTE)
    if tier == "browser":
        fields.pop("payment_id", "")
    telling = draft.add("conversion", at_ms, later_ms, **{**told, **fields})
    if draft.often(0.15):
        draft.retell(telling)


def _parts(draft: Draft) -> dict[str, Any]:
    """Return an order's parts, some or none of them, and what the shopper saw."""
    found: dict[str, Any] = {}
    if draft.often(0.5):
        found = {
            "subtotal_cents": draft.one_of(None, 0, 5000, 10_000),
            "discount_cents": draft.one_of(None, 0, 500, 6000),
            "tax_cents": draft.one_of(None, 0, 190),
            "shipping_cents": draft.one_of(None, 0, 490),
            "gift_card_cents": draft.one_of(None, 1000),
        }
    if draft.often(0.2):
        found["lines"] = [
            Line(line_id="1", subtotal_cents=5000, discount_cents=draft.one_of(0, 500), is_gift_card=draft.often(0.7)),
            Line(line_id="2", subtotal_cents=1000, is_gift_card=draft.often(0.2)),
        ]
    if draft.often(0.2):
        found |= {"presentment_currency": "GBP", "presentment_revenue_cents": draft.one_of(0, 3300, 777)}
    return found


def _codes(draft: Draft) -> list[CodePeriod]:
    half = draft.one_of(0, NOON, -HOUR)
    found = [
        CodePeriod(
            "emma10~", "crt_emma~", draft.one_of("", "cmp_spring~"), -OUTSIDE, draft.one_of(OUTSIDE, OUTSIDE, NOON)
        ),
        CodePeriod("lena10~", "crt_lena~", "", draft.one_of(-OUTSIDE, NOON), OUTSIDE),
        CodePeriod("sale~", "crt_emma~", "", half - DAY, half),
        CodePeriod("sale~", "crt_mia~", "", half, half + draft.one_of(HOUR, OUTSIDE)),
    ]
    return [period for period in found if draft.often(0.8)]


def _own(draft: Draft) -> list[OwnCustomerPeriod]:
    if draft.often(0.6):
        return []
    begins = draft.one_of(-OUTSIDE, NOON, -6 * HOUR)
    return [
        OwnCustomerPeriod(
            f"crt_{draft.one_of('emma', 'lena')}~",
            draft.one_of("h1~", "m1~"),
            begins,
            begins + draft.one_of(DAY, OUTSIDE),
        )
    ]


def _customers(draft: Draft) -> Catalog:
    placed = draft.moment()
    for _ in range(draft.one_of(1, 2, 3)):
        back = draft.one_of(MINUTE, HOUR, DAY, 3 * DAY, 29 * DAY, 30 * DAY, 30 * DAY + 1, 31 * DAY, -2 * MINUTE, -HOUR)
        draft.click(placed - back)
    for click, at_ms in list(draft.clicks.items()):
        for _ in range(draft.one_of(0, 1, 1, 2)):
            _identify(draft, click, at_ms, placed)
    _tell_order(draft, "A1~", placed, kept={"customer_hash": "h1~"})
    for _ in range(draft.one_of(0, 0, 1, 2)):
        _tell_order(draft, draft.one_of("A1~", "B1~"), placed)
    return _codes(draft) if draft.often(0.3) else (), _own(draft)


def _identify(draft: Draft, click: str, at_ms: int, placed: int) -> None:
    tier = draft.one_of(*TIERS)
    kept = {
        name: value
        for name, value in (
            ("customer_hash", draft.one_of("h1~", "h1~", "h2~")),
            ("email_hash", draft.one_of("m1~", "m2~")),
        )
        if draft.often(0.7)
    }
    fields = {
        "trust_tier": tier,
        "click_id": click,
        "click_id_status": draft.one_of(*["valid"] * 9, "bad_signature"),
        "kept": kept or {"customer_hash": "h1~"},
        "is_test": draft.often(0.05),
    }
    moment = draft.one_of(at_ms + MINUTE, at_ms + MINUTE, placed - 30 * DAY, placed - 30 * DAY - 1, placed + HOUR)
    if draft.often(0.3) and moment > at_ms - DAY:
        kind = {"conversion_type": draft.one_of("purchase", "signup"), "currency": "EUR", "revenue_cents": 700}
        telling = draft.add("conversion", moment, 0, **fields, **kind, order_id=f"Z{draft.events}~", shop="shop~")
    else:
        telling = draft.add("identify", moment, 0, **fields)
    if draft.often(0.15):
        draft.retell(telling)


def _money(draft: Draft) -> Catalog:
    placed = draft.moment()
    if draft.often(0.5):
        draft.click(placed - HOUR)
    orders = ["A1~", "B1~"][: draft.one_of(1, 1, 2)]
    payments = draft.one_of((), ("pi_1~",), ("in_1~", "pi_1~"))
    for order in orders:
        for _ in range(draft.one_of(1, 1, 2)):
            paid = {"payment_id": payments[0]} if payments and draft.often(0.7) else {}
            _tell_order(draft, order, placed, is_test=draft.often(0.05), conversion_type="purchase", **paid)
    if len(payments) == 2:
        for _ in range(draft.one_of(1, 1, 2)):
            paid = {"order_id": "in_1~", "payment_id": "pi_1~", "trust_tier": "connector", "shop": "acct~"}
            draft.add("payment", placed + draft.one_of(0, DAY), 0, **paid)
    for _ in range(draft.one_of(1, 2, 3, 4)):
        _refund(draft, placed, (*orders, "N1~"), payments)
    return (), ()


def _refund(draft: Draft, placed: int, orders: Sequence[str], payments: Sequence[str]) -> None:
    tier = draft.one_of("browser", "connector", "connector", "server", "server")
    is_paid = tier != "browser" and draft.often(0.5)
    fields: dict[str, Any] = {
        "trust_tier": tier,
        "original_order_id": draft.one_of(*orders[:1], *orders[:1], *orders),
        "shop": draft.one_of("shop~", "shop~", "shop~", "acct~"),
        "payment_id": draft.one_of("pi_9~", *payments, *payments) if is_paid else "",
        "refund_amount_cents": draft.one_of(0, 1, 100, 333, 1000, 4900, 12_345, 20_000),
        "currency": draft.one_of("EUR", "EUR", "EUR", "EUR", "GBP", "USD"),
        "reason": draft.one_of(*REFUND_REASONS),
        "is_test": draft.often(0.05),
    }
    telling = draft.add(
        "refund", placed + draft.one_of(-HOUR, HOUR, 2 * DAY, 20 * DAY), draft.one_of(0, MINUTE), **fields
    )
    if draft.often(0.2):
        draft.retell(telling)
