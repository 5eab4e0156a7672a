"""Clicks that are loaded and that no run has judged which is read: a report tells how many it doesn't count."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from stackfluence.api.access import Reading
from stackfluence.api.report_facts import Runs
from stackfluence.api.report_query import ReportSpan, day_of
from stackfluence.catalog import load_horizon
from stackfluence.events.statements import read_statements

SQL = read_statements(Path(__file__).with_name("report_late.sql"))


async def count_not_derived(
    reading: Reading, span: ReportSpan, runs: Runs, periods: Sequence[int] = (0,)
) -> dict[int, int]:
    """Return how many clicks aren't judged yet, by the period that they are of; none of those without any.

    Of days that are over, mostly as many rows are stored as were read: then these aren't looked at.
    """
    if not _has_more(span, runs):
        if runs.over_ms >= span.to_ms:
            return {}
        span = span.within(max(span.from_ms, runs.over_ms), span.to_ms)
    whose = {"organization_id": reading.organization_id}
    read = await reading.core.events.read(SQL["last_loads"], **whose, runs=sorted(set(runs.click_runs)))
    last_loads = {row["run_id"]: row["last_load"] for row in read}
    asked = {
        **whose,
        "horizon": await load_horizon(reading.core.catalog),
        "last_loads": [last_loads.get(run_id, 0) for run_id in runs.click_runs],
        **runs.of_clicks(),
        **span.filters.subject(),
    }
    (late,) = await reading.core.events.read(SQL["count_late"], **asked)
    if not late["late_rows"]:
        return {}
    rows = await reading.core.events.read(SQL["count_not_derived"], **asked, periods=list(periods))
    return {row["period_s"]: row["clicks"] for row in rows}


def _has_more(span: ReportSpan, runs: Runs) -> bool:
    """Return if there are other rows of clicks than were read, of the days of a span that are over."""
    first, end = ((day_of(at_ms) - runs.first_day).days for at_ms in (span.from_ms, runs.over_ms))
    return runs.stored_rows != sum(runs.click_rows[first:end])
