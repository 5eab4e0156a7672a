"""Verdicts as a derivation run writes them, put into the event store directly."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from stackfluence.events.event import Leaf
from stackfluence.events.store import Store
from stackfluence.reasons import FLAGGED, heaviest, score_of, traffic_class_of
from stackfluence.vocabulary import TrafficReason


def verdict(leaf: Leaf, *later: TrafficReason, lifted: Sequence[TrafficReason] = (), **columns: Any) -> dict[str, Any]:
    """Return a row of click_verdicts of a click, with reasons found after it; those lifted don't count."""
    counting = ({TrafficReason(word) for word in leaf.bot_reasons} | set(later)) - set(lifted)
    score = score_of(counting)
    worst = heaviest(counting)
    return {
        "occurred_at": datetime.fromisoformat(leaf.occurred_at),
        "click_id": leaf.event_id,
        "link_id": leaf.link_id,
        "creator_id": leaf.creator_id,
        "campaign_id": leaf.campaign_id,
        "is_test": leaf.is_test,
        "arrival_stage": "measured",
        "sessions": 0,
        "pageviews": 0,
        "engaged_ms": 0,
        "conversions": 0,
        "in_app_browser": leaf.in_app_browser,
        "country": leaf.country,
        "stamped_score": leaf.bot_score,
        "is_scored_again": False,
        "bot_reasons": list(leaf.bot_reasons),
        "later_reasons": [word.value for word in later],
        "lifted_reasons": [word.value for word in lifted],
        "evidence": {},
        "score": score,
        "traffic_class": traffic_class_of(counting).value,
        "invalid_reason": worst.value if worst and score >= FLAGGED else "",
        **columns,
    }


def put_verdicts(
    store: Store,
    organization_id: str,
    run_id: int,
    as_of: int,
    verdicts: Sequence[dict[str, Any]],
    *,
    is_finished: bool = True,
    list_versions: dict[str, str] | None = None,
) -> None:
    """Write a run: its verdicts, the run, and, when it is finished, which run is read for its days."""
    rows = [{"run_id": run_id, "organization_id": organization_id, **row} for row in verdicts]
    moments = [row["occurred_at"] for row in rows]
    run = {
        "run_id": run_id,
        "derived_at": datetime.fromisoformat(f"2026-11-2{3 + run_id % 6}T00:00:00+00:00"),
        "organization_id": organization_id,
        "from_at": min(moments),
        "to_at": max(moments),
        "as_of": as_of,
        "code_version": "0.1.0",
        "clicks": len(rows),
        "facts_hash": "",
    }
    pointers = [
        {"organization_id": organization_id, "day": day, "run_id": run_id}
        for day in sorted({moment.date() for moment in moments})
    ]
    _put(store, "click_verdicts", rows)
    if list_versions:
        own = ("run_id", "organization_id", "occurred_at", "click_id")
        again = [{name: row[name] for name in own} | {"list_versions": list_versions} for row in rows]
        _put(store, "scored_clicks", again)
    if is_finished:
        _put(store, "derivation_runs", [run])
        _put(store, "derived_days", pointers)


def _put(store: Store, table: str, rows: Sequence[dict[str, Any]]) -> None:
    columns = list(rows[0])
    with store.session() as session:
        session.upload(table, columns, [[row[name] for name in columns] for row in rows])
