"""Days of creators that are unlike their others, in numbers that anybody can check, for people to look at."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import Query
from pydantic import Field

from stackfluence.api import traffic
from stackfluence.api.access import Reading, Reads
from stackfluence.api.fields import Told
from stackfluence.api.paging import PageQuery, decode_cursor, encode_cursor
from stackfluence.api.report_facts import NEWEST, Runs, about, read_runs, scan_of
from stackfluence.api.report_late import count_not_derived
from stackfluence.api.report_query import (
    LAST_MS,
    Period,
    ReportQuery,
    ReportSpan,
    ReportTold,
    periods_of,
    read_report_span,
    seconds,
    span_of_cursor,
)
from stackfluence.api.reports import first_ms
from stackfluence.api.routes import router
from stackfluence.errors import Invalid
from stackfluence.events.statements import read_statements
from stackfluence.events.store import Row
from stackfluence.facts import Thresholds

SQL = read_statements(Path(__file__).with_name("report_anomalies.sql"))
COMPARED_DAYS = 28  # four weeks: each weekday is among them four times
MAX_JUDGED_DAYS = 93  # a quarter of a year; with the days compared with fewer than the statement's 128
SETTLES_MS = 3_600_000  # how long after a day the last of it may arrive and be derived: neighbours are an hour later
# what makes an hour an outlier makes a day one, and what makes a code's orders a spike makes a creator's one
THRESHOLDS = Thresholds()
_NAMES = ("outlier_clicks", "outlier_times", "outlier_permille", "code_orders", "code_times")

Kind = Literal["clicks_high", "clicks_low", "conversions_high", "conversions_low", "valid_share_low"]

_COUNTED: dict[str, tuple[str, str]] = {
    "clicks_high": ("clicks", "usual_clicks"),
    "clicks_low": ("clicks", "usual_clicks"),
    "conversions_high": ("orders", "usual_orders"),
    "conversions_low": ("orders", "usual_orders"),
    "valid_share_low": ("valid_permille", "usual_permille"),
}
_SENTENCES: dict[str, str] = {
    "clicks_high": "{who} had {counted} clicks on {day}, more than {outlier_times} times the usual {usual}.",
    "clicks_low": "{who} had {counted} clicks on {day}, less than a fraction 1/{outlier_times} of the usual {usual}.",
    "conversions_high": "{who} led to {counted} conversions on {day}, at least {code_times} times the usual {usual}.",
    "conversions_low": "{who} led to {counted} conversions on {day}, at most 1/{code_times} of the usual {usual}.",
    "valid_share_low": "Of a thousand clicks of {who} {counted} were valid on {day}; usually {usual} are.",
}


class AnomalyQuery(PageQuery, ReportQuery):
    """Of when and of whom. Judged are the days of the zone that lie in the span as a whole."""


class Anomaly(Told):
    """A creator's day that is far from what is usual: the lower median of the 28 days before."""

    creator_id: str
    creator_handle: str | None
    date: str = Field(examples=["2026-11-22"])
    kind: Kind
    counted: int = Field(description="Clicks, conversions, or valid clicks of a thousand.")
    usual: int
    sentence: str = Field(description="The same for people.")


class Anomalies(ReportTold):
    """Latest day first."""

    compared_days: int = Field(description="How many days before each are its measure.")
    thresholds: dict[str, int] = Field(description="From where on a day is told of, by name.")
    items: list[Anomaly]
    next_cursor: str | None


routes = router("reports")


