"""Reports: what was received, counted so that the counts add up. What it is worth is the ledger's to say."""

from __future__ import annotations

from datetime import date, datetime, time
from typing import Annotated, NamedTuple
from zoneinfo import ZoneInfo

import msgspec
from fastapi import Query
from pydantic import Field

from stackfluence.api.access import Reading, Reads
from stackfluence.api.event_queries import Subject
from stackfluence.api.fields import Text, Time, Told, check_span, read_time
from stackfluence.api.routes import router
from stackfluence.catalog import checks, load_horizon
from stackfluence.catalog.tables import Organization
from stackfluence.errors import Invalid
from stackfluence.events.feed import LATEST_MS, Filters, summary

Moment = Annotated[
    Text,
    Field(
        max_length=40,
        description="An RFC 3339 time, or a date: its first moment in the time zone.",
        examples=["2026-11-01"],
    ),
]


class SpanQuery(Subject):
    """Of when and of whom."""

    from_: Moment = Field(default="", alias="from")
    to: Moment = Field(default="", description="Exclusive.")
    time_zone: Text = Field(
        default="",
        max_length=100,
        description="IANA name of the zone that days are cut in; by default the organization's.",
        examples=["Europe/Berlin"],
    )


class Span(NamedTuple):
    """Of when, as it was asked: the zone that days are cut in, and milliseconds since 1970, None for no bound."""

    time_zone: str
    from_ms: int | None
    to_ms: int | None
    filters: Filters


class Counts(Told):
    """Each event once, and each order once, on its day. Amounts are minor units by currency, as they were reported."""

    clicks: int
    sessions: int
    pageviews: int
    conversions: int
    refunds: int
    identifies: int
    revenue_cents: dict[str, int]
    refunded_cents: dict[str, int]


class DayCounts(Counts):
    """The counts of one day."""

    date: str = Field(examples=["2026-11-22"])


class Summary(Told):
    """`received` = `stored` + `quarantined`. `duplicates` of `stored` are the same events received again."""

    from_: Time | None = Field(serialization_alias="from")
    to: Time | None
    time_zone: str
    received: int
    stored: int
    duplicates: int
    quarantined: int
    quarantined_by_reason: dict[str, int]
    total: Counts
    days: list[DayCounts] = Field(description="Those on which something happened.")


routes = router("reports")


@routes.get("/reports/summary", summary="Count what was received")
async def summarize(asked: Annotated[SpanQuery, Query()], reading: Reads) -> Summary:
    """Count events and amounts of a time span, by day; test events too, unless `is_test` says otherwise."""
    span = await read_span(reading, asked)
    horizon = await load_horizon(reading.core.catalog)
    found = await summary(reading.core.events, reading.organization_id, horizon, span.time_zone, span.filters)
    return Summary(
        from_=span.from_ms,
        to=span.to_ms,
        time_zone=span.time_zone,
        received=found.received,
        stored=found.stored,
        duplicates=found.duplicates,
        quarantined=found.quarantined,
        quarantined_by_reason=found.quarantined_by_reason,
        total=Counts(**msgspec.structs.asdict(found.total)),
        days=[DayCounts(date=day, **msgspec.structs.asdict(counts)) for day, counts in sorted(found.days.items())],
    )


async def read_span(reading: Reading, asked: SpanQuery) -> Span:
    """Return of when and of whom a report is asked; raises Invalid."""
    organization = await reading.session.get_one(Organization, reading.organization_id)
    zone = checks.time_zone("time_zone", asked.time_zone) if asked.time_zone else organization.accounting_time_zone
    from_ms = read_moment("from", asked.from_, zone)
    to_ms = read_moment("to", asked.to, zone)
    check_span(from_ms, to_ms)
    filters = Filters(
        from_ms=0 if from_ms is None else from_ms,
        to_ms=LATEST_MS if to_ms is None else to_ms,
        link_id=asked.link_id,
        creator_id=asked.creator_id,
        campaign_id=asked.campaign_id,
        is_test=asked.is_test,
    )
    return Span(zone, from_ms, to_ms, filters)


def read_moment(field: str, text: str, zone: str) -> int | None:
    """Return milliseconds since 1970 of a time or of the first moment of a date in a zone; None for nothing.

    Raises Invalid for anything else.
    """
    if not text:
        return None
    try:
        if len(text) == len("2026-11-22"):
            day = date.fromisoformat(text)
            return read_time(datetime.combine(day, time(), ZoneInfo(zone)).isoformat())
        return read_time(text)
    except ValueError:
        raise Invalid(f"{field}: must be an RFC 3339 time or a date, as 2026-11-22.", field=field) from None


def first_ms(day: date, zone: str) -> int:
    """Return the first moment of a date; where its midnight doesn't exist, the moment at which clocks were set."""
    return round(datetime.combine(day, time(), ZoneInfo(zone)).timestamp() * 1000)
