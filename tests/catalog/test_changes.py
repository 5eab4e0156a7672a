"""What can be added, what is refused, and what a handle means over the years."""

from __future__ import annotations

import pytest
from sqlalchemy import func, insert, select
from sqlalchemy.exc import IntegrityError

from stackfluence.catalog import (
    Catalog,
    find_key,
    find_link,
    find_one,
    key_hash,
    resolve_creator,
)
from stackfluence.catalog.books import LinkPath
from stackfluence.catalog.tables import Campaign, Creator, Key, Link, Organization
from stackfluence.errors import Conflict, Invalid, NotFound
from stackfluence.names import id_bytes
from stackfluence.snapshot import decode_link
from stackfluence.vocabulary import KeyKind
from tests.catalog.samples import AT_MS, a_brand, add_link


async def test_a_new_organization_gets_both_keys_of_which_only_hashes_are_stored(catalog: Catalog) -> None:
    brand = await a_brand(catalog)
    assert len(id_bytes(brand.organization_id)) == 4
    async with catalog.reading() as session:
        organization = await find_one(session, Organization, brand.organization_id, brand.organization_id)
        keys = {key.kind: key for key in await session.scalars(select(Key))}
        found = await find_key(session, brand.keys.secret_key)
        assert await find_key(session, brand.keys.secret_key + "x") is None
    assert (organization.currency, organization.created_at) == ("EUR", AT_MS)
    assert found is not None
    assert found.id == keys["secret"].id
    for text, key in ((brand.keys.secret_key, keys["secret"]), (brand.keys.publishable_key, keys["publishable"])):
        assert text.startswith(key.prefix)
        assert text.endswith(key.last_four)
        assert key.key_hash == key_hash(text).hex()
        assert text[7:-4] not in str(vars(key))


async def test_a_revoked_key_is_found_no_more(catalog: Catalog) -> None:
    brand = await a_brand(catalog)
    async with catalog.writing("cli") as change:
        key = await find_key(change.session, brand.keys.secret_key)
        assert key is not None
        await change.revoke_key(key)
    async with catalog.reading() as session:
        assert await find_key(session, brand.keys.secret_key) is None


async def test_a_link_has_the_columns_it_was_given_and_an_id_of_48_bits(catalog: Catalog) -> None:
    brand = await a_brand(catalog)
    made = await add_link(catalog, brand.link("Reel-1", tags=["story", "story", "eu"], expires_at=AT_MS + 5))
    async with catalog.reading() as session:
        link = await find_one(session, Link, brand.organization_id, made.id)
    assert len(id_bytes(link.id)) == 6
    assert (link.asset_slug, link.tags, link.status, link.kind) == ("reel-1", ["story", "eu"], "active", "organic")
    assert (link.created_at, link.updated_at, link.expires_at) == (AT_MS, AT_MS, AT_MS + 5)


async def test_an_edit_moves_updated_at_and_nothing_else(catalog: Catalog) -> None:
    brand = await a_brand(catalog)
    made = await add_link(catalog, brand.link())
    async with catalog.writing("cli", AT_MS + 7) as change:
        link = await find_one(change.session, Link, brand.organization_id, made.id)
        link.status = "paused"
    async with catalog.reading() as session:
        link = await find_one(session, Link, brand.organization_id, made.id)
    assert (link.status, link.created_at, link.updated_at) == ("paused", AT_MS, AT_MS + 7)


