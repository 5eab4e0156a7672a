"""Scoring again: what today's rules and lists say of headers that were kept when a click was made.

Headers expire after 90 days, and are gone when their person was erased; then the stamp, or what an earlier scoring
found, stays. The result is kept beside the events: later derivations use it, too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from stackfluence.click import bot_score
from stackfluence.events.statements import read_statements
from stackfluence.events.store import Row, Session
from stackfluence.facts.thresholds import RECOMPUTABLE

SQL = read_statements(Path(__file__).with_name("score_again.sql"))
PAGE = 20_000  # clicks at a time: 30 MB of headers
REMEMBERED = 50_000  # header sets of a day; phones of one model and app send the same
COLUMNS = ("run_id", "organization_id", "occurred_at", "click_id", "reasons", "list_versions")


class _Kept(msgspec.Struct):
    """Header evidence as `click/head.py` keeps it."""

    method: str = "GET"
    transport: str = "https"
    headers: list[tuple[str, str]] = []


def read_again(signals: str) -> list[str] | None:
    """Return what rules and lists of now say of kept header evidence, None for what is no evidence.

    Reasons that need more than headers, method and transport are left out: the stamp keeps them.
    """
    try:
        kept = msgspec.json.decode(signals, type=_Kept)
    except msgspec.MsgspecError:
        return None
    found = bot_score.read(kept.headers, method=kept.method, is_https=kept.transport == "https", is_order_kept=False)
    return sorted(reason.value for reason in set(found.reasons) & RECOMPUTABLE)


def scored_pages(
    session: Session, organization_id: str, as_of: int, derived_ms: int, day_ms: int
) -> Iterator[list[tuple[Row, list[str]]]]:
    """Yield a day's clicks whose headers are still kept with what they say now, some thousand at a time.

    A row has click_id and occurred_at. Raises StoreError.
    """
    session.run(SQL["create_day_clicks"])
    session.run(SQL["find_day_clicks"], organization_id=organization_id, as_of=as_of, day_ms=day_ms)
    known: dict[str, list[str] | None] = {"": None}
    asked: dict[str, Any] = {"organization_id": organization_id, "derived_ms": derived_ms, "limit": PAGE}
    after: dict[str, Any] = {"after_node": "", "after_seq": 0}
    while rows := session.rows(SQL["page_of_signals"], **asked, **after):
        page: list[tuple[Row, list[str]]] = []
        for row in rows:
            signals = row["signals"]
            if signals not in known:
                if len(known) >= REMEMBERED:
                    known.clear()
                known[signals] = read_again(signals)
            reasons = known[signals]
            if reasons is not None:
                page.append((row, reasons))
        yield page
        after = {"after_node": rows[-1]["node"], "after_seq": rows[-1]["seq"]}


def score_again(session: Session, run_id: int, organization_id: str, as_of: int, derived_ms: int, day_ms: int) -> int:
    """Score a day's clicks again and keep the result under the run; returns how many. Raises StoreError."""
    versions: Mapping[str, str] = bot_score.list_versions()
    scored = 0
    for page in scored_pages(session, organization_id, as_of, derived_ms, day_ms):
        if page:
            lines = [
                [run_id, organization_id, row["occurred_at"], row["click_id"], reasons, versions]
                for row, reasons in page
            ]
            session.upload("scored_clicks", COLUMNS, lines)
        scored += len(page)
    return scored
