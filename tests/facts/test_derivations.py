"""A core derives by itself what was loaded, in rounds."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from stackfluence.catalog import Catalog, finish_load, open_catalog, take_load
from stackfluence.catalog.sources import Code
from stackfluence.catalog.tables import Creator
from stackfluence.events.store import StatementFailed, Store
from stackfluence.facts import Derived, DerivedOrders, Run, derive_orders
from stackfluence.facts import derive as facts_derive
from stackfluence.facts.derive import DAY_MS
from stackfluence.facts.schedule import FAILED_PAUSE_MS
from stackfluence.operations import derivations
from stackfluence.operations.derivations import Derivations
from stackfluence.operations.site import Site
from stackfluence.settings import Settings
from tests.facts.days import DAY, DAY_START_MS, Days
from tests.facts.order_cases import conversions


class Clock:
    """A time that a test sets."""

    at_ms = DAY_START_MS + DAY_MS // 2

    def __call__(self) -> int:
        return self.at_ms


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("stackfluence.operations.derivations.now_ms", clock)
    monkeypatch.setattr("stackfluence.operations.derive.now_ms", clock)
    return clock


@pytest.fixture
async def books(sqlite_url: str, days: Days) -> AsyncIterator[Catalog]:
    """Open a catalog whose only organization the days' events are of."""
    catalog = open_catalog(sqlite_url)
    async with catalog.writing("cli") as change:
        days.organization_id = (await change.add_organization("Brand", "EUR", "Europe/Berlin")).organization_id
    yield catalog
    await catalog.close()


async def load(days: Days, books: Catalog) -> None:
    days.load()
    number = await take_load(books, "loader", days.numbers.horizon(), is_sole=True)
    assert number is not None
    await finish_load(books, number)


async def give(books: Catalog, organization_id: str, code: str, handle: str, starts_at: int | None = None) -> str:
    """Give a code to a creator; returns the creator's id."""
    async with books.writing("cli") as change:
        creator = Creator(organization_id=organization_id, handle=handle)
        change.session.add(creator)
        await change.session.flush()
        given = Code(organization_id=organization_id, code=code, creator_id=creator.id, starts_at=starts_at)
        change.session.add(given)
    return creator.id


async def test_what_was_loaded_is_derived_in_the_next_round(
    days: Days, books: Catalog, clock: Clock, tmp_path: Path
) -> None:
    site = Site(Settings(data_dir=str(tmp_path)), books, None)
    keeper = Derivations(site)
    assert await keeper.round() == 0, "the store is away"
    site.opened = days.store
    click = days.click(1000)
    await load(days, books)
    assert await keeper.round() == 1
    assert await keeper.round() == 0
    days.after(click, "session", 5000)
    await load(days, books)
    assert await keeper.round() == 0, "at most once a minute"
    assert days.verdicts()[click]["arrival_stage"] == "measured"
    clock.at_ms += 60_000
    assert await keeper.round() == 1
    assert days.verdicts()[click]["arrival_stage"] == "received"
    clock.at_ms += 3 * DAY_MS
    assert await keeper.round() == 1, "final"


