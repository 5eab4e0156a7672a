"""Connecting a Shopify shop: install, set-up, how it stands, the app's configuration, and what people asked."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Query, Request, Response
from fastapi.responses import PlainTextResponse
from pydantic import Field
from sqlalchemy import select

from stackfluence.api.access import Accessed, Reads, base_url
from stackfluence.api.fields import Given, Text, Time, Told
from stackfluence.api.paging import Page, PageQuery, read_page
from stackfluence.api.problems import documented
from stackfluence.api.routes import BODY, MISSING, router
from stackfluence.api.shopify.admin import SCOPES
from stackfluence.api.shopify.app_toml import app_toml
from stackfluence.api.shopify.arrivals import authorize_url, shops_of
from stackfluence.api.shopify.keeping import Kept
from stackfluence.api.shopify.privacy import whom
from stackfluence.api.shopify.setup import public_address, set_up
from stackfluence.api.shopify.signing import MAX_TOKEN, Unsigned, check_session
from stackfluence.catalog import PrivacyRequest
from stackfluence.errors import Conflict, Invalid, VendorFailed
from stackfluence.vocabulary import ConnectionStatus, PrivacyKind

VENDOR = documented(VendorFailed)


class SetUpStep(Told):
    """One thing that is set up in the shop, or why it isn't and what to do."""

    step: str = Field(examples=["hook orders_paid"])
    is_done: bool
    detail: str


class ShopStanding(Told):
    """How a shop's connection stands, as far as we know without asking Shopify."""

    connection_id: str
    account: str
    status: ConnectionStatus
    is_installed: bool
    scopes: list[str]
    missing_scopes: list[str]
    access_expires_at: Time | None = Field(description="Of the present token, which is renewed by itself.")
    refresh_expires_at: Time | None = Field(description="Without any renewal until then, the app is installed anew.")
    set_up_at: str | None
    steps: list[SetUpStep]


class BegunInstall(Told):
    """An install that was begun; the shop's owner opens `authorize_url` in a browser, once, until `expires_at`."""

    authorize_url: str
    expires_at: Time


class SessionToken(Given):
    """What App Bridge gives an embedded app about the owner who has it open."""

    session_token: Annotated[Text, Field(min_length=1, max_length=MAX_TOKEN)]


class PrivacyAsked(Told):
    """What a person, or the law, asked of us through Shopify. Who is told while it is kept: 60 days at the most."""

    id: str
    kind: PrivacyKind
    received_at: Time
    done_at: Time | None
    events: int | None = Field(description="How many events were found, or erased.")
    customer_id: str
    orders: list[str]
    request_id: str = Field(description="Shopify's number of a data request.")


class PrivacyPage(Page[PrivacyAsked]):
    """A part of the requests."""


routes = router("shopify")


@routes.get("/connections/{connection_id}/shopify", responses=MISSING, summary="How a shop's connection stands")
async def get_shop(connection_id: str, access: Accessed, request: Request) -> ShopStanding:
    """Tell whether the app is installed, what it may do, and what was set up in the shop."""
    return _standing(await shops_of(request).find(connection_id, access.organization_id))


@routes.post(
    "/connections/{connection_id}/shopify/install",
    status_code=201,
    responses=MISSING | BODY,
    summary="Begin an install",
)
async def begin_install(connection_id: str, access: Accessed, request: Request) -> BegunInstall:
    """Return where the shop's owner agrees to the app; what was begun before can't be finished any more."""
    shops = shops_of(request)
    kept = await shops.find(connection_id, access.organization_id)
    address = public_address(base_url(request))
    state = await shops.begin_install(connection_id, access.actor)
    url = authorize_url(kept, address, shops.states.sign(state))
    return BegunInstall(authorize_url=url, expires_at=state.expires_at)


