"""What deriving costs: a day of the largest of a hundred organizations, as events grow; and ten million events."""

from __future__ import annotations

import os
import statistics
import time
from datetime import UTC, datetime, timedelta
from typing import Any

from bench.history import AS_OF, LARGEST, START, days_of, told
from stackfluence.events.statements import Statement
from stackfluence.events.store import Store
from stackfluence.facts import Run, derive, derive_orders, highest_run

MILLIONS = [float(word) for word in os.environ.get("SF_BENCH_MILLIONS", "1,10").split(",")]
ORGANIZATIONS, DAYS = 100, 90
DAY_AIM_SECONDS, WHOLE_AIM_SECONDS = 5, 60
WHOLE_MILLIONS, WHOLE_DAYS = float(os.environ.get("SF_BENCH_WHOLE_MILLIONS", "10")), 30
LATER_MS = int(datetime(2026, 12, 1, tzinfo=UTC).timestamp() * 1000)


def run() -> dict[str, Any]:
    """Return seconds by the wall: of days, the median of three in the middle of the history, and of a whole history."""
    result: dict[str, Any] = {}
    for millions in MILLIONS:
        with told(int(millions * 1e6), ORGANIZATIONS, DAYS) as store:
            result[f"{millions:g}_million_events"] = _days(store)
    if WHOLE_MILLIONS:
        with told(int(WHOLE_MILLIONS * 1e6), 1, WHOLE_DAYS) as store:
            result["whole_history"] = {"millions": WHOLE_MILLIONS, "days": WHOLE_DAYS, **_whole(store)}
    return {**result, "aim_day_seconds": DAY_AIM_SECONDS, "aim_whole_seconds": WHOLE_AIM_SECONDS}


def _days(store: Store) -> dict[str, Any]:
    chosen = [START + timedelta(days=DAYS // 2 + place) for place in range(4)]
    took: list[list[float]] = [_day(store, day) for day in chosen]
    clicks, orders = ([row[place] for row in took[1:]] for place in (0, 1))  # the first gives orders their places
    counted = _count(store)
    return {
        "events": counted["all_events"],
        "events_of_the_day": counted["day_events"],
        "click_day_seconds": round(statistics.median(clicks), 2),
        "order_day_seconds": round(statistics.median(orders), 2),
        "first_order_day_seconds": round(took[0][1], 2),
    }


def _day(store: Store, day: Any) -> list[float]:
    started = time.perf_counter()
    derive(store, _run(store), day, day + timedelta(days=1))
    between = time.perf_counter()
    derive_orders(store, _run(store), [day])
    return [between - started, time.perf_counter() - between]


def _whole(store: Store) -> dict[str, Any]:
    days = days_of(WHOLE_DAYS + 8)  # orders come up to a week after their click
    started = time.perf_counter()
    clicks = derive(store, _run(store), days[0], days[WHOLE_DAYS])
    between = time.perf_counter()
    orders = derive_orders(store, _run(store), days)
    ended = time.perf_counter()
    return {
        "events": _count(store)["all_events"],
        "clicks": clicks.clicks,
        "conversions": orders.conversions,
        "clicks_seconds": round(between - started, 1),
        "orders_seconds": round(ended - between, 1),
    }


def _run(store: Store) -> Run:
    return Run(highest_run(store) + 1, LARGEST, AS_OF, LATER_MS)


_COUNT = Statement(
    "count_events",
    "",
    """
    select
        count() as all_events,
        countIf(organization_id = {organization_id:String} and toDate(occurred_at) = {day:Date}) as day_events
    from events
    """,
)


def _count(store: Store) -> dict[str, int]:
    with store.session() as session:
        row = session.row(_COUNT, organization_id=LARGEST, day=START + timedelta(days=DAYS // 2 + 1))
    return {name: int(value) for name, value in row.items()}
