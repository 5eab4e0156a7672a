"""Every way to find an order's creator, everything that becomes of a candidate, and every reason, as readable cases."""

from __future__ import annotations

import re
from typing import Any

import pytest

from stackfluence.facts import CodeBook, Terms, derive_orders
from stackfluence.facts.orders import FILES
from stackfluence.reasons import CONVERSION_SENTENCES
from stackfluence.vocabulary import CandidateOutcome, ConversionReason, FoundBy
from tests.facts.days import DAY, Days
from tests.facts.order_cases import code_periods, conversion_told, conversions, order_cases, tell_orders

CASES = dict(order_cases())

Told = tuple[dict[str, dict[str, str]], dict[str, dict[str, Any]]]  # each case's clicks by name; all conversions


@pytest.fixture(scope="module")
def told(shared_days: Days) -> Told:
    """Tell all cases to one organization and derive its day once."""
    clicks = {name: tell_orders(shared_days, case, number) for number, (name, case) in enumerate(CASES.items())}
    periods = [period for number, case in enumerate(CASES.values()) for period in code_periods(case, number)]
    shared_days.load()
    derive_orders(shared_days.store, shared_days.run(), [DAY], Terms(CodeBook(periods)))
    return clicks, conversions(shared_days)


@pytest.mark.parametrize("name", CASES)
def test_the_orders_come_to_what_the_case_says(name: str, told: Told) -> None:
    case, (clicks, found) = CASES[name], told
    assert case["conversions"]
    for order, expected in case["conversions"].items():
        own = f"{order}~{list(CASES).index(name)}"
        if expected is None:
            assert own not in found, case["story"]
        else:
            assert conversion_told(found[own], expected, clicks[name]) == expected, f"{order}: {case['story']}"


def test_every_word_that_a_statement_can_give_has_a_case() -> None:
    texts = "".join(re.sub(r"--.*", "", path.read_text()) for path in FILES)
    expected = [conversion for case in CASES.values() for conversion in case["conversions"].values() if conversion]
    outcomes = {tuple(pair) for conversion in expected for pair in conversion.get("candidates", [])}
    assert {outcome for _, outcome in outcomes} == set(CandidateOutcome)
    assert {conversion.get("by") for conversion in expected} >= set(FoundBy)
    for word in [*CandidateOutcome, *FoundBy, *ConversionReason]:
        assert f"'{word}'" in texts, word
    for reason in ConversionReason:
        assert any(reason in conversion.get("reasons", []) for conversion in expected), f"{reason} is never given"
        assert any(conversion.get("reasons") == [] for conversion in expected), f"{reason} has no near miss"
    assert set(CONVERSION_SENTENCES) == set(ConversionReason)
