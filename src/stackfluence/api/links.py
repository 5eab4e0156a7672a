"""Links: where everything begins. One answers at host, creator, campaign and asset, and leads to a destination."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Query, Response
from pydantic import Field
from sqlalchemy import ColumnElement, Select, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from stackfluence.api.access import Posts, Reads, Writes, Writing
from stackfluence.api.fields import Id, Text, Time, Told, change_columns
from stackfluence.api.link_bodies import LinkPatch, NewLink, public_url
from stackfluence.api.paging import Page, PageQuery, read_page
from stackfluence.api.place import Placed, check_post, place
from stackfluence.api.routes import BODY, MISSING, begins, find, router
from stackfluence.catalog import tables
from stackfluence.errors import Conflict, Invalid
from stackfluence.vocabulary import LineRefusal, LinkKind, LinkStatus


class Link(Told):
    """A tracked link. `url` is what a creator publishes."""

    id: str
    url: str = Field(examples=["https://go.brand.example/c/emma/winter-socks/story-1"])
    host: str | None = Field(description="Null on the shared host.")
    creator_id: str
    creator_handle: str
    campaign_id: str
    campaign_slug: str
    asset_slug: str | None
    post_id: str | None
    destination_url: str
    status: LinkStatus
    kind: LinkKind
    expires_at: Time | None
    fallback_url: str | None
    tags: list[str]
    is_test: bool
    created_at: Time
    updated_at: Time


class LinkPage(Page[Link]):
    """A part of the links."""


class LinkFilter(PageQuery):
    """Which links."""

    status: LinkStatus | None = Field(default=None, description="Without it, all but archived ones.")
    creator_id: Id = ""
    campaign_id: Id = ""
    post_id: Id = ""
    kind: LinkKind | None = None
    tag: Text = Field(default="", max_length=100)
    q: Text = Field(default="", max_length=100, description="How a handle, campaign slug or asset slug begins.")


routes = router("links")


@routes.get("/links", summary="List links")
async def list_links(asked: Annotated[LinkFilter, Query()], reading: Reads) -> LinkPage:
    """List links, newest first."""
    query = filtered(reading.organization_id, asked, is_sqlite=reading.core.catalog.is_sqlite)
    rows, cursor = await read_page(reading.session, query, (tables.Link.created_at, tables.Link.id), asked)
    return LinkPage(items=[told(*row, base=reading.base_url) for row in rows], next_cursor=cursor)


@routes.post("/links", status_code=201, response_model=Link, responses=BODY, summary="Make a link")
async def make_link(given: NewLink, writing: Posts) -> Response:
    """Make a link; creator and campaign may be named by handle and slug, and are added when new."""
    (placed,) = await place(writing.change, writing.organization_id, [given], {})
    return await writing.answer(_told_placed(placed, writing))


@routes.get("/links/{link_id}", responses=MISSING, summary="Get a link")
async def get_link(link_id: str, reading: Reads) -> Link:
    """Get one link, archived ones too."""
    row = await find(reading.session, tables.Link, reading.organization_id, link_id)
    return await tell(reading.session, row, reading.base_url)


@routes.patch("/links/{link_id}", responses=MISSING | BODY, summary="Change a link")
async def change_link(link_id: str, given: LinkPatch, writing: Writes) -> Link:
    """Change a link; what is not given stays. It never changes hands: make another for another creator or campaign."""
    row = await find(writing.session, tables.Link, writing.organization_id, link_id)
    if given.post_id:
        check_post(
            await writing.session.get(tables.Post, given.post_id), row.organization_id, row.creator_id, row.campaign_id
        )
    change_columns(row, given, {"host": "", "asset_slug": "", "fallback_url": ""})
    await writing.session.flush()
    return await tell(writing.session, row, writing.base_url)


@routes.delete("/links/{link_id}", status_code=204, responses=MISSING, summary="Archive a link")
async def archive_link(link_id: str, writing: Writes) -> None:
    """Archive a link: it leads to its fallback, or is gone, and keeps its address. PATCH its status to undo it."""
    row = await find(writing.session, tables.Link, writing.organization_id, link_id)
    row.status = LinkStatus.archived.value


def filtered(organization_id: str, asked: LinkFilter, *, is_sqlite: bool) -> Select[*tuple[Any, ...]]:
    """Return the query of the links asked for, each with its creator's handle and its campaign's slug."""
    link = tables.Link
    query: Select[*tuple[Any, ...]] = (
        select(link, tables.Creator.handle, tables.Campaign.slug)
        .join(tables.Creator, tables.Creator.id == link.creator_id)
        .join(tables.Campaign, tables.Campaign.id == link.campaign_id)
        .where(link.organization_id == organization_id)
    )
    query = query.where(link.status == asked.status.value if asked.status else link.status != LinkStatus.archived.value)
    for column, wanted in (
        (link.creator_id, asked.creator_id),
        (link.campaign_id, asked.campaign_id),
        (link.post_id, asked.post_id),
        (link.kind, asked.kind and asked.kind.value),
    ):
        if wanted:
            query = query.where(column == wanted)
    if asked.tag:
        query = query.where(_has_tag(asked.tag, is_sqlite))
    if asked.q:
        columns = (tables.Creator.handle, tables.Campaign.slug, link.asset_slug)
        query = query.where(or_(*(begins(column, asked.q) for column in columns)))
    return query


def _has_tag(tag: str, is_sqlite: bool) -> ColumnElement[bool]:
    if is_sqlite:
        each = func.json_each(tables.Link.tags).table_valued("value")
        return select(each.c.value).where(each.c.value == tag).correlate(tables.Link).exists()
    value = func.json_array_elements_text(tables.Link.tags).column_valued("tag")
    return select(value).where(value == tag).correlate(tables.Link).exists()


def told(row: tables.Link, handle: str, slug: str, *, base: str) -> Link:
    """Return what is told of a link; `base` is the shared host's address."""
    return Link(
        id=row.id,
        url=public_url(base, row.host, handle, slug, row.asset_slug),
        host=row.host or None,
        creator_id=row.creator_id,
        creator_handle=handle,
        campaign_id=row.campaign_id,
        campaign_slug=slug,
        asset_slug=row.asset_slug or None,
        post_id=row.post_id,
        destination_url=row.destination_url,
        status=LinkStatus(row.status),
        kind=LinkKind(row.kind),
        expires_at=row.expires_at,
        fallback_url=row.fallback_url or None,
        tags=row.tags,
        is_test=row.is_test,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )


async def tell(session: AsyncSession, row: tables.Link, base: str) -> Link:
    """Return what is told of one link, with its creator's handle and its campaign's slug looked up."""
    creator = await session.get_one(tables.Creator, row.creator_id)
    campaign = await session.get_one(tables.Campaign, row.campaign_id)
    return told(row, creator.handle, campaign.slug, base=base)


def _told_placed(placed: Placed, writing: Writing) -> Link:
    if placed.refusal is LineRefusal.invalid_field:
        raise Invalid(placed.errors[0]["message"], errors=placed.errors)
    if placed.link is None:
        extra = {"link_id": placed.link_id} if placed.link_id else {}
        raise Conflict("Another link answers there.", **extra)
    return told(placed.link, placed.handle, placed.slug, base=writing.base_url)
