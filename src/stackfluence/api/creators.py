"""Creators: whose links they are. A handle once given stays theirs; renaming keeps the old one as an alias."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from fastapi import Query, Response
from pydantic import Field
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from stackfluence.api.access import Posts, Reads, Writes
from stackfluence.api.fields import Given, Name, Text, Time, Title, Told, change_columns
from stackfluence.api.paging import Page, PageQuery, read_page
from stackfluence.api.routes import BODY, MISSING, begins, find, router
from stackfluence.catalog import tables


class NewCreator(Given):
    """A creator to be added."""

    handle: Name
    name: Title = ""


class CreatorPatch(Given):
    """What can be changed of a creator."""

    handle: Name = Field(default_factory=str)
    name: Title = Field(default_factory=str)
    is_archived: bool = Field(default_factory=bool, description="Archived creators are left out of lists.")


class Creator(Told):
    """A creator. Links answer under `handle` and under each of `aliases`."""

    id: str
    handle: str
    aliases: list[str]
    name: str
    created_at: Time
    archived_at: Time | None


class CreatorPage(Page[Creator]):
    """A part of the creators."""


class CreatorQuery(PageQuery):
    """Which creators."""

    q: Text = Field(default="", max_length=100, description="How a present handle begins.")
    is_archived: bool = False


routes = router("creators")


@routes.get("/creators", summary="List creators")
async def list_creators(asked: Annotated[CreatorQuery, Query()], reading: Reads) -> CreatorPage:
    """List creators, newest first."""
    kind = tables.Creator
    query = select(kind).where(kind.organization_id == reading.organization_id)
    query = query.where(kind.archived_at.is_not(None) if asked.is_archived else kind.archived_at.is_(None))
    if asked.q:
        query = query.where(begins(kind.handle, asked.q))
    rows, cursor = await read_page(reading.session, query, (kind.created_at, kind.id), asked)
    return CreatorPage(items=await _told(reading.session, [row for (row,) in rows]), next_cursor=cursor)


@routes.post("/creators", status_code=201, response_model=Creator, responses=BODY, summary="Add a creator")
async def add_creator(given: NewCreator, writing: Posts) -> Response:
    """Add a creator; a handle that is or was another's is refused."""
    row = await writing.change.add_creator(writing.organization_id, given.handle, given.name)
    return await writing.answer((await _told(writing.session, [row]))[0])


@routes.get("/creators/{creator_id}", responses=MISSING, summary="Get a creator")
async def get_creator(creator_id: str, reading: Reads) -> Creator:
    """Get one creator, archived ones too."""
    row = await find(reading.session, tables.Creator, reading.organization_id, creator_id)
    return (await _told(reading.session, [row]))[0]


@routes.patch("/creators/{creator_id}", responses=MISSING | BODY, summary="Change a creator")
async def change_creator(creator_id: str, given: CreatorPatch, writing: Writes) -> Creator:
    """Change a creator; what is not given stays. A new handle leaves the old one answering."""
    row = await find(writing.session, tables.Creator, writing.organization_id, creator_id)
    if "handle" in given.model_fields_set:
        await writing.change.rename_creator(row, given.handle)
    if "is_archived" in given.model_fields_set:
        archive(row, writing.change.at_ms if given.is_archived else None)
    change_columns(row, given, {}, but=("handle", "is_archived"))
    await writing.session.flush()
    return (await _told(writing.session, [row]))[0]


@routes.delete("/creators/{creator_id}", status_code=204, responses=MISSING, summary="Archive a creator")
async def archive_creator(creator_id: str, writing: Writes) -> None:
    """Leave a creator out of lists; their links go on. PATCH with `is_archived` false undoes it."""
    archive(await find(writing.session, tables.Creator, writing.organization_id, creator_id), writing.change.at_ms)


def archive(row: tables.Creator | tables.Campaign, at_ms: int | None) -> None:
    """Note when a row was archived, the first time counts; None brings it back."""
    if at_ms is None or row.archived_at is None:
        row.archived_at = at_ms


async def _told(session: AsyncSession, rows: Sequence[tables.Creator]) -> list[Creator]:
    alias = tables.CreatorAlias
    found = await session.execute(
        select(alias.creator_id, alias.handle)
        .where(alias.creator_id.in_([row.id for row in rows]))
        .order_by(alias.handle)
    )
    aliases: dict[str, list[str]] = {row.id: [] for row in rows}
    for creator_id, handle in found:
        aliases[creator_id].append(handle)
    return [
        Creator(
            id=row.id,
            handle=row.handle,
            aliases=[handle for handle in aliases[row.id] if handle != row.handle],
            name=row.name,
            created_at=row.created_at,
            archived_at=row.archived_at,
        )
        for row in rows
    ]
