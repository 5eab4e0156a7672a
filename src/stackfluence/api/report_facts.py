"""What a report counts: clicks and orders as they were derived, each once, in rows that add up.

A report first reads which run is read for each day, and binds every statement to these: all it tells is of one moment.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from pydantic import Field

from stackfluence.api.access import Reading
from stackfluence.api.fields import Told
from stackfluence.api.report_query import DAY_MS, By, ReportQuery, ReportSpan, day_of
from stackfluence.clock import now_ms
from stackfluence.events.feed import LATEST_MS
from stackfluence.events.statements import read_statements
from stackfluence.facts import day_ms
from stackfluence.facts.derive import FINAL_AFTER_MS

SQL = read_statements(Path(__file__).with_name("report_facts.sql"))
COUNTED_FROM = 2  # the first form of a click's facts that is counted as reports read it
SHARED_FROM = 3  # the first form of an order's facts that says whose it is by each model
NEWEST = LATEST_MS  # more than any run's number
WINDOW_MS = 30 * DAY_MS  # the longest attribution window that a policy may have
SKEW_MS = 5 * 60_000  # how much later than its order a click may seem to be, by facts/130

ClickPart = tuple[str, str, bool, int, int]  # why invalid, why unqualified, if it arrived; clicks, pageviews


class ClickCounts(Told):
    """Clicks: `gross` = `valid` + the sum of `invalid_by_reason`; `valid` = `qualified` + that of the other."""

    gross: int
    valid: int
    invalid_by_reason: dict[str, int] = Field(description="Each invalid click under the reason that weighs most.")
    arrived: int = Field(description="Valid clicks of which a session or page was seen.")
    qualified: int = Field(description="Valid clicks that led to a visit which is good enough to bill.")
    unqualified_by_reason: dict[str, int] = Field(description="Each other valid click under the first that holds.")
    pageviews: int = Field(description="Pages seen by the visitors of valid clicks.")


class Amounts(Told):
    """Amounts of one currency in millionths of its smallest unit, so that shares of orders add up exactly."""

    revenue_micros: int
    refunded_micros: int
    net_revenue_micros: int
    commission_base_micros: int = Field(description="Merchandise alone, before what came back.")
    net_base_micros: int = Field(description="Merchandise alone, after what came back.")


class OrderCounts(Told):
    """Orders, signups and so on, each once a row. Those left out are in none of the other numbers."""

    conversions: int = Field(description="Distinct ones; one that several share is in each one's row.")
    conversions_by_type: dict[str, int]
    credits: int = Field(description="Millionths of them that fall on this row; the rows' add up to the total's.")
    uncredited_by_reason: dict[str, int] = Field(description="Those among them that nobody is credited with.")
    left_out_by_reason: dict[str, int] = Field(description="Told, and not counted: unconfirmed ones, tests.")
    amounts: dict[str, Amounts] = Field(description="By currency; never added across.")


class Counts(Told):
    """A row of a report."""

    clicks: ClickCounts
    orders: OrderCounts


@dataclass(frozen=True, slots=True)
class Runs:
    """Which run is read for each day from `first_day` on, 0 for none.

    Of clicks also how many rows each read, and how many are stored of the span's days that end up to `over_ms`, which
    hardly change any more.
    """

    first_day: date
    click_runs: list[int]
    click_rows: list[int]
    order_runs: list[int]
    over_ms: int
    stored_rows: int
    last_run: int
    last_order_run: int
    now_ms: int

    @property
    def first_number(self) -> int:
        """How many days after 1970 began the first is."""
        return (self.first_day - date(1970, 1, 1)).days

    def of_clicks(self) -> dict[str, Any]:
        """Return what statements that read clicks bind."""
        return {"first_day": self.first_number, "click_runs": self.click_runs}

    def of_orders(self) -> dict[str, Any]:
        """Return what statements that read orders bind."""
        return {"first_day": self.first_number, "order_runs": self.order_runs}


async def read_runs(reading: Reading, span: ReportSpan, last_run: int = NEWEST, last_order_run: int = NEWEST) -> Runs:
    """Return which runs are read for a span, at most the given ones."""
    first = day_of(max(0, span.from_ms - SKEW_MS))
    last = day_of(span.to_ms + WINDOW_MS)
    moment = now_ms()
    asked = {"organization_id": reading.organization_id, "now_ms": moment}
    span_days = {"from_day": day_of(span.from_ms), "to_day": day_of(span.to_ms - 1)}
    order_days = {"from_day": first, "to_day": last}
    begin_ms, end_ms = day_ms(day_of(span.from_ms)), day_ms(day_of(span.to_ms + DAY_MS - 1))
    over_ms = max(begin_ms, min(end_ms, day_ms(day_of(moment - FINAL_AFTER_MS))))
    whose = {"organization_id": reading.organization_id, "from_ms": begin_ms, "to_ms": over_ms}
    clicks, orders, (stored,) = await asyncio.gather(
        reading.core.events.read(SQL["click_runs"], **asked, **span_days, last_run=last_run),
        reading.core.events.read(SQL["order_runs"], **asked, **order_days, last_run=last_order_run),
        reading.core.events.read(SQL["count_click_rows"], **whose),
    )
    days = (last - first).days + 1
    click_runs, click_rows, order_runs = ([0] * days for _ in range(3))
    for row in clicks:
        if row["generation"] >= COUNTED_FROM:
            place = (row["day"] - first).days
            click_runs[place], click_rows[place] = row["run_id"], row["click_rows"]
    for row in orders:
        if row["generation"] >= SHARED_FROM:
            order_runs[(row["day"] - first).days] = row["run_id"]
    newest = max(click_runs), max(order_runs)
    return Runs(first, click_runs, click_rows, order_runs, over_ms, stored["click_rows"], *newest, moment)


def about(span: ReportSpan, asked: ReportQuery, runs: Runs, not_derived: Mapping[int, int]) -> dict[str, Any]:
    """Return the members of ReportTold."""
    return {
        "from_": span.from_ms,
        "to": span.to_ms,
        "time_zone": span.time_zone,
        "is_test": asked.is_test,
        "by": asked.by,
        "model": asked.model,
        "run_id": runs.last_run,
        "order_run_id": runs.last_order_run,
        "not_derived": sum(not_derived.values()),
    }


def scan_of(span: ReportSpan, by: By) -> tuple[int, int, str]:
    """Return between which moments the orders of a span were placed, and which moment of theirs is in the span.

    Orders of a click day may be placed a month later.
    """
    if by == "click_day":
        return max(0, span.from_ms - SKEW_MS), span.to_ms + WINDOW_MS, "touched_at"
    return span.from_ms, span.to_ms, "occurred_at"


def tell_clicks(parts: Iterable[ClickPart]) -> ClickCounts:
    """Return what parts of clicks add up to."""
    lost = Lost.of(parts)
    return ClickCounts(
        gross=lost.gross,
        valid=lost.valid,
        invalid_by_reason=sorted_counts(lost.invalid),
        arrived=lost.arrived,
        qualified=lost.qualified,
        unqualified_by_reason=sorted_counts(lost.before_arrival + lost.after_arrival),
        pageviews=lost.pageviews,
    )


@dataclass(slots=True)
class Lost:
    """Clicks on their way: how many came how far, and why the others didn't."""

    gross: int = 0
    valid: int = 0
    arrived: int = 0
    qualified: int = 0
    pageviews: int = 0
    invalid: Counter[str] = field(default_factory=Counter)
    before_arrival: Counter[str] = field(default_factory=Counter)
    after_arrival: Counter[str] = field(default_factory=Counter)

    @classmethod
    def of(cls, parts: Iterable[ClickPart]) -> Lost:
        """Return what parts add up to."""
        lost = cls()
        for invalid_reason, unqualified_reason, has_arrived, clicks, pageviews in parts:
            lost.gross += clicks
            if invalid_reason:
                lost.invalid[invalid_reason] += clicks
                continue
            lost.valid += clicks
            lost.arrived += clicks * has_arrived
            lost.pageviews += pageviews
            if not unqualified_reason:
                lost.qualified += clicks
            else:
                why = lost.after_arrival if has_arrived else lost.before_arrival
                why[unqualified_reason] += clicks
        return lost


