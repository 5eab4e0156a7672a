"""The sample organization in the catalog, made once; its id and keys stay in the data directory, mode 0600.

`prepare` looks what is there and adds what is missing, so that a second demo continues the first.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import msgspec
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from stackfluence.catalog import Catalog, Change, find_key, open_catalog, resolve_creator
from stackfluence.catalog.tables import Campaign, Creator, CreatorAlias, Link, Organization, Post
from stackfluence.demo import contents
from stackfluence.demo.contents import CAMPAIGNS, CREATORS, LINKS, SampleLink
from stackfluence.errors import SettingsError
from stackfluence.migrate import migrate
from stackfluence.settings import Settings
from stackfluence.vocabulary import KeyKind, LinkKind, LinkStatus

FILE = "demo.json"
ACTOR = "demo"
DAY_MS = 86_400_000
BOOST_DAYS = 7


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """The sample organization as a visitor's and a shop's side know it.

    `run` counts the demos of this data directory: ids that traffic makes up hold it, so that none comes twice.
    """

    organization_id: str
    publishable_key: str
    secret_key: str
    origin: str
    run: int
    links: tuple[SampleLink, ...] = LINKS


@dataclass(frozen=True, slots=True)
class _Keys:
    organization_id: str
    publishable_key: str
    secret_key: str


class _Kept(msgspec.Struct):
    organization_id: str
    publishable_key: str
    secret_key: str
    run: int


async def prepare(settings: Settings) -> Sample:
    """Make the sample organization, or what is missing of it, and return it; the run number grows by one each time.

    Brings the catalog's tables to this version first. Raises SettingsError when the kept keys can be read by others.
    """
    path = settings.data_path / FILE
    await migrate(settings.catalog_url)
    catalog = open_catalog(settings.catalog_url)
    try:
        kept = _read(path)
        if kept is None or not await _is_complete(catalog, kept):
            kept = await _complete(catalog, kept, path)
    finally:
        await catalog.close()
    kept = msgspec.structs.replace(kept, run=kept.run + 1)
    _write(path, kept)
    return Sample(
        organization_id=kept.organization_id,
        publishable_key=kept.publishable_key,
        secret_key=kept.secret_key,
        origin=contents.ORIGIN,
        run=kept.run,
    )


async def _is_complete(catalog: Catalog, kept: _Kept) -> bool:
    """Whether the kept keys are the organization's and every link is there, whatever people changed about it since."""
    async with catalog.reading() as session:
        for text in (kept.publishable_key, kept.secret_key):
            key = await find_key(session, text)
            if key is None or key.organization_id != kept.organization_id:
                return False
        return not await _missing(session, kept.organization_id)


async def _missing(session: AsyncSession, organization_id: str) -> list[SampleLink]:
    """Return the sample's links whose post isn't there; a creator or post may have been renamed or edited."""
    rows = await session.execute(
        select(CreatorAlias.handle, Campaign.slug, Post.asset_slug)
        .join(CreatorAlias, CreatorAlias.creator_id == Post.creator_id)
        .join(Campaign, Campaign.id == Post.campaign_id)
        .where(Post.organization_id == organization_id)
    )
    known = {(handle, slug, asset) for handle, slug, asset in rows}
    return [link for link in LINKS if (link.creator, link.campaign, link.asset) not in known]


async def _complete(catalog: Catalog, kept: _Kept | None, path: Path) -> _Kept:
    """Add all that is missing in one transaction; the keys are kept before it commits, or they would be lost."""
    async with catalog.writing(ACTOR) as change:
        keys = await _organization(change, kept)
        creators = {creator.handle: await _creator(change, keys.organization_id, creator) for creator in CREATORS}
        campaigns = {campaign.slug: await _campaign(change, keys.organization_id, campaign) for campaign in CAMPAIGNS}
        links = [
            await _link(change, creators[link.creator], campaigns[link.campaign], link)
            for link in await _missing(change.session, keys.organization_id)
        ]
        answered = set(await change.taken(links))
        await change.add_links([link for position, link in enumerate(links) if position not in answered])
        kept = _Kept(keys.organization_id, keys.publishable_key, keys.secret_key, kept.run if kept else 0)
        _write(path, kept)
    return kept


