"""Puts links into the catalog, one or a thousand at a time: who is new, what is there already, what is refused and why.

Set-based: a thousand lines are a dozen queries.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select, tuple_

from stackfluence.api.batches import Fate
from stackfluence.api.link_bodies import NewLink
from stackfluence.api.owners import Names, Owners, by_id, find_owners, read_names
from stackfluence.catalog import Change
from stackfluence.catalog.books import LinkPath
from stackfluence.catalog.tables import Campaign, Creator, CreatorAlias, Host, Link, Post
from stackfluence.errors import Invalid
from stackfluence.vocabulary import LineRefusal

_PATHS = 1000  # looked up at once: four parameters each, and PostgreSQL takes 32,767

Path = tuple[str, str, str, str]
_PATH = (LinkPath.host, LinkPath.creator_handle, LinkPath.campaign_slug, LinkPath.asset_slug)


@dataclass
class Placed(Fate):
    """What became of one wanted link. `handle` and `slug` are its creator's and its campaign's present names.

    They, `host` and `asset` are empty for a refused one.
    """

    link: Link | None = None  # when it was made now
    link_id: str = ""  # of the link made, or of the organization's own that was there before
    host: str = ""
    handle: str = ""
    slug: str = ""
    asset: str = ""


@dataclass
class _Line:
    """A wanted link on its way: `link` lacks its owners until they are found or made, None being new ones."""

    wanted: NewLink
    placed: Placed
    link: Link
    names: Names
    creator: Creator | None = None
    campaign: Campaign | None = None


async def place(
    change: Change, organization_id: str, wanted: Sequence[NewLink], claimed: dict[Path, int]
) -> list[Placed]:
    """Make the links that can be made, at most `batches.MAX_LINES`, and tell of each what became of it.

    `claimed` holds the paths that earlier parts of the same file took, and is added to.
    """
    placed = [Placed() for _ in wanted]
    lines = [line for new, result in zip(wanted, placed, strict=True) if (line := _read(organization_id, new, result))]
    owners = await find_owners(change, organization_id, [line.names for line in lines])
    await _check_owners(change, organization_id, lines, owners)
    await _check_paths(change, organization_id, [line for line in lines if not line.placed.refusal], claimed)
    lines = [line for line in lines if not line.placed.refusal]
    await owners.add_new(change, (line.names for line in lines if not line.placed.is_existing))
    for line in lines:
        creator, campaign = owners.creator(line.names), owners.campaign(line.names)
        assert creator  # an existing link has both
        assert campaign
        line.link.creator_id, line.link.campaign_id = creator.id, campaign.id
        line.placed.handle, line.placed.slug = creator.handle, campaign.slug
        line.placed.host, line.placed.asset = line.link.host, line.link.asset_slug
    added = [line for line in lines if not line.placed.is_existing]
    await change.add_links([line.link for line in added])
    for line in added:
        line.placed.link, line.placed.link_id = line.link, line.link.id
    return placed


def _read(organization_id: str, wanted: NewLink, placed: Placed) -> _Line | None:
    """Return a line whose fields are good in themselves, or None with the reason noted."""
    try:
        names = read_names(wanted, needs_campaign=True)
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
    except Invalid as error:
        placed.refuse_field(error)
        return None
    return _Line(wanted, placed, link, names)


async def _check_owners(change: Change, organization_id: str, lines: Sequence[_Line], owners: Owners) -> None:
    """Note each line's creator and campaign, None for new ones; refuse unknown ids, posts and hosts."""
    posts = await by_id(change, Post, organization_id, (line.wanted.post_id for line in lines))
    hosts = set(
        await change.session.scalars(
            select(Host.hostname).where(
                Host.organization_id == organization_id, Host.hostname.in_({line.link.host for line in lines})
            )
        )
    )
    for line in lines:
        try:
            line.creator, line.campaign = owners.creator(line.names), owners.campaign(line.names)
            if line.link.host and line.link.host not in hosts:
                raise Invalid(f"host: {line.link.host!r} is not one of the organization's hosts.", field="host")
            if line.wanted.post_id:
                creator_id = line.creator.id if line.creator else ""
                campaign_id = line.campaign.id if line.campaign else ""
                check_post(posts.get(line.wanted.post_id), organization_id, creator_id, campaign_id)
        except Invalid as error:
            line.placed.refuse_field(error)


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
    for start in range(0, len(everything), _PATHS):
        rows = await change.session.execute(
            select(*_PATH, Link.id, Link.organization_id, Link.destination_url)
            .join(Link, Link.id == LinkPath.link_id)
            .where(tuple_(*_PATH).in_(everything[start : start + _PATHS]))
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
    handles = aliases[line.creator.id] if line.creator else [line.names.handle]
    slug = line.campaign.slug if line.campaign else line.names.slug
    return {(line.link.host, handle, slug, line.link.asset_slug) for handle in handles}
