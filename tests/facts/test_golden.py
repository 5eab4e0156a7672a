"""Every reason that the numbered statements can give, and its near misses, as cases that anyone can read."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
import yaml

from stackfluence.facts.derive import FOLDER as FACTS
from stackfluence.reasons import REASONS
from stackfluence.vocabulary import TrafficReason
from tests.facts.days import Days
from tests.facts.golden import FOLDER, golden_cases, judged_ms, policies, tell, told

CASES = dict(golden_cases())

Told = tuple[dict[str, dict[str, list[str]]], dict[str, dict[str, Any]]]  # each case's clicks; all verdicts by click


@pytest.fixture(scope="module")
def told_alike(shared_days: Days) -> Callable[[str], Told]:
    """Tell all cases of a moment and a policy to one organization; derive its day once, when the first is asked for."""

    @cache
    def derived(first: str) -> Told:
        shared_days.organization_id = f"org_{list(CASES).index(first):07d}"
        clicks = {
            name: tell(shared_days, case, number)
            for number, (name, case) in enumerate(CASES.items())
            if terms(case) == terms(CASES[first])
        }
        shared_days.derive(at_ms=judged_ms(CASES[first]), policies=policies(CASES[first]))
        return clicks, shared_days.verdicts()

    return lambda name: derived(next(first for first in CASES if terms(CASES[first]) == terms(CASES[name])))


def terms(case: dict[str, Any]) -> tuple[Any, ...]:
    """Return what an organization's cases have in common."""
    return case.get("judged"), case.get("policies")


@pytest.mark.parametrize("name", CASES)
def test_the_verdicts_are_those_of_the_case(name: str, told_alike: Callable[[str], Told]) -> None:
    case = CASES[name]
    clicks, verdicts = told_alike(name)
    groups = clicks[name]
    assert case["verdicts"]
    for group, expected in case["verdicts"].items():
        found = [told(verdicts[click], expected) for click in groups[group]]
        assert found == [expected] * len(groups[group]), f"{group}: {case['story']}"


def given_reasons(text: str) -> set[str]:
    """Return the words of the vocabulary that a statement writes in quotes."""
    return {word for word in re.findall(r"'(\w+)'", re.sub(r"--.*", "", text)) if word in TrafficReason.__members__}


def test_every_reason_that_a_statement_can_give_has_a_case_and_a_near_miss() -> None:
    given = given_reasons((FACTS / "090_click_verdicts.sql").read_text())
    assert given == {reason.value for reason, row in REASONS.items() if row.is_after_click}
    for reason in sorted(given):
        cases = yaml.safe_load((FOLDER / "090_click_verdicts" / f"{reason}.yaml").read_text())["cases"]
        later: list[Any] = [expected.get("later") for case in cases for expected in case["verdicts"].values()]
        assert any(reason in (found or []) for found in later), f"{reason} is never given"
        assert any(found is not None and reason not in found for found in later), f"{reason} has no near miss"
