"""Hosts: names of an organization's own on which its links answer. They are added and deleted, never renamed."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query, Response
from pydantic import Field
from sqlalchemy import select

from stackfluence.api.access import Posts, Reads, Writes
from stackfluence.api.fields import Given, Text, Time, Told
from stackfluence.api.paging import Page, PageQuery, read_page
from stackfluence.api.routes import BODY, MISSING, find, router
from stackfluence.catalog import tables

Hostname = Annotated[Text, Field(min_length=1, max_length=253, examples=["go.brand.example"])]


class NewHost(Given):
    """A host to be added. Point its DNS at the edge; it is served as soon as it is here."""

    hostname: Hostname


class Host(Told):
    """A host of the organization."""

    id: str
    hostname: str
    created_at: Time


class HostPage(Page[Host]):
    """A part of the hosts."""


routes = router("hosts")


@routes.get("/hosts", summary="List hosts")
async def list_hosts(asked: Annotated[PageQuery, Query()], reading: Reads) -> HostPage:
    """List hosts, newest first."""
    query = select(tables.Host).where(tables.Host.organization_id == reading.organization_id)
    rows, cursor = await read_page(reading.session, query, (tables.Host.created_at, tables.Host.id), asked)
    return HostPage(items=[_told(row) for (row,) in rows], next_cursor=cursor)


@routes.post("/hosts", status_code=201, response_model=Host, responses=BODY, summary="Add a host")
async def add_host(given: NewHost, writing: Posts) -> Response:
    """Add a host; one name belongs to one organization."""
    return await writing.answer(_told(await writing.change.add_host(writing.organization_id, given.hostname)))


@routes.get("/hosts/{host_id}", responses=MISSING, summary="Get a host")
async def get_host(host_id: str, reading: Reads) -> Host:
    """Get one host."""
    return _told(await find(reading.session, tables.Host, reading.organization_id, host_id))


@routes.delete("/hosts/{host_id}", status_code=204, responses=MISSING | BODY, summary="Delete a host")
async def delete_host(host_id: str, writing: Writes) -> None:
    """Delete a host on which no link answers any more."""
    await writing.change.delete_host(await find(writing.session, tables.Host, writing.organization_id, host_id))


def _told(row: tables.Host) -> Host:
    return Host(id=row.id, hostname=row.hostname, created_at=row.created_at)
