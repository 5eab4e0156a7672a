"""Intervals against figures that others computed, and against the definition they come from."""

from __future__ import annotations

import math

import pytest
from bench.intervals import Z_95, Share, share, weighted_share, wilson
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("count", "n", "low", "high"),
    [
        # R. G. Newcombe, "Two-sided confidence intervals for the single proportion", Statistics in Medicine 17 (1998),
        # table I, method 3: Wilson's score method without continuity correction
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
        (29, 29, 0.8830, 1.0),
    ],
)
def test_the_interval_is_the_published_one(count: int, n: int, low: float, high: float) -> None:
    assert list(wilson(count, n)) == pytest.approx([low, high], abs=5e-5)


@given(st.integers(1, 100_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_each_bound_is_the_share_from_which_the_count_is_just_z_deviations_away(sample: tuple[int, int]) -> None:
    count, n = sample
    low, high = wilson(count, n)
    assert 0 <= low <= count / n <= high <= 1
    for bound in (low, high):
        if 0 < bound < 1:
            assert abs(count / n - bound) == pytest.approx(Z_95 * math.sqrt(bound * (1 - bound) / n), rel=1e-6)


def test_without_samples_nothing_is_known() -> None:
    assert wilson(0, 0) == (0.0, 1.0)
    assert share(0, 0).rate == 0.0


@pytest.mark.parametrize(("count", "n"), [(-1, 10), (11, 10)])
def test_what_is_no_share_is_refused(count: int, n: int) -> None:
    with pytest.raises(ValueError, match="is no share"):
        wilson(count, n)


def test_an_app_s_rate_is_published_from_300_samples_on() -> None:
    assert share(1, 299).as_json(is_app=True) == {"n": 299, "count": 1, "rate": None, "why": "not measurable"}
    assert share(3, 300).as_json(is_app=True) == share(3, 300).as_json()
    assert share(3, 300).as_json() == {"n": 300, "count": 3, "rate": 1.0, "low": 0.341, "high": 2.898}
    assert not Share(299, 0, 0.0, 1.0).is_measurable


def test_equal_weights_give_the_rate_and_interval_of_counting() -> None:
    found = weighted_share([0.25] * 400, [number < 20 for number in range(400)])
    assert found == {"n": 400, "effective_n": 400, "rate": 5.0, "low": 3.26, "high": 7.596}
    low, high = wilson(20, 400)
    assert (found["low"], found["high"]) == (round(100 * low, 3), round(100 * high, 3))


def test_one_heavy_sample_leaves_few_effective_ones() -> None:
    found = weighted_share([97.0, 1.0, 1.0, 1.0], [False, True, False, False])
    assert found["rate"] == 1.0
    assert found["effective_n"] == 1
    assert found["high"] > 50


def test_without_weight_nothing_is_measurable() -> None:
    assert weighted_share([], []) == {"n": 0, "rate": None, "why": "not measurable"}
