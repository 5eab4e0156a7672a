"""One conversion per order, for ever: whatever order things arrive in, however often, and whoever is interrupted."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from stackfluence.events.statements import Statement
from stackfluence.events.store import Session, Store
from stackfluence.facts import CodeBook, Terms, days_with_orders, derive_orders, highest_run
from stackfluence.facts.derive import DAY_MS, FOR_EVER
from stackfluence.facts.order_places import SQL as PLACES
from stackfluence.facts.order_places import place_orders
from stackfluence.facts.orders import DerivedOrders
from tests.events.journals import rows, value
from tests.facts.days import DAY, DAY_START_MS, LATER_MS, NEXT_DAY, Days
from tests.facts.order_cases import code_periods, conversions, tell_orders

MIXED: dict[str, Any] = {
    "codes": [{"code": "EMMA10", "creator": "emma"}],
    "clicks": {
        "phone": {"creator": "lena", "day": -3},
        "link": {"creator": "mia", "at": "11:00"},
        "guessed": {"creator": "mia", "at": "11:30"},
    },
    "told": [
        {"identify": "h1", "click": "phone", "day": -3, "tier": "browser"},
        {"order": "A1", "at": "13:00", "tier": "browser", "revenue": 5100, "click": "link"},
        {"order": "A1", "at": "13:00", "tier": "connector", "revenue": 5000, "received": "13:01", "id": 1},
        {"order": "A1", "at": "13:00", "tier": "connector", "revenue": 5000, "received": "13:09", "id": 1},
        {"order": "A1", "at": "13:00", "tier": "connector", "revenue": 4000, "revised": "16:00"},
        {"order": "B1", "at": "14:00", "revenue": 2000, "customer": "h1"},
        {"order": "C1", "at": "15:00", "revenue": 3000, "codes": ["emma10"], "click": "guessed"},
        {"refund": "A1", "at": "18:00", "amount": 500, "tier": "connector", "reason": "refund"},
        {"refund": "B1", "day": 9, "amount": 500},
    ],
}


def codes() -> CodeBook:
    return CodeBook(code_periods(MIXED))


def derive(days: Days, *, back: int = 0, **options: Any) -> DerivedOrders:
    """Load what waits, and derive the orders of the day, or of so many days before, up to it."""
    days.load()
    at_ms = options.pop("at_ms", LATER_MS)
    chosen = [DAY - timedelta(days=place) for place in range(back, -1, -1)]
    return derive_orders(days.store, days.run(at_ms=at_ms), chosen, Terms(options.pop("codes", codes())), **options)


def test_the_same_events_give_the_same_rows_again_and_in_any_order_of_arrival(
    days: Days, other_days: Callable[[str], Days]
) -> None:
    tell_orders(days, MIXED)
    first = derive(days)
    assert (first.conversions, derive(days).facts_hash) == (3, first.facts_hash)
    told = list(days.told)
    again = other_days("orders")
    random.Random(7).shuffle(told)
    for part in range(2):
        again.tell_again(told[part::2])
        step = derive(again)  # with whatever there is by then
    assert (step.conversions, step.facts_hash) == (3, first.facts_hash)
    assert {row["found_by"] for row in conversions(again).values()} == {"click_id", "customer", "code"}


def test_pixel_hook_and_retries_are_one_order_in_whatever_order_they_come(days: Days) -> None:
    tellings = [
        {"order": "A1", "at": "13:00", "tier": "browser", "revenue": 5100, "received": "13:00"},
        *[{"order": "A1", "at": "13:00", "tier": "connector", "revenue": 5000, "received": "13:02", "id": 1}] * 5,
    ]
    random.Random(3).shuffle(tellings)
    for telling in tellings:
        tell_orders(days, {"told": [telling]})
        days.load()
    assert derive(days).conversions == 1
    (told,) = conversions(days).values()
    assert (told["revenue_cents"], told["events"], told["trust_tier"]) == (5000, 2, "connector")


def test_an_order_that_moves_to_another_day_is_on_one_of_them(days: Days) -> None:
    order = {"order": "A1", "at": "00:01", "tier": "browser", "revenue": 5000}
    tell_orders(days, {"told": [order]})
    first = derive(days, back=1)
    assert [day.conversions for day in first.days] == [0, 1]
    before = conversions(days)["A1~0"]["conversion_id"]
    tell_orders(days, {"told": [{**order, "day": -1, "at": "23:59", "tier": "server"}]})
    second = derive(days, back=1)
    assert [day.conversions for day in second.days] == [1, 0]
    assert conversions(days)["A1~0"]["conversion_id"] == before, "the order's name stays"
    assert days_with_orders(days.store, days.organization_id, 2, DAY - timedelta(days=3), NEXT_DAY) == [
        DAY - timedelta(days=1), DAY,
    ]  # fmt: skip


@pytest.mark.parametrize("last", ["publish_conversions", "point_order_days"])
def test_a_run_that_dies_leaves_readers_where_they_were(last: str, days: Days, monkeypatch: pytest.MonkeyPatch) -> None:
    tell_orders(days, {"told": [{"order": "A1", "revenue": 5000}, {"order": "B1", "day": -1, "revenue": 5000}]})
    first = derive(days, back=1)
    tell_orders(days, {"told": [{"order": "A1", "at": "13:00", "revenue": 1}]})
    days.load()
    carried = Session.run
    calls: list[str] = []

    def dying(self: Session, statement: Statement, **parameters: Any) -> None:
        calls.append(statement.name)
        if statement.name == last and calls.count(last) == (2 if last.startswith("publish") else 1):
            raise KeyboardInterrupt
        carried(self, statement, **parameters)

    monkeypatch.setattr(Session, "run", dying)
    with pytest.raises(KeyboardInterrupt):
        derive(days, back=1)
    monkeypatch.undo()
    assert {row["run_id"] for row in conversions(days).values()} == {first.run_id}
    assert highest_run(days.store) in (1, 2)
    assert derive(days, back=1).run_id == 3
    assert conversions(days)["A1~0"]["revenue_cents"] == 1


def test_whoever_is_interrupted_while_giving_places_gives_them_twice_and_nobody_counts_twice(days: Days) -> None:
    tell_orders(days, MIXED)
    days.load()
    with days.store.session() as session:
        session.run(PLACES["place_rows"], after_load=0, as_of=1)  # and dies before it notes that
        found = value(days.store, "select count() as c from order_places")
        place_orders(session, 1)
        place_orders(session, 1)
    assert value(days.store, "select count() as c from order_places") == 2 * found
    derive(days)
    assert {row["order_id"]: row["refunds"] for row in conversions(days).values()} == {"A1~0": 1, "B1~0": 1, "C1~0": 0}


def test_two_organizations_with_the_same_orders_codes_and_customers_know_nothing_of_each_other(days: Days) -> None:
    tell_orders(days, MIXED)
    alone = derive(days)
    days.organization_id = "org_0000002"
    tell_orders(days, {"told": [{"order": "A1", "at": "09:00", "revenue": 7, "customer": "h1", "codes": ["emma10"]}]})
    theirs = derive(days, codes=CodeBook())
    (order,) = conversions(days).values()
    assert (theirs.conversions, order["revenue_cents"], order["found_by"]) == (1, 7, "none")
    days.organization_id = "org_0000001"
    assert derive(days).facts_hash == alone.facts_hash


def test_who_was_erased_takes_nothing_from_the_creator(days: Days) -> None:
    tell_orders(days, MIXED)
    first = derive(days)
    with days.store.session() as session:
        session._client.command("alter table events_personal delete where true settings mutations_sync = 2")
    assert value(days.store, "select count() as c from events_personal") == 0
    assert derive(days).facts_hash == first.facts_hash
    assert value(days.store, "select count() as c from same_customers") == 1
    columns = rows(days.store, "select name from system.columns where table in ('same_customers', 'conversions')")
    assert not {row["name"] for row in columns} & {"customer_hash", "email_hash"}


def test_a_run_reads_no_load_that_finished_behind_its_horizon(days: Days) -> None:
    tell_orders(days, {"told": [{"order": "A1", "revenue": 5000}]})
    days.load()
    run = days.run()
    tell_orders(days, {"told": [{"order": "B1", "revenue": 5000}, {"refund": "A1", "amount": 100}]})
    days.load()
    derive(days)  # its places are there by now
    done = derive_orders(days.store, run, [DAY])
    found = rows(days.store, "select order_id, refunds from conversions where run_id = {run:UInt64}", run=run.run_id)
    assert (done.conversions, [tuple(row.values()) for row in found]) == (1, [("A1~0", 0)])


def test_a_scheduled_run_leaves_a_day_alone_until_something_or_a_code_changed(days: Days) -> None:
    tell_orders(days, MIXED)
    assert derive(days, is_scheduled=True).days[0].is_written
    again = derive(days, is_scheduled=True).days[0]
    assert (again.is_written, again.code_keys) == (False, ("emma10~0",))
    other_owner = CodeBook([period._replace(creator_id="crt_lena") for period in code_periods(MIXED)])
    assert derive(days, is_scheduled=True, codes=other_owner).days[0].is_written
    assert conversions(days)["C1~0"]["creator_id"] == "crt_lena"
    assert value(days.store, "select count() as c from order_runs") == 3, "what was looked at is known"


def test_what_a_scheduled_run_says_of_an_unfinished_day_expires(days: Days) -> None:
    tell_orders(days, {"told": [{"order": "A1", "revenue": 5000}]})
    at_ms = DAY_START_MS + DAY_MS
    derive(days, is_scheduled=True, at_ms=at_ms)
    derive(days, is_scheduled=True)
    pointed = rows(days.store, "select * from derived_order_days order by run_id")
    ends = [int(row["expires_at"].timestamp()) for row in pointed]
    assert ends == [at_ms // 1000 + 7 * 86_400, FOR_EVER]
    kept = rows(days.store, "select toUnixTimestamp(expires_at) as ends from conversions order by run_id")
    assert [row["ends"] for row in kept] == [ends[0] + 86_400, FOR_EVER]
    assert [(row["is_final"], row["is_kept"]) for row in pointed] == [(False, False), (True, True)]


def test_orders_are_derived_over_http_as_in_this_process(served_store: Store, days: Days, tmp_path: Path) -> None:
    served = Days(served_store, tmp_path / "served")
    tell_orders(days, MIXED)
    served.tell_again(days.told)
    assert derive(served).facts_hash == derive(days).facts_hash
    served.close()


def test_numbers_beyond_what_a_float_holds_stay_two_orders(days: Days) -> None:
    tell_orders(days, {"told": [{"order": str(2**53 + place), "revenue": 10**12 - place} for place in (0, 1)]})
    derive(days)
    found = {row["order_id"]: row["revenue_cents"] for row in conversions(days).values()}
    assert found == {"9007199254740992~0": 10**12, "9007199254740993~0": 10**12 - 1}
