"""What a derivation and the oracle make of the same histories, and the shortest history in which they differ."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

from stackfluence.clock import rfc3339
from stackfluence.facts import CodeBook, PolicyBook, PolicyPeriod, Terms, derive_orders
from tests import oracle
from tests.events.journals import rows
from tests.facts.days import DAY, DAY_START_MS, Days
from tests.facts.histories import History, lines_of, tell_all, without
from tests.oracle_events import Terms as OracleTerms
from tests.oracle_shares import shares_of

DAYS = (DAY - timedelta(days=1), DAY)
SHORTENINGS = 40  # rounds of leaving lines out; a history has fewer lines
READ = {
    "click_verdicts": ("derived_days", "click_id"),
    "conversions": ("derived_order_days", "conversion_id"),
    "attributions": ("derived_order_days", "conversion_id, place"),
    "order_shares": ("derived_order_days", "conversion_id, model, place"),
}
_TOUCH = (
    "found_by", "trust_tier", "creator_id", "campaign_id", "link_id", "code", "outcome", "invalid_reason",
    "is_provisional", "policy_version", "paid_credits", "last_touch_credits", "first_touch_credits", "linear_credits",
    "position_based_credits", "time_decay_credits",
)  # fmt: skip

Numbered = Sequence[tuple[int, History]]
Facts = dict[str, dict[str, Any]]  # what each click or order comes to, by `click …` or `order …`


@dataclass(frozen=True)
class Difference:
    """A history of which the oracle and a derivation make different things, by click or order and by column."""

    number: int
    history: History
    found: dict[str, dict[str, tuple[Any, Any]]]  # derived, and as the oracle says

    def __str__(self) -> str:
        lines = [
            f"{subject} {column}: derived {derived!r}, by the rules {expected!r}"
            for subject, columns in self.found.items()
            for column, (derived, expected) in columns.items()
        ]
        return "\n".join([f"history {self.number}", str(self.history), *lines])


Compare = Callable[[Numbered], list[Difference]]  # one way and another to see some histories


def derive_all(days: Days, terms: Terms, chosen: Sequence[date] = DAYS) -> tuple[dict[date, str], dict[date, str]]:
    """Load what waits and derive clicks, then orders, of some days; returns the hashes of both by day."""
    days.load()
    clicks = days.derive(chosen[0], chosen[-1] + timedelta(days=1), policies=terms.policies)
    orders = derive_orders(days.store, days.run(), chosen, terms)
    return (
        {day.day: day.facts_hash for day in clicks.days},
        {day.day: day.facts_hash for day in orders.days},
    )


def terms_of(histories: Numbered, policies: Sequence[PolicyPeriod]) -> Terms:
    """Return what the catalog says of an organization that has all these histories."""
    codes = [period for number, told in histories for period in told.code_periods(number)]
    own = [period for number, told in histories for period in told.own_periods(number)]
    return Terms(CodeBook(codes), PolicyBook(policies), own)


def differences(days: Days, histories: Numbered, policies: Sequence[PolicyPeriod]) -> list[Difference]:
    """Tell histories to an organization of their own, derive, and return those that the oracle sees differently."""
    days.organization_id = f"org_{days.runs:07d}"
    tell_all(days, histories)
    derive_all(days, terms_of(histories, policies))
    return compared(histories, derived_facts(days), expected_facts(histories, policies, days.organization_id))


def compared(histories: Numbered, derived: Facts, expected: Facts) -> list[Difference]:
    """Return the histories of which the facts differ."""
    found: dict[int, dict[str, dict[str, tuple[Any, Any]]]] = {}
    for subject in sorted(derived.keys() | expected.keys()):
        one, other = derived.get(subject, {"": "is there"}), expected.get(subject, {"": "is there"})
        columns = {
            column: (one.get(column), other.get(column))
            for column in sorted(one.keys() | other.keys())
            if one.get(column) != other.get(column)
        }
        if columns:
            found.setdefault(number_of(subject), {})[subject] = columns
    return [Difference(number, told, found[number]) for number, told in histories if number in found]


def number_of(subject: str) -> int:
    """Return the number of the history that a click or order is of."""
    name = subject.split(" ")[-1]
    return int(name.partition("~")[2]) if "~" in name else int(name.replace("-", ""), 16) >> 24 & 0xFFFFFFFF


def shortest(difference: Difference, compare: Compare) -> Difference:
    """Return the same difference with as few lines as can be: whatever isn't needed for one is left out."""
    for _ in range(SHORTENINGS):
        told = difference.history
        single = _still_different(difference, compare, [without(told, {place}) for place in range(lines_of(told))])
        places = [one.number for one in single]
        if not places:
            break
        several = [without(told, set(places[: count + 1])) for count in range(1, len(places))]
        difference = (single[:1] + _still_different(difference, compare, several))[-1]
    return difference


