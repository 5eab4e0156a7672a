"""Connections over HTTP: secrets go in and never come out, and hooks are taken when there is one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fastapi import FastAPI
from sqlalchemy import select

from stackfluence.api import Core, create_api
from stackfluence.catalog import Catalog
from stackfluence.catalog.sources import Connection
from stackfluence.click.click_id import ClickIdKeys
from stackfluence.clock import now_ms, parse_rfc3339
from stackfluence.settings import Settings
from stackfluence.vault import CredentialVault, HookVault
from tests.api.brands import SECRET, SETTINGS, Brand, errors
from tests.api.stored import Journal

KEYS = Settings(**SETTINGS)
ONE, TWO, THREE = "whsec_one11111111", "whsec_two22222222", "whsec_three333333"
SHOP = {"vendor": "shopify", "account": "brand.myshopify.com", "client_id": "abc", "client_secret": "shpss_one1111111"}


async def kept(catalog: Catalog, connection_id: str) -> tuple[list[str], dict[str, Any]]:
    """Return a connection's secrets as edges and core open them."""
    async with catalog.reading() as session:
        row = await session.get_one(Connection, connection_id)
    return (
        HookVault(KEYS.click_id_secrets).decrypt(row.hook_secrets, row.id),
        CredentialVault(KEYS.master_key).decrypt(row.credentials, row.id),
    )


async def test_a_stripe_account_waits_for_its_secret_and_is_active_with_it(brand: Brand, catalog: Catalog) -> None:
    made = await brand.make("connections", vendor="stripe", account="Main account")
    assert made["hook_url"] == f"https://go.links.example/v1/hooks/stripe/{made['id']}"
    assert (made["status"], made["has_secret"], made["secret_last_four"], made["app_url"]) == (
        "pending", False, None, None,
    )  # fmt: skip
    where = f"/v1/connections/{made['id']}"
    changed = (await brand.patch(where, json={"hook_secrets": [ONE]})).json()
    assert (changed["status"], changed["has_secret"], changed["secret_last_four"]) == ("active", True, "1111")
    assert changed["secret_given_at"]
    assert await kept(catalog, made["id"]) == ([ONE], {})
    rolled = (await brand.patch(where, json={"hook_secrets": [TWO, ONE, TWO]})).json()
    assert rolled["secret_last_four"] == "2222"
    assert await kept(catalog, made["id"]) == ([TWO, ONE], {})
    seen = (await brand.get(where)).json()
    assert seen == {**rolled, "last_event_at": None}
    assert await brand.all("/v1/connections") == [rolled]


async def test_a_shop_is_known_by_its_app_and_waits_for_the_install(brand: Brand, catalog: Catalog) -> None:
    made = await brand.make("connections", **{**SHOP, "account": "Brand.MyShopify.com"})
    assert (made["account"], made["client_id"], made["status"]) == ("brand.myshopify.com", "abc", "pending")
    assert made["hook_url"] == f"https://go.links.example/v1/hooks/shopify/{made['id']}"
    assert made["app_url"] == f"https://go.links.example/v1/connections/{made['id']}/shopify"
    assert await kept(catalog, made["id"]) == (["shpss_one1111111"], {"client_secret": "shpss_one1111111"})
    where = f"/v1/connections/{made['id']}"
    assert made["earlier_secret_until"] is None
    until = []
    for secret, accepted in (
        ("shpss_two2222222", ["shpss_two2222222", "shpss_one1111111"]),
        ("shpss_two2222222", ["shpss_two2222222", "shpss_one1111111"]),
        ("shpss_three33333", ["shpss_three33333", "shpss_two2222222"]),
    ):
        changed = (await brand.patch(where, json={"client_secret": secret})).json()
        assert (changed["status"], changed["settings"]) == ("pending", {})
        assert await kept(catalog, made["id"]) == (accepted, {"client_secret": secret})
        until.append(parse_rfc3339(changed["earlier_secret_until"]))
    days = 14 * 86_400_000
    assert until[0] == until[1] < until[2] <= now_ms() + days < until[0] + 600_000, "the same again prolongs nothing"
    assert (await brand.patch(where, json={"client_id": "xyz"})).json()["client_id"] == "xyz"