@routes.get("/reports/anomalies", summary="List unusual days of creators")
async def list_anomalies(asked: Annotated[AnomalyQuery, Query()], reading: Reads) -> Anomalies:
    """List days on which a creator's clicks, share of valid clicks or conversions were far from what is usual.

    An anomaly is no verdict: it takes nothing away. Later parts of a list are of the same moment as its first.
    """
    span = await read_report_span(reading, asked, MAX_JUDGED_DAYS)
    span, last_run, last_order_run, after = _place(asked, span)
    days = _days(span)
    runs = await read_runs(
        reading, span.within(days[0].from_ms, span.to_ms) if days else span, last_run, last_order_run
    )
    found, not_derived = await _found(reading, span, asked, runs, days, after) if days else ([], {})
    shown = found[: asked.limit]
    handles = await traffic.names_of(reading, "creator", (row["creator_id"] for row in shown))
    dates = {period.from_ms // 1000: period.name for period in days}
    last = shown[-1] if len(found) > asked.limit else None
    end = last and [
        *(span.from_ms, span.to_ms, runs.last_run, runs.last_order_run),
        *(last["day_s"], last["creator_id"], last["kind"]),
    ]
    return Anomalies(
        **about(span, asked, runs, not_derived),
        compared_days=COMPARED_DAYS,
        thresholds=_thresholds(),
        items=[_told(row, handles.get(row["creator_id"]), dates[row["day_s"]]) for row in shown],
        next_cursor=encode_cursor(end) if end else None,
    )


async def _found(
    reading: Reading, span: ReportSpan, asked: AnomalyQuery, runs: Runs, days: list[Period], after: dict[str, Any]
) -> tuple[list[Row], dict[int, int]]:
    """Return the unusual days behind a place, and how many clicks of each day aren't judged yet."""
    starts = seconds(days)
    whole = span.within(days[0].from_ms, days[-1].to_ms)
    not_derived = await count_not_derived(reading, whole, runs, starts)
    settled = [
        day.to_ms + SETTLES_MS <= runs.now_ms and not not_derived.get(start, 0)
        for day, start in zip(days, starts, strict=True)
    ]
    scan_from_ms, scan_to_ms, moment = scan_of(whole, asked.by)
    rows = await reading.core.events.read(
        SQL["find_anomalies"],
        **whole.filters.subject(),
        organization_id=reading.organization_id,
        model=asked.model,
        scan_from_ms=scan_from_ms,
        scan_to_ms=scan_to_ms,
        moment=moment,
        **(runs.of_clicks() | runs.of_orders()),
        **after,
        **_thresholds(),
        periods=starts,
        settled=settled,
        limit=asked.limit + 1,
    )
    return rows, {start: clicks for start, clicks in not_derived.items() if start >= starts[COMPARED_DAYS]}


def _thresholds() -> dict[str, int]:
    return {name: getattr(THRESHOLDS, name) for name in _NAMES}


def _days(span: ReportSpan) -> list[Period]:
    """Return the days of the zone that lie in a span as a whole, behind those that the first is compared with.

    None when there is no whole day.
    """
    judged = periods_of(span, "day", MAX_JUDGED_DAYS + 2)
    for place in (0, -1):
        if judged and _length_ms(judged[place], span.time_zone) != judged[place].to_ms - judged[place].from_ms:
            judged.pop(place)
    if not judged:
        return []
    earliest = date.fromisoformat(judged[0].name) - timedelta(days=COMPARED_DAYS + 2)  # zones have left out a date
    before = span.within(max(0, first_ms(earliest, span.time_zone)), judged[0].from_ms)
    compared = periods_of(before, "day", COMPARED_DAYS + 3)[-COMPARED_DAYS:] if before.from_ms < before.to_ms else []
    return [*compared, *judged] if len(compared) == COMPARED_DAYS else []


def _length_ms(day: Period, zone: str) -> int:
    start = date.fromisoformat(day.name)
    return first_ms(start + timedelta(days=1), zone) - first_ms(start, zone)


def _place(asked: AnomalyQuery, span: ReportSpan) -> tuple[ReportSpan, int, int, dict[str, Any]]:
    """Return the span and runs of a page, and behind what it begins; raises Invalid for another list's cursor."""
    if not asked.cursor:
        return span, NEWEST, NEWEST, {"after_s": LAST_MS, "after_creator": "", "after_kind": ""}
    *numbers, creator, kind = decode_cursor(asked.cursor, 7)
    if (
        not isinstance(creator, str)
        or kind not in _COUNTED
        or not all(isinstance(number, int) and number >= 0 for number in numbers)
    ):
        raise Invalid("cursor: this is not a cursor of this list.", field="cursor")
    from_ms, to_ms, last_run, last_order_run, after_s = (int(number) for number in numbers)
    behind = {"after_s": after_s, "after_creator": creator, "after_kind": kind}
    return span_of_cursor(asked, span, from_ms, to_ms, MAX_JUDGED_DAYS), last_run, last_order_run, behind


def _told(row: Row, handle: str | None, day: str) -> Anomaly:
    counted, usual = (row[name] for name in _COUNTED[row["kind"]])
    sentence = _SENTENCES[row["kind"]].format(
        who=handle or row["creator_id"], counted=f"{counted:,}", usual=f"{usual:,}", day=day, **_thresholds()
    )
    return Anomaly(
        creator_id=row["creator_id"],
        creator_handle=handle,
        date=day,
        kind=row["kind"],
        counted=counted,
        usual=usual,
        sentence=sentence,
    )