def _still_different(difference: Difference, compare: Compare, shorter: Sequence[History]) -> list[Difference]:
    """Return those of some histories, numbered from 0, in which one of the same columns differs."""
    found = compare(list(enumerate(shorter))) if shorter else []
    return [one for one in found if _columns(one) & _columns(difference)]


def _columns(difference: Difference) -> set[str]:
    return {column for columns in difference.found.values() for column in columns}


def expected_facts(histories: Numbered, policies: Sequence[PolicyPeriod], organization_id: str = "") -> Facts:
    """Return what the oracle makes of what was told, each history by itself: it is slow."""
    found: Facts = {}
    for number, history in histories:
        told = [
            (event_type, organization_id, {"occurred_at": rfc3339(DAY_START_MS + at_ms), **fields})
            for event_type, at_ms, fields in history.events(number)
        ]
        terms = OracleTerms(policies, history.code_periods(number), history.own_periods(number))
        mine = told, organization_id, terms, DAYS
        found |= {f"click {click}": row for click, row in oracle.clicks_told(*mine).items()}
        for key, row in oracle.orders_told(*mine, DAYS).items():
            found[f"order {key[-1]}"] = {**row, "shares": shares_of(row)}
    return found


def derived_facts(days: Days) -> Facts:
    """Return what readers see of the organization's days, in the oracle's form."""
    clicks = {f"click {row['click_id']}": _click(row) for row in _read(days, "click_verdicts")}
    touches: dict[UUID, list[dict[str, Any]]] = {}
    for row in _read(days, "attributions"):
        touches.setdefault(row["conversion_id"], []).append(_touch(row))
    shares: dict[UUID, list[dict[str, Any]]] = {}
    for row in _read(days, "order_shares"):
        shares.setdefault(row["conversion_id"], []).append(_share(row))
    orders = {}
    for row in _read(days, "conversions"):
        is_order = row["order_id"] and row["conversion_type"] == "purchase"
        subject = f"order {row['order_id'] if is_order else row['event_id']}"
        order = _order(row, touches.get(row["conversion_id"], []))
        orders[subject] = {**order, "shares": shares.get(row["conversion_id"], [])}
    return {**clicks, **orders}


def _read(days: Days, table: str) -> list[dict[str, Any]]:
    pointers, order = READ[table]
    return rows(
        days.store,
        f"""
        select * from {table}
        where organization_id = {{organization_id:String}} and (organization_id, toDate(occurred_at), run_id) in (
            select organization_id, day, max(run_id) from {pointers} group by organization_id, day
        )
        order by {order}
        """,
        organization_id=days.organization_id,
    )


def _ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)


def _click(row: dict[str, Any]) -> dict[str, Any]:
    same = (
        "arrival_stage", "sessions", "pageviews", "engaged_ms", "conversions", "score", "traffic_class",
        "invalid_reason", "policy_version", "unqualified_reason", "is_duplicate_click",
    )  # fmt: skip
    lists = {name: sorted(row[name]) for name in ("bot_reasons", "later_reasons", "lifted_reasons")}
    return {**{name: row[name] for name in same}, **lists, "evidence": dict(row["evidence"])}


def _touch(row: dict[str, Any]) -> dict[str, Any]:
    told = {name: row[name] for name in _TOUCH}
    return {**told, "click_id": str(row["click_id"]), "touched_ms": _ms(row["touched_at"])}


def _share(row: dict[str, Any]) -> dict[str, Any]:
    left_out = {
        "run_id", "organization_id", "occurred_at", "conversion_id", "touched_at", "country", "device_class",
        "in_app_browser", "expires_at",
    }  # fmt: skip
    told = {name: value for name, value in row.items() if name not in left_out}
    return {**told, "touched_ms": _ms(row["touched_at"])}


def _order(row: dict[str, Any], touches: list[dict[str, Any]]) -> dict[str, Any]:
    left_out = {
        "run_id", "organization_id", "occurred_at", "received_at", "conversion_id", "shop", "order_id", "expires_at",
    }  # fmt: skip
    told = {name: value for name, value in row.items() if name not in left_out}
    candidates = [
        (each["found_by"], each["outcome"], each["creator_id"], str(each["click_id"]), each["code"], each["trust_tier"])
        for each in row["candidates"]
    ]
    return {
        **told,
        **{name: str(row[name]) for name in ("event_id", "amounts_event_id", "click_id")},
        "occurred_ms": _ms(row["occurred_at"]),
        "received_ms": _ms(row["received_at"]),
        "refunded_by_reason": {name: cents for name, cents in row["refunded_by_reason"].items() if cents},
        "candidates": sorted(candidates),
        "unknown_clicks": sorted(map(str, row["unknown_clicks"])),
        "coupon_codes": sorted(row["coupon_codes"]),
        "reasons": list(row["reasons"]),
        "evidence": dict(row["evidence"]),
        "touches": touches,
    }
