"""Reports over facts of a hundred organizations: how long the largest waits, which has a fifth of all events."""

from __future__ import annotations

import asyncio
import math
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx

from bench.derive import DAYS, LATER_MS, ORGANIZATIONS
from bench.history import AS_OF, LARGEST, days_of, told
from stackfluence.api import Core, create_api
from stackfluence.catalog import Catalog, finish_load, open_catalog, take_load
from stackfluence.catalog.policies import first_policy
from stackfluence.catalog.tables import Campaign, Creator, Link, Organization, Post
from stackfluence.click.click_id import ClickIdKeys
from stackfluence.events.statements import Statement
from stackfluence.events.store import Store
from stackfluence.facts import Run, derive, derive_orders, highest_run
from stackfluence.migrate import migrate
from stackfluence.settings import Settings
from stackfluence.vocabulary import KeyKind, LinkKind

MILLIONS = float(os.environ.get("SF_BENCH_MILLIONS", "10"))
ROUNDS = 6  # of which the first warms up
AIM_MS = 300
LINKS, CREATORS, CAMPAIGNS = 200, 50, 8  # as bench/history.sql has them
_QUARTER, _MONTH, _WEEK = "2026-08-01", "2026-09-29", "2026-10-23"  # 90, 31 and 7 days before END
END = "2026-10-30"
Questions = list[tuple[str, dict[str, str]]]  # a report, and what is asked of it
Answers = dict[str, dict[str, Any]]  # what was answered last
ASKED: Questions = [
    ("timeseries", {"from": _QUARTER}),
    ("timeseries", {"from": _QUARTER, "grain": "week", "creator_id": "crt_0000000007"}),
    ("timeseries", {"from": _MONTH, "by": "click_day", "model": "linear"}),
    ("timeseries", {"from": _WEEK, "grain": "hour", "time_zone": "Asia/Kathmandu"}),
    ("breakdown", {"from": _MONTH, "group_by": "creator"}),
    ("breakdown", {"from": _MONTH, "group_by": "post"}),
    ("breakdown", {"from": _MONTH, "group_by": "link", "campaign_id": "cmp_0000000003"}),
    ("breakdown", {"from": _MONTH, "group_by": "country"}),
    ("breakdown", {"from": _MONTH, "group_by": "in_app_browser", "creator_id": "crt_0000000007"}),
    ("breakdown", {"from": _QUARTER, "group_by": "campaign"}),
    ("breakdown", {"from": _QUARTER, "group_by": "kind"}),
    ("breakdown", {"from": _QUARTER, "group_by": "reason"}),
    ("funnel", {"from": _MONTH}),
    ("funnel", {"from": _QUARTER, "by": "click_day"}),
    ("customers", {"from": _QUARTER}),
    ("anomalies", {"from": _MONTH}),
]


def run() -> dict[str, Any]:
    """Return the 95th percentile over all questions, warm, asked one after another over HTTP, and each one's median."""
    with told(int(MILLIONS * 1e6), ORGANIZATIONS, DAYS) as store, tempfile.TemporaryDirectory() as folder:
        derive_all(store)
        took = asyncio.run(ask_all(store, Path(folder), ASKED, ROUNDS))
    first = sorted(times[0] for times in took.values())
    warm = {name: times[1:] for name, times in took.items()}
    every = sorted(each for times in warm.values() for each in times)
    return {
        "events_in_millions": MILLIONS,
        "p95_ms": round(every[math.ceil(len(every) * 0.95) - 1]),
        "first_median_ms": round(statistics.median(first)),
        "first_longest_ms": round(first[-1]),
        "median_ms": {name: round(statistics.median(times)) for name, times in warm.items()},
        "aim_p95_ms": AIM_MS,
    }


def derive_all(store: Store) -> None:
    """Derive the largest organization; the others have a twenty-fifth of its facts each, whatever they were told."""
    with store.session() as session:
        if session.row(_DERIVED)["organizations"] == ORGANIZATIONS:
            return
    days, last = days_of(DAYS + 8), highest_run(store)
    derive(store, Run(last + 1, LARGEST, AS_OF, LATER_MS), days[0], days[DAYS])
    derive_orders(store, Run(last + 2, LARGEST, AS_OF, LATER_MS), days)
    with store.session() as session:
        for table, picked in _COPIED.items():
            sql = f"""
                insert into {table}
                select * replace (concat('org_', leftPad(toString(place), 7, '0')) as organization_id)
                from {table} array join range(1, {ORGANIZATIONS}) as place
                where {table}.organization_id = '{LARGEST}' and {picked}
                """
            session.run(Statement("copy", "", sql))