@pytest.mark.parametrize(
    "typed",
    [
        ("emma", "summer", "reel"),
        ("EMMA", "Summer.", "reel!"),
        ("ｅｍｍａ", "summer", "REEL)"),
        ("emma.b", "summer", "reel,"),
    ],
)
async def test_a_link_is_found_however_its_path_is_typed(catalog: Catalog, typed: tuple[str, str, str]) -> None:
    brand = await a_brand(catalog, "Emma", "SUMMER")
    async with catalog.writing("cli") as change:
        creator = await find_one(change.session, Creator, brand.organization_id, brand.creator.id)
        await change.add_alias(creator, "Emma.B")
    made = await add_link(catalog, brand.link("reel"))
    value = await find_link(catalog, "", *typed)
    assert value is not None
    link = decode_link(value)
    assert (link.id, link.creator_handle, link.campaign_slug) == (made.id, "emma", "summer")
    assert await find_link(catalog, "", "emma", "summer") is None
    assert await find_link(catalog, "", "emma\0summer", "reel") is None


async def test_links_are_unique_by_folded_path(catalog: Catalog) -> None:
    brand = await a_brand(catalog)
    await add_link(catalog, brand.link("reel"))
    with pytest.raises(Conflict):
        await add_link(catalog, brand.link("REEL."))
    assert (await add_link(catalog, brand.link("reel-2"))).asset_slug == "reel-2"


async def test_links_are_unique_across_organizations_on_the_shared_host_only(catalog: Catalog) -> None:
    first, second = await a_brand(catalog), await a_brand(catalog)
    await add_link(catalog, first.link("reel"))
    with pytest.raises(Conflict) as refused:
        await add_link(catalog, second.link("reel"))
    assert refused.value.extra == {"paths": ["emma/summer/reel"]}
    async with catalog.writing("cli") as change:
        await change.add_host(second.organization_id, "GO.Brand.example.")
    made = await add_link(catalog, second.link("reel", host="go.brand.example"))
    value = await find_link(catalog, "go.brand.example", "emma", "summer", "reel")
    assert value is not None
    assert decode_link(value).id == made.id


async def test_an_old_handle_keeps_resolving_and_keeps_its_links(catalog: Catalog) -> None:
    brand = await a_brand(catalog)
    made = await add_link(catalog, brand.link("reel"))
    async with catalog.writing("cli") as change:
        creator = await find_one(change.session, Creator, brand.organization_id, brand.creator.id)
        await change.rename_creator(creator, "emma.official")
    later = await add_link(catalog, brand.link("reel-2"))
    for handle in ("emma", "emma.official"):
        async with catalog.reading() as session:
            found = await resolve_creator(session, brand.organization_id, handle)
        assert found is not None
        assert (found.id, found.handle) == (brand.creator.id, "emma.official")
        for asset, link in (("reel", made), ("reel-2", later)):
            value = await find_link(catalog, "", handle, "summer", asset)
            assert value is not None
            assert (decode_link(value).id, decode_link(value).creator_handle) == (link.id, "emma.official")


async def test_a_handle_that_was_anothers_is_refused_and_ones_own_is_taken_back(catalog: Catalog) -> None:
    brand = await a_brand(catalog)
    async with catalog.writing("cli") as change:
        creator = await find_one(change.session, Creator, brand.organization_id, brand.creator.id)
        await change.rename_creator(creator, "emma.b")
        with pytest.raises(Conflict):
            await change.add_creator(brand.organization_id, "EMMA")
        other = await change.add_creator(brand.organization_id, "noah")
        with pytest.raises(Conflict):
            await change.add_alias(other, "emma.b")
        await change.rename_creator(creator, "emma")
        await change.add_alias(creator, "emma")
        assert creator.handle == "emma"


async def test_a_new_handle_may_not_take_over_anothers_link(catalog: Catalog) -> None:
    """On the shared host another organization's link may answer where the new handle would."""
    first, second = await a_brand(catalog, "emma"), await a_brand(catalog, "noah")
    await add_link(catalog, first.link("reel"))
    await add_link(catalog, second.link("reel"))
    async with catalog.writing("cli") as change:
        creator = await find_one(change.session, Creator, second.organization_id, second.creator.id)
        with pytest.raises(Conflict):
            await change.rename_creator(creator, "emma")
        await change.session.rollback()
    assert await find_link(catalog, "", "noah", "summer", "reel") is not None


