"""Who is real, counted: every click under one verdict, so that gross = valid + each reason's, however it is grouped."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import Query
from pydantic import Field
from sqlalchemy import select

from stackfluence.api.access import Reading, Reads
from stackfluence.api.clicks import SQL as CLICKS
from stackfluence.api.fields import Time, Told
from stackfluence.api.paging import PageQuery, decode_cursor, encode_cursor
from stackfluence.api.reports import SpanQuery, read_span
from stackfluence.api.routes import router
from stackfluence.catalog import load_horizon, tables
from stackfluence.clock import now_ms
from stackfluence.errors import Invalid
from stackfluence.events.statements import read_statements
from stackfluence.events.store import Row
from stackfluence.facts import read_policy_books
from stackfluence.reasons import REASONS, rank
from stackfluence.vocabulary import TrafficClass

SQL = read_statements(Path(__file__).with_name("traffic.sql"))
SCORE_STEPS = 10  # of 10 points each; the last has 100, too
_MOST = (1 << 63) - 1  # more clicks than any group has

GroupBy = Literal["total", "creator", "campaign", "link", "day", "in_app_browser", "country"]

HEAVIEST_FIRST = sorted(REASONS, key=rank)
HEAVIEST_WEIGHTS = [REASONS[reason].weight for reason in HEAVIEST_FIRST]
SOPHISTICATED = sorted(word for word, row in REASONS.items() if row.traffic_class == TrafficClass.sivt)


class TrafficQuery(PageQuery, SpanQuery):
    """Of when and of whom, and how it is grouped."""

    group_by: GroupBy = "total"


class Arrivals(Told):
    """How many clicks came how far, each stage a part of the one before, as the IAB counts them; of derived ones.

    The IAB's first stage, *initiated*, is a tap, of which nobody but the app that shows the post knows. The share is of
    valid clicks alone.
    """

    measured: int = Field(description="They were redirected: all that are derived.")
    received: int = Field(description="Of these, those whose session began on the site.")
    resolved: int = Field(description="Of these, those that saw a page or spent time on it.")
    measurable_permille: int | None = Field(
        description="Of a thousand valid clicks, those a session arrived from; null before any is derived."
    )


class TrafficCounts(Told):
    """Clicks: `gross` = `valid` + the sum of `by_reason`; `givt` + `sivt` is that sum, too."""

    gross: int
    valid: int
    by_reason: dict[str, int] = Field(description="Each invalid click under the reason that weighs most.")
    givt: int
    sivt: int
    possible_duplicates: int = Field(description="Marked so, and counted all the same.")
    not_derived: int = Field(description="Those no run has judged yet, counted by what their edge said of them.")
    arrival: Arrivals
    scores: list[int] = Field(
        description="Clicks by score: 0 to 9, 10 to 19, … 90 to 100.", min_length=SCORE_STEPS, max_length=SCORE_STEPS
    )


class TrafficGroup(TrafficCounts):
    """The clicks of one creator, day, and so on."""

    group: str = Field(description="An id, a date, a country or an app; empty where it isn't known, and of the total.")
    name: str | None = Field(description="A creator's handle, a campaign's slug, a link's path.")


class Traffic(Told):
    """Groups with most clicks first. `total` is of all of them, not of this part alone."""

    from_: Time | None = Field(serialization_alias="from")
    to: Time | None
    time_zone: str
    group_by: GroupBy
    run_id: int = Field(description="The newest derivation run that was read; 0 before the first.")
    total: TrafficCounts
    items: list[TrafficGroup]
    next_cursor: str | None


routes = router("reports")


@routes.get("/reports/traffic", summary="Count clicks by verdict")
async def count_traffic(asked: Annotated[TrafficQuery, Query()], reading: Reads) -> Traffic:
    """Count clicks by verdict, grouped: gross = valid + each reason's, exactly, in every group.

    Later parts of a list are of the same moment as its first.
    """
    span = await read_span(reading, asked)
    moment = now_ms()
    (horizon, last_run), after = await _place(reading, asked, moment)
    policies = (await read_policy_books(reading.core.catalog, reading.organization_id))[reading.organization_id]
    common = {
        "organization_id": reading.organization_id,
        "horizon": horizon,
        "last_run": last_run,
        "now_ms": moment,
        "time_zone": span.time_zone,
        **policies.parameters(),
        "heaviest_first": HEAVIEST_FIRST,
        "heaviest_weights": HEAVIEST_WEIGHTS,
        "sophisticated": SOPHISTICATED,
        **span.filters.subject(),
    }
    store = reading.core.events
    first = {"after_gross": _MOST, "after_group": "", "limit": 1}
    totals, rows = await asyncio.gather(
        store.read(SQL["count_traffic"], **common, **first, group_by="total"),
        store.read(SQL["count_traffic"], **common, **after, limit=asked.limit + 1, group_by=asked.group_by),
    )
    shown, is_last = rows[: asked.limit], len(rows) <= asked.limit
    names = await names_of(reading, asked.group_by, [row["group_key"] for row in shown])
    end = shown[-1] if shown and not is_last else None
    return Traffic(
        from_=span.from_ms,
        to=span.to_ms,
        time_zone=span.time_zone,
        group_by=asked.group_by,
        run_id=last_run,
        total=TrafficCounts(**_counts(totals[0] if totals else None)),
        items=[TrafficGroup(group=row["group_key"], name=names.get(row["group_key"]), **_counts(row)) for row in shown],
        next_cursor=encode_cursor([horizon, last_run, end["gross"], end["group_key"]]) if end else None,
    )


async def _place(reading: Reading, asked: TrafficQuery, moment: int) -> tuple[tuple[int, int], dict[str, Any]]:
    """Return up to which load and run is read, and behind which group; raises Invalid for another list's cursor."""
    (last,) = await reading.core.events.read(CLICKS["last_run"], organization_id=reading.organization_id, now_ms=moment)
    horizon = await load_horizon(reading.core.catalog)
    if not asked.cursor:
        return (horizon, last["last_run"]), {"after_gross": _MOST, "after_group": ""}
    values = decode_cursor(asked.cursor, 4)
    then, run_id, gross, group = values
    if not isinstance(group, str) or not all(isinstance(value, int) and value >= 0 for value in values[:3]):
        raise Invalid("cursor: this is not a cursor of this list.", field="cursor")
    return (min(int(then), horizon), min(int(run_id), last["last_run"])), {"after_gross": gross, "after_group": group}


