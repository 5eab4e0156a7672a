"""Counts that add up, of the days of the organization's own time zone."""

from __future__ import annotations

from typing import Any

from stackfluence.clock import rfc3339
from tests.api.brands import errors
from tests.api.stored import Journal

URL = "/v1/reports/summary"


async def test_the_summary_counts_each_event_once_and_adds_up(journal: Journal) -> None:
    click = journal.event(link_id="lnk_0000000001")
    journal.event("session", click_id=click.event_id)
    journal.event("conversion", revenue_cents=4999, currency="EUR", event_id="01a20320-a27b-8abc-8def-0123456789ab")
    journal.event("conversion", revenue_cents=4999, currency="EUR", event_id="01a20320-a27b-8abc-8def-0123456789ab")
    journal.event("conversion", revenue_cents=100, currency="USD", is_test=True)
    journal.event("refund", refund_amount_cents=999, currency="EUR")
    journal.event("conversion", quarantine_reason="wrong_type")
    journal.event(brand=journal.other)
    await journal.load()
    told = (await journal.brand.get(URL)).json()
    assert (told["from"], told["to"], told["time_zone"]) == (None, None, "Europe/Berlin")
    assert (told["received"], told["stored"], told["quarantined"], told["duplicates"]) == (7, 6, 1, 1)
    assert told["quarantined_by_reason"] == {"wrong_type": 1}
    total = told["total"]
    assert total == {
        "clicks": 1, "sessions": 1, "pageviews": 0, "conversions": 2, "refunds": 1, "identifies": 0,
        "revenue_cents": {"EUR": 4999, "USD": 100}, "refunded_cents": {"EUR": 999},
    }  # fmt: skip
    assert told["days"] == [{"date": "2026-11-22", **total}]
    real = (await journal.brand.get(URL, params={"is_test": False})).json()
    assert real["total"]["revenue_cents"] == {"EUR": 4999}
    assert (await journal.brand.get(URL, params={"link_id": "lnk_0000000001"})).json()["stored"] == 1


async def test_an_order_is_counted_once_on_its_day_with_its_latest_amount(journal: Journal) -> None:
    order: dict[str, Any] = {
        "conversion_type": "purchase",
        "order_id": "A1",
        "shop": "brand.example",
        "currency": "EUR",
    }
    day, before = "2026-11-22T13:00:00.000Z", "2026-11-22T12:00:00.000Z"
    order_told = {**order, "trust_tier": "connector", "occurred_at": day}
    browser: dict[str, Any] = {**order, "trust_tier": "browser", "occurred_at": "2026-11-21T12:00:00.000Z"}
    journal.event("conversion", revenue_cents=5100, **browser)
    journal.event("conversion", revenue_cents=4000, revised_at=day, **order_told)
    journal.event("conversion", revenue_cents=5000, revised_at=before, **order_told)
    journal.event("conversion", revenue_cents=300, conversion_type="signup", order_id="A1", shop="brand.example")
    await journal.load()
    told = (await journal.brand.get(URL)).json()
    assert (told["total"]["conversions"], told["stored"], told["duplicates"]) == (2, 4, 0)
    assert told["total"]["revenue_cents"] == {"EUR": 4000, "": 300}
    assert {each["date"]: each["conversions"] for each in told["days"]} == {"2026-11-21": 0, "2026-11-22": 2}
    first = (await journal.brand.get(URL, params={"from": "2026-11-21", "to": "2026-11-22"})).json()
    assert (first["total"]["conversions"], first["stored"]) == (0, 1)


async def test_days_begin_at_the_organizations_midnight(journal: Journal) -> None:
    for moment in ("2026-11-21T22:59:59.999Z", "2026-11-21T23:00:00.000Z", "2026-11-22T22:59:59.999Z"):
        journal.event(occurred_at=moment)
    await journal.load()
    days = (await journal.brand.get(URL)).json()["days"]
    assert {day["date"]: day["clicks"] for day in days} == {"2026-11-21": 1, "2026-11-22": 2}
    days = (await journal.brand.get(URL, params={"time_zone": "UTC"})).json()["days"]
    assert {day["date"]: day["clicks"] for day in days} == {"2026-11-21": 2, "2026-11-22": 1}
    told = (await journal.brand.get(URL, params={"from": "2026-11-22", "to": "2026-11-23"})).json()
    assert (told["total"]["clicks"], told["from"], told["to"]) == (
        2,
        "2026-11-21T23:00:00.000Z",
        "2026-11-22T23:00:00.000Z",
    )
    told = (await journal.brand.get(URL, params={"from": "2026-11-21T23:00:00.001Z"})).json()
    assert told["total"]["clicks"] == 1


async def test_a_question_that_makes_no_sense_is_refused(journal: Journal) -> None:
    for query, field in (
        ({"from": "yesterday"}, "from"),
        ({"to": "2026-13-01"}, "to"),
        ({"to": "2026-11-22T10:00:00"}, "to"),
        ({"from": "0001-01-01"}, "from"),
        ({"from": "2026-11-23", "to": "2026-11-22"}, "to"),
        ({"from": "2026-11-22", "to": "2026-11-22"}, "to"),
        ({"time_zone": "Mars/Olympus"}, "time_zone"),
        ({"time_zone": "../../etc/passwd"}, "time_zone"),
        ({"organization_id": "org_0000001"}, "organization_id"),
    ):
        response = await journal.brand.get(URL, params=query)
        assert response.status_code == 422, query
        assert set(errors(response)) == {field}
    assert (await journal.brand.get(URL)).json()["days"] == []
    assert rfc3339(0) == "1970-01-01T00:00:00.000Z"


async def test_a_span_that_has_no_moment_is_refused_wherever_one_is_read(journal: Journal) -> None:
    span = {"from": "2026-11-23T00:00:00Z", "to": "2026-11-22T00:00:00Z"}
    document = (await journal.brand.get("/openapi.json")).json()
    paths = {
        path
        for path, methods in document["paths"].items()
        if {"from", "to"} <= {each["name"] for each in methods.get("get", {}).get("parameters", [])}
    }
    assert {"/v1/reports/traffic", "/v1/conversions", "/v1/events", "/v1/exports/events"} <= paths
    for path in sorted(paths):
        response = await journal.brand.get(path, params=span)
        assert (path, response.status_code) == (path, 422)
        assert errors(response) == {"to": "must be after `from`."}, path