async def test_a_secret_that_leaked_is_ended_at_once(brand: Brand, catalog: Catalog) -> None:
    made = await brand.make("connections", **SHOP)
    where = f"/v1/connections/{made['id']}"
    given = {"client_secret": "shpss_two2222222", "is_earlier_secret_ended": True}
    assert (await brand.patch(where, json=given)).json()["earlier_secret_until"] is None
    assert (await kept(catalog, made["id"]))[0] == ["shpss_two2222222"]
    await brand.patch(where, json={"client_secret": "shpss_three33333"})
    assert len((await kept(catalog, made["id"]))[0]) == 2
    ended = (await brand.patch(where, json={"is_earlier_secret_ended": True})).json()
    assert (ended["earlier_secret_until"], ended["secret_last_four"]) == (None, "3333")
    assert (await kept(catalog, made["id"]))[0] == ["shpss_three33333"]
    stripe = await brand.make("connections", vendor="stripe", account="x", hook_secrets=[ONE])
    refused = await brand.patch(f"/v1/connections/{stripe['id']}", json={"is_earlier_secret_ended": True})
    assert list(errors(refused)) == ["is_earlier_secret_ended"]


async def test_no_answer_and_no_book_has_a_secret(brand: Brand, catalog: Catalog) -> None:
    headers = {"Idempotency-Key": "once"}
    first = await brand.post("/v1/connections", json=SHOP, headers=headers)
    again = await brand.post("/v1/connections", json=SHOP, headers=headers)
    stripe = await brand.post("/v1/connections", json={"vendor": "stripe", "account": "x", "hook_secrets": [ONE]})
    wrong = await brand.patch(f"/v1/connections/{first.json()['id']}", json={"hook_secrets": [TWO]})
    bad = await brand.post("/v1/connections", json={**SHOP, "client_secret": "shpss with spaces"})
    assert (first.json(), wrong.status_code, bad.status_code) == (again.json(), 422, 422)
    answers = [first, again, stripe, wrong, bad]
    answers += [await brand.get(path) for path in ("/v1/connections", "/v1/audit-log")]
    answers.append(await brand.get(f"/v1/connections/{stripe.json()['id']}"))
    for answer in answers:
        assert [part for part in ("whsec_", "shpss", "with spaces") if part in answer.text] == []
    entries = await brand.all("/v1/audit-log", subject_type="connection")
    assert {"secret_given_at"} <= {key for entry in entries for key in (entry["after"] or {}).get("settings", {})}
    async with catalog.reading() as session:
        for row in await session.scalars(select(Connection)):
            assert b"whsec" not in row.hook_secrets
            assert b"shpss" not in row.hook_secrets + row.credentials


async def test_disconnecting_forgets_the_way_in_and_keeps_what_is_needed_to_read_the_last_word(
    brand: Brand, catalog: Catalog
) -> None:
    shop = await brand.make("connections", **SHOP)
    stripe = await brand.make("connections", vendor="stripe", account="x", hook_secrets=[ONE])
    for made in (shop, stripe):
        assert (await brand.delete(f"/v1/connections/{made['id']}")).status_code == 204
        assert (await brand.get(f"/v1/connections/{made['id']}")).json()["status"] == "disconnected"
    assert await kept(catalog, shop["id"]) == (["shpss_one1111111"], {}), "Shopify still sends the shop's redaction"
    assert await kept(catalog, stripe["id"]) == ([], {})
    taken = await brand.post("/v1/connections", json={"vendor": "stripe", "account": "x"})
    assert (taken.status_code, taken.json()["connection_id"]) == (409, stripe["id"])
    back = await brand.patch(f"/v1/connections/{stripe['id']}", json={"hook_secrets": [TWO]})
    assert back.json()["status"] == "active"
    assert (
        await brand.all("/v1/connections", status="disconnected")
        == [(await brand.get(f"/v1/connections/{shop['id']}")).json() | {"last_event_at": None}]
        or (await brand.all("/v1/connections", status="disconnected"))[0]["id"] == shop["id"]
    )
    assert [row["id"] for row in await brand.all("/v1/connections", vendor="stripe")] == [stripe["id"]]


