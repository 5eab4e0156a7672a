"""kill -9 of edge, core and both under load, then a standstill: what was promised and not found exactly once."""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from tests.processes.serving import Serving, serving, wait_for
from tests.processes.test_crash import all_stored, crash, stand_still

from bench.crowd import Answers

ROUNDS = int(os.environ.get("SF_BENCH_CRASH_ROUNDS", "200"))
STANDSTILL_SECONDS = float(os.environ.get("SF_BENCH_STANDSTILL_SECONDS", "60"))


def run() -> dict[str, Any]:
    """Return promises and how many of them were lost or doubled, both must be 0, after kills and a standstill."""
    seed = time.time_ns()
    return {
        "kills": {"rounds": ROUNDS, "seed": seed, **judged(lambda running: crash(running, ROUNDS, seed))},
        "standstill": {
            "seconds": STANDSTILL_SECONDS,
            **judged(lambda running: stand_still(running, STANDSTILL_SECONDS)),
        },
    }


def judged(fault: Callable[[Serving], Coroutine[Any, Any, Answers]]) -> dict[str, int]:
    """Run a fault on a new installation and count what became of the promises."""
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder)) as running:
        answers = asyncio.run(fault(running))
        stored = Counter(wait_for(lambda: all_stored(running, answers), running.log, 300))
    return {
        "promised": len(answers.promised),
        "lost": sum(stored[event] == 0 for event in answers.promised),
        "doubled": sum(times > 1 for times in stored.values()),
        "unrecorded": answers.unrecorded,
        "connections_broken": answers.broken,
    }
