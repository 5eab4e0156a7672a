"""An API over a fresh catalog, and two organizations: `brand`, and `other` who must see nothing of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from stackfluence.api import Core, create_api
from stackfluence.catalog import Catalog, open_catalog
from stackfluence.click.click_id import ClickIdKeys
from stackfluence.events.store import Store
from stackfluence.settings import Settings
from tests.api.brands import SECRET, SETTINGS, Brand, add_brand
from tests.api.ordered import Orders
from tests.api.stored import Journal, open_journal


@pytest.fixture(scope="session")
def has_facts() -> bool:
    """Stores have the tables of facts here."""
    return True


@pytest.fixture
def api(catalog: Catalog, tmp_path: Path) -> FastAPI:
    """Return the API over the test's catalog, on each database in turn."""
    settings = Settings(data_dir=str(tmp_path), base_url="https://go.links.example", **SETTINGS)
    return create_api(Core(settings, catalog, ClickIdKeys({1: SECRET}, 720)))


@pytest.fixture
async def brand(api: FastAPI, catalog: Catalog) -> AsyncIterator[Brand]:
    """Add an organization and open a client that has its secret key."""
    async with await add_brand(api, catalog, "Brand") as client:
        yield client


@pytest.fixture
async def other(api: FastAPI, catalog: Catalog) -> AsyncIterator[Brand]:
    """Add a second organization and its client."""
    async with await add_brand(api, catalog, "Other") as client:
        yield client


@pytest.fixture
async def nobody(api: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """Open a client without a key."""
    async with httpx.AsyncClient(transport=httpx.ASGITransport(api), base_url="https://api.brand.example") as client:
        yield client


@pytest.fixture
async def journal(sqlite_url: str, store: Store, tmp_path: Path) -> AsyncIterator[Journal]:
    """Open an API that has an event store, two organizations, and the journal whose events they read."""
    catalog = open_catalog(sqlite_url)
    settings = Settings(data_dir=str(tmp_path), base_url="https://go.links.example", **SETTINGS)
    api = create_api(Core(settings, catalog, ClickIdKeys({1: SECRET}, 720), store))
    async with await add_brand(api, catalog, "Brand") as brand, await add_brand(api, catalog, "Other") as other:
        opened = open_journal(api, brand, other, catalog, store, tmp_path / "journal")
        yield opened
        opened.loader.close()
    await catalog.close()


@pytest.fixture
async def orders(journal: Journal, store: Store) -> Orders:
    """Open a journal of orders over a store that has the tables of facts."""
    return Orders(journal, store)
