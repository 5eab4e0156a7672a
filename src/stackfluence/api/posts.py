"""Posts: what a creator published where and when, and when it was shown as paid advertising."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query, Response
from pydantic import Field
from sqlalchemy import select

from stackfluence.api.access import Posts, Reads, Writes, Writing
from stackfluence.api.fields import Given, GivenTime, Id, Name, Text, Time, Told, Url, change_columns
from stackfluence.api.paging import Page, PageQuery, read_page
from stackfluence.api.routes import BODY, MISSING, Row, find, router
from stackfluence.catalog import checks, tables
from stackfluence.errors import Conflict, Invalid, NotFound
from stackfluence.names import fold

Platform = Annotated[Text, Field(max_length=200, examples=["instagram"])]
AssetSlug = Annotated[Name, Field(examples=["story-1"])]


class NewPost(Given):
    """A post to be added."""

    creator_id: Id
    campaign_id: Id
    asset_slug: AssetSlug
    url: Url | None = Field(default=None, description="Where it was published.")
    platform: Platform | None = Field(default=None, description="Fills the platform macro of destinations.")
    published_at: GivenTime | None = None
    boost_starts_at: GivenTime | None = Field(default=None, description="From when it was shown as paid advertising.")
    boost_ends_at: GivenTime | None = None


class PostPatch(Given):
    """What can be changed of a post; null empties."""

    asset_slug: AssetSlug = Field(default_factory=str)
    url: Url | None = Field(default_factory=lambda: None)
    platform: Platform | None = Field(default_factory=lambda: None)
    published_at: GivenTime | None = Field(default_factory=lambda: None)
    boost_starts_at: GivenTime | None = Field(default_factory=lambda: None)
    boost_ends_at: GivenTime | None = Field(default_factory=lambda: None)


class Post(Told):
    """A creator's post in a campaign."""

    id: str
    creator_id: str
    campaign_id: str
    asset_slug: str
    url: str | None
    platform: str | None
    published_at: Time | None
    boost_starts_at: Time | None
    boost_ends_at: Time | None
    created_at: Time


class PostPage(Page[Post]):
    """A part of the posts."""


class PostQuery(PageQuery):
    """Which posts."""

    creator_id: Id = ""
    campaign_id: Id = ""
    platform: Text = Field(default="", max_length=100)


_EMPTY = {"url": "", "platform": ""}

routes = router("posts")


@routes.get("/posts", summary="List posts")
async def list_posts(asked: Annotated[PostQuery, Query()], reading: Reads) -> PostPage:
    """List posts, newest first."""
    kind = tables.Post
    query = select(kind).where(kind.organization_id == reading.organization_id)
    if asked.creator_id:
        query = query.where(kind.creator_id == asked.creator_id)
    if asked.campaign_id:
        query = query.where(kind.campaign_id == asked.campaign_id)
    if asked.platform:
        query = query.where(kind.platform == fold(asked.platform))
    rows, cursor = await read_page(reading.session, query, (kind.created_at, kind.id), asked)
    return PostPage(items=[_told(row) for (row,) in rows], next_cursor=cursor)


@routes.post("/posts", status_code=201, response_model=Post, responses=BODY, summary="Add a post")
async def add_post(given: NewPost, writing: Posts) -> Response:
    """Add a post; a creator has one of each asset slug in a campaign."""
    creator = await _named(writing, tables.Creator, "creator_id", given.creator_id)
    campaign = await _named(writing, tables.Campaign, "campaign_id", given.campaign_id)
    await _check_free(writing, creator.id, campaign.id, given.asset_slug)
    row = await writing.change.add_post(
        creator,
        campaign,
        given.asset_slug,
        url=given.url or "",
        platform=given.platform or "",
        published_at=given.published_at,
        boost_starts_at=given.boost_starts_at,
        boost_ends_at=given.boost_ends_at,
    )
    return await writing.answer(_told(row))


@routes.get("/posts/{post_id}", responses=MISSING, summary="Get a post")
async def get_post(post_id: str, reading: Reads) -> Post:
    """Get one post."""
    return _told(await find(reading.session, tables.Post, reading.organization_id, post_id))


@routes.patch("/posts/{post_id}", responses=MISSING | BODY, summary="Change a post")
async def change_post(post_id: str, given: PostPatch, writing: Writes) -> Post:
    """Change a post; what is not given stays. Its links keep their own asset slugs."""
    row = await find(writing.session, tables.Post, writing.organization_id, post_id)
    if "asset_slug" in given.model_fields_set:
        await _check_free(writing, row.creator_id, row.campaign_id, given.asset_slug, row.id)
    change_columns(row, given, _EMPTY)
    checks.period("boost_ends_at", row.boost_starts_at, row.boost_ends_at)
    await writing.session.flush()
    return _told(row)


@routes.delete("/posts/{post_id}", status_code=204, responses=MISSING | BODY, summary="Delete a post")
async def delete_post(post_id: str, writing: Writes) -> None:
    """Delete a post that no link belongs to."""
    row = await find(writing.session, tables.Post, writing.organization_id, post_id)
    if await writing.session.scalar(select(tables.Link.id).where(tables.Link.post_id == row.id).limit(1)):
        raise Conflict("Links belong to this post; set their post_id to null first.")
    await writing.change.delete(row)


async def _named(writing: Writing, kind: type[Row], field: str, identifier: str) -> Row:
    try:
        return await find(writing.session, kind, writing.organization_id, identifier)
    except NotFound as error:
        raise Invalid(f"{field}: {error.detail}", field=field) from None


async def _check_free(writing: Writing, creator_id: str, campaign_id: str, asset_slug: str, but: str = "") -> None:
    slug = checks.name("asset_slug", asset_slug)
    kind = tables.Post
    same = select(kind.id).where(
        kind.creator_id == creator_id, kind.campaign_id == campaign_id, kind.asset_slug == slug, kind.id != but
    )
    if await writing.session.scalar(same):
        raise Conflict(f"The creator has another post {slug!r} in this campaign.")


def _told(row: tables.Post) -> Post:
    return Post(
        id=row.id,
        creator_id=row.creator_id,
        campaign_id=row.campaign_id,
        asset_slug=row.asset_slug,
        url=row.url or None,
        platform=row.platform or None,
        published_at=row.published_at,
        boost_starts_at=row.boost_starts_at,
        boost_ends_at=row.boost_ends_at,
        created_at=row.created_at,
    )