async def _organization(change: Change, kept: _Kept | None) -> _Keys:
    """Return the organization with keys that work: those kept, or fresh ones beside what is there."""
    session = change.session
    if kept is not None:
        known = [await find_key(session, text) for text in (kept.publishable_key, kept.secret_key)]
        if all(key is not None and key.organization_id == kept.organization_id for key in known):
            return _Keys(kept.organization_id, kept.publishable_key, kept.secret_key)
    found = await session.scalars(select(Organization).where(Organization.name == contents.NAME).limit(1))
    organization = found.one_or_none()
    if organization is None:
        made = await change.add_organization(contents.NAME, contents.CURRENCY, contents.TIME_ZONE)
        key = await find_key(session, made.publishable_key)
        assert key is not None
        key.allowed_origins = [contents.ORIGIN]
        return _Keys(made.organization_id, made.publishable_key, made.secret_key)
    _, publishable = await change.add_key(organization.id, KeyKind.publishable, "shop", [contents.ORIGIN])
    _, secret = await change.add_key(organization.id, KeyKind.secret, "shop's server")
    return _Keys(organization.id, publishable, secret)


async def _creator(change: Change, organization_id: str, sample: contents.SampleCreator) -> Creator:
    creator = await resolve_creator(change.session, organization_id, sample.handle)
    if creator is None:
        creator = await change.add_creator(organization_id, sample.handle, sample.name)
        if sample.former_handle:
            await change.add_alias(creator, sample.former_handle)
        await change.add_code(organization_id, sample.coupon_code, creator.id)
    return creator


async def _campaign(change: Change, organization_id: str, sample: contents.SampleCampaign) -> Campaign:
    found = await change.session.scalars(
        select(Campaign).where(Campaign.organization_id == organization_id, Campaign.slug == sample.slug)
    )
    return found.one_or_none() or await change.add_campaign(
        organization_id, sample.slug, sample.name, fallback_url=sample.fallback_url
    )


async def _link(change: Change, creator: Creator, campaign: Campaign, sample: SampleLink) -> Link:
    """Add a sample's post and return its link, not yet added."""
    published_at = change.at_ms - sample.days_ago * DAY_MS
    boost = (published_at + DAY_MS, published_at + (1 + BOOST_DAYS) * DAY_MS) if sample.is_boosted else (None, None)
    post = await change.add_post(
        creator,
        campaign,
        sample.asset,
        url=sample.post_url,
        platform=sample.platform,
        published_at=published_at,
        boost_starts_at=boost[0],
        boost_ends_at=boost[1],
    )
    return Link(
        organization_id=creator.organization_id,
        creator_id=creator.id,
        campaign_id=campaign.id,
        post_id=post.id,
        asset_slug=sample.asset,
        destination_url=sample.destination_url,
        status=(LinkStatus.paused if sample.is_paused else LinkStatus.active).value,
        kind=(LinkKind.paid if sample.is_boosted else LinkKind.organic).value,
        expires_at=published_at + DAY_MS if sample.is_expired else None,
        fallback_url=sample.fallback_url,
        tags=[sample.platform, "sample"],
    )


def _read(path: Path) -> _Kept | None:
    try:
        mode = path.stat().st_mode
        raw = path.read_bytes()
    except FileNotFoundError:
        return None
    if mode & 0o077:
        raise SettingsError(f"{path} holds keys and can be read by others; run chmod 600 on it.")
    try:
        return msgspec.json.decode(raw, type=_Kept)
    except msgspec.MsgspecError as error:
        raise SettingsError(f"{path} can't be read: {error}; delete it, and the demo makes new keys.") from None


def _write(path: Path, kept: _Kept) -> None:
    """Replace the file, never readable by others, on disk before the function returns."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_suffix(".new")
    descriptor = os.open(draft, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(msgspec.json.encode(kept) + b"\n")
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
