"""A time span broken down: by creator, by post, by what the visitor held, by reason; the rows add up to the total."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Annotated, Any, Literal

from fastapi import Query
from pydantic import Field
from sqlalchemy import Select, select

from stackfluence.api import traffic
from stackfluence.api.access import Reading, Reads
from stackfluence.api.paging import PageQuery, decode_cursor, encode_cursor
from stackfluence.api.report_facts import NEWEST, Counts, about, read_runs
from stackfluence.api.report_groups import Group, Grouping, Place, count_groups
from stackfluence.api.report_late import count_not_derived
from stackfluence.api.report_query import (
    MAX_DAYS,
    ReportQuery,
    ReportSpan,
    ReportTold,
    read_report_span,
    span_of_cursor,
)
from stackfluence.api.routes import router
from stackfluence.catalog.tables import Campaign, Creator, Link, Post
from stackfluence.errors import Invalid
from stackfluence.vocabulary import LinkKind

GroupBy = Literal[
    "creator", "campaign", "post", "link", "kind", "platform", "in_app_browser", "country", "device", "reason"
]


class BreakdownQuery(PageQuery, ReportQuery):
    """Of when and of whom, and by what it is broken down."""

    group_by: GroupBy = "creator"


class BreakdownRow(Counts):
    """What falls on one creator, post, and so on."""

    group: str | None = Field(
        description="An id or a word; empty where it isn't known, as the country of a code; null for orders of nobody."
    )
    name: str | None = Field(description="A creator's handle, a campaign's slug, a link's or post's path.")


class Breakdown(ReportTold):
    """Groups with most clicks first. `total` is of all of them, not of this part alone."""

    group_by: GroupBy
    total: Counts
    items: list[BreakdownRow]
    next_cursor: str | None


routes = router("reports")


@routes.get("/reports/breakdown", summary="Break clicks and orders down")
async def break_down(asked: Annotated[BreakdownQuery, Query()], reading: Reads) -> Breakdown:
    """Count clicks, visits and orders by creator, post, and so on: the rows add up to the total, exactly.

    Later parts of a list are of the same moment as its first. Post, platform and kind are what the links have now.
    """
    span = await read_report_span(reading, asked)
    span, last_run, last_order_run, after = _place(asked, span)
    runs = await read_runs(reading, span, last_run, last_order_run)
    grouping = await _grouping(reading, asked)
    (total, found), not_derived = await asyncio.gather(
        count_groups(reading, span, asked, runs, grouping, asked.limit + 1, after),
        count_not_derived(reading, span, runs),
    )
    shown = found[: asked.limit]
    names = await _names_of(reading, asked.group_by, (group.key for group in shown))
    end = shown[-1] if len(found) > asked.limit else None
    return Breakdown(
        **about(span, asked, runs, not_derived),
        group_by=asked.group_by,
        total=total.told(),
        items=[
            BreakdownRow(group=None if group.is_nobody else group.key, name=names.get(group.key), **dict(group.told()))
            for group in shown
        ],
        next_cursor=_cursor(span, runs.last_run, runs.last_order_run, end) if end else None,
    )


def _cursor(span: ReportSpan, last_run: int, last_order_run: int, end: Group) -> str:
    return encode_cursor([span.from_ms, span.to_ms, last_run, last_order_run, end.gross, int(end.is_nobody), end.key])


def _place(asked: BreakdownQuery, span: ReportSpan) -> tuple[ReportSpan, int, int, Place]:
    """Return the span and runs of a page, and behind which group it begins; raises Invalid for another list's cursor.

    A list that was begun without bounds keeps those of its first page.
    """
    if not asked.cursor:
        return span, NEWEST, NEWEST, Place()
    *numbers, group = decode_cursor(asked.cursor, 7)
    if not isinstance(group, str) or not all(isinstance(number, int) and number >= 0 for number in numbers):
        raise Invalid("cursor: this is not a cursor of this list.", field="cursor")
    from_ms, to_ms, last_run, last_order_run, gross, is_nobody = (int(number) for number in numbers)
    place = Place(gross, bool(is_nobody), group)
    return span_of_cursor(asked, span, from_ms, to_ms, MAX_DAYS), last_run, last_order_run, place


async def _grouping(reading: Reading, asked: BreakdownQuery) -> Grouping:
    """Return by what is counted; groups that only the catalog knows as the links' that aren't in the common one."""
    query: Select[Any, Any]
    if asked.group_by == "post":
        query = select(Link.id, Link.post_id).where(Link.post_id.is_not(None))
    elif asked.group_by == "platform":
        query = select(Link.id, Post.platform).join(Post, Post.id == Link.post_id).where(Post.platform != "")
    elif asked.group_by == "kind":
        query = select(Link.id, Link.kind).where(Link.kind != LinkKind.organic.value)
    else:
        return Grouping(asked.group_by)
    query = query.where(Link.organization_id == reading.organization_id)
    for column, wanted in (
        (Link.id, asked.link_id),
        (Link.creator_id, asked.creator_id),
        (Link.campaign_id, asked.campaign_id),
    ):
        query = query.where(column == wanted) if wanted else query
    links: dict[str, str] = {row[0]: str(row[1]) for row in await reading.session.execute(query)}
    return Grouping(asked.group_by, links=links, other=LinkKind.organic.value if asked.group_by == "kind" else "")


async def _names_of(reading: Reading, group_by: GroupBy, ids: Iterable[str]) -> dict[str, str]:
    """Return what people call the groups, by id, as far as the catalog knows them."""
    if group_by == "creator" or group_by == "campaign" or group_by == "link":
        return await traffic.names_of(reading, group_by, ids)
    if group_by != "post":
        return {}
    wanted = sorted(set(ids) - {""})
    parts = (
        select(Post.id, Creator.handle, Campaign.slug, Post.asset_slug)
        .join(Creator, Creator.id == Post.creator_id)
        .join(Campaign, Campaign.id == Post.campaign_id)
        .where(Post.organization_id == reading.organization_id, Post.id.in_(wanted))
    )
    return {row[0]: "/".join(row[1:]) for row in await reading.session.execute(parts)}
