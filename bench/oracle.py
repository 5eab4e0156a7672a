"""A thousand histories as chance tells them, by numbered SQL and by a slow oracle in plain Python: no difference."""

from __future__ import annotations

import os
import random
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

from tests.facts.chance import history
from tests.facts.days import Days
from tests.facts.differences import Difference, differences, shortest
from tests.facts.draft import policy_periods

from stackfluence.events.store import Store
from stackfluence.facts import create_tables

HISTORIES = int(os.environ.get("SF_BENCH_HISTORIES", "1000"))
TOGETHER = 50  # histories of one organization, which are derived at once
SEED = int(os.environ.get("SF_BENCH_SEED", "1000"))
SHOWN = 3


def run() -> dict[str, Any]:
    """Return how many histories were told, of how many events, and how many the two see differently (must be 0)."""
    started = time.process_time()
    with tempfile.TemporaryDirectory(dir=os.environ.get("SF_BENCH_DIR")) as folder:
        store = Store(f"chdb://{folder}/engine", "oracle")
        store.create_schema()
        create_tables(store)
        days = Days(store, Path(folder) / "journal")
        found, events, shown = _compare(days)
        days.close()
        store.close()
    return {
        "histories": HISTORIES,
        "differences": len(found),
        "must_be": 0,
        "events": events,
        "processor_seconds": round(time.process_time() - started, 1),
        **({"shortest": shown} if shown else {}),
    }


def _compare(days: Days) -> tuple[list[Difference], int, list[str]]:
    """Return the histories that differ, how many events were told, and the shortest forms of the first that differ."""
    found: list[Difference] = []
    shown: list[str] = []
    events = 0
    for first in range(0, HISTORIES, TOGETHER):
        chance = random.Random(SEED + first)
        policies = policy_periods(chance)
        told = [(number, history(chance)) for number in range(1, min(TOGETHER, HISTORIES - first) + 1)]
        compare = partial(differences, days, policies=policies)
        new = compare(told)
        events += sum(len(each.tellings) for _, each in told)
        shown += [str(shortest(one, compare)) for one in new[: SHOWN - len(shown)]]
        found += new
    return found, events, shown
