"""A time span as a whole and through time: the series, the funnel, and who bought."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from fastapi import Query
from pydantic import Field

from stackfluence.api.access import Reads
from stackfluence.api.fields import Time, Told
from stackfluence.api.report_facts import (
    Amounts,
    Counts,
    Lost,
    OrderCounts,
    about,
    read_runs,
    sorted_counts,
    tell_orders,
)
from stackfluence.api.report_groups import Group, Grouping, count_groups
from stackfluence.api.report_late import count_not_derived
from stackfluence.api.report_query import (
    Grain,
    ReportQuery,
    ReportTold,
    periods_of,
    read_report_span,
    seconds,
)
from stackfluence.api.routes import router
from stackfluence.vocabulary import CustomerType

MAX_POINTS = 4_000  # ten years of days, five months of hours, six weeks of quarters of an hour
MAX_CUSTOMER_TYPES = 10  # more than there are


class TimeseriesQuery(ReportQuery):
    """Of when and of whom, and how fine."""

    grain: Grain = "day"


class Point(Counts):
    """What falls into one period; the first and the last end where the span does."""

    period: str = Field(
        description="A date, that of the Monday or the first of the month; or a time with the zone's offset.",
        examples=["2026-11-22", "2026-11-22T13:00:00+01:00"],
    )
    from_: Time = Field(serialization_alias="from")
    to: Time


class Timeseries(ReportTold):
    """Every period of the span, also those in which nothing happened."""

    grain: Grain
    total: Counts
    items: list[Point]


class FunnelStep(Told):
    """How many came this far, and why the others of the step before didn't: `lost_by_reason` adds up to these."""

    step: Literal["clicks", "valid", "arrived", "qualified", "orders", "conversions"]
    count: int
    lost_by_reason: dict[str, int]


class Funnel(ReportTold):
    """From the click to revenue. Orders begin anew: one may be found by a code, without a click."""

    steps: list[FunnelStep]
    measurable_permille: int | None = Field(
        description="Of a thousand valid clicks, those that arrived or whose visitor objected to being measured."
    )
    pageviews: int
    amounts: dict[str, Amounts] = Field(description="Of credited orders, by currency.")


class CustomerRow(Told):
    """The orders of those who bought here for the first time, or again, as the shop told; null where it didn't."""

    customer_type: CustomerType | None
    orders: OrderCounts


class Customers(ReportTold):
    """Orders by who bought."""

    total: OrderCounts
    items: list[CustomerRow]


routes = router("reports")


@routes.get("/reports/timeseries", summary="Count clicks and orders through time")
async def count_through_time(asked: Annotated[TimeseriesQuery, Query()], reading: Reads) -> Timeseries:
    """Count clicks, visits and orders by quarter of an hour, hour, day, week or month of a time zone."""
    span = await read_report_span(reading, asked)
    periods = periods_of(span, asked.grain, MAX_POINTS)
    runs = await read_runs(reading, span)
    (total, found), not_derived = await asyncio.gather(
        count_groups(reading, span, asked, runs, Grouping("period", seconds(periods)), MAX_POINTS),
        count_not_derived(reading, span, runs),
    )
    by_start = {int(group.key): group for group in found}
    return Timeseries(
        **about(span, asked, runs, not_derived),
        grain=asked.grain,
        total=total.told(),
        items=[
            Point(
                period=period.name,
                from_=period.from_ms,
                to=period.to_ms,
                **dict(by_start.get(period.from_ms // 1000, Group()).told()),
            )
            for period in periods
        ],
    )


@routes.get("/reports/funnel", summary="Follow clicks to revenue")
async def follow_clicks(asked: Annotated[ReportQuery, Query()], reading: Reads) -> Funnel:
    """Tell how many clicks came how far, what was lost at each step and why, and what the orders came to."""
    span = await read_report_span(reading, asked)
    runs = await read_runs(reading, span)
    (total, _), not_derived = await asyncio.gather(
        count_groups(reading, span, asked, runs, Grouping("total"), limit=1),
        count_not_derived(reading, span, runs),
    )
    clicks = Lost.of(total.click_parts)
    told, credited = tell_orders(total.order_parts), tell_orders(total.order_parts, credited_only=True)
    uncounted = Counter(told.left_out_by_reason) + Counter(told.uncredited_by_reason)
    unmeasurable = clicks.before_arrival["no_consent"]
    steps: Sequence[tuple[Any, int, Mapping[str, int]]] = (
        ("clicks", clicks.gross, {}),
        ("valid", clicks.valid, sorted_counts(clicks.invalid)),
        ("arrived", clicks.arrived, sorted_counts(clicks.before_arrival)),
        ("qualified", clicks.qualified, sorted_counts(clicks.after_arrival)),
        ("orders", credited.conversions + uncounted.total(), {}),
        ("conversions", credited.conversions, sorted_counts(uncounted)),
    )
    return Funnel(
        **about(span, asked, runs, not_derived),
        steps=[FunnelStep(step=step, count=count, lost_by_reason=dict(lost)) for step, count, lost in steps],
        measurable_permille=(clicks.arrived + unmeasurable) * 1000 // clicks.valid if clicks.valid else None,
        pageviews=clicks.pageviews,
        amounts=credited.amounts,
    )


@routes.get("/reports/customers", summary="Count orders by who bought")
async def count_customers(asked: Annotated[ReportQuery, Query()], reading: Reads) -> Customers:
    """Count orders and amounts of new and of returning customers, as the shop told of them."""
    span = await read_report_span(reading, asked)
    runs = await read_runs(reading, span)
    (total, found), not_derived = await asyncio.gather(
        count_groups(reading, span, asked, runs, Grouping("customer_type", has_clicks=False), MAX_CUSTOMER_TYPES),
        count_not_derived(reading, span, runs),
    )
    words = {word.value: word for word in CustomerType}
    parts: dict[CustomerType | None, list[Any]] = {word: [] for word in (*CustomerType, None)}
    for group in found:
        parts[words.get(group.key)] += group.order_parts
    return Customers(
        **about(span, asked, runs, not_derived),
        total=tell_orders(total.order_parts),
        items=[CustomerRow(customer_type=word, orders=tell_orders(told)) for word, told in parts.items()],
    )
