"""A shop is connected by its owner's consent, and by nothing that only looks like it."""

from __future__ import annotations

import time
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
from sqlalchemy import text

from stackfluence.api.shopify.setup import TOPICS
from stackfluence.catalog import Catalog
from stackfluence.catalog.tables import Key
from tests.api.brands import add_brand, errors
from tests.shopify.conftest import ADDRESS, Connected, add_shop, on_both_databases
from tests.shopify.fake import ACCOUNT, CLIENT_SECRET, OTHER_ACCOUNT, session_token, signed_query


async def standing(connected: Connected) -> dict[str, Any]:
    found: dict[str, Any] = (await connected.brand.get(connected.path)).json()
    return found


@on_both_databases
async def test_an_owner_who_agrees_connects_the_shop(connected: Connected, catalog: Catalog) -> None:
    before = await standing(connected)
    assert (before["status"], before["is_installed"], before["steps"]) == ("pending", False, [])
    url = await connected.begin()
    assert dict(parse_qsl(urlsplit(url).query))["redirect_uri"] == f"{ADDRESS}/v1/shopify/callback"
    answer = await connected.come_back(connected.shopify.consent(url))
    assert answer.status_code == 200, answer.text
    assert f"{ACCOUNT} is connected" in answer.text
    shop = connected.shopify.shops[ACCOUNT]
    edge, core = f"{ADDRESS}/v1/hooks/shopify/{connected.connection_id}", f"{ADDRESS}{connected.path}"
    assert {(hook["topic"], hook["uri"]) for hook in shop.hooks} == {
        ("ORDERS_PAID", edge),
        ("ORDERS_UPDATED", edge),
        ("ORDERS_CANCELLED", edge),
        ("REFUNDS_CREATE", edge),
        ("ORDER_TRANSACTIONS_CREATE", edge),
        ("APP_UNINSTALLED", core),
    }
    assert shop.pixel
    assert shop.pixel["settings"] == {"endpoint": ADDRESS, "organization": connected.brand.keys.organization_id}
    after = await standing(connected)
    assert (after["status"], after["is_installed"], after["missing_scopes"]) == ("active", True, [])
    assert len(after["steps"]) == len(TOPICS) + 2
    assert all(step["is_done"] for step in after["steps"])
    assert after["access_expires_at"] < after["refresh_expires_at"]


async def test_neither_database_nor_audit_log_has_a_token_in_the_clear(connected: Connected, catalog: Catalog) -> None:
    await connected.install()
    shop = connected.shopify.shops[ACCOUNT]
    async with catalog.snapshot() as connection:
        row = (await connection.execute(text("select * from connections"))).one()
        log = (await connection.execute(text("select * from audit_log"))).all()
    everything = repr([*map(bytes, (row.credentials, row.hook_secrets)), row, log])
    secrets = [*shop.access, shop.refresh, CLIENT_SECRET, "shpat_", "shprt_"]
    assert [secret for secret in secrets if secret in everything] == []
    assert "connection.changed" in everything


@on_both_databases
async def test_a_consent_is_taken_once(connected: Connected) -> None:
    query = connected.shopify.consent(await connected.begin())
    assert (await connected.come_back(query)).status_code == 200
    again = await connected.come_back(query)
    assert (again.status_code, again.json()["type"]) == (409, "/problems/conflict")
    assert connected.shopify.grants == [""]


async def test_an_install_that_was_begun_again_leaves_the_first_useless(connected: Connected) -> None:
    first = await connected.begin()
    second = await connected.begin()
    assert (await connected.come_back(connected.shopify.consent(first))).status_code == 409
    assert (await connected.come_back(connected.shopify.consent(second))).status_code == 200


async def test_what_only_looks_like_a_consent_is_refused(connected: Connected) -> None:
    url = await connected.begin()
    state = dict(parse_qsl(urlsplit(url).query))["state"]
    good = {"code": "c", "shop": ACCOUNT, "state": state}
    payload, _, mac = state.partition(".")
    plain = dict(parse_qsl(signed_query(good)))
    forged = [
        "",
        "state=",
        signed_query(good | {"state": "x" + state}),
        signed_query(good | {"state": f"{payload}.{mac[::-1]}"}),
        signed_query(good | {"state": f"{payload}."}),
        signed_query(good | {"state": "ä.b"}),
        signed_query(good | {"shop": OTHER_ACCOUNT}),
        signed_query(good | {"shop": f"{ACCOUNT}.evil.example"}),
        signed_query(good, "another secret"),
        signed_query(good, ""),
        signed_query(good, at=time.time() - 120),
        signed_query(good, at=time.time() + 120),
        urlencode(good | {"timestamp": plain["timestamp"]}),
        urlencode(plain | {"code": "another"}),
        urlencode(plain) + "&code=another",
    ]
    for query in forged:
        answer = await connected.come_back(query)
        assert answer.status_code == 401, query
        assert errors(answer) == {}
        assert CLIENT_SECRET not in answer.text
    assert connected.shopify.grants == []
    assert not (await standing(connected))["is_installed"]
    assert (await connected.come_back(connected.shopify.consent(url))).status_code == 200, "the state is still good"


