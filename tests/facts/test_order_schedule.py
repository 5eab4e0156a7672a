"""A day of orders is derived again when something of its orders came, from however long ago they are."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

import pytest

from stackfluence.facts import CodeBook, CodePeriod, Terms, derive, derive_orders, orders
from stackfluence.facts.derive import DAY_MS
from stackfluence.facts.order_schedule import OrderSchedule
from stackfluence.facts.schedule import NEIGHBOUR_MS, PAUSE_MS, DueDay
from tests.facts.days import DAY, DAY_START_MS, NEXT_DAY, Days
from tests.facts.order_cases import conversions, tell_orders

NOON_MS = DAY_START_MS + DAY_MS // 2
BRAND_DAY = DueDay("org_0000001", DAY)
LAST_YEAR = DAY - timedelta(days=400)


@pytest.fixture
def schedule(days: Days) -> OrderSchedule:
    return OrderSchedule(days.store)


def tell(days: Days, *told: Mapping[str, Any], **more: Any) -> dict[str, str]:
    clicks = tell_orders(days, {"told": told, **more})
    days.load()
    return clicks


def due(schedule: OrderSchedule, days: Days, at_ms: int) -> list[date]:
    schedule.look(days.numbers.horizon(), at_ms)
    return [found.day for found in schedule.due(at_ms, 100)]


def derived(schedule: OrderSchedule, days: Days, at_ms: int, *chosen: date, codes: CodeBook = CodeBook()) -> None:
    done = derive_orders(days.store, days.run(at_ms=at_ms), chosen or [DAY], Terms(codes), is_scheduled=True)
    for day in done.days:
        schedule.done(DueDay("org_0000001", day.day), done.as_of, 1, 10, at_ms, is_final=day.is_final)


def test_an_order_makes_its_day_due_and_a_click_makes_none(schedule: OrderSchedule, days: Days) -> None:
    days.click(1000)
    tell(days)
    assert due(schedule, days, NOON_MS) == []
    tell(days, {"order": "A1", "revenue": 5000})
    assert due(schedule, days, NOON_MS) == [DAY]
    derived(schedule, days, NOON_MS)
    assert due(schedule, days, NOON_MS + PAUSE_MS) == []
    days.click(2000)
    tell(days)
    assert due(schedule, days, NOON_MS + PAUSE_MS) == [], "clicks can only tell what is usual"
    assert due(schedule, days, NOON_MS + PAUSE_MS + NEIGHBOUR_MS) == [DAY]


def test_a_refund_finds_the_day_of_an_order_of_last_year(schedule: OrderSchedule, days: Days) -> None:
    tell(days, {"order": "A1", "day": -400, "revenue": 5000}, {"order": "B1", "day": -399, "revenue": 5000})
    assert due(schedule, days, NOON_MS - 395 * DAY_MS) == [LAST_YEAR + timedelta(days=1), LAST_YEAR]
    derived(schedule, days, NOON_MS - 395 * DAY_MS, LAST_YEAR, LAST_YEAR + timedelta(days=1))
    tell(days, {"refund": "A1", "amount": 100, "tier": "connector"})
    for looking in (schedule, OrderSchedule(days.store)):  # the second begins anew and knows what was derived
        assert due(looking, days, NOON_MS) == [LAST_YEAR]
    derived(schedule, days, NOON_MS, LAST_YEAR)
    assert conversions(days)["A1~0"]["refunded_cents"] == 100
    assert due(OrderSchedule(days.store), days, NOON_MS) == []


def test_a_refund_finds_the_day_of_an_order_by_its_payment(schedule: OrderSchedule, days: Days) -> None:
    """The shop names the order, Stripe its invoice, the refund only what paid that, in whatever order they come."""
    tell(days, {"order": "A1", "day": -400, "revenue": 5000, "payment": "in_1", "tier": "connector"})
    assert due(schedule, days, NOON_MS - 395 * DAY_MS) == [LAST_YEAR]
    derived(schedule, days, NOON_MS - 395 * DAY_MS, LAST_YEAR)
    refund = {"refund": "pi_1", "amount": 100, "tier": "connector", "payment": "pi_1", "shop": "acct_1"}
    tell(days, refund)
    assert due(schedule, days, NOON_MS) == [], "nobody has said yet what the payment was for"
    tell(days, {"invoice": "in_1", "payment": "pi_1", "tier": "connector", "shop": "acct_1"})
    for looking in (schedule, OrderSchedule(days.store)):
        assert due(looking, days, NOON_MS) == [LAST_YEAR]
    derived(schedule, days, NOON_MS, LAST_YEAR)
    assert conversions(days)["A1~0"]["refunded_cents"] == 100
    tell(days, refund)
    assert due(schedule, days, NOON_MS + DAY_MS) == [LAST_YEAR]
    derived(schedule, days, NOON_MS + DAY_MS, LAST_YEAR)
    assert conversions(days)["A1~0"]["refunded_cents"] == 200


def test_both_days_are_due_when_an_order_moves(schedule: OrderSchedule, days: Days) -> None:
    tell(days, {"order": "A1", "at": "00:01", "tier": "browser", "revenue": 5000})
    assert due(schedule, days, NOON_MS) == [DAY]
    derived(schedule, days, NOON_MS)
    tell(days, {"order": "A1", "day": -1, "at": "23:59", "tier": "server", "revenue": 5000})
    assert due(schedule, days, NOON_MS + PAUSE_MS) == [DAY, DAY - timedelta(days=1)]


def test_an_order_that_moves_takes_a_day_along_that_would_wait(schedule: OrderSchedule, days: Days) -> None:
    tell(days, {"order": "A1", "at": "00:01", "tier": "browser", "revenue": 5000})
    assert due(schedule, days, NOON_MS + 3 * DAY_MS) == [DAY]
    derived(schedule, days, NOON_MS + 3 * DAY_MS)  # final, so it would wait for hours
    tell(days, {"order": "A1", "day": -1, "at": "23:59", "tier": "server", "revenue": 5000})
    at_ms = NOON_MS + 3 * DAY_MS + 1000
    both = due(schedule, days, at_ms)
    assert sorted(both) == [DAY - timedelta(days=1), DAY]
    derived(schedule, days, at_ms, *both)
    assert list(conversions(days)) == ["A1~0"]
    tell(days, {"refund": "A1", "amount": 100, "tier": "connector"})
    assert due(schedule, days, at_ms + PAUSE_MS) == [], "both wait"
    tell(days, {"order": "B1", "day": -2, "revenue": 5000}, {"order": "C1", "revenue": 5000})
    assert due(schedule, days, at_ms + PAUSE_MS) == [DAY - timedelta(days=2)], "nothing moves between these"


def test_a_click_that_is_loaded_after_its_order_makes_the_orders_day_due(schedule: OrderSchedule, days: Days) -> None:
    late = {"late": {"creator": "emma", "at": "10:00", "stored": False}}
    clicks = tell(days, {"order": "A1", "revenue": 5000, "click": "late"}, clicks=late)
    assert due(schedule, days, NOON_MS) == [DAY]
    derived(schedule, days, NOON_MS)
    assert conversions(days)["A1~0"]["found_by"] == "none"
    days.click(10 * 3_600_000, event_id=clicks["late"])
    tell(days)
    assert due(schedule, days, NOON_MS + PAUSE_MS) == [DAY]
    derived(schedule, days, NOON_MS + PAUSE_MS)
    assert conversions(days)["A1~0"]["found_by"] == "click_id"


def test_a_customer_who_is_known_later_makes_earlier_orders_due(schedule: OrderSchedule, days: Days) -> None:
    phone = {"phone": {"creator": "emma", "day": -3}}
    tell(days, {"order": "A1", "revenue": 5000, "customer": "h1"}, {"order": "B1", "day": -5, "customer": "h1"})
    assert due(schedule, days, NOON_MS) == [DAY, DAY - timedelta(days=5)]
    derived(schedule, days, NOON_MS, DAY - timedelta(days=5), DAY)
    tell(days, {"identify": "h2", "click": "phone", "day": -3}, clicks=phone)
    assert due(schedule, days, NOON_MS + PAUSE_MS) == [], "somebody else"
    tell(days, {"identify": "h1", "click": "phone", "day": -3}, clicks=phone)
    assert due(schedule, days, NOON_MS + 2 * PAUSE_MS) == [DAY], "the other order was before"
    derived(schedule, days, NOON_MS + 2 * PAUSE_MS)
    assert conversions(days)["A1~0"]["found_by"] == "customer"


def test_a_code_that_changes_hands_makes_the_days_due_that_had_it(schedule: OrderSchedule, days: Days) -> None:
    tell(days, {"order": "A1", "revenue": 5000, "codes": ["emma10"]}, {"order": "B1", "day": -30, "codes": ["lena10"]})
    long_ago = DAY - timedelta(days=30)
    assert due(schedule, days, NOON_MS) == [DAY, long_ago]
    derived(schedule, days, NOON_MS, long_ago, DAY)
    later_ms = NOON_MS + DAY_MS
    emmas, lenas = CodePeriod("emma10~0", "crt_emma"), CodePeriod("lena10~0", "crt_lena")
    for book, expected in ((CodeBook([emmas]), [DAY]), (CodeBook([lenas, emmas]), [DAY, long_ago])):
        anew = OrderSchedule(days.store)
        due(anew, days, later_ms)
        anew.look_at_codes({"org_0000001": book}, later_ms)
        assert [found.day for found in anew.due(later_ms, 9)] == expected
    derived(schedule, days, later_ms, DAY, codes=CodeBook([emmas]))
    anew = OrderSchedule(days.store)
    anew.look_at_codes({"org_0000001": CodeBook([emmas])}, later_ms)
    assert anew.due(later_ms, 9) == []
    assert conversions(days)["A1~0"]["creator_id"] == "crt_emma"


def test_days_of_an_older_form_are_derived_again_however_long_ago_they_were(
    days: Days, monkeypatch: pytest.MonkeyPatch
) -> None:
    tell(days, {"order": "A1", "revenue": 5000}, {"order": "B1", "day": -400, "revenue": 5000})
    now = days.run().derived_ms
    with monkeypatch.context() as patch:
        patch.setattr(orders, "ORDER_GENERATION", orders.ORDER_GENERATION - 1)
        derive_orders(days.store, days.run(), [LAST_YEAR, DAY])
    schedule = OrderSchedule(days.store)
    assert due(schedule, days, now) == [DAY, LAST_YEAR]
    derived(schedule, days, now, DAY)
    assert due(OrderSchedule(days.store), days, now) == [LAST_YEAR]


def test_codes_of_yesterday_are_what_is_usual_today_an_hour_later(schedule: OrderSchedule, days: Days) -> None:
    tell(days, {"order": "A1", "day": 1, "revenue": 5000, "codes": ["emma10"]})
    at_ms = NOON_MS + DAY_MS
    assert due(schedule, days, at_ms) == [NEXT_DAY]
    derived(schedule, days, at_ms, NEXT_DAY)
    tell(days, {"order": "B1", "revenue": 5000, "codes": ["emma10"]})
    assert due(schedule, days, at_ms + PAUSE_MS) == [DAY]
    derived(schedule, days, at_ms + PAUSE_MS, DAY)
    assert due(schedule, days, at_ms + PAUSE_MS + NEIGHBOUR_MS) == [NEXT_DAY]


def test_an_order_waits_for_the_verdict_on_its_click_and_for_a_later_one(days: Days) -> None:
    click = days.click(DAY_MS // 2 - DAY_MS, creator_id="crt_emma")
    days.event(
        "conversion", DAY_MS // 2, conversion_type="purchase", order_id="A1", click_id=click, click_id_status="valid",
        trust_tier="server", revenue_cents=4900, currency="EUR",
    )  # fmt: skip
    days.load()
    schedule, run = OrderSchedule(days.store), days.run()
    now = run.derived_ms
    schedule.look(run.as_of, now)
    done = derive_orders(days.store, run, [DAY], is_scheduled=True)
    assert [day.is_final for day in done.days] == [False], "its click has no verdict yet"
    assert conversions(days)["A1"]["is_provisional"]
    schedule.done(DueDay(days.organization_id, DAY), run.as_of, 1, 0, now, is_final=False)
    now += 2 * PAUSE_MS
    schedule.look_at_verdicts(now)
    assert schedule.due(now, 9) == [], "nothing was derived of its click's day"

    derive(days.store, days.run(), DAY - timedelta(days=1), DAY)
    schedule.look_at_verdicts(now)
    assert schedule.due(now, 9) == [DueDay(days.organization_id, DAY)]
    run = days.run()
    derive_orders(days.store, run, [DAY], is_scheduled=True)
    schedule.done(DueDay(days.organization_id, DAY), run.as_of, 1, 0, now, is_final=True)
    order = conversions(days)["A1"]
    assert (order["is_provisional"], order["unattributed_reason"]) == (False, "")

    now += DAY_MS
    derive(days.store, days.run(), DAY - timedelta(days=1), DAY)
    schedule.look_at_verdicts(now)
    assert schedule.due(now, 9) == [], "the same verdict again"
    days.after(click, "pageview", DAY_MS // 2 - DAY_MS + 1000, bot_reasons=["webdriver"])
    days.load()
    derive(days.store, days.run(), DAY - timedelta(days=1), DAY)
    schedule.look_at_verdicts(now)
    assert schedule.due(now, 9) == [DueDay(days.organization_id, DAY)]
    derive_orders(days.store, days.run(), [DAY], is_scheduled=True)
    assert conversions(days)["A1"]["unattributed_reason"] == "invalid_traffic"
    again = OrderSchedule(days.store)
    again.look(days.numbers.horizon(), now)
    again.look_at_verdicts(now)
    assert again.due(now, 9) == [], "another core finds nothing to do"
