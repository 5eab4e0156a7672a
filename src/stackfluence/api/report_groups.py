"""The groups of a report: clicks and orders are counted side by side, and put together by group."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from stackfluence.api.access import Reading
from stackfluence.api.report_facts import CODES, SQL, Counts, Runs, subject_of, tell_clicks, tell_orders
from stackfluence.api.report_query import DAY_MS, ReportQuery, ReportSpan, day_of
from stackfluence.events.store import Row, Store

MOST = (1 << 63) - 1  # more clicks than any group has
ALL_GROUPS = (1 << 32) - 2  # what a statement's limit holds, with the total


@dataclass(frozen=True, slots=True)
class Grouping:
    """By what is counted: `links` are groups that only the catalog knows, by link; `other` is that of other links."""

    group_by: str
    periods: Sequence[int] = (0,)
    links: Mapping[str, str] | None = None
    other: str = ""
    has_clicks: bool = True

    def parameters(self) -> dict[str, Any]:
        """Return what statements that group bind."""
        return {
            "group_by": self.group_by,
            "periods": list(self.periods),
            "is_folded": self.links is not None,
            "other_group": self.other,
        }


@dataclass(frozen=True, slots=True)
class Place:
    """Behind which group a page begins; groups come with most clicks first, orders of nobody last."""

    gross: int = MOST
    is_nobody: bool = False
    group: str = ""


@dataclass(frozen=True, slots=True)
class Group:
    """What was counted of a group: parts of clicks and of orders, which `told` adds up."""

    key: str = ""
    is_nobody: bool = False
    gross: int = 0
    click_parts: Sequence[tuple[int, int, int]] = field(default=())
    order_parts: Sequence[tuple[Any, ...]] = field(default=())

    def told(self) -> Counts:
        """Return the row of a report."""
        return Counts(clicks=tell_clicks(self.click_parts), orders=tell_orders(self.order_parts))


async def count_groups(
    reading: Reading,
    span: ReportSpan,
    asked: ReportQuery,
    runs: Runs,
    grouping: Grouping,
    limit: int,
    after: Place = Place(),
) -> tuple[Group, list[Group]]:
    """Return the total, and at most `limit` groups behind a place, with most clicks first."""
    parameters = {**subject_of(reading, span, asked), **runs.parameters(), **_counted(span, runs, grouping)}
    store = reading.core.events
    clicks, orders = await asyncio.gather(
        asyncio.to_thread(read_clicks, store, grouping, parameters, limit, after),
        asyncio.to_thread(read_orders, store, grouping, parameters),
    )
    total = Group(click_parts=parts_of(clicks), order_parts=parts_of(orders))
    bought = {(bool(row["is_nobody"]), row["group_key"]): row["parts"] for row in orders if not row["is_total"]}
    found = [
        Group(row["group_key"], False, row["gross"], row["parts"], bought.get((False, row["group_key"]), ()))
        for row in clicks
        if not row["is_total"]
    ]
    if len(found) < limit and bought:
        clicked = found
        if after.gross < MOST:  # a later page: which groups have clicks isn't all in it
            rows = await asyncio.to_thread(read_clicks, store, grouping, parameters, ALL_GROUPS)
            clicked = [Group(row["group_key"]) for row in rows if not row["is_total"]]
        found += _silent(bought, {group.key for group in clicked}, after)
    return total, found[:limit]


def _counted(span: ReportSpan, runs: Runs, grouping: Grouping) -> dict[str, Any]:
    """Return by what the clicks are counted that are read, and the days that are read by quarters of an hour.

    That is what has fewest rows of all that tells apart what is asked for. Counts of a whole day can't be cut.
    """
    is_narrowed = bool(span.filters.link_id or span.filters.creator_id or span.filters.campaign_id)
    cut = set(runs.unrolled_days)
    if grouping.group_by in ("period", "total", "reason") and not is_narrowed:
        return {"counted_by": "quarter", "split_days": sorted(cut)}
    ends_ms = (span.from_ms, span.to_ms, *(start * 1000 for start in grouping.periods))
    cut.update(day_of(end_ms) for end_ms in ends_ms if end_ms % DAY_MS)
    if grouping.group_by in ("country", "device", "in_app_browser"):
        return {"counted_by": "" if is_narrowed else grouping.group_by, "split_days": sorted(cut)}
    return {"counted_by": "link", "split_days": sorted(cut)}


def _silent(
    bought: Mapping[tuple[bool, str], Sequence[tuple[Any, ...]]], clicked: set[str], after: Place
) -> list[Group]:
    """Return the groups behind a place that have orders and no clicks, those of nobody last."""
    places = sorted(place for place in bought if place[0] or place[1] not in clicked)
    if after.gross == 0:
        places = [place for place in places if place > (after.is_nobody, after.group)]
    return [Group(key, is_nobody, order_parts=bought[is_nobody, key]) for is_nobody, key in places]


def parts_of(rows: Sequence[Row]) -> Sequence[tuple[Any, ...]]:
    """Return the parts of the total among the rows of a statement; none where there is nothing."""
    return next((row["parts"] for row in rows if row["is_total"]), ())


def read_clicks(
    store: Store, grouping: Grouping, parameters: Mapping[str, Any], limit: int, after: Place = Place()
) -> list[Row]:
    """Return the total of clicks, if there are any, and at most `limit` groups behind a place. Raises StoreError."""
    if not grouping.has_clicks:
        return []
    place = {"after_gross": after.gross, "after_nobody": after.is_nobody, "after_group": after.group}
    return _read(store, "count_clicks", grouping, {**parameters, **CODES, **place, "limit": limit + 1})


def read_orders(store: Store, grouping: Grouping, parameters: Mapping[str, Any]) -> list[Row]:
    """Return the total of orders, if there are any, and every group that has some. Raises StoreError."""
    return _read(store, "count_orders", grouping, parameters)


def _read(store: Store, name: str, grouping: Grouping, parameters: Mapping[str, Any]) -> list[Row]:
    with store.session() as session:
        session.run(SQL["create_link_groups"])
        try:
            if grouping.links:
                session.upload("link_groups", ("link_id", "group_key"), [list(pair) for pair in grouping.links.items()])
            return session.rows(SQL[name], **parameters, **grouping.parameters())
        finally:
            session.run(SQL["drop_link_groups"])
