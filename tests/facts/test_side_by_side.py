"""Days of a run are derived side by side, and told in their order."""

from __future__ import annotations

import threading
from datetime import date, timedelta

import pytest

from stackfluence.events.store import Session, Store
from stackfluence.facts.side_by_side import AT_ONCE, each_day

DAYS = [date(2026, 11, 1) + timedelta(days=place) for place in range(9)]


def test_days_come_in_their_order_and_each_at_work_has_a_connection_of_its_own(store: Store) -> None:
    at_once = threading.Barrier(AT_ONCE, timeout=20)
    at_work: list[Session] = []
    told: list[tuple[int, int]] = []

    def work(session: Session, day: date) -> str:
        assert session not in at_work
        at_work.append(session)
        if day in DAYS[:AT_ONCE]:
            at_once.wait()
        at_work.remove(session)
        return day.isoformat()

    with store.session() as session:
        found = each_day(session, store.open_session, DAYS, work, lambda done, total: told.append((done, total)))
    assert found == [day.isoformat() for day in DAYS]
    assert told == [(done, len(DAYS)) for done in range(len(DAYS) + 1)]


def test_the_first_error_ends_it_and_leaves_no_connection_open(store: Store) -> None:
    opened: list[Session] = []
    begun: list[date] = []
    takes_long = threading.Event()

    def open_another() -> Session:
        opened.append(store.open_session())
        return opened[-1]

    def work(_session: Session, day: date) -> None:
        begun.append(day)
        if day == DAYS[0]:
            raise ValueError(day.isoformat())
        takes_long.wait(0.02)

    with store.session() as session, pytest.raises(ValueError, match="2026-11-01"):
        each_day(session, open_another, DAYS * 20, work, lambda _done, _total: None)
    assert len(begun) < len(DAYS) * 20
    assert len(opened) == AT_ONCE - 1


def test_of_no_days_there_is_nothing(store: Store) -> None:
    with store.session() as session:
        assert each_day(session, store.open_session, [], lambda _session, _day: 1, lambda _done, _total: None) == []