async def test_renaming_a_campaign_moves_its_links(catalog: Catalog) -> None:
    brand = await a_brand(catalog)
    await add_link(catalog, brand.link("reel"))
    async with catalog.writing("cli") as change:
        campaign = await find_one(change.session, Campaign, brand.organization_id, brand.campaign.id)
        campaign.slug = "Summer-26"
    assert await find_link(catalog, "", "emma", "summer", "reel") is None
    value = await find_link(catalog, "", "emma", "summer-26", "reel")
    assert value is not None
    assert decode_link(value).campaign_slug == "summer-26"


async def test_a_deleted_link_answers_no_more_and_frees_its_path(catalog: Catalog) -> None:
    brand = await a_brand(catalog)
    made = await add_link(catalog, brand.link("reel"))
    async with catalog.writing("cli") as change:
        await change.delete(await find_one(change.session, Link, brand.organization_id, made.id))
    assert await find_link(catalog, "", "emma", "summer", "reel") is None
    assert (await add_link(catalog, brand.link("reel"))).id != made.id


async def test_two_links_swap_their_paths_in_one_change(catalog: Catalog) -> None:
    brand = await a_brand(catalog)
    one, two = await add_link(catalog, brand.link("one")), await add_link(catalog, brand.link("two"))
    async with catalog.writing("cli") as change:
        first = await find_one(change.session, Link, brand.organization_id, one.id)
        second = await find_one(change.session, Link, brand.organization_id, two.id)
        first.asset_slug = "parked"
        await change.session.flush()
        second.asset_slug = "one"
        await change.session.flush()
        first.asset_slug = "two"
    value = await find_link(catalog, "", "emma", "summer", "one")
    assert value is not None
    assert decode_link(value).id == two.id
    assert await find_link(catalog, "", "emma", "summer", "parked") is None


async def test_an_import_learns_which_of_its_lines_are_taken(catalog: Catalog) -> None:
    brand = await a_brand(catalog)
    await add_link(catalog, brand.link("reel"))
    lines = [brand.link("new"), brand.link("reel"), brand.link("New!"), brand.link("other")]
    async with catalog.writing("cli") as change:
        assert await change.taken(lines) == [1, 2]
        await change.add_links([lines[0], lines[3]])
    async with catalog.reading() as session:
        assert await session.scalar(select(func.count()).select_from(LinkPath)) == 3


async def test_what_another_organization_owns_is_not_found(catalog: Catalog) -> None:
    first, second = await a_brand(catalog), await a_brand(catalog, "noah")
    async with catalog.reading() as session:
        with pytest.raises(NotFound):
            await find_one(session, Creator, second.organization_id, first.creator.id)
        with pytest.raises(NotFound):
            await find_one(session, Creator, second.organization_id, "crt_0000000000")
        assert await resolve_creator(session, second.organization_id, "emma") is None


async def test_a_link_cannot_join_two_organizations(catalog: Catalog) -> None:
    """The database itself refuses, whatever the code above forgot."""
    first, second = await a_brand(catalog), await a_brand(catalog, "noah")
    with pytest.raises(Conflict):
        await add_link(catalog, first.link("reel", creator_id=second.creator.id))
    with pytest.raises(Conflict):
        await add_link(catalog, first.link("reel", campaign_id=second.campaign.id))
    ids = {"id": "lnk_0", "organization_id": first.organization_id, "creator_id": second.creator.id}
    row = {"campaign_id": first.campaign.id, "destination_url": "https://x.example"}
    times = {"created_at": 1, "updated_at": 1, "revision": 1}

    async def bypass() -> None:
        async with catalog.transaction() as connection:
            await connection.execute(insert(Link).values(ids | row | times))

    with pytest.raises(IntegrityError):
        await bypass()


