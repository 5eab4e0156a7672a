"""A brand with a connection to its shop, an API in front of it, and a Shopify behind it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from stackfluence.api import Core, create_api
from stackfluence.api.shopify.keeping import Shops
from stackfluence.catalog import Catalog
from stackfluence.click.click_id import ClickIdKeys
from stackfluence.settings import Settings
from stackfluence.vault import CredentialVault, HookVault
from stackfluence.vocabulary import ConnectionVendor
from tests.api.brands import SECRET, Brand, add_brand
from tests.shopify.fake import ACCOUNT, CLIENT_ID, CLIENT_SECRET, FakeShopify

ADDRESS = "https://go.links.example"
MASTER_KEY = "kG7-vT2_qLp9xWc4Zr8Bn1Yd6Sf3Hm5J"


@dataclass
class Connected:
    """What a test of one shop works with."""

    api: FastAPI
    brand: Brand
    nobody: httpx.AsyncClient
    shopify: FakeShopify
    shops: Shops
    connection_id: str

    @property
    def path(self) -> str:
        return f"/v1/connections/{self.connection_id}/shopify"

    async def begin(self) -> str:
        """Begin an install and return where the owner agrees."""
        answer = await self.brand.post(f"{self.path}/install")
        assert answer.status_code == 201, answer.text
        return str(answer.json()["authorize_url"])

    async def come_back(self, query: str) -> httpx.Response:
        """Return to us as the owner's browser does."""
        return await self.nobody.get(f"/v1/shopify/callback?{query}")

    async def install(self) -> None:
        """Install the app."""
        answer = await self.come_back(self.shopify.consent(await self.begin()))
        assert answer.status_code == 200, answer.text


def core_settings(directory: Path) -> Settings:
    secret = SECRET.decode().replace(",", ";").replace("secret", "word")
    return Settings(
        data_dir=str(directory),
        base_url=ADDRESS,
        master_key=MASTER_KEY,
        click_id_secret=f"1:{secret}",
        api_rate="10000",
    )


async def add_shop(catalog: Catalog, settings: Settings, organization_id: str, account: str = ACCOUNT) -> str:
    """Add a shop's connection with its app's id and secret, and return its id."""
    async with catalog.writing("cli") as change:
        row = await change.add_connection(organization_id, ConnectionVendor.shopify, account, client_id=CLIENT_ID)
        row.hook_secrets = HookVault(settings.click_id_secrets).encrypt([CLIENT_SECRET], row.id)
        row.credentials = CredentialVault(settings.master_key).encrypt({"client_secret": CLIENT_SECRET}, row.id)
    return row.id


on_both_databases = pytest.mark.parametrize("catalog_url", ["sqlite", "postgres"], indirect=True)


@pytest.fixture
def catalog_url(request: pytest.FixtureRequest) -> str:
    """Return the address of a fresh catalog: SQLite, unless a test is `on_both_databases`."""
    return str(request.getfixturevalue(f"{getattr(request, 'param', 'sqlite')}_url"))


@pytest.fixture
async def connected(catalog: Catalog, tmp_path: Path) -> AsyncIterator[Connected]:
    """Open all of it."""
    settings = core_settings(tmp_path)
    api = create_api(Core(settings, catalog, ClickIdKeys({1: SECRET}, 720)))
    shops: Shops = api.state.shops
    transport = httpx.ASGITransport(api)
    async with (
        FakeShopify().served() as shopify,
        await add_brand(api, catalog, "Brand") as brand,
        httpx.AsyncClient(transport=transport, base_url=ADDRESS) as nobody,
    ):
        shops.address = shopify.address
        connection_id = await add_shop(catalog, settings, brand.keys.organization_id)
        yield Connected(api, brand, nobody, shopify, shops, connection_id)
        await shops.close()
