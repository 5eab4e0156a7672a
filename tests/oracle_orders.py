"""The oracle of orders: whom each names, what became of every candidate, and who is credited."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from stackfluence.facts.codes import CodePeriod
from stackfluence.facts.policies import PolicyPeriod
from tests.oracle_clicks import Clicks
from tests.oracle_credits import WHOLE, shares
from tests.oracle_events import DAY_MS, TIERS, Event, Input, Terms, day_of, folded, policy_at
from tests.oracle_money import Key, Order, money, orders_of, refunds_by_order

CLOCK_MS = 300_000
CUSTOMER_MS, ACCOUNT_MS = 30 * DAY_MS, DAY_MS  # before the order, and after it: who buys may register next
MODELS = ("last_touch", "first_touch", "linear", "position_based", "time_decay")
NOBODY = "00000000-0000-0000-0000-000000000000"


@dataclass(frozen=True)
class Candidate:
    """A code or click that could name a creator."""

    found_by: str
    tier: str
    outcome: str  # empty while it isn't known which of several is named
    creator: str = ""
    campaign: str = ""
    link: str = ""
    click: str = ""
    clicked_ms: int = 0
    code: str = ""

    @property
    def is_viable(self) -> bool:
        """Whether it could name its creator."""
        return self.outcome in ("", "named", "outranked")


class Orders:
    """Every order of an input, with whom it names and who is credited."""

    def __init__(self, given: Input) -> None:
        self.given, self.terms = given, given.terms
        self.clicks = Clicks(given)
        self.orders = orders_of(given)
        self.refunds = refunds_by_order(given, self.orders)

    def told(self, key: Key) -> dict[str, Any]:
        """Return an order in the columns of `conversions`, with `touches` in those of `attributions`."""
        order = self.orders[key]
        first = order.first
        named, rest = self.candidates(order)
        chosen = named[0] if named else Candidate("none", "", "")
        click = self._click_beside(named)
        policy = policy_at(self.terms, min(first.at_ms, first.received_ms))
        touches = self.touches(order, named, policy)
        return {
            "occurred_ms": first.at_ms,
            "received_ms": first.received_ms,
            "event_id": first.event_id,
            "events": len(order.events),
            "trust_tier": max(order.events, key=lambda event: event.strength).tier,
            "conversion_type": first.get("conversion_type"),
            "customer_type": order.priced.get("customer_type"),
            "is_renewal": first.get("is_renewal", False),
            "is_test": order.is_test,
            **money(order, self.refunds.get(key, ())),
            "coupon_codes": sorted({code for event in order.believed for code in event.get("coupon_codes", ())}),
            "found_by": chosen.found_by,
            "found_tier": chosen.tier,
            "creator_id": chosen.creator,
            "campaign_id": chosen.campaign or click.campaign,
            "link_id": click.link,
            "click_id": click.click or NOBODY,
            "matched_code": chosen.code,
            "candidates": sorted(
                (each.found_by, outcome, each.creator, each.click or NOBODY, each.code, each.tier)
                for each, outcome in self._with_outcomes(named, rest)
            ),
            "unknown_clicks": sorted(each.click for each in rest if each.outcome == "unknown_click"),
            "policy_version": policy.version,
            "unattributed_reason": self._unattributed(touches),
            "non_billable_reason": self._non_billable(order, touches, policy),
            "is_provisional": any(touch["is_provisional"] for touch in touches),
            **self._odd(order, named),
            "touches": touches,
        }

    def _with_outcomes(self, named: Sequence[Candidate], rest: Sequence[Candidate]) -> list[tuple[Candidate, str]]:
        ranked = [(each, "outranked" if place else "named") for place, each in enumerate(named)]
        return ranked + [(each, each.outcome) for each in rest]

    def _click_beside(self, named: Sequence[Candidate]) -> Candidate:
        """Return the first click of the creator who is named."""
        own = [each for each in named if each.click and each.creator == named[0].creator]
        return own[0] if own else Candidate("none", "", "")

    def candidates(self, order: Order) -> tuple[list[Candidate], list[Candidate]]:
        """Return those that could name somebody, the one that does first, and the others."""
        found = self.code_candidates(order) + self.click_candidates(order)
        clicked = {each.creator for each in found if each.is_viable and each.click}
        codes = [each for each in found if each.is_viable and each.code]
        clicks = [each for each in found if each.is_viable and each.click]
        codes.sort(key=lambda each: each.creator not in clicked)
        clicks.sort(key=lambda each: (each.tier == "browser", -each.clicked_ms))
        return codes + clicks, [each for each in found if not each.is_viable]

    def codes_told(self, events: Sequence[Event]) -> list[tuple[str, str]]:
        """Return the codes of some tellings, each once, with the strongest who tells of it, in the order's order."""
        best: dict[str, tuple[int, int, str]] = {}
        for event in events:
            for place, code in enumerate(event.get("coupon_codes", ())):
                told = (-event.strength, place, code)
                best[folded(code)] = min(best.get(folded(code), told), told)
        in_order = sorted(best, key=lambda key: (*best[key][:2], key))
        return [(best[key][2], TIERS[-best[key][0]]) for key in in_order]

    def code_candidates(self, order: Order) -> list[Candidate]:
        """Return a candidate for each code; a browser's codes count where nobody else tells of the order."""
        counted = {folded(code) for code, _ in self.codes_told(order.believed)}
        found = []
        for code, tier in self.codes_told(order.events):
            periods = [period for period in self.terms.codes if period.code_key == folded(code)]
            live = [period for period in periods if period.from_ms <= order.first.at_ms < period.to_ms]
            found.append(self._code_candidate(code, tier, periods, live, is_counted=folded(code) in counted))
        return found

    def _code_candidate(
        self, code: str, tier: str, periods: Sequence[CodePeriod], live: Sequence[CodePeriod], *, is_counted: bool
    ) -> Candidate:
        if not periods:
            return Candidate("code", tier, "unclaimed_code", code=code)
        owner = live[0] if live else max(periods, key=lambda period: period.from_ms)
        outcome = "code_not_live" if not live else "" if is_counted else "unconfirmed_code"
        return Candidate("code", tier, outcome, owner.creator_id, owner.campaign_id, code=code)

    def click_candidates(self, order: Order) -> list[Candidate]:
        """Return a candidate for each click that the order carries, or that its customer carried elsewhere."""
        told: dict[tuple[str, str], str] = {}
        for event in order.events:
            if event.click:
                _raise(told, (event.click, "click_id"), event.tier)
        at_ms = order.first.at_ms
        for event in order.events:
            for other in self.given.of_type("conversion", "identify"):
                is_elsewhere = other not in order.events and -ACCOUNT_MS < at_ms - other.at_ms <= CUSTOMER_MS
                if is_elsewhere and other.click and event.persons & other.persons:
                    weaker = min(event.tier, other.tier, key=TIERS.index)
                    _raise(told, (other.click, "customer"), weaker)
        ways: dict[str, list[tuple[bool, bool, str, str]]] = {}  # the best way of each click is the least
        for (click, found_by), tier in told.items():
            is_too_old = found_by == "customer" and at_ms - made_ms(click) > CUSTOMER_MS
            ways.setdefault(click, []).append((is_too_old, tier == "browser", found_by, tier))
        return [self._click_candidate(order, click, *min(found)) for click, found in ways.items()]

    def _click_candidate(
        self, order: Order, click: str, is_too_old: bool, _is_browsers: bool, found_by: str, tier: str
    ) -> Candidate:
        row = self.clicks.clicks.get(click)
        if row is None:
            return Candidate(found_by, tier, "unknown_click", click=click)
        outcome = ""
        if row.is_test != order.is_test:
            outcome = "test_click"
        elif row.at_ms > order.placed_by_ms + CLOCK_MS:
            outcome = "after_order"
        elif is_too_old:
            outcome = "too_old"
        place = (row.get("creator_id"), row.get("campaign_id"), row.get("link_id"))
        return Candidate(found_by, tier, outcome, *place, click, row.at_ms)

    def touches(self, order: Order, named: Sequence[Candidate], policy: PolicyPeriod) -> list[dict[str, Any]]:
        """Return every touch with what became of it, and its credits in all models."""
        outcomes = [self._outcome(order, each, policy) for each in named]
        credited = _credits(order, named, [outcome == "eligible" for outcome in outcomes])
        has_code = any(each.code and outcome == "eligible" for each, outcome in zip(named, outcomes, strict=True))
        paying = "last_touch" if has_code else policy.attribution_model
        return [
            {
                "found_by": each.found_by,
                "trust_tier": each.tier,
                "creator_id": each.creator,
                "campaign_id": each.campaign,
                "link_id": each.link,
                "click_id": each.click or NOBODY,
                "code": each.code,
                "touched_ms": each.clicked_ms if each.click else order.first.at_ms,
                "outcome": "paid" if credited[paying].get(place) else outcomes[place],
                "invalid_reason": self._verdict(each)[0],
                "is_provisional": self._verdict(each)[1],
                "policy_version": policy.version,
                "paid_credits": credited[paying].get(place, 0),
                **{f"{model}_credits": credited[model].get(place, 0) for model in MODELS},
            }
            for place, each in enumerate(named)
        ]

    def _verdict(self, each: Candidate) -> tuple[str, bool]:
        """Return why a click is invalid, and whether only its stamp says so."""
        if not each.click:
            return "", False
        if day_of(each.clicked_ms) in self.given.derived:
            return self.clicks.judged(each.click).invalid_reason, False
        return self.clicks.stamp_judged(each.click).invalid_reason, True

    def _outcome(self, order: Order, each: Candidate, policy: PolicyPeriod) -> str:
        if self._is_own_customer(order, each.creator, self.terms):
            return "self_purchase"
        if each.tier not in policy.touch_tiers:
            return "unconfirmed_touch"
        if each.click and order.first.at_ms - each.clicked_ms > policy.window_ms:
            return "outside_window"
        return "invalid_traffic" if self._verdict(each)[0] else "eligible"

    def _is_own_customer(self, order: Order, creator: str, terms: Terms) -> bool:
        persons = {person for event in order.events for _, person in event.persons}
        return any(
            own.creator_id == creator and own.customer_hash in persons and own.from_ms <= order.first.at_ms < own.to_ms
            for own in terms.own_customers
        )

    def _unattributed(self, touches: Sequence[dict[str, Any]]) -> str:
        if not touches:
            return "no_touch"
        outcomes = [touch["outcome"] for touch in touches]
        return "" if {"paid", "eligible"} & set(outcomes) else str(outcomes[0])

    def _non_billable(self, order: Order, touches: Sequence[dict[str, Any]], policy: PolicyPeriod) -> str:
        if order.is_test:
            return "test"
        if not any(event.tier in policy.conversion_tiers for event in order.events):
            return "unconfirmed"
        return "unattributed" if self._unattributed(touches) else ""

    def _odd(self, order: Order, named: Sequence[Candidate]) -> dict[str, Any]:
        """Return what is odd: browsers that name clicks of several creators."""
        creators = {each.creator for each in named if each.found_by == "click_id" and each.tier == "browser"}
        is_odd = len(creators) > 1
        return {
            "reasons": ["conflicting_clicks"] if is_odd else [],
            "evidence": {"browser_creators": len(creators)} if is_odd else {},
        }


def made_ms(click: str) -> int:
    """Return when a click was made, as its id says (RFC 9562, 5.7)."""
    return UUID(click).int >> 80


def _raise(told: dict[tuple[str, str], str], key: tuple[str, str], tier: str) -> None:
    """Note who tells of a click, the strongest of several."""
    told[key] = max(told.get(key, tier), tier, key=TIERS.index)


def _credits(order: Order, named: Sequence[Candidate], eligible: Sequence[bool]) -> dict[str, dict[int, int]]:
    """Return the credits of each model by a touch's place."""
    able = [place for place, is_able in enumerate(eligible) if is_able]
    if not able:
        return {model: {} for model in MODELS}
    clicked = {named[place].creator for place in able if named[place].click}
    sharing = [place for place in able if named[place].click or named[place].creator not in clicked]

    def touched_ms(place: int) -> int:
        return named[place].clicked_ms if named[place].click else order.first.at_ms

    sharing.sort(key=lambda place: (touched_ms(place), place))
    ages = [order.first.at_ms - touched_ms(place) for place in sharing]
    found = {model: shares(model, sharing, ages) for model in MODELS[1:]}
    return {"last_touch": {able[0]: WHOLE}, **found}
