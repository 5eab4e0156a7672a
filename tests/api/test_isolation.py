"""One organization never sees or touches another's, on any route there is."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

from stackfluence.events.store import Store
from stackfluence.vocabulary import TrafficReason
from tests.api.brands import SHOP, Brand
from tests.api.stored import Journal
from tests.api.verdicts import put_verdicts, verdict

BODIES: dict[str, dict[str, Any]] = {
    "/v1/links/{link_id}": {"status": "paused"},
    "/v1/creators/{creator_id}": {"name": "x"},
    "/v1/campaigns/{campaign_id}": {"name": "x"},
    "/v1/posts/{post_id}": {"platform": "x"},
    "/v1/keys/{key_id}": {"name": "x"},
    "/v1/codes/{code_id}": {"ends_at": None},
    "/v1/policies/{policy_id}": {"name": "x"},
    "/v1/connections/{connection_id}": {"client_id": "x"},
    "/v1/connections/{connection_id}/shopify/session-token": {"session_token": "x"},
}


async def _everything(brand: Brand) -> dict[str, str]:
    """Make one of each thing, and return the ids by the names that paths give them."""
    host = await brand.make("hosts", hostname="go.brand.example")
    link = await brand.link(host="go.brand.example", tags=["tag-of-brand"])
    key = await brand.make("keys", kind="publishable", name="name-of-brand")
    owners = {"creator_id": link["creator_id"], "campaign_id": link["campaign_id"]}
    post = await brand.make("posts", **owners, asset_slug="story")
    code = await brand.make("codes", code="CODE-OF-BRAND", **owners)
    shop = await brand.make("connections", vendor="shopify", account="shop-of-brand.myshopify.com")
    policy = await brand.make("policies", name="policy-of-brand")
    made = {"link": link, "host": host, "key": key, "post": post, "code": code, "connection": shop, "policy": policy}
    return {**owners, **{f"{name}_id": row["id"] for name, row in made.items()}}


def _operations(api: FastAPI) -> list[tuple[str, str]]:
    paths = api.openapi()["paths"]
    return [(method.upper(), path) for path, methods in paths.items() for method in methods]


async def test_every_route_with_anothers_id_answers_as_if_there_were_none(
    api: FastAPI, brand: Brand, other: Brand
) -> None:
    ids = await _everything(brand)
    before = {path: await brand.all(path) for _, path in _operations(api) if path in LISTS}
    tried = 0
    for method, path in _operations(api):
        names = [name for name in ids if f"{{{name}}}" in path]
        if not names:
            continue
        theirs = path.format(**ids)
        none = path.format(**{name: f"{ids[name].partition('_')[0]}_0000000000" for name in names})
        body = BODIES.get(path, {}) if method in ("PATCH", "POST", "PUT") else None
        found = await other.request(method, theirs, json=body)
        missing = await other.request(method, none, json=body)
        assert (found.status_code, missing.status_code) == (404, 404), (method, path)
        for name in names:
            assert found.text.replace(ids[name], "") == missing.text.replace(f"{ids[name][:3]}_0000000000", "")
        tried += 1
    assert tried >= 15
    after = {path: await brand.all(path) for path in before}
    assert after == before, "and nothing was changed"


LISTS = tuple(
    f"/v1/{name}"
    for name in (
        "links",
        "creators",
        "campaigns",
        "posts",
        "hosts",
        "keys",
        "codes",
        "connections",
        "policies",
        "audit-log",
    )
)


async def test_no_list_or_file_names_anything_of_anothers(api: FastAPI, brand: Brand, other: Brand) -> None:
    ids = await _everything(brand)
    secrets = [*ids.values(), brand.keys.organization_id, "tag-of-brand", "name-of-brand", "go.brand.example", "emma"]
    secrets += ["CODE-OF-BRAND", "shop-of-brand", "policy-of-brand"]
    assert {path for method, path in _operations(api) if method == "GET"} >= set(LISTS)
    for path in (*LISTS, "/v1/organization", "/v1/links/export"):
        answer = (await other.get(path)).text
        assert [secret for secret in secrets if secret in answer] == [], path
    for query in (
        {"creator_id": ids["creator_id"]},
        {"post_id": ids["post_id"]},
        {"tag": "tag-of-brand"},
        {"q": "emma"},
    ):
        assert await other.all("/v1/links", **query) == []
    assert await other.all("/v1/audit-log", subject_id=ids["link_id"]) == []


async def test_anothers_ids_in_a_body_are_unknown(brand: Brand, other: Brand) -> None:
    ids = await _everything(brand)
    link = {"creator_handle": "a", "campaign_slug": "b", "destination_url": SHOP}
    for body in (
        {**link, "creator_handle": None, "creator_id": ids["creator_id"]},
        {**link, "campaign_slug": None, "campaign_id": ids["campaign_id"]},
        {**link, "post_id": ids["post_id"]},
        {**link, "host": "go.brand.example"},
    ):
        assert (await other.post("/v1/links", json=body)).status_code == 422
        report = (await other.post("/v1/links/bulk", json={"links": [body]})).json()
        assert (report["refused"], report["created"]) == (1, 0)
    for names in ({"creator_id": ids["creator_id"]}, {"creator_handle": "noah", "campaign_id": ids["campaign_id"]}):
        assert (await other.post("/v1/codes", json={"code": "X", **names})).status_code == 422
        report = (await other.post("/v1/codes/bulk", json={"codes": [{"code": "X", **names}]})).json()
        assert (report["refused"], report["created"]) == (1, 0)
    own = await other.link("mine", creator_handle="noah")
    assert (await other.patch(f"/v1/links/{own['id']}", json={"post_id": ids["post_id"]})).status_code == 422
    owners = {"creator_id": ids["creator_id"], "campaign_id": own["campaign_id"], "asset_slug": "x"}
    assert (await other.post("/v1/posts", json=owners)).status_code == 422


async def test_the_organization_of_a_body_means_nothing(brand: Brand, other: Brand) -> None:
    response = await other.post("/v1/creators", json={"handle": "emma", "organization_id": brand.keys.organization_id})
    assert response.status_code == 422
    assert await brand.all("/v1/creators") == []


async def test_anothers_clicks_are_neither_explained_nor_counted(journal: Journal, store: Store) -> None:
    theirs = journal.event(creator_id="crt_0000000001", bot_score=100, bot_reasons=["declared_bot"])
    unjudged = journal.event(creator_id="crt_0000000001", occurred_at="2026-11-20T00:00:00.000Z")
    own = journal.event(brand=journal.other, creator_id="crt_0000000002")
    await journal.load()
    put_verdicts(store, journal.brand.keys.organization_id, 9, 1, [verdict(theirs, TrafficReason.webdriver)])
    none = "01a20320-a27b-7abc-8def-0123456789ab"
    missing = await journal.other.get(f"/v1/clicks/{none}")
    for click in (theirs, unjudged):
        found = await journal.other.get(f"/v1/clicks/{click.event_id}")
        assert (found.status_code, missing.status_code) == (404, 404)
        assert found.text.replace(click.event_id, "") == missing.text.replace(none, "")
    report = (await journal.other.get("/v1/reports/traffic", params={"group_by": "creator"})).json()
    assert (report["total"]["gross"], report["total"]["not_derived"], report["run_id"]) == (1, 1, 0)
    assert [group["group"] for group in report["items"]] == ["crt_0000000002"]
    for filtered in ({"creator_id": "crt_0000000001"}, {"group_by": "day", "to": "2026-11-21"}):
        assert (await journal.other.get("/v1/reports/traffic", params=filtered)).json()["total"]["gross"] == 0
    assert (await journal.other.get(f"/v1/clicks/{own.event_id}")).json()["derived"] is None
    report = (await journal.brand.get("/v1/reports/traffic")).json()
    assert (report["total"]["gross"], report["run_id"]) == (2, 9)
