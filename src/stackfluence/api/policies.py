"""Policies: what counts from when on. One that is in force stays as it is; to change what counts, another begins."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from fastapi import Query, Response
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from stackfluence.api.access import Posts, Reads, Writes, Writing
from stackfluence.api.paging import Page, PageQuery, read_page
from stackfluence.api.policy_bodies import NewPolicy, Policy, PolicyPatch, PolicyTerms
from stackfluence.api.reports import Moment, first_ms, read_moment
from stackfluence.api.routes import BODY, MISSING, find, router
from stackfluence.catalog import tables
from stackfluence.catalog.policies import LEAD_MS, policy_at
from stackfluence.catalog.policies import Policy as Row
from stackfluence.clock import now_ms
from stackfluence.errors import Invalid


class PolicyPage(Page[Policy]):
    """A part of the policies."""


class InForceQuery(BaseModel):
    """When."""

    model_config = ConfigDict(extra="forbid")

    at: Moment = Field(default="", description="An RFC 3339 time, or a date; by default now.")


routes = router("policies")


@routes.get("/policies", summary="List policies")
async def list_policies(asked: Annotated[PageQuery, Query()], reading: Reads) -> PolicyPage:
    """List policies, those that begin last first, planned ones too."""
    query = select(Row).where(Row.organization_id == reading.organization_id)
    rows, cursor = await read_page(reading.session, query, (Row.effective_from, Row.id), asked)
    return PolicyPage(items=await _told(reading.session, [row for (row,) in rows]), next_cursor=cursor)


@routes.post("/policies", status_code=201, response_model=Policy, responses=BODY, summary="Add a policy")
async def add_policy(given: NewPolicy, writing: Posts) -> Response:
    """Add a policy; what isn't given is as in the one that would be in force then."""
    columns = await _columns(given, writing)
    if "effective_from" not in columns:
        zone = await _zone(writing.session, writing.organization_id)
        columns["effective_from"] = next_midnight(writing.change.at_ms + LEAD_MS, zone)
    row = await writing.change.add_policy(writing.organization_id, **columns)
    _check_window(row, writing)
    return await writing.answer((await _told(writing.session, [row]))[0])


@routes.get("/policies/in-force", summary="Get the policy in force")
async def get_policy_in_force(asked: Annotated[InForceQuery, Query()], reading: Reads) -> Policy:
    """Get the policy that is in force now, or was, or will be, at another moment."""
    zone = await _zone(reading.session, reading.organization_id)
    at_ms = read_moment("at", asked.at, zone)
    row = await policy_at(reading.session, reading.organization_id, now_ms() if at_ms is None else at_ms)
    assert row is not None, "every organization has its first policy from 1970 on"
    return (await _told(reading.session, [row]))[0]


@routes.get("/policies/{policy_id}", responses=MISSING, summary="Get a policy")
async def get_policy(policy_id: str, reading: Reads) -> Policy:
    """Get one policy, past ones too."""
    return (await _told(reading.session, [await find(reading.session, Row, reading.organization_id, policy_id)]))[0]


@routes.patch("/policies/{policy_id}", responses=MISSING | BODY, summary="Change a policy")
async def change_policy(policy_id: str, given: PolicyPatch, writing: Writes) -> Policy:
    """Change a policy that isn't in force yet; one that is, or will be within a minute, is refused with 409."""
    row = await find(writing.session, Row, writing.organization_id, policy_id)
    if given.model_fields_set:
        await writing.change.change_policy(row, **await _columns(given, writing))
        _check_window(row, writing)
    return (await _told(writing.session, [row]))[0]


@routes.delete("/policies/{policy_id}", status_code=204, responses=MISSING | BODY, summary="Delete a policy")
async def delete_policy(policy_id: str, writing: Writes) -> None:
    """Delete a policy that isn't in force yet: the one before it goes on. Its version isn't given again."""
    await writing.change.delete_policy(await find(writing.session, Row, writing.organization_id, policy_id))


def next_midnight(at_ms: int, zone: str) -> int:
    """Return the first moment of the first day in a zone that begins at `at_ms` or later; milliseconds since 1970."""
    day = datetime.fromtimestamp(at_ms / 1000, UTC).astimezone(ZoneInfo(zone)).date()
    begins = first_ms(day, zone)
    return begins if begins >= at_ms else first_ms(day + timedelta(days=1), zone)


async def _columns(given: PolicyTerms, writing: Writing) -> dict[str, Any]:
    """Return the columns that were given, times in milliseconds; raises Invalid for a beginning that is no time."""
    columns: dict[str, Any] = given.model_dump(include=given.model_fields_set, mode="json")
    if "effective_from" in columns:
        zone = await _zone(writing.session, writing.organization_id)
        begins = read_moment("effective_from", columns["effective_from"], zone)
        if begins is None:
            raise Invalid("effective_from: must be an RFC 3339 time or a date.", field="effective_from")
        columns["effective_from"] = begins
    return columns


async def _zone(session: AsyncSession, organization_id: str) -> str:
    return (await session.get_one(tables.Organization, organization_id)).accounting_time_zone


def _check_window(row: Row, writing: Writing) -> None:
    """Refuse a window that is longer than click IDs live: what they can't prove can't be credited."""
    most = writing.core.settings.click_id_ttl_hours // 24
    if row.attribution_window_days > most:
        raise Invalid(
            f"attribution_window_days: {row.attribution_window_days} is more than SF_CLICK_ID_TTL_DAYS allows; "
            f"a click ID lives for {most} days here.",
            field="attribution_window_days",
        )


async def _told(session: AsyncSession, rows: Sequence[Row]) -> list[Policy]:
    """Return what is told of an organization's policies, each with when the next one begins."""
    owners = {row.organization_id for row in rows}
    begins = select(Row.effective_from).where(Row.organization_id.in_(owners)).order_by(Row.effective_from)
    starts = list(await session.scalars(begins))
    following = dict(zip(starts, [*starts[1:], None], strict=True))
    told = ("id", "version", "name", "effective_from", "created_at", *Row.TERMS)
    return [
        Policy(**{name: getattr(row, name) for name in told}, effective_until=following[row.effective_from])
        for row in rows
    ]
