"""What edges are told, and that nothing is told twice or kept from them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Any

from sqlalchemy import select, text

from stackfluence.catalog import Catalog, changes_since, ensure_salts, find_key, find_link, find_one, key_hash
from stackfluence.catalog.feed import CHUNK_ROWS, _link_queries
from stackfluence.catalog.tables import Campaign, Creator, Host, Key, Link, Organization, Post
from stackfluence.names import link_key
from stackfluence.snapshot import (
    HOST,
    KEY,
    LINK,
    ORGANIZATION,
    SALT,
    decode_host,
    decode_key,
    decode_link,
    decode_organization,
)
from stackfluence.vocabulary import KeyKind
from tests.catalog.samples import AT_MS, Brand, EdgeCopy, a_brand, add_link


async def _edit(catalog: Catalog, kind: type[Any], brand: Brand, identifier: str, edit: Callable[[Any], None]) -> None:
    async with catalog.writing("cli") as change:
        edit(await find_one(change.session, kind, brand.organization_id, identifier))


async def test_a_fresh_edge_is_told_everything_once(catalog: Catalog) -> None:
    edge = EdgeCopy()
    assert await edge.poll(catalog) == []
    brand = await a_brand(catalog)
    async with catalog.writing("cli") as change:
        await change.add_host(brand.organization_id, "go.brand.example")
        await change.add_host(None, "links.example")
        post = await change.add_post(brand.creator, brand.campaign, "reel", platform="tiktok")
        campaign = await find_one(change.session, Campaign, brand.organization_id, brand.campaign.id)
        campaign.starts_at, campaign.ends_at, campaign.fallback_url = AT_MS, AT_MS + 9, "https://brand.example/over"
        link = await change.add(brand.link("reel", host="go.brand.example", post_id=post.id, is_test=True, kind="paid"))
    await ensure_salts(catalog, date(2026, 11, 22))
    rows = await edge.poll(catalog)
    assert len(rows) == len(edge.rows) == 10
    told = decode_link(edge.rows[LINK, link_key("go.brand.example", "emma", "summer", "reel")])
    assert (told.id, told.organization_id, told.creator_id) == (link.id, brand.organization_id, brand.creator.id)
    assert (told.campaign_id, told.asset_slug, told.destination_url) == (
        brand.campaign.id,
        "reel",
        link.destination_url,
    )
    assert (told.status, told.kind, told.is_test, told.platform) == ("active", "paid", True, "tiktok")
    assert (told.expires_at_ms, told.starts_at_ms, told.ends_at_ms) == (None, AT_MS, AT_MS + 9)
    assert (told.fallback_url, told.creator_handle, told.campaign_slug) == (
        "https://brand.example/over",
        "emma",
        "summer",
    )
    publishable = decode_key(edge.rows[KEY, key_hash(brand.keys.publishable_key)])
    assert (publishable.kind, publishable.revoked, publishable.allowed_origins) == ("publishable", False, [])
    assert decode_key(edge.rows[KEY, key_hash(brand.keys.secret_key)]).kind == "secret"
    assert decode_key(edge.rows[KEY, brand.organization_id.encode()]).kind == "publishable"
    organization = decode_organization(edge.rows[ORGANIZATION, brand.organization_id.encode()])
    assert (organization.id, organization.currency) == (brand.organization_id, "EUR")
    assert decode_host(edge.rows[HOST, b"go.brand.example"]).organization_id == brand.organization_id
    assert decode_host(edge.rows[HOST, b"links.example"]).is_default
    assert edge.keys(SALT) == {b"2026-11-22", b"2026-11-23", b"2026-11-24"}
    assert await edge.poll(catalog) == []
    assert edge.resets == 1


async def test_one_edit_tells_one_row(catalog: Catalog) -> None:
    brand, edge = await a_brand(catalog), EdgeCopy()
    made = await add_link(catalog, brand.link("reel"))
    await add_link(catalog, brand.link("reel-2"))
    await edge.poll(catalog)
    await _edit(catalog, Link, brand, made.id, lambda link: setattr(link, "status", "paused"))
    (row,) = await edge.poll(catalog)
    assert row.key == link_key("", "emma", "summer", "reel")
    assert row.value == await find_link(catalog, "", "emma", "summer", "reel")
    assert row.value is not None
    assert decode_link(row.value).status == "paused"


async def test_edits_that_no_edge_needs_tell_nothing(catalog: Catalog) -> None:
    brand, edge = await a_brand(catalog), EdgeCopy()
    made = await add_link(catalog, brand.link("reel"))
    await edge.poll(catalog)
    await _edit(catalog, Link, brand, made.id, lambda link: setattr(link, "tags", ["late"]))
    await _edit(catalog, Creator, brand, brand.creator.id, lambda creator: setattr(creator, "name", "Emma B."))
    await _edit(catalog, Organization, brand, brand.organization_id, lambda row: setattr(row, "name", "Brand GmbH"))
    assert await edge.poll(catalog) == []
    assert edge.revision == await catalog.current_revision()


async def test_a_campaigns_and_a_posts_edit_tell_their_links(catalog: Catalog) -> None:
    brand, edge = await a_brand(catalog), EdgeCopy()
    async with catalog.writing("cli") as change:
        post = await change.add_post(brand.creator, brand.campaign, "reel")
        await change.add(brand.link("reel", post_id=post.id, fallback_url="https://brand.example/own"))
        await change.add(brand.link("reel-2"))
    await edge.poll(catalog)
    await _edit(
        catalog, Campaign, brand, brand.campaign.id, lambda row: setattr(row, "fallback_url", "https://brand.example/c")
    )
    rows = await edge.poll(catalog)
    assert {decode_link(row.value).fallback_url for row in rows if row.value} == {
        "https://brand.example/own",
        "https://brand.example/c",
    }
    await _edit(catalog, Post, brand, post.id, lambda row: setattr(row, "platform", "youtube"))
    (row,) = await edge.poll(catalog)
    assert row.value is not None
    assert decode_link(row.value).platform == "youtube"


async def test_each_handle_of_a_creator_is_a_key_of_each_of_their_links(catalog: Catalog) -> None:
    brand, edge = await a_brand(catalog), EdgeCopy()
    await add_link(catalog, brand.link("reel"))
    await add_link(catalog, brand.link())
    await edge.poll(catalog)
    async with catalog.writing("cli") as change:
        creator = await find_one(change.session, Creator, brand.organization_id, brand.creator.id)
        await change.add_alias(creator, "emmy")
    assert len(await edge.poll(catalog)) == 4
    assert edge.keys(LINK) == {
        link_key("", handle, "summer", asset) for handle in ("emma", "emmy") for asset in ("", "reel")
    }
    async with catalog.writing("cli") as change:
        creator = await find_one(change.session, Creator, brand.organization_id, brand.creator.id)
        await change.rename_creator(creator, "emma.b")
    await edge.poll(catalog)
    assert len(edge.keys(LINK)) == 6
    assert {decode_link(edge.rows[LINK, key]).creator_handle for key in edge.keys(LINK)} == {"emma.b"}


async def test_what_moved_or_went_is_removed_and_what_came_back_is_there(catalog: Catalog) -> None:
    brand, edge = await a_brand(catalog), EdgeCopy()
    one, two = await add_link(catalog, brand.link("one")), await add_link(catalog, brand.link("two"))
    await edge.poll(catalog)
    async with catalog.writing("cli") as change:
        link = await find_one(change.session, Link, brand.organization_id, one.id)
        link.asset_slug = "moved"
        await change.delete(await find_one(change.session, Link, brand.organization_id, two.id))
    again = await add_link(catalog, brand.link("two"))
    await edge.poll(catalog)
    assert edge.keys(LINK) == {link_key("", "emma", "summer", asset) for asset in ("moved", "two")}
    assert decode_link(edge.rows[LINK, link_key("", "emma", "summer", "two")]).id == again.id
    await _edit(catalog, Campaign, brand, brand.campaign.id, lambda row: setattr(row, "slug", "winter"))
    await edge.poll(catalog)
    assert edge.keys(LINK) == {link_key("", "emma", "winter", asset) for asset in ("moved", "two")}
    fresh = EdgeCopy()
    await fresh.poll(catalog)
    assert fresh.rows == edge.rows


async def test_a_host_that_went_is_removed(catalog: Catalog) -> None:
    brand, edge = await a_brand(catalog), EdgeCopy()
    async with catalog.writing("cli") as change:
        host = await change.add_host(brand.organization_id, "go.brand.example")
    await edge.poll(catalog)
    async with catalog.writing("cli") as change:
        await change.delete_host(await find_one(change.session, Host, brand.organization_id, host.id))
    await edge.poll(catalog)
    assert edge.keys(HOST) == set()


async def test_the_bare_organization_id_is_as_good_as_its_live_publishable_keys(catalog: Catalog) -> None:
    brand, edge = await a_brand(catalog), EdgeCopy()
    bare = (KEY, brand.organization_id.encode())
    async with catalog.writing("cli") as change:
        first = await find_key(change.session, brand.keys.publishable_key)
        assert first is not None
        first.allowed_origins = ["https://a.brand.example"]
        second, _ = await change.add_key(
            brand.organization_id, KeyKind.publishable, "b", ["https://b.brand.example", "https://a.brand.example"]
        )
    await edge.poll(catalog)
    assert decode_key(edge.rows[bare]).allowed_origins == ["https://a.brand.example", "https://b.brand.example"]
    await _edit(catalog, Key, brand, second.id, lambda key: setattr(key, "allowed_origins", []))
    await edge.poll(catalog)
    assert decode_key(edge.rows[bare]).allowed_origins == []
    async with catalog.writing("cli", AT_MS) as change:
        for key in await change.session.scalars(select(Key).where(Key.kind == "publishable")):
            await change.revoke_key(key)
    await edge.poll(catalog)
    assert decode_key(edge.rows[bare]).revoked
    assert decode_key(edge.rows[KEY, key_hash(brand.keys.publishable_key)]).revoked
    assert not decode_key(edge.rows[KEY, key_hash(brand.keys.secret_key)]).revoked


async def test_an_edge_ahead_of_a_restored_catalog_starts_over(catalog: Catalog) -> None:
    await a_brand(catalog)
    edge = EdgeCopy()
    edge.revision, edge.rows = 99, {(LINK, b"gone"): b""}
    await edge.poll(catalog)
    assert edge.resets == 1
    assert (LINK, b"gone") not in edge.rows
    assert edge.revision == await catalog.current_revision()


async def test_chunks_stay_small_and_together_are_complete(catalog: Catalog) -> None:
    brand = await a_brand(catalog)
    async with catalog.writing("cli") as change:
        await change.add_links([brand.link(f"a{number}") for number in range(CHUNK_ROWS + 500)])
    sizes = [len(chunk.rows) async for chunk in changes_since(catalog, 0)]
    assert max(sizes) == CHUNK_ROWS
    assert sum(sizes) == CHUNK_ROWS + 500 + 4
    assert len({chunk.revision async for chunk in changes_since(catalog, 1)}) == 1


async def test_many_organizations_are_told_in_chunks(catalog: Catalog) -> None:
    """The bare ids are put together from several rows each; none may fall between two chunks."""
    async with catalog.writing("cli") as change:
        organizations = [
            Organization(name=f"Brand {number}", currency="EUR", accounting_time_zone="UTC") for number in range(1200)
        ]
        change.session.add_all(organizations)
        await change.session.flush()
        change.session.add_all(
            Key(
                organization_id=organization.id,
                kind="publishable",
                name=f"{number}",
                prefix="sf_pub_",
                last_four="0000",
                key_hash=key_hash(f"{organization.id} {number}").hex(),
                allowed_origins=[f"https://{number}.example"],
            )
            for organization in organizations
            for number in range(2)
        )
    edge = EdgeCopy()
    await edge.poll(catalog)
    bare = {
        decode_key(edge.rows[KEY, row.id.encode()]).allowed_origins == ["https://0.example", "https://1.example"]
        for row in organizations
    }
    assert bare == {True}


async def test_a_small_change_is_found_without_reading_every_link(sqlite_url: str) -> None:
    """Each query starts at an index on `revision`; none scans a table."""
    from sqlalchemy.dialects import sqlite

    from stackfluence.catalog import open_catalog

    catalog = open_catalog(sqlite_url)
    async with catalog.snapshot() as connection:
        for query in _link_queries(since=5):
            compiled = query.compile(dialect=sqlite.dialect(), compile_kwargs={"literal_binds": True})
            plan = await connection.execute(text(f"EXPLAIN QUERY PLAN {compiled}"))
            steps = [str(row.detail) for row in plan]
            assert not [step for step in steps if step.startswith("SCAN")], steps
    await catalog.close()


async def test_a_catalog_with_another_history_is_told_whole(catalog: Catalog) -> None:
    async with catalog.writing("test") as change:
        await change.add_organization("Brand", "EUR", "Europe/Berlin")
    seen = [chunk async for chunk in changes_since(catalog, 0)][-1]
    assert [chunk async for chunk in changes_since(catalog, seen.revision, seen.lineage)] == []
    restored = [chunk async for chunk in changes_since(catalog, seen.revision, "another")]
    assert restored[0].is_reset
    async with catalog.writing("test") as change:
        await change.add_organization("Other", "EUR", "Europe/Berlin")
    grown = [chunk async for chunk in changes_since(catalog, seen.revision, "another")]
    assert grown[0].is_reset
    assert grown[-1].lineage not in ("", seen.lineage)
    chunks = [chunk async for chunk in changes_since(catalog, seen.revision, seen.lineage)]
    assert not chunks[0].is_reset
