"""Load what waits in the journals, where no core does it already."""

from __future__ import annotations

import asyncio
from typing import Any

from stackfluence.catalog import CatalogNumbers
from stackfluence.events.load import Counts, Loader, Report
from stackfluence.names import new_id
from stackfluence.operations.site import Arguments, Site, Tell, finished

IDLE_SECONDS = 0.2


async def load(site: Site, arguments: Arguments, tell: Tell) -> dict[str, Any]:
    """Load until nothing waits, or, with `follow`, for ever; a core that loads by itself gives its counts instead.

    Each turn is told: lines, those known before, quarantined, load number. Raises StoreError, OSError.
    """
    if site.loader is not None:
        return {"loaded_by": "core", **_counts(site.loader.counts)}
    numbers = CatalogNumbers(
        site.catalog, asyncio.get_running_loop(), new_id("ldr_"), is_sole=site.settings.is_embedded_store
    )
    loader = await asyncio.to_thread(Loader, site.journals, site.store, numbers)
    last_number = 0
    try:
        while True:
            report = await finished(loader.turn)
            if report.lines:
                last_number = report.load_number
                tell(_turn(report))
                continue
            if not arguments.get("follow") and not report.is_busy:
                break
            await asyncio.sleep(IDLE_SECONDS)
    finally:
        loader.close()
    return {"loaded_by": "command", **_counts(loader.counts), "load_number": last_number}


def _turn(report: Report) -> dict[str, Any]:
    return {
        "turn": {
            "lines": report.lines,
            "known": report.known,
            "quarantined": report.quarantined,
            "load_number": report.load_number,
            "waiting_segments": report.waiting,
        }
    }


def _counts(counts: Counts) -> dict[str, Any]:
    return {
        "turns": counts.turns,
        "lines": counts.lines,
        "known": counts.known,
        "quarantined": counts.quarantined,
        "failures": counts.failures,
        "waiting_segments": counts.waiting,
        "held": dict(counts.held),
    }
