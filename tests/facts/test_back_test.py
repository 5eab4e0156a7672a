"""What a back-test foretells is what a derivation under the same rules then does."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from stackfluence.facts import BackTest, Rules, back_test
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
    ],
)
def test_what_is_foretold_is_what_happens_per_creator(rules: Rules, days: Days) -> None:
    tell(days, TRAFFIC)
    days.derive()
    before = valid_by_creator(days)
    runs = value(days.store, "select count() as c from click_verdicts")
    found = compare(days, rules)
    assert value(days.store, "select count() as c from click_verdicts") == runs, "nothing is written"
    days.derive(rules=rules)
    after = valid_by_creator(days)
    assert {creator: change.valid_before for creator, change in found.creators.items()} == before
    assert {creator: change.valid_after for creator, change in found.creators.items()} == after
    total = found.total
    assert total.valid_after == total.valid_before + total.became_valid - total.became_invalid
    assert total.became_valid == found.freed.total()
    assert total.became_invalid == found.condemned.total()


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
