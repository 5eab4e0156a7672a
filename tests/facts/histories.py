"""Histories as chance tells them: small and nasty, each with names of its own, so that many fit into one organization.

A history is a list of tellings, which can be told again under another number, shuffled, twice, or in part. Names in it
end in `~`, behind which its number comes; events and clicks are numbered, `e3`, and become UUIDs of the history.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from stackfluence.clock import rfc3339
from stackfluence.events.event import Line
from stackfluence.facts import CodePeriod, OwnCustomerPeriod, PolicyPeriod
from stackfluence.reasons import score_of
from stackfluence.vocabulary import AttributionModel, TrafficReason
from tests.facts.days import DAY_START_MS, Days

SECOND, MINUTE, HOUR, DAY = 1000, 60_000, 3_600_000, 86_400_000
NOON = 12 * HOUR
OUTSIDE = 2**50  # a bound of codes and own customers that is never reached
TIERS = ("browser", "connector", "server")
STAMPS = (
    (), (), (), (), ("prefetch",), ("prerender", "hosting_network"), ("declared_bot",), ("no_accept_language",),
    ("listed_pattern", "unlike_brands"), ("self_referred", "vpn_network"), ("hosting_network", "missing_headers"),
    ("unlike_header_order", "missing_headers", "hosting_network", "vpn_network"), ("prefetch", "contradicting_hints"),
    ("possible_duplicate", "link_velocity"), ("headless_browser", "impossible_user_agent"), ("replayed_click_id",),
)  # fmt: skip
BOUNDARIES = (0, 1, 5 * MINUTE, NOON - 1, NOON, NOON + 1, 23 * HOUR + 50 * MINUTE, DAY - 1)


@dataclass(frozen=True)
class Telling:
    """One event as somebody tells it, `at_ms` after the day's beginning; its time of receipt comes `later_ms` after."""

    event_type: str
    at_ms: int
    later_ms: int
    fields: dict[str, Any]

    def __str__(self) -> str:
        told = {name: value for name, value in self.fields.items() if value not in ("", None, False, [], ())}
        return f"{self.event_type} {_clock(self.at_ms)} received {self.later_ms:+d} ms {told}"


@dataclass(frozen=True)
class History:
    """What was told, and whose codes and customers were whose; bounds count from the day's beginning."""

    tellings: tuple[Telling, ...]
    codes: tuple[CodePeriod, ...] = ()
    own_customers: tuple[OwnCustomerPeriod, ...] = ()

    def __str__(self) -> str:
        return "\n".join(map(str, (*self.tellings, *self.codes, *self.own_customers)))

    def tell(self, days: Days, number: int) -> None:
        """Write it under a number; nothing is loaded."""
        clicked = {each.fields["event_id"]: each.at_ms for each in self.tellings if each.event_type == "click"}
        for telling in self.tellings:
            fields = numbered(telling.fields, number)
            for name in ("event_id", "click_id"):
                if fields.get(name):
                    fields[name] = event_uuid(number, fields[name], clicked.get(fields[name], 0))
            fields["received_at"] = rfc3339(DAY_START_MS + telling.at_ms + telling.later_ms)
            if (revised_ms := fields.pop("revised_at", None)) is not None:
                fields["revised_at"] = rfc3339(DAY_START_MS + revised_ms)
            days.event(telling.event_type, telling.at_ms, **fields)

    def code_periods(self, number: int) -> list[CodePeriod]:
        """Return its codes under a number."""
        return [
            period._replace(
                code_key=numbered(period.code_key, number),
                creator_id=numbered(period.creator_id, number),
                from_ms=max(DAY_START_MS + period.from_ms, 0),
                to_ms=DAY_START_MS + period.to_ms,
            )
            for period in self.codes
        ]

    def own_periods(self, number: int) -> list[OwnCustomerPeriod]:
        """Return its own customers under a number."""
        return [
            own._replace(
                creator_id=numbered(own.creator_id, number),
                customer_hash=numbered(own.customer_hash, number),
                from_ms=max(DAY_START_MS + own.from_ms, 0),
                to_ms=DAY_START_MS + own.to_ms,
            )
            for own in self.own_customers
        ]


