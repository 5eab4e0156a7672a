"""kill -9 of edge, core and both under load, many rounds: what was promised, and what of it was not found once."""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from tests.processes.serving import serving, wait_for
from tests.processes.test_crash import all_stored, crash

ROUNDS = int(os.environ.get("SF_BENCH_CRASH_ROUNDS", "200"))


def run() -> dict[str, Any]:
    """Return rounds, promises, and how many of them were lost or doubled; both must be 0."""
    seed = time.time_ns()
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder)) as running:
        answers = asyncio.run(crash(running, ROUNDS, seed))
        stored = Counter(wait_for(lambda: all_stored(running, answers), running.log, 300))
    return {
        "rounds": ROUNDS,
        "seed": seed,
        "promised": len(answers.promised),
        "lost": sum(stored[event] == 0 for event in answers.promised),
        "doubled": sum(times > 1 for times in stored.values()),
        "unrecorded": answers.unrecorded,
        "connections_broken": answers.broken,
    }
