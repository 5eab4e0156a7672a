"""Facts as derivation runs leave them, put into a store directly, and what reports must make of them, in plain Python.

Two organizations have the same ids, days and runs, so that whatever isn't asked of one alone would be wrong at once.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

from stackfluence.clock import parse_rfc3339, uuid7
from stackfluence.events.statements import Statement
from stackfluence.events.store import Store
from stackfluence.facts.derive import FOR_EVER, GENERATION
from stackfluence.facts.orders import CODE_STEPS, ORDER_GENERATION, WORK
from stackfluence.facts.orders import SQL as ORDERS

NOBODY = "(nobody)"
MODELS = ("paid", "last_touch", "first_touch", "linear", "position_based", "time_decay")
COUNTRIES, DEVICES, APPS = ("DE", "FR", ""), ("phone", "desktop"), ("", "instagram", "tiktok")
UNQUALIFIED = ("", "", "not_measured", "no_consent", "untrusted_visit", "not_engaged", "repeated_visit")
INVALID = ("", "", "", "declared_bot", "no_session")
# days around the two changes of the clocks in Europe, and one a month after
DAYS = ("2026-03-28", "2026-03-29", "2026-03-30", "2026-10-24", "2026-10-25", "2026-10-26", "2026-11-20")
MINUTES = (0, 14, 15, 45, 59, 60, 75, 180, 700, 1380, 1395, 1425, 1439)
NO_CLICK = str(UUID(int=0))
# each by what, in moments of how many milliseconds, the clicks are counted
ROLLUPS: dict[str, tuple[int, Sequence[str]]] = {
    "all": (900_000, ("link_id", "creator_id", "campaign_id", "country", "device_class", "in_app_browser")),
    "quarter": (900_000, ()),
    "link": (86_400_000, ("link_id", "creator_id", "campaign_id")),
    "country": (86_400_000, ("country",)),
    "device": (86_400_000, ("device_class",)),
    "in_app_browser": (86_400_000, ("in_app_browser",)),
}
PLACES = ("country", "device_class", "in_app_browser")
TOLD_APART = ("is_test", "arrival_stage", "invalid_reason", "unqualified_reason")


class Touch(NamedTuple):
    """A touch that is credited with an order: its creator and so on, when, the click where there is one, credits."""

    creator_id: str
    campaign_id: str
    link_id: str
    at_ms: int
    click: Mapping[str, Any] | None
    credits: Mapping[str, int]


@dataclass
class Told:
    """What one organization's newest runs say."""

    clicks: list[dict[str, Any]] = field(default_factory=list)
    orders: list[dict[str, Any]] = field(default_factory=list)


def make_facts(seed: int, links: Sequence[Mapping[str, str]]) -> Told:
    """Return an organization's facts, the same for the same seed; `links` have id, creator_id and campaign_id."""
    chance = random.Random(seed)
    told = Told()
    for number in range(500):
        start_ms = parse_rfc3339(f"{chance.choice(DAYS)}T00:00:00Z")
        at_ms = start_ms + chance.choice(MINUTES) * 60_000 + chance.choice((0, 1, 59_999))
        link = chance.choice(links)
        reason, why = chance.choice(INVALID), chance.choice(UNQUALIFIED)
        has_arrived = why not in ("not_measured", "no_consent") or (why == "no_consent" and chance.random() < 0.5)
        told.clicks.append(
            {
                "at_ms": at_ms,
                "click_id": uuid7(at_ms)[1],
                "link_id": link["id"],
                "creator_id": link["creator_id"],
                "campaign_id": link["campaign_id"],
                "is_test": number % 10 == 0,
                "country": chance.choice(COUNTRIES),
                "device_class": chance.choice(DEVICES),
                "in_app_browser": chance.choice(APPS),
                "arrival_stage": chance.choice(("received", "resolved")) if has_arrived else "measured",
                "traffic_class": "givt" if reason else "valid",
                "invalid_reason": reason,
                "unqualified_reason": "invalid_traffic" if reason else why,
                "pageviews": chance.randrange(4),
            }
        )
    valid = [click for click in told.clicks if not click["invalid_reason"] and not click["is_test"]]
    told.orders = [_order(chance, number, valid, links) for number in range(160)]
    return told


