"""Creators, campaigns, posts, hosts, keys and the organization: made, read, changed, put away, all audited."""

from __future__ import annotations

import hashlib
import hmac

from stackfluence.catalog import Catalog, find_key
from stackfluence.click.click_id import SIGNED_BYTES, ClickIdKeys, decode
from tests.api.brands import SECRET, Brand, errors

NOON = "2026-11-22T12:00:00.000Z"
EVENING = "2026-11-22T18:00:00.000Z"


async def test_a_creator_is_added_renamed_archived_and_brought_back(brand: Brand) -> None:
    made = await brand.make("creators", handle="Emma", name="Emma Example")
    path = f"/v1/creators/{made['id']}"
    assert (made["handle"], made["aliases"], made["archived_at"]) == ("emma", [], None)
    changed = (await brand.patch(path, json={"handle": "emma.official"})).json()
    assert (changed["handle"], changed["aliases"], changed["name"]) == ("emma.official", ["emma"], "Emma Example")
    assert (await brand.delete(path)).status_code == 204
    assert await brand.all("/v1/creators") == []
    (archived,) = await brand.all("/v1/creators", is_archived=True)
    assert archived["archived_at"].endswith("Z")
    assert (await brand.get(path)).json() == archived
    assert (await brand.patch(path, json={"is_archived": False})).json() == changed
    assert await brand.all("/v1/creators", q="EMMA.") == [changed]
    assert await brand.all("/v1/creators", q="noah") == []


async def test_a_handle_belongs_to_one_creator_for_ever(brand: Brand, other: Brand) -> None:
    emma = await brand.make("creators", handle="emma")
    await brand.patch(f"/v1/creators/{emma['id']}", json={"handle": "emma.b"})
    noah = await brand.make("creators", handle="noah")
    for response in (
        await brand.post("/v1/creators", json={"handle": "EMMA"}),
        await brand.patch(f"/v1/creators/{noah['id']}", json={"handle": "emma.b"}),
    ):
        assert (response.status_code, response.json()["type"]) == (409, "/problems/conflict")
    assert (await other.make("creators", handle="emma"))["id"] != emma["id"]


async def test_a_campaign_keeps_what_is_not_given_and_empties_what_is_null(brand: Brand) -> None:
    made = await brand.make("campaigns", slug="Summer", starts_at="2026-11-22T13:00:00+01:00", ends_at=EVENING)
    path = f"/v1/campaigns/{made['id']}"
    assert (made["slug"], made["starts_at"], made["ends_at"], made["fallback_url"]) == ("summer", NOON, EVENING, None)
    changed = (await brand.patch(path, json={"fallback_url": "https://brand.example/over"})).json()
    assert changed == made | {"fallback_url": "https://brand.example/over"}
    assert (await brand.patch(path, json={"starts_at": None, "fallback_url": None})).json() == made | {
        "starts_at": None
    }
    assert (await brand.patch(path, json={})).json() == made | {"starts_at": None}
    assert (await brand.get(path)).json() == made | {"starts_at": None}
    assert (await brand.delete(path)).status_code == 204
    assert [each["id"] for each in await brand.all("/v1/campaigns", is_archived=True, q="su")] == [made["id"]]


NONSENSE: list[tuple[dict[str, object], str]] = [
    ({"name": None}, "name"),
    ({"slug": None}, "slug"),
    ({"slug": "a b"}, "slug"),
    ({"ends_at": "2026-11-22T11:59:59Z"}, "ends_at"),
    ({"ends_at": "2026-11-22T18:00:00"}, "ends_at"),
    ({"ends_at": "2026-11-22"}, "ends_at"),
    ({"ends_at": "2026-W47-7T18:00:00Z"}, "ends_at"),
    ({"ends_at": "9999-12-31T23:59:59-23:00"}, "ends_at"),
    ({"ends_at": "0001-01-01T00:00:00Z"}, "ends_at"),
    ({"ends_at": 1_795_000_000_000}, "ends_at"),
    ({"fallback_url": "javascript:alert(1)"}, "fallback_url"),
    ({"is_archived": "yes"}, "is_archived"),
    ({"created_at": NOON}, "created_at"),
]


