"""The same questions as a plain design asks them: of events in a PostgreSQL table, beside reports over facts.

The plain design tells what a report tells: what came of each click, or why it doesn't count; each order once, by
currency, net of what came back, and the valid click that led to it. It knows nothing of evidence that comes after the
click, of a customer's other devices, of codes, of creators' own customers, of gift cards, of policies but the first,
or of what was derived when. It takes all that a click's pages told for one visit, and the first credible telling of an
order for the last. Its rows count as its answer, while reports are put together, and sent over HTTP. Anomalies aren't
asked of it: they weigh each day against those before, for which a plain design has no statement.

It is asked twice: with the indexes that anybody would give such a table, and with one per kind of question that has all
that this reads, which takes more room than the events, and more again for every question that nobody thought of.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import tempfile
import time
from collections import Counter, defaultdict
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

import asyncpg
from tests.postgres import serve_postgres

from bench.derive import DAYS, ORGANIZATIONS
from bench.history import LARGEST, told
from bench.plain_events import COVERING_INDEXES, INDEXES, fill, index_by
from bench.reports import ASKED, Answers, ask_all, derive_all
from stackfluence.events.statements import read_statements
from stackfluence.events.store import Store

MILLIONS = float(os.environ.get("SF_BENCH_MILLIONS", "10"))
ROUNDS = 4  # of which the first warms up
AIM_RATIO = 50
SQL = read_statements(Path(__file__).with_name("plain.sql"))
QUESTIONS = [(report, asked) for report, asked in ASKED if report != "anomalies"]
TUNED = (
    *("-c", "shared_buffers=4GB"),
    *("-c", "work_mem=256MB"),
    *("-c", "effective_cache_size=12GB"),
    *("-c", "maintenance_work_mem=1GB"),
    *("-c", "random_page_cost=1.1"),  # all of it is in memory
    *("-c", "plan_cache_mode=force_custom_plan"),  # a millisecond, where a plan for any span costs far more
    *("-c", "enable_sort=off"),  # or groups by what is computed, taken for many, are sorted instead of hashed
    *("-c", "autovacuum=off"),  # the table is vacuumed when it is full, and changes no more
    *("-c", "timezone=UTC"),
)
COUNTS = ("gross", "valid", "arrived", "qualified", "pageviews", "orders")
MONEY = ("revenue_micros", "refunded_micros", "net_revenue_micros", "commission_base_micros", "net_base_micros")

# by what is counted, of columns that clicks and orders both have; links are few, so that theirs is looked up at the end
_KEYS = {
    "in_app_browser": "coalesce(in_app_browser, '')",
    "country": "coalesce(country, '')",
    "reason": "coalesce(invalid_reason, 'valid')",
    "post": "link_id",
    "kind": "link_id",
    "link": "link_id",
    "creator": "creator_id",
    "campaign": "campaign_id",
}
_LABELS = {"post": "links.post_id", "kind": "links.kind"}
_PERIODS = "width_bucket({at}, $4::timestamptz[])"  # a sixth of what date_trunc in a time zone takes
_CLICKED_OR_ORDERED = "case when uncredited_reason is null then clicked_at else ordered_at end"
Rows = list[asyncpg.Record]


class Plain(NamedTuple):
    """What the plain design told last, in rows that add up, and how many milliseconds it took each time."""

    clicks: Rows
    orders: Rows
    times: list[float]


def run() -> dict[str, Any]:
    """Return the medians of both, warm, one question after another, and how many times as long PostgreSQL takes.

    `covered_ms` and `covered_ratio` are those with an index per kind of question. `differences` says by how much a
    report's totals are larger than those of the plain design, and how many of the report's rows are told otherwise.
    """
    answers: Answers = {}
    with told(int(MILLIONS * 1e6), ORGANIZATIONS, DAYS) as store, tempfile.TemporaryDirectory() as folder:
        derive_all(store)
        ours = asyncio.run(ask_all(store, Path(folder), QUESTIONS, ROUNDS, answers))
        with serve_postgres(*TUNED) as server:
            plain, covered, sizes = asyncio.run(_ask_postgres(store, server.port, answers))
    plain_ms, covered_ms = (
        {name: statistics.median(each.times) for name, each in found.items()} for found in (plain, covered)
    )
    ours_ms = {name: statistics.median(times[1:]) for name, times in ours.items()}
    ratios = {name: round(plain_ms[name] / took, 1) for name, took in ours_ms.items()}
    return {
        "events_in_millions": MILLIONS,
        "postgresql_mb": sizes,
        **{
            name: {
                "postgresql_ms": round(plain_ms[name]),
                "covered_ms": round(covered_ms[name]),
                "ms": round(took),
                "ratio": ratios[name],
                "differences": _compare(answers[name], plain[name]),
            }
            for name, took in ours_ms.items()
        },
        "ratio": round(sum(plain_ms.values()) / sum(ours_ms.values()), 1),
        "smallest_ratio": min(ratios.values()),
        "median_ratio": round(statistics.median(ratios.values()), 1),
        "largest_ratio": max(ratios.values()),
        "covered_ratio": round(sum(covered_ms.values()) / sum(ours_ms.values()), 1),
        "aim_ratio": AIM_RATIO,
    }


async def _ask_postgres(
    store: Store, port: int, answers: Answers
) -> tuple[dict[str, Plain], dict[str, Plain], dict[str, int]]:
    """Return what the plain design tells of every question with either set of indexes, and how large all of it is.

    Clicks and orders are asked at the same time on two connections, as in a report.
    """
    url = f"postgresql://postgres@127.0.0.1:{port}/postgres"
    first, second = await asyncpg.connect(url), await asyncpg.connect(url)
    try:
        await fill(first, store)
        sizes = {"table": await first.fetchval("select pg_table_size('events') >> 20")}
        each: list[dict[str, Plain]] = []
        for kind, indexes in (("indexes", INDEXES), ("all_indexes", COVERING_INDEXES)):
            await index_by(first, indexes)
            sizes[kind] = await first.fetchval("select pg_indexes_size('events') >> 20")
            found: dict[str, Plain] = {}
            for report, asked in QUESTIONS:
                name = " ".join([report, *asked.values()])
                found[name] = await _ask(first, second, report, asked, answers[name])
            each.append(found)
        return each[0], each[1], sizes
    finally:
        await first.close()
        await second.close()


async def _ask(
    first: asyncpg.Connection, second: asyncpg.Connection, report: str, asked: dict[str, str], answer: dict[str, Any]
) -> Plain:
    start, end = datetime.fromisoformat(answer["from"]), datetime.fromisoformat(answer["to"])
    periods = [[datetime.fromisoformat(item["from"]) for item in answer["items"]]] if report == "timeseries" else []
    clicks_sql, orders_sql = _statements(report, asked)
    clicks: Rows = []
    times = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        asking = asyncio.ensure_future(second.fetch(orders_sql, LARGEST, start, end, *periods))
        if report != "customers":
            clicks = await first.fetch(clicks_sql, LARGEST, _lowest_id(start), _lowest_id(end), *periods)
        orders = await asking
        times.append((time.perf_counter() - began) * 1000)
    return Plain(clicks, orders, times[1:])


def _statements(report: str, asked: dict[str, str]) -> tuple[str, str]:
    """Return the statements that tell of clicks and of orders, as somebody would write them for this question alone."""
    group_by = asked.get("group_by", "")
    is_by_click = asked.get("by") == "click_day"
    counted_at = _CLICKED_OR_ORDERED if is_by_click else "ordered_at"
    narrowed = [f"{name} = '{value}'" for name, value in asked.items() if name in ("creator_id", "campaign_id")]
    label = _LABELS.get(group_by, "parts.key")
    common = {"label": label, "links": "left join links on links.link_id = parts.key" if group_by in _LABELS else ""}
    if report == "timeseries":
        click_key, order_key = _PERIODS.format(at="clicked_at"), _PERIODS.format(at=counted_at)
    elif report == "breakdown":
        click_key = _KEYS[group_by]
        order_key = f"case when uncredited_reason is null then {click_key} end"
    else:
        click_key, order_key = "''", "customer_type" if report == "customers" else "''"
    clicks = SQL["clicks"].sql.format(
        **common,
        key=click_key,
        # of few clicks the visits are looked up one by one, of most they are put beside
        lateral="lateral" if narrowed else "",
        visits_of="click_id = clicked.event_id" if narrowed else "click_id >= $2 and click_id < $3",
        clicks_of=f"clicked.{narrowed[0]}" if narrowed else "true",
    )
    orders = SQL["orders"].sql.format(
        **common,
        key=order_key,
        counted_at=counted_at,
        read_from="$2::timestamptz - interval '5 minutes'" if is_by_click else "$2",
        read_to="$3::timestamptz + interval '30 days'" if is_by_click else "$3",
        orders_of=f"uncredited_reason is null and {narrowed[0]}" if narrowed else "true",
    )
    return clicks, orders


def _lowest_id(moment: datetime) -> UUID:
    """Return what no UUIDv7 of a moment or later is below."""
    return UUID(int=((moment - datetime(1970, 1, 1, tzinfo=moment.tzinfo)) // timedelta(milliseconds=1)) << 80)


def _compare(answer: dict[str, Any], plain: Plain) -> dict[str, int]:
    """Return a report's totals less those of the plain design, and how many of the report's rows are told otherwise."""
    if "steps" in answer:
        steps = {step["step"]: step["count"] for step in answer["steps"]}
        ours = Counter(
            gross=steps["clicks"],
            pageviews=answer["pageviews"],
            **{name: steps[name] for name in ("valid", "arrived", "qualified", "orders")},
            **answer["amounts"].get("EUR", {}),
        )
        theirs = _add_up(plain.clicks, [row for row in plain.orders if not row["uncredited_reason"]])
        theirs["orders"] = sum(int(row["orders"]) for row in plain.orders)
    else:
        ours, theirs = _flat(answer["total"]), _add_up(plain.clicks, plain.orders)
    differences = {name: ours[name] - theirs[name] for name in (*COUNTS, *MONEY)}
    return {**differences, "rows_told_otherwise": _count_rows_apart(answer, plain)}


def _count_rows_apart(answer: dict[str, Any], plain: Plain) -> int:
    clicks: dict[Any, list[Any]] = defaultdict(list)
    orders: dict[Any, list[Any]] = defaultdict(list)
    for row in plain.clicks:
        clicks[row["key"]].append(row)
    for row in plain.orders:
        orders[row["key"]].append(row)
    apart = 0
    for place, item in enumerate(answer.get("items", [])):
        key = item.get("group", item.get("customer_type")) if "period" not in item else str(place + 1)
        apart += _flat(item) != _add_up(clicks[key], orders[key])
    return apart


def _flat(row: dict[str, Any]) -> Counter[str]:
    """Return the numbers of a report's row, those by reason among them."""
    clicks, orders = row.get("clicks", {}), row.get("orders", row)
    flat: Counter[str] = Counter({name: clicks.get(name, 0) for name in COUNTS})
    flat["orders"] = orders["conversions"]
    flat.update(clicks.get("invalid_by_reason", {}))
    flat.update(clicks.get("unqualified_by_reason", {}))
    flat.update(orders["uncredited_by_reason"])
    for amounts in orders["amounts"].values():
        flat.update(amounts)
    return flat


def _add_up(clicks: Rows, orders: Rows) -> Counter[str]:
    """Return the same of rows of the plain design."""
    flat: Counter[str] = Counter()
    for row in clicks:
        count = int(row["clicks"])
        flat["gross"] += count
        if row["invalid_reason"]:
            flat[row["invalid_reason"]] += count
            continue
        flat["valid"] += count
        flat["arrived"] += count * row["has_arrived"]
        flat["pageviews"] += int(row["pageviews"] or 0)
        flat[row["unqualified_reason"] or "qualified"] += count
    for row in orders:
        if row["left_out_reason"]:
            continue
        flat["orders"] += int(row["orders"])
        if row["uncredited_reason"]:
            flat[row["uncredited_reason"]] += int(row["orders"])
        for name in MONEY:
            flat[name] += int(row[name] or 0)
    return flat
