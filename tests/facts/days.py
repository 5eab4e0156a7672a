"""Days of traffic as tests tell them: events at times after a moment, loaded, derived and read."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

from stackfluence.clock import parse_rfc3339, rfc3339, uuid7
from stackfluence.events.event import Leaf
from stackfluence.events.load import Loader
from stackfluence.events.store import Store
from stackfluence.facts.derive import DAY_MS, Derived, Run, derive
from tests.events.journals import BRAND, Numbers, Writer, drain, rows

DAY = date(2026, 11, 22)
NEXT_DAY = date(2026, 11, 23)
DAY_START_MS = parse_rfc3339("2026-11-22T00:00:00Z")
LATER_MS = DAY_START_MS + 10 * DAY_MS  # everything of the day is final
PLACE = {"link_id": "lnk_emma", "creator_id": "crt_emma", "campaign_id": "cmp_spring"}


class Days:
    """A journal, its loader, and the runs over what it loaded."""

    def __init__(self, store: Store, journals: Path) -> None:
        self.store = store
        self.journals = journals
        self.numbers = Numbers()
        self.loader = Loader(journals, store, self.numbers)
        self.writer = Writer(journals / "w0")
        self.runs = 0
        self.organization_id = BRAND
        self.told: list[tuple[str, str, dict[str, Any]]] = []

    def close(self) -> None:
        self.loader.close()

    def click(self, at_ms: int, **fields: Any) -> str:
        """Write a click and return its id; `at_ms` counts from the day's beginning."""
        event_id = fields.pop("event_id", None) or uuid7(DAY_START_MS + at_ms)[1]
        self.event("click", at_ms, **{**PLACE, "event_id": event_id, "click_id": event_id, **fields})
        return event_id

    def after(self, click_id: str, event_type: str, at_ms: int, **fields: Any) -> Leaf:
        """Write what carried a click's ID."""
        if event_type in ("session", "pageview"):
            fields.setdefault("session_id", f"ses_{click_id}")
        if event_type == "conversion":
            fields.setdefault("conversion_type", "purchase")
        carried = {"click_id": click_id, "click_id_status": "valid", "link_id": PLACE["link_id"]}
        return self.event(event_type, at_ms, **{**carried, "trust_tier": "browser", **fields})

    def event(self, event_type: str, at_ms: int, **fields: Any) -> Leaf:
        """Write any event."""
        at = rfc3339(DAY_START_MS + at_ms)
        fields.setdefault("event_id", uuid7(DAY_START_MS + at_ms)[1])
        given = {"occurred_at": at, "received_at": at, "expiring": None, **fields}
        self.told.append((event_type, self.organization_id, given))
        return self.writer.event(event_type, self.organization_id, **given)

    def load(self) -> None:
        """Load what was written."""
        if self.writer.waiting:
            self.writer.finish()
        drain(self.loader)

    def tell_again(self, told: Sequence[tuple[str, str, dict[str, Any]]]) -> None:
        """Write events that were told elsewhere, in the order in which they are given."""
        for event_type, organization_id, fields in told:
            self.writer.event(event_type, organization_id, **fields)

    def run(self, *, at_ms: int = LATER_MS) -> Run:
        """Take the next run."""
        self.runs += 1
        return Run(self.runs, self.organization_id, self.numbers.horizon(), at_ms)

    def derive(
        self, from_day: date = DAY, to_day: date = NEXT_DAY, *, at_ms: int = LATER_MS, **options: Any
    ) -> Derived:
        """Load what waits, and derive days, by default the one day."""
        self.load()
        return derive(self.store, self.run(at_ms=at_ms), from_day, to_day, **options)

    def verdicts(self, run_id: int | None = None) -> dict[str, dict[str, Any]]:
        """Return the verdicts of a run, by default of those that are read, by click."""
        found = rows(
            self.store,
            """
            select * from click_verdicts
            where
                organization_id = {organization_id:String}
                and ({run_id:UInt64} = 0 or run_id = {run_id:UInt64})
                and ({run_id:UInt64} > 0 or (organization_id, toDate(occurred_at), run_id) in (
                    select organization_id, day, max(run_id) from derived_days group by organization_id, day
                ))
            order by click_id
            """,
            run_id=run_id or 0,
            organization_id=self.organization_id,
        )
        return {str(row["click_id"]): row for row in found}
