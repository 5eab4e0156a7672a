"""Every change is written down with who and when, beside it in the same transaction, and stays as written."""

from __future__ import annotations

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError

from stackfluence.catalog import Catalog, find_key, find_one
from stackfluence.catalog.books import AuditEntry
from stackfluence.catalog.tables import Creator, Key, Link
from tests.catalog.samples import AT_MS, a_brand, add_link


async def _entries(catalog: Catalog, subject_id: str) -> list[AuditEntry]:
    async with catalog.reading() as session:
        query = select(AuditEntry).where(AuditEntry.subject_id == subject_id).order_by(AuditEntry.id)
        return list(await session.scalars(query))


async def test_a_links_life_is_told_from_before_to_after(catalog: Catalog) -> None:
    brand = await a_brand(catalog)
    made = await add_link(catalog, brand.link("reel"))
    async with catalog.writing("key:key_1", AT_MS + 1) as change:
        link = await find_one(change.session, Link, brand.organization_id, made.id)
        link.status = "paused"
        link.tags = ["late"]
        await change.session.flush()
        link.status = "paused"
    async with catalog.writing("cli", AT_MS + 2) as change:
        await change.delete(await find_one(change.session, Link, brand.organization_id, made.id))
    created, changed, deleted = await _entries(catalog, made.id)
    assert [entry.action for entry in (created, changed, deleted)] == ["link.created", "link.changed", "link.deleted"]
    assert {entry.organization_id for entry in (created, changed, deleted)} == {brand.organization_id}
    assert created.before is None
    assert created.after == {
        "id": made.id,
        "organization_id": brand.organization_id,
        "creator_id": brand.creator.id,
        "campaign_id": brand.campaign.id,
        "asset_slug": "reel",
        "destination_url": "https://shop.brand.example/",
        "status": "active",
        "kind": "organic",
    }
    assert (changed.before, changed.after) == ({"status": "active", "tags": []}, {"status": "paused", "tags": ["late"]})
    assert (changed.actor, changed.at) == ("key:key_1", AT_MS + 1)
    assert deleted.after is None
    assert deleted.before == {**created.after, "status": "paused", "tags": ["late"]}


async def test_renaming_a_creator_names_both_handles(catalog: Catalog) -> None:
    brand = await a_brand(catalog)
    async with catalog.writing("cli") as change:
        creator = await find_one(change.session, Creator, brand.organization_id, brand.creator.id)
        await change.rename_creator(creator, "emma.b")
    entries = [(entry.action, entry.before, entry.after) for entry in await _entries(catalog, brand.creator.id)]
    assert ("creator.changed", {"handle": "emma"}, {"handle": "emma.b"}) in entries
    assert [action for action, _, _ in entries].count("creator_alias.created") == 2


async def test_keys_leave_no_secret_in_the_log(catalog: Catalog) -> None:
    brand = await a_brand(catalog)
    async with catalog.writing("cli", AT_MS) as change:
        key = await find_key(change.session, brand.keys.secret_key)
        assert key is not None
        await change.revoke_key(key)
        await change.revoke_key(key)
    created, revoked = await _entries(catalog, key.id)
    assert created.after is not None
    assert "key_hash" not in created.after
    assert (revoked.before, revoked.after) == ({"revoked_at": None}, {"revoked_at": AT_MS})


async def test_a_change_that_is_rolled_back_leaves_no_entry(catalog: Catalog) -> None:
    brand = await a_brand(catalog)
    link = brand.link("reel")

    async def fail() -> None:
        async with catalog.writing("cli") as change:
            await change.add(link)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert await _entries(catalog, link.id) == []


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_log SET actor = 'nobody'",
        "DELETE FROM audit_log",
        "DELETE FROM audit_log WHERE id = 1",
    ],
)
async def test_the_log_refuses_to_be_changed(catalog: Catalog, statement: str) -> None:
    await a_brand(catalog)
    with pytest.raises(DBAPIError, match="append-only"):
        async with catalog.transaction() as connection:
            await connection.execute(text(statement))
    async with catalog.reading() as session:
        assert (await session.scalars(select(AuditEntry.actor).distinct())).all() == ["cli"]


async def test_the_log_refuses_each_databases_own_way_around(catalog: Catalog) -> None:
    await a_brand(catalog)
    columns = "(id, at, actor, action, subject_type, subject_id) VALUES (1, 1, 'nobody', 'a', 'b', 'c')"
    statement = f"INSERT OR REPLACE INTO audit_log {columns}" if catalog.is_sqlite else "TRUNCATE audit_log"
    with pytest.raises(DBAPIError, match="append-only"):
        async with catalog.transaction() as connection:
            await connection.execute(text(statement))


async def test_every_audited_class_can_be_told_apart(catalog: Catalog) -> None:
    brand = await a_brand(catalog)
    async with catalog.writing("cli") as change:
        await change.add_host(brand.organization_id, "go.brand.example")
        await change.add_post(brand.creator, brand.campaign, "reel")
        await change.add(brand.link("reel"))
        assert Key.AUDITED_AS == "key"
    async with catalog.reading() as session:
        told = set(await session.scalars(select(AuditEntry.subject_type)))
    assert told == {"organization", "policy", "key", "host", "creator", "creator_alias", "campaign", "post", "link"}
