"""The sample organization: made once, continued afterwards."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from sqlalchemy import func, select

from stackfluence.catalog import find_key, open_catalog
from stackfluence.catalog.books import CatalogRevision
from stackfluence.catalog.tables import Base, Creator, Link, Post
from stackfluence.click.destination import Destination
from stackfluence.demo import contents, prepare
from stackfluence.demo.sample import FILE
from stackfluence.errors import SettingsError
from stackfluence.names import link_key
from stackfluence.settings import Settings
from tests.demo.samples import settings_in, snapshot_of


async def rows_of(settings: Settings) -> dict[str, int]:
    """Return how many rows each table of the catalog has, and the revision it is at."""
    catalog = open_catalog(settings.catalog_url)
    async with catalog.reading() as session:
        tables = Base.metadata.tables.values()
        counts = {
            table.name: int(await session.scalar(select(func.count()).select_from(table)) or 0) for table in tables
        }
        revision = await session.scalar(select(CatalogRevision.revision))
    await catalog.close()
    assert revision is not None
    return counts | {"revision": revision}


async def test_prepare_makes_the_organization_with_all_its_links(tmp_path: Path) -> None:
    sample = await prepare(settings_in(tmp_path))
    rows = await rows_of(settings_in(tmp_path))
    assert rows["organizations"] == 1
    assert rows["creators"] == len(contents.CREATORS)
    assert rows["campaigns"] == len(contents.CAMPAIGNS) == 3
    assert rows["codes"] == len(contents.CREATORS)
    assert rows["links"] == rows["posts"] == len(contents.LINKS) >= 30
    known = await snapshot_of(settings_in(tmp_path))
    assert known.organizations[sample.organization_id].currency == "USD"
    for link in sample.links:
        ready = known.find(link_key("", link.creator, link.campaign, link.asset))
        assert isinstance(ready, Destination), link.path
        assert ready.is_open(2_000_000_000_000) is not link.is_closed
        assert bool(ready.fallback) is bool(link.fallback_url or contents.FALLBACKS[link.campaign])
        assert b"utm_source=" + link.platform.encode() in ready.address(b"", b"")
    assert known.find(link_key("", "emma.glow", "night-serum", "bio")) is not None, "a former handle answers"


async def test_the_sample_has_a_link_of_every_special_kind(tmp_path: Path) -> None:
    links = (await prepare(settings_in(tmp_path))).links
    assert any(link.is_paused for link in links)
    assert any(link.is_expired and not link.leads_to_fallback for link in links)
    assert any(link.is_closed and link.leads_to_fallback for link in links)
    assert any(link.is_boosted for link in links)
    assert {"instagram", "tiktok", "youtube", "pinterest", "x", "newsletter"} <= {link.platform for link in links}


async def test_preparing_twice_makes_nothing_new(tmp_path: Path) -> None:
    first = await prepare(settings_in(tmp_path))
    before = await rows_of(settings_in(tmp_path))
    second = await prepare(settings_in(tmp_path))
    assert await rows_of(settings_in(tmp_path)) == before
    assert second.run == first.run + 1
    assert (second.organization_id, second.secret_key) == (first.organization_id, first.secret_key)
    assert second.publishable_key == first.publishable_key


async def test_the_keys_are_kept_where_nobody_else_can_read_them(tmp_path: Path) -> None:
    sample = await prepare(settings_in(tmp_path / "new"))
    path = tmp_path / "new" / FILE
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert sample.secret_key in path.read_text()
    path.chmod(0o644)
    with pytest.raises(SettingsError, match="chmod 600"):
        await prepare(settings_in(tmp_path / "new"))


async def test_the_shop_alone_may_send_with_the_publishable_key(tmp_path: Path) -> None:
    sample = await prepare(settings_in(tmp_path))
    known = await snapshot_of(settings_in(tmp_path))
    publishable = [key for key in known.keys.values() if key.kind == "publishable"]
    assert len(publishable) == 2, "the key itself, and the bare organization id"
    assert [key.allowed_origins for key in publishable] == [[sample.origin]] * 2


async def test_lost_keys_are_replaced_without_a_second_organization(tmp_path: Path) -> None:
    first = await prepare(settings_in(tmp_path))
    before = await rows_of(settings_in(tmp_path))
    (tmp_path / FILE).unlink()
    second = await prepare(settings_in(tmp_path))
    assert second.organization_id == first.organization_id
    assert second.secret_key != first.secret_key
    after = await rows_of(settings_in(tmp_path))
    assert after["keys"] == before["keys"] + 2
    for table in ("organizations", "creators", "campaigns", "posts", "links", "link_paths", "codes"):
        assert after[table] == before[table]
    catalog = open_catalog(settings_in(tmp_path).catalog_url)
    async with catalog.reading() as session:
        key = await find_key(session, second.secret_key)
    await catalog.close()
    assert key is not None
    assert key.organization_id == first.organization_id


async def test_what_somebody_renamed_stays_and_what_somebody_deleted_comes_back(tmp_path: Path) -> None:
    sample = await prepare(settings_in(tmp_path))
    catalog = open_catalog(settings_in(tmp_path).catalog_url)
    async with catalog.writing("a person") as change:
        found = await change.session.scalars(select(Creator).where(Creator.handle == "emma"))
        await change.rename_creator(found.one(), "emma-lind")
        link = (await change.session.scalars(select(Link).where(Link.asset_slug == "duet"))).one()
        post = (await change.session.scalars(select(Post).where(Post.asset_slug == "duet"))).one()
        await change.delete(link)
        await change.delete(post)
    await catalog.close()
    assert (await prepare(settings_in(tmp_path))).organization_id == sample.organization_id
    rows = await rows_of(settings_in(tmp_path))
    assert rows["creators"] == len(contents.CREATORS)
    assert rows["links"] == rows["posts"] == len(contents.LINKS)
