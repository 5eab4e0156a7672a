"""A client of the API that acts for one organization."""

from __future__ import annotations

from typing import Any

import httpx
from fastapi import FastAPI

from stackfluence.catalog import Catalog, NewOrganization

SECRET = b"a secret of at least 32 bytes, q9Zr4T"
SETTINGS = {"click_id_secret": "1:q9Zr4T-vK2mXw7Lc0HsBn5JpYd8EfGuA", "master_key": "Wn3xR8vQ1kZ6tM0yLb5CjF2hDs9PgKeU"}
SHOP = "https://shop.brand.example/"


class Brand(httpx.AsyncClient):
    """An HTTP client with an organization's secret key, which knows its two keys."""

    def __init__(self, api: FastAPI, keys: NewOrganization) -> None:
        super().__init__(
            transport=httpx.ASGITransport(api),
            base_url="https://api.brand.example",
            headers={"Authorization": f"Bearer {keys.secret_key}"},
        )
        self.keys = keys

    async def make(self, collection: str, **fields: Any) -> dict[str, Any]:
        """Add something, and return what was answered."""
        response = await self.post(f"/v1/{collection}", json=fields)
        assert response.status_code == 201, response.text
        made: dict[str, Any] = response.json()
        return made

    async def link(self, asset: str = "reel", **fields: Any) -> dict[str, Any]:
        """Make a link of emma's summer campaign."""
        given = {"creator_handle": "emma", "campaign_slug": "summer", "asset_slug": asset, "destination_url": SHOP}
        return await self.make("links", **(given | fields))

    async def all(self, path: str, **query: Any) -> list[dict[str, Any]]:
        """Return a whole list, page by page."""
        items: list[dict[str, Any]] = []
        cursor = ""
        while True:
            response = await self.get(path, params={**query, "cursor": cursor})
            assert response.status_code == 200, response.text
            items += response.json()["items"]
            cursor = response.json()["next_cursor"]
            if cursor is None:
                return items


async def add_brand(api: FastAPI, catalog: Catalog, name: str) -> Brand:
    """Add an organization and return its client, not yet opened."""
    async with catalog.writing("cli") as change:
        return Brand(api, await change.add_organization(name, "EUR", "Europe/Berlin"))


def errors(response: httpx.Response) -> dict[str, str]:
    """Return the field → message of a problem, having checked its form."""
    assert response.headers["content-type"] == "application/problem+json"
    body = response.json()
    assert body["status"] == response.status_code
    assert body["type"].startswith("/problems/")
    return {error["field"]: error["message"] for error in body.get("errors", [])}
