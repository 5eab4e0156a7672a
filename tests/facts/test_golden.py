"""Every reason that the numbered statements can give, and its near misses, as cases that anyone can read."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from stackfluence.facts.derive import FOLDER as FACTS
from stackfluence.reasons import REASONS
from stackfluence.vocabulary import TrafficReason
from tests.facts.days import Days
from tests.facts.golden import FOLDER, golden_cases, judged_ms, policies, tell, told

CASES = dict(golden_cases())


@pytest.mark.parametrize("name", CASES)
def test_the_verdicts_are_those_of_the_case(name: str, shared_days: Days) -> None:
    case = CASES[name]
    shared_days.organization_id = f"org_{list(CASES).index(name):07d}"
    groups = tell(shared_days, case)
    shared_days.derive(at_ms=judged_ms(case), policies=policies(case))
    verdicts = shared_days.verdicts()
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
