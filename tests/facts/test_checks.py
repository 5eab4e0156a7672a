"""What a run is about to publish is withheld when its rows contradict each other, each check for its own reason."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from stackfluence.errors import ChecksFailed
from stackfluence.events.statements import Statement
from stackfluence.events.store import Session
from stackfluence.facts import checks, orders
from stackfluence.facts import derive as derive_days
from stackfluence.facts.derive import SETTINGS, derive_day
from stackfluence.facts.derive import WORK as CLICK_WORK
from stackfluence.facts.order_places import place_orders
from stackfluence.facts.orders import derive_order_day
from stackfluence.facts.policies import DEFAULT_POLICIES
from stackfluence.facts.thresholds import Rules
from tests.facts.days import DAY, NEXT_DAY, Days

# by check, a table of the day at hand, and other rows for it; `told` has those that the derivation gave
BROKEN = [
    ("each_click_once", "day_verdicts", "select * from told union all select * from told"),
    ("each_click_once", "day_verdicts", "select * from told limit 2"),
    ("reason_for_invalid", "day_verdicts", "select * replace ('' as invalid_reason) from told"),
    ("reason_for_invalid", "day_verdicts", "select * replace (toUInt8(0) as score) from told"),
    ("qualified_are_valid_visits", "day_verdicts", "select * replace ('' as unqualified_reason) from told"),
    ("counts_are_the_verdicts", "day_rollups", "select * replace (clicks + 1 as clicks) from told"),
    ("counts_are_the_verdicts", "day_rollups", "select * replace (pageviews + 1 as pageviews) from told"),
    ("counts_are_the_verdicts", "day_rollups", "select * from told where invalid_reason = ''"),
    ("counts_are_the_verdicts", "day_rollups", "select * replace ('' as invalid_reason) from told"),
    ("rollups_are_the_counts", "day_rollups", "select * from told where counted_by != 'country'"),
    (
        "rollups_are_the_counts",
        "day_rollups",
        "select * replace (if(counted_by = 'link', 'received', arrival_stage) as arrival_stage) from told",
    ),
    (
        "rollups_are_the_counts",
        "day_rollups",
        "select * replace (pageviews + toUInt64(counted_by = 'quarter') as pageviews) from told",
    ),
    ("each_order_once", "day_conversions", "select * from told union all select * from told"),
    ("credits_add_up", "day_attributions", "select * replace (toUInt32(999999) as paid_credits) from told"),
    ("credits_add_up", "day_attributions", "select * replace (toUInt32(0) as time_decay_credits) from told"),
    ("net_within_gross", "day_conversions", "select * replace (revenue_cents + 1 as net_revenue_cents) from told"),
    ("net_within_gross", "day_conversions", "select * replace (toInt64(-1) as net_base_micros) from told"),
    ("net_within_gross", "day_conversions", "select * replace ('no_touch' as unattributed_reason) from told"),
    ("net_within_gross", "day_conversions", "select * replace (true as is_test) from told"),
    ("shares_are_the_orders", "day_shares", "select * from told where model != 'linear'"),
    ("shares_are_the_orders", "day_shares", "select * replace (replaceOne(model, 'paid', 'free') as model) from told"),
    (
        "shares_are_the_orders",
        "day_shares",
        "select * from told union all select * replace (generateUUIDv4() as conversion_id) from told",
    ),
    ("shares_are_the_orders", "day_shares", "select * replace (refunded_cents + 1 as refunded_cents) from told"),
    ("shares_are_the_orders", "day_shares", "select * replace ('signup' as conversion_type) from told"),
    ("shares_are_the_orders", "day_shares", "select * replace (toUInt32(999999) as credits) from told"),
    ("shares_are_the_orders", "day_shares", "select * replace (net_base_micros - 1 as net_base_micros) from told"),
    ("shares_are_the_orders", "day_shares", "select * replace (revenue_cents + 1 as revenue_cents) from told"),
]
TABLES = {**CLICK_WORK, **orders.WORK}


@pytest.fixture
def told(days: Days) -> Days:
    """Tell of a day with clicks of all sorts and two orders, one of which somebody is credited with."""
    click = days.click(1000)
    days.after(click, "pageview", 2000)
    days.after(click, "session", 3000, engaged_ms=60_000)
    days.click(4000, bot_reasons=["declared_bot"], bot_score=100)
    days.click(5000)
    order = {"conversion_type": "purchase", "trust_tier": "server", "currency": "EUR", "revenue_cents": 4900}
    days.after(click, "conversion", 3_600_000, order_id="A1", **order)
    days.event("conversion", 3_700_000, order_id="A2", **order)
    days.load()
    return days


@contextlib.contextmanager
def at_hand(days: Days, subject: str) -> Iterator[Session]:
    """Lend a connection with a day derived and not yet published."""
    derive_days(days.store, days.run(), DAY, NEXT_DAY)
    with contextlib.closing(days.store.open_session(SETTINGS)) as session:
        if subject == "clicks":
            derive_day(session, days.run(), DAY, DEFAULT_POLICIES, Rules())
        else:
            place_orders(session, days.numbers.horizon())
            assert derive_order_day(session, days.run(), DAY, orders.Terms(), Rules())["conversions"] == 2
        yield session


def subject_of(check: str) -> str:
    return next(name.split("_")[1] for name in checks.SQL if name.endswith(check))


def test_what_was_derived_contradicts_nothing(told: Days) -> None:
    for subject in ("clicks", "orders"):
        with at_hand(told, subject) as session:
            assert checks.check(session, subject, DAY) == []


@pytest.mark.parametrize(("check", "table", "rows"), BROKEN)
def test_rows_that_contradict_each_other_are_withheld(check: str, table: str, rows: str, told: Days) -> None:
    subject = subject_of(check)
    with at_hand(told, subject) as session:
        session.run(Statement("keep", "", f"create temporary table told engine = Memory as select * from {table}"))
        session.run(TABLES[f"create_{table}"])
        session.run(Statement("break", "", f"insert into {table} {rows}"))
        with pytest.raises(ChecksFailed, match=f"{subject}_{check} on {DAY}: [1-9]"):
            checks.check(session, subject, DAY)


def test_each_check_that_withholds_a_run_is_seen_to_fail() -> None:
    failing = {name.split("_", 2)[2] for name in checks.SQL if name.startswith("fail_")}
    assert failing == {check for check, _, _ in BROKEN}
