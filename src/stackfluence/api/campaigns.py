"""Campaigns: programmes with dates, outside of which their links fall back."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query, Response
from pydantic import Field
from sqlalchemy import select

from stackfluence.api.access import Posts, Reads, Writes
from stackfluence.api.creators import archive
from stackfluence.api.fields import Given, GivenTime, Name, Text, Time, Title, Told, Url, change_columns
from stackfluence.api.paging import Page, PageQuery, read_page
from stackfluence.api.routes import BODY, MISSING, begins, find, router
from stackfluence.catalog import checks, tables
from stackfluence.errors import Conflict


class NewCampaign(Given):
    """A campaign to be added."""

    slug: Annotated[Name, Field(examples=["winter-socks"])]
    name: Title = ""
    starts_at: GivenTime | None = None
    ends_at: GivenTime | None = Field(default=None, description="From then on its links fall back.")
    fallback_url: Url | None = Field(default=None, description="Where its links lead when they are not open.")


class CampaignPatch(Given):
    """What can be changed of a campaign; null empties."""

    slug: Annotated[Name, Field(examples=["winter-socks"])] = Field(default_factory=str)
    name: Title = Field(default_factory=str)
    starts_at: GivenTime | None = Field(default_factory=lambda: None)
    ends_at: GivenTime | None = Field(default_factory=lambda: None)
    fallback_url: Url | None = Field(default_factory=lambda: None)
    is_archived: bool = Field(default_factory=bool, description="Archived campaigns are left out of lists.")


class Campaign(Told):
    """A campaign. Times bound it as [starts_at, ends_at); null is no bound."""

    id: str
    slug: str
    name: str
    starts_at: Time | None
    ends_at: Time | None
    fallback_url: str | None
    created_at: Time
    archived_at: Time | None


class CampaignPage(Page[Campaign]):
    """A part of the campaigns."""


class CampaignQuery(PageQuery):
    """Which campaigns."""

    q: Text = Field(default="", max_length=100, description="How a slug begins.")
    is_archived: bool = False


routes = router("campaigns")


@routes.get("/campaigns", summary="List campaigns")
async def list_campaigns(asked: Annotated[CampaignQuery, Query()], reading: Reads) -> CampaignPage:
    """List campaigns, newest first."""
    kind = tables.Campaign
    query = select(kind).where(kind.organization_id == reading.organization_id)
    query = query.where(kind.archived_at.is_not(None) if asked.is_archived else kind.archived_at.is_(None))
    if asked.q:
        query = query.where(begins(kind.slug, asked.q))
    rows, cursor = await read_page(reading.session, query, (kind.created_at, kind.id), asked)
    return CampaignPage(items=[_told(row) for (row,) in rows], next_cursor=cursor)


@routes.post("/campaigns", status_code=201, response_model=Campaign, responses=BODY, summary="Add a campaign")
async def add_campaign(given: NewCampaign, writing: Posts) -> Response:
    """Add a campaign."""
    row = await writing.change.add_campaign(
        writing.organization_id,
        given.slug,
        given.name,
        starts_at=given.starts_at,
        ends_at=given.ends_at,
        fallback_url=given.fallback_url or "",
    )
    return await writing.answer(_told(row))


@routes.get("/campaigns/{campaign_id}", responses=MISSING, summary="Get a campaign")
async def get_campaign(campaign_id: str, reading: Reads) -> Campaign:
    """Get one campaign, archived ones too."""
    return _told(await find(reading.session, tables.Campaign, reading.organization_id, campaign_id))


@routes.patch("/campaigns/{campaign_id}", responses=MISSING | BODY, summary="Change a campaign")
async def change_campaign(campaign_id: str, given: CampaignPatch, writing: Writes) -> Campaign:
    """Change a campaign; what is not given stays. A new slug moves its links: the old addresses are unknown then."""
    row = await find(writing.session, tables.Campaign, writing.organization_id, campaign_id)
    if "slug" in given.model_fields_set:
        slug = checks.name("slug", given.slug)
        owner = select(tables.Campaign.id).where(
            tables.Campaign.organization_id == row.organization_id, tables.Campaign.slug == slug
        )
        if await writing.session.scalar(owner) not in (None, row.id):
            raise Conflict(f"The slug {slug!r} belongs to another campaign.")
    if "is_archived" in given.model_fields_set:
        archive(row, writing.change.at_ms if given.is_archived else None)
    change_columns(row, given, {"fallback_url": ""}, but=("is_archived",))
    checks.period("ends_at", row.starts_at, row.ends_at)
    await writing.session.flush()
    return _told(row)


@routes.delete("/campaigns/{campaign_id}", status_code=204, responses=MISSING, summary="Archive a campaign")
async def archive_campaign(campaign_id: str, writing: Writes) -> None:
    """Leave a campaign out of lists; its links go on until it ends. PATCH with `is_archived` false undoes it."""
    archive(await find(writing.session, tables.Campaign, writing.organization_id, campaign_id), writing.change.at_ms)


def _told(row: tables.Campaign) -> Campaign:
    return Campaign(
        id=row.id,
        slug=row.slug,
        name=row.name,
        starts_at=row.starts_at,
        ends_at=row.ends_at,
        fallback_url=row.fallback_url or None,
        created_at=row.created_at,
        archived_at=row.archived_at,
    )