async def test_a_link_answers_only_on_its_organizations_own_hosts(catalog: Catalog) -> None:
    first, second = await a_brand(catalog), await a_brand(catalog, "noah")
    async with catalog.writing("cli") as change:
        await change.add_host(first.organization_id, "go.brand.example")
        await change.add_host(None, "links.example")
    for host in ("go.brand.example", "links.example", "unknown.example"):
        with pytest.raises(Invalid):
            await add_link(catalog, second.link(host=host))


async def test_a_host_has_one_owner_and_stays_while_links_answer_on_it(catalog: Catalog) -> None:
    brand = await a_brand(catalog)
    async with catalog.writing("cli") as change:
        host = await change.add_host(brand.organization_id, "go.brand.example")
        with pytest.raises(Conflict):
            await change.add_host(None, "GO.brand.example")
        link = await change.add(brand.link(host="go.brand.example"))
        with pytest.raises(Conflict):
            await change.delete_host(host)
        await change.delete(link)
        await change.delete_host(host)


async def test_a_post_belongs_to_its_creator_and_campaign_once(catalog: Catalog) -> None:
    brand = await a_brand(catalog)
    async with catalog.writing("cli") as change:
        post = await change.add_post(brand.creator, brand.campaign, "Reel", platform="Instagram", published_at=AT_MS)
        assert (post.asset_slug, post.platform) == ("reel", "instagram")
        with pytest.raises(Invalid):
            await change.add_post(brand.creator, brand.campaign, "b", boost_starts_at=2, boost_ends_at=1)
    with pytest.raises(Conflict):
        async with catalog.writing("cli") as change:
            await change.add_post(brand.creator, brand.campaign, "reel.")


async def test_nothing_of_a_change_that_failed_is_kept(catalog: Catalog) -> None:
    brand = await a_brand(catalog)
    before = await catalog.current_revision()

    async def fail() -> None:
        async with catalog.writing("cli") as change:
            await change.add_creator(brand.organization_id, "noah")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    async with catalog.reading() as session:
        assert await resolve_creator(session, brand.organization_id, "noah") is None
    assert await catalog.current_revision() == before


async def test_an_idempotency_key_gives_the_same_answer_for_ever_and_refuses_another_request(catalog: Catalog) -> None:
    brand = await a_brand(catalog)
    async with catalog.writing("cli") as change:
        assert await change.earlier_answer(brand.organization_id, "k1", "hash") is None
        await change.remember_answer(brand.organization_id, "k1", "hash", 201, b'{"id":"lnk_1"}')
    async with catalog.writing("cli") as change:
        answer = await change.earlier_answer(brand.organization_id, "k1", "hash")
        assert answer is not None
        assert (answer.status, answer.body) == (201, b'{"id":"lnk_1"}')
        with pytest.raises(Conflict):
            await change.earlier_answer(brand.organization_id, "k1", "another hash")
    with pytest.raises(Conflict):
        async with catalog.writing("cli") as change:
            await change.remember_answer(brand.organization_id, "k1", "hash", 201, b"")


async def test_ids_that_are_taken_are_not_given_again(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    brand = await a_brand(catalog)
    drawn = iter([brand.organization_id, brand.organization_id, "org_000000z"])
    monkeypatch.setattr("stackfluence.catalog.recording.new_id", lambda prefix, size: next(drawn))
    async with catalog.writing("cli") as change:
        added = await change.add(Organization(name="Other", currency="USD", accounting_time_zone="UTC"))
    assert added.id == "org_000000z"


async def test_a_kept_key_of_the_browser_names_its_origins(catalog: Catalog) -> None:
    brand = await a_brand(catalog)
    async with catalog.writing("cli") as change:
        key, text = await change.add_key(
            brand.organization_id,
            KeyKind.publishable,
            "shop",
            ["https://Shop.Brand.example:443/", "http://localhost:3000"],
        )
    assert key.allowed_origins == ["http://localhost:3000", "https://shop.brand.example"]
    assert text.startswith("sf_pub_")
    assert len(text) == 50
