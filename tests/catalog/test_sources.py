"""Connections and codes in the catalog: what is accepted, what edges are told, and what stays readable."""

from __future__ import annotations

import asyncio
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError

from stackfluence.catalog import Catalog, find_one, renew_hook_secrets
from stackfluence.catalog.books import AuditEntry
from stackfluence.catalog.codes import overlap
from stackfluence.catalog.hook_secrets import count_hook_secrets
from stackfluence.catalog.sources import Code, Connection
from stackfluence.errors import Conflict, Invalid
from stackfluence.names import code_key
from stackfluence.snapshot import CONNECTION, decode_connection
from stackfluence.vault import HookVault
from stackfluence.vocabulary import ConnectionVendor
from tests.catalog.samples import AT_MS, EdgeCopy, a_brand

OLD, NEW = b"Wn3xR8vQ1kZ6tM0yLb5CjF2hDs9PgKeU", b"q9Zr4TvK2mXw7Lc0HsBn5JpYd8EfGuAx"
DAY = 86_400_000


async def connect(catalog: Catalog, organization_id: str, vault: HookVault, account: str = "Main") -> Connection:
    async with catalog.writing("key:key_1", AT_MS) as change:
        row = await change.add_connection(organization_id, ConnectionVendor.stripe, account)
        row.hook_secrets = vault.encrypt(["whsec_abcdefgh"], row.id)
        row.status = "active"
    return row


async def test_edges_are_told_a_connection_with_its_secrets_still_encrypted(catalog: Catalog) -> None:
    brand, edge, vault = await a_brand(catalog), EdgeCopy(), HookVault({1: OLD})
    await edge.poll(catalog)
    row = await connect(catalog, brand.organization_id, vault)
    (told,) = await edge.poll(catalog)
    assert told.value is not None
    assert b"whsec" not in told.value
    seen = decode_connection(told.value)
    assert (told.space, told.key, seen.id) == (CONNECTION, row.id.encode(), row.id)
    assert (seen.organization_id, seen.vendor, seen.account) == (brand.organization_id, "stripe", "Main")
    assert seen.status == "active"
    assert vault.decrypt(seen.hook_secrets, seen.id) == ["whsec_abcdefgh"]
    async with catalog.writing("cli") as change:
        kept = await find_one(change.session, Connection, brand.organization_id, row.id)
        kept.credentials, kept.settings = b"tokens that were renewed", {"hooks": 4}
    assert await edge.poll(catalog) == [], "what edges don't need tells them nothing"
    async with catalog.writing("cli") as change:
        kept = await find_one(change.session, Connection, brand.organization_id, row.id)
        kept.status = "disconnected"
    (told,) = await edge.poll(catalog)
    assert told.value is not None
    assert decode_connection(told.value).status == "disconnected"


async def test_no_secret_is_in_the_audit_log(catalog: Catalog) -> None:
    brand = await a_brand(catalog)
    row = await connect(catalog, brand.organization_id, HookVault({1: OLD}))
    async with catalog.writing("system") as change:
        kept = await find_one(change.session, Connection, brand.organization_id, row.id)
        kept.credentials = b"tokens that were renewed"
    async with catalog.reading() as session:
        entries = list(await session.scalars(select(AuditEntry).where(AuditEntry.subject_id == row.id)))
    assert [entry.action for entry in entries] == ["connection.created", "connection.changed"]
    for entry in entries:
        assert not {"hook_secrets", "credentials"} & {*(entry.before or {}), *(entry.after or {})}


async def test_an_account_is_connected_once_in_an_organization(catalog: Catalog) -> None:
    brand, other = await a_brand(catalog), await a_brand(catalog, handle="noah")
    async with catalog.writing("cli") as change:
        first = await change.add_connection(brand.organization_id, ConnectionVendor.shopify, "Brand.myshopify.com ")
        assert (first.account, first.status) == ("brand.myshopify.com", "pending")
        await change.add_connection(other.organization_id, ConnectionVendor.shopify, "brand.myshopify.com")
        await change.add_connection(brand.organization_id, ConnectionVendor.stripe, "brand.myshopify.com")
        with pytest.raises(Conflict) as refused:
            await change.add_connection(brand.organization_id, ConnectionVendor.shopify, "brand.myshopify.com")
        assert refused.value.extra == {"connection_id": first.id}


@pytest.mark.parametrize(
    "account",
    ["", "brand", "brand.example", "brand.myshopify.com.evil.example", "-a.myshopify.com", "a/b.myshopify.com"],
)
async def test_only_a_shops_own_domain_is_a_shopify_account(catalog: Catalog, account: str) -> None:
    brand = await a_brand(catalog)
    with pytest.raises(Invalid):
        async with catalog.writing("cli") as change:
            await change.add_connection(brand.organization_id, ConnectionVendor.shopify, account)


