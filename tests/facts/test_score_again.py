"""Headers that are still kept are judged by the rules of now; what needs more than headers stays as it was stamped."""

from __future__ import annotations

import json
from typing import Any

import pytest

from stackfluence.click import bot_score
from stackfluence.events.store import Session
from stackfluence.facts.derive import DAY_MS
from stackfluence.facts.score_again import read_again
from stackfluence.facts.thresholds import RECOMPUTABLE
from stackfluence.reasons import REASONS, score_of
from stackfluence.vocabulary import TrafficReason
from tests.events.journals import rows, value
from tests.facts.days import LATER_MS, Days

SOON_MS = LATER_MS - 5 * DAY_MS
SCRIPT = [["Host", "go.brand.example"], ["User-Agent", "curl/8.5.0"], ["Accept", "*/*"]]


def signals(headers: list[list[str]] = SCRIPT) -> dict[str, str]:
    """Return the expiring half of a click with headers."""
    return {"signals": json.dumps({"method": "GET", "transport": "https", "headers": headers})}


def stamped(*reasons: TrafficReason) -> dict[str, Any]:
    return {"bot_reasons": [reason.value for reason in reasons], "bot_score": score_of(reasons)}


def test_a_click_that_nobody_stamped_is_judged_by_its_headers(days: Days) -> None:
    script = days.click(1000, expiring=signals())
    plain = days.click(2000)
    first = days.derive()
    done = days.derive(scores_again=True, at_ms=SOON_MS)
    assert done.scored_again == 1
    verdicts = days.verdicts()
    assert (verdicts[script]["is_scored_again"], verdicts[script]["invalid_reason"]) == (True, "http_library")
    assert (verdicts[plain]["is_scored_again"], verdicts[plain]["invalid_reason"]) == (False, "")
    assert days.verdicts(first.run_id)[script]["invalid_reason"] == "", "the old verdict stays"
    (run,) = rows(days.store, "select list_versions from derivation_runs where run_id = 2")
    assert run["list_versions"] == bot_score.list_versions()


def test_what_the_headers_do_not_say_stays_as_it_was_stamped(days: Days) -> None:
    click = days.click(
        1000,
        expiring=signals(),
        **stamped(TrafficReason.hosting_network, TrafficReason.visitor_velocity, TrafficReason.unlike_brands),
    )
    days.derive(scores_again=True, at_ms=SOON_MS)
    found = days.verdicts()[click]["bot_reasons"]
    assert {"hosting_network", "visitor_velocity", "http_library"} <= set(found)
    assert "unlike_brands" not in found, "a list of today doesn't find it any more"
    assert days.verdicts()[click]["stamped_score"] == 100


def test_a_later_run_keeps_what_was_found_when_the_headers_are_gone(days: Days) -> None:
    click = days.click(1000, expiring=signals())
    scored = days.derive(scores_again=True, at_ms=SOON_MS)
    later = days.derive(scores_again=True, at_ms=LATER_MS + 365 * DAY_MS)
    assert (scored.scored_again, later.scored_again) == (1, 0)
    assert later.facts_hash == scored.facts_hash == days.derive().facts_hash
    assert days.verdicts()[click]["invalid_reason"] == "http_library"


def test_evidence_that_is_none_leaves_the_stamp(days: Days) -> None:
    click = days.click(1000, expiring={"signals": "[1, 2]"}, **stamped(TrafficReason.declared_bot))
    assert days.derive(scores_again=True, at_ms=SOON_MS).scored_again == 0
    assert days.verdicts()[click]["bot_reasons"] == ["declared_bot"]


def test_clicks_are_walked_through_page_by_page(days: Days, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stackfluence.facts.score_again.PAGE", 3)
    for place in range(10):
        days.click(place * 1000, expiring=signals() if place % 2 else None)
    assert days.derive(scores_again=True, at_ms=SOON_MS).scored_again == 5
    assert value(days.store, "select uniqExact(click_id) as c from scored_clicks") == 5


def test_only_reasons_of_headers_are_found_again() -> None:
    assert {reason for reason in RECOMPUTABLE if REASONS[reason].is_after_click} == set()
    found = read_again(signals()["signals"])
    assert found is not None
    assert {TrafficReason(word) for word in found} <= RECOMPUTABLE
    assert "http_library" in found
    assert read_again("{") is None


def test_a_scoring_that_was_killed_half_way_changes_nothing(days: Days, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stackfluence.facts.score_again.PAGE", 3)
    for place in range(10):
        days.click(place * 1000, expiring=signals())
    before = days.derive()
    carried = Session.upload
    pages: list[str] = []

    def dying(self: Session, table: str, *rest: Any) -> None:
        pages.append(table)
        if len(pages) == 3:
            raise KeyboardInterrupt
        carried(self, table, *rest)

    monkeypatch.setattr(Session, "upload", dying)
    with pytest.raises(KeyboardInterrupt):
        days.derive(scores_again=True, at_ms=SOON_MS)
    monkeypatch.undo()
    assert value(days.store, "select uniqExact(click_id) as c from scored_clicks") == 6
    after = days.derive()
    assert after.facts_hash == before.facts_hash
    assert value(days.store, "select sum(length(list_versions)) as c from derivation_runs") == 0
    days.derive(scores_again=True, at_ms=SOON_MS)
    assert {row["invalid_reason"] for row in days.verdicts().values()} == {"http_library"}