async def test_a_state_does_not_outlive_its_ten_minutes(connected: Connected) -> None:
    url = await connected.begin()
    later = time.time() + 601
    connected.shops.now = lambda: int(later * 1000)
    query = connected.shopify.consent(url)
    found = {name: value for name, value in parse_qsl(query) if name not in ("hmac", "timestamp")}
    assert (await connected.come_back(signed_query(found, at=later))).status_code == 401


async def test_a_state_ends_with_the_key_that_began(connected: Connected, catalog: Catalog) -> None:
    query = connected.shopify.consent(await connected.begin())
    async with catalog.writing("cli") as change:
        keys = (await connected.brand.get("/v1/keys", params={"kind": "secret"})).json()["items"]
        await change.revoke_key(await change.session.get_one(Key, keys[0]["id"]))
    assert (await connected.come_back(query)).status_code == 401
    assert connected.shopify.grants == []


async def test_anothers_connection_is_none(connected: Connected, catalog: Catalog) -> None:
    async with await add_brand(connected.api, catalog, "Other") as other:
        for method, path in (
            ("GET", ""),
            ("POST", "/install"),
            ("POST", "/setup"),
            ("GET", "/app.toml"),
            ("GET", "/privacy-requests"),
        ):
            assert (await other.request(method, connected.path + path)).status_code == 404, path
        answer = await other.post(f"{connected.path}/session-token", json={"session_token": session_token()})
        assert answer.status_code == 404
    assert (await connected.nobody.post(f"{connected.path}/install")).status_code == 401


async def test_set_up_again_repairs_what_is_wrong_and_leaves_the_rest(connected: Connected) -> None:
    await connected.install()
    shop = connected.shopify.shops[ACCOUNT]
    foreign = {"id": "gid://shopify/WebhookSubscription/900", "topic": "ORDERS_PAID", "uri": "https://erp.example/hook"}
    shop.hooks[0]["uri"] = shop.hooks[0]["uri"].replace(ADDRESS, "https://old.links.example")
    removed = shop.hooks.pop(1)
    shop.hooks.append(foreign)
    assert shop.pixel
    shop.pixel["settings"] = {}
    connected.shopify.asked.clear()
    answer = await connected.brand.post(f"{connected.path}/setup")
    assert all(step["is_done"] for step in answer.json()["steps"]), answer.text
    assert len(shop.hooks) == len(TOPICS) + 1
    assert all(hook["uri"].startswith(ADDRESS) for hook in shop.hooks if hook is not foreign)
    assert removed["topic"] in {hook["topic"] for hook in shop.hooks if hook is not foreign}
    assert shop.pixel["settings"]["endpoint"] == ADDRESS
    assert sorted(connected.shopify.asked) == [
        "AddHook", "AddPixel", "ChangePixel", "Installation", "MoveHook", "Pixel",
    ]  # fmt: skip


async def test_an_app_without_its_pixel_is_connected_and_told_what_to_do(connected: Connected) -> None:
    connected.shopify.shops[ACCOUNT].has_extension = False
    await connected.install()
    steps = {step["step"]: step for step in (await standing(connected))["steps"]}
    assert not steps["pixel"]["is_done"]
    assert "deploy" in steps["pixel"]["detail"]
    assert steps["hook orders_paid"]["is_done"]


async def test_shopify_in_trouble_is_a_clear_problem_and_no_lost_shop(connected: Connected) -> None:
    query = connected.shopify.consent(await connected.begin())
    connected.shopify.trouble = [503]
    answer = await connected.come_back(query)
    assert (answer.status_code, answer.json()["type"]) == (502, "/problems/vendor-failed")
    assert answer.json()["vendor_status"] == 503
    assert "try again" in answer.json()["detail"]
    await connected.install()
    connected.shopify.trouble = [502]
    answer = await connected.brand.post(f"{connected.path}/setup")
    assert answer.status_code == 502
    assert (await connected.brand.post(f"{connected.path}/setup")).status_code == 200