@routes.post(
    "/connections/{connection_id}/shopify/session-token",
    responses=MISSING | BODY | VENDOR,
    summary="Install by a session token",
)
async def exchange_session_token(
    connection_id: str, given: SessionToken, access: Accessed, request: Request
) -> ShopStanding:
    """Install the app from inside of the shop's admin: exchange a session token, then set the shop up."""
    shops, now = shops_of(request), shops_of(request).now()
    kept = await shops.find(connection_id, access.organization_id)
    try:
        secrets = shops.hook_secrets(kept.row)
        check_session(given.session_token, kept.app.client_id, secrets, kept.row.account, now)
    except Unsigned as error:
        raise Invalid(f"session_token: {error}", field="session_token") from None
    tokens = await shops.shop(kept.row.account).exchange_session(kept.app, given.session_token, now)
    await shops.keep_tokens(connection_id, tokens, access.actor)
    await set_up(shops, connection_id, base_url(request), access.actor)
    return _standing(await shops.find(connection_id))


@routes.post(
    "/connections/{connection_id}/shopify/setup",
    responses=MISSING | BODY | VENDOR,
    summary="Set a shop up again",
)
async def set_up_again(connection_id: str, access: Accessed, request: Request) -> ShopStanding:
    """Register hooks and pixel where they are missing or lead elsewhere; what is right stays."""
    shops = shops_of(request)
    await shops.find(connection_id, access.organization_id)
    await set_up(shops, connection_id, base_url(request), access.actor)
    return _standing(await shops.find(connection_id))


@routes.get(
    "/connections/{connection_id}/shopify/app.toml",
    response_class=PlainTextResponse,
    responses=MISSING | documented(Conflict),
    summary="The app's configuration",
)
async def get_app_toml(connection_id: str, access: Accessed, request: Request) -> Response:
    """Return `shopify.app.toml` for the app of this connection, to be deployed with Shopify's command line."""
    kept = await shops_of(request).find(connection_id, access.organization_id)
    return PlainTextResponse(app_toml(connection_id, kept.row.client_id, base_url(request)))


@routes.get(
    "/connections/{connection_id}/shopify/privacy-requests",
    responses=MISSING,
    summary="What people asked of their data",
)
async def list_privacy_requests(
    connection_id: str, asked: Annotated[PageQuery, Query()], reading: Reads, request: Request
) -> PrivacyPage:
    """List what Shopify passed on, newest first. Redactions are carried out by themselves; answer data requests."""
    await shops_of(request).find(connection_id, reading.organization_id)
    kind = PrivacyRequest
    query = select(kind).where(kind.organization_id == reading.organization_id, kind.connection_id == connection_id)
    rows, cursor = await read_page(reading.session, query, (kind.received_at, kind.id), asked)
    return PrivacyPage(items=[_asked(reading.core.settings, row) for (row,) in rows], next_cursor=cursor)


def _asked(settings: Any, row: PrivacyRequest) -> PrivacyAsked:
    person = whom(settings, row)
    return PrivacyAsked(
        id=row.id,
        kind=PrivacyKind(row.kind),
        received_at=row.received_at,
        done_at=row.done_at,
        events=row.events,
        customer_id=person.customer_id if person else "",
        orders=person.orders if person else [],
        request_id=person.request_id if person else "",
    )


def _standing(kept: Kept) -> ShopStanding:
    told = kept.row.settings.get("shopify", {})
    tokens = kept.tokens
    granted = set(told.get("scopes", ())) or set(tokens.scopes if tokens else ())
    missing = [scope for scope in SCOPES if scope not in granted and scope.replace("read_", "write_") not in granted]
    return ShopStanding(
        connection_id=kept.row.id,
        account=kept.row.account,
        status=ConnectionStatus(kept.row.status),
        is_installed=tokens is not None,
        scopes=sorted(granted),
        missing_scopes=missing if tokens else [],
        access_expires_at=tokens.access_expires_at if tokens else None,
        refresh_expires_at=tokens.refresh_expires_at if tokens else None,
        set_up_at=told.get("set_up_at"),
        steps=[SetUpStep(**step) for step in told.get("steps", ())],
    )
