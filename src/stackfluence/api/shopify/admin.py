"""One shop as we reach it: its OAuth endpoint and its GraphQL Admin API, over plain httpx.

Source: Shopify's documentation of access tokens (authorization code grant, token exchange, expiring offline tokens)
and of the GraphQL Admin API, version 2026-10.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from stackfluence.errors import VendorFailed

API_VERSION = "2026-10"
# orders and their refunds; the other two are what webPixelCreate asks for
SCOPES = ("read_orders", "read_customer_events", "write_pixels")
SHOP_DOMAIN = re.compile(r"[a-z0-9][a-z0-9-]*\.myshopify\.com")

CALL_SECONDS = 15.0  # of one call altogether; shorter than the lease under which tokens are refreshed
THROTTLED_TRIES = 4  # the bucket of the smallest plan refills 100 points a second, and none of ours costs as much
THROTTLED_SECONDS = 1.0
_DOCUMENT = Path(__file__).with_name("admin.graphql").read_text()
QUERIES = {
    found[1]: found[0].strip()
    for found in re.finditer(r"^(?:query|mutation) (\w+).*?^}", _DOCUMENT, re.MULTILINE | re.DOTALL)
}


class ShopAway(VendorFailed):
    """Shopify can't be reached or has trouble; the same request may succeed in a moment."""


class ShopRefused(VendorFailed):
    """Shopify refused; the detail says why and what to do."""


class TokenRefused(ShopRefused):
    """Shopify doesn't take the access token: the app was uninstalled, or its access was revoked."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """What Shopify gave for one shop; times in ms since 1970, None for a token that doesn't expire."""

    access_token: str
    access_expires_at: int | None
    refresh_token: str
    refresh_expires_at: int | None
    scopes: list[str]


@dataclass(frozen=True, slots=True)
class App:
    """The app by which a shop knows us: each shop may have its own."""

    client_id: str
    client_secret: str


class Shop:
    """A shop's endpoints. `address` is a pattern that only tests change, for a Shopify of their own."""

    def __init__(self, http: httpx.AsyncClient, account: str, address: str = "https://{account}") -> None:
        if not SHOP_DOMAIN.fullmatch(account):  # whatever the catalog says: nothing is sent to another host
            raise ValueError(f"{account!r} is no shop's domain.")
        self.account = account
        self._http = http
        self._address = address.format(account=account)

    async def exchange_code(self, app: App, code: str, now_ms: int) -> Tokens:
        """Return the tokens for an authorization code; raises VendorFailed."""
        return await self._tokens(app, {"code": code, "expiring": "1"}, now_ms)

    async def exchange_session(self, app: App, session_token: str, now_ms: int) -> Tokens:
        """Return the tokens for a session token of App Bridge (RFC 8693); raises VendorFailed."""
        fields = {
            "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
            "subject_token": session_token,
            "subject_token_type": "urn:ietf:params:oauth:token-type:id_token",
            "requested_token_type": "urn:shopify:params:oauth:token-type:offline-access-token",
            "expiring": "1",
        }
        return await self._tokens(app, fields, now_ms)

    async def refresh(self, app: App, refresh_token: str, now_ms: int) -> Tokens:
        """Return the next pair of tokens; raises VendorFailed.

        Shopify takes the same refresh token again until the next one was used, so a lost answer is no lost shop.
        """
        return await self._tokens(app, {"grant_type": "refresh_token", "refresh_token": refresh_token}, now_ms)

    async def ask(self, access_token: str, name: str, **variables: Any) -> dict[str, Any]:
        """Return the `data` of one of admin.graphql's operations; raises VendorFailed, TokenRefused for the token."""
        body = {"query": QUERIES[name], "variables": variables, "operationName": name}
        headers = {"X-Shopify-Access-Token": access_token}
        path = f"/admin/api/{API_VERSION}/graphql.json"
        for _ in range(THROTTLED_TRIES):
            status, answer = await self._post(path, body, headers)
            errors = answer.get("errors")
            if status == 429 or (isinstance(errors, list) and "THROTTLED" in {_code(error) for error in errors}):
                await asyncio.sleep(THROTTLED_SECONDS)
                continue
            if status in (401, 403):
                raise TokenRefused(
                    f"{self.account} doesn't take our access token any more. Install the app again: "
                    "POST /v1/connections/{connection_id}/shopify/install.",
                    vendor_status=status,
                )
            if status != 200 or errors:
                raise ShopRefused(f"{self.account} refused {name}: {_said(answer)}", vendor_status=status)
            found = answer.get("data")
            return found if isinstance(found, dict) else {}
        raise ShopAway(f"{self.account} answers that we ask too often; try again in a minute.")

    async def _tokens(self, app: App, fields: dict[str, str], now_ms: int) -> Tokens:
        body = {"client_id": app.client_id, "client_secret": app.client_secret, **fields}
        status, answer = await self._post("/admin/oauth/access_token", body, {})
        if status != 200:
            raise ShopRefused(
                f"{self.account} gave no access token: {_said(answer)} Check that client id and client secret are the "
                "app's, then install the app again: POST /v1/connections/{connection_id}/shopify/install.",
                vendor_status=status,
            )
        try:
            return Tokens(
                str(answer["access_token"]),
                _at(now_ms, answer.get("expires_in")),
                str(answer.get("refresh_token") or ""),
                _at(now_ms, answer.get("refresh_token_expires_in")),
                sorted(filter(None, str(answer.get("scope") or "").split(","))),
            )
        except (KeyError, TypeError, ValueError):
            raise ShopAway(f"{self.account} answered, but without an access token; try again in a minute.") from None

    async def _post(self, path: str, body: dict[str, Any], headers: dict[str, str]) -> tuple[int, dict[str, Any]]:
        """Return status and JSON object of an answer; raises ShopAway for a network or a Shopify in trouble."""
        try:
            async with asyncio.timeout(CALL_SECONDS):
                response = await self._http.post(
                    self._address + path, json=body, headers={"Accept": "application/json", **headers}
                )
            # a refusal may be a page for people: its status says enough
            is_json = response.status_code == 200 or "json" in response.headers.get("content-type", "")
            answer = response.json() if is_json and response.content and response.status_code < 500 else {}
        except (httpx.HTTPError, TimeoutError, ValueError) as error:
            # no text of the error or the answer: what was sent holds secrets
            raise ShopAway(
                f"{self.account} can't be reached ({type(error).__name__}); try again in a minute."
            ) from None
        if response.status_code >= 500:
            raise ShopAway(
                f"{self.account} is in trouble (HTTP {response.status_code}); try again in a minute.",
                vendor_status=response.status_code,
            )
        return response.status_code, answer if isinstance(answer, dict) else {}


def _at(now_ms: int, seconds: Any) -> int | None:
    return None if seconds is None else now_ms + int(seconds) * 1000


def _code(error: Any) -> str:
    extensions = error.get("extensions") if isinstance(error, dict) else None
    return str(extensions.get("code", "")) if isinstance(extensions, dict) else ""


def _said(answer: dict[str, Any]) -> str:
    """Return what Shopify says is wrong, as one sentence of at most 300 characters."""
    errors = answer.get("errors")
    if isinstance(errors, list):
        text = "; ".join(
            str(error.get("message", error)) if isinstance(error, dict) else str(error) for error in errors
        )
    else:
        text = str(errors or answer.get("error_description") or answer.get("error") or "it doesn't say why")
    return text[:300].rstrip(".") + "."
