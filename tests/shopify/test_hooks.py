"""The hooks for the core: an app that was uninstalled, and what people asked of their data."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from sqlalchemy import text, update

from stackfluence.api.shopify.privacy import read_person
from stackfluence.catalog import Catalog, PrivacyRequest
from stackfluence.catalog.tables import Organization
from stackfluence.clock import now_ms
from stackfluence.collect.payloads import customer_hash, email_digest, email_hash
from stackfluence.events.load import Loader
from stackfluence.events.store import StatementFailed, Store
from stackfluence.operations import privacy
from stackfluence.operations.privacy import ShopUpkeep, carry_out
from stackfluence.operations.site import Site
from tests.events.journals import Numbers, Writer, drain, rows
from tests.shopify.conftest import Connected, add_shop
from tests.shopify.fake import ACCOUNT, OTHER_ACCOUNT, signed_body

BIG = 9_007_199_254_740_993  # 2**53 + 1: what no JavaScript number can tell from its neighbour
EMMA = {"id": BIG, "email": "Emma@brand.example ", "phone": "555-0100"}
SHOP = {"shop_id": 954889, "shop_domain": ACCOUNT}
DATA_REQUEST = SHOP | {"customer": EMMA, "orders_requested": [BIG + 1], "data_request": {"id": 9999}}
REDACT = SHOP | {"customer": EMMA, "orders_to_redact": [BIG + 1, 280263]}


async def send(connected: Connected, topic: str, document: object, **changed: str) -> httpx.Response:
    body, signature = signed_body(document)
    headers = {"X-Shopify-Topic": topic, "X-Shopify-Hmac-Sha256": signature, "X-Shopify-Shop-Domain": ACCOUNT}
    headers |= {"Content-Type": "application/json"} | changed
    return await connected.nobody.post(connected.path, content=body, headers=headers)


async def requests_of(connected: Connected) -> list[dict[str, Any]]:
    return await connected.brand.all(f"{connected.path}/privacy-requests")


async def test_a_forged_hook_is_refused_and_changes_nothing(connected: Connected) -> None:
    await connected.install()
    body, signature = signed_body(REDACT)
    good = {"X-Shopify-Topic": "customers/redact", "X-Shopify-Hmac-Sha256": signature}
    for headers, content in (
        ({}, body),
        (good | {"X-Shopify-Hmac-Sha256": ""}, body),
        (good | {"X-Shopify-Hmac-Sha256": "not base64"}, body),
        (good | {"X-Shopify-Hmac-Sha256": signed_body(REDACT, "another secret")[1]}, body),
        (good, body + b" "),
        (good, b""),
    ):
        answer = await connected.nobody.post(connected.path, content=content, headers=headers)
        assert answer.status_code == 401
    elsewhere = connected.path.replace(connected.connection_id, "con_0000000000")
    assert (await connected.nobody.post(elsewhere, content=body, headers=good)).status_code == 404
    assert await requests_of(connected) == []


async def test_a_body_under_another_topic_than_its_own_is_refused(connected: Connected) -> None:
    order = {"id": 1, "customer": EMMA, "shop_domain": ACCOUNT}
    for topic, document in (
        ("customers/redact", DATA_REQUEST),
        ("customers/data_request", REDACT),
        ("customers/redact", SHOP),
        ("shop/redact", REDACT),
        ("customers/redact", order),
        ("shop/redact", order),
        ("shop/redact", {"id": 1, "myshopify_domain": ACCOUNT}),
        ("shop/redact", b"no JSON"),
        ("shop/redact", [SHOP]),
    ):
        assert (await send(connected, topic, document)).status_code == 422, (topic, document)
    for domain in (OTHER_ACCOUNT, 5, None, "", "brand.myshopify.com.evil.example"):
        answer = await send(connected, "shop/redact", SHOP | {"shop_domain": domain}, **{"X-Shopify-Shop-Domain": "x"})
        assert answer.status_code == 403, domain
    assert (await send(connected, "orders/paid", order)).json() == {"status": "ignored"}
    assert await requests_of(connected) == []


async def test_a_request_is_kept_once_and_told_to_its_organization(connected: Connected, catalog: Catalog) -> None:
    for _ in range(3):
        assert (await send(connected, "customers/data_request", DATA_REQUEST)).json() == {"status": "accepted"}
    await send(connected, "customers/redact", REDACT)
    redact, asked = await requests_of(connected)
    assert (redact["kind"], redact["orders"]) == ("customer_redact", [str(BIG + 1), "280263"])
    assert (asked["kind"], asked["customer_id"], asked["request_id"]) == ("data_request", str(BIG), "9999")
    assert (asked["orders"], asked["done_at"], asked["events"]) == ([str(BIG + 1)], None, None)
    async with catalog.snapshot() as connection:
        stored = repr((await connection.execute(text("select * from privacy_requests"))).all())
    assert [secret for secret in ("mma@brand", str(BIG), "555-0100") if secret in stored] == []
    guess = msgspec.json.encode(["customer_redact", read_person(REDACT)])
    assert hashlib.sha256(guess).hexdigest() not in stored, "who asked can't be guessed from what stays"


async def test_an_app_in_two_shops_is_told_apart_by_the_shop_that_the_body_names(
    connected: Connected, catalog: Catalog
) -> None:
    settings, organization_id = connected.shops.core.settings, connected.brand.keys.organization_id
    second = await add_shop(catalog, settings, organization_id, OTHER_ACCOUNT)
    answer = await send(connected, "shop/redact", SHOP | {"shop_domain": OTHER_ACCOUNT})
    assert answer.json() == {"status": "accepted"}
    assert await requests_of(connected) == []
    found = await connected.brand.all(f"/v1/connections/{second}/shopify/privacy-requests")
    assert [request["kind"] for request in found] == ["shop_redact"]


async def test_an_app_whose_first_shop_left_still_hears_of_people_in_the_second(
    connected: Connected, catalog: Catalog
) -> None:
    settings, organization_id = connected.shops.core.settings, connected.brand.keys.organization_id
    await add_shop(catalog, settings, organization_id, OTHER_ACCOUNT)
    async with connected.shops.editing(connected.connection_id) as kept:
        kept.row.status, kept.row.hook_secrets, kept.credentials = "disconnected", b"", {}
    redact = REDACT | {"shop_domain": OTHER_ACCOUNT}
    assert (await send(connected, "customers/redact", redact)).json() == {"status": "accepted"}
    body, signature = signed_body(redact, "another secret")
    headers = {"X-Shopify-Topic": "customers/redact", "X-Shopify-Hmac-Sha256": signature}
    assert (await connected.nobody.post(connected.path, content=body, headers=headers)).status_code == 401


async def test_a_shop_that_is_gone_altogether_is_disconnected(connected: Connected) -> None:
    await connected.install()
    connected.shopify.trouble = [404]  # with a page for people
    assert (await send(connected, "shop/redact", SHOP)).json() == {"status": "accepted"}
    assert (await connected.shops.find(connected.connection_id)).row.status == "disconnected"


async def test_a_hook_whose_secret_does_not_open_is_to_come_again(connected: Connected) -> None:
    async with connected.shops.editing(connected.connection_id) as kept:
        kept.row.hook_secrets = b"\x07" + kept.row.hook_secrets[1:]
    answer = await send(connected, "customers/redact", REDACT)
    assert (answer.status_code, "Retry-After" in answer.headers) == (503, True)


async def test_an_uninstalled_app_loses_its_tokens_and_keeps_what_later_hooks_are_signed_with(
    connected: Connected,
) -> None:
    await connected.install()
    connected.shopify.shops[ACCOUNT].uninstall()
    body = {"id": 548380009, "myshopify_domain": ACCOUNT}
    assert (await send(connected, "app/uninstalled", body)).json() == {"status": "accepted"}
    kept = await connected.shops.find(connected.connection_id)
    assert (kept.row.status, kept.tokens) == ("disconnected", None)
    assert (await send(connected, "app/uninstalled", body)).json() == {"status": "accepted"}, "again is harmless"
    assert (await send(connected, "shop/redact", SHOP)).json() == {"status": "accepted"}
    await connected.install()
    assert (await connected.shops.find(connected.connection_id)).row.status == "active"


async def test_a_late_end_of_an_earlier_install_ends_nothing(connected: Connected) -> None:
    await connected.install()
    body = {"id": 548380009, "myshopify_domain": None}
    assert (await send(connected, "app/uninstalled", body)).json() == {"status": "ignored"}
    later = now_ms() + 7_200_000
    connected.shops.now = lambda: later
    connected.shopify.shops[ACCOUNT].access = {}
    assert (await send(connected, "app/uninstalled", body)).json() == {"status": "ignored"}, "after a renewal"
    assert (await send(connected, "shop/redact", SHOP)).json() == {"status": "ignored"}, "installed again since"
    assert await requests_of(connected) == []
    connected.shopify.trouble = [503, 503]
    assert (await send(connected, "app/uninstalled", body)).status_code == 502, "Shopify sends it again"
    assert (await connected.shops.find(connected.connection_id)).row.status == "active"


@pytest.fixture
async def site(connected: Connected, catalog: Catalog, store: Store, tmp_path: Path) -> AsyncIterator[Site]:
    """Open an installation in which an order of emma's, one of somebody else's and a refund are loaded."""
    settings, organization_id = connected.shops.core.settings, connected.brand.keys.organization_id
    async with catalog.reading() as session:
        key = (await session.get_one(Organization, organization_id)).customer_key
    writer = Writer(tmp_path / "journal" / "w0")
    emma = {"customer_hash": customer_hash(key, BIG, ACCOUNT)}
    emma_elsewhere = {"customer_hash": customer_hash(key, BIG)}  # a server names no shop
    address = {"email_hash": email_hash(key, email_digest("emma@brand.example"))}
    for fields, kept in (
        ({"order_id": str(BIG + 1), "shop": ACCOUNT}, {"properties": "by order"}),
        ({"order_id": "1", "shop": ACCOUNT}, emma | {"properties": "by id"}),
        ({"order_id": "5"}, emma_elsewhere | {"properties": "by id, without a shop"}),
        ({"order_id": "2", "shop": ACCOUNT}, address | {"properties": "by address"}),
        ({"order_id": "3", "shop": ACCOUNT}, {"properties": "of somebody else"}),
        ({"order_id": "4", "shop": OTHER_ACCOUNT}, {"properties": "of another shop"}),
    ):
        writer.event("conversion", organization_id, revenue_cents=100, kept=kept, **fields)
    writer.event("refund", organization_id, original_order_id="280263", shop=ACCOUNT, kept={"properties": "refund"})
    loader = Loader(tmp_path / "journal", store, Numbers())
    writer.finish()
    drain(loader)
    yield Site(settings, catalog, store, loader)
    loader.close()


def remaining(store: Store) -> list[str]:
    found = rows(store, "select JSONExtractString(kept, 'properties') as told from events_personal order by told")
    return [str(row["told"]) for row in found]


EVERYTHING = [
    "by address",
    "by id",
    "by id, without a shop",
    "by order",
    "of another shop",
    "of somebody else",
    "refund",
]


async def test_a_person_is_erased_by_id_address_and_orders(connected: Connected, site: Site, store: Store) -> None:
    assert remaining(store) == EVERYTHING
    await send(connected, "customers/redact", REDACT)
    assert await carry_out(site) == 1
    assert remaining(store) == ["of another shop", "of somebody else"]
    (request,) = await requests_of(connected)
    assert (request["events"], request["customer_id"], request["orders"]) == (5, "", [])
    assert request["done_at"] is not None
    assert await carry_out(site) == 0
    book = (site.settings.data_path / "erasures.jsonl").read_text()
    assert book.count("\n") == 3 + 2 * 2
    assert str(BIG) not in book.replace(str(BIG + 1), ""), "the customer's own id is not noted, its hash is"
    log = (await connected.brand.get("/v1/audit-log")).json()["items"]
    (entry,) = [entry for entry in log if entry["action"] == "person.erased"]
    assert entry["actor"] == "shopify"
    assert str(BIG) not in str(log)


async def test_a_person_who_is_erased_is_no_creators_own_customer_any_more(connected: Connected, site: Site) -> None:
    creator = await connected.brand.make("creators", handle="emma")
    own = f"/v1/creators/{creator['id']}/own-customers"
    customers = [{"customer_id": BIG, "shop": ACCOUNT}, {"customer_id": "1", "shop": ACCOUNT}]
    named = await connected.brand.put(own, json={"emails": ["emma@brand.example"], "customers": customers})
    assert named.json()["count"] == 3
    await send(connected, "customers/data_request", DATA_REQUEST)
    assert await carry_out(site) == 1
    assert (await connected.brand.get(own)).json() == named.json(), "who only asks is kept"
    await send(connected, "customers/redact", REDACT)
    assert await carry_out(site) == 1
    assert (await connected.brand.get(own)).json()["count"] == 1


async def test_a_request_that_comes_again_is_done_again(connected: Connected, site: Site, store: Store) -> None:
    await send(connected, "customers/redact", REDACT)
    await carry_out(site)
    await send(connected, "customers/redact", REDACT)
    assert len(await requests_of(connected)) == 1
    assert await carry_out(site) == 1
    assert remaining(store) == ["of another shop", "of somebody else"]


async def test_what_is_known_of_a_person_is_counted_and_stays(connected: Connected, site: Site, store: Store) -> None:
    await send(connected, "customers/data_request", DATA_REQUEST)
    assert await carry_out(site) == 1
    assert remaining(store) == EVERYTHING
    (request,) = await requests_of(connected)
    assert (request["events"], request["customer_id"]) == (4, str(BIG))


async def test_orders_of_another_shop_are_left_alone(connected: Connected, site: Site, store: Store) -> None:
    await send(connected, "customers/redact", REDACT | {"orders_to_redact": [3, 4, 5]})
    assert await carry_out(site) == 1
    assert remaining(store) == ["by order", "of another shop", "refund"]


async def test_thousands_of_orders_are_erased_in_pieces(
    connected: Connected, site: Site, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever waits for a turn gets it between two of them."""
    monkeypatch.setattr(privacy, "ORDERS_A_PIECE", 100)
    redact = REDACT | {"orders_to_redact": [*range(10_000, 10_400), 3]}
    await send(connected, "customers/redact", redact)
    turns = 0

    async def wait_for_turns() -> None:
        nonlocal turns
        while True:
            async with site.turn:
                turns += 1
            await asyncio.sleep(0)

    other = asyncio.create_task(wait_for_turns())
    assert await carry_out(site) == 1
    other.cancel()
    assert turns > 5
    assert remaining(store) == ["by order", "of another shop", "refund"]
    assert (site.settings.data_path / "erasures.jsonl").read_text().count("\n") == 3 + 2 * 401