def _order(
    chance: random.Random, number: int, clicks: Sequence[dict[str, Any]], links: Sequence[Mapping[str, str]]
) -> dict[str, Any]:
    last = chance.choice(clicks)
    at_ms = last["at_ms"] + chance.choice((-240_000, 5_000, 7_200_000, 29 * 86_400_000))
    touches = []
    if number % 4:
        touched = [last, *chance.sample(clicks, chance.randrange(3))]
        made = {click["click_id"]: click for click in touched if at_ms - 30 * 86_400_000 <= click["at_ms"] <= at_ms}
        made[last["click_id"]] = last
        parts = [("", click) for click in made.values()]
        if number % 5 == 0:
            parts.insert(0, ("code", dict(chance.choice(links))))
        shares = {model: _split(chance, len(parts)) for model in MODELS}
        for place, (code, thing) in enumerate(parts):
            touches.append(
                Touch(
                    thing["creator_id"],
                    thing["campaign_id"],
                    "" if code else thing["link_id"],
                    at_ms if code else thing["at_ms"],
                    None if code else thing,
                    {model: shares[model][place] for model in MODELS},
                )
            )
    has_amounts = number % 7 != 0
    revenue = chance.randrange(1, 10**9) if has_amounts else None
    base = chance.randrange(revenue + 1) if revenue else 4_900 if number % 2 else None  # merchandise may be told alone
    refunded = chance.randrange(revenue or 4_900) if number % 3 == 0 else 0
    is_test, is_unconfirmed = number % 11 == 0, number % 13 == 0
    unattributed = "" if touches else chance.choice(("no_touch", "outside_window"))
    return {
        "at_ms": at_ms,
        "conversion_id": uuid7(at_ms)[1],
        "conversion_type": "purchase" if has_amounts else "signup",
        "customer_type": chance.choice(("new", "returning", "")),
        "is_test": is_test,
        "currency": chance.choice(("EUR", "USD", "JPY")),
        "revenue_cents": revenue,
        "refunded_cents": refunded,
        "net_revenue_cents": None if revenue is None else revenue - refunded,
        "commission_base_cents": base,
        "net_base_micros": None if base is None else base * 1_000_000 - chance.randrange(base * 1_000_000 + 1),
        "unattributed_reason": unattributed,
        "non_billable_reason": "test"
        if is_test
        else "unconfirmed"
        if is_unconfirmed
        else "unattributed"
        if unattributed
        else "",
        "touches": touches,
    }


def _split(chance: random.Random, parts: int) -> list[int]:
    """Return credits that add up to a million: all for one, or shared."""
    if chance.random() < 0.4:
        winner = chance.randrange(parts)
        return [1_000_000 * (place == winner) for place in range(parts)]
    cuts = sorted(chance.randrange(1_000_001) for _ in range(parts - 1))
    return [end - start for start, end in zip([0, *cuts], [*cuts, 1_000_000], strict=True)]


def put_facts(store: Store, organization_id: str, told: Told, older: Told) -> None:
    """Write facts of run 2, and of runs that aren't read: an older one, one that expired, and one without a pointer."""
    for run_id, facts in ((1, older), (2, told), (3, older), (4, older)):
        _put_clicks(store, organization_id, run_id, facts.clicks)
        _put_orders(store, organization_id, run_id, facts.orders)
        if run_id == 4:
            continue
        expires = datetime(2020, 1, 1, tzinfo=UTC) if run_id == 3 else datetime(2106, 1, 1, tzinfo=UTC)
        common = {"organization_id": organization_id, "run_id": run_id, "expires_at": expires}
        # what the older run says of days that the newer one has nothing of isn't read either
        days = _days(told.clicks, older.clicks)
        rows = [{"day": day, "clicks": 1, "is_final": True, "generation": GENERATION} for day in days]
        put(store, "derived_days", [{**row, **common} for row in rows])
        rows = [{"day": day, "generation": ORDER_GENERATION} for day in _days(told.orders, older.orders)]
        put(store, "derived_order_days", [{**row, **common} for row in rows])


def _days(*rows: Iterable[Mapping[str, Any]]) -> list[date]:
    return sorted({_moment(row["at_ms"]).date() for some in rows for row in some})


