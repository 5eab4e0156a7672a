"""Policies over HTTP: what counts from when on, planned ahead, never edited once it counts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from stackfluence.api.policies import next_midnight
from stackfluence.catalog import Catalog
from stackfluence.clock import parse_rfc3339, rfc3339
from tests.api.brands import Brand, add_brand, errors

NOON = "2026-11-21T12:00:00.000Z"
MIDNIGHT = "2026-11-21T23:00:00.000Z"  # of the organization's days, in Berlin
DECEMBER = "2026-11-30T23:00:00.000Z"
DEFAULTS = {
    "flagged_from": 50,
    "ignored_reasons": [],
    "excluded_classes": ["givt", "sivt"],
    "min_engaged_seconds": 10,
    "min_pageviews": 2,
    "repeat_hours": 24,
    "session_tiers": ["server", "connector", "browser"],
    "conversion_tiers": ["server", "connector"],
    "touch_tiers": ["server", "connector", "browser"],
    "attribution_model": "last_touch",
    "attribution_window_days": 30,
}


class Clock:
    """The API's time, put forward by tests."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.at = NOON
        for module in ("catalog.connect", "api.policies"):
            monkeypatch.setattr(f"stackfluence.{module}.now_ms", lambda: parse_rfc3339(self.at))


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def refusal(response: httpx.Response) -> tuple[int, str]:
    assert response.headers["content-type"] == "application/problem+json"
    return response.status_code, response.json()["detail"]


async def in_force(brand: Brand, at: str = "") -> int:
    response = await brand.get("/v1/policies/in-force", params={"at": at} if at else {})
    assert response.status_code == 200, response.text
    return int(response.json()["version"])


async def test_an_organization_starts_with_the_documented_defaults(brand: Brand) -> None:
    (first,) = await brand.all("/v1/policies")
    assert {name: first[name] for name in DEFAULTS} == DEFAULTS
    assert (first["version"], first["effective_from"], first["effective_until"]) == (
        1,
        "1970-01-01T00:00:00.000Z",
        None,
    )
    assert (await brand.get(f"/v1/policies/{first['id']}")).json() == first
    assert (await brand.get("/v1/policies/in-force")).json() == first


async def test_a_policy_begins_at_the_next_midnight_of_the_accounts_unless_it_says_when(brand: Brand) -> None:
    made = await brand.make("policies", name="Three pages", min_pageviews=3)
    assert (made["version"], made["effective_from"], made["effective_until"]) == (2, MIDNIGHT, None)
    assert {name: made[name] for name in DEFAULTS} == {**DEFAULTS, "min_pageviews": 3}
    later = await brand.make("policies", effective_from="2026-12-01", attribution_model="linear")
    assert (later["effective_from"], later["min_pageviews"]) == (DECEMBER, 3)
    exact = await brand.make("policies", effective_from="2026-11-21T13:05:00+01:00")
    assert (exact["effective_from"], exact["effective_until"], exact["min_pageviews"]) == (
        "2026-11-21T12:05:00.000Z",
        MIDNIGHT,
        2,
    )
    listed = await brand.all("/v1/policies", limit=1)
    assert [(policy["version"], policy["effective_until"]) for policy in listed] == [
        (3, None),
        (2, DECEMBER),
        (4, MIDNIGHT),
        (1, "2026-11-21T12:05:00.000Z"),
    ]


@pytest.mark.parametrize(
    ("at", "zone", "midnight"),
    [
        ("2026-11-21T22:59:59.999Z", "Europe/Berlin", "2026-11-21T23:00:00.000Z"),
        ("2026-11-21T23:00:00.000Z", "Europe/Berlin", "2026-11-21T23:00:00.000Z"),
        ("2026-11-21T23:00:00.001Z", "Europe/Berlin", "2026-11-22T23:00:00.000Z"),
        ("2026-03-29T10:00:00.000Z", "Europe/Berlin", "2026-03-29T22:00:00.000Z"),
        ("2026-10-24T22:00:00.001Z", "Europe/Berlin", "2026-10-25T23:00:00.000Z"),
        ("2026-09-05T12:00:00.000Z", "America/Santiago", "2026-09-06T04:00:00.000Z"),  # that day begins at 01:00
        ("2026-11-21T09:00:00.000Z", "Pacific/Kiritimati", "2026-11-21T10:00:00.000Z"),
    ],
)
def test_midnight_is_the_zones_also_when_clocks_change(at: str, zone: str, midnight: str) -> None:
    assert rfc3339(next_midnight(parse_rfc3339(at), zone)) == midnight


