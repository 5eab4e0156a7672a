"""Orders and refunds add up to the cent."""

from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from stackfluence.collect import payloads
from stackfluence.demo import shop
from stackfluence.vocabulary import EventType

seeds = st.integers(0, 2**32).map(Random)


@given(rng=seeds, coupon=st.sampled_from(["", "EMMA10", "MIRA15"]))
def test_lines_add_up_to_their_order(rng: Random, coupon: str) -> None:
    bought = shop.order(rng, "LS-1", coupon)
    for name in ("subtotal_cents", "discount_cents", "tax_cents"):
        assert sum(line[name] for line in bought.lines) == getattr(bought, name)
    assert all(line["discount_cents"] <= line["subtotal_cents"] for line in bought.lines)
    assert bought.coupon_codes == ([coupon] if coupon else [])
    assert bool(bought.discount_cents) is bool(coupon)
    assert 0 <= bought.gift_card_cents <= bought.revenue_cents
    goods = bought.subtotal_cents - bought.discount_cents
    assert bought.revenue_cents == goods + bought.tax_cents + bought.shipping_cents


@given(rng=seeds)
def test_the_intake_can_use_every_order(rng: Random) -> None:
    payload = payloads.read_payload(shop.order(rng, "LS-1", "EMMA10").payload())
    payloads.check(EventType.conversion, payload)
    assert payload.lines


@given(rng=seeds)
def test_no_more_is_given_back_than_was_paid(rng: Random) -> None:
    bought = shop.order(rng, "LS-1", "")
    parts = shop.refunds(rng, bought)
    assert all(cents > 0 for cents, _ in parts)
    assert sum(cents for cents, _ in parts) <= bought.revenue_cents


@given(total=st.integers(0, 10**9), weights=st.lists(st.integers(0, 10**6), min_size=1, max_size=6))
def test_shares_are_whole_and_together_the_total(total: int, weights: list[int]) -> None:
    parts = shop.shares(total, weights)
    assert len(parts) == len(weights)
    assert sum(parts) == (total if any(weights) else 0)
    assert all(part >= 0 for part in parts)
