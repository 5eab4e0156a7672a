"""The same questions as a plain design asks them: of events in a PostgreSQL table, beside reports over facts.

The plain design counts what a report counts, as well as one statement can: what came of each click, each order once,
net of what came back, and the valid click that led to it. It knows nothing of repeated visits, of verdicts after the
click, of a customer's other devices, of what was told twice or late, and gives no reason but one.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
from tests.postgres import Server, serve_postgres

from bench.derive import DAYS, ORGANIZATIONS
from bench.history import LARGEST, told
from bench.reports import Answers, ask_all, derive_all
from stackfluence.events.statements import Statement
from stackfluence.events.store import Store

MILLIONS = float(os.environ.get("SF_BENCH_MILLIONS", "10"))
ROUNDS = 6  # of which the first warms up
AIM_RATIO = 50
TUNED = ("-c", "shared_buffers=4GB", "-c", "work_mem=256MB", "-c", "effective_cache_size=12GB")
COLUMNS = {
    "organization_id": "text",
    "event_type": "text",
    "event_id": "uuid",
    "occurred_at": "timestamptz",
    "click_id": "uuid",
    "link_id": "text",
    "creator_id": "text",
    "campaign_id": "text",
    "bot_score": "smallint",
    "bot_reasons": "text",
    "engaged_ms": "bigint",
    "order_id": "text",
    "revenue_cents": "bigint",
    "original_order_id": "text",
    "refund_amount_cents": "bigint",
}
INDEXES = ("(organization_id, occurred_at)", "(organization_id, event_type, occurred_at)", "(click_id)", "(event_id)")
# each click with what followed it, and each order once, net of what came back, with the valid click that led to it
_FACTS = """
    with visits as (
        select
            click_id,
            count(*) filter (where event_type = 'pageview') as pageviews,
            max(engaged_ms) as engaged_ms
        from events
        where
            organization_id = $1
            and event_type in ('session', 'pageview')
            and occurred_at >= $2
            and occurred_at < $3::timestamptz + interval '1 day'
        group by click_id
    ),
    clicks as (
        select
            clicked.occurred_at,
            clicked.creator_id,
            clicked.bot_score < 50 as is_valid,
            clicked.bot_reasons,
            visits.click_id is not null as is_arrived,
            visits.pageviews >= 2 or visits.engaged_ms >= 10000 as is_qualified,
            visits.pageviews
        from events as clicked
        left join visits on visits.click_id = clicked.event_id
        where
            clicked.organization_id = $1
            and clicked.event_type = 'click'
            and clicked.occurred_at >= $2
            and clicked.occurred_at < $3
    ),
    bought as (
        select distinct on (order_id) order_id, occurred_at, click_id, revenue_cents
        from events
        where organization_id = $1 and event_type = 'conversion' and occurred_at >= $2 and occurred_at < $3
        order by order_id, occurred_at
    ),
    returned as (
        select original_order_id, sum(refund_amount_cents) as refunded_cents
        from events
        where organization_id = $1 and event_type = 'refund' and occurred_at >= $2
        group by original_order_id
    ),
    orders as (
        select
            bought.occurred_at,
            bought.revenue_cents,
            coalesce(returned.refunded_cents, 0) as refunded_cents,
            named.creator_id
        from bought
        left join returned on returned.original_order_id = bought.order_id
        left join events as named on
            named.event_id = bought.click_id
            and named.event_type = 'click'
            and named.bot_score < 50
            and bought.occurred_at - named.occurred_at <= interval '30 days'
    ),
    clicked as (
        select
            {clicks_key} as key,
            count(*) as gross,
            count(*) filter (where is_valid) as valid,
            count(*) filter (where bot_reasons like '%declared_bot%') as declared_bots,
            count(*) filter (where is_valid and is_arrived) as arrived,
            count(*) filter (where is_valid and is_qualified) as qualified,
            sum(pageviews) filter (where is_valid) as pageviews
        from clicks
        group by key
    ),
    ordered as (
        select
            {orders_key} as key,
            count(*) as orders,
            sum(revenue_cents) as revenue_cents,
            sum(refunded_cents) as refunded_cents
        from orders
        group by key
    )
    select * from clicked full join ordered using (key) order by gross desc
