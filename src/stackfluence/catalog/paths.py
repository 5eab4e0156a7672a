"""Keeps `link_paths` what links, handles and campaign slugs say, and notes for the edges which paths are gone.

Called after every flush that changed one of them, in the same transaction. Set-based, so that renaming a campaign of
100,000 links is four statements.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import TypeVar

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    and_,
    delete,
    exists,
    insert,
    literal,
    select,
    tuple_,
)
from sqlalchemy.ext.asyncio import AsyncSession

from stackfluence.catalog.books import EdgeRemoval, LinkPath
from stackfluence.catalog.tables import Campaign, CreatorAlias, Link
from stackfluence.errors import Conflict
from stackfluence.snapshot import LINK

_Item = TypeVar("_Item")

_BATCH = 1000  # ids in one statement; PostgreSQL's protocol allows 32,767 parameters
_REPORTED = 20

_PARTS = (LinkPath.host, LinkPath.creator_handle, LinkPath.campaign_slug, LinkPath.asset_slug)
_REMOVED_KEY = LinkPath.host + "/" + LinkPath.creator_handle + "/" + LinkPath.campaign_slug + "/" + LinkPath.asset_slug


def follow(
    connection: Connection,
    revision: int,
    *,
    added: Collection[str] = (),
    changed: Collection[str] = (),
    creators: Collection[str] = (),
    campaigns: Collection[str] = (),
) -> None:
    """Bring the paths of these links (new, changed, of a creator, of a campaign; ids) in line.

    Raises Conflict, with the paths as `paths`, when another link answers at one of them.
    """
    changed_scopes = [
        *(Link.id.in_(ids) for ids in _batches(changed)),
        *(Link.creator_id == creator for creator in creators),
        *(Link.campaign_id == campaign for campaign in campaigns),
    ]
    for scope in changed_scopes:
        _remove(connection, revision, and_(LinkPath.link_id.in_(select(Link.id).where(scope)), ~_still_right()))
    for scope in [*changed_scopes, *(Link.id.in_(ids) for ids in _batches(added))]:
        _add(connection, scope)


def forget(connection: Connection, revision: int, links: Collection[str]) -> None:
    """Remove all paths of links that are about to be deleted."""
    for ids in _batches(links):
        _remove(connection, revision, LinkPath.link_id.in_(ids))


async def taken(session: AsyncSession, links: Sequence[Link]) -> list[int]:
    """Return the positions of links, not yet added, whose path is answered already or by an earlier one of them."""
    handles: dict[str, list[str]] = {}
    for creators in _batches({link.creator_id for link in links}):
        found = await session.execute(
            select(CreatorAlias.creator_id, CreatorAlias.handle).where(CreatorAlias.creator_id.in_(creators))
        )
        for creator_id, handle in found:
            handles.setdefault(creator_id, []).append(handle)
    slugs: dict[str, str] = {}
    for campaigns in _batches({link.campaign_id for link in links}):
        named = await session.execute(select(Campaign.id, Campaign.slug).where(Campaign.id.in_(campaigns)))
        slugs.update((campaign_id, slug) for campaign_id, slug in named)
    wanted = [
        {
            (link.host or "", handle, slugs.get(link.campaign_id, ""), link.asset_slug or "")
            for handle in handles.get(link.creator_id, ())
        }
        for link in links
    ]
    occupied: set[tuple[str, str, str, str]] = set()
    for batch in _batches(set().union(*wanted)):
        rows = await session.execute(select(*_PARTS).where(tuple_(*_PARTS).in_(batch)))
        occupied.update((host, handle, slug, asset) for host, handle, slug, asset in rows)
    refused = []
    for position, paths in enumerate(wanted):
        if paths & occupied:
            refused.append(position)
        occupied |= paths
    return refused


def _batches(items: Collection[_Item]) -> Iterator[list[_Item]]:
    rows = list(items)
    for start in range(0, len(rows), _BATCH):
        yield rows[start : start + _BATCH]


def _desired(scope: ColumnElement[bool]) -> Select[str, str, str, str, str]:
    return (
        select(Link.host, CreatorAlias.handle, Campaign.slug, Link.asset_slug, Link.id)
        .join(CreatorAlias, CreatorAlias.creator_id == Link.creator_id)
        .join(Campaign, Campaign.id == Link.campaign_id)
        .where(scope)
    )


def _same_path() -> ColumnElement[bool]:
    return and_(
        LinkPath.host == Link.host,
        LinkPath.creator_handle == CreatorAlias.handle,
        LinkPath.campaign_slug == Campaign.slug,
        LinkPath.asset_slug == Link.asset_slug,
    )


def _still_right() -> ColumnElement[bool]:
    return exists(_desired(Link.id == LinkPath.link_id).where(_same_path()).correlate(LinkPath))


def _remove(connection: Connection, revision: int, where: ColumnElement[bool]) -> None:
    gone = select(literal(LINK), _REMOVED_KEY, literal(revision)).where(where)
    connection.execute(insert(EdgeRemoval).from_select(["space", "key", "revision"], gone))
    connection.execute(delete(LinkPath).where(where))


def _add(connection: Connection, scope: ColumnElement[bool]) -> None:
    others = _desired(scope).join(LinkPath, _same_path()).where(LinkPath.link_id != Link.id).limit(_REPORTED)
    conflicts = ["/".join(row[:4]).strip("/") for row in connection.execute(others)]
    if conflicts:
        raise Conflict(f"Another link answers at {conflicts[0]}.", paths=conflicts)
    missing = _desired(scope).outerjoin(LinkPath, _same_path()).where(LinkPath.link_id.is_(None))
    columns = ["host", "creator_handle", "campaign_slug", "asset_slug", "link_id"]
    connection.execute(insert(LinkPath).from_select(columns, missing))
