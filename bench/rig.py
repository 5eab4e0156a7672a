"""What the HTTP benches share: nginx as the yardstick, a real edge process, wrk as the load, each on its core."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from stackfluence.catalog import ensure_salts, open_catalog
from stackfluence.catalog.tables import Link
from stackfluence.migrate import migrate
from stackfluence.settings import ensure_secrets, read_settings

SERVER_CORE, LOAD_CORE = "0", "1"
SECRET = "1:" + "kBq7Zr2mXw9TfLc4HsVd8JyNp3GuAe6R"
CREATOR = "emma"


def missing_tools() -> str:
    """Return what has to be installed first, empty when everything is there."""
    wanted = {"wrk": "wrk", "nginx": "nginx-light", "taskset": "util-linux"}
    packages = [package for tool, package in wanted.items() if not shutil.which(tool)]
    return f"apt-get install {' '.join(packages)}" if packages else ""


def free_port() -> int:
    """Return a loopback port that was free just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(url: str, seconds: float = 60.0) -> float:
    """Wait until a URL answers and return the seconds it took; raises TimeoutError."""
    started = time.monotonic()
    while time.monotonic() - started < seconds:
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=1):
            return time.monotonic() - started
        time.sleep(0.05)
    raise TimeoutError(url)


@contextlib.contextmanager
def nginx() -> Iterator[str]:
    """A one-process nginx that answers every path with a static 302; yields its address."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        configuration = Path(folder, "nginx.conf")
        configuration.write_text(
            f"daemon off; master_process off; pid {folder}/pid; error_log /dev/null;"
            "events { worker_connections 4096; }"
            "http { access_log off; keepalive_requests 100000000;"
            f" server {{ listen 127.0.0.1:{port} backlog=4096;"
            " location / { return 302 https://brand.example/; } } }"
        )
        process = subprocess.Popen(["taskset", "-c", SERVER_CORE, "nginx", "-c", configuration, "-p", folder])
        try:
            time.sleep(0.5)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait()


@contextlib.contextmanager
def edge(links: int, **environment: str) -> Iterator[tuple[str, dict[str, str], subprocess.Popen[bytes]]]:
    """A real edge process with its journal on this disk; yields its address, ids and keys, and the process."""
    with tempfile.TemporaryDirectory(dir=os.environ.get("SF_BENCH_DIR")) as folder:
        variables = {**os.environ, "SF_DATA_DIR": folder, "SF_CLICK_ID_SECRET": SECRET, **environment}
        organization = asyncio.run(fill_catalog(variables, links))
        port = free_port()
        command = [sys.executable, "-m", "stackfluence", "edge", "--port", str(port)]
        with Path(folder, "edge.log").open("wb") as log:
            process = subprocess.Popen(["taskset", "-c", SERVER_CORE, *command], env=variables, stderr=log)
        try:
            address = f"http://127.0.0.1:{port}"
            organization["seconds_to_ready"] = f"{wait_for(address + '/healthz', 300):.2f}"
            yield address, organization, process
        finally:
            process.terminate()
            process.wait()


async def fill_catalog(variables: dict[str, str], links: int) -> dict[str, str]:
    """Create an organization with `links` links `/c/emma/<number>`; returns its ids and keys."""
    settings = ensure_secrets(read_settings(variables))
    await migrate(settings.catalog_url)
    catalog = open_catalog(settings.catalog_url)
    await ensure_salts(catalog, datetime.now(UTC).date())  # a core's work: without it no visitor is hashed or counted
    async with catalog.writing("bench") as change:
        made = await change.add_organization("Brand", "USD", "UTC")
        creator = await change.add_creator(made.organization_id, CREATOR)
        campaign = await change.add_campaign(made.organization_id, "spring")
    for start in range(0, links, 5_000):
        async with catalog.writing("bench") as change:
            await change.add_links(
                [
                    Link(
                        organization_id=made.organization_id,
                        creator_id=creator.id,
                        campaign_id=campaign.id,
                        asset_slug=str(number),
                        destination_url=f"https://brand.example/shop/{number}?utm_source={{platform}}&item={number}",
                    )
                    for number in range(start, min(start + 5_000, links))
                ]
            )
    await catalog.close()
    return {
        "organization_id": made.organization_id,
        "publishable_key": made.publishable_key,
        "secret_key": made.secret_key,
    }


def wrk(url: str, script: str, connections: int, seconds: float) -> dict[str, float]:
    """Load a URL with wrk and return requests/s, p50 and p99 in ms, and the count of answers that were no success."""
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as file:
        file.write(script)
        file.flush()
        command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds:g}s", "--latency", "-s", file.name, url]
        text = subprocess.run(
            ["taskset", "-c", LOAD_CORE, *command], capture_output=True, text=True, check=True, timeout=seconds + 60
        ).stdout
    rate = re.search(r"Requests/sec:\s+([\d.]+)", text)
    failed = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    assert rate is not None, text
    return {
        "per_second": float(rate[1]),
        "p50_ms": _milliseconds(text, "50%"),
        "p99_ms": _milliseconds(text, "99%"),
        "failed": float(failed[1]) if failed else 0.0,
    }


def side_by_side(
    yardstick: tuple[str, str], edge: tuple[str, str], connections: int, rounds: int, seconds: float
) -> dict[str, Any]:
    """Load nginx and an edge in turn, each an address and a script; return the medians of figures and of ratios.

    Each round has a ratio of its own: a machine that is shared is faster in one second than in the next.
    """
    pairs = [(wrk(*yardstick, connections, seconds), wrk(*edge, connections, seconds)) for _ in range(rounds)]
    return {
        "ratio": round(statistics.median(ours["per_second"] / theirs["per_second"] for theirs, ours in pairs), 3),
        "nginx": medians([theirs for theirs, _ in pairs]),
        "edge": medians([ours for _, ours in pairs]),
    }


def medians(rounds: list[dict[str, float]]) -> dict[str, float]:
    """Return each figure's median over the rounds."""
    return {name: round(statistics.median(r[name] for r in rounds), 2) for name in rounds[0]}


def _milliseconds(text: str, percentile: str) -> float:
    found = re.search(rf"{percentile}\s+([\d.]+)(us|ms|s)", text)
    assert found is not None, text
    return float(found[1]) * {"us": 0.001, "ms": 1.0, "s": 1000.0}[found[2]]