"""
TOTALS = ("gross", "valid", "arrived", "pageviews", "orders")
_DAY = "date_trunc('day', occurred_at, 'Europe/Berlin')"
_BY_CREATOR = {"clicks_key": "creator_id", "orders_key": "coalesce(creator_id, '')"}
QUESTIONS = {
    "timeseries": ({"from": "2026-08-01"}, _FACTS.format(clicks_key=_DAY, orders_key=_DAY)),
    "breakdown": ({"from": "2026-09-29", "group_by": "creator"}, _FACTS.format(**_BY_CREATOR)),
    "funnel": ({"from": "2026-09-29"}, _FACTS.format(clicks_key="''", orders_key="''")),
}


def run() -> dict[str, Any]:
    """Return the medians of both, warm, one question after another, and how many times as long PostgreSQL takes.

    `differences` says by how much a report's totals are larger than those of the plain design.
    """
    answers: Answers = {}
    with told(int(MILLIONS * 1e6), ORGANIZATIONS, DAYS) as store, tempfile.TemporaryDirectory() as folder:
        derive_all(store)
        with serve_postgres(*TUNED) as server:
            plain, totals = asyncio.run(_ask_postgres(store, server))
        asked = [(report, query) for report, (query, _) in QUESTIONS.items()]
        ours = {
            name.split()[0]: statistics.median(times)
            for name, times in asyncio.run(ask_all(store, Path(folder), asked, ROUNDS, answers)).items()
        }
    told_by = {name.split()[0]: _totals(answer) for name, answer in answers.items()}
    figures = {
        report: {
            "postgresql_ms": round(plain[report]),
            "ms": round(took),
            "ratio": round(plain[report] / took, 1),
            "differences": {name: told_by[report][name] - totals[report][name] for name in TOTALS},
        }
        for report, took in ours.items()
    }
    return {"events_in_millions": MILLIONS, **figures, "aim_ratio": AIM_RATIO}


def _totals(answer: dict[str, Any]) -> dict[str, int]:
    """Return what a report says of its span as a whole, by the names of the plain design's columns."""
    if "steps" in answer:
        steps = {step["step"]: step["count"] for step in answer["steps"]}
        clicks = {"gross": steps["clicks"], "valid": steps["valid"], "arrived": steps["arrived"]}
        return {**clicks, "pageviews": answer["pageviews"], "orders": steps["orders"]}
    clicks, orders = answer["total"]["clicks"], answer["total"]["orders"]
    return {**{name: clicks[name] for name in TOTALS[:4]}, "orders": orders["conversions"]}


async def _ask_postgres(store: Store, server: Server) -> tuple[dict[str, float], dict[str, dict[str, int]]]:
    connection = await asyncpg.connect(f"postgresql://postgres@127.0.0.1:{server.port}/postgres")
    try:
        await _fill(connection, store)
        start, end = datetime(2026, 7, 31, 22, tzinfo=UTC), datetime(2026, 10, 29, 23, tzinfo=UTC)
        month = datetime(2026, 9, 28, 22, tzinfo=UTC)
        took, totals = {}, {}
        for report, (query, sql) in QUESTIONS.items():
            first = start if query["from"] == "2026-08-01" else month
            times = []
            for _ in range(ROUNDS):
                began = time.perf_counter()
                rows = await connection.fetch(sql, LARGEST, first, end)
                times.append((time.perf_counter() - began) * 1000)
            took[report] = statistics.median(times[1:])
            totals[report] = {name: int(sum(row[name] or 0 for row in rows)) for name in TOTALS}
        return took, totals
    finally:
        await connection.close()


async def _fill(connection: asyncpg.Connection, store: Store) -> None:
    """Copy the events, index them, and let PostgreSQL learn what is in them."""
    await connection.execute(f"create unlogged table events ({', '.join(map(' '.join, COLUMNS.items()))})")
    picked = Statement(
        "pick_events",
        "",
        f"""
        select {", ".join(COLUMNS)} from events
        where organization_id >= {{first:String}} and organization_id < {{end:String}}
        """,
    )
    for first in range(0, ORGANIZATIONS, 5):
        asked = {"first": f"org_{first:07d}", "end": f"org_{first + 5:07d}"}
        with store.session() as session, tempfile.TemporaryFile() as file:
            file.write(session.raw(picked, "CSV", **asked))
            file.seek(0)
            await connection.copy_to_table("events", source=file, format="csv", null="\\N", columns=list(COLUMNS))
    for columns in INDEXES:
        await connection.execute(f"create index on events {columns}")
    await connection.execute("vacuum analyze events")