def numbered(value: Any, number: int) -> Any:
    """Return a value with the history's number behind each `~`."""
    if isinstance(value, str):
        return value.replace("~", f"~{number}")
    if isinstance(value, dict):
        return {name: numbered(inner, number) for name, inner in value.items()}
    if isinstance(value, list):
        return [numbered(inner, number) for inner in value]
    return value


def event_uuid(number: int, name: str, at_ms: int = 0) -> str:
    """Return the UUID (version 7) of an event, `e3` or `x3`, of a history; a click's has the time of the click."""
    low = 2 << 62 | number << 24 | ord(name[0]) << 16 | int(name[1:])
    return str(UUID(int=DAY_START_MS + at_ms << 80 | 7 << 76 | low))


def policy_periods(chance: random.Random) -> list[PolicyPeriod]:
    """Return policies that change at noon and the evening before, in every field."""
    starts = [0, *sorted(chance.sample([DAY_START_MS - 6 * HOUR, DAY_START_MS, DAY_START_MS + NOON], chance.randrange(3)))]
    return [_policy(chance, at_ms, version) for version, at_ms in enumerate(starts, start=1)]


def _policy(chance: random.Random, from_ms: int, version: int) -> PolicyPeriod:
    if chance.random() < 0.25:
        return PolicyPeriod(from_ms, version)
    return PolicyPeriod(
        from_ms,
        version,
        chance.choice([50, 50, 50, 20, 21, 60, 61, 100]),
        tuple(chance.choice([(), (), ("no_accept_language",), ("webdriver", "prefetch"), ("hosting_network", "no_interaction")])),
        tuple(chance.choice([("givt", "sivt"), ("givt", "sivt"), ("givt",), ("sivt",), ()])),
        chance.choice([10, 10, 0, 5, 60]) * SECOND,
        chance.choice([2, 2, 1, 3, 100]),
        chance.choice([24, 24, 0, 1, 3]) * HOUR,
        tuple(chance.choice([TIERS, TIERS, ("server",), ("connector", "server"), ("browser",)])),
        tuple(chance.choice([("server", "connector"), ("server", "connector"), ("server",), ("connector",)])),
        tuple(chance.choice([TIERS, TIERS, ("server", "connector"), ("server",), ("browser",)])),
        chance.choice(list(AttributionModel)).value,
        chance.choice([30, 30, 1, 7, 29]) * DAY,
    )


@dataclass
class Draft:
    """A history in the making."""

    chance: random.Random
    tellings: list[Telling] = field(default_factory=list)
    clicks: dict[str, int] = field(default_factory=dict)  # name, time
    events: int = 0
    receipts: set[int] = field(default_factory=set)

    def one_of(self, *choices: Any) -> Any:
        """Choose evenly."""
        return self.chance.choice(choices)

    def often(self, share: float) -> bool:
        """Whether it happens this time."""
        return self.chance.random() < share

    def name(self) -> str:
        """Return the name of a new event."""
        self.events += 1
        return f"e{self.events}"

    def add(self, event_type: str, at_ms: int, later_ms: int = 0, **fields: Any) -> Telling:
        """Tell an event; no two have the same time of receipt, because which came first would be nobody's guess."""
        while at_ms + later_ms in self.receipts:
            later_ms += 1
        self.receipts.add(at_ms + later_ms)
        telling = Telling(event_type, at_ms, later_ms, {"event_id": self.name(), **fields})
        self.tellings.append(telling)
        return telling

    def again(self, telling: Telling, at_ms: int, later_ms: int, **fields: Any) -> None:
        """Tell another row of the same event."""
        self.add(telling.event_type, at_ms, later_ms, **{**telling.fields, **fields})

    def moment(self) -> int:
        """Return a time of the day or of the evening before, often a nasty one."""
        if self.often(0.4):
            return int(self.one_of(*BOUNDARIES)) - self.one_of(0, 0, DAY)
        return self.chance.randrange(-8 * HOUR, DAY)

    def click(self, at_ms: int | None = None, **fields: Any) -> str:
        """Tell a click at a time of its own; which of two at once is the last would be nobody's guess."""
        at_ms = self.moment() if at_ms is None else at_ms
        while at_ms in self.clicks.values():
            at_ms += 1
        creator, stamp = self.one_of("emma", "emma", "lena", "mia"), self.one_of(*STAMPS)
        place = self.one_of("", "", "_story")
        told = {
            "link_id": f"lnk_{creator}{place}~",
            "creator_id": f"crt_{creator}~",
            "campaign_id": f"cmp_{self.one_of('spring', 'spring', 'autumn')}~",
            "bot_reasons": list(stamp),
            "bot_score": score_of(map(TrafficReason, stamp)),
            "consent": self.one_of("unknown", "unknown", "unknown", "granted", "denied", "opted_out"),
            "is_test": self.often(0.1),
        } | fields
        telling = self.add("click", at_ms, trust_tier="server", **told)
        name = str(telling.fields["event_id"])
        telling.fields["click_id"] = name
        self.clicks[name] = at_ms
        return name


