"""What a back-test foretells is what a derivation under the same rules then does."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from stackfluence.facts import BackTest, Rules, Thresholds, back_test
from stackfluence.facts.derive import DAY_MS
from stackfluence.vocabulary import TrafficReason
from tests.events.journals import value
from tests.facts.days import DAY, DAY_START_MS, LATER_MS, NEXT_DAY, Days
from tests.facts.golden import tell
from tests.facts.test_score_again import SOON_MS, signals

TRAFFIC: dict[str, Any] = {
    "traffic": [
        {"creator": "emma", "clicks": 60},
        {
            "creator": "emma",
            "clicks": 5,
            "reasons": ["hosting_network", "missing_headers"],
            "then": [{"session": "3s"}],
        },
        {"creator": "lena", "clicks": 100, "then": [{"session": "3s"}]},
        {"creator": "lena", "clicks": 7, "reasons": ["listed_pattern"]},
        {"creator": "mia", "clicks": 3, "reasons": ["prefetch"], "then": [{"session": "3s"}]},
        {"creator": "mia", "clicks": 2, "reasons": ["prefetch"]},
        {"creator": "mia", "clicks": 4, "reasons": ["declared_bot"], "test": True},
    ]
}
WIDER: dict[str, Any] = {
    "traffic": [
        *TRAFFIC["traffic"],
        {"creator": "mia", "at": "15:00", "clicks": 2, "then": [{"session": "3s"}, {"conversion": "20s"}]},
        {"creator": "zoe", "at": "15:00", "clicks": 8, "links": 2, "prefix": "192.0.2.0/24"},
        {"creator": "noa", "at": "15:00", "clicks": 6, "visitor": "v", "prefix": "192.0.2.0/24"},
        {
            "creator": "noa",
            "at": "18:00",
            "clicks": 40,
            "then": [{"session": "3s", "engaged": "4s", "says": ["no_interaction"]}],
        },
    ]
}


def under(**thresholds: int) -> Rules:
    """Rules that differ in thresholds, and in weights, so that a reason that is found decides alone."""
    alone = dict.fromkeys((TrafficReason.no_interaction, TrafficReason.shared_prefix), 60)
    return Rules(thresholds=replace(Thresholds(), **thresholds), weights=alone)


TABLES = ("click_verdicts", "shared_prefix_clicks", "derived_days", "derivation_runs", "scored_clicks")


def compare(days: Days, rules: Rules, **options: Any) -> BackTest:
    asked = {"as_of": days.numbers.horizon(), "now_ms": LATER_MS, **options}
    return back_test(days.store, days.organization_id, DAY, NEXT_DAY + timedelta(days=1), rules, **asked)


def valid_by_creator(days: Days) -> dict[str, int]:
    found: dict[str, int] = {}
    for row in days.verdicts().values():
        if not row["is_test"]:
            found[row["creator_id"]] = found.get(row["creator_id"], 0) + (row["invalid_reason"] == "")
    return found


def test_the_same_rules_change_nothing(days: Days) -> None:
    tell(days, TRAFFIC)
    days.derive()
    found = compare(days, Rules())
    assert (found.total.clicks, found.total.valid_before, found.total.valid_after) == (177, 108, 108)
    assert (found.total.became_valid, found.total.became_invalid) == (0, 0)
    assert (found.days, found.missing_days) == ([DAY], [])


@pytest.mark.parametrize(
    "rules",
    [
        Rules(flagged_from=15),
        Rules(flagged_from=61),
        Rules(flagged_from=100),
        Rules(weights={TrafficReason.no_session: 20, TrafficReason.missing_headers: 35}),
        Rules().without([TrafficReason.no_session, TrafficReason.listed_pattern]),
        under(arrival_clicks=70),
        under(arrival_clicks=8, peer_clicks=20),
        under(arrival_permille=140, arrival_clicks=5),
        under(measured_permille=950),
        under(purchase_ms=30_000),
        under(burst_clicks=5),
        under(idle_ms=3_000),
        under(prefix_clicks=10, prefix_links=2, prefix_creators=2),
        under(comparable_below=10, arrival_clicks=61),
        under(flood_clicks=5, flood_seen=1),
        replace(under(burst_clicks=5), flagged_from=25),
    ],
)
def test_what_is_foretold_is_what_happens_per_creator(rules: Rules, days: Days) -> None:
    tell(days, WIDER)
    days.derive()
    before = valid_by_creator(days)
    written = [value(days.store, f"select count() as c from {table}") for table in TABLES]
    found = compare(days, rules)
    assert [value(days.store, f"select count() as c from {table}") for table in TABLES] == written
    assert found.total.became_valid + found.total.became_invalid > 0, "or the case shows nothing"
    days.derive(rules=rules)
    after = valid_by_creator(days)
    assert {creator: change.valid_before for creator, change in found.creators.items()} == before
    assert {creator: change.valid_after for creator, change in found.creators.items()} == after
    total = found.total
    assert total.valid_after == total.valid_before + total.became_valid - total.became_invalid
    assert total.became_valid == found.freed.total()
    assert total.became_invalid == found.condemned.total()


def test_other_thresholds_are_tried_on_what_a_run_had_read_at_its_moment(days: Days) -> None:
    bursts = {"traffic": [{"creator": "zoe", "clicks": 5, "visitor": "v"}, {"creator": "lena", "clicks": 100}]}
    bursts["traffic"][1]["then"] = [{"session": "3s"}]
    tell(days, bursts)
    days.derive(NEXT_DAY, NEXT_DAY + timedelta(days=1))
    days.derive(at_ms=DAY_START_MS + DAY_MS)
    assert compare(days, under(burst_clicks=5)).total.became_invalid == 0, "24 hours hadn't passed"
    days.derive()
    tell(days, {"traffic": [{"creator": "zoe", "clicks": 1, "visitor": "v", "then": [{"session": "3s"}]}]})
    days.load()
    assert compare(days, under(burst_clicks=5)).total.became_invalid == 5, "what came later is another difference"
    days.derive()
    assert compare(days, under(burst_clicks=5)).total.became_invalid == 0


@pytest.mark.parametrize(
    ("threshold", "why"),
    [
        ({"purchase_ms": -1}, "purchase_ms can be 0 to 86400000, not -1."),
        ({"arrival_permille": 1001}, "arrival_permille can be 0 to 1000, not 1001."),
        ({"burst_clicks": 0}, "burst_clicks can be 1 to 1000000, not 0."),
        ({"comparable_below": 101}, "comparable_below can be 1 to 100, not 101."),
    ],
)
def test_a_threshold_that_cannot_be_meant_is_refused(threshold: dict[str, int], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        Thresholds(**threshold)


def test_reasons_say_what_would_free_and_condemn(days: Days) -> None:
    tell(days, TRAFFIC)
    days.derive()
    found = compare(days, Rules(flagged_from=15).without([TrafficReason.no_session]))
    assert (dict(found.freed), dict(found.condemned)) == ({"no_session": 60}, {"hosting_network": 5})
    assert (found.creators["crt_emma"].became_valid, found.creators["crt_emma"].became_invalid) == (60, 5)


def test_the_lists_of_today_are_tried_without_being_noted(days: Days) -> None:
    days.click(1000, expiring=signals())
    days.click(2000)
    days.derive()
    found = compare(days, Rules(), scores_again=True, now_ms=SOON_MS)
    assert (found.scored_again, found.total.became_invalid, dict(found.condemned)) == (1, 1, {"http_library": 1})
    assert value(days.store, "select count() as c from scored_clicks") == 0
    days.derive(scores_again=True, at_ms=SOON_MS)
    assert valid_by_creator(days) == {"crt_emma": 1}


def test_nothing_derived_is_nothing_compared(days: Days) -> None:
    days.click(1000)
    days.load()
    found = compare(days, Rules())
    assert (found.total.clicks, found.days, found.missing_days) == (0, [], [DAY])


def test_verdicts_that_expired_are_not_compared(days: Days) -> None:
    days.click(1000)
    days.derive(is_scheduled=True, at_ms=DAY_START_MS + DAY_MS)
    assert compare(days, Rules(), now_ms=DAY_START_MS + 8 * DAY_MS - 1).total.clicks == 1
    found = compare(days, Rules(), now_ms=DAY_START_MS + 8 * DAY_MS)
    assert (found.total.clicks, found.days, found.missing_days) == (0, [], [DAY])


def test_when_a_pointer_expired_the_one_before_it_is_read(days: Days) -> None:
    days.click(1000)
    days.derive(at_ms=DAY_START_MS + DAY_MS)
    days.click(2000)
    days.derive(is_scheduled=True, at_ms=DAY_START_MS + DAY_MS)
    assert compare(days, Rules(), now_ms=DAY_START_MS + 8 * DAY_MS - 1).total.clicks == 2
    found = compare(days, Rules(), now_ms=DAY_START_MS + 8 * DAY_MS)
    assert (found.total.clicks, found.days, found.missing_days) == (1, [DAY], [])
