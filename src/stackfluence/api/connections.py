"""Connections: accounts at vendors that tell us an organization's orders by hooks. Secrets go in and never come out."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from fastapi import Query, Response
from pydantic import ConfigDict, Field
from sqlalchemy import select

from stackfluence.api.access import Posts, Reading, Reads, Writes, Writing
from stackfluence.api.core import Core
from stackfluence.api.fields import Given, Text, Time, Title, Told
from stackfluence.api.paging import Page, PageQuery, read_page
from stackfluence.api.routes import BODY, MISSING, find, router
from stackfluence.api.shopify.overlap import EARLIER_UNTIL, OVERLAP_DAYS, end_overlap, present_secrets
from stackfluence.catalog import sources
from stackfluence.clock import now_ms, rfc3339
from stackfluence.errors import Conflict, Invalid, StoreError, Undecryptable
from stackfluence.events.statements import read_statements
from stackfluence.vault import CredentialVault, HookVault
from stackfluence.vocabulary import ConnectionStatus, ConnectionVendor

SQL = read_statements(Path(__file__).with_name("connections.sql"))
MOST_SECRETS = 5  # several are good at once while one is being replaced
SEEN_DAYS = 30
_SHOWN = 4
_TOLD_BESIDE = ("secret_given_at", EARLIER_UNTIL)  # of a connection's settings
_DAY_MS = 86_400_000
log = logging.getLogger(__name__)

Secret = Annotated[Text, Field(min_length=16, max_length=500, pattern=r"^[\x21-\x7e]+$")]
HookSecrets = Annotated[
    list[Secret],
    Field(
        min_length=1,
        max_length=MOST_SECRETS,
        description="Of Stripe: the signing secrets of the endpoint, `whsec_…`; each is accepted. Never told again.",
    ),
]
ClientId = Annotated[Title, Field(description="Of Shopify: the client ID of the app that the shop installs.")]
ClientSecret = Annotated[Secret, Field(description="Of Shopify: that app's client secret. Never told again.")]


class NewConnection(Given):
    """A connection to be added. Its secrets may follow later: a hook's address has to be known to make them."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "vendor": "shopify",
                    "account": "brand.myshopify.com",
                    "client_id": "b2f1c0d9e8",
                    "client_secret": "the app's client secret",
                }
            ]
        }
    )

    vendor: Annotated[ConnectionVendor, Field(strict=False)]
    account: Annotated[Title, Field(min_length=1, examples=["brand.myshopify.com"])] = Field(
        description="A Shopify shop's own domain; of Stripe, what you call the account. Orders carry it as `shop`."
    )
    client_id: ClientId | None = None
    client_secret: ClientSecret | None = None
    hook_secrets: HookSecrets | None = None


class ConnectionPatch(Given):
    """What can be changed of a connection. A new client secret joins the last one; hook secrets replace all."""

    client_id: ClientId = Field(default_factory=str)
    client_secret: ClientSecret = Field(default_factory=str)
    hook_secrets: HookSecrets = Field(default_factory=list)
    is_earlier_secret_ended: bool = Field(
        default=False, description="Of Shopify: true refuses at once what the client secret before this one signed."
    )


class Connection(Told):
    """A connection, without its secrets."""

    id: str
    vendor: ConnectionVendor
    account: str
    status: ConnectionStatus
    client_id: str | None
    has_secret: bool = Field(description="Whether hooks can be verified: a secret was given, and opens with our keys.")
    secret_last_four: str | None = Field(description="Of the newest secret.")
    secret_given_at: str | None = Field(description="When a secret was given last.")
    earlier_secret_until: str | None = Field(
        description="Of Shopify: until when hooks count that are signed with the client secret before the present one."
    )
    hook_url: str = Field(description="Where the vendor sends orders.")
    app_url: str | None = Field(description="Where Shopify sends an app's own topics: uninstalled, and privacy.")
    settings: dict[str, Any] = Field(description="What was set up at the vendor, and what came of it.")
    created_at: Time


class SeenConnection(Connection):
    """A connection, and when it was heard of."""

    last_event_at: Time | None = Field(
        description="When the last order or refund of this account arrived; null: not in 30 days, or the store is away."
    )


