"""What edges are told: every change since a revision, as snapshot rows in chunks of at most 1,000.

One answer is read from one snapshot of the database, in constant memory: a million links stream at the speed of the
join. Removals come first, so that what was removed and added again is there in the end.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import aclosing
from typing import Any

from sqlalchemy import Select, and_, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from stackfluence import snapshot
from stackfluence.catalog.books import CatalogLineage, CatalogRevision, EdgeRemoval, LinkPath, VisitorSalt
from stackfluence.catalog.connect import Catalog
from stackfluence.catalog.sources import Connection
from stackfluence.catalog.tables import Campaign, Creator, Host, Key, Link, Organization, Post
from stackfluence.names import link_key
from stackfluence.snapshot import CONNECTION, HOST, KEY, LINK, ORGANIZATION, SALT, EdgeChunk, EdgeRow, encode
from stackfluence.vocabulary import KeyKind

CHUNK_ROWS = 1000

_Reading = tuple[Select[*tuple[Any, ...]], Callable[[Sequence[Any]], EdgeRow]]

_PATH = (LinkPath.host, LinkPath.creator_handle, LinkPath.campaign_slug, LinkPath.asset_slug)
_LINK_FIELDS = (  # in the order of snapshot.Link: its MessagePack is that of the list
    Link.id,
    Link.organization_id,
    Link.creator_id,
    Link.campaign_id,
    Link.asset_slug,
    Link.destination_url,
    Link.status,
    Link.kind,
    Link.expires_at,
    Campaign.starts_at,
    Campaign.ends_at,
    func.coalesce(func.nullif(Link.fallback_url, ""), Campaign.fallback_url),
    Link.is_test,
    Creator.handle,
    Campaign.slug,
    func.coalesce(Post.platform, ""),
)


async def changes_since(catalog: Catalog, revision: int, lineage: str | None = None) -> AsyncGenerator[EdgeChunk]:
    """Yield what changed after `revision`, nothing when nothing did.

    `lineage` is the token that came with that revision. Revision 0, one this catalog hasn't reached, or one it reached
    with another token (it was restored from a backup) yields everything, its first chunk marked `is_reset`. The last
    chunk is empty: it only tells the revision that was reached. Whoever stops before it wraps this in
    `contextlib.aclosing`, or the connection stays open until the garbage collector comes by.
    """
    async with catalog.snapshot() as connection:
        reached = (await connection.execute(select(CatalogRevision.revision))).scalar_one()
        is_known = lineage is None or lineage == await _token_of(connection, revision)
        if reached == revision and is_known:
            return
        is_reset = not (0 < revision <= reached and is_known)
        token = await _token_of(connection, reached)
        since = 0 if is_reset else revision
        async with aclosing(_all_rows(connection, since)) as answer:
            async for rows in answer:
                yield EdgeChunk(reached, is_reset, rows, token)
                is_reset = False
        yield EdgeChunk(reached, is_reset, [], token)


async def find_link(catalog: Catalog, host: str, creator: str, campaign: str, asset: str = "") -> bytes | None:
    """Return the encoded `snapshot.Link` that answers at a path as a visitor typed it, None when there is none."""
    parts = link_key(host, creator, campaign, asset).decode().split("\0")
    if len(parts) != len(_PATH):  # a NUL inside a part names no link
        return None
    at_path = and_(*(column == part for column, part in zip(_PATH, parts, strict=True)))
    async with catalog.snapshot() as connection:
        row = (await connection.execute(_links(_LINK_FIELDS).where(at_path))).one_or_none()
    return None if row is None else encode(snapshot.Link(*row))


async def _token_of(connection: AsyncConnection, revision: int) -> str:
    wanted = select(CatalogLineage.token).where(CatalogLineage.revision == revision)
    return (await connection.execute(wanted)).scalar_one_or_none() or ""


async def _all_rows(connection: AsyncConnection, since: int) -> AsyncGenerator[list[EdgeRow]]:
    for query, to_rows in (*_removals(since), *_small_spaces(since)):
        async with aclosing(_stream(connection, query)) as chunks:
            async for found in chunks:
                yield [to_rows(row) for row in found]
    async with aclosing(_bare_organizations(connection, since)) as organizations:
        async for rows in organizations:
            yield rows
    for query in _link_queries(since):
        async with aclosing(_stream(connection, query)) as chunks:
            async for found in chunks:
                yield [
                    # the campaign's and the asset's slug are those of the record, 14 and 4
                    EdgeRow(LINK, f"{host}\0{handle}\0{fields[14]}\0{fields[4]}".encode(), encode(fields))
                    for host, handle, *fields in found
                ]


def _links(columns: Iterable[Any]) -> Select[*tuple[Any, ...]]:
    return (
        select(*columns)
        .select_from(LinkPath)
        .join(Link, Link.id == LinkPath.link_id)
        .join(Creator, Creator.id == Link.creator_id)
        .join(Campaign, Campaign.id == Link.campaign_id)
        .outerjoin(Post, Post.id == Link.post_id)
    )


def _link_queries(since: int) -> list[Select[*tuple[Any, ...]]]:
    """Return one query for everything, or one for each cause of a change: each starts from a small index range."""
    links = _links((LinkPath.host, LinkPath.creator_handle, *_LINK_FIELDS))
    if not since:
        return [links]
    return [
        links.where(Link.revision > since),
        *(
            links.where(column.in_(select(cause.id).where(cause.revision > since)), Link.revision <= since)
            for column, cause in ((Link.creator_id, Creator), (Link.campaign_id, Campaign), (Link.post_id, Post))
        ),
    ]


def _removals(since: int) -> list[_Reading]:
    if not since:
        return []  # an answer that names everything needs none
    query = select(EdgeRemoval.space, EdgeRemoval.key).where(EdgeRemoval.revision > since).order_by(EdgeRemoval.id)
    return [(query, lambda row: EdgeRow(row[0], row[1].replace("/", "\0").encode(), None))]


def _small_spaces(since: int) -> list[_Reading]:
    """Return for each space but the links the query, and what makes an edge's row of one of its rows."""
    return [
        (
            select(Organization.id, Organization.currency, Organization.customer_key).where(
                Organization.revision > since
            ),
            lambda row: EdgeRow(ORGANIZATION, row[0].encode(), encode(snapshot.Organization(*row))),
        ),
        (
            select(
                Key.key_hash, Key.id, Key.organization_id, Key.kind, Key.allowed_origins, Key.revoked_at.is_not(None)
            ).where(Key.revision > since),
            lambda row: EdgeRow(KEY, bytes.fromhex(row[0]), encode(snapshot.Key(*row[1:]))),
        ),
        (
            select(Host.hostname, Host.organization_id, Host.is_default).where(Host.revision > since),
            lambda row: EdgeRow(HOST, row[0].encode(), encode(snapshot.Host(*row))),
        ),
        (
            select(
                Connection.id,
                Connection.organization_id,
                Connection.vendor,
                Connection.account,
                Connection.hook_secrets,
                Connection.status,
            ).where(Connection.revision > since),
            lambda row: EdgeRow(CONNECTION, row[0].encode(), encode(snapshot.Connection(*row))),
        ),
        (
            select(VisitorSalt.day, VisitorSalt.salt).where(VisitorSalt.revision > since),
            lambda row: EdgeRow(SALT, row[0].encode(), row[1]),
        ),
    ]


