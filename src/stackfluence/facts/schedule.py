"""Which days have to be derived again, and when.

A day is touched when something of it is loaded: a click, or what carried the ID of one of its clicks. It is looked at
again when it became final, when a day before it changed what is usual, and when its facts have an older form. How often
is bounded by what it costs: each day waits until its rows came to no more than some hundred a second, and its work to a
twentieth of the time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import NamedTuple

from stackfluence.events.statements import Statement, read_statements
from stackfluence.events.store import Row, Store
from stackfluence.facts.derive import DAY_MS, FINAL_AFTER_MS, GENERATION, day_ms

SQL = read_statements(Path(__file__).with_name("schedule.sql"))
KEPT_DAYS = 35  # how far a browser's clock may be behind; what is older is derived when it was begun, or asked for
GRACE_MS = 3_600_000  # for what is loaded late, once a day is final
NEIGHBOUR_MS = 3_600_000  # what is usual changes slowly
PAUSE_MS = 60_000
FAILED_PAUSE_MS = 600_000
FINAL_PAUSE_MS = 6 * 3_600_000  # a final day's rows stay for ever
MS_PER_CLICK = 10
WORK_TIMES = 20


class DueDay(NamedTuple):
    """A day of an organization that has to be derived."""

    organization_id: str
    day: date


@dataclass(slots=True)
class KnownDay:
    """What is known of a day. `touched_by` and `derived_as_of` are loads; `due_ms` is 0 when nothing has to be done."""

    touched_by: int = 0
    derived_as_of: int = 0
    due_ms: int = 0
    not_before_ms: int = 0
    is_derived: bool = False


class Schedule:
    """The days of a store, as far as they may change. Used by one thread at a time."""

    _sql: Mapping[str, Statement] = SQL
    _generation = GENERATION
    _unfinished_pause_ms = 0  # how long a day waits whose run was over when it could be final, and isn't

    def __init__(self, store: Store) -> None:
        self._store = store
        self._seen_load = -1
        self._days: dict[DueDay, KnownDay] = {}

    def look(self, as_of: int, now_ms: int) -> None:
        """Learn what loads up to `as_of` touched; the first time, also what was derived before. Raises StoreError."""
        is_first = self._seen_load < 0
        if is_first:
            self._remember(now_ms)
        if as_of > self._seen_load:
            for row in self._touched(as_of, now_ms):
                self._touch(row, now_ms)
        self._seen_load = as_of
        oldest = _date(now_ms).toordinal() - KEPT_DAYS
        self._days = {
            due: known
            for due, known in self._days.items()
            if known.due_ms or known.not_before_ms > now_ms or due.day.toordinal() >= oldest
        }

    def due(self, now_ms: int, limit: int) -> list[DueDay]:
        """Return the days that have to be derived now, an organization's latest first, organizations by turns.

        Of two whose turn it is, the one whose day waits longer comes first.
        """
        waiting: dict[str, list[tuple[DueDay, int]]] = {}
        for due, known in sorted(self._days.items(), reverse=True):
            if known.due_ms and max(known.due_ms, known.not_before_ms) <= now_ms:
                waiting.setdefault(due.organization_id, []).append((due, known.due_ms))
        turns = [(turn, due_ms, due) for days in waiting.values() for turn, (due, due_ms) in enumerate(days)]
        return [due for _, _, due in sorted(turns)[:limit]]

    def done(self, due: DueDay, as_of: int, clicks: int, took_ms: int, now_ms: int, *, is_final: bool) -> None:
        """A day was derived with what was loaded up to `as_of`; `is_final` is what the run said of it."""
        known = self._days.setdefault(due, KnownDay())
        known.is_derived, known.derived_as_of = True, as_of
        final_ms = day_ms(due.day) + FINAL_AFTER_MS
        waits_ms = now_ms if now_ms < final_ms else now_ms + self._unfinished_pause_ms
        known.due_ms = 0 if is_final else max(waits_ms, final_ms + GRACE_MS)
        if known.touched_by > as_of:  # while it was at work
            known.due_ms = now_ms
        known.not_before_ms = now_ms + max(
            FINAL_PAUSE_MS if is_final else PAUSE_MS, clicks * MS_PER_CLICK, took_ms * WORK_TIMES
        )

    def failed(self, due: DueDay, now_ms: int) -> None:
        """A day could not be derived: it waits, so that it keeps no other waiting."""
        self._days.setdefault(due, KnownDay()).not_before_ms = now_ms + FAILED_PAUSE_MS

    def _remember(self, now_ms: int) -> None:
        first_day = now_ms // DAY_MS - KEPT_DAYS
        with self._store.session() as session:
            rows = session.rows(self._sql["last_runs"], from_ms=first_day * DAY_MS, first_day=first_day)
            unfinished = session.rows(self._sql["unfinished_days"], generation=self._generation)
        for row in rows:
            final_ms = day_ms(row["day"]) + FINAL_AFTER_MS
            derived_ms = int(row["derived_at"].timestamp() * 1000)
            self._days[DueDay(row["organization_id"], row["day"])] = KnownDay(
                derived_as_of=row["as_of"],
                due_ms=0 if derived_ms >= final_ms else final_ms + GRACE_MS,
                is_derived=True,
            )
        for row in unfinished:
            known = self._days.setdefault(DueDay(row["organization_id"], row["day"]), KnownDay(is_derived=True))
            known.due_ms = now_ms if row["is_outdated"] else day_ms(row["day"]) + FINAL_AFTER_MS + GRACE_MS

    def _touched(self, as_of: int, now_ms: int) -> list[Row]:
        with self._store.session() as session:
            return session.rows(
                self._sql["touched_days"],
                after_load=max(0, self._seen_load),
                as_of=as_of,
                received_from_ms=max(0, now_ms - KEPT_DAYS * DAY_MS),
                first_day=now_ms // DAY_MS - KEPT_DAYS,
                last_day=now_ms // DAY_MS,
            )

    def _touch(self, row: Row, now_ms: int) -> None:
        due = DueDay(row["organization_id"], row["day"])
        known = self._days.get(due)
        if known is None:
            if not row["touched_by"]:
                return  # nothing of its own happened on it
            known = self._days[due] = KnownDay()
        known.touched_by = max(known.touched_by, row["touched_by"])
        if known.touched_by > known.derived_as_of or not known.is_derived:
            known.due_ms = min(known.due_ms or now_ms, now_ms)
        elif row["neighbour_touched_by"] > known.derived_as_of:
            at_ms = now_ms + NEIGHBOUR_MS
            known.due_ms = min(known.due_ms or at_ms, at_ms)


def _date(at_ms: int) -> date:
    return datetime.fromtimestamp(at_ms / 1000, UTC).date()
