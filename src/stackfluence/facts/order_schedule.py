"""Which days of orders have to be derived again, however long ago they were.

A day is touched by whatever is loaded of one of its orders, by a click ID that the same customer carried, by a click
that an order named before it was known, by another verdict on a click that may be credited, and by a code that changed
hands. How often is bounded as for days of clicks.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from stackfluence.events.statements import read_statements
from stackfluence.events.store import Row, Store
from stackfluence.facts.codes import NO_CODES, CodeBook
from stackfluence.facts.derive import DAY_MS
from stackfluence.facts.order_places import place_orders
from stackfluence.facts.orders import ORDER_GENERATION
from stackfluence.facts.schedule import FINAL_PAUSE_MS, KEPT_DAYS, DueDay, KnownDay, Schedule

SQL = read_statements(Path(__file__).with_name("order_schedule.sql"))
VERDICTS = read_statements(Path(__file__).with_name("order_verdicts.sql"))
STEPS = (
    "find_told", "find_told_payments", "find_customers", "find_ordered", "find_touched_orders", "find_unknown_clicks"
)  # fmt: skip
FIRST_LOOK_DAYS = 62  # at the start: clicks of orders of a month, up to a month before
RUNS_AT_ONCE = 100  # runs are numbered when they begin, and may end in another order


class OrderSchedule(Schedule):
    """The days of a store's orders. Used by one thread at a time."""

    _sql = SQL
    _generation = ORDER_GENERATION
    _unfinished_pause_ms = FINAL_PAUSE_MS  # it waits for the days of its clicks, which are looked at by themselves

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self._together: set[tuple[DueDay, ...]] = set()
        self._seen_run = -1

    def due(self, now_ms: int, limit: int) -> list[DueDay]:
        """Return the days that have to be derived now, with those to or from which an order of them may have moved.

        These come with them even when it isn't their turn yet, so that no order is read on two days.
        """
        found = super().due(now_ms, limit)
        self._together = {days for days in self._together if any(self._waits(day, now_ms) for day in days)}
        chosen, reached = set(found), set[DueDay]()
        while reached != chosen:
            reached = set(chosen)
            for days in self._together:
                if not chosen.isdisjoint(days):
                    chosen.update(day for day in days if self._waits(day, now_ms))
        return found + sorted(chosen.difference(found), reverse=True)

    def _waits(self, day: DueDay, now_ms: int) -> bool:
        known = self._days.get(day)
        return known is not None and 0 < known.due_ms <= now_ms

    def look_at_codes(self, books: Mapping[str, CodeBook], now_ms: int) -> None:
        """Learn on which days orders carry a code that has changed hands since they were derived. Raises StoreError."""
        with self._store.session() as session:
            rows = session.rows(SQL["codes_of_days"], now_ms=now_ms)
        for row in rows:
            if books.get(row["organization_id"], NO_CODES).hash_of(row["code_keys"]) != row["codes_hash"]:
                known = self._days.setdefault(DueDay(row["organization_id"], row["day"]), KnownDay(is_derived=True))
                known.due_ms = min(known.due_ms or now_ms, now_ms)

    def look_at_verdicts(self, now_ms: int) -> None:
        """Learn on which days orders name clicks whose verdict is another one than when they were derived.

        Looked at are orders of clicks whose days were derived since the last look; at first, those of the last days.
        Raises StoreError.
        """
        first_day = 0 if self._seen_run >= 0 else now_ms // DAY_MS - FIRST_LOOK_DAYS
        with self._store.session() as session:
            last_run = session.row(VERDICTS["last_run"])["run_id"]
            if last_run == self._seen_run:
                return
            rows = session.rows(
                VERDICTS["verdicts_of_days"],
                after_run=max(0, self._seen_run - RUNS_AT_ONCE),
                first_day=first_day,
                now_ms=now_ms,
            )
        self._seen_run = last_run
        for row in rows:
            if row["verdicts_hash"] != row["hash_of_now"]:
                known = self._days.setdefault(DueDay(row["organization_id"], row["day"]), KnownDay(is_derived=True))
                known.due_ms = min(known.due_ms or now_ms, now_ms)

    def _touched(self, as_of: int, now_ms: int) -> list[Row]:
        asked = {
            "after_load": max(0, self._seen_load),
            "as_of": as_of,
            "received_from_ms": max(0, now_ms - KEPT_DAYS * DAY_MS),
        }
        session = self._store.open_session()
        try:
            place_orders(session, as_of)
            for name in STEPS:
                session.run(SQL[name], **asked)
            for row in session.rows(SQL["shared_days"], as_of=as_of):
                self._together.add(tuple(DueDay(row["organization_id"], day) for day in row["days"]))
            return session.rows(SQL["touched_days"], **asked)
        finally:
            session.close()
