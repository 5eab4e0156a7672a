"""The groups of a report: clicks and orders are counted side by side, and put together by group."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any

from stackfluence.api.access import Reading
from stackfluence.api.report_facts import SQL, ClickPart, Counts, Runs, subject_of, tell_clicks, tell_orders
from stackfluence.api.report_query import DAY_MS, ReportQuery, ReportSpan, day_of
from stackfluence.events.store import Row, Store

MOST = (1 << 63) - 1  # more clicks than any group has
ALL_GROUPS = (1 << 32) - 1  # what a statement's limit holds
# what statements group by; what only the catalog knows by `links`
COLUMNS = {
    "period": "period",
    "total": "total",
    "creator": "creator_id",
    "campaign": "campaign_id",
    "link": "link_id",
    "country": "country",
    "device": "device_class",
    "in_app_browser": "in_app_browser",
    "reason": "reason",
    "customer_type": "customer_type",
}
_WITH_NOBODY = ("period", "total", "customer_type")  # orders of nobody are in the groups of the others


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
            "group_by": COLUMNS[self.group_by] if self.links is None else "catalog_group",
            "periods": list(self.periods),
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
    click_parts: Sequence[ClickPart] = field(default=())
    order_parts: Sequence[tuple[Any, ...]] = field(default=())

    def told(self) -> Counts:
        """Return the row of a report."""
        return Counts(clicks=tell_clicks(self.click_parts), orders=tell_orders(self.order_parts))


Bought = dict[tuple[bool, str], list[tuple[Any, ...]]]  # parts of orders by group, those of nobody apart


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
    subject = subject_of(reading, span, asked)
    store = reading.core.events

    async def clicks_by(by: Grouping, limit: int, after: Place = Place()) -> list[Row]:
        bound = {**subject, **runs.of_clicks(), **_counted(span, by)}
        return await asyncio.to_thread(read_clicks, store, by, bound, limit, after) if by.has_clicks else []

    of_orders = {**subject, **runs.of_orders()}
    clicks, (total_orders, bought) = await asyncio.gather(
        clicks_by(grouping, limit, after), asyncio.to_thread(read_orders, store, grouping, of_orders)
    )
    is_all = grouping.group_by == "total" or (after == Place() and len(clicks) < limit)
    whole = clicks if is_all else await clicks_by(replace(grouping, group_by="total", links=None), 1)
    total = Group(click_parts=list(chain.from_iterable(row["parts"] for row in whole)), order_parts=total_orders)
    found = [
        Group(row["group_key"], False, row["gross"], row["parts"], bought.get((False, row["group_key"]), ()))
        for row in clicks
    ]
    if len(found) < limit and bought:
        clicked = clicks if is_all else await clicks_by(grouping, ALL_GROUPS)  # not all that have clicks are behind it
        found += _silent(bought, {row["group_key"] for row in clicked}, after)
    return total, found[:limit]


def _counted(span: ReportSpan, grouping: Grouping) -> dict[str, Any]:
    """Return by what the clicks are counted that are read, and the days that are read by quarters of an hour.

    That is what has fewest rows of all that tells apart what is asked for. Counts of a whole day can't be cut.
    """
    is_narrowed = bool(span.filters.link_id or span.filters.creator_id or span.filters.campaign_id)
    counted_by = grouping.group_by if grouping.group_by in ("country", "device", "in_app_browser") else "link"
    if grouping.group_by in ("period", "total", "reason") and not is_narrowed:
        counted_by = "quarter"
    if counted_by != "link" and is_narrowed:
        counted_by = "all"
    if counted_by in ("quarter", "all"):
        return {"counted_by": counted_by, "split_days": []}
    ends_ms = (span.from_ms, span.to_ms, *(start * 1000 for start in grouping.periods))
    split = sorted({day_of(end_ms) for end_ms in ends_ms if end_ms % DAY_MS})
    return {"counted_by": counted_by, "split_days": split}


def _silent(bought: Bought, clicked: set[str], after: Place) -> list[Group]:
    """Return the groups behind a place that have orders and no clicks, those of nobody last."""
    places = sorted(place for place in bought if place[0] or place[1] not in clicked)
    if after.gross == 0:
        places = [place for place in places if place > (after.is_nobody, after.group)]
    return [Group(key, is_nobody, order_parts=bought[is_nobody, key]) for is_nobody, key in places]


def read_clicks(
    store: Store, grouping: Grouping, parameters: Mapping[str, Any], limit: int, after: Place = Place()
) -> list[Row]:
    """Return at most `limit` groups of clicks behind a place. Raises StoreError."""
    place = {"after_gross": after.gross, "after_nobody": after.is_nobody, "after_group": after.group}
    return _read(store, "count_clicks", grouping, {**parameters, **place, "limit": limit})


def read_orders(
    store: Store, grouping: Grouping, parameters: Mapping[str, Any]
) -> tuple[list[tuple[Any, ...]], Bought]:
    """Return the parts of all orders, and those of every group that has some. Raises StoreError."""
    total: list[tuple[Any, ...]] = []
    bought: Bought = {}
    for row in _read(store, "count_orders", grouping, parameters):
        is_total, key, is_nobody, *part = row.values()
        if is_total:
            total.append(tuple(part))
        else:
            place = bool(is_nobody) and grouping.group_by not in _WITH_NOBODY, str(key)
            bought.setdefault(place, []).append(tuple(part))
    return total, bought


def _read(store: Store, name: str, grouping: Grouping, parameters: Mapping[str, Any]) -> list[Row]:
    bound = {**parameters, **grouping.parameters()}
    with store.session() as session:
        if grouping.links is None:
            return session.rows(SQL[name], **bound)
        session.run(SQL["create_link_groups"])
        try:
            if grouping.links:
                session.upload("link_groups", ("link_id", "group_key"), [list(pair) for pair in grouping.links.items()])
            return session.rows(SQL[name], **bound)
        finally:
            session.run(SQL["drop_link_groups"])
