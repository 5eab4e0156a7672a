"""What Shopify sends to the core: the owner who comes back from an install, the app being opened, and its hooks.

Nobody brings a key here. A query's or a body's signature with the connection's client secret says who it is, and it is
looked at before anything else is believed. Orders and refunds go to the edge, not here.
"""

from __future__ import annotations

import html
import logging
from urllib.parse import parse_qsl, urlencode

import msgspec
from fastapi import Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from stackfluence.api.access import base_url
from stackfluence.api.routes import router
from stackfluence.api.shopify.admin import SCOPES, ShopRefused, TokenRefused
from stackfluence.api.shopify.app_toml import CALLBACK
from stackfluence.api.shopify.keeping import Kept, Shops
from stackfluence.api.shopify.privacy import keep_request, read_person
from stackfluence.api.shopify.setup import Step, public_address, set_up
from stackfluence.api.shopify.signing import State, Unsigned, check_query
from stackfluence.catalog import Catalog
from stackfluence.catalog.sources import Connection
from stackfluence.catalog.tables import Key
from stackfluence.collect.shopify import is_signed
from stackfluence.errors import Conflict, Forbidden, Invalid, Unauthorized, VendorFailed
from stackfluence.vocabulary import ConnectionStatus, PrivacyKind

log = logging.getLogger(__name__)

ACTOR = "shopify"
# topic → which of the marks its body has: headers aren't signed, so a body must fit the topic it came with
MARKS = frozenset({"customer", "data_request", "orders_to_redact"})
PRIVACY = {
    "customers/data_request": (PrivacyKind.data_request, frozenset({"customer", "data_request"})),
    "customers/redact": (PrivacyKind.customer_redact, frozenset({"customer", "orders_to_redact"})),
    "shop/redact": (PrivacyKind.shop_redact, frozenset()),
}
UNINSTALLED = "app/uninstalled"

routes = router("shopify")


def shops_of(request: Request) -> Shops:
    """Return the application's shops."""
    shops: Shops = request.app.state.shops
    return shops


@routes.get(CALLBACK.removeprefix("/v1"), include_in_schema=False)
async def finish_install(request: Request) -> Response:
    """Take the owner's consent: check state and signature, keep the tokens, set the shop up, tell what came of it."""
    shops, now = shops_of(request), shops_of(request).now()
    pairs = parse_qsl(request.scope["query_string"].decode("latin-1"), keep_blank_values=True)
    try:
        state = shops.states.read(dict(pairs).get("state", ""), now)
        kept = await shops.find(state.connection_id, state.organization_id)
        found = check_query(pairs, shops.hook_secrets(kept.row), kept.row.account, now)
    except Unsigned as error:
        raise Unauthorized(str(error)) from None
    await _recheck_actor(shops.core.catalog, state)
    await shops.use_state(state)  # before the code is sent: the same answer of Shopify's is taken once
    if not found.get("code"):
        raise Invalid("code: the owner didn't agree, or the query lost it; begin the install again.", field="code")
    tokens = await shops.shop(kept.row.account).exchange_code(kept.app, found["code"], now)
    await shops.keep_tokens(kept.row.id, tokens, state.actor)
    try:
        steps = await set_up(shops, kept.row.id, base_url(request), state.actor)
    except VendorFailed as error:
        steps = [Step("set-up", False, error.detail)]
    return _page(kept.row.account, steps)


async def _recheck_actor(catalog: Catalog, state: State) -> None:
    """Raise Unauthorized when the key that began the install was revoked since."""
    kind, _, identifier = state.actor.partition(":")
    if kind == "key":
        async with catalog.reading() as session:
            key = await session.get(Key, identifier)
        if key is None or key.revoked_at is not None or key.organization_id != state.organization_id:
            raise Unauthorized("The key that began this install was revoked.")


def authorize_url(kept: Kept, address: str, state: str) -> str:
    """Return where a shop's owner agrees to the app."""
    query = {
        "client_id": kept.app.client_id,
        "scope": ",".join(SCOPES),
        "redirect_uri": address + CALLBACK,
        "state": state,
    }
    return f"https://{kept.row.account}/admin/oauth/authorize?{urlencode(query)}"


