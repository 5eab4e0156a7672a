"""A Shopify on loopback: OAuth with expiring, rotating tokens, and the part of the Admin API that is asked for.

It refuses what Shopify refuses, as its documentation has it: unknown fields, codes used twice, a token of another shop,
a refresh token whose successor was used. GraphQL is executed, not matched: an unknown field is an error. `SDL` is cut
from the published schema, and `test_graphql` compares the two when that is installed.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import hmac
import itertools
import json
import secrets
import socket
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import uvicorn
from graphql import build_schema, graphql_sync
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

ACCOUNT = "brand.myshopify.com"
OTHER_ACCOUNT = "other.myshopify.com"
CLIENT_ID = "0123456789abcdef0123456789abcdef"
CLIENT_SECRET = "shpss_of_brands_own_app"
SCOPES = "read_customer_events,read_orders,write_pixels"
GRANTS = {
    "": {"code", "expiring"},
    "refresh_token": {"grant_type", "refresh_token"},
    "urn:ietf:params:oauth:grant-type:token-exchange": {
        "grant_type", "subject_token", "subject_token_type", "requested_token_type", "expiring",
    },
}  # fmt: skip

SDL = """
scalar JSON
enum WebhookSubscriptionTopic {
  ORDERS_PAID ORDERS_UPDATED ORDERS_CANCELLED REFUNDS_CREATE ORDER_TRANSACTIONS_CREATE APP_UNINSTALLED
}
enum WebhookSubscriptionFormat { JSON XML }
enum CurrencyCode { EUR USD }
enum ErrorsWebPixelUserErrorCode { TAKEN NO_EXTENSION INVALID_SETTINGS }
type AccessScope { handle: String! }
type AppInstallation { accessScopes: [AccessScope!]! }
type Shop { id: ID! myshopifyDomain: String! currencyCode: CurrencyCode! }
type WebhookSubscription { id: ID! topic: WebhookSubscriptionTopic! uri: String! }
type WebhookSubscriptionConnection { nodes: [WebhookSubscription!]! }
type WebPixel { id: ID! settings: JSON! }
type UserError { field: [String!] message: String! }
type ErrorsWebPixelUserError { code: ErrorsWebPixelUserErrorCode field: [String!] message: String! }
type WebhookSubscriptionCreatePayload { webhookSubscription: WebhookSubscription userErrors: [UserError!]! }
type WebhookSubscriptionUpdatePayload { webhookSubscription: WebhookSubscription userErrors: [UserError!]! }
type WebPixelCreatePayload { webPixel: WebPixel userErrors: [ErrorsWebPixelUserError!]! }
type WebPixelUpdatePayload { webPixel: WebPixel userErrors: [ErrorsWebPixelUserError!]! }
input WebhookSubscriptionInput { uri: String format: WebhookSubscriptionFormat }
input WebPixelInput { settings: JSON! }
type Query {
  shop: Shop!
  currentAppInstallation: AppInstallation!
  webhookSubscriptions(first: Int, topics: [WebhookSubscriptionTopic!]): WebhookSubscriptionConnection!
  webPixel(id: ID): WebPixel
}
type Mutation {
  webhookSubscriptionCreate(
    topic: WebhookSubscriptionTopic!, webhookSubscription: WebhookSubscriptionInput!
  ): WebhookSubscriptionCreatePayload
  webhookSubscriptionUpdate(
    id: ID!, webhookSubscription: WebhookSubscriptionInput!
  ): WebhookSubscriptionUpdatePayload
  webPixelCreate(webPixel: WebPixelInput!): WebPixelCreatePayload
  webPixelUpdate(id: ID!, webPixel: WebPixelInput!): WebPixelUpdatePayload
}
"""
_SCHEMA = build_schema(SDL)


@dataclass
class FakeShop:
    """One shop: who was let in, and what was registered."""

    account: str
    codes: set[str] = field(default_factory=set)
    access: dict[str, float] = field(default_factory=dict)  # token → its end, seconds since 1970
    refresh: str = ""  # the newest
    refresh_before: str = ""  # good until the newest is used
    hooks: list[dict[str, str]] = field(default_factory=list)
    pixel: dict[str, Any] | None = None
    has_extension: bool = True
    is_installed: bool = True

    def uninstall(self) -> None:
        """Shut the app out."""
        self.access, self.refresh, self.refresh_before, self.is_installed = {}, "", "", False


class FakeShopify:
    """The shops of one app. `trouble` holds statuses of the next answers; what was asked is done all the same."""

    def __init__(self) -> None:
        self.shops = {account: FakeShop(account) for account in (ACCOUNT, OTHER_ACCOUNT)}
        self.trouble: list[int] = []
        self.throttled = 0
        self.refreshes = 0
        self.asked: list[str] = []  # names of GraphQL operations
        self.grants: list[str] = []
        self.access_seconds = 3600
        self.delay = 0.0
        self.gates: dict[str, asyncio.Event] = {}  # a grant that waits, until its gate is set
        self.address = ""
        self._numbers = itertools.count(1)

    def consent(self, authorize_url: str, account: str = ACCOUNT, **changed: str) -> str:
        """Agree as the owner; returns the query with which Shopify sends them back."""
        asked = dict(parse_qsl(urlsplit(authorize_url).query))
        assert urlsplit(authorize_url).netloc == account
        assert asked["client_id"] == CLIENT_ID
        assert set(asked["scope"].split(",")) == set(SCOPES.split(","))
        code = secrets.token_hex(16)
        self.shops[account].codes.add(code)
        self.shops[account].is_installed = True
        found = {"code": code, "host": "YWRtaW4vc3RvcmU", "shop": account, "state": asked["state"]}
        return signed_query(found | changed)

    async def token(self, request: Request) -> Response:
        """Answer the OAuth endpoint."""
        await asyncio.sleep(self.delay)
        shop, body = self.shops[request.path_params["account"]], await request.json()
        grant = body.get("grant_type", "")
        if grant in self.gates:
            await self.gates[grant].wait()
        self.grants.append(grant)
        if body.keys() - {"client_id", "client_secret"} != GRANTS.get(grant):
            return JSONResponse({"error": "invalid_request", "error_description": "unexpected parameters"}, 400)
        if (body["client_id"], body["client_secret"]) != (CLIENT_ID, CLIENT_SECRET):
            return JSONResponse({"error": "invalid_client"}, 401)
        refused = self._refusal(shop, grant, body)
        if refused:
            return refused
        shop.access = {"shpat_" + secrets.token_hex(16): time.time() + self.access_seconds}
        shop.refresh_before = body.get("refresh_token", "")
        shop.refresh = "shprt_" + secrets.token_hex(16)
        answer = {
            "access_token": next(iter(shop.access)),
            "scope": SCOPES,
            "expires_in": self.access_seconds,
            "refresh_token": shop.refresh,
            "refresh_token_expires_in": 7_776_000,
        }
        return self._spoiled() or JSONResponse(answer)

    def _refusal(self, shop: FakeShop, grant: str, body: dict[str, str]) -> Response | None:
        if not shop.is_installed:
            return JSONResponse({"error": "application_cannot_be_found"}, 400)
        if grant == "refresh_token":
            self.refreshes += 1
            if body["refresh_token"] not in {shop.refresh, shop.refresh_before} - {""}:
                said = {
                    "error": "invalid_request",
                    "error_description": "This request requires an active refresh_token",
                }
                return JSONResponse(said, 401)
        elif grant:
            header, payload, mac = body["subject_token"].split(".")
            expected = hmac.digest(CLIENT_SECRET.encode(), f"{header}.{payload}".encode(), "sha256")
            if mac != _base64(expected):
                return JSONResponse({"error": "invalid_subject_token"}, 400)
        elif body["code"] not in shop.codes:
            return JSONResponse({"error": "invalid_request", "error_description": "the code was used"}, 400)
        else:
            shop.codes.remove(body["code"])
        return None

    async def graphql(self, request: Request) -> Response:
        """Answer the Admin API."""
        shop, body = self.shops[request.path_params["account"]], await request.json()
        if shop.access.get(request.headers.get("x-shopify-access-token", ""), 0) <= time.time():
            said = "[API] Invalid API key or access token (unrecognized login or wrong password)"
            return JSONResponse({"errors": said}, 401)
        if self.throttled:
            self.throttled -= 1
            error = {"message": "Throttled", "extensions": {"code": "THROTTLED"}}
            return JSONResponse({"errors": [error]})
        self.asked.append(body["operationName"])
        done = graphql_sync(
            _SCHEMA,
            body["query"],
            self._root(shop),
            variable_values=body["variables"],
            operation_name=body["operationName"],
        )
        answer: dict[str, Any] = {"data": done.data}
        if done.errors:
            answer["errors"] = [{"message": error.message} for error in done.errors]
        return self._spoiled() or JSONResponse(answer)

    def _root(self, shop: FakeShop) -> dict[str, Any]:
        def add_hook(_info: Any, topic: str, **given: Any) -> dict[str, Any]:
            uri = given["webhookSubscription"]["uri"]
            if any((hook["topic"], hook["uri"]) == (topic, uri) for hook in shop.hooks):
                return {"userErrors": [{"field": None, "message": "Address for this topic has already been taken"}]}
            hook = {"id": f"gid://shopify/WebhookSubscription/{next(self._numbers)}", "topic": topic}
            shop.hooks.append(hook | {"uri": uri})
            return {"webhookSubscription": shop.hooks[-1], "userErrors": []}

        def move_hook(_info: Any, id: str, **given: Any) -> dict[str, Any]:
            hook = next(hook for hook in shop.hooks if hook["id"] == id)
            hook["uri"] = given["webhookSubscription"]["uri"]
            return {"webhookSubscription": hook, "userErrors": []}

        def add_pixel(_info: Any, **given: Any) -> dict[str, Any]:
            if not shop.has_extension or shop.pixel:
                code = "TAKEN" if shop.pixel else "NO_EXTENSION"
                return {"userErrors": [{"code": code, "field": None, "message": code}]}
            shop.pixel = {"id": f"gid://shopify/WebPixel/{next(self._numbers)}", **given["webPixel"]}
            return {"webPixel": shop.pixel, "userErrors": []}

        def change_pixel(_info: Any, id: str, **given: Any) -> dict[str, Any]:
            assert shop.pixel
            assert shop.pixel["id"] == id
            shop.pixel |= given["webPixel"]
            return {"webPixel": shop.pixel, "userErrors": []}

        return {
            "shop": {"id": "gid://shopify/Shop/1", "myshopifyDomain": shop.account, "currencyCode": "EUR"},
            "currentAppInstallation": {"accessScopes": [{"handle": scope} for scope in SCOPES.split(",")]},
            "webhookSubscriptions": lambda _info, first, topics: {
                "nodes": [hook for hook in shop.hooks if hook["topic"] in topics][:first]
            },
            "webPixel": shop.pixel,
            "webhookSubscriptionCreate": add_hook,
            "webhookSubscriptionUpdate": move_hook,
            "webPixelCreate": add_pixel,
            "webPixelUpdate": change_pixel,
        }

    def _spoiled(self) -> Response | None:
        return Response("upstream trouble", self.trouble.pop(0)) if self.trouble else None

    @contextlib.asynccontextmanager
    async def served(self) -> AsyncIterator[FakeShopify]:
        """Serve on a free port; `address` is the pattern that Shops takes."""
        application = Starlette(
            routes=[
                Route("/{account}/admin/oauth/access_token", self.token, methods=["POST"]),
                Route("/{account}/admin/api/2026-10/graphql.json", self.graphql, methods=["POST"]),
            ]
        )
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{listener.getsockname()[1]}/{{account}}"
        server = _Server(uvicorn.Config(application, log_config=None, lifespan="off"))
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        yield self
        server.should_exit = True
        await serving
        listener.close()


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def signed_query(parameters: dict[str, str], secret: str = CLIENT_SECRET, at: float | None = None) -> str:
    """Return a query as Shopify signs it, `timestamp` being now or `at`."""
    pairs = sorted((parameters | {"timestamp": str(int(time.time() if at is None else at))}).items())
    message = "&".join(f"{name}={value}" for name, value in pairs)
    return urlencode([*pairs, ("hmac", hmac.new(secret.encode(), message.encode(), hashlib.sha256).hexdigest())])


def signed_body(document: object, secret: str = CLIENT_SECRET) -> tuple[bytes, str]:
    """Return a hook's body and its signature."""
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return body, base64.b64encode(hmac.digest(secret.encode(), body, "sha256")).decode()


def session_token(secret: str = CLIENT_SECRET, algorithm: str = "HS256", **changed: object) -> str:
    """Return a session token of App Bridge, as Shopify's documentation has it."""
    now = int(time.time())
    claims: dict[str, object] = {
        "iss": f"https://{ACCOUNT}/admin", "dest": f"https://{ACCOUNT}", "aud": CLIENT_ID, "sub": "42",
        "exp": now + 60, "nbf": now, "iat": now, "jti": "f8912129-1af6-4cad-9ca3", "sid": "aaea182f2732d44c",
    }  # fmt: skip
    parts = [{"alg": algorithm, "typ": "JWT"}, claims | changed]
    text = ".".join(_base64(json.dumps(part).encode()) for part in parts)
    return f"{text}.{_base64(hmac.digest(secret.encode(), text.encode(), 'sha256'))}"


def _base64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")
