"""Codes: discount codes that find an order's creator where no click did."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Query, Response
from pydantic import Field
from sqlalchemy import Select, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from stackfluence.api.access import Posts, Reads, Writes
from stackfluence.api.code_bodies import Code, CodePatch, NewCode
from stackfluence.api.fields import Id, Text
from stackfluence.api.paging import Page, PageQuery, read_page
from stackfluence.api.place_codes import PlacedCode, place_codes
from stackfluence.api.routes import BODY, MISSING, begins, find, router
from stackfluence.catalog import sources, tables
from stackfluence.clock import now_ms
from stackfluence.errors import Conflict, Invalid
from stackfluence.vocabulary import LineRefusal


class CodePage(Page[Code]):
    """A part of the codes."""


class CodeQuery(PageQuery):
    """Which codes."""

    creator_id: Id = ""
    campaign_id: Id = ""
    q: Text = Field(default="", max_length=100, description="How a code begins, in any case.")
    is_live: bool | None = Field(default=None, description="Whether it names its creator now.")


routes = router("codes")


@routes.get("/codes", summary="List codes")
async def list_codes(asked: Annotated[CodeQuery, Query()], reading: Reads) -> CodePage:
    """List codes, newest first."""
    kind = sources.Code
    query = _named().where(kind.organization_id == reading.organization_id)
    if asked.creator_id:
        query = query.where(kind.creator_id == asked.creator_id)
    if asked.campaign_id:
        query = query.where(kind.campaign_id == asked.campaign_id)
    if asked.q:
        query = query.where(begins(kind.code_key, asked.q))
    if asked.is_live is not None:
        now = now_ms()
        has_begun = or_(kind.starts_at.is_(None), kind.starts_at <= now)
        has_not_ended = or_(kind.ends_at.is_(None), kind.ends_at > now)
        is_live = has_begun & has_not_ended
        query = query.where(is_live if asked.is_live else ~is_live)
    rows, cursor = await read_page(reading.session, query, (kind.created_at, kind.id), asked)
    return CodePage(items=[told(*row) for row in rows], next_cursor=cursor)


@routes.post("/codes", status_code=201, response_model=Code, responses=BODY, summary="Add a code")
async def add_code(given: NewCode, writing: Posts) -> Response:
    """Add a code; one that names a creator at the same time already is refused."""
    (placed,) = await place_codes(writing.change, writing.organization_id, [given], set())
    return await writing.answer(_told_placed(placed))


@routes.get("/codes/{code_id}", responses=MISSING, summary="Get a code")
async def get_code(code_id: str, reading: Reads) -> Code:
    """Get one code, past ones too."""
    return await _tell(reading.session, await find(reading.session, sources.Code, reading.organization_id, code_id))


@routes.patch("/codes/{code_id}", responses=MISSING | BODY, summary="Change a code")
async def change_code(code_id: str, given: CodePatch, writing: Writes) -> Code:
    """Change when a code ends, not before now. Creator, campaign and beginning stay: orders were matched by them.

    To change these, end the code and add it anew, from then on.
    """
    row = await find(writing.session, sources.Code, writing.organization_id, code_id)
    if "ends_at" in given.model_fields_set:
        await writing.change.end_code_at(row, given.ends_at)
    return await _tell(writing.session, row)


@routes.delete("/codes/{code_id}", status_code=204, responses=MISSING, summary="End a code")
async def end_code(code_id: str, writing: Writes) -> None:
    """Let a code end now; orders until now keep their creator. One that hasn't begun is deleted."""
    await writing.change.end_code(await find(writing.session, sources.Code, writing.organization_id, code_id))


def told(row: sources.Code, handle: str, slug: str | None) -> Code:
    """Return what is told of a code."""
    return Code(
        id=row.id,
        code=row.code,
        creator_id=row.creator_id,
        creator_handle=handle,
        campaign_id=row.campaign_id,
        campaign_slug=slug or None,
        starts_at=row.starts_at,
        ends_at=row.ends_at,
        created_at=row.created_at,
    )


def _named() -> Select[*tuple[Any, ...]]:
    """Return the query of codes, each with its creator's handle and its campaign's slug."""
    return (
        select(sources.Code, tables.Creator.handle, tables.Campaign.slug)
        .join(tables.Creator, tables.Creator.id == sources.Code.creator_id)
        .outerjoin(tables.Campaign, tables.Campaign.id == sources.Code.campaign_id)
    )


async def _tell(session: AsyncSession, row: sources.Code) -> Code:
    creator = await session.get_one(tables.Creator, row.creator_id)
    campaign = await session.get(tables.Campaign, row.campaign_id) if row.campaign_id else None
    return told(row, creator.handle, campaign.slug if campaign else None)


def _told_placed(placed: PlacedCode) -> Code:
    if placed.refusal is LineRefusal.invalid_field:
        raise Invalid(placed.errors[0]["message"], errors=placed.errors)
    other = placed.code if placed.is_existing else placed.taken_by
    if other is not None:
        message = placed.errors[0]["message"] if placed.errors else f"The code {other.code!r} is there already."
        raise Conflict(message, code_id=other.id, creator_id=other.creator_id)
    assert placed.code
    return told(placed.code, placed.handle, placed.slug)
