"""Currencies by ISO 4217: which there are, and how many digits their minor unit has."""

from __future__ import annotations

from contextlib import suppress
from functools import lru_cache

from iso4217 import Currency

# Withdrawn since 2016 (ISO 4217, list three), for orders that are told years later
WITHDRAWN = {
    "ANG": 2, "BGN": 2, "BYR": 0, "CUC": 2, "HRK": 2, "MRO": 2, "SLL": 2, "STD": 2, "VEF": 2, "ZWL": 2,
}  # fmt: skip


@lru_cache(maxsize=1_000)
def minor_digits(currency: str) -> int | None:
    """Return how many digits a currency's minor unit has: 2 of EUR, 0 of JPY, 3 of KWD.

    None for what ISO 4217 doesn't list, upper case, and for metals and test codes, which have no minor unit.
    """
    digits = WITHDRAWN.get(currency)
    if digits is None:
        with suppress(ValueError):
            digits = Currency(currency).exponent
    return digits


def is_current(currency: str) -> bool:
    """Whether it is money of today."""
    return currency not in WITHDRAWN and minor_digits(currency) is not None
