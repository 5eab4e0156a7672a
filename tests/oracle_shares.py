"""The oracle of shares: whose an order is by each model, and which part of its amounts, as reports count it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tests.oracle_credits import WHOLE
from tests.oracle_orders import MODELS, NOBODY

AMOUNTS = ("revenue_cents", "refunded_cents", "net_revenue_cents", "commission_base_cents")


def shares_of(order: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the rows of an order, as `Orders.told` tells of it, in `order_shares`."""
    return [row for model in sorted(("paid", *MODELS)) for row in _of_model(order, model)]


def _of_model(order: Mapping[str, Any], model: str) -> Iterator[dict[str, Any]]:
    touches = [(place, touch) for place, touch in enumerate(order["touches"], start=1) if touch[f"{model}_credits"]]
    if not touches:
        whom = {"creator_id": "", "campaign_id": "", "link_id": "", "has_click": False}
        whole = {"credits": WHOLE, "net_base_micros": order["net_base_micros"] or 0}
        why = {"uncredited_reason": order["unattributed_reason"], "touched_ms": order["occurred_ms"]}
        yield {"model": model, "place": 0, **whom, **whole, **why, **_common(order)}
    before = 0
    for place, touch in touches:
        share = touch[f"{model}_credits"]
        net = order["net_base_micros"] or 0
        yield {
            "model": model,
            "place": place,
            **{name: touch[name] for name in ("creator_id", "campaign_id", "link_id", "touched_ms")},
            "has_click": touch["click_id"] != NOBODY,
            "credits": share,
            "net_base_micros": net * (before + share) // WHOLE - net * before // WHOLE,
            "uncredited_reason": "",
            **_common(order),
        }
        before += share


def _common(order: Mapping[str, Any]) -> dict[str, Any]:
    has_amounts = order["revenue_cents"] is not None or order["commission_base_cents"] is not None
    left_out = order["non_billable_reason"]
    return {
        **{name: order[name] or 0 for name in AMOUNTS},
        "refunded_cents": 0 if order["revenue_cents"] is None else order["refunded_cents"],
        "currency": order["currency"] if has_amounts else "",
        "left_out_reason": "" if left_out == "unattributed" else left_out,
        **{name: order[name] for name in ("conversion_type", "customer_type", "is_test")},
    }
