"""The points, class and reason that SQL finds are those of `reasons.py`, for whatever was found."""

from __future__ import annotations

import random

import pytest

from stackfluence.facts import Rules
from stackfluence.reasons import REASONS, heaviest, score_of, traffic_class_of
from stackfluence.vocabulary import TrafficReason
from tests.facts.days import Days

SETS = 300


@pytest.mark.parametrize(("flagged_from", "seed"), [(50, 1), (21, 2), (100, 3)])
def test_sql_and_python_add_up_alike(flagged_from: int, seed: int, days: Days) -> None:
    chance = random.Random(seed)
    at_click = [reason for reason, row in REASONS.items() if not row.is_after_click]
    sets = [[reason] for reason in at_click] + [
        chance.choices(at_click, k=chance.randrange(0, 5))
        for _ in range(SETS)  # one may be there twice
    ]
    told = {
        days.click(place * 1000, bot_reasons=[reason.value for reason in found]): found
        for place, found in enumerate(sets)
    }
    days.derive(rules=Rules(flagged_from=flagged_from))
    verdicts = days.verdicts()
    assert set(verdicts) == set(told)
    for click, found in told.items():
        row = verdicts[click]
        worst = heaviest(found)
        is_flagged = score_of(found) >= flagged_from
        assert row["score"] == score_of(found)
        assert row["traffic_class"] == traffic_class_of(found, flagged_from).value
        assert row["invalid_reason"] == (worst.value if worst and is_flagged else "")
        assert row["bot_reasons"] == sorted({reason.value for reason in found})


def test_a_word_of_another_version_weighs_nothing(days: Days) -> None:
    click = days.click(1000, bot_reasons=["word_of_tomorrow", TrafficReason.listed_pattern.value], bot_score=60)
    days.derive()
    row = days.verdicts()[click]
    assert (row["score"], row["invalid_reason"]) == (60, "listed_pattern")
    assert row["bot_reasons"] == ["listed_pattern", "word_of_tomorrow"]