_DERIVED = Statement("count", "", "select uniqExact(organization_id) as organizations from derived_order_days")
_COPIED = {
    "click_verdicts": "cityHash64(click_id) % 25 = place % 25",
    "click_rollups": "cityHash64(link_id, counted_at, country, device_class) % 25 = place % 25",
    "conversions": "cityHash64(conversion_id) % 25 = place % 25",
    "attributions": "cityHash64(conversion_id) % 25 = place % 25",
    "order_shares": "cityHash64(conversion_id) % 25 = place % 25",
    "derivation_runs": "true",
    "order_runs": "true",
    "derived_days": "true",
    "derived_order_days": "true",
}


async def ask_all(
    store: Store, folder: Path, questions: Questions, rounds: int, answers: Answers | None = None
) -> dict[str, list[float]]:
    """Return the milliseconds of each question, asked again and again in turn over HTTP; at first nothing is kept.

    What was answered last is put into `answers`.
    """
    url = f"sqlite+aiosqlite:///{folder / 'catalog.sqlite'}"
    await migrate(url)
    catalog = open_catalog(url)
    try:
        key = await _fill_catalog(catalog)
        api = create_api(Core(Settings(data_dir=str(folder)), catalog, ClickIdKeys({1: b"0" * 32}, 720), store))
        headers = {"Authorization": f"Bearer {key}"}
        transport = httpx.ASGITransport(api)
        async with httpx.AsyncClient(
            transport=transport, base_url="https://api.brand.example", headers=headers
        ) as client:
            return await _measure(client, questions, rounds, {} if answers is None else answers)
    finally:
        await catalog.close()


async def _measure(
    client: httpx.AsyncClient, questions: Questions, rounds: int, answers: Answers
) -> dict[str, list[float]]:
    took: dict[str, list[float]] = {}
    for _ in range(rounds):
        for report, asked in questions:
            query = {"to": END, "time_zone": "Europe/Berlin", **asked}
            started = time.perf_counter()
            answer = await client.get(f"/v1/reports/{report}", params=query)
            name = " ".join([report, *asked.values()])
            took.setdefault(name, []).append((time.perf_counter() - started) * 1000)
            answers[name] = answer.raise_for_status().json()
    return took


async def _fill_catalog(catalog: Catalog) -> str:
    """Add the organization and all that the history tells of; returns its secret key."""
    async with catalog.writing("cli") as change:
        common = {"organization_id": LARGEST}
        zone = "Europe/Berlin"
        await change.add(Organization(id=LARGEST, name="Brand", currency="EUR", accounting_time_zone=zone))
        await change.add(first_policy(LARGEST))
        _, key = await change.add_key(LARGEST, KeyKind.secret, "bench")
        for number in range(CREATORS):
            await change.add(Creator(**common, id=f"crt_{number:010d}", handle=f"emma{number}"))
        for number in range(CAMPAIGNS):
            await change.add(Campaign(**common, id=f"cmp_{number:010d}", slug=f"summer{number}"))
        for number in range(LINKS):
            creator, campaign = f"crt_{number % CREATORS:010d}", f"cmp_{number % CAMPAIGNS:010d}"
            place = {**common, "creator_id": creator, "campaign_id": campaign, "asset_slug": f"reel{number}"}
            post = f"pst_{number:010d}"
            await change.add(Post(**place, id=post, platform="instagram" if number % 3 else "tiktok"))
            kind = LinkKind.paid if number % 2 else LinkKind.organic
            url = "https://brand.example/shop"
            await change.add(
                Link(**place, id=f"lnk_{number:010d}", post_id=post, kind=kind.value, host="", destination_url=url)
            )
    await take_load(catalog, "bench", AS_OF, is_sole=True)
    await finish_load(catalog, AS_OF)
    return key