async def test_a_campaign_is_not_changed_to_nonsense(brand: Brand) -> None:
    made = await brand.make("campaigns", slug="summer", starts_at=NOON, ends_at=EVENING)
    for body, field in NONSENSE:
        response = await brand.patch(f"/v1/campaigns/{made['id']}", json=body)
        assert response.status_code == 422, body
        assert list(errors(response)) == [field]
    assert (await brand.get(f"/v1/campaigns/{made['id']}")).json() == made


async def test_a_slug_belongs_to_one_campaign(brand: Brand) -> None:
    await brand.make("campaigns", slug="summer")
    winter = await brand.make("campaigns", slug="winter")
    assert (await brand.post("/v1/campaigns", json={"slug": "Summer"})).status_code == 409
    assert (await brand.patch(f"/v1/campaigns/{winter['id']}", json={"slug": "SUMMER"})).status_code == 409
    assert (await brand.patch(f"/v1/campaigns/{winter['id']}", json={"slug": "WINTER"})).json() == winter


async def test_a_post_is_added_changed_and_deleted_unless_a_link_belongs_to_it(brand: Brand) -> None:
    link = await brand.link("story-1")
    owners = {"creator_id": link["creator_id"], "campaign_id": link["campaign_id"]}
    made = await brand.make("posts", **owners, asset_slug="Story-1", platform="Instagram", published_at=NOON)
    path = f"/v1/posts/{made['id']}"
    assert (made["asset_slug"], made["platform"], made["url"]) == ("story-1", "instagram", None)
    changed = (
        await brand.patch(path, json={"boost_starts_at": NOON, "boost_ends_at": EVENING, "platform": None})
    ).json()
    assert changed == made | {"boost_starts_at": NOON, "boost_ends_at": EVENING, "platform": None}
    assert (await brand.get(path)).json() == changed
    assert await brand.all("/v1/posts", campaign_id=link["campaign_id"]) == [changed]
    assert await brand.all("/v1/posts", creator_id="crt_0000000000") == []
    assert (await brand.post("/v1/posts", json={**owners, "asset_slug": "STORY-1"})).status_code == 409
    wrong = await brand.patch(path, json={"boost_ends_at": "2026-11-01T00:00:00Z"})
    assert set(errors(wrong)) == {"boost_ends_at"}
    assert (await brand.patch(f"/v1/links/{link['id']}", json={"post_id": made["id"]})).json()["post_id"] == made["id"]
    assert (await brand.delete(path)).status_code == 409
    await brand.patch(f"/v1/links/{link['id']}", json={"post_id": None})
    assert (await brand.delete(path)).status_code == 204
    assert (await brand.get(path)).status_code == 404


async def test_a_post_needs_owners_that_are_there(brand: Brand) -> None:
    link = await brand.link()
    body = {"creator_id": "crt_0000000000", "campaign_id": link["campaign_id"], "asset_slug": "a"}
    assert set(errors(await brand.post("/v1/posts", json=body))) == {"creator_id"}
    body = {"creator_id": link["creator_id"], "campaign_id": link["creator_id"], "asset_slug": "a"}
    assert set(errors(await brand.post("/v1/posts", json=body))) == {"campaign_id"}


async def test_a_host_is_added_serves_links_and_goes_when_none_answers_on_it(brand: Brand, other: Brand) -> None:
    made = await brand.make("hosts", hostname="GO.Brand.example")
    path = f"/v1/hosts/{made['id']}"
    assert made["hostname"] == "go.brand.example"
    assert (await other.post("/v1/hosts", json={"hostname": "go.brand.example"})).status_code == 409
    link = await brand.link(host="go.brand.example")
    assert link["url"] == "https://go.brand.example/c/emma/summer/reel"
    assert set(errors(await other.post("/v1/links", json={
        "creator_handle": "a", "campaign_slug": "b", "destination_url": "https://x.example", "host": "go.brand.example"
    }))) == {"host"}  # fmt: skip
    assert (await brand.delete(path)).status_code == 409
    await brand.patch(f"/v1/links/{link['id']}", json={"host": None})
    assert await brand.all("/v1/hosts") == [made]
    assert (await brand.delete(path)).status_code == 204
    assert (await brand.get(path)).status_code == 404