def tell_orders(parts: Iterable[tuple[Any, ...]], *, credited_only: bool = False) -> OrderCounts:
    """Return what parts of orders add up to; with `credited_only` those alone that somebody is credited with."""
    by_type: Counter[str] = Counter()
    uncredited: Counter[str] = Counter()
    left_out: Counter[str] = Counter()
    amounts: dict[str, list[int]] = {}
    credits = 0
    for conversion_type, currency, uncredited_reason, left_out_reason, orders, share, *money in parts:
        if left_out_reason:
            left_out[left_out_reason] += orders
            continue
        if uncredited_reason:
            uncredited[uncredited_reason] += orders
            if credited_only:
                continue
        by_type[conversion_type] += orders
        credits += share
        if currency:
            before = amounts.get(currency, [0] * len(money))
            amounts[currency] = [some + more for some, more in zip(before, money, strict=True)]
    return OrderCounts(
        conversions=by_type.total(),
        conversions_by_type=sorted_counts(by_type),
        credits=credits,
        uncredited_by_reason=sorted_counts(uncredited),
        left_out_by_reason=sorted_counts(left_out),
        amounts={
            currency: Amounts(**dict(zip(Amounts.model_fields, money, strict=True)))
            for currency, money in sorted(amounts.items())
        },
    )


def sorted_counts(counts: Mapping[str, int]) -> dict[str, int]:
    """Return what was counted, the largest first, then by name."""
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
