"""The oracle of credits: how each attribution model shares 1,000,000 parts among the touches that may earn."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

WHOLE = 1_000_000
WEEK_SECONDS = 604_800

Shares = dict[int, int]  # what each touch gets, by its place


def by_weight(places: Sequence[int], weights: Sequence[int], whole: int = WHOLE) -> Shares:
    """Share in proportion, rounded down; what is left over goes one by one to the last of those who share."""
    total = sum(weights)
    shares = [int(Fraction(whole * weight, total)) for weight in weights]
    for back in range(whole - sum(shares)):
        shares[-1 - back] += 1
    return dict(zip(places, shares, strict=True))


def position_based(places: Sequence[int]) -> Shares:
    """Share 40 % to the first, 40 % to the last, the rest among those between; halves of two."""
    if len(places) <= 2:
        return by_weight(places, [1] * len(places))
    ends = {places[0]: 400_000, places[-1]: 400_000}
    return ends | by_weight(places[1:-1], [1] * (len(places) - 2), 200_000)


def decayed(age_ms: int) -> int:
    """Return the weight of a touch so long before the order: half for every seven days, straight within them."""
    weeks, seconds = divmod(max(age_ms, 0) // 1000, WEEK_SECONDS)
    return int(Fraction(2**30, 2**weeks) * Fraction(2 * WEEK_SECONDS - seconds, 2 * WEEK_SECONDS))


def shares(model: str, places: Sequence[int], ages_ms: Sequence[int]) -> Shares:
    """Return what each of several touches gets, given from the earliest to the last, with how long ago each was."""
    if model == "first_touch":
        return {places[0]: WHOLE}
    if model == "position_based":
        return position_based(places)
    return by_weight(places, [1 if model == "linear" else decayed(age) for age in ages_ms])