@routes.get("/connections/{connection_id}/shopify/open", include_in_schema=False)
async def open_app(connection_id: str, request: Request) -> Response:
    """Answer the owner who opens the app in their admin: the first time it leads on to the install."""
    shops = shops_of(request)
    kept = await shops.find(connection_id)
    pairs = parse_qsl(request.scope["query_string"].decode("latin-1"), keep_blank_values=True)
    if other := await shops.sibling(kept.row, dict(pairs).get("shop", "")):  # an app has one address for all its shops
        kept = await shops.find(other.id)
    try:
        check_query(pairs, shops.hook_secrets(kept.row), kept.row.account, shops.now())
    except Unsigned as error:
        raise Unauthorized(str(error)) from None
    if kept.tokens is not None and kept.row.status == ConnectionStatus.active:
        told = kept.row.settings.get("shopify", {}).get("steps", [])
        return _page(kept.row.account, [Step(**step) for step in told])
    address = public_address(base_url(request))
    state = await shops.begin_install(kept.row.id, ACTOR)
    return RedirectResponse(authorize_url(kept, address, shops.states.sign(state)), 302, {"Cache-Control": "no-store"})


def _page(account: str, steps: list[Step]) -> HTMLResponse:
    items = "".join(
        f"<li>{html.escape(step.step)}: {'done' if step.is_done else html.escape(step.detail)}</li>" for step in steps
    )
    headers = {"Cache-Control": "no-store", "Content-Security-Policy": "default-src 'none'"}
    return HTMLResponse(
        f"<!doctype html><html lang=en><title>Stackfluence</title><h1>{html.escape(account)} is connected</h1>"
        f"<ul>{items}</ul>",
        headers=headers,
    )


@routes.post("/connections/{connection_id}/shopify", include_in_schema=False)
async def take_hook(connection_id: str, request: Request) -> dict[str, str]:
    """Take one of the hooks that concern the app or a person: kept before it is answered, so that nothing is lost.

    A status that Shopify repeats for is given when a repetition can help, and no other.
    """
    shops = shops_of(request)
    kept = await shops.find(connection_id)
    body = await request.body()
    signature = request.headers.get("x-shopify-hmac-sha256", "").encode("latin-1")
    if not is_signed(body, signature, await shops.app_secrets(kept.row)):
        raise Unauthorized("The body is not signed with the app's client secret.")
    topic = request.headers.get("x-shopify-topic", "")
    if topic != UNINSTALLED and topic not in PRIVACY:
        return {"status": "ignored"}
    try:
        document = msgspec.json.decode(body, type=dict[str, object])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise Invalid("The body is no JSON object.") from None
    row = await _shop_of(shops, kept.row, document, request.headers.get("x-shopify-shop-domain", ""))
    if topic == UNINSTALLED:
        return {"status": "accepted" if await _uninstalled(shops, row) else "ignored"}
    kind, marks = PRIVACY[topic]
    if MARKS & document.keys() != marks or "shop_domain" not in document:
        raise Invalid(f"The body is none of {topic}.")
    if kind is PrivacyKind.shop_redact and not await _uninstalled(shops, row):
        return {"status": "ignored"}  # installed again: Shopify sends none then, so this one is late
    core = shops.core
    identifier = await keep_request(core.catalog, core.settings, row, kind, read_person(document), shops.now())
    log.info("privacy_request_received", extra={"connection_id": row.id, "kind": kind.value, "request_id": identifier})
    return {"status": "accepted"}


async def _shop_of(shops: Shops, row: Connection, document: dict[str, object], said: str) -> Connection:
    """Return the connection of the shop that a body names: an app may be in several shops of one organization."""
    named = document.get("shop_domain") or document.get("myshopify_domain") or said
    if named == row.account:
        return row
    other = await shops.sibling(row, str(named))
    if other is None:
        raise Forbidden("The body is of a shop that this connection is not for.")
    return other


async def _uninstalled(shops: Shops, row: Connection) -> bool:
    """Take the app's end in a shop, once; whether that is so.

    The hook has no signed time, and may come late, after a new install: whether we are still let in, Shopify knows.
    Hook secrets stay: privacy hooks come 48 hours later.
    """
    kept = await shops.find(row.id)
    if kept.tokens is None:
        return True
    try:
        await shops.ask(row.id, "Standing")
        return False
    except TokenRefused:
        pass
    except VendorFailed as error:
        # of the tokens' renewal; None: they are too old to be renewed, so nobody was let in for three months; 404: the
        # shop itself is gone
        if not isinstance(error, ShopRefused) or error.extra.get("vendor_status") not in (None, 400, 401, 403, 404):
            raise
    except Conflict:
        pass  # another process was quicker
    async with shops.editing(row.id, ACTOR) as edited:
        if edited.tokens not in (None, kept.tokens):
            return False  # installed anew in between
        edited.row.status = ConnectionStatus.disconnected.value
        edited.credentials = {name: value for name, value in edited.credentials.items() if name == "client_secret"}
    return True
