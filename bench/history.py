"""A history of made-up visits, written into an event store by a statement: what facts are derived of in benches."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from stackfluence.events.statements import Statement, read_statements
from stackfluence.events.store import Store
from stackfluence.facts import create_tables

SQL = read_statements(Path(__file__).with_name("history.sql"))
EVENTS_PER_VISIT = 2.12  # a click; of a hundred 55 sessions and pageviews, 2 orders; one of these in twenty comes back
VISITS_AT_ONCE = 2_000_000
LARGEST = "org_0000000"  # has a fifth of the visits
START = date(2026, 8, 1)
AS_OF = 1
_MERGE = Statement("merge", "", "optimize table events final")  # what an engine does by and by, at once


@contextlib.contextmanager
def told(events: int, organizations: int, days: int) -> Iterator[Store]:
    """Yield a store with about so many events, of days from START on, merged as they are after a while.

    It is removed in the end, or kept for the next bench below SF_BENCH_KEEP, where that names a directory.
    """
    kept = os.environ.get("SF_BENCH_KEEP")
    with contextlib.ExitStack() as stack:
        folder = Path(kept or stack.enter_context(tempfile.TemporaryDirectory(dir=os.environ.get("SF_BENCH_DIR"))))
        place = folder / f"{events}_{organizations}_{days}"
        is_new = not place.exists()
        store = Store(f"chdb://{place}")
        stack.callback(store.close)
        store.create_schema()
        create_tables(store)
        if is_new:
            _tell(store, round(events / EVENTS_PER_VISIT), organizations, days)
        yield store


def _tell(store: Store, visits: int, organizations: int, days: int) -> None:
    start_ms = int(datetime.combine(START, datetime.min.time(), UTC).timestamp() * 1000)
    with store.session() as session:
        for first in range(0, visits, VISITS_AT_ONCE):
            session.run(
                SQL["tell_visits"],
                from_visit=first,
                to_visit=min(first + VISITS_AT_ONCE, visits),
                organizations=organizations,
                days=days,
                start_ms=start_ms,
            )
        session.run(SQL["tell_customers"])
        session.run(_MERGE)


def days_of(count: int) -> list[date]:
    """Return so many days from START on."""
    return [START + timedelta(days=place) for place in range(count)]
