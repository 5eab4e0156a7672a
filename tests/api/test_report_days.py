"""Reports over what runs derive of events, from the journal on; and what no run has read yet."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from stackfluence.api import report_late
from stackfluence.catalog import load_horizon
from stackfluence.clock import parse_rfc3339, uuid7
from stackfluence.events.event import Leaf
from stackfluence.facts import Run, derive
from tests.api.ordered import DAY, LATER_MS, Orders

SPAN = {"from": "2026-11-22", "to": "2026-11-24"}


async def told(orders: Orders, report: str, **query: Any) -> dict[str, Any]:
    response = await orders.journal.brand.get(f"/v1/reports/{report}", params={**SPAN, **query})
    assert response.status_code == 200, response.text
    body: dict[str, Any] = response.json()
    return body


def at(time: str, day: int = 22) -> dict[str, Any]:
    moment = f"2026-11-{day}T{time}:00.000Z"
    return {"occurred_at": moment, "received_at": moment}


def click(orders: Orders, time: str, day: int = 22, **fields: Any) -> Leaf:
    """Write a click of a moment, UTC."""
    given = at(time, day)
    event_id = uuid7(parse_rfc3339(given["occurred_at"]))[1]
    return orders.journal.event(event_id=event_id, click_id=event_id, **given, **fields)


async def test_what_runs_derive_is_told_on_its_day_and_the_rest_waits(
    orders: Orders, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = orders.journal
    link = await journal.brand.link("reel")
    place = {"link_id": link["id"], "creator_id": link["creator_id"], "campaign_id": link["campaign_id"]}
    seen = click(orders, "09:00", country="DE", in_app_browser="instagram", **place)
    click(orders, "10:00", country="FR", bot_score=100, bot_reasons=["declared_bot"], **place)
    click(orders, "23:14", country="DE", **place)
    click(orders, "23:15", country="DE", bot_score=60, bot_reasons=["no_fetch_metadata"], **place)
    carried: dict[str, Any] = {"click_id": seen.event_id, "click_id_status": "valid"}
    for _ in range(2):
        journal.event("pageview", **carried, **at("09:01"), session_id="ses_1", trust_tier="browser")
    order: dict[str, Any] = {
        "currency": "EUR",
        "subtotal_cents": 4_000,
        "shipping_cents": 900,
        "customer_type": "returning",
    }
    orders.order("A1", 4_900, **carried, **order, **at("23:30"))
    orders.order("A2", 1_000, **at("12:00"), customer_type="new")
    orders.order("A3", 2_000, **at("12:00"), trust_tier="browser")
    refund: dict[str, Any] = {"original_order_id": "A1", "refund_amount_cents": 2_450, "currency": "EUR"}
    journal.event("refund", **refund, **at("23:45"))
    await journal.load()
    run = Run(1, journal.brand.keys.organization_id, await load_horizon(journal.api.state.core.catalog), LATER_MS)
    await asyncio.to_thread(derive, orders.store, run, DAY, DAY + timedelta(days=1))
    orders.runs = 1
    await orders.derive()

    days = (await told(orders, "timeseries"))["items"]
    assert [(day["period"], day["clicks"]["gross"], day["orders"]["conversions"]) for day in days] == [
        ("2026-11-22", 2, 1),
        ("2026-11-23", 2, 1),
    ], "in Berlin it is an hour later"
    by_click = (await told(orders, "timeseries", by="click_day"))["items"]
    assert [day["orders"]["conversions"] for day in by_click] == [2, 0]
    body = await told(orders, "breakdown", group_by="creator")
    emma, nobody = body["items"]
    assert (emma["group"], emma["name"], nobody["group"]) == (link["creator_id"], "emma", None)
    assert emma["clicks"] == {
        "gross": 4, "valid": 2, "invalid_by_reason": {"declared_bot": 1, "no_fetch_metadata": 1}, "arrived": 1,
        "qualified": 1, "unqualified_by_reason": {"not_measured": 1}, "pageviews": 2,
    }  # fmt: skip
    assert emma["orders"]["amounts"] == {
        "EUR": {
            "revenue_micros": 4_900_000_000, "refunded_micros": 2_450_000_000, "net_revenue_micros": 2_450_000_000,
            "commission_base_micros": 4_000_000_000, "net_base_micros": 2_000_000_000,
        }
    }  # fmt: skip
    assert nobody["orders"]["uncredited_by_reason"] == {"no_touch": 1}
    assert body["total"]["orders"]["left_out_by_reason"] == {"unconfirmed": 1}
    countries = (await told(orders, "breakdown", group_by="country"))["items"]
    assert [(each["group"], each["clicks"]["gross"], each["orders"]["conversions"]) for each in countries] == [
        ("DE", 3, 1),
        ("FR", 1, 0),
        (None, 0, 1),
    ]
    apps = (await told(orders, "breakdown", group_by="in_app_browser"))["items"]
    assert {each["group"]: each["orders"]["conversions"] for each in apps} == {"": 0, "instagram": 1, None: 1}
    customers = (await told(orders, "customers"))["items"]
    assert [(row["customer_type"], row["orders"]["conversions"]) for row in customers] == [
        ("new", 1), ("returning", 1), (None, 0)
    ]  # fmt: skip
    assert (body["run_id"], body["order_run_id"], body["not_derived"]) == (1, 2, 0)

    with monkeypatch.context() as patch:
        patch.delitem(report_late.SQL, "count_late")
        patch.setattr("stackfluence.api.report_facts.now_ms", lambda: parse_rfc3339("2026-11-25T00:00:00Z"))
        days_over = await told(orders, "breakdown", to="2026-11-23")
        assert days_over["not_derived"] == 0, "rows of days that are over are only counted"

    click(orders, "11:00", **place)
    click(orders, "11:00", is_test=True, **place)
    click(orders, "11:00", day=23, **place)
    click(orders, "11:00", day=24, **place)
    journal.event(event_id=seen.event_id, click_id=seen.event_id, **at("09:00"), **place)
    await journal.load()
    for query, waiting in (
        ({}, 2),
        ({"to": "2026-11-23"}, 1),
        ({"is_test": True}, 1),
        ({"creator_id": "crt_0000000001"}, 0),
        ({"link_id": link["id"]}, 2),
    ):
        assert (await told(orders, "funnel", **query))["not_derived"] == waiting, query
    assert (await told(orders, "breakdown"))["total"] == body["total"], "what waits is in no number"
