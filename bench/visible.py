"""From a click's answer to its event in `GET /v1/events`, while a thousand other clicks a second come in."""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
from tests.processes.serving import Serving, serving
from tests.processes.test_crash import new_link

from bench import rig

SECONDS = float(os.environ.get("SF_BENCH_SECONDS", "40"))
WARM_UP_SECONDS = 5.0
PATIENCE_SECONDS = 30.0
OFTEN = "100000"  # requests a minute: who waits for a click asks fifty times a second
STEADY = "delay = function() return 31 end\n"  # milliseconds: about 1,000 requests a second from 32 connections


def run() -> dict[str, Any]:
    """Return p50 and p95 in seconds (aim 1 s at p95), of how many clicks, under what load."""
    if lacking := rig.missing_tools():
        return {"skipped": lacking}
    with (
        tempfile.TemporaryDirectory(dir=os.environ.get("SF_BENCH_DIR")) as folder,
        serving(Path(folder), SF_API_RATE=OFTEN) as running,
    ):
        busy, watched = new_link(running, "busy"), new_link(running, "watched")
        with ThreadPoolExecutor(1) as load:
            loading = load.submit(rig.wrk, running.address + busy, STEADY, 32, SECONDS)
            time.sleep(WARM_UP_SECONDS)
            waits = sorted(watch(running, watched, loading.done))
            clicks = loading.result()
    return {
        "p50_seconds": round(statistics.median(waits), 2),
        "p95_seconds": round(waits[int(len(waits) * 0.95)], 2),
        "aim": 1.0,
        "slowest_seconds": round(waits[-1], 2),
        "clicks_watched": len(waits),
        "other_clicks": clicks,
    }


def watch(running: Serving, path: str, is_over: Any) -> list[float]:
    """Click again and again, and follow the cursor until each click is there; returns the seconds each took."""
    waits: list[float] = []
    with httpx.Client(base_url=running.address, headers=running.secret, timeout=PATIENCE_SECONDS) as client:
        parameters = {"campaign_id": campaign_of(client, path)}
        while not is_over():
            assert client.get(path).status_code == 302
            clicked = time.monotonic()
            while time.monotonic() < clicked + PATIENCE_SECONDS:
                answer = client.get("/v1/events", params=parameters)
                assert answer.status_code == 200, answer.text
                page = answer.json()
                if page["resume_cursor"]:
                    parameters["cursor"] = page["resume_cursor"]
                if page["items"]:
                    waits.append(time.monotonic() - clicked)
                    break
                time.sleep(0.02)
            else:
                raise TimeoutError(f"a click was not visible after {PATIENCE_SECONDS:g} s")
    return waits


def campaign_of(client: httpx.Client, path: str) -> str:
    """Return the id of the campaign of a link `/c/{creator}/{campaign}`."""
    slug = path.rsplit("/", 1)[1]
    found = client.get("/v1/campaigns", params={"limit": 100}).json()["items"]
    return next(str(campaign["id"]) for campaign in found if campaign["slug"] == slug)
