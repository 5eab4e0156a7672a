"""What counts is written down before it counts, and what has counted is never edited."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from sqlalchemy import select

from stackfluence.catalog import Catalog
from stackfluence.catalog.books import AuditEntry
from stackfluence.catalog.policies import (
    FROZEN_MS,
    LEAD_MS,
    MOST_PLANNED,
    OwnCustomer,
    Policy,
    add_first_policies,
    forget_own_customer,
    longest_windows,
    policy_at,
)
from stackfluence.catalog.tables import Organization
from stackfluence.errors import Conflict, Invalid
from stackfluence.facts.policies import DEFAULT_POLICIES, NO_END, read_own_customers, read_policy_books
from tests.catalog.samples import AT_MS, Brand, a_brand

DAY_MS = 86_400_000
TOMORROW = AT_MS + DAY_MS
EMMA, NOAH, OLIVIA = "a1" * 16, "b2" * 16, "c3" * 16


async def policies_of(catalog: Catalog, brand: Brand) -> list[Policy]:
    async with catalog.reading() as session:
        wanted = select(Policy).where(Policy.organization_id == brand.organization_id)
        return list(await session.scalars(wanted.order_by(Policy.effective_from)))


async def add(catalog: Catalog, brand: Brand, effective_from: int, **columns: Any) -> Policy:
    async with catalog.writing("cli", AT_MS) as change:
        return await change.add_policy(brand.organization_id, effective_from, **columns)


async def change(catalog: Catalog, policy: Policy, at_ms: int = AT_MS, **columns: Any) -> None:
    async with catalog.writing("cli", at_ms) as change:
        await change.change_policy(await change.session.get_one(Policy, policy.id), **columns)


async def delete(catalog: Catalog, policy: Policy, at_ms: int = AT_MS) -> None:
    async with catalog.writing("cli", at_ms) as change:
        await change.delete_policy(await change.session.get_one(Policy, policy.id))


async def test_an_organization_starts_with_the_defaults_written_out(catalog: Catalog) -> None:
    brand = await a_brand(catalog)
    (first,) = await policies_of(catalog, brand)
    assert first.id.startswith("pol_")
    told = {name: getattr(first, name) for name in ("version", "effective_from", "created_at", *Policy.TERMS)}
    assert told == {
        "version": 1,
        "effective_from": 0,
        "created_at": AT_MS,
        "flagged_from": 50,
        "min_engaged_seconds": 10,
        "min_pageviews": 2,
        "repeat_hours": 24,
        "attribution_window_days": 30,
        "ignored_reasons": [],
        "excluded_classes": ["givt", "sivt"],
        "session_tiers": ["server", "connector", "browser"],
        "conversion_tiers": ["server", "connector"],
        "touch_tiers": ["server", "connector", "browser"],
        "attribution_model": "last_touch",
    }
    assert await read_policy_books(catalog) == {brand.organization_id: DEFAULT_POLICIES}


async def test_a_policy_takes_what_is_not_given_from_the_one_before_it(catalog: Catalog) -> None:
    brand = await a_brand(catalog)
    await add(catalog, brand, TOMORROW + DAY_MS, min_pageviews=5)
    earlier = await add(catalog, brand, TOMORROW, attribution_model="linear", ignored_reasons=["vpn_network"])
    last = await add(catalog, brand, TOMORROW + 3 * DAY_MS, repeat_hours=0)
    assert (earlier.version, last.version) == (3, 4)
    assert (last.min_pageviews, last.attribution_model, last.ignored_reasons) == (5, "last_touch", [])
    between = await add(catalog, brand, TOMORROW + DAY_MS // 2)
    assert (between.attribution_model, between.ignored_reasons) == ("linear", ["vpn_network"])
    async with catalog.reading() as session:
        for at_ms, version in ((AT_MS, 1), (TOMORROW - 1, 1), (TOMORROW, 3), (TOMORROW + DAY_MS, 2), (NO_END, 4)):
            found = await policy_at(session, brand.organization_id, at_ms)
            assert found is not None
            assert found.version == version
    books = await read_policy_books(catalog, brand.organization_id)
    assert [period.version for period in books[brand.organization_id].periods] == [1, 3, 5, 2, 4]


@pytest.mark.parametrize("ahead_ms", [-DAY_MS, 0, LEAD_MS - 1])
async def test_no_policy_begins_before_everybody_knows_of_it(catalog: Catalog, ahead_ms: int) -> None:
    brand = await a_brand(catalog)
    planned = await add(catalog, brand, TOMORROW)
    with pytest.raises(Invalid, match=r"effective_from: the earliest is five minutes from now"):
        await add(catalog, brand, AT_MS + ahead_ms)
    with pytest.raises(Invalid, match=r"effective_from"):
        await change(catalog, planned, effective_from=AT_MS + ahead_ms)
    assert [policy.effective_from for policy in await policies_of(catalog, brand)] == [0, TOMORROW]
    assert (await add(catalog, brand, AT_MS + LEAD_MS)).version == 3


async def test_a_policy_can_be_changed_until_a_minute_before_it_begins(catalog: Catalog) -> None:
    brand = await a_brand(catalog)
    policy = await add(catalog, brand, TOMORROW, min_pageviews=3)
    await change(catalog, policy, TOMORROW - FROZEN_MS - 1, min_pageviews=4)
    for at_ms in (TOMORROW - FROZEN_MS, TOMORROW - 1):
        with pytest.raises(Conflict, match=r"Version 2 takes effect at 2026-.* can't be changed or deleted"):
            await change(catalog, policy, at_ms, min_pageviews=9)
        with pytest.raises(Conflict, match="takes effect at"):
            await delete(catalog, policy, at_ms)
    for at_ms in (TOMORROW, TOMORROW + 400 * DAY_MS):
        with pytest.raises(Conflict, match=r"Version 2 has been in force since 2026-"):
            await change(catalog, policy, at_ms, effective_from=at_ms + DAY_MS)
        with pytest.raises(Conflict, match="has been in force since"):
            await delete(catalog, policy, at_ms)
    first, second = await policies_of(catalog, brand)
    assert (second.min_pageviews, second.effective_from) == (4, TOMORROW)
    with pytest.raises(Conflict, match="Version 1 is the first one and can't be changed"):
        await change(catalog, first, flagged_from=99)


async def test_a_policy_that_is_over_stays_as_it_was(catalog: Catalog) -> None:
    brand = await a_brand(catalog)
    past = await add(catalog, brand, TOMORROW)
    await add(catalog, brand, TOMORROW + DAY_MS)
    with pytest.raises(Conflict, match="Version 2 has been in force since"):
        await change(catalog, past, TOMORROW + 9 * DAY_MS, name="Other")


async def test_a_version_is_never_given_again(catalog: Catalog) -> None:
    brand = await a_brand(catalog)
    planned = await add(catalog, brand, TOMORROW)
    await delete(catalog, planned)
    again = await add(catalog, brand, TOMORROW)
    await delete(catalog, again)
    assert (planned.version, again.version, (await add(catalog, brand, TOMORROW)).version) == (2, 3, 4)


async def test_one_policy_begins_at_a_moment_however_many_are_planned(catalog: Catalog) -> None:
    brand = await a_brand(catalog)
    first = await add(catalog, brand, TOMORROW)
    second = await add(catalog, brand, TOMORROW + 1)
    with pytest.raises(Conflict, match=r"Version 2 begins at .* already") as caught:
        await add(catalog, brand, TOMORROW)
    assert caught.value.body()["policy_id"] == first.id
    with pytest.raises(Conflict, match="Version 2 begins at"):
        await change(catalog, second, effective_from=TOMORROW)
    await change(catalog, second, effective_from=TOMORROW + 1, name="the same moment")
    async with catalog.writing("cli", AT_MS) as writing:
        for number in range(2, MOST_PLANNED):
            await writing.add_policy(brand.organization_id, TOMORROW + number)
    with pytest.raises(Conflict, match="At most 100 policies"):
        await add(catalog, brand, TOMORROW + DAY_MS)
    await change(catalog, second, effective_from=TOMORROW + DAY_MS)


async def test_of_two_who_plan_the_same_moment_at_once_one_is_told(catalog: Catalog) -> None:
    brand = await a_brand(catalog)
    outcomes = await asyncio.gather(
        *(add(catalog, brand, TOMORROW, min_pageviews=number) for number in (3, 4)), return_exceptions=True
    )
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["Conflict", "Policy"]
    assert len(await policies_of(catalog, brand)) == 2


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("flagged_from", 0),
        ("flagged_from", 101),
        ("min_engaged_seconds", -1),
        ("min_engaged_seconds", 3601),
        ("min_pageviews", 0),
        ("min_pageviews", True),
        ("repeat_hours", 25),
        ("attribution_window_days", 0),
        ("attribution_window_days", 31),
        ("ignored_reasons", ["a hunch"]),
        ("excluded_classes", ["valid"]),
        ("session_tiers", []),
        ("conversion_tiers", ["server", "browser"]),
        ("touch_tiers", ["rumour"]),
        ("attribution_model", "u_shaped"),
        ("name", "x" * 201),
    ],
)
async def test_what_cant_be_meant_is_refused_by_the_name_of_its_field(
    catalog: Catalog, column: str, value: object
) -> None:
    brand = await a_brand(catalog)
    with pytest.raises(Invalid, match=f" {column}: ") as caught:
        await add(catalog, brand, TOMORROW, **{column: value})
    assert caught.value.body()["field"] == column
    assert len(await policies_of(catalog, brand)) == 1


async def test_words_are_kept_once_in_their_own_order(catalog: Catalog) -> None:
    brand = await a_brand(catalog)
    policy = await add(
        catalog,
        brand,
        TOMORROW,
        session_tiers=["browser", "server", "browser"],
        excluded_classes=[],
        ignored_reasons=[],
    )
    assert (policy.session_tiers, policy.excluded_classes) == (["server", "browser"], [])


async def test_the_audit_log_tells_a_policys_life(catalog: Catalog) -> None:
    brand = await a_brand(catalog)
    policy = await add(catalog, brand, TOMORROW, min_pageviews=3)
    await change(catalog, policy, min_pageviews=4)
    await delete(catalog, policy)
    async with catalog.reading() as session:
        entries = select(AuditEntry).where(AuditEntry.subject_id == policy.id).order_by(AuditEntry.id)
        created, changed, deleted = await session.scalars(entries)
    assert [entry.action for entry in (created, changed, deleted)] == [
        "policy.created",
        "policy.changed",
        "policy.deleted",
    ]
    assert created.after is not None
    assert created.after["min_pageviews"] == 3
    assert (changed.before, changed.after) == ({"min_pageviews": 3}, {"min_pageviews": 4})
    assert deleted.before is not None
    assert deleted.before["version"] == 2


async def test_the_longest_window_is_of_policies_that_are_or_will_be_in_force(catalog: Catalog) -> None:
    brand = await a_brand(catalog)
    other = await a_brand(catalog, "noah", "winter")
    await add(catalog, brand, TOMORROW, attribution_window_days=7)
    await add(catalog, brand, TOMORROW + DAY_MS, attribution_window_days=14)
    for at_ms, days in ((AT_MS, 30), (TOMORROW, 14), (TOMORROW + DAY_MS, 14)):
        async with catalog.reading() as session:
            found = await longest_windows(session, at_ms)
        assert found == {brand.organization_id: days, other.organization_id: 30}


async def test_an_organization_of_an_older_backup_is_given_its_first_policy_once(catalog: Catalog) -> None:
    brand = await a_brand(catalog)
    async with catalog.writing("restore") as change:
        old = await change.add(Organization(name="Old", currency="EUR", accounting_time_zone="UTC"))
    assert old.id not in await read_policy_books(catalog)
    for _ in range(2):
        async with catalog.writing("restore") as change:
            await add_first_policies(change.session)
    assert await read_policy_books(catalog) == {brand.organization_id: DEFAULT_POLICIES, old.id: DEFAULT_POLICIES}
    async with catalog.writing("cli", AT_MS) as change:
        assert (await change.add_policy(old.id, TOMORROW)).version == 2


async def own(catalog: Catalog, brand: Brand, at_ms: int, *hashes: str) -> None:
    async with catalog.writing("cli", at_ms) as change:
        await change.replace_own_customers(brand.creator, hashes)


async def test_own_customers_are_added_retracted_and_named_again_each_with_its_dates(catalog: Catalog) -> None:
    brand = await a_brand(catalog)
    await own(catalog, brand, 100, EMMA, NOAH)
    await own(catalog, brand, 150, NOAH, EMMA, NOAH)
    await own(catalog, brand, 200, NOAH, OLIVIA)
    await own(catalog, brand, 300, EMMA, NOAH)
    creator = brand.creator.id
    assert await read_own_customers(catalog, brand.organization_id) == [
        (creator, EMMA, 100, 200),
        (creator, EMMA, 300, NO_END),
        (creator, NOAH, 100, NO_END),
        (creator, OLIVIA, 200, 300),
    ]
    assert await read_own_customers(catalog, "org_0000000") == []


async def test_the_log_tells_how_many_own_customers_there_are_and_never_who(catalog: Catalog) -> None:
    brand = await a_brand(catalog)
    await own(catalog, brand, 100, EMMA, NOAH)
    await own(catalog, brand, 150, EMMA, NOAH)
    await own(catalog, brand, 200, OLIVIA)
    async with catalog.reading() as session:
        wanted = select(AuditEntry).where(AuditEntry.action == "own_customers.changed").order_by(AuditEntry.id)
        entries = [(entry.subject_id, entry.before, entry.after) for entry in await session.scalars(wanted)]
    assert entries == [
        (brand.creator.id, {"count": 0}, {"count": 2, "added": 2, "retracted": 0}),
        (brand.creator.id, {"count": 2}, {"count": 1, "added": 1, "retracted": 2}),
    ]


async def test_own_customers_that_change_within_a_millisecond_or_under_a_clock_that_went_back_stay_sound(
    catalog: Catalog,
) -> None:
    brand = await a_brand(catalog)
    await own(catalog, brand, 100, EMMA)
    await own(catalog, brand, 100)
    await own(catalog, brand, 100, EMMA)
    await own(catalog, brand, 90)
    assert await read_own_customers(catalog, brand.organization_id) == [(brand.creator.id, EMMA, 100, 100)]


async def test_a_person_who_is_erased_is_nobodys_own_customer_in_that_organization(catalog: Catalog) -> None:
    brand = await a_brand(catalog)
    other = await a_brand(catalog, "noah", "winter")
    for each in (brand, other):
        await own(catalog, each, 100, EMMA, NOAH)
        await own(catalog, each, 200, NOAH)
    async with catalog.transaction() as connection:
        await forget_own_customer(connection, brand.organization_id, EMMA)
    async with catalog.reading() as session:
        rows = await session.execute(select(OwnCustomer.organization_id, OwnCustomer.customer_hash))
        kept = sorted(tuple(row) for row in rows)
    expected = [(brand.organization_id, NOAH), (other.organization_id, EMMA), (other.organization_id, NOAH)]
    assert kept == sorted(expected)
