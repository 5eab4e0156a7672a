"""One million links: an edge's first start from the catalog, its next from its own disk, and its memory."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.processes.serving import wait_for

from bench import rig

LINKS = int(os.environ.get("SF_BENCH_LINKS", "1000000"))


def run() -> dict[str, Any]:
    """Return seconds to ready (aim 15) and resident memory in MB (aim 700) of both starts."""
    with tempfile.TemporaryDirectory(dir=os.environ.get("SF_BENCH_DIR")) as folder:
        variables = {**os.environ, "SF_DATA_DIR": folder, "SF_CLICK_ID_SECRET": rig.SECRET}
        started = time.monotonic()
        asyncio.run(rig.fill_catalog(variables, LINKS))
        filled = time.monotonic() - started
        first, again = start(variables), start(variables)
    return {"links": LINKS, "fill_catalog_seconds": round(filled, 1), "from_catalog": first, "from_own_disk": again}


def start(variables: dict[str, str]) -> dict[str, float]:
    """Start an edge, wait until it redirects and has a copy of what it knows, and read its memory."""
    port = rig.free_port()
    started = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "stackfluence", "edge", "--port", str(port)], env=variables, stderr=subprocess.DEVNULL
    )
    try:
        rig.wait_for(f"http://127.0.0.1:{port}/healthz", 300)
        ready = time.monotonic() - started
        wait_for(lambda: has_copy(Path(variables["SF_DATA_DIR"], "edge", "w0.sqlite")), seconds=300)
        copied = time.monotonic() - started
        status = Path(f"/proc/{process.pid}/status").read_text()
    finally:
        process.terminate()
        process.wait()
    resident = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))
    return {
        "seconds_to_ready": round(ready, 1),
        "seconds_to_copy": round(copied, 1),
        "resident_mb": round(resident / 1024),
    }


def has_copy(path: Path) -> bool:
    """Whether an edge's copy is complete."""
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=60)) as copy:
        return bool(copy.execute("select count(*) from meta where name = 'revision'").fetchone()[0])
