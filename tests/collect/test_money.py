"""Amounts become integer minor units exactly, or are refused."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stackfluence.collect.money import minor_digits, minor_units, share, stripe_minor_units
from stackfluence.collect.unusable import Unusable


@pytest.mark.parametrize(
    ("amount", "currency", "minor"),
    [
        ("89.99", "USD", 8_999),
        ("0.00", "USD", 0),
        ("7", "USD", 700),
        (7, "USD", 700),
        ("7.1", "USD", 710),
        (Decimal("89.99"), "EUR", 8_999),
        ("1000", "JPY", 1_000),
        ("1000.00", "JPY", 1_000),
        ("5.124", "KWD", 5_124),
        ("5.5000", "EUR", 550),
        ("-3.20", "EUR", -320),
        ("0.0001", "CLF", 1),
        ("999999999999.99", "USD", 99_999_999_999_999),
        ("10", "HRK", 1_000),
        ("10", "BGN", 1_000),
    ],
)
def test_an_amount_in_major_units_becomes_minor_ones(amount: object, currency: str, minor: int) -> None:
    assert minor_units(amount, currency, "total") == minor


@pytest.mark.parametrize(
    ("amount", "currency", "reason"),
    [
        ("89.999", "USD", "amount_out_of_range"),
        ("0.5", "JPY", "amount_out_of_range"),
        ("1,000.00", "USD", "wrong_type"),
        ("1e3", "USD", "wrong_type"),
        ("NaN", "USD", "wrong_type"),
        ("٣", "USD", "wrong_type"),
        ("", "USD", "wrong_type"),
        (" 1", "USD", "wrong_type"),
        ("1" * 16, "USD", "wrong_type"),
        (1.5, "USD", "wrong_type"),
        (True, "USD", "wrong_type"),
        (None, "USD", "wrong_type"),
        (Decimal("1E+999999999"), "USD", "wrong_type"),
        ("1", "XYZ", "unknown_value"),
        ("1", "XAU", "unknown_value"),
        ("1", "XXX", "unknown_value"),
        ("1", "usd", "unknown_value"),
        ("1", "€", "unknown_value"),
    ],
)
def test_what_is_no_exact_amount_of_a_currency_is_refused(amount: object, currency: str, reason: str) -> None:
    with pytest.raises(Unusable) as caught:
        minor_units(amount, currency, "total")
    assert caught.value.reason == reason


@given(st.integers(-(10**14), 10**14), st.sampled_from(["JPY", "USD", "KWD", "CLF"]))
def test_every_number_of_minor_units_comes_back(minor: int, currency: str) -> None:
    text = str(Decimal(minor).scaleb(-minor_digits(currency)))
    assert minor_units(f"{Decimal(text):f}", currency, "total") == minor


@pytest.mark.parametrize(
    ("amount", "currency", "minor"),
    [
        (1_000, "USD", 1_000),
        (500, "JPY", 500),
        (5_120, "KWD", 5_120),
        (500, "MGA", 50_000),  # Stripe: no decimals; ISO 4217: two
        (500, "ISK", 5),  # no decimals, written with two
        (500, "UGX", 5),
        (1_000, "HUF", 1_000),  # two in charges; none only in payouts
        (1_000, "TWD", 1_000),
    ],
)
def test_stripes_amounts_follow_stripes_own_rules(amount: int, currency: str, minor: int) -> None:
    assert stripe_minor_units(amount, currency, "amount") == minor


@pytest.mark.parametrize("amount", [501, "500", 5.0, True, None])
def test_an_amount_that_stripe_would_not_send_is_refused(amount: object) -> None:
    with pytest.raises(Unusable):
        stripe_minor_units(amount, "ISK", "amount")


@given(st.integers(0, 10**12), st.integers(0, 10**6), st.integers(1, 10**6))
def test_a_share_is_rounded_half_to_even(amount: int, part: int, whole: int) -> None:
    assert share(amount, part, whole) == round(Decimal(amount * part) / Decimal(whole)) or amount * part > 10**20


def test_a_share_of_exactly_a_half_goes_to_the_even_neighbour() -> None:
    assert [share(n, 1, 2) for n in (1, 3, 5, 7)] == [0, 2, 2, 4]
