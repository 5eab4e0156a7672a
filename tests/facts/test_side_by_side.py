"""Days of a run are derived side by side, and told in their order."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from datetime import date, timedelta

import pytest

from stackfluence.events.store import Session, Store
from stackfluence.facts.side_by_side import AT_ONCE, CORES, THREADS, each_day

DAYS = [date(2026, 11, 1) + timedelta(days=place) for place in range(9)]


def test_days_come_in_their_order_and_each_at_work_has_a_connection_of_its_own(store: Store) -> None:
    at_once = threading.Barrier(AT_ONCE, timeout=20)
    at_work: list[Session] = []
    told: list[tuple[int, int]] = []
    shares: list[Mapping[str, str]] = []

    def work(session: Session, day: date) -> str:
        assert session not in at_work
        at_work.append(session)
        if day in DAYS[:AT_ONCE]:
            at_once.wait()
        at_work.remove(session)
        return day.isoformat()

    def share_of(settings: Mapping[str, str]) -> Session:
        shares.append(settings)
        return store.open_session(settings)

    found = each_day(share_of, DAYS, work, lambda done, total: told.append((done, total)))
    assert found == [day.isoformat() for day in DAYS]
    assert told == [(done, len(DAYS)) for done in range(len(DAYS) + 1)]
    share = {"max_threads": "1"} if AT_ONCE * THREADS > CORES else {}
    assert shares == [share] * AT_ONCE
    assert each_day(share_of, DAYS[:1], lambda _session, day: day, lambda _done, _total: None) == DAYS[:1]
    assert shares[AT_ONCE:] == [{} if CORES >= THREADS else share], "a day alone has as many as any statement"


def test_the_first_error_ends_it_and_leaves_no_connection_open(store: Store) -> None:
    opened: list[Session] = []
    begun: list[date] = []
    takes_long = threading.Event()

    def open_session(settings: Mapping[str, str]) -> Session:
        opened.append(store.open_session(settings))
        return opened[-1]

    def work(_session: Session, day: date) -> None:
        begun.append(day)
        if day == DAYS[0]:
            raise ValueError(day.isoformat())
        takes_long.wait(0.02)

    with pytest.raises(ValueError, match="2026-11-01"):
        each_day(open_session, DAYS * 20, work, lambda _done, _total: None)
    assert len(begun) < len(DAYS) * 20
    assert len(opened) == AT_ONCE


def test_of_no_days_there_is_nothing(store: Store) -> None:
    assert each_day(store.open_session, [], lambda _session, _day: 1, lambda _done, _total: None) == []
