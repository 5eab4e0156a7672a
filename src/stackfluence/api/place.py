"""Puts links into the catalog, one or a thousand at a time: who is new, what is there already, what is refused and why.

Set-based: a thousand lines are a dozen queries.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from sqlalchemy import select, tuple_

from stackfluence.api.link_bodies import NewLink
from stackfluence.catalog import Change, checks
from stackfluence.catalog.books import LinkPath
from stackfluence.catalog.tables import Campaign, Creator, CreatorAlias, Host, Link, Post
from stackfluence.errors import Invalid
from stackfluence.vocabulary import LineOutcome, LineRefusal

MAX_LINES = 1000  # at once: their look-ups stay far below PostgreSQL's 32,767 parameters, the write turn below 1 s

Path = tuple[str, str, str, str]
Owned = TypeVar("Owned", Creator, Campaign, Post)
_PATH = (LinkPath.host, LinkPath.creator_handle, LinkPath.campaign_slug, LinkPath.asset_slug)


@dataclass
class Placed:
    """What became of one wanted link. `handle` and `slug` are its creator's and its campaign's present names.

    They, `host` and `asset` are empty for a refused one.
    """

    refusal: LineRefusal | None = None
    errors: list[dict[str, str]] = field(default_factory=list)
    link: Link | None = None  # when it was made now
    link_id: str = ""  # of the link made, or of the organization's own that was there before
    is_existing: bool = False
    host: str = ""
    handle: str = ""
    slug: str = ""
    asset: str = ""

    @property
    def outcome(self) -> LineOutcome:
        """The word for it."""
        if self.refusal:
            return LineOutcome.refused
        return LineOutcome.existing if self.is_existing else LineOutcome.created

    def refuse(self, refusal: LineRefusal, where: str, message: str) -> None:
        """Note why the link can't be made."""
        self.refusal = refusal
        self.errors = [{"field": where, "message": message}]


@dataclass
class _Line:
    """A wanted link on its way: `link` lacks its owners until they are found or made."""

    wanted: NewLink
    placed: Placed
    link: Link
    new_handle: str = ""  # folded; of a creator who isn't there yet
    new_slug: str = ""
    creator: Creator | None = None
    campaign: Campaign | None = None


async def place(
    change: Change, organization_id: str, wanted: Sequence[NewLink], claimed: dict[Path, int]
) -> list[Placed]:
    """Make the links that can be made, at most MAX_LINES, and tell of each what became of it.

    `claimed` holds the paths that earlier parts of the same file took, and is added to.
    """
    placed = [Placed() for _ in wanted]
    lines = [line for new, result in zip(wanted, placed, strict=True) if (line := _read(organization_id, new, result))]
    await _find_owners(change, organization_id, lines)
    await _check_paths(change, organization_id, [line for line in lines if not line.placed.refusal], claimed)
    lines = [line for line in lines if not line.placed.refusal]
    await _add_owners(change, organization_id, [line for line in lines if not line.placed.is_existing])
    for line in lines:
        assert line.creator  # an existing link has both
        assert line.campaign
        line.link.creator_id, line.link.campaign_id = line.creator.id, line.campaign.id
        line.placed.handle, line.placed.slug = line.creator.handle, line.campaign.slug
        line.placed.host, line.placed.asset = line.link.host, line.link.asset_slug
    added = [line for line in lines if not line.placed.is_existing]
    await change.add_links([line.link for line in added])
    for line in added:
        line.placed.link, line.placed.link_id = line.link, line.link.id
    return placed


def _read(organization_id: str, wanted: NewLink, placed: Placed) -> _Line | None:
    """Return a line whose fields are good in themselves, or None with the reason noted."""
    try:
        for by_id, by_name in (("creator_id", "creator_handle"), ("campaign_id", "campaign_slug")):
            if bool(getattr(wanted, by_id)) == bool(getattr(wanted, by_name)):
                raise Invalid(f"{by_name}: give {by_id} or {by_name}, one of the two.", field=by_name)
        link = Link(
            organization_id=organization_id,
            host=wanted.host or "",
            asset_slug=wanted.asset_slug or "",
            post_id=wanted.post_id or None,
            destination_url=wanted.destination_url,
            status=wanted.status.value,
            kind=wanted.kind.value,
            expires_at=wanted.expires_at,
            fallback_url=wanted.fallback_url or "",
            tags=wanted.tags,
            is_test=wanted.is_test,
        )
        handle = checks.name("creator_handle", wanted.creator_handle) if wanted.creator_handle else ""
        slug = checks.name("campaign_slug", wanted.campaign_slug) if wanted.campaign_slug else ""
    except Invalid as error:
        _refuse_field(placed, error)
        return None
    return _Line(wanted, placed, link, handle, slug)


def _refuse_field(placed: Placed, error: Invalid) -> None:
    where = str(error.extra["field"])
    placed.refuse(LineRefusal.invalid_field, where, error.detail.removeprefix(f"{where}: "))