async def _bare_organizations(connection: AsyncConnection, since: int) -> AsyncGenerator[list[EdgeRow]]:
    """Yield each organization's id as a publishable key.

    It is accepted from wherever one of the organization's live publishable keys is, and not at all when it has none.
    """
    changed = or_(
        Organization.revision > since,
        Organization.id.in_(select(Key.organization_id).where(Key.revision > since)),
    )
    live = and_(Key.organization_id == Organization.id, Key.kind == KeyKind.publishable.value, Key.revoked_at.is_(None))
    query = select(Organization.id, Key.id, Key.allowed_origins).outerjoin(Key, live).where(changed)
    organization_id = ""
    lists: list[list[str]] = []
    rows: list[EdgeRow] = []
    async with aclosing(_stream(connection, query.order_by(Organization.id))) as chunks:
        async for found in chunks:
            for identifier, key_id, origins in found:
                if identifier != organization_id and organization_id:
                    rows.append(_bare_organization(organization_id, lists))
                    lists = []
                organization_id = identifier
                if key_id is not None:
                    lists.append(origins)
            if len(rows) >= CHUNK_ROWS:
                yield rows[:CHUNK_ROWS]
                rows = rows[CHUNK_ROWS:]
    if organization_id:
        rows.append(_bare_organization(organization_id, lists))
    for start in range(0, len(rows), CHUNK_ROWS):
        yield rows[start : start + CHUNK_ROWS]


def _bare_organization(organization_id: str, lists: list[list[str]]) -> EdgeRow:
    origins = sorted(set().union(*lists)) if all(lists) else []
    key = snapshot.Key("", organization_id, KeyKind.publishable.value, origins, revoked=not lists)
    return EdgeRow(KEY, organization_id.encode(), encode(key))


async def _stream(connection: AsyncConnection, query: Select[*tuple[Any, ...]]) -> AsyncGenerator[Sequence[Any]]:
    async with connection.stream(query.execution_options(yield_per=CHUNK_ROWS)) as result:
        async for rows in result.partitions():
            yield rows