async def test_the_policy_of_any_moment_is_told(brand: Brand, clock: Clock) -> None:
    await brand.make("policies")
    await brand.make("policies", effective_from="2026-12-01")
    for at, version in (
        ("", 1),
        ("2026-11-21", 1),
        ("2026-11-21T22:59:59.999Z", 1),
        (MIDNIGHT, 2),
        ("2026-11-22", 2),
        ("2026-12-01", 3),
        ("1970-01-01T00:00:00Z", 1),
        ("9999-12-31T00:00:00Z", 3),
    ):
        assert await in_force(brand, at) == version, at
    clock.at = DECEMBER
    assert await in_force(brand) == 3
    assert errors(await brand.get("/v1/policies/in-force", params={"at": "soon"})).keys() == {"at"}
    assert errors(await brand.get("/v1/policies/in-force", params={"on": NOON})).keys() == {"on"}


async def test_a_planned_policy_is_changed_moved_and_deleted(brand: Brand) -> None:
    made = await brand.make("policies", min_pageviews=3, ignored_reasons=["vpn_network", "declared_bot"])
    assert made["ignored_reasons"] == ["declared_bot", "vpn_network"]
    where = f"/v1/policies/{made['id']}"
    changed = await brand.patch(where, json={"min_pageviews": 4, "ignored_reasons": [], "effective_from": "2026-12-01"})
    assert changed.json() == {**made, "min_pageviews": 4, "ignored_reasons": [], "effective_from": DECEMBER}
    assert (await brand.patch(where, json={})).json() == changed.json()
    assert (await brand.patch(where, json={"name": "Pages"})).json() == {**changed.json(), "name": "Pages"}
    assert (await brand.delete(where)).status_code == 204
    assert (await brand.get(where)).status_code == 404
    assert [policy["version"] for policy in await brand.all("/v1/policies")] == [1]
    assert (await brand.make("policies"))["version"] == 3, "a version is never used again"
    told = await brand.all("/v1/audit-log", subject_id=made["id"])
    assert [entry["action"] for entry in reversed(told)] == [
        "policy.created",
        "policy.changed",
        "policy.changed",
        "policy.deleted",
    ]
    assert told[1]["after"] == {"name": "Pages"}


async def test_a_policy_in_force_is_neither_changed_nor_deleted(brand: Brand, clock: Clock) -> None:
    made = await brand.make("policies", effective_from=MIDNIGHT)
    first = (await brand.all("/v1/policies"))[-1]
    for at, policy, sentence in (
        (NOON, first, "Version 1 is the first one"),
        ("2026-11-21T22:59:00.000Z", made, f"Version 2 takes effect at {MIDNIGHT}"),
        (MIDNIGHT, made, f"Version 2 has been in force since {MIDNIGHT}"),
    ):
        clock.at = at
        where = f"/v1/policies/{policy['id']}"
        for response in (
            await brand.patch(where, json={"name": "x"}),
            await brand.patch(where, json={"effective_from": "2027-01-01"}),
            await brand.delete(where),
        ):
            status, detail = refusal(response)
            assert (status, response.json()["policy_id"]) == (409, policy["id"])
            assert detail == f"{sentence} and can't be changed or deleted; add a policy that begins later."
        assert (await brand.get(where)).json()["name"] == policy["name"]


