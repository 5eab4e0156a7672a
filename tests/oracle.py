"""A slow oracle in plain Python: what an organization's told events come to, by the rules as the pages tell them.

Nothing here knows the numbered SQL. `tests/facts/test_histories.py` compares the two on generated histories.

oracle_events  each event once, terms, points     oracle_clicks   visits and verdicts
oracle_money   amounts, refunds, commission base  oracle_orders   whom an order names, touches    oracle_credits  models
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import date
from typing import Any

from tests.oracle_clicks import Clicks
from tests.oracle_events import Input, Terms, Told, day_of, events_of
from tests.oracle_money import Key
from tests.oracle_orders import Orders

Rows = dict[str, dict[str, Any]]


def clicks_told(told: Iterable[Told], organization_id: str, terms: Terms, days: Collection[date]) -> Rows:
    """Return the verdicts on the clicks of some days (UTC), by click, in the columns of `click_verdicts`."""
    clicks = Clicks(Input(events_of(told, organization_id), terms))
    return {click: clicks.told(click) for click, row in clicks.clicks.items() if day_of(row.at_ms) in days}


def orders_told(
    told: Iterable[Told], organization_id: str, terms: Terms, days: Collection[date], click_days: Collection[date]
) -> dict[Key, dict[str, Any]]:
    """Return the orders of some days (UTC), in the columns of `conversions`, with `touches`.

    An order is known by shop and order id, anything else by its event's id. `click_days` are those with verdicts.
    """
    orders = Orders(Input(events_of(told, organization_id), terms, frozenset(click_days)))
    return {key: orders.told(key) for key, order in orders.orders.items() if day_of(order.first.at_ms) in days}
