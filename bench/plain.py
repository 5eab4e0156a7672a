"""The same questions as a plain design asks them: of events in a PostgreSQL table, beside reports over facts."""

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
from bench.reports import ask_all, derive_all
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
    "order_id": "text",
    "revenue_cents": "bigint",
}
INDEXES = ("(organization_id, occurred_at)", "(organization_id, event_type, occurred_at)", "(click_id)")
_SPAN = "organization_id = $1 and occurred_at >= $2 and occurred_at < $3"
QUESTIONS = {
    "timeseries": (
        {"from": "2026-08-01"},
        f"""
        select
            date_trunc('day', occurred_at, 'Europe/Berlin') as day,
            count(*) filter (where event_type = 'click') as gross,
            count(*) filter (where event_type = 'click' and bot_score < 50) as valid,
            count(distinct click_id) filter (where event_type in ('session', 'pageview')) as arrived,
            count(distinct order_id) filter (where event_type = 'conversion') as orders,
            sum(revenue_cents) filter (where event_type = 'conversion') as revenue
        from events where {_SPAN} group by day order by day
        """,
    ),
    "breakdown": (
        {"from": "2026-09-29", "group_by": "creator"},
        f"""
        with clicks as (
            select creator_id, count(*) as gross, count(*) filter (where bot_score < 50) as valid
            from events where {_SPAN} and event_type = 'click' group by creator_id
        ),
        orders as (
            select clicked.creator_id, count(distinct bought.order_id) as orders, sum(bought.revenue_cents) as revenue
            from events as bought join events as clicked
                on clicked.event_id = bought.click_id and clicked.click_id = bought.click_id
            where bought.organization_id = $1 and bought.occurred_at >= $2 and bought.occurred_at < $3
                and bought.event_type = 'conversion' and clicked.event_type = 'click'
                and bought.occurred_at - clicked.occurred_at < interval '30 days'
            group by clicked.creator_id
        )
        select * from clicks left join orders using (creator_id) order by gross desc
        """,
    ),
    "funnel": (
        {"from": "2026-09-29"},
        f"""
        with clicks as (select event_id, bot_score from events where {_SPAN} and event_type = 'click')
        select
            count(*) as gross,
            count(*) filter (where bot_score < 50) as valid,
            count(*) filter (where bot_score < 50 and seen.click_id is not null) as arrived,
            (select count(distinct order_id) from events where {_SPAN} and event_type = 'conversion') as orders,
            (select sum(revenue_cents) from events where {_SPAN} and event_type = 'conversion') as revenue
        from clicks left join (
            select distinct click_id from events where {_SPAN} and event_type in ('session', 'pageview')
        ) as seen on seen.click_id = clicks.event_id
        """,
    ),
}


def run() -> dict[str, Any]:
    """Return the medians of both, warm, one question after another, and how many times as long PostgreSQL takes."""
    with told(int(MILLIONS * 1e6), ORGANIZATIONS, DAYS) as store, tempfile.TemporaryDirectory() as folder:
        derive_all(store)
        with serve_postgres(*TUNED) as server:
            plain = asyncio.run(_ask_postgres(store, server))
        asked = [(report, query) for report, (query, _) in QUESTIONS.items()]
        ours = {
            name.split()[0]: statistics.median(times)
            for name, times in asyncio.run(ask_all(store, Path(folder), asked, ROUNDS)).items()
        }
    figures = {
        report: {"postgresql_ms": round(plain[report]), "ms": round(took), "ratio": round(plain[report] / took, 1)}
        for report, took in ours.items()
    }
    return {"events_in_millions": MILLIONS, **figures, "aim_ratio": AIM_RATIO}


async def _ask_postgres(store: Store, server: Server) -> dict[str, float]:
    connection = await asyncpg.connect(f"postgresql://postgres@127.0.0.1:{server.port}/postgres")
    try:
        await _fill(connection, store)
        start, end = datetime(2026, 7, 31, 22, tzinfo=UTC), datetime(2026, 10, 29, 23, tzinfo=UTC)
        month = datetime(2026, 9, 28, 22, tzinfo=UTC)
        took = {}
        for report, (query, sql) in QUESTIONS.items():
            first = start if query["from"] == "2026-08-01" else month
            times = []
            for _ in range(ROUNDS):
                began = time.perf_counter()
                await connection.fetch(sql, LARGEST, first, end)
                times.append((time.perf_counter() - began) * 1000)
            took[report] = statistics.median(times[1:])
        return took
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
