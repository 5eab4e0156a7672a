"""The groups of a report: clicks and orders are added up side by side, and put together by group."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np

from stackfluence.api.access import Reading
from stackfluence.api.core import Core
from stackfluence.api.report_facts import SQL, ClickPart, Counts, Runs, scan_of, tell_clicks, tell_orders
from stackfluence.api.report_pieces import Kept, Rows, Slice
from stackfluence.api.report_query import DAY_MS, ReportQuery, ReportSpan
from stackfluence.api.report_sums import Sums, once_each

MOST = (1 << 63) - 1  # more clicks than any group has
DAY_S = DAY_MS // 1000
BILLION = 1_000_000_000
ORDER_DAYS_AT_ONCE = 32  # each order has a row, so days of orders are larger than counts of clicks
AMOUNTS = 5  # of an order; first the billions in each, then the rest of each
# where a row of `read_order_shares` says if it is of nobody, when it was (two on which order it is), and what it adds
NOBODY, MOMENT, NUMBERS = 2, 3, 6
# what statements tell apart for each way to group; what only the catalog knows is told by link
KEYS = {
    "period": "nothing",
    "total": "nothing",
    "creator": "creator_id",
    "campaign": "campaign_id",
    "link": "link_id",
    "post": "link_id",
    "kind": "link_id",
    "platform": "link_id",
    "country": "country",
    "device": "device_class",
    "in_app_browser": "in_app_browser",
    "reason": "reason",
    "customer_type": "customer_type",
}
_WITH_NOBODY = ("period", "total", "customer_type")  # orders of nobody are in the groups of the others


@dataclass(frozen=True, slots=True)
class Grouping:
    """By what is counted: `links` are groups that only the catalog knows, by link; `other` is that of other links.

    `periods` are where periods begin, in seconds since 1970.
    """

    group_by: str
    periods: Sequence[int] = ()
    links: Mapping[str, str] | None = None
    other: str = ""
    has_clicks: bool = True

    def groups_of(self, sums: Sums, kept: Kept, rows: Rows, seconds: Rows) -> Rows:
        """Return the group of each row in the numbers of sums: by its moment, or by its key."""
        if self.periods:
            codes = sums.groups.codes([str(period) for period in self.periods])
            return codes[np.searchsorted(self.periods, seconds, "right") - 1]
        keys, links = kept.keys.all, self.links
        names = keys if links is None else [links.get(key, self.other if key else "") for key in keys]
        return sums.groups.codes(names)[rows[:, 0]]


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
    scan_from_ms, scan_to_ms, moment = scan_of(span, asked.by)
    whose = {
        "organization_id": reading.organization_id,
        "is_test": asked.is_test,
        "link_id": span.filters.link_id,
        "creator_id": span.filters.creator_id,
        "campaign_id": span.filters.campaign_id,
        "key": KEYS[grouping.group_by],
    }
    by_model = {**whose, "model": asked.model, "moment": moment}
    core, run = reading.core, partial(asyncio.get_running_loop().run_in_executor, reading.core.pieces.threads)
    clicks, (orders, all_orders) = await asyncio.gather(
        run(_add_clicks, core, span, runs, grouping, whose),
        run(_add_orders, core, span, runs, grouping, by_model, (scan_from_ms, scan_to_ms)),
    )
    total = Group(click_parts=_click_parts(clicks.whole(), 0), order_parts=_order_parts(all_orders, 0))
    return total, _page(clicks, orders, limit, after)


def _add_clicks(core: Core, span: ReportSpan, runs: Runs, grouping: Grouping, whose: Mapping[str, Any]) -> Sums:
    """Return clicks and pages seen by group and part. Raises StoreError."""
    sums = Sums(columns=2)
    if not grouping.has_clicks:
        return sums
    slices = _slices(span.from_ms // 1000, span.to_ms // 1000, grouping.periods, runs, runs.click_runs)
    for counted_by, some in _counted(slices, grouping, whose):
        parameters = {**whose, "counted_by": counted_by}
        starts = np.array([each.from_s for each in some], dtype=np.int64)
        for kept, rows, places in core.pieces.read(core.events, SQL["read_click_counts"], parameters, some):
            groups = grouping.groups_of(sums, kept, rows, starts[places])
            sums.add(groups, sums.parts_of(kept, rows), rows[:, 2:])
    return sums


def _add_orders(
    core: Core,
    span: ReportSpan,
    runs: Runs,
    grouping: Grouping,
    by_model: Mapping[str, Any],
    scan_ms: tuple[int, int],
) -> tuple[Sums, Sums]:
    """Return orders, credits and amounts by group and part, and all by part. Raises StoreError.

    Groups have twice their number, those of orders of nobody one more. Days are read whole: whether an order is of the
    span, its moment says.
    """
    sums, distinct = Sums(columns=2 + 2 * AMOUNTS), Sums(columns=1)
    from_s, to_s = scan_ms[0] // DAY_MS * DAY_S, -(-scan_ms[1] // DAY_MS) * DAY_S
    slices = _slices(from_s, to_s, (), runs, runs.order_runs)
    read = core.pieces.read(core.events, SQL["read_order_shares"], by_model, slices, ORDER_DAYS_AT_ONCE)
    for kept, rows, places in read:
        is_within = (rows[:, MOMENT] >= span.from_ms) & (rows[:, MOMENT] < span.to_ms)
        rows, places = rows[is_within], places[is_within]
        is_nobody, moments_ms, order_places, is_shared = rows[:, NOBODY:NUMBERS].T
        groups = 2 * grouping.groups_of(sums, kept, rows, moments_ms // 1000)
        if grouping.group_by not in _WITH_NOBODY:
            groups += is_nobody
        orders, parts = (places << 32) + order_places, sums.parts_of(kept, rows)
        numbers = np.column_stack([once_each(groups, parts, orders, is_shared), rows[:, NUMBERS:]])
        sums.add(groups, parts, numbers)
        # what several groups share isn't several orders
        none = np.zeros_like(groups)
        distinct.add(none, parts, once_each(none, parts, orders, is_shared))
    whole = sums.whole()
    whole.rows[:, 2] = distinct.rows[:, 2]
    return sums, whole


def _slices(from_s: int, to_s: int, cuts: Iterable[int], runs: Runs, run_of_day: Sequence[int]) -> list[Slice]:
    """Return what was derived of a span, cut at midnights (UTC) and where it is asked to."""
    midnights = range(from_s // DAY_S * DAY_S + DAY_S, to_s, DAY_S)
    ends = sorted({from_s, to_s, *midnights, *(cut for cut in cuts if from_s < cut < to_s)})
    every = (Slice(start, end, run_of_day[start // DAY_S - runs.first_number]) for start, end in pairwise(ends))
    return [each for each in every if each.run_id]


def _counted(
    slices: Sequence[Slice], grouping: Grouping, whose: Mapping[str, Any]
) -> Iterator[tuple[str, Sequence[Slice]]]:
    """Yield by what the clicks are counted that are read, and of which slices.

    That is what has fewest rows of all that tells apart what is asked for. Counts of a whole day can't be cut.
    """
    is_narrowed = bool(whose["link_id"] or whose["creator_id"] or whose["campaign_id"])
    if grouping.group_by in ("country", "device", "in_app_browser"):
        whole, cut = "all" if is_narrowed else grouping.group_by, "all"
    elif grouping.group_by in ("period", "total", "reason") and not is_narrowed:
        whole, cut = "device", "quarter"
    else:
        whole, cut = "link", "all"
    for counted_by, is_whole in ((whole, True), (cut, False)):
        some = [each for each in slices if (each.to_s - each.from_s == DAY_S) == is_whole]
        if some:
            yield counted_by, some


def _page(clicks: Sums, orders: Sums, limit: int, after: Place) -> list[Group]:
    """Return at most `limit` groups behind a place."""
    gross = clicks.by_group(0)
    clicked = {(False, clicks.groups.all[group]): group for group in clicks.present()}
    ordered = {(group % 2 == 1, orders.groups.all[group // 2]): group for group in orders.present()}
    places = [(-int(gross[group]), *key) for key, group in clicked.items()]
    places += [(0, *key) for key in ordered if key not in clicked]
    behind = -after.gross, after.is_nobody, after.group
    found = []
    for less, is_nobody, name in sorted(place for place in places if place > behind)[:limit]:
        click_parts = _click_parts(clicks, clicked.get((is_nobody, name)))
        order_parts = _order_parts(orders, ordered.get((is_nobody, name)))
        found.append(Group(name, is_nobody, -less, click_parts, order_parts))
    return found


def _click_parts(sums: Sums, group: int | None) -> list[ClickPart]:
    return [] if group is None else [(*words, *numbers) for words, numbers in sums.told(group)]


def _order_parts(sums: Sums, group: int | None) -> list[tuple[Any, ...]]:
    parts = []
    for words, (orders, credits, *amounts) in [] if group is None else sums.told(group):
        both = zip(amounts[:AMOUNTS], amounts[AMOUNTS:], strict=True)
        parts.append((*words, orders, credits, *(billions * BILLION + rest for billions, rest in both)))
    return parts