async def test_a_shop_that_asks_for_patience_gets_it(connected: Connected, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stackfluence.api.shopify.admin.THROTTLED_SECONDS", 0.01)
    connected.shopify.throttled = 3
    await connected.install()
    assert all(step["is_done"] for step in (await standing(connected))["steps"])
    connected.shopify.throttled = 100
    answer = await connected.brand.post(f"{connected.path}/setup")
    assert answer.status_code == 502
    assert "too often" in answer.json()["detail"]


async def test_an_embedded_app_installs_by_its_session_token(connected: Connected) -> None:
    path = f"{connected.path}/session-token"
    now = int(time.time())
    for wrong in (
        session_token("another secret"),
        session_token(algorithm="none"),
        session_token(algorithm="HS512"),
        session_token(aud="another app"),
        session_token(dest=f"https://{OTHER_ACCOUNT}"),
        session_token(iss=f"https://{OTHER_ACCOUNT}/admin"),
        session_token(dest=f"https://{ACCOUNT}@evil.example"),
        session_token(dest=f"http://{ACCOUNT}"),
        session_token(exp=now - 30),
        session_token(nbf=now + 30),
        session_token(exp="never"),
        session_token(exp=None),
        session_token().rpartition(".")[0] + ".",
        "a.b.c",
        "nothing of the kind",
    ):
        answer = await connected.brand.post(path, json={"session_token": wrong})
        assert answer.status_code == 422, wrong
        assert set(errors(answer)) == {"session_token"}
        assert wrong not in answer.text
    assert connected.shopify.grants == []
    answer = await connected.brand.post(path, json={"session_token": session_token()})
    assert answer.json()["is_installed"]
    assert len(connected.shopify.shops[ACCOUNT].hooks) == len(TOPICS)


async def test_opening_the_app_in_the_admin_begins_the_install_and_later_shows_how_it_stands(
    connected: Connected,
) -> None:
    query = signed_query({"shop": ACCOUNT, "host": "YWRtaW4"})
    first = await connected.nobody.get(f"{connected.path}/open?{query}")
    assert first.status_code == 302
    answer = await connected.come_back(connected.shopify.consent(first.headers["location"]))
    assert answer.status_code == 200
    second = await connected.nobody.get(f"{connected.path}/open?{query}")
    assert (second.status_code, f"{ACCOUNT} is connected" in second.text) == (200, True)
    for forged in ("", signed_query({"shop": ACCOUNT}, "another"), signed_query({"shop": OTHER_ACCOUNT})):
        assert (await connected.nobody.get(f"{connected.path}/open?{forged}")).status_code == 401


async def test_the_app_is_opened_in_the_second_of_its_shops(connected: Connected, catalog: Catalog) -> None:
    settings, organization_id = connected.shops.core.settings, connected.brand.keys.organization_id
    second = await add_shop(catalog, settings, organization_id, OTHER_ACCOUNT)
    query = signed_query({"shop": OTHER_ACCOUNT, "host": "YWRtaW4"})
    opened = await connected.nobody.get(f"{connected.path}/open?{query}")  # the app knows one address
    assert (opened.status_code, urlsplit(opened.headers["location"]).netloc) == (302, OTHER_ACCOUNT)
    consent = connected.shopify.consent(opened.headers["location"], OTHER_ACCOUNT)
    assert (await connected.come_back(consent)).status_code == 200
    assert (await connected.shops.find(second)).tokens is not None
    assert (await connected.shops.find(connected.connection_id)).tokens is None


async def test_a_connection_without_its_apps_secret_says_what_is_missing(connected: Connected) -> None:
    async with connected.shops.editing(connected.connection_id) as kept:
        kept.credentials = {}
        kept.row.hook_secrets = b""
    answer = await connected.brand.post(f"{connected.path}/install")
    assert (answer.status_code, "client secret" in answer.json()["detail"]) == (409, True)


async def test_a_shop_that_was_disconnected_here_is_connected_again_by_an_install(connected: Connected) -> None:
    await connected.install()
    assert (await connected.brand.delete(f"/v1/connections/{connected.connection_id}")).status_code == 204
    assert not (await standing(connected))["is_installed"]
    await connected.install()
    assert (await standing(connected))["status"] == "active"


async def test_an_address_that_shopify_does_not_call_is_refused_before_anything_is_asked(connected: Connected) -> None:
    object.__setattr__(connected.shops.core.settings, "base_url", "http://localhost:8000")
    answer = await connected.brand.post(f"{connected.path}/install")
    assert (answer.status_code, "SF_BASE_URL" in answer.json()["detail"]) == (409, True)