async def test_two_organizations_never_share_a_secret(brand: Brand, other: Brand) -> None:
    first = await brand.make("connections", **SHOP)
    await brand.make("connections", **{**SHOP, "account": "second.myshopify.com"})
    refused = await other.post("/v1/connections", json={**SHOP, "account": "other.myshopify.com"})
    assert refused.status_code == 409
    assert [first["id"] in refused.text, "abc" in refused.text, "shpss" in refused.text] == [False] * 3
    assert await other.all("/v1/connections") == []
    theirs = await other.make("connections", **{**SHOP, "client_secret": "shpss_own1111111"})
    again = await other.patch(f"/v1/connections/{theirs['id']}", json={"client_secret": "shpss_one1111111"})
    assert again.status_code == 409
    await brand.make("connections", vendor="stripe", account="x", hook_secrets=[ONE])
    stripe = {"vendor": "stripe", "account": "x", "hook_secrets": [TWO, ONE]}
    assert (await other.post("/v1/connections", json=stripe)).status_code == 409


async def test_what_can_be_no_connection_is_refused_with_its_field(brand: Brand) -> None:
    cases: list[tuple[dict[str, Any], str]] = [
        ({"vendor": "paypal", "account": "x"}, "vendor"),
        ({"vendor": "stripe", "account": ""}, "account"),
        ({"vendor": "stripe", "account": "   "}, "account"),
        ({"vendor": "shopify", "account": "brand.example"}, "account"),
        ({"vendor": "stripe", "account": "x", "hook_secrets": []}, "hook_secrets"),
        ({"vendor": "stripe", "account": "x", "hook_secrets": ["sk_live_1234567890"]}, "hook_secrets"),
        ({"vendor": "stripe", "account": "x", "hook_secrets": ["whsec_1"]}, "hook_secrets.0"),
        ({"vendor": "stripe", "account": "x", "hook_secrets": [ONE] * 6}, "hook_secrets"),
        ({"vendor": "stripe", "account": "x", "client_secret": "a" * 20}, "client_secret"),
        ({"vendor": "stripe", "account": "x", "client_id": "a"}, "client_id"),
        ({**SHOP, "hook_secrets": [ONE]}, "hook_secrets"),
        ({**SHOP, "client_secret": "short"}, "client_secret"),
        ({**SHOP, "status": "active"}, "status"),
    ]
    for body, field in cases:
        response = await brand.post("/v1/connections", json=body)
        assert (response.status_code, list(errors(response))) == (422, [field]), body
    assert await brand.all("/v1/connections") == []


async def test_secrets_that_open_no_more_are_told_as_missing_and_can_be_given_anew(
    brand: Brand, catalog: Catalog, tmp_path: Path
) -> None:
    shop = await brand.make("connections", **SHOP)
    lost = Settings(data_dir=str(tmp_path), click_id_secret=f"7:{KEYS.master_key}", master_key=KEYS.master_key[::-1])
    api: FastAPI = create_api(Core(lost, catalog, ClickIdKeys({1: SECRET}, 720)))
    async with Brand(api, brand.keys) as client:
        seen = (await client.get(f"/v1/connections/{shop['id']}")).json()
        assert (seen["has_secret"], seen["secret_last_four"]) == (False, None)
        given = await client.patch(f"/v1/connections/{shop['id']}", json={"client_secret": "shpss_two2222222"})
        assert (given.status_code, given.json()["secret_last_four"]) == (200, "2222")


async def test_a_connection_tells_when_its_last_order_arrived(journal: Journal) -> None:
    made = await journal.brand.make("connections", vendor="stripe", account="Main", hook_secrets=[ONE])
    where = f"/v1/connections/{made['id']}"
    assert (await journal.brand.get(where)).json()["last_event_at"] is None
    journal.writer.at_ms = now_ms() - 60_000
    journal.event("conversion", shop="Main", trust_tier="browser")
    journal.event("conversion", shop="Another", trust_tier="connector")
    journal.event("conversion", brand=journal.other, shop="Main", trust_tier="connector")
    await journal.load()
    assert (await journal.brand.get(where)).json()["last_event_at"] is None
    arrived = journal.event("refund", shop="Main", trust_tier="connector")
    await journal.load()
    assert (await journal.brand.get(where)).json()["last_event_at"] == arrived.received_at