async def _find_owners(change: Change, organization_id: str, lines: Sequence[_Line]) -> None:
    """Find each line's creator, campaign, post and host; those named by handle or slug may be new."""
    creators = await _by_id(change, Creator, organization_id, (line.wanted.creator_id for line in lines))
    campaigns = await _by_id(change, Campaign, organization_id, (line.wanted.campaign_id for line in lines))
    posts = await _by_id(change, Post, organization_id, (line.wanted.post_id for line in lines))
    handles = await change.session.execute(
        select(CreatorAlias.handle, Creator)
        .join(Creator, Creator.id == CreatorAlias.creator_id)
        .where(
            CreatorAlias.organization_id == organization_id,
            CreatorAlias.handle.in_({line.new_handle for line in lines}),
        )
    )
    by_handle = {handle: creator for handle, creator in handles}  # noqa: C416 — rows are no pairs to mypy
    named = await change.session.scalars(
        select(Campaign).where(
            Campaign.organization_id == organization_id, Campaign.slug.in_({line.new_slug for line in lines})
        )
    )
    by_slug = {campaign.slug: campaign for campaign in named}
    hosts = set(
        await change.session.scalars(
            select(Host.hostname).where(
                Host.organization_id == organization_id, Host.hostname.in_({line.link.host for line in lines})
            )
        )
    )
    for line in lines:
        wanted = line.wanted
        try:
            if wanted.creator_id:
                line.creator = _owner("creator_id", creators, wanted.creator_id)
            else:
                line.creator = by_handle.get(line.new_handle)
            if wanted.campaign_id:
                line.campaign = _owner("campaign_id", campaigns, wanted.campaign_id)
            else:
                line.campaign = by_slug.get(line.new_slug)
            if line.link.host and line.link.host not in hosts:
                raise Invalid(f"host: {line.link.host!r} is not one of the organization's hosts.", field="host")
            if wanted.post_id:
                creator_id = line.creator.id if line.creator else ""
                campaign_id = line.campaign.id if line.campaign else ""
                check_post(posts.get(wanted.post_id), organization_id, creator_id, campaign_id)
        except Invalid as error:
            _refuse_field(line.placed, error)


async def _by_id(
    change: Change, kind: type[Owned], organization_id: str, identifiers: Iterable[str | None]
) -> dict[str, Owned]:
    wanted = {identifier for identifier in identifiers if identifier}
    if not wanted:
        return {}
    rows = await change.session.scalars(
        select(kind).where(kind.organization_id == organization_id, kind.id.in_(wanted))
    )
    return {row.id: row for row in rows}


def _owner(where: str, rows: dict[str, Owned], identifier: str) -> Owned:
    if identifier not in rows:
        raise Invalid(f"{where}: there is no {identifier!r}.", field=where)
    return rows[identifier]


def check_post(post: Post | None, organization_id: str, creator_id: str, campaign_id: str) -> None:
    """Refuse a post that is not of the link's own creator and campaign."""
    if post is None or post.organization_id != organization_id:
        raise Invalid("post_id: there is no such post.", field="post_id")
    if (post.creator_id, post.campaign_id) != (creator_id, campaign_id):
        raise Invalid("post_id: the post is of another creator or campaign.", field="post_id")


async def _check_paths(change: Change, organization_id: str, lines: Sequence[_Line], claimed: dict[Path, int]) -> None:
    """Refuse lines whose path an earlier line or another link has; note which links are there just as wanted."""
    aliases = await _aliases(change, {line.creator.id for line in lines if line.creator})
    wanted = [_paths(line, aliases) for line in lines]
    occupants: dict[Path, tuple[str, str, str]] = {}
    everything = list(set().union(*wanted))
    for start in range(0, len(everything), MAX_LINES):
        rows = await change.session.execute(
            select(*_PATH, Link.id, Link.organization_id, Link.destination_url)
            .join(Link, Link.id == LinkPath.link_id)
            .where(tuple_(*_PATH).in_(everything[start : start + MAX_LINES]))
        )
        occupants |= {(row[0], row[1], row[2], row[3]): (row[4], row[5], row[6]) for row in rows}
    for line, paths in zip(lines, wanted, strict=True):
        if paths & claimed.keys():
            line.placed.refuse(
                LineRefusal.repeated_path, "", "An earlier line has the same host, creator, campaign and asset."
            )
            continue
        claimed.update(dict.fromkeys(paths, 1))
        found = [occupants[path] for path in paths if path in occupants]
        if not found:
            continue
        own = {link_id: destination for link_id, owner, destination in found if owner == organization_id}
        line.placed.link_id = min(own, default="")
        if own.get(line.placed.link_id) == line.link.destination_url:
            line.placed.is_existing = True
        else:
            line.placed.refuse(LineRefusal.path_taken, "", "Another link answers there.")


async def _aliases(change: Change, creator_ids: set[str]) -> dict[str, list[str]]:
    rows = await change.session.execute(
        select(CreatorAlias.creator_id, CreatorAlias.handle).where(CreatorAlias.creator_id.in_(creator_ids))
    )
    found: dict[str, list[str]] = {}
    for creator_id, handle in rows:
        found.setdefault(creator_id, []).append(handle)
    return found


def _paths(line: _Line, aliases: dict[str, list[str]]) -> set[Path]:
    handles = aliases[line.creator.id] if line.creator else [line.new_handle]
    slug = line.campaign.slug if line.campaign else line.new_slug
    return {(line.link.host, handle, slug, line.link.asset_slug) for handle in handles}


async def _add_owners(change: Change, organization_id: str, lines: Sequence[_Line]) -> None:
    """Add the creators and campaigns that are new."""
    creators = {
        handle: Creator(organization_id=organization_id, handle=handle)
        for handle in dict.fromkeys(line.new_handle for line in lines if not line.creator)
    }
    campaigns = {
        slug: Campaign(organization_id=organization_id, slug=slug)
        for slug in dict.fromkeys(line.new_slug for line in lines if not line.campaign)
    }
    if creators or campaigns:
        change.session.add_all([*creators.values(), *campaigns.values()])
        await change.session.flush()
        change.session.add_all(
            CreatorAlias(organization_id=organization_id, handle=handle, creator_id=creator.id)
            for handle, creator in creators.items()
        )
        await change.session.flush()
    for line in lines:
        line.creator = line.creator or creators[line.new_handle]
        line.campaign = line.campaign or campaigns[line.new_slug]