async def test_no_policy_begins_in_the_past_or_at_once(brand: Brand) -> None:
    made = await brand.make("policies")
    for effective_from in ("2026-11-21", "1970-01-01T00:00:00Z", NOON, "2026-11-21T12:04:59.999Z"):
        for response in (
            await brand.post("/v1/policies", json={"effective_from": effective_from}),
            await brand.patch(f"/v1/policies/{made['id']}", json={"effective_from": effective_from}),
        ):
            message = errors(response)["effective_from"]
            assert response.status_code == 422
            assert "five minutes from now, 2026-11-21T12:05:00.000Z" in message
    response = await brand.post("/v1/policies", json={"effective_from": MIDNIGHT})
    assert (response.status_code, response.json()["policy_id"]) == (409, made["id"])
    assert len(await brand.all("/v1/policies")) == 2


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("effective_from", "tomorrow"),
        ("effective_from", ""),
        ("effective_from", 1_795_000_000_000),
        ("effective_from", None),
        ("name", "x" * 201),
        ("flagged_from", 0),
        ("flagged_from", 101),
        ("flagged_from", "50"),
        ("flagged_from", 50.5),
        ("flagged_from", True),
        ("ignored_reasons.1", ["declared_bot", "a hunch"]),
        ("excluded_classes.0", ["valid"]),
        ("min_engaged_seconds", -1),
        ("min_engaged_seconds", 3601),
        ("min_pageviews", 0),
        ("min_pageviews", 101),
        ("repeat_hours", 25),
        ("session_tiers", []),
        ("session_tiers.0", ["rumour"]),
        ("conversion_tiers.1", ["server", "browser"]),
        ("touch_tiers", "browser"),
        ("attribution_model", "u_shaped"),
        ("attribution_window_days", 0),
        ("attribution_window_days", 31),
        ("version", 7),
        ("organization_id", "org_0000000"),
    ],
)
async def test_what_cant_be_meant_is_refused_by_the_name_of_its_field(brand: Brand, field: str, value: Any) -> None:
    made = await brand.make("policies")
    given = {field.partition(".")[0]: value}
    for response in (
        await brand.post("/v1/policies", json={"effective_from": "2027-01-01", **given}),
        await brand.patch(f"/v1/policies/{made['id']}", json=given),
    ):
        assert response.status_code == 422
        assert errors(response).keys() == {field}
    assert (await brand.all("/v1/policies"))[0] == made


@pytest.fixture
async def week(api: FastAPI, catalog: Catalog) -> AsyncIterator[Brand]:
    """Open a client of an installation whose click IDs live for a week."""
    api.state.core.settings = replace(api.state.core.settings, click_id_ttl_days="7")
    async with await add_brand(api, catalog, "Brand") as client:
        yield client


async def test_no_policy_looks_back_further_than_click_ids_live(week: Brand) -> None:
    for body in ({"attribution_window_days": 8}, {"min_pageviews": 3}):
        response = await week.post("/v1/policies", json=body)
        assert response.status_code == 422
        message = errors(response)["attribution_window_days"]
        assert "SF_CLICK_ID_TTL_DAYS" in message
        assert "a click ID lives for 7 days" in message
    made = await week.make("policies", attribution_window_days=7)
    assert made["version"] == 2, "what was refused left no trace"
    response = await week.patch(f"/v1/policies/{made['id']}", json={"attribution_window_days": 14})
    assert errors(response).keys() == {"attribution_window_days"}
    assert (await week.get(f"/v1/policies/{made['id']}")).json() == made


async def test_the_same_request_with_a_key_makes_one_policy(brand: Brand) -> None:
    headers = {"Idempotency-Key": "pages"}
    first = await brand.post("/v1/policies", json={"min_pageviews": 3}, headers=headers)
    again = await brand.post("/v1/policies", json={"min_pageviews": 3}, headers=headers)
    assert (first.status_code, again.status_code, again.content) == (201, 201, first.content)
    assert again.headers["Idempotent-Replay"] == "true"
    assert len(await brand.all("/v1/policies")) == 2


async def test_one_organizations_policies_are_nothing_to_another(brand: Brand, other: Brand) -> None:
    made = await brand.make("policies", min_pageviews=3, name="name-of-brand")
    assert [policy["version"] for policy in await other.all("/v1/policies")] == [1]
    assert (await other.get("/v1/policies/in-force", params={"at": "2030-01-01"})).json()["version"] == 1
    for method, body in (("GET", None), ("PATCH", {"min_pageviews": 9}), ("DELETE", None)):
        assert (await other.request(method, f"/v1/policies/{made['id']}", json=body)).status_code == 404
    theirs = await other.make("policies")
    assert (theirs["version"], theirs["effective_from"], theirs["min_pageviews"]) == (2, MIDNIGHT, 2)
    assert (await brand.get(f"/v1/policies/{made['id']}")).json() == made
