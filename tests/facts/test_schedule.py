"""A day is derived again when it was touched, became final, or follows one that changed; how often is bounded."""

from __future__ import annotations

import sys
from datetime import timedelta

import pytest

from stackfluence.facts.derive import DAY_MS, GENERATION
from stackfluence.facts.schedule import (
    FINAL_PAUSE_MS,
    GRACE_MS,
    NEIGHBOUR_MS,
    PAUSE_MS,
    DueDay,
    Schedule,
)
from tests.facts.days import DAY, DAY_START_MS, NEXT_DAY, Days

NOON_MS = DAY_START_MS + DAY_MS // 2
BRAND_DAY = DueDay("org_0000001", DAY)
derive_module = sys.modules["stackfluence.facts.derive"]  # the package gives its function the same name


@pytest.fixture
def schedule(days: Days) -> Schedule:
    return Schedule(days.store)


def look(schedule: Schedule, days: Days, at_ms: int) -> list[DueDay]:
    days.load()
    schedule.look(days.numbers.horizon(), at_ms)
    return schedule.due(at_ms, 100)


def derived(schedule: Schedule, days: Days, at_ms: int, due: DueDay = BRAND_DAY, clicks: int = 1) -> None:
    days.organization_id = due.organization_id
    done = days.derive(due.day, due.day + timedelta(days=1), at_ms=at_ms)
    schedule.done(due, done.as_of, clicks, 10, at_ms, is_final=done.days[0].is_final)


def test_a_click_makes_its_day_due_and_nothing_else(schedule: Schedule, days: Days) -> None:
    days.click(1000)
    days.event("session", 2000, session_id="s", click_id_status="missing")
    assert look(schedule, days, NOON_MS) == [BRAND_DAY]
    derived(schedule, days, NOON_MS)
    assert look(schedule, days, NOON_MS + PAUSE_MS) == []


def test_each_organization_has_its_own_days(schedule: Schedule, days: Days) -> None:
    days.click(1000)
    days.organization_id = "org_0000002"
    days.click(1000 - DAY_MS)
    found = look(schedule, days, NOON_MS)
    assert set(found) == {BRAND_DAY, DueDay("org_0000002", DAY - timedelta(days=1))}


