"""Back-test: what another threshold, other points or today's lists would have changed, without writing anything.

It starts from the verdicts that are read now. What was found after a click rests on counts alone, never on points, so
the difference that is told is the difference that a derivation under the same rules makes. Other thresholds find
something else: there the numbered statements run again, up to the verdicts and into tables of the connection, over what
each day's run had read and at the moment it judged at. So nothing but the thresholds makes a difference.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any

from stackfluence.events.statements import read_statements
from stackfluence.events.store import Row, Session, Store
from stackfluence.facts.derive import SETTINGS, STEPS, Run, create_work, day_ms, run_steps
from stackfluence.facts.policies import DEFAULT_POLICIES, PolicyBook
from stackfluence.facts.score_again import scored_pages
from stackfluence.facts.thresholds import RECOMPUTABLE, Rules

SQL = read_statements(Path(__file__).with_name("back_test.sql"))
_JUDGED = [statement.name for statement in STEPS].index("derive_click_verdicts") + 1


@dataclass(slots=True)
class Change:
    """Clicks, and how many of them are valid now, would be, would become so, would no longer be; tests left out."""

    clicks: int = 0
    valid_before: int = 0
    valid_after: int = 0
    became_valid: int = 0
    became_invalid: int = 0

    def add(self, row: Row) -> None:
        """Count clicks that have the same reason now and the same one then; an empty one is valid."""
        clicks, was_valid, is_valid = row["clicks"], not row["reason_before"], not row["reason_after"]
        self.clicks += clicks
        self.valid_before += clicks * was_valid
        self.valid_after += clicks * is_valid
        self.became_valid += clicks * (is_valid and not was_valid)
        self.became_invalid += clicks * (was_valid and not is_valid)


@dataclass(slots=True)
class BackTest:
    """What would have changed on days that have verdicts; `missing_days` have clicks and none.

    `creators` by id, those with clicks. `freed` counts clicks that would become valid by the reason that decides now,
    `condemned` those that would become invalid by the reason that would decide. `scored_again` is on how many clicks
    the lists of now were asked.
    """

    from_day: date
    to_day: date
    days: list[date]
    missing_days: list[date]
    scored_again: int = 0
    total: Change = field(default_factory=Change)
    creators: dict[str, Change] = field(default_factory=dict)
    freed: Counter[str] = field(default_factory=Counter)
    condemned: Counter[str] = field(default_factory=Counter)


def back_test(
    store: Store,
    organization_id: str,
    from_day: date,
    to_day: date,
    rules: Rules,
    policies: PolicyBook = DEFAULT_POLICIES,
    *,
    as_of: int,
    now_ms: int,
    scores_again: bool = False,
) -> BackTest:
    """Compare the verdicts that are read for days [from_day, to_day), UTC, with those that `rules` would give.

    `policies` are those of the organization, as a derivation has them. Other thresholds take about as long as deriving
    the days.

    With `scores_again`, headers that are still kept are asked again: `as_of` is the last finished load, `now_ms` says
    which headers and which verdicts have expired. Blocks for as long as the queries take; raises StoreError.
    """
    session = store.open_session(SETTINGS)
    asked: dict[str, Any] = {"organization_id": organization_id, "now_ms": now_ms}
    chosen = {"from_day": from_day.isoformat(), "to_day": to_day.isoformat()}
    try:
        for name in ("create_scored_now", "create_later_now"):
            session.run(SQL[name])
        span = {"from_ms": day_ms(from_day), "to_ms": day_ms(to_day)}
        runs = session.rows(SQL["runs_of_days"], **asked, **chosen)
        found = [row["day"] for row in runs]
        clicked = session.rows(SQL["missing_days"], **asked, as_of=as_of, **span)
        result = BackTest(from_day, to_day, found, [row["day"] for row in clicked])
        if scores_again:
            result.scored_again = sum(_score(session, organization_id, as_of, now_ms, day) for day in found)
        if rules.other_thresholds():
            session.run(SQL["hide_shared_prefixes"], **asked, **span)
            _find_again(session, asked, runs, policies, rules)
        rows = session.rows(
            SQL["compare_verdicts"],
            **asked,
            **chosen,
            **span,
            recomputable=sorted(RECOMPUTABLE),
            **rules.judged_by(policies).parameters(),
            **rules.points(),
        )
    finally:
        session.close()
    for row in rows:
        result.total.add(row)
        result.creators.setdefault(row["creator_id"], Change()).add(row)
        if row["reason_before"] and not row["reason_after"]:
            result.freed[row["reason_before"]] += row["clicks"]
        elif row["reason_after"] and not row["reason_before"]:
            result.condemned[row["reason_after"]] += row["clicks"]
    return result


def _find_again(session: Session, asked: dict[str, Any], runs: list[Row], policies: PolicyBook, rules: Rules) -> None:
    """Fill `later_now`: what is found after the clicks of every day under these rules, from what its run had read."""
    as_of = -1
    for row in runs:
        if row["as_of"] != as_of:
            session.run(SQL["drop_week_clicks"])
            as_of = row["as_of"]
        create_work(session)
        run = Run(row["run_id"], asked["organization_id"], row["as_of"], row["derived_ms"])
        for statement in STEPS[:_JUDGED]:
            # what has expired since the run may still lie there, and is read by nobody any more
            of = replace(run, derived_ms=asked["now_ms"]) if statement.name == "find_shared_prefixes" else run
            run_steps(session, [statement], of, row["day"], policies, rules)
        session.run(SQL["keep_later_reasons"])


def _score(session: Session, organization_id: str, as_of: int, now_ms: int, day: date) -> int:
    scored = 0
    for page in scored_pages(session, organization_id, as_of, now_ms, day_ms(day)):
        if page:
            session.upload("scored_now", ("click_id", "reasons"), [[row["click_id"], words] for row, words in page])
        scored += len(page)
    return scored
