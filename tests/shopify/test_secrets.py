"""Client secrets: a replaced one is good for a while, and no two organizations have the same."""

from __future__ import annotations

import asyncio
import hashlib

import pytest
from sqlalchemy import select

from stackfluence.api import Core, create_api
from stackfluence.catalog import Catalog, open_catalog
from stackfluence.catalog.sources import Connection
from stackfluence.clock import parse_rfc3339
from stackfluence.operations.privacy import ShopUpkeep
from stackfluence.operations.site import Site
from stackfluence.vault import HookVault
from tests.api.brands import add_brand
from tests.shopify.conftest import Connected, on_both_databases
from tests.shopify.fake import CLIENT_SECRET
from tests.shopify.test_hooks import REDACT, send

NEW = "shpss_the-new-one"


@pytest.fixture
def upkeep(connected: Connected, catalog: Catalog) -> ShopUpkeep:
    return ShopUpkeep(Site(connected.shops.core.settings, catalog, None), connected.shops)


async def at_edges(connected: Connected, catalog: Catalog) -> list[str]:
    """Return the secrets that edges are given."""
    async with catalog.reading() as session:
        row = await session.get_one(Connection, connected.connection_id)
    return HookVault(connected.shops.core.settings.click_id_secrets).decrypt(row.hook_secrets, row.id)


async def test_a_replaced_client_secret_is_good_for_two_weeks(
    connected: Connected, catalog: Catalog, upkeep: ShopUpkeep
) -> None:
    where = f"/v1/connections/{connected.connection_id}"
    given = (await connected.brand.patch(where, json={"client_secret": NEW})).json()
    until = parse_rfc3339(given["earlier_secret_until"])
    connected.shops.now = lambda: until - 1
    assert (await send(connected, "customers/redact", REDACT)).status_code == 200
    assert await upkeep.end_overlaps() == 0
    assert await at_edges(connected, catalog) == [NEW, CLIENT_SECRET]
    connected.shops.now = lambda: until
    assert (await send(connected, "customers/redact", REDACT)).status_code == 401, "at the core at once"
    assert await upkeep.end_overlaps() == 1
    assert await at_edges(connected, catalog) == [NEW]
    assert await upkeep.end_overlaps() == 0
    assert (await connected.brand.get(where)).json()["earlier_secret_until"] is None


async def test_an_overlap_that_cannot_be_ended_keeps_no_other_waiting(
    connected: Connected, catalog: Catalog, upkeep: ShopUpkeep
) -> None:
    first = await connected.brand.make(
        "connections", vendor="shopify", account="first.myshopify.com", client_id="a", client_secret=f"{NEW}-first"
    )
    for connection_id in (first["id"], connected.connection_id):
        await connected.brand.patch(f"/v1/connections/{connection_id}", json={"client_secret": f"{NEW}{connection_id}"})
    async with catalog.writing("cli") as change:
        row = await change.session.get_one(Connection, first["id"])
        row.hook_secrets = bytes([row.hook_secrets[0]]) + hashlib.sha256(b"damaged").digest()
    connected.shops.now = lambda: row.created_at + 15 * 86_400_000
    assert await upkeep.end_overlaps() == 1
    assert len(await at_edges(connected, catalog)) == 1


@on_both_databases
async def test_two_organizations_that_give_a_secret_at_once_do_not_share_it(
    connected: Connected, catalog: Catalog, catalog_url: str
) -> None:
    """As two processes with connections of their own: whoever comes second finds what the first has committed."""
    elsewhere, core = open_catalog(catalog_url), connected.shops.core
    other_api = create_api(Core(core.settings, elsewhere, core.click_ids))
    async with await add_brand(other_api, elsewhere, "Other") as other:
        for number in range(5):
            app = {"vendor": "shopify", "client_id": "a", "client_secret": f"{number}" * 16}
            answers = await asyncio.gather(
                connected.brand.post("/v1/connections", json=app | {"account": f"one-{number}.myshopify.com"}),
                other.post("/v1/connections", json=app | {"account": f"two-{number}.myshopify.com"}),
            )
            assert sorted(answer.status_code for answer in answers) == [201, 409]
    async with catalog.reading() as session:
        assert len((await session.scalars(select(Connection))).all()) == 6
    await elsewhere.close()