def test_a_session_makes_its_clicks_day_due(schedule: Schedule, days: Days) -> None:
    click = days.click(DAY_MS - 1000)
    look(schedule, days, NOON_MS)
    derived(schedule, days, NOON_MS)
    tomorrow_ms = NOON_MS + DAY_MS
    days.after(click, "session", DAY_MS + 1000)
    assert look(schedule, days, tomorrow_ms) == [BRAND_DAY]
    derived(schedule, days, tomorrow_ms)
    days.after(click, "session", 3 * DAY_MS)  # too late to be of the click
    assert look(schedule, days, tomorrow_ms + DAY_MS // 4) == []


def test_what_comes_while_a_day_is_derived_makes_it_due_again(schedule: Schedule, days: Days) -> None:
    days.click(1000)
    look(schedule, days, NOON_MS)
    days.click(2000)
    look(schedule, days, NOON_MS)
    schedule.done(BRAND_DAY, 1, 1, 10, NOON_MS, is_final=False)  # it had read the first load
    assert schedule.due(NOON_MS, 9) == []
    assert schedule.due(NOON_MS + PAUSE_MS, 9) == [BRAND_DAY]


@pytest.mark.parametrize(
    ("clicks", "took_ms", "pause_ms"), [(1, 10, PAUSE_MS), (60_000, 10, 600_000), (1, 9_000, 180_000)]
)
def test_a_day_waits_for_what_it_costs(
    clicks: int, took_ms: int, pause_ms: int, schedule: Schedule, days: Days
) -> None:
    days.click(1000)
    look(schedule, days, NOON_MS)
    schedule.done(BRAND_DAY, 1, clicks, took_ms, NOON_MS, is_final=False)
    days.click(2000)
    look(schedule, days, NOON_MS)
    assert schedule.due(NOON_MS + pause_ms - 1, 9) == []
    assert schedule.due(NOON_MS + pause_ms, 9) == [BRAND_DAY]


def test_a_day_is_looked_at_once_more_when_it_is_final(schedule: Schedule, days: Days) -> None:
    days.click(1000)
    look(schedule, days, NOON_MS)
    derived(schedule, days, NOON_MS)
    final_ms = DAY_START_MS + 2 * DAY_MS + GRACE_MS
    assert look(schedule, days, final_ms - 1) == []
    assert look(schedule, days, final_ms) == [BRAND_DAY]
    derived(schedule, days, final_ms)
    assert look(schedule, days, final_ms + 30 * DAY_MS) == []


def test_a_final_day_is_touched_at_most_every_six_hours(schedule: Schedule, days: Days) -> None:
    click = days.click(1000)
    at_ms = NOON_MS + 5 * DAY_MS
    look(schedule, days, at_ms)
    derived(schedule, days, at_ms)
    days.after(click, "session", 5000)
    assert look(schedule, days, at_ms + FINAL_PAUSE_MS - 1) == []
    assert look(schedule, days, at_ms + FINAL_PAUSE_MS) == [BRAND_DAY]


def test_a_click_of_yesterday_makes_todays_usual_hours_due_an_hour_later(schedule: Schedule, days: Days) -> None:
    days.click(DAY_MS + 1000)
    today = DueDay("org_0000001", NEXT_DAY)
    at_ms = NOON_MS + DAY_MS
    assert look(schedule, days, at_ms) == [today]
    derived(schedule, days, at_ms, today)
    days.click(1000)
    at_ms += PAUSE_MS
    assert look(schedule, days, at_ms) == [BRAND_DAY]
    assert schedule.due(at_ms + NEIGHBOUR_MS, 9) == [today, BRAND_DAY]


def test_a_new_schedule_knows_what_was_derived(days: Days) -> None:
    days.click(1000)
    days.derive(at_ms=NOON_MS)
    final_ms = DAY_START_MS + 2 * DAY_MS + GRACE_MS
    assert look(Schedule(days.store), days, NOON_MS + 1) == []
    assert look(Schedule(days.store), days, final_ms) == [BRAND_DAY]
    days.click(2000)
    assert look(Schedule(days.store), days, NOON_MS + 1) == [BRAND_DAY]


def test_days_long_past_are_left_alone(schedule: Schedule, days: Days) -> None:
    days.click(1000)
    assert look(schedule, days, NOON_MS + 40 * DAY_MS) == []


def test_a_run_that_began_before_its_day_was_final_is_followed_by_another(schedule: Schedule, days: Days) -> None:
    days.click(1000)
    final_ms = DAY_START_MS + 2 * DAY_MS
    look(schedule, days, final_ms - 1)
    done = days.derive(at_ms=final_ms - 1, is_scheduled=True)
    ended_ms = final_ms + GRACE_MS + 1
    schedule.done(BRAND_DAY, done.as_of, 1, 10, ended_ms, is_final=done.days[0].is_final)
    assert schedule.due(ended_ms + PAUSE_MS - 1, 9) == []
    assert schedule.due(ended_ms + PAUSE_MS, 9) == [BRAND_DAY]


def test_a_day_that_was_begun_is_finished_however_long_ago_it_was(days: Days) -> None:
    days.click(1000)
    days.derive(at_ms=NOON_MS, is_scheduled=True)
    much_later_ms = NOON_MS + 400 * DAY_MS
    schedule = Schedule(days.store)
    assert look(schedule, days, much_later_ms) == [BRAND_DAY]
    derived(schedule, days, much_later_ms)
    assert look(schedule, days, much_later_ms + DAY_MS) == []
    assert look(Schedule(days.store), days, much_later_ms) == []


def test_days_of_an_older_form_are_derived_again_however_long_ago_they_were(
    days: Days, monkeypatch: pytest.MonkeyPatch
) -> None:
    days.click(1000)
    days.click(1000 - DAY_MS)
    days.load()
    with monkeypatch.context() as patch:
        patch.setattr(derive_module, "GENERATION", GENERATION - 1)
        days.derive(DAY - timedelta(days=1), NEXT_DAY)
    much_later_ms = NOON_MS + 400 * DAY_MS
    schedule = Schedule(days.store)
    assert look(schedule, days, much_later_ms) == [BRAND_DAY, DueDay("org_0000001", DAY - timedelta(days=1))]
    derived(schedule, days, much_later_ms)
    assert look(Schedule(days.store), days, much_later_ms) == [DueDay("org_0000001", DAY - timedelta(days=1))]


def test_recent_days_come_first_and_organizations_take_turns(schedule: Schedule, days: Days) -> None:
    for back in range(3):
        days.click(1000 - back * DAY_MS)
    days.organization_id = "org_0000002"
    days.click(1000 - 5 * DAY_MS)
    found = look(schedule, days, NOON_MS)
    before = [DAY - timedelta(days=back) for back in range(6)]
    assert set(found[:2]) == {BRAND_DAY, DueDay("org_0000002", before[5])}
    assert found[2:] == [DueDay("org_0000001", before[1]), DueDay("org_0000001", before[2])]