async def test_a_keys_text_is_told_once_and_never_again(brand: Brand, catalog: Catalog) -> None:
    made = await brand.make(
        "keys", kind="publishable", name="shop", allowed_origins=["https://Shop.brand.example:443/"]
    )
    text = made.pop("key")
    assert text.startswith("sf_pub_")
    assert made["allowed_origins"] == ["https://shop.brand.example"]
    assert (await brand.get(f"/v1/keys/{made['id']}")).json() == made
    everything = (await brand.get("/v1/keys")).text + (await brand.get("/v1/audit-log")).text
    assert text not in everything
    async with catalog.reading() as session:
        key = await find_key(session, text)
    assert key is not None
    assert key.key_hash not in everything
    changed = (await brand.patch(f"/v1/keys/{made['id']}", json={"allowed_origins": []})).json()
    assert changed == made | {"allowed_origins": []}
    assert [each["id"] for each in await brand.all("/v1/keys", kind="publishable")] == [
        made["id"],
        (await brand.all("/v1/keys", kind="publishable"))[1]["id"],
    ]


async def test_a_secret_key_has_no_origins_and_one_always_remains(brand: Brand) -> None:
    body = {"kind": "secret", "allowed_origins": ["https://brand.example"]}
    assert set(errors(await brand.post("/v1/keys", json=body))) == {"allowed_origins"}
    (own,) = await brand.all("/v1/keys", kind="secret")
    refused = await brand.delete(f"/v1/keys/{own['id']}")
    assert refused.status_code == 409
    assert await brand.all("/v1/keys", is_revoked=True) == []


async def test_an_organization_is_renamed_but_its_days_stay(brand: Brand) -> None:
    before = (await brand.get("/v1/organization")).json()
    assert (before["id"], before["accounting_time_zone"]) == (brand.keys.organization_id, "Europe/Berlin")
    changed = (await brand.patch("/v1/organization", json={"name": "New", "currency": "usd"})).json()
    assert changed == before | {"name": "New", "currency": "USD"}
    refused = await brand.patch("/v1/organization", json={"accounting_time_zone": "UTC"})
    assert set(errors(refused)) == {"accounting_time_zone"}
    assert set(errors(await brand.patch("/v1/organization", json={"currency": "XXX"}))) == {"currency"}


async def test_the_verification_key_verifies_own_click_ids_and_handing_it_out_is_audited(brand: Brand) -> None:
    link = await brand.link()
    mint = ClickIdKeys({1: SECRET}, 720).mint_for(brand.keys.organization_id, link["id"])
    raw = decode(mint(bytes(16), 0).decode())
    assert raw is not None
    told = (await brand.post("/v1/organization/click-id-verification-key")).json()
    key = bytes.fromhex(told["keys"]["1"])
    assert hmac.digest(key, raw[:SIGNED_BYTES], hashlib.sha256)[:16] == raw[SIGNED_BYTES:]
    entry = (await brand.all("/v1/audit-log"))[0]
    assert entry["action"] == "click_id_verification_key.handed_out"
    assert entry["after"] == {"key_ids": [1]}
    assert told["keys"]["1"] not in str(entry)


async def test_the_audit_log_tells_who_did_what_newest_first(brand: Brand) -> None:
    (own,) = await brand.all("/v1/keys", kind="secret")
    made = await brand.make("campaigns", slug="summer")
    await brand.patch(f"/v1/campaigns/{made['id']}", json={"name": "Summer"})
    entries = await brand.all("/v1/audit-log", subject_id=made["id"], limit=1)
    assert [(each["action"], each["before"], each["actor"]) for each in entries] == [
        ("campaign.changed", {"name": ""}, f"key:{own['id']}"),
        ("campaign.created", None, f"key:{own['id']}"),
    ]
    assert await brand.all("/v1/audit-log", subject_type="campaign") == entries
    assert await brand.all("/v1/audit-log", actor="somebody") == []