def history(chance: random.Random) -> History:
    """Return a history, of visits or of orders or of what came back of one."""
    draft = Draft(chance)
    subject = draft.one_of(_visits, _orders, _orders, _money, _customers)
    codes, own = subject(draft)
    return History(tuple(draft.tellings), tuple(codes), tuple(own))


Catalog = tuple[Sequence[CodePeriod], Sequence[OwnCustomerPeriod]]


def _visits(draft: Draft) -> Catalog:
    for _ in range(draft.one_of(1, 2, 3, 3, 4)):
        near = draft.clicks and draft.often(0.5)
        at_ms = max(draft.clicks.values()) + draft.one_of(1, 20 * MINUTE, HOUR, 3 * HOUR, DAY - 1, DAY) if near else None
        click = draft.click(at_ms)
        for _ in range(draft.one_of(0, 1, 2, 2, 3, 4)):
            _follow(draft, click)
    return (), ()


def _follow(draft: Draft, click: str) -> None:
    at_ms = draft.clicks[click] + draft.one_of(
        2 * SECOND, 2 * SECOND, 5 * SECOND, 12 * SECOND, MINUTE, 10 * MINUTE, 2 * HOUR, -HOUR, 0, DAY, DAY + 1
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
    later_ms = draft.one_of(0, 0, 0, 30 * SECOND, 2 * HOUR)
    telling = draft.add(event_type, at_ms, later_ms, **fields)
    if draft.often(0.15):
        _tell_again(draft, telling)


def _tell_again(draft: Draft, telling: Telling) -> None:
    """Tell an event in another row: by somebody else, at another time, of another click, without it."""
    change: dict[str, Any] = {"trust_tier": draft.one_of(*TIERS)}
    if draft.often(0.3) and draft.clicks:
        change["click_id"], change["click_id_status"] = draft.one_of(*draft.clicks), "valid"
    if draft.often(0.2):
        change["click_id"], change["click_id_status"] = "", "missing"
    if draft.often(0.2):
        change["is_test"] = not telling.fields.get("is_test", False)
    if change["trust_tier"] == "browser":
        change["payment_id"], change["revised_at"] = "", None
    at_ms = telling.at_ms + draft.one_of(0, 0, SECOND, -SECOND, 3 * HOUR, -DAY)
    draft.again(telling, at_ms, telling.later_ms + draft.one_of(0, MINUTE, DAY, 20 * DAY), **change)


def _orders(draft: Draft) -> Catalog:
    placed = draft.moment()
    for _ in range(draft.one_of(0, 1, 2, 3, 4)):
        back = draft.one_of(
            MINUTE, HOUR, 5 * HOUR, DAY, 7 * DAY, 7 * DAY + 1500, 8 * DAY, 14 * DAY, 29 * DAY, 30 * DAY, 30 * DAY + 1,
            31 * DAY, -2 * MINUTE, -5 * MINUTE, -5 * MINUTE - 1, 20 * SECOND, 10 * SECOND,
        )  # fmt: skip
        draft.click(placed - back)
    for order in ["A1~", "B1~"][: draft.one_of(1, 1, 1, 2)]:
        for _ in range(draft.one_of(1, 1, 2, 3)):
            _tell_order(draft, order, placed)
    if draft.often(0.3):
        for _ in range(draft.one_of(1, 2)):
            _follow(draft, draft.one_of(*draft.clicks)) if draft.clicks else None
    return _codes(draft), _own(draft)


def _tell_order(draft: Draft, order: str, placed: int, **fields: Any) -> Telling:
    tier = draft.one_of("browser", "connector", "connector", "server", "server")
    ahead = 0 if tier == "browser" else draft.one_of(0, 0, 0, -3 * MINUTE, -20 * HOUR)
    later_ms = draft.one_of(0, SECOND, 5 * MINUTE, 2 * DAY) if not ahead else ahead
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
    telling = draft.add("conversion", at_ms, later_ms, **{**told, **fields})
    if draft.often(0.15):
        _tell_again(draft, telling)
    return telling


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
        CodePeriod("emma10~", "crt_emma~", draft.one_of("", "cmp_spring~"), -OUTSIDE, draft.one_of(OUTSIDE, OUTSIDE, NOON)),
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
        OwnCustomerPeriod(f"crt_{draft.one_of('emma', 'lena')}~", draft.one_of("h1~", "m1~"), begins, begins + draft.one_of(DAY, OUTSIDE))
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
        for name, value in (("customer_hash", draft.one_of("h1~", "h1~", "h2~")), ("email_hash", draft.one_of("m1~", "m2~")))
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
    if draft.often(0.3):
        kind = {"conversion_type": draft.one_of("purchase", "signup"), "currency": "EUR", "revenue_cents": 700}
        telling = draft.add("conversion", moment, 0, **fields, **kind, order_id=f"Z{draft.events}~", shop="shop~")
    else:
        telling = draft.add("identify", moment, 0, **fields)
    if draft.often(0.15):
        _tell_again(draft, telling)


def _money(draft: Draft) -> Catalog:
    placed = draft.moment()
    if draft.often(0.5):
        draft.click(placed - HOUR)
    orders = ["A1~", "B1~"][: draft.one_of(1, 1, 2)]
    payments = draft.one_of((), ("pi_1~",), ("in_1~", "pi_1~"))
    for order in orders:
        for _ in range(draft.one_of(1, 1, 2)):
            telling = _tell_order(draft, order, placed, is_test=draft.often(0.05), conversion_type="purchase")
            if payments and telling.fields["trust_tier"] != "browser" and draft.often(0.7):
                telling.fields["payment_id"] = payments[0]
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
        "reason": draft.one_of("", "refund", "refund", "own_word", "cancellation", "cancellation", "chargeback", "chargeback_reversed"),
        "is_test": draft.often(0.05),
    }
    telling = draft.add("refund", placed + draft.one_of(-HOUR, HOUR, 2 * DAY, 20 * DAY), draft.one_of(0, MINUTE), **fields)
    if draft.often(0.2):
        _tell_again(draft, telling)


def without(told: History, places: set[int]) -> History:
    """Return a history without some of its lines: tellings, codes and own customers, counted in this order."""
    kept = [line for place, line in enumerate(_lines(told)) if place not in places]
    return History(
        tuple(line for line in kept if isinstance(line, Telling)),
        tuple(line for line in kept if isinstance(line, CodePeriod)),
        tuple(line for line in kept if isinstance(line, OwnCustomerPeriod)),
    )


def _lines(told: History) -> tuple[Telling | CodePeriod | OwnCustomerPeriod, ...]:
    return (*told.tellings, *told.codes, *told.own_customers)


def lines_of(told: History) -> int:
    """Return how many lines a history has."""
    return len(_lines(told))


def tell_all(days: Days, histories: Iterable[tuple[int, History]]) -> None:
    """Write histories under their numbers."""
    for number, told in histories:
        told.tell(days, number)


def _clock(at_ms: int) -> str:
    day, rest = divmod(at_ms, DAY)
    seconds, milliseconds = divmod(rest, SECOND)
    return f"{day:+d}d {seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}.{milliseconds:03d}"
