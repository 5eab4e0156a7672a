"""What is bought: orders with lines, discounts, tax, shipping and gift cards, and what is given back.

All money is integer cents; shares are rounded down and the remainder goes to the last line, so that lines add up to
their order.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Any

from stackfluence.demo.contents import CURRENCY
from stackfluence.vocabulary import CustomerType

TAX_PERCENT = 19
SHIPPING_CENTS = 490
FREE_SHIPPING_CENTS = 6_000
GIFT_CARD_SHARE = 0.06  # of orders, paid in part with one
RETURNING_SHARE = 0.3
GIFT_CARD_PRODUCT = "gift-card"


@dataclass(frozen=True, slots=True)
class Product:
    """Something the shop sells; the price is net."""

    product_id: str
    sku: str
    price_cents: int
    variants: tuple[str, ...] = ("default",)


PRODUCTS = (
    Product("night-serum", "LUM-NS", 4_900, ("30ml", "50ml")),
    Product("barrier-cream", "LUM-BC", 3_200, ("50ml", "100ml")),
    Product("spf-50", "LUM-SPF", 2_400, ("face", "body")),
    Product("lip-balm", "LUM-LB", 900),
    Product("cleanser", "LUM-CL", 1_800, ("gel", "oil")),
    Product("winter-set", "LUM-WS", 8_900),
    Product(GIFT_CARD_PRODUCT, "LUM-GC", 5_000, ("50",)),
)
_WEIGHTS = (30, 20, 18, 15, 12, 8, 2)


@dataclass(frozen=True, slots=True)
class Order:
    """An order as a shop's server knows it. A gift card pays for a part of it, so it is not taken off."""

    order_id: str
    customer_id: str
    customer_type: str
    lines: list[dict[str, Any]]
    coupon_codes: list[str]
    subtotal_cents: int
    discount_cents: int
    tax_cents: int
    shipping_cents: int
    gift_card_cents: int
    currency: str

    @property
    def revenue_cents(self) -> int:
        """What the shopper owes: goods less discount, tax, shipping."""
        return self.subtotal_cents - self.discount_cents + self.tax_cents + self.shipping_cents

    def payload(self) -> dict[str, Any]:
        """Return the conversion event's fields, without click ID, key and times."""
        fields: dict[str, Any] = {
            "event_type": "purchase",
            "order_id": self.order_id,
            "customer_id": self.customer_id,
            "customer_type": self.customer_type,
            "currency": self.currency,
            "revenue_cents": self.revenue_cents,
            "subtotal_cents": self.subtotal_cents,
            "discount_cents": self.discount_cents,
            "tax_cents": self.tax_cents,
            "shipping_cents": self.shipping_cents,
            "lines": self.lines,
        }
        if self.gift_card_cents:
            fields["gift_card_cents"] = self.gift_card_cents
        if self.coupon_codes:
            fields["coupon_codes"] = self.coupon_codes
        return fields


def order(rng: Random, order_id: str, coupon_code: str) -> Order:
    """Return an order of one to four products; `coupon_code` takes its digits in percent off, empty: no coupon."""
    chosen = list({rng.choices(PRODUCTS, _WEIGHTS)[0]: None for _ in range(rng.choice((1, 1, 1, 2, 2, 3, 4)))})
    quantities = [rng.choice((1, 1, 1, 2)) for _ in chosen]
    amounts = [product.price_cents * quantity for product, quantity in zip(chosen, quantities, strict=True)]
    subtotal = sum(amounts)
    percent = int("".join(filter(str.isdigit, coupon_code)) or 0)
    discounts = shares(subtotal * percent // 100, amounts)
    nets = [amount - discount for amount, discount in zip(amounts, discounts, strict=True)]
    tax = sum(nets) * TAX_PERCENT // 100
    lines = [
        {
            "line_id": str(number),
            "product_id": product.product_id,
            "variant_id": rng.choice(product.variants),
            "sku": product.sku,
            "quantity": quantity,
            "subtotal_cents": amount,
            "discount_cents": discount,
            "tax_cents": line_tax,
            **({"is_gift_card": True} if product.product_id == GIFT_CARD_PRODUCT else {}),
        }
        for number, (product, quantity, amount, discount, line_tax) in enumerate(
            zip(chosen, quantities, amounts, discounts, shares(tax, nets), strict=True), 1
        )
    ]
    shipping = 0 if sum(nets) >= FREE_SHIPPING_CENTS else SHIPPING_CENTS
    owed = sum(nets) + tax + shipping
    return Order(
        order_id=order_id,
        customer_id=f"customer-{rng.randrange(10_000):04d}",
        customer_type=(CustomerType.returning if rng.random() < RETURNING_SHARE else CustomerType.new).value,
        lines=lines,
        coupon_codes=[coupon_code] if coupon_code else [],
        subtotal_cents=subtotal,
        discount_cents=sum(discounts),
        tax_cents=tax,
        shipping_cents=shipping,
        gift_card_cents=min(owed, 2_500) if rng.random() < GIFT_CARD_SHARE else 0,
        currency="EUR" if rng.random() < 0.1 else CURRENCY,
    )


def refunds(rng: Random, bought: Order) -> list[tuple[int, str]]:
    """Return what is given back of an order, each with its reason: all of it, one line, or two parts of it."""
    whole = bought.revenue_cents
    kind = rng.random()
    if kind < 0.4:
        return [(whole, rng.choice(("returned", "cancelled")))]
    line = rng.choice(bought.lines)
    part = min(whole, line["subtotal_cents"] - line["discount_cents"] + line["tax_cents"])
    if kind < 0.8 or part * 2 > whole:
        return [(part, "damaged")]
    return [(part, "returned"), (whole - part, "returned")]


def shares(total: int, weights: list[int]) -> list[int]:
    """Return `total` split in proportion to `weights`, whole cents, together exactly `total`."""
    whole = sum(weights)
    if not whole:
        return [0] * len(weights)
    parts = [total * weight // whole for weight in weights]
    parts[-1] += total - sum(parts)
    return parts