def _counts(row: Row | None) -> dict[str, Any]:
    """Return the members of TrafficCounts of a row, all zero without one."""
    if row is None:
        none = Arrivals(measured=0, received=0, resolved=0, measurable_permille=None)
        zero = dict.fromkeys(("gross", "valid", "givt", "sivt", "possible_duplicates", "not_derived"), 0)
        return {**zero, "by_reason": {}, "arrival": none, "scores": [0] * SCORE_STEPS}
    judged = row["valid_derived"]
    return {
        **{name: row[name] for name in ("gross", "valid", "givt", "sivt", "possible_duplicates", "not_derived")},
        "by_reason": dict(sorted(row["by_reason"].items(), key=lambda item: (-item[1], item[0]))),
        "arrival": Arrivals(
            measured=row["measured"],
            received=row["received"],
            resolved=row["resolved"],
            measurable_permille=row["valid_arrived"] * 1000 // judged if judged else None,
        ),
        "scores": [row["scores"].get(step, 0) for step in range(SCORE_STEPS)],
    }


async def names_of(reading: Reading, group_by: GroupBy, ids: Iterable[str]) -> dict[str, str]:
    """Return what people call the groups, by id, as far as the catalog knows them."""
    creator, campaign, link = tables.Creator, tables.Campaign, tables.Link
    wanted = sorted(set(ids) - {""})
    own = reading.organization_id
    if group_by == "creator":
        query = select(creator.id, creator.handle).where(creator.organization_id == own, creator.id.in_(wanted))
    elif group_by == "campaign":
        query = select(campaign.id, campaign.slug).where(campaign.organization_id == own, campaign.id.in_(wanted))
    elif group_by == "link":
        parts = (
            select(link.id, creator.handle, campaign.slug, link.asset_slug)
            .join(creator, creator.id == link.creator_id)
            .join(campaign, campaign.id == link.campaign_id)
            .where(link.organization_id == own, link.id.in_(wanted))
        )
        found = await reading.session.execute(parts)
        return {row[0]: "/".join(part for part in row[1:] if part) for row in found}
    else:
        return {}
    return {row[0]: row[1] for row in await reading.session.execute(query)}
