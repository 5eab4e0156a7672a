"""Ten thousand concurrent copies of one conversion, and again after every process was killed: one conversion."""

from __future__ import annotations

import asyncio
import os
import re
import tempfile
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
from tests.edge.edges import Client
from tests.processes import serving as processes
from tests.processes.serving import Serving, serving, wait_for

COPIES = int(os.environ.get("SF_BENCH_COPIES", "10000"))
CONNECTIONS = 200
BODY = b'{"order_id":"o-1","revenue_cents":12900,"currency":"USD","idempotency_key":"o-1"}'


def run() -> dict[str, Any]:
    """Return how many conversions came of all copies (must be 1), and how they were answered."""
    with tempfile.TemporaryDirectory(dir=os.environ.get("SF_BENCH_DIR")) as folder, serving(Path(folder)) as running:
        started = time.monotonic()
        first = asyncio.run(send_copies(running))
        seconds = time.monotonic() - started
        for name in ("edge-0", "core"):
            running.kill(name)
        wait_for(lambda: answers(running), running.log)
        second = asyncio.run(send_copies(running))
        wait_for(lambda: stored(running) >= 2 * COPIES, running.log)
        conversions = derived(running)
    return {
        "conversions": len(conversions),
        "must_be": 1,
        "revenue_cents": sum(each["revenue_cents"] for each in conversions),
        "copies": 2 * COPIES,
        "answers": dict(first),
        "answers_after_kill": dict(second),
        "per_second": round(COPIES / seconds),
    }


async def send_copies(running: Serving) -> Counter[str]:
    """Send all copies over many connections at once; returns how often each status was answered."""
    found: Counter[str] = Counter()
    host, _, port = running.address.removeprefix("http://").partition(":")

    async def send(copies: int) -> None:
        client = Client(*await asyncio.open_connection(host, int(port)))
        for _ in range(copies):
            while True:
                answer = await client.request("POST", "/v1/events/conversion", BODY, **running.secret)
                if answer.status != 503:
                    break
                await asyncio.sleep(0.2)  # as its Retry-After asks
            found[answer.json["status"]] += 1
        await client.close()

    await asyncio.gather(*(send(COPIES // CONNECTIONS) for _ in range(CONNECTIONS)))
    return found


def answers(running: Serving) -> bool:
    """Whether edge and core are back."""
    try:
        return httpx.get(f"{running.address}/openapi.json", timeout=2).status_code == 200
    except httpx.HTTPError:
        return False


def stored(running: Serving) -> int:
    """Return how many lines the loader has put into the store, as the summary counts them."""
    answer = httpx.get(f"{running.address}/v1/reports/summary", headers=running.secret, timeout=30)
    return int(answer.json()["stored"]) if answer.status_code == 200 else 0


def derived(running: Serving) -> list[dict[str, Any]]:
    """Derive the days around today and return all conversions."""
    today = datetime.now(UTC).date()
    days = ["--from", str(today - timedelta(days=1)), "--to", str(today + timedelta(days=1))]
    done = processes.run(running.directory, "derive", *days)
    assert done.returncode == 0, re.sub(r"\s+", " ", done.stderr)
    answer = httpx.get(f"{running.address}/v1/conversions", headers=running.secret, timeout=30)
    found: list[dict[str, Any]] = answer.raise_for_status().json()["items"]
    return found