class ConnectionPage(Page[Connection]):
    """A part of the connections."""


class ConnectionQuery(PageQuery):
    """Which connections."""

    vendor: ConnectionVendor | None = None
    status: ConnectionStatus | None = None


routes = router("connections")


@routes.get("/connections", summary="List connections")
async def list_connections(asked: Annotated[ConnectionQuery, Query()], reading: Reads) -> ConnectionPage:
    """List connections, newest first, disconnected ones too."""
    kind = sources.Connection
    query = select(kind).where(kind.organization_id == reading.organization_id)
    if asked.vendor:
        query = query.where(kind.vendor == asked.vendor.value)
    if asked.status:
        query = query.where(kind.status == asked.status.value)
    rows, cursor = await read_page(reading.session, query, (kind.created_at, kind.id), asked)
    vault = _hook_vault(reading.core)
    return ConnectionPage(items=[_told(row, vault, reading.base_url) for (row,) in rows], next_cursor=cursor)


@routes.post("/connections", status_code=201, response_model=Connection, responses=BODY, summary="Connect an account")
async def add_connection(given: NewConnection, writing: Posts) -> Response:
    """Connect an account at a vendor.

    Of Stripe, hooks are taken as soon as there is a secret; a Shopify shop also has to install the app.
    """
    _check_fields(given.vendor, given)
    row = await writing.change.add_connection(
        writing.organization_id, given.vendor, given.account, client_id=given.client_id or ""
    )
    await _keep_secrets(writing, row, given.client_secret or "", given.hook_secrets or [])
    return await writing.answer(_told(row, _hook_vault(writing.core), writing.base_url))


@routes.get("/connections/{connection_id}", responses=MISSING, summary="Get a connection")
async def get_connection(connection_id: str, reading: Reads) -> SeenConnection:
    """Get one connection, and when its last order arrived."""
    row = await find(reading.session, sources.Connection, reading.organization_id, connection_id)
    told = _told(row, _hook_vault(reading.core), reading.base_url)
    return SeenConnection(**dict(told), last_event_at=await _last_event_at(reading, row))


@routes.patch("/connections/{connection_id}", responses=MISSING | BODY, summary="Change a connection")
async def change_connection(connection_id: str, given: ConnectionPatch, writing: Writes) -> Connection:
    """Change a connection's app or secrets; what is not given stays. Its account stays too: orders carry it.

    A disconnected Stripe account is connected again by its secrets, a shop by installing the app.
    """
    row = await find(writing.session, sources.Connection, writing.organization_id, connection_id)
    _check_fields(ConnectionVendor(row.vendor), given)
    if given.client_id:
        row.client_id = given.client_id
    await _keep_secrets(writing, row, given.client_secret, given.hook_secrets)
    if given.is_earlier_secret_ended:
        end_overlap(row, _hook_vault(writing.core))
    return _told(row, _hook_vault(writing.core), writing.base_url)


@routes.delete("/connections/{connection_id}", status_code=204, responses=MISSING, summary="Disconnect an account")
async def disconnect(connection_id: str, writing: Writes) -> None:
    """Refuse a connection's hooks from now on, and forget how we got in there. Orders that arrived stay."""
    row = await find(writing.session, sources.Connection, writing.organization_id, connection_id)
    row.status = ConnectionStatus.disconnected.value
    row.credentials = b""
    if row.vendor == ConnectionVendor.stripe:  # Shopify still sends a shop's redaction, 48 h later, and signs it
        row.hook_secrets = b""


def _check_fields(vendor: ConnectionVendor, given: NewConnection | ConnectionPatch) -> None:
    """Refuse the other vendor's fields, and secrets that were mistaken for signing secrets."""
    shopifys = ("client_id", "client_secret", "is_earlier_secret_ended")
    for field in ("hook_secrets",) if vendor is ConnectionVendor.shopify else shopifys:
        if getattr(given, field, None):
            raise Invalid(f"{field}: a connection to {vendor.value} has none.", field=field)
    for secret in given.hook_secrets or []:
        if not secret.startswith("whsec_"):
            raise Invalid(
                "hook_secrets: an endpoint's signing secret begins with whsec_; never give us an API key.",
                field="hook_secrets",
            )