@pytest.mark.parametrize("error", [StatementFailed("derive_arrivals", 241, "too little memory"), KeyError("clicks")])
async def test_a_day_that_fails_keeps_no_other_waiting_and_comes_again(
    error: Exception, days: Days, books: Catalog, clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keeper = Derivations(Site(Settings(data_dir=str(tmp_path)), books, days.store))
    click = days.click(1000)
    earlier = days.click(1000 - DAY_MS)
    await load(days, books)
    asked: list[date] = []

    def refuse(store: Store, run: Run, from_day: date, *days: date, **options: Any) -> Derived:
        asked.append(from_day)
        if from_day == DAY:
            raise error
        return facts_derive(store, run, from_day, *days, **options)

    monkeypatch.setattr("stackfluence.facts.derive", refuse)
    assert await keeper.round() == 1
    assert set(days.verdicts()) == {earlier}
    assert len(asked) == 2
    monkeypatch.setattr("stackfluence.facts.derive", facts_derive)
    assert await keeper.round() == 0
    clock.at_ms += FAILED_PAUSE_MS
    assert await keeper.round() == 1
    assert set(days.verdicts()) == {click, earlier}


async def test_orders_are_derived_by_the_codes_of_the_catalog_and_again_when_one_changes(
    days: Days, books: Catalog, clock: Clock, tmp_path: Path
) -> None:
    keeper = Derivations(Site(Settings(data_dir=str(tmp_path)), books, days.store))
    days.event("conversion", 1000, conversion_type="purchase", order_id="A1", coupon_codes=["EMMA10"])
    days.event("conversion", 1000 - DAY_MS, conversion_type="purchase", order_id="B1")
    await load(days, books)
    assert await keeper.round() == 2
    assert {row["found_by"] for row in conversions(days).values()} == {"none"}
    assert len({row["run_id"] for row in conversions(days).values()}) == 1, "an organization's days are one run"
    emma = await give(books, days.organization_id, "emma10", "emma")
    clock.at_ms += 60_000
    assert await keeper.round() == 1, "the day that had the code"
    assert conversions(days)["A1"]["creator_id"] == emma
    clock.at_ms += 60_000
    assert await keeper.round() == 0


async def test_a_code_that_is_claimed_late_credits_its_orders_however_long_ago_they_were(
    days: Days, books: Catalog, clock: Clock, tmp_path: Path
) -> None:
    """A day is derived when its orders come and when it is over; then the code is claimed, from 90 days ago on."""
    site = Site(Settings(data_dir=str(tmp_path)), books, days.store)
    keeper = Derivations(site)
    told = {
        "A1": (400, "EMMA10"),
        "B1": (91, "emma10"),
        "C1": (90, "EMMA10"),
        "D1": (50, "SOCKS"),
        "E1": (40, "EMMA10"),
    }
    for order_id, (days_ago, code) in told.items():
        at_ms = 1000 - days_ago * DAY_MS
        days.event("conversion", at_ms, conversion_type="purchase", order_id=order_id, coupon_codes=[code])
        await load(days, books)
        for days_later in (0, 3):
            clock.at_ms = DAY_START_MS + at_ms + days_later * DAY_MS
            await keeper.round()
    runs = {order_id: row["run_id"] for order_id, row in conversions(days).items()}
    clock.at_ms = DAY_START_MS
    assert await keeper.round() == 0

    emma = await give(books, days.organization_id, "emma10", "emma", DAY_START_MS - 90 * DAY_MS)
    assert await keeper.round() == 4, "no other day than those with an order by the code"
    found = conversions(days)
    assert {order_id: row["creator_id"] for order_id, row in found.items()} == {
        "A1": "", "B1": "", "C1": emma, "D1": "", "E1": emma
    }  # fmt: skip
    outcomes = {order_id: row["candidates"][0]["outcome"] for order_id, row in found.items()}
    assert outcomes == {
        "A1": "code_not_live", "B1": "code_not_live", "C1": "named", "D1": "unclaimed_code", "E1": "named"
    }  # fmt: skip
    assert found["D1"]["run_id"] == runs["D1"]

    lena = await give(books, days.organization_id, "socks", "lena")
    assert await Derivations(site).round() == 1, "a core that begins finds it, too"
    assert conversions(days)["D1"]["creator_id"] == lena
    clock.at_ms += DAY_MS
    assert await keeper.round() == await Derivations(site).round() == 0


async def test_an_organizations_orders_that_fail_come_again(
    days: Days, books: Catalog, clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keeper = Derivations(Site(Settings(data_dir=str(tmp_path)), books, days.store))
    days.event("conversion", 1000, conversion_type="purchase", order_id="A1")
    await load(days, books)

    def refuse(*_: Any, **__: Any) -> None:
        raise StatementFailed("rank_candidates", 241, "too little memory")

    with monkeypatch.context() as broken:
        broken.setattr("stackfluence.facts.derive_orders", refuse)
        assert await keeper.round() == 0
    assert await keeper.round() == 0
    clock.at_ms += FAILED_PAUSE_MS
    assert await keeper.round() == 1
    assert set(conversions(days)) == {"A1"}


async def test_a_day_of_orders_that_always_fails_keeps_no_other_waiting(
    days: Days, books: Catalog, clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keeper = Derivations(Site(Settings(data_dir=str(tmp_path)), books, days.store))
    days.event("conversion", 1000, conversion_type="purchase", order_id="A1")
    days.event("conversion", 1000 - DAY_MS, conversion_type="purchase", order_id="B1")
    await load(days, books)

    def refuse(store: Store, run: Run, chosen: Sequence[date], *more: Any, **options: Any) -> DerivedOrders:
        if DAY in chosen:
            raise StatementFailed("rank_candidates", 241, "too little memory")
        return derive_orders(store, run, chosen, *more, **options)

    monkeypatch.setattr("stackfluence.facts.derive_orders", refuse)
    assert await keeper.round() == 1
    assert set(conversions(days)) == {"B1"}


async def test_a_round_ends_in_time_and_goes_on_in_the_next(
    days: Days, books: Catalog, clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(derivations, "WORK_SECONDS", -1.0)
    keeper = Derivations(Site(Settings(data_dir=str(tmp_path)), books, days.store))
    days.click(1000)
    days.click(1000 - DAY_MS)
    await load(days, books)
    assert await keeper.round() == 0
    monkeypatch.setattr(derivations, "WORK_SECONDS", 30.0)
    assert await keeper.round() == 2
