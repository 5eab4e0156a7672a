"""Amounts: from what a vendor writes to integer minor units of ISO 4217, exactly or not at all.

An amount with more digits than its currency has is refused, never rounded: it was meant in another unit.
"""

from __future__ import annotations

import re
from decimal import Decimal

from stackfluence import currency as currencies
from stackfluence.collect.unusable import Unusable
from stackfluence.vocabulary import QuarantineReason

# https://docs.stripe.com/currencies: amounts without decimals, whatever ISO says (of the ariary it says two)
STRIPE_ZERO_DECIMAL = frozenset(
    (
        "BIF", "CLP", "DJF", "GNF", "JPY", "KMF", "KRW", "MGA", "PYG", "RWF", "VND", "VUV", "XAF", "XOF", "XPF",
    )
)  # fmt: skip
# The same page: "special cases", which have no decimals and are written with two for compatibility, always 00
STRIPE_TWO_DECIMAL = frozenset(("ISK", "UGX"))
_PLAIN = re.compile(r"(-?)(\d{1,15})(?:\.(\d{1,12}))?", re.ASCII)


def minor_digits(currency: str) -> int:
    """Return how many digits a currency's minor unit has; raises Unusable (`unknown_value`) for what is no money."""
    digits = currencies.minor_digits(currency)
    if digits is None:
        raise Unusable(QuarantineReason.unknown_value, f"currency {currency[:20]!r}")
    return digits


def minor_units(amount: object, currency: str, name: str) -> int:
    """Return a major-unit amount, "89.99", in minor units, 8999. `name` is the field's, for the reason.

    Accepts text, integers and decimals (JSON numbers read as Decimal, never as float). Raises Unusable: `wrong_type`
    for what is no plain decimal number, `amount_out_of_range` for more digits than the currency has.
    """
    digits = minor_digits(currency)
    if isinstance(amount, bool) or not isinstance(amount, str | int | Decimal):
        raise Unusable(QuarantineReason.wrong_type, name)
    found = _PLAIN.fullmatch(str(amount))
    if found is None:
        raise Unusable(QuarantineReason.wrong_type, name)
    fraction = (found[3] or "").rstrip("0")
    if len(fraction) > digits:
        raise Unusable(QuarantineReason.amount_out_of_range, f"{name}: {currency} has {digits} decimals")
    return int(found[1] + found[2] + fraction.ljust(digits, "0"))


def stripe_minor_units(amount: object, currency: str, name: str) -> int:
    """Return one of Stripe's integer amounts in minor units of ISO 4217.

    Mostly they are the same; where they aren't, see above. Raises Unusable: `wrong_type` for no integer,
    `amount_out_of_range` for a fraction that the currency doesn't have.
    """
    digits = minor_digits(currency)
    if isinstance(amount, bool) or not isinstance(amount, int):
        raise Unusable(QuarantineReason.wrong_type, name)
    written = 0 if currency in STRIPE_ZERO_DECIMAL else 2 if currency in STRIPE_TWO_DECIMAL else digits
    if digits >= written:
        return amount * int(10 ** (digits - written))
    quotient, rest = divmod(amount, 10 ** (written - digits))
    if rest:
        raise Unusable(QuarantineReason.amount_out_of_range, f"{name}: {currency} has {digits} decimals")
    return int(quotient)


def share(amount: int, part: int, whole: int) -> int:
    """Return amount × part ÷ whole in integers, rounded half to even; `whole` is positive."""
    quotient, rest = divmod(amount * part, whole)
    is_up = rest * 2 > whole or (rest * 2 == whole and quotient % 2 == 1)
    return quotient + is_up
