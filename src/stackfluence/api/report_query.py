"""Of when a report is: its span, which lies on quarters of an hour, and the periods that the span is cut into."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from typing import Literal, NamedTuple
from zoneinfo import ZoneInfo

from pydantic import Field

from stackfluence.api.access import Reading
from stackfluence.api.fields import Time, Told, check_span
from stackfluence.api.reports import SpanQuery, first_ms, read_span
from stackfluence.clock import now_ms
from stackfluence.errors import Invalid
from stackfluence.events.feed import Filters

QUARTER_MS = 900_000  # what clicks are counted by: the offsets of all time zones in use are multiples of it
DAY_MS = 86_400_000
DEFAULT_DAYS = 30
MAX_DAYS = 3_653  # ten years
LAST_MS = 4_102_444_800_000  # 2100-01-01

Grain = Literal["quarter_hour", "hour", "day", "week", "month"]
By = Literal["order_day", "click_day"]
Model = Literal["paid", "last_touch", "first_touch", "linear", "position_based", "time_decay"]


class ReportQuery(SpanQuery):
    """Of when and of whom, and how orders are credited. Without `from` and `to`: the last 30 days with today."""

    is_test: bool = Field(default=False, description="Tests alone; otherwise they are left out.")
    by: By = Field(
        default="order_day",
        description="`click_day` counts an order when its credited click was made; by a code when it was placed.",
    )
    model: Model = Field(default="paid", description="Who is credited: the rule that pays, or one of the models.")


class ReportSpan(NamedTuple):
    """Of when: the zone that days are cut in, [from_ms, to_ms) in milliseconds since 1970, and of whom."""

    time_zone: str
    from_ms: int
    to_ms: int
    filters: Filters

    def within(self, from_ms: int, to_ms: int) -> ReportSpan:
        """Return the same of another time."""
        return self._replace(from_ms=from_ms, to_ms=to_ms, filters=replace(self.filters, from_ms=from_ms, to_ms=to_ms))


class Period(NamedTuple):
    """A part of a span, [from_ms, to_ms), and how it is called: a date, or a time with its offset."""

    name: str
    from_ms: int
    to_ms: int


class ReportTold(Told):
    """What every report tells of itself."""

    from_: Time = Field(serialization_alias="from")
    to: Time
    time_zone: str
    is_test: bool
    by: By
    model: Model
    run_id: int = Field(description="The newest run over clicks that was read; 0 before the first.")
    order_run_id: int = Field(description="The newest run over orders that was read; 0 before the first.")
    not_derived: int = Field(
        description="Clicks that are loaded and not judged yet, so not counted; 1,000,000 when it is more."
    )


async def read_report_span(reading: Reading, asked: ReportQuery, max_days: int = MAX_DAYS) -> ReportSpan:
    """Return of when and of whom a report is asked; raises Invalid, which names the bound at fault."""
    span = await read_span(reading, asked)
    to_ms = _checked("to", _end_of_today(span.time_zone) if span.to_ms is None else span.to_ms)
    if span.from_ms is None:
        end = datetime.fromtimestamp(to_ms / 1000, ZoneInfo(span.time_zone)).date()
        from_ms = max(0, first_ms(end - timedelta(days=DEFAULT_DAYS), span.time_zone))
    else:
        from_ms = _checked("from", span.from_ms)
    check_span(from_ms, to_ms)
    if to_ms - from_ms > max_days * DAY_MS:
        raise Invalid(f"from: at most {max_days} days may lie between `from` and `to`.", field="from")
    return ReportSpan(span.time_zone, from_ms, to_ms, span.filters).within(from_ms, to_ms)


def span_of_cursor(asked: ReportQuery, span: ReportSpan, from_ms: int, to_ms: int, max_days: int) -> ReportSpan:
    """Return the span that a cursor has: that of the list's first page. Raises Invalid for another list's."""
    is_other = (asked.from_ and from_ms != span.from_ms) or (asked.to and to_ms != span.to_ms)
    if is_other or not 0 < to_ms - from_ms <= max_days * DAY_MS or to_ms > LAST_MS:
        raise Invalid("cursor: this is not a cursor of this list.", field="cursor")
    return span.within(from_ms, to_ms)


def _checked(field: str, at_ms: int) -> int:
    if at_ms % QUARTER_MS:
        raise Invalid(f"{field}: must lie on a quarter of an hour, as 13:15 does.", field=field)
    if at_ms > LAST_MS:
        raise Invalid(f"{field}: must not be after 2100-01-01.", field=field)
    return at_ms


def periods_of(span: ReportSpan, grain: Grain, limit: int) -> list[Period]:
    """Return the periods that a span is cut into, the first and last cut short by its bounds.

    They are those of the clocks in its zone: a day of 23 or 25 hours is one, an hour that comes twice is two. Raises
    Invalid for more than `limit`.
    """
    zone = ZoneInfo(span.time_zone)
    starts = list(islice(_starts(span, grain, zone), limit + 1))
    if len(starts) > limit:
        raise Invalid(f"grain: at most {limit} periods are told at once; ask for a shorter span.", field="grain")
    ends = [start for _, start in starts[1:]] + [span.to_ms]
    return [Period(name, max(start, span.from_ms), end) for (name, start), end in zip(starts, ends, strict=True)]


def _starts(span: ReportSpan, grain: Grain, zone: ZoneInfo) -> Iterator[tuple[str, int]]:
    """Yield name and first moment of each period of a span, the first one that began before it among them."""
    if grain in ("quarter_hour", "hour"):
        yield from _clock_starts(span, QUARTER_MS if grain == "quarter_hour" else 4 * QUARTER_MS, zone)
        return
    day = datetime.fromtimestamp(span.from_ms / 1000, zone).date()
    if grain == "week":
        day -= timedelta(days=day.weekday())  # ISO 8601: weeks begin on Monday
    elif grain == "month":
        day = day.replace(day=1)
    start = first_ms(day, span.time_zone)
    while start < span.to_ms:
        if grain == "month":
            following = (day.replace(day=1) + timedelta(days=31)).replace(day=1)
        else:
            following = day + timedelta(days=7 if grain == "week" else 1)
        end = first_ms(following, span.time_zone)
        if end > max(start, span.from_ms):  # a date that a zone left out has no moment
            yield day.isoformat(), start
        day, start = following, end


def _clock_starts(span: ReportSpan, step_ms: int, zone: ZoneInfo) -> Iterator[tuple[str, int]]:
    """Yield name and first moment of each quarter or hour that the clocks of a zone show."""
    start = span.from_ms
    while start < span.to_ms:
        shown = datetime.fromtimestamp(start / 1000, zone)
        begun = start - (start + _offset_ms(shown)) % step_ms
        opened = datetime.fromtimestamp(begun / 1000, zone)
        # where clocks were set within the hour, it begins with that
        named = opened if opened.utcoffset() == shown.utcoffset() else shown
        yield named.isoformat(), start
        start = begun + step_ms


def _offset_ms(shown: datetime) -> int:
    offset = shown.utcoffset()
    return 0 if offset is None else round(offset.total_seconds() * 1000)


def _end_of_today(zone: str) -> int:
    today = datetime.fromtimestamp(now_ms() / 1000, ZoneInfo(zone)).date()
    return first_ms(today + timedelta(days=1), zone)


def day_of(at_ms: int) -> date:
    """Return the day, UTC, of a moment."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).date()


def seconds(periods: Sequence[Period]) -> list[int]:
    """Return where periods begin, in seconds since 1970, as statements take them."""
    return [period.from_ms // 1000 for period in periods]
