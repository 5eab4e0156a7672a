"""The gate on labelled corpora, which lie beside the project and not in it: counts that must not get worse.

Each limit is what the rules reached on the training half, with a few to spare for new versions of the public lists.
"""

from __future__ import annotations

import gzip
from functools import cache
from pathlib import Path

import pytest

from stackfluence.click import bot_score
from stackfluence.reasons import CERTAIN, FLAGGED

TRAIN = Path(__file__).parents[2].parent / "shared" / "data" / "bots" / "train"
pytestmark = pytest.mark.skipif(not TRAIN.is_dir(), reason="the labelled corpora are not on this machine")


@cache
def scores(name: str) -> list[int]:
    with gzip.open(TRAIN / f"{name}.txt.gz", "rt") as lines:
        agents = [line.rstrip("\n") for line in lines]
    readings = (bot_score.read([("User-Agent", agent)], has_headers=False) for agent in agents)
    return [bot_score.combine(reading.reasons).score for reading in readings]


@pytest.mark.parametrize(
    ("corpus", "most_missed"),
    [("bots", 48), ("bots_independent", 16), ("previews", 0), ("spoofed_wild", 12), ("bot_tokens", 1), ("attacks", 12)],
)
def test_robots_are_flagged(corpus: str, most_missed: int) -> None:
    missed = sum(score < FLAGGED for score in scores(corpus))
    assert missed <= most_missed, f"{missed} of {len(scores(corpus))}"


@pytest.mark.parametrize(
    ("corpus", "most_flagged"), [("humans", 275), ("humans_modern", 1), ("inapp", 0), ("inapp_other", 6)]
)
def test_people_are_not_flagged(corpus: str, most_flagged: int) -> None:
    flagged = sum(score >= FLAGGED for score in scores(corpus))
    assert flagged <= most_flagged, f"{flagged} of {len(scores(corpus))}"


@pytest.mark.parametrize(("corpus", "least_share"), [("bots", 0.80), ("bots_independent", 0.72), ("previews", 0.98)])
def test_most_robots_are_certain(corpus: str, least_share: float) -> None:
    assert sum(score >= CERTAIN for score in scores(corpus)) >= least_share * len(scores(corpus))


@pytest.mark.parametrize(("corpus", "most_certain"), [("humans", 36), ("humans_modern", 0), ("inapp", 0)])
def test_hardly_any_person_is_certainly_a_robot(corpus: str, most_certain: int) -> None:
    certain = sum(score >= CERTAIN for score in scores(corpus))
    assert certain <= most_certain, f"{certain} of {len(scores(corpus))}"