async def _keep_secrets(
    writing: Writing, row: sources.Connection, client_secret: str, hook_secrets: Sequence[str]
) -> None:
    """Encrypt what was given, and take hooks of Stripe's from now on."""
    core = writing.core
    if not client_secret and not hook_secrets:
        return
    settings = row.settings | {"secret_given_at": rfc3339(writing.change.at_ms)}
    if client_secret:
        vault = CredentialVault(core.settings.master_key)
        row.credentials = vault.encrypt({**_opened(vault, row), "client_secret": client_secret}, row.id)
        before = present_secrets(row, _secrets(row, _hook_vault(core)), writing.change.at_ms)
        earlier = [secret for secret in before if secret != client_secret]
        if earlier and before[0] != client_secret:
            settings[EARLIER_UNTIL] = rfc3339(writing.change.at_ms + OVERLAP_DAYS * _DAY_MS)
        hook_secrets = [client_secret, *earlier][:2]
    await _check_unshared(writing, row, hook_secrets)
    row.hook_secrets = _hook_vault(core).encrypt(list(dict.fromkeys(hook_secrets)), row.id)
    row.settings = settings  # the audit log shows no secrets, but that they changed
    if row.vendor == ConnectionVendor.stripe:
        row.status = ConnectionStatus.active.value
    await writing.session.flush()


async def _check_unshared(writing: Writing, row: sources.Connection, given: Sequence[str]) -> None:
    """Refuse a secret that another organization has: whoever signs for one could sign for the other.

    Only the secrets themselves are compared. Were it client ids, which are no secrets, one could keep another out.
    """
    vault = _hook_vault(writing.core)
    kind = sources.Connection
    # writers take turns, in every process (Catalog.writing): nobody else adds one between this look and the commit
    with writing.session.no_autoflush:
        others = await writing.session.scalars(
            select(kind).where(kind.vendor == row.vendor, kind.organization_id != row.organization_id)
        )
        if any(set(given) & set(_secrets(other, vault)) for other in others):
            raise Conflict("This secret is in use by another organization; each needs an app or endpoint of its own.")


def _opened(vault: CredentialVault, row: sources.Connection) -> dict[str, Any]:
    """Return a connection's credentials; what a lost master key encrypted is lost, and must not stop new ones."""
    try:
        return vault.decrypt(row.credentials, row.id)
    except Undecryptable as error:
        log.error("credentials_lost", extra={"connection_id": row.id, "error": str(error)})
        return {}


def _secrets(row: sources.Connection, vault: HookVault) -> list[str]:
    try:
        return vault.decrypt(row.hook_secrets, row.id)
    except Undecryptable as error:
        log.error("hook_secrets_lost", extra={"connection_id": row.id, "error": str(error)})
        return []


def _hook_vault(core: Core) -> HookVault:
    return HookVault(core.settings.click_id_secrets)


def _told(row: sources.Connection, vault: HookVault, base_url: str) -> Connection:
    secrets = _secrets(row, vault)
    is_shop = row.vendor == ConnectionVendor.shopify
    return Connection(
        id=row.id,
        vendor=ConnectionVendor(row.vendor),
        account=row.account,
        status=ConnectionStatus(row.status),
        client_id=row.client_id or None,
        has_secret=bool(secrets),
        secret_last_four=secrets[0][-_SHOWN:] if secrets else None,
        secret_given_at=row.settings.get("secret_given_at"),
        earlier_secret_until=row.settings.get(EARLIER_UNTIL),
        hook_url=f"{base_url}/v1/hooks/{row.vendor}/{row.id}",
        app_url=f"{base_url}/v1/connections/{row.id}/shopify" if is_shop else None,
        settings={name: value for name, value in row.settings.items() if name not in _TOLD_BESIDE},
        created_at=row.created_at,
    )


async def _last_event_at(reading: Reading, row: sources.Connection) -> int | None:
    if reading.core.store is None:
        return None
    try:
        (found,) = await reading.core.events.read(
            SQL["last_event_of_connection"],
            organization_id=row.organization_id,
            shop=row.account,
            since_ms=now_ms() - SEEN_DAYS * _DAY_MS,
        )
    except StoreError:  # what the catalog knows is told all the same
        return None
    return int(found["received_ms"]) or None