async def test_requests_that_always_fail_keep_no_other_waiting(
    connected: Connected, site: Site, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(privacy, "REQUESTS_A_ROUND", 2)
    for number in range(3):
        await send(connected, "customers/redact", REDACT | {"orders_to_redact": [number]})
    async with catalog.transaction() as connection:  # as with a master key that was lost
        await connection.execute(update(PrivacyRequest).values(person=b"\x01" * 40))
    await send(connected, "customers/redact", REDACT)
    clock = [now_ms()]
    failed: dict[str, privacy.Attempt] = {}
    rounds = [await carry_out(site, failed, lambda: clock[0]) for _ in range(3)]
    assert rounds == [0, 1, 0], "two fail in the first, the third in the second, where the last is done"
    assert [attempt.failures for attempt in failed.values()] == [1, 1, 1], "none is tried again at once"
    for failures, minutes in ((2, 1), (3, 2), (4, 4)):
        clock[0] += minutes * 60_000
        await carry_out(site, failed, lambda: clock[0])
        await carry_out(site, failed, lambda: clock[0])
        assert [attempt.failures for attempt in failed.values()] == [failures] * 3
    async with catalog.transaction() as connection:
        await connection.execute(update(PrivacyRequest).values(person=b""))
    clock[0] += privacy.LONGEST_WAIT_MS
    assert [await carry_out(site, failed, lambda: clock[0]) for _ in range(3)] == [2, 1, 0]
    assert failed == {}


async def test_a_store_that_goes_away_in_between_makes_nobody_wait_longer(
    connected: Connected, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    await send(connected, "customers/redact", REDACT)
    failed: dict[str, privacy.Attempt] = {}

    def away(*_: object) -> None:
        raise StatementFailed("find_events_of_person", None, "nobody answers")

    with monkeypatch.context() as patched:
        patched.setattr(privacy, "_touch", away)
        assert await carry_out(site, failed) == 0
    assert failed == {}
    assert await carry_out(site, failed) == 1


async def test_an_event_that_is_found_in_two_ways_counts_once(connected: Connected, site: Site) -> None:
    await send(connected, "customers/data_request", DATA_REQUEST | {"orders_requested": [1, 2]})
    await carry_out(site)
    assert [request["events"] for request in await requests_of(connected)] == [3]


async def test_a_shop_that_left_is_erased_with_what_its_hooks_were_signed_with(
    connected: Connected, site: Site, store: Store
) -> None:
    await connected.install()
    connected.shopify.shops[ACCOUNT].uninstall()
    await send(connected, "shop/redact", SHOP)  # and app/uninstalled was lost
    assert await carry_out(site) == 1
    assert remaining(store) == ["by id, without a shop", "of another shop"]
    row = (await connected.shops.find(connected.connection_id)).row
    assert (row.status, row.hook_secrets, row.credentials) == ("disconnected", b"", b"")
    assert (await send(connected, "shop/redact", SHOP)).status_code == 401


async def test_an_erasure_waits_for_an_event_store_that_is_away(connected: Connected, site: Site, store: Store) -> None:
    await send(connected, "customers/redact", REDACT)
    opened, site.opened = site.opened, None
    assert await carry_out(site) == 0
    site.opened = opened
    assert await carry_out(site) == 1


async def test_tokens_that_nobody_needs_are_renewed_once_a_week(connected: Connected, catalog: Catalog) -> None:
    await connected.install()
    upkeep = ShopUpkeep(Site(connected.shops.core.settings, catalog, None), connected.shops)
    assert await upkeep.renew() == 0
    at = now_ms() + 8 * 86_400_000
    connected.shops.now = lambda: at
    assert await upkeep.renew() == 1
    assert await upkeep.renew() == 0
    at += 8 * 86_400_000
    connected.shopify.shops[ACCOUNT].uninstall()
    assert await upkeep.renew() == 0
    assert await upkeep.renew() == 0, "and is not tried again at once"
    assert connected.shopify.grants.count("refresh_token") == 2
