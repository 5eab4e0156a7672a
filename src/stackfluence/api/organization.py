"""The organization itself, the key that verifies its click IDs, and its audit log."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Query, Response
from pydantic import Field
from sqlalchemy import select

from stackfluence.api.access import Posts, Reads, Writes
from stackfluence.api.fields import Given, Id, Text, Time, Title, Told, change_columns
from stackfluence.api.paging import Page, PageQuery, read_page
from stackfluence.api.routes import BODY, find, router
from stackfluence.catalog import tables
from stackfluence.catalog.books import AuditEntry as Entry


class OrganizationPatch(Given):
    """What can be changed of an organization; its accounting time zone can't, periods are cut by it."""

    name: Title = Field(default_factory=str)
    currency: Annotated[Text, Field(max_length=10, examples=["EUR"])] = Field(
        default_factory=str, description="ISO 4217, of amounts that name none."
    )


class Organization(Told):
    """The advertiser."""

    id: str
    name: str
    currency: str
    accounting_time_zone: str
    created_at: Time


class VerificationKey(Told):
    """What verifies the organization's own click IDs, and nobody else's, offline; docs/click-id.md says how."""

    organization_id: str
    keys: dict[str, str] | None = Field(
        description="Key id → HMAC-SHA256 key in hex. Null in a repeated answer: ask again without Idempotency-Key.",
        examples=[{"1": "00" * 32}],
    )


class AuditEntry(Told):
    """One change: who, when, what, from what to what; a change names only the columns that differ."""

    id: int
    at: Time
    actor: str = Field(examples=["key:key_0123456789"])
    action: str = Field(examples=["link.changed"])
    subject_type: str
    subject_id: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None


class AuditPage(Page[AuditEntry]):
    """A part of the audit log."""


class AuditQuery(PageQuery):
    """Which entries."""

    subject_type: Text = Field(default="", max_length=40)
    subject_id: Id = ""
    actor: Text = Field(default="", max_length=100)


routes = router("organization")


@routes.get("/organization", summary="Get the organization")
async def get_organization(reading: Reads) -> Organization:
    """Get the organization whose key this is."""
    identifier = reading.organization_id
    return Organization.model_validate(await find(reading.session, tables.Organization, identifier, identifier))


@routes.patch("/organization", responses=BODY, summary="Change the organization")
async def change_organization(given: OrganizationPatch, writing: Writes) -> Organization:
    """Change name or currency; what is not given stays."""
    row = await find(writing.session, tables.Organization, writing.organization_id, writing.organization_id)
    change_columns(row, given, {})
    return Organization.model_validate(row)


@routes.post(
    "/organization/click-id-verification-key",
    status_code=200,
    response_model=VerificationKey,
    responses=BODY,
    summary="Get the click ID verification key",
)
async def hand_out_verification_key(writing: Posts) -> Response:
    """Hand out the keys that verify the organization's click IDs; the audit log keeps that it was done.

    Whoever has them can also make click IDs that verify, so they belong on a server; such an ID bills nothing, because
    no click is stored for it.
    """
    keys = writing.core.click_ids.verification_key(writing.organization_id)
    entry = Entry(
        organization_id=writing.organization_id,
        at=writing.change.at_ms,
        actor=writing.change.actor,
        action="click_id_verification_key.handed_out",
        subject_type="organization",
        subject_id=writing.organization_id,
        before=None,
        after={"key_ids": sorted(keys)},
    )
    await writing.change.add(entry)
    told = VerificationKey(organization_id=writing.organization_id, keys={str(kid): key for kid, key in keys.items()})
    return await writing.answer(told, 200, remembered=told.model_copy(update={"keys": None}))


@routes.get("/audit-log", summary="List the audit log")
async def list_audit_log(asked: Annotated[AuditQuery, Query()], reading: Reads) -> AuditPage:
    """List what was changed, newest first."""
    query = select(Entry).where(Entry.organization_id == reading.organization_id)
    if asked.subject_type:
        query = query.where(Entry.subject_type == asked.subject_type)
    if asked.subject_id:
        query = query.where(Entry.subject_id == asked.subject_id)
    if asked.actor:
        query = query.where(Entry.actor == asked.actor)
    rows, cursor = await read_page(reading.session, query, (Entry.id,), asked)
    return AuditPage(items=[AuditEntry.model_validate(row) for (row,) in rows], next_cursor=cursor)
