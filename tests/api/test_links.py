"""Links over HTTP: what makes one, where it answers, what can be changed, how they are listed."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from stackfluence.api import Core, create_api
from stackfluence.api.link_bodies import public_url
from stackfluence.catalog import Catalog, find_link
from stackfluence.click.click_id import ClickIdKeys
from stackfluence.settings import Settings
from stackfluence.snapshot import decode_link
from tests.api.brands import SECRET, SHOP, Brand, errors


async def test_a_link_is_made_from_a_handle_and_a_slug_that_are_new(brand: Brand, catalog: Catalog) -> None:
    made = await brand.link("Story-1", creator_handle="Emma", campaign_slug="Winter-Socks", tags=["eu", "eu", "story"])
    assert made["url"] == "https://go.links.example/c/emma/winter-socks/story-1"
    assert (made["status"], made["kind"], made["is_test"], made["tags"]) == (
        "active",
        "organic",
        False,
        ["eu", "story"],
    )
    (creator,) = await brand.all("/v1/creators")
    (campaign,) = await brand.all("/v1/campaigns")
    assert (made["creator_id"], made["campaign_id"]) == (creator["id"], campaign["id"])
    value = await find_link(catalog, "", "emma", "winter-socks", "story-1")
    assert value is not None
    assert decode_link(value).id == made["id"]
    assert (await brand.get(f"/v1/links/{made['id']}")).json() == made


async def test_a_link_made_by_an_old_handle_is_its_owners(brand: Brand) -> None:
    first = await brand.link("one")
    await brand.patch(f"/v1/creators/{first['creator_id']}", json={"handle": "emma.official"})
    second = await brand.link("two", creator_handle="EMMA")
    assert second["creator_id"] == first["creator_id"]
    assert second["url"].endswith("/c/emma.official/summer/two")
    by_id = await brand.make(
        "links", creator_id=first["creator_id"], campaign_id=first["campaign_id"], destination_url=SHOP
    )
    assert by_id["url"].endswith("/c/emma.official/summer")
    assert by_id["asset_slug"] is None


async def test_one_address_has_one_link_also_across_organizations(brand: Brand, other: Brand) -> None:
    made = await brand.link()
    given = {
        "creator_handle": "Emma",
        "campaign_slug": "summer",
        "asset_slug": "REEL!",
        "destination_url": "https://b.example",
    }
    own = await brand.post("/v1/links", json=given)
    assert (own.status_code, own.json()["link_id"]) == (409, made["id"])
    foreign = await other.post("/v1/links", json=given)
    assert foreign.status_code == 409
    assert made["id"] not in foreign.text
    assert await other.all("/v1/creators") == [], "nothing of a refused link is kept"
    moved = await brand.link("reel-2")
    refused = await brand.patch(f"/v1/links/{moved['id']}", json={"asset_slug": "reel"})
    assert refused.status_code == 409


async def test_a_link_needs_one_creator_one_campaign_and_a_destination(brand: Brand) -> None:
    made = await brand.link()
    good = {"creator_handle": "emma", "campaign_slug": "summer", "asset_slug": "new", "destination_url": SHOP}
    for change, field in (
        ({"creator_id": made["creator_id"]}, "creator_handle"),
        ({"creator_handle": None}, "creator_handle"),
        ({"campaign_slug": ""}, "campaign_slug"),
        ({"campaign_slug": None, "campaign_id": made["creator_id"]}, "campaign_id"),
        ({"creator_handle": "a/b"}, "creator_handle"),
        ({"asset_slug": "a b"}, "asset_slug"),
        ({"destination_url": "javascript:alert(1)"}, "destination_url"),
        ({"destination_url": "https://user:pass@x.example"}, "destination_url"),
        ({"destination_url": None}, "destination_url"),
        ({"host": "go.unknown.example"}, "host"),
        ({"post_id": "pst_0000000000"}, "post_id"),
        ({"status": "gone"}, "status"),
        ({"tags": ["a", ""]}, "tags.1"),
        ({"tags": [" "]}, "tags"),
        ({"is_test": 1}, "is_test"),
        ({"expires_at": "tomorrow"}, "expires_at"),
    ):
        response = await brand.post("/v1/links", json=good | change)
        assert response.status_code == 422, change
        assert set(errors(response)) == {field}
    assert len(await brand.all("/v1/links")) == 1


async def test_a_link_is_changed_and_emptied_but_never_changes_hands(brand: Brand) -> None:
    made = await brand.link(fallback_url="https://brand.example/over", expires_at="2027-01-01T00:00:00Z", tags=["a"])
    path = f"/v1/links/{made['id']}"
    changed = (await brand.patch(path, json={"status": "paused", "asset_slug": "Reel-2", "tags": []})).json()
    assert changed == made | {
        "status": "paused", "asset_slug": "reel-2", "tags": [], "updated_at": changed["updated_at"],
        "url": "https://go.links.example/c/emma/summer/reel-2",
    }  # fmt: skip
    emptied = (await brand.patch(path, json={"fallback_url": None, "expires_at": None, "asset_slug": None})).json()
    assert (emptied["fallback_url"], emptied["expires_at"], emptied["asset_slug"]) == (None, None, None)
    for body, field in (
        ({"creator_id": "crt_0000000000"}, "creator_id"),
        ({"destination_url": None}, "destination_url"),
        ({"status": None}, "status"),
        ({"tags": None}, "tags"),
        ({"host": "go.unknown.example"}, "host"),
    ):
        assert set(errors(await brand.patch(path, json=body))) == {field}
    assert (await brand.get(path)).json() == emptied


async def test_a_links_post_is_of_its_own_creator_and_campaign(brand: Brand) -> None:
    mine, theirs = await brand.link("a"), await brand.link("b", creator_handle="noah")
    post = await brand.make("posts", creator_id=theirs["creator_id"], campaign_id=theirs["campaign_id"], asset_slug="b")
    refused = await brand.patch(f"/v1/links/{mine['id']}", json={"post_id": post["id"]})
    assert set(errors(refused)) == {"post_id"}
    body = {"creator_handle": "emma", "campaign_slug": "summer", "destination_url": SHOP, "post_id": post["id"]}
    assert set(errors(await brand.post("/v1/links", json=body))) == {"post_id"}
    assert (await brand.link("c", creator_handle="noah", post_id=post["id"]))["post_id"] == post["id"]


async def test_an_archived_link_keeps_its_address_and_comes_back(brand: Brand) -> None:
    made = await brand.link()
    path = f"/v1/links/{made['id']}"
    assert (await brand.delete(path)).status_code == 204
    assert (await brand.delete(path)).status_code == 204
    assert await brand.all("/v1/links") == []
    assert [each["id"] for each in await brand.all("/v1/links", status="archived")] == [made["id"]]
    assert (await brand.post("/v1/links", json={
        "creator_handle": "emma", "campaign_slug": "summer", "asset_slug": "reel", "destination_url": SHOP
    })).status_code == 409  # fmt: skip
    assert (await brand.patch(path, json={"status": "active"})).json()["status"] == "active"


async def test_links_are_found_by_what_they_are(brand: Brand) -> None:
    one = await brand.link("reel_1", tags=["eu", "50%"])
    two = await brand.link("reelx1", creator_handle="Ömer", kind="paid", tags=["eu,50%"])
    three = await brand.link("story", campaign_slug="winter", status="paused", is_test=True)

    async def ids(**query: object) -> list[str]:
        return [each["id"] for each in await brand.all("/v1/links", **query)]

    everything = await ids()
    assert everything == await ids(q="") == [three["id"], two["id"], one["id"]]
    assert await ids(tag="eu") == await ids(tag="50%") == [one["id"]]
    assert await ids(tag="eu,50%") == await ids(kind="paid") == await ids(q="öm") == [two["id"]]
    assert await ids(q="reel_") == [one["id"]], "the underscore is no wildcard"
    assert (
        await ids(status="paused") == await ids(q="win") == await ids(campaign_id=three["campaign_id"]) == [three["id"]]
    )
    assert await ids(creator_id=one["creator_id"], status="active") == [one["id"]]
    assert await ids(q="%") == await ids(tag="' or 1=1 --") == await ids(post_id="pst_0000000000") == []


@pytest.mark.parametrize("host", ["api.brand.example:8443", "[::1]:8000"])
async def test_without_a_base_url_links_are_where_the_request_came_to(
    catalog: Catalog, brand: Brand, tmp_path: Path, host: str
) -> None:
    api = create_api(Core(Settings(data_dir=str(tmp_path)), catalog, ClickIdKeys({1: SECRET}, 720)))
    made = await brand.link(asset="Füße")
    headers = {"Authorization": brand.headers["Authorization"]}
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(api), base_url="http://x.example", headers=headers
    ) as client:
        told = (await client.get(f"/v1/links/{made['id']}", headers={"Host": host})).json()
        assert told["url"] == f"http://{host}/c/emma/summer/f%C3%BCsse"
        told = (await client.get(f"/v1/links/{made['id']}", headers={"Host": "[evil/\\"})).json()
        assert told["url"].startswith("http://localhost/c/")


def test_an_address_is_escaped_and_on_the_links_own_host() -> None:
    assert public_url("https://go.example", "", "emma", "x", "") == "https://go.example/c/emma/x"
    assert public_url("http://go.example", "own.example", "ｅ", "x", "a.b") == "http://own.example/c/%EF%BD%85/x/a.b"