async def test_hook_secrets_follow_the_secret_that_signs(catalog: Catalog, caplog: pytest.LogCaptureFixture) -> None:
    brand, edge = await a_brand(catalog), EdgeCopy()
    row = await connect(catalog, brand.organization_id, HookVault({1: OLD}))
    lost = await connect(catalog, brand.organization_id, HookVault({9: NEW}), "Lost")
    async with catalog.writing("cli") as change:
        await change.add_connection(brand.organization_id, ConnectionVendor.stripe, "Empty")
    await edge.poll(catalog)
    rotated = HookVault({2: NEW, 1: OLD})
    assert await count_hook_secrets(catalog, rotated) == (2, 2, 1)
    assert await renew_hook_secrets(catalog, rotated) == 1
    assert [record.message for record in caplog.records] == ["hook_secrets_lost"]
    assert await count_hook_secrets(catalog, rotated) == (2, 1, 1)
    (told,) = await edge.poll(catalog)
    assert told.value is not None
    assert HookVault({2: NEW}).decrypt(decode_connection(told.value).hook_secrets, row.id) == ["whsec_abcdefgh"]
    assert await renew_hook_secrets(catalog, HookVault({2: NEW, 9: NEW})) == 1, "and the lost one, when its key is back"
    assert await renew_hook_secrets(catalog, HookVault({2: NEW})) == 0
    assert {told.key for told in await edge.poll(catalog)} == {lost.id.encode()}


@given(st.text(max_size=60))
def test_a_codes_key_is_the_same_however_often_and_in_whichever_case_it_is_made(text: str) -> None:
    key = code_key(text)
    assert code_key(key) == key
    assert code_key(f"  {text}\t") == key


@pytest.mark.parametrize(
    ("text", "key"), [("EMMA15", "emma15"), ("ＥＭＭＡ１５", "emma15"), (" Straße ", "strasse"), ("A-B_", "a-b_")]
)
def test_a_code_is_compared_without_case_width_and_outer_spaces(text: str, key: str) -> None:
    code = Code(code=text)
    assert (code.code, code.code_key) == (text.strip(), key)


@pytest.mark.parametrize("text", ["", "  ", "a" * 101, "a\nb", "a\0b", "\u200b"])
def test_a_code_that_nobody_can_type_is_refused(text: str) -> None:
    with pytest.raises(Invalid):
        Code(code=text)


def period(starts_at: int | None, ends_at: int | None) -> Code:
    return Code(code="X", starts_at=starts_at, ends_at=ends_at)


def test_periods_overlap_when_they_share_a_moment() -> None:
    bounds: list[int | None] = [None, 1, 2, 3]
    periods = [(start, end) for start in bounds for end in bounds if start is None or end is None or start < end]
    for first, second in itertools.product(periods, repeat=2):
        shared = {moment for moment in range(5) if all(is_in(moment, each) for each in (first, second))}
        assert overlap(period(*first), period(*second)) == bool(shared), (first, second)


def is_in(moment: int, bounds: tuple[int | None, int | None]) -> bool:
    start, end = bounds
    return (start is None or start <= moment) and (end is None or moment < end)


async def test_a_code_names_one_creator_at_any_moment(catalog: Catalog) -> None:
    brand, other = await a_brand(catalog), await a_brand(catalog, handle="noah")
    async with catalog.writing("cli") as change:
        anna = await change.add_creator(brand.organization_id, "anna")
        first = await change.add_code(brand.organization_id, "EMMA15", brand.creator.id, ends_at=AT_MS)
        await change.add_code(brand.organization_id, "emma15", anna.id, starts_at=AT_MS, ends_at=AT_MS + DAY)
        await change.add_code(brand.organization_id, "Emma15", brand.creator.id, starts_at=AT_MS + DAY)
        await change.add_code(other.organization_id, "EMMA15", other.creator.id)
        for starts_at, ends_at in ((None, None), (AT_MS - 1, AT_MS), (None, 1), (AT_MS + DAY, None)):
            with pytest.raises(Conflict):
                await change.add_code(brand.organization_id, "ｅmma15", anna.id, starts_at=starts_at, ends_at=ends_at)
        with pytest.raises(Conflict) as refused:
            await change.add_code(brand.organization_id, "EMMA15", brand.creator.id, ends_at=AT_MS)
        assert refused.value.extra == {"code_id": first.id, "creator_id": brand.creator.id}
        with pytest.raises(Invalid):
            await change.add_code(brand.organization_id, "LATE", anna.id, starts_at=2, ends_at=2)


async def test_of_two_who_give_one_code_away_at_once_one_is_refused(catalog: Catalog) -> None:
    brand = await a_brand(catalog)

    async def give() -> None:
        async with catalog.writing("cli") as change:
            await change.add_code(brand.organization_id, "EMMA15", brand.creator.id)

    outcomes = await asyncio.gather(*(give() for _ in range(5)), return_exceptions=True)
    assert sorted(type(outcome).__name__ for outcome in outcomes) == [*["Conflict"] * 4, "NoneType"]
    async with catalog.reading() as session:
        assert len(list(await session.scalars(select(Code)))) == 1


async def test_a_code_of_anothers_creator_or_campaign_is_refused(catalog: Catalog) -> None:
    brand, other = await a_brand(catalog), await a_brand(catalog, handle="noah")
    for creator, campaign in ((other.creator, None), (brand.creator, other.campaign)):
        with pytest.raises(Conflict):
            async with catalog.writing("cli") as change:
                await change.add_code(brand.organization_id, "X", creator.id, campaign.id if campaign else None)


async def test_a_statement_that_fails_tells_no_secret_that_was_given_to_it(catalog: Catalog) -> None:
    with pytest.raises(DBAPIError) as failed:
        async with catalog.snapshot() as connection:
            await connection.execute(text("select * from nowhere where name = :name"), {"name": "Emma's address"})
    assert "nowhere" in str(failed.value)
    assert "Emma" not in str(failed.value)