def _put_clicks(store: Store, organization_id: str, run_id: int, clicks: Sequence[dict[str, Any]]) -> None:
    common = {"organization_id": organization_id, "run_id": run_id}
    for counted_by, (step_ms, names) in ROLLUPS.items():
        rows = _counted(clicks, "counted_at", step_ms, [*names, *TOLD_APART])
        put(store, "click_rollups", [{**common, "counted_by": counted_by, **row} for row in rows])
    put(
        store,
        "click_verdicts",
        [
            {**common, "occurred_at": _moment(click["at_ms"]), **{k: v for k, v in click.items() if k != "at_ms"}}
            for click in clicks
        ],
    )


def _counted(clicks: Sequence[dict[str, Any]], moment: str, step_ms: int, names: Sequence[str]) -> list[dict[str, Any]]:
    """Return how many clicks and pageviews there are of each moment and of what is named."""
    counted: dict[tuple[Any, ...], list[int]] = {}
    for click in clicks:
        at = _moment(click["at_ms"] // step_ms * step_ms)
        counts = counted.setdefault((at, *(click[name] for name in names)), [0, 0])
        counts[0] += 1
        counts[1] += click["pageviews"]
    return [
        {**dict(zip([moment, *names], key, strict=True)), "clicks": counts[0], "pageviews": counts[1]}
        for key, counts in counted.items()
    ]


def _put_orders(store: Store, organization_id: str, run_id: int, orders: Sequence[dict[str, Any]]) -> None:
    common = {"organization_id": organization_id, "run_id": run_id}
    rows, touches = [], []
    for order in orders:
        own = {**common, "occurred_at": _moment(order["at_ms"]), "conversion_id": order["conversion_id"]}
        rows.append({**order, **own})
        for place, touch in enumerate(order["touches"], start=1):
            touches.append(
                {
                    **own,
                    "place": place,
                    "creator_id": touch.creator_id,
                    "campaign_id": touch.campaign_id,
                    "link_id": touch.link_id,
                    "click_id": NO_CLICK if touch.click is None else touch.click["click_id"],
                    "touched_at": _moment(touch.at_ms),
                    **{name: touch.click[name] if touch.click else "" for name in PLACES},
                    "outcome": "paid" if touch.credits["paid"] else "eligible",
                    **{f"{model}_credits": share for model, share in touch.credits.items()},
                }
            )
    for row in rows:
        del row["at_ms"], row["touches"]
    put(store, "conversions", rows)
    put(store, "attributions", touches)
    share_orders(store, organization_id, run_id)


def share_orders(store: Store, organization_id: str, run_id: int) -> None:
    """Write whose a run's orders are, as derivations do."""
    common = {"organization_id": organization_id, "run_id": run_id}
    with store.session() as session:
        for table in ("conversions", "attributions"):
            session.run(WORK[f"create_day_{table}"])
            sql = f"""
                insert into day_{table} select * except (run_id, organization_id, expires_at) from {table}
                where organization_id = {{organization_id:String}} and run_id = {{run_id:UInt64}}
                """
            session.run(Statement("copy", "", sql), **common)
        session.run(WORK["create_day_shares"])
        session.run(next(step for step in CODE_STEPS if step.name == "derive_order_shares"))
        session.run(ORDERS["publish_shares"], **common, expires_s=FOR_EVER)


def put(store: Store, table: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows, all with the same columns, into a table."""
    columns = list(rows[0])
    with store.session() as session:
        session.upload(table, columns, [[row[name] for name in columns] for row in rows])


def _moment(at_ms: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=at_ms)


@dataclass(frozen=True)
class Asked:
    """What a report is asked, as the oracle understands it."""

    from_ms: int
    to_ms: int
    by: str = "order_day"
    model: str = "paid"
    is_test: bool = False
    creator_id: str = ""
    campaign_id: str = ""
    link_id: str = ""

    def is_of(self, thing: Any) -> bool:
        found = thing if isinstance(thing, Mapping) else thing._asdict()
        names = ("creator_id", "campaign_id", "link_id")
        return all(getattr(self, name) in ("", found[name]) for name in names)


Key = Callable[[int, Mapping[str, Any] | None, Touch | None, Mapping[str, Any] | None], str]


def expected(told: Told, asked: Asked, key_of: Key) -> dict[str, dict[str, Any]]:
    """Return the rows of a report by their group; `key_of` is given a moment, the click, the touch and the order."""
    rows: dict[str, list[Any]] = {}
    for click in told.clicks:
        if asked.from_ms <= click["at_ms"] < asked.to_ms and asked.is_of(click) and click["is_test"] == asked.is_test:
            rows.setdefault(key_of(click["at_ms"], click, None, None), []).append(click)
    for order in told.orders:
        for at_ms, touch, share in _shares(order, asked):
            if asked.from_ms <= at_ms < asked.to_ms:
                made = touch.click if touch else None
                rows.setdefault(key_of(at_ms, made, touch, order), []).append((order, share, touch is not None))
    return {key: _told(found, asked) for key, found in rows.items()}


def _shares(order: Mapping[str, Any], asked: Asked) -> Iterator[tuple[int, Touch | None, dict[str, int]]]:
    """Give when an order counts, whose it is, and which part of its amounts."""
    if asked.is_test and not order["is_test"]:
        return
    credited = [touch for touch in order["touches"] if touch.credits[asked.model]]
    if not credited and not (asked.creator_id or asked.campaign_id or asked.link_id):
        yield order["at_ms"], None, _part(order, 0, 1_000_000)
    so_far = 0
    for touch in credited:
        share = touch.credits[asked.model]
        if asked.is_of(touch):
            at_ms = touch.at_ms if asked.by == "click_day" else order["at_ms"]
            yield at_ms, touch, _part(order, so_far, share)
        so_far += share


def _part(order: Mapping[str, Any], so_far: int, share: int) -> dict[str, int]:
    net_base = order["net_base_micros"] or 0
    return {
        "credits": share,
        "revenue_micros": (order["revenue_cents"] or 0) * share,
        "refunded_micros": 0 if order["revenue_cents"] is None else order["refunded_cents"] * share,
        "net_revenue_micros": (order["net_revenue_cents"] or 0) * share,
        "commission_base_micros": (order["commission_base_cents"] or 0) * share,
        "net_base_micros": net_base * (so_far + share) // 1_000_000 - net_base * so_far // 1_000_000,
    }


def _told(found: Sequence[Any], asked: Asked) -> dict[str, Any]:
    clicks = [row for row in found if isinstance(row, dict)]
    valid = [click for click in clicks if not click["invalid_reason"]]
    orders: dict[str, tuple[Mapping[str, Any], bool]] = {}
    amounts: dict[str, Counter[str]] = {}
    left_out: dict[str, Mapping[str, Any]] = {}
    credits = 0
    for row in found:
        if isinstance(row, dict):
            continue
        order, share, is_credited = row
        if not asked.is_test and order["non_billable_reason"] not in ("", "unattributed"):
            left_out[order["conversion_id"]] = order
            continue
        orders[order["conversion_id"]] = (order, is_credited)
        credits += share["credits"]
        if order["revenue_cents"] is not None or order["commission_base_cents"] is not None:
            summed = amounts.setdefault(order["currency"], Counter())
            for name, value in share.items():
                summed[name] += value
    return {
        "clicks": {
            "gross": len(clicks),
            "valid": len(valid),
            "invalid_by_reason": _counts(click["invalid_reason"] for click in clicks),
            "arrived": sum(click["arrival_stage"] != "measured" for click in valid),
            "qualified": sum(not click["unqualified_reason"] for click in valid),
            "unqualified_by_reason": _counts(click["unqualified_reason"] for click in valid),
            "pageviews": sum(click["pageviews"] for click in valid),
        },
        "orders": {
            "conversions": len(orders),
            "conversions_by_type": _counts(order["conversion_type"] for order, _ in orders.values()),
            "credits": credits,
            "uncredited_by_reason": _counts(
                order["unattributed_reason"] for order, is_credited in orders.values() if not is_credited
            ),
            "left_out_by_reason": _counts(order["non_billable_reason"] for order in left_out.values()),
            "amounts": {
                currency: {name: value for name, value in summed.items() if name != "credits"}
                for currency, summed in amounts.items()
            },
        },
    }


def _counts(words: Iterable[str]) -> dict[str, int]:
    return dict(Counter(word for word in words if word))


def period_of(at_ms: int, grain: str, zone: str) -> str:
    """Return the period of a moment as the clocks of a zone call it."""
    shown = _moment(at_ms).astimezone(ZoneInfo(zone))
    if grain == "quarter_hour":
        return shown.replace(minute=shown.minute // 15 * 15, second=0, microsecond=0).isoformat()
    if grain == "hour":
        return shown.replace(minute=0, second=0, microsecond=0).isoformat()
    day = shown.date()
    if grain == "week":
        day -= timedelta(days=day.weekday())
    return (day.replace(day=1) if grain == "month" else day).isoformat()
