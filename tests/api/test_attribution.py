"""Who is paid for an order and why, as anybody can work it out again; and what may be charged for."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

from stackfluence.catalog import load_horizon
from stackfluence.clock import rfc3339, uuid7
from stackfluence.facts import Run, derive
from tests.api.brands import errors
from tests.api.ordered import DAY, LATER_MS, Orders, listed
from tests.facts.days import DAY_START_MS

MODELS = ("last_touch", "first_touch", "linear", "position_based", "time_decay")
HOUR_MS = 3_600_000


def click(orders: Orders, hour: int, creator: str, **fields: Any) -> str:
    """Write a click of an hour of the day, and return its id."""
    event_id = uuid7(DAY_START_MS + hour * HOUR_MS)[1]
    at = rfc3339(DAY_START_MS + hour * HOUR_MS)
    place = {"link_id": f"lnk_{creator}", "creator_id": f"crt_{creator}", "campaign_id": "cmp_spring"}
    given = {"event_id": event_id, "click_id": event_id, "occurred_at": at, "received_at": at, **place, **fields}
    orders.journal.event(**given)
    return event_id


def told(orders: Orders, event_type: str, hour: int, click_id: str = "", **fields: Any) -> None:
    """Write what a server tells at an hour of the day."""
    at = rfc3339(DAY_START_MS + hour * HOUR_MS)
    carried = {"click_id": click_id, "click_id_status": "valid"} if click_id else {}
    given = {"occurred_at": at, "received_at": at, "trust_tier": "server", **carried, **fields}
    orders.journal.event(event_type, **given)


async def derive_clicks(orders: Orders, run_id: int) -> None:
    await orders.journal.load()
    horizon = await load_horizon(orders.journal.api.state.core.catalog)
    run = Run(run_id, orders.journal.brand.keys.organization_id, horizon, LATER_MS)
    await asyncio.to_thread(derive, orders.store, run, DAY, DAY + timedelta(days=1))


def credits_by_hand(touches: list[dict[str, Any]]) -> dict[str, list[int]]:
    """Work the models' credits out from an explanation alone, as docs/conversions.md tells them."""
    eligible = [touch for touch in touches if touch["outcome"] in ("paid", "eligible")]
    own = {touch["creator_id"] for touch in eligible if touch["found_by"] != "code"}
    sharing = [touch for touch in eligible if touch["found_by"] != "code" or touch["creator_id"] not in own]
    sharing.sort(key=lambda touch: (touch["touched_at"], touch["click_id"] or "", touch["code"] or ""))

    def shared(parts: list[int], amount: int) -> list[int]:
        floors = [amount * part // sum(parts) for part in parts]
        left = amount - sum(floors)
        return [floor + (place >= len(floors) - left) for place, floor in enumerate(floors)]

    count, week = len(sharing), 7 * 86_400
    halved = []
    for touch in sharing:
        halvings, rest = divmod(max(0, touch["before_seconds"]), week)
        halved.append((1 << 30 - halvings) * (2 * week - rest) // (2 * week))
    positions = [[], [1_000_000], [500_000, 500_000]][count] if count < 3 else [
        400_000, *shared([1] * (count - 2), 200_000), 400_000
    ]  # fmt: skip
    models = {
        "first_touch": [1_000_000, *[0] * (count - 1)][:count],
        "linear": shared([1] * count, 1_000_000) if count else [],
        "position_based": positions,
        "time_decay": shared(halved, 1_000_000) if count else [],
    }
    places = {touch["place"]: place for place, touch in enumerate(sharing)}
    worked_out = {
        model: [by_age[places[touch["place"]]] if touch["place"] in places else 0 for touch in touches]
        for model, by_age in models.items()
    }
    first = min((touch["place"] for touch in eligible), default=None)
    return {"last_touch": [1_000_000 if touch["place"] == first else 0 for touch in touches], **worked_out}


async def test_an_explanation_can_be_worked_out_again_by_another_program(orders: Orders) -> None:
    kept = {"kept": {"customer_hash": "c" * 32}}
    for hour, creator, reasons in ((1, "emma", []), (5, "lena", []), (7, "mia", ["declared_bot"]), (9, "noa", [])):
        click_id = click(orders, hour, creator, bot_reasons=reasons, bot_score=100 if reasons else 0)
        if creator != "noa":
            told(orders, "identify", hour, click_id, **kept)
    last = click_id
    order = {"order_id": "A1", "conversion_type": "purchase", "currency": "EUR", "revenue_cents": 12_000}
    told(orders, "conversion", 12, last, **order, **kept, subtotal_cents=10_000, shipping_cents=500)
    told(orders, "refund", 13, original_order_id="A1", refund_amount_cents=3_000, currency="EUR")
    await derive_clicks(orders, 1)
    orders.runs = 1
    await orders.derive()
    [listed_order] = await listed(orders.journal.brand)
    path = f"/v1/conversions/{listed_order['conversion_id']}/attribution"
    answer = await orders.journal.brand.get(path)
    assert answer.status_code == 200, answer.text
    body = answer.json()
    touches = body["touches"]
    assert [(touch["creator_id"], touch["outcome"], touch["credits"]["paid"]) for touch in touches] == [
        ("crt_noa", "paid", 1_000_000),
        ("crt_mia", "invalid_traffic", 0),
        ("crt_lena", "eligible", 0),
        ("crt_emma", "eligible", 0),
    ]
    assert touches[1]["invalid_reason"] == "declared_bot"
    assert {model: [touch["credits"][model] for touch in touches] for model in MODELS} == credits_by_hand(touches)
    assert (body["commission_base_cents"], body["net_base_micros"]) == (10_000, 7_500_000_000)
    assert (body["unattributed_reason"], body["non_billable_reason"], body["is_provisional"]) == (None, None, False)
    assert (body["policy"]["version"], body["policy"]["attribution_model"]) == (1, "last_touch")
    assert (await orders.journal.other.get(path)).status_code == 404
    assert (await orders.journal.brand.get("/v1/conversions/none/attribution")).status_code == 404

    rows = await listed(orders.journal.brand, "/v1/billable-events")
    billed = [(row["charge_type"], row["creator_id"], row["non_billable_reason"], row["detail"]) for row in rows]
    assert billed == [
        ("conversion", "crt_noa", None, None),
        ("valid_click", "crt_noa", None, None),
        ("valid_click", "crt_mia", "invalid_traffic", "declared_bot"),
        ("valid_click", "crt_lena", None, None),
        ("valid_click", "crt_emma", None, None),
    ]
    assert await listed(orders.journal.other, "/v1/billable-events") == []
    parts, cursor = [], ""
    while True:
        part = (await orders.journal.brand.get("/v1/billable-events", params={"limit": 2, "cursor": cursor})).json()
        parts += part["items"]
        if not (cursor := part["next_cursor"] or ""):
            break
    assert parts == rows
    some = await listed(orders.journal.brand, "/v1/billable-events", charge_type="valid_click", is_billable=True)
    assert [row["creator_id"] for row in some] == ["crt_noa", "crt_lena", "crt_emma"]
    for wrong in ({"cursor": "nonsense"}, {"charge_type": "lunch"}, {"is_billable": "perhaps"}):
        assert set(errors(await orders.journal.brand.get("/v1/billable-events", params=wrong))) == set(wrong)


async def test_visits_are_billed_once_and_every_other_click_says_why_not(orders: Orders) -> None:
    first, second, unseen = (click(orders, 9, "emma"), click(orders, 10, "emma"), click(orders, 11, "emma"))
    for click_id, hour in ((first, 9), (second, 10)):
        for _ in range(2):
            told(orders, "pageview", hour, click_id, session_id="ses_1", trust_tier="browser")
    await derive_clicks(orders, 1)
    rows = await listed(orders.journal.brand, "/v1/billable-events")
    said = {(row["charge_type"], row["source_id"]): (row["non_billable_reason"], row["detail"]) for row in rows}
    assert said == {
        ("valid_click", first): (None, None),
        ("qualified_session", first): (None, None),
        ("valid_click", second): ("duplicate_click", None),
        ("qualified_session", second): ("unqualified", "repeated_visit"),
        ("valid_click", unseen): (None, None),
    }
    visit = (await orders.journal.brand.get(f"/v1/clicks/{second}")).json()["visit"]
    assert (visit["is_qualified"], visit["unqualified_reason"], visit["policy_version"]) == (False, "repeated_visit", 1)
    assert "shortly before" in visit["sentence"]
