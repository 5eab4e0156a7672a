"""What we keep of a shop: its connection's row, and the encrypted credentials in it, edited only inside a transaction.

`credentials` holds, as JSON: `client_secret`; `tokens`, an admin.Tokens; `install`, the state that may come back, as
hash and time; `lease`, who refreshes the tokens and until when. Writing transactions take turns (one row's lock on
PostgreSQL, BEGIN IMMEDIATE on SQLite), so a lease taken in one is seen by every process before another can be taken.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from typing import Any

import httpx
from sqlalchemy import select

from stackfluence.api.core import Core
from stackfluence.api.shopify.admin import App, Shop, ShopAway, ShopRefused, TokenRefused, Tokens
from stackfluence.api.shopify.overlap import present_secrets
from stackfluence.api.shopify.signing import State, States
from stackfluence.catalog.sources import Connection
from stackfluence.clock import now_ms
from stackfluence.errors import Conflict, NotFound, VendorFailed
from stackfluence.vault import CredentialVault, HookVault
from stackfluence.vocabulary import ConnectionStatus, ConnectionVendor

EARLY_MS = 300_000  # an access token is renewed 5 minutes before its end, as Shopify advises
LEASE_MS = 30_000  # longer than a call may take (admin.CALL_SECONDS)
PATIENCE_SECONDS = 20.0  # how long another's refresh is waited for
POLL_SECONDS = 0.1
STATE_MS = 600_000  # an owner reads what the app may do before they agree


@dataclass(slots=True)
class Kept:
    """A connection's row inside a transaction, with its credentials in the clear."""

    row: Connection
    credentials: dict[str, Any]

    @property
    def app(self) -> App:
        """The app's id and secret; raises Conflict when one of them was not given."""
        secret = self.credentials.get("client_secret")
        if not self.row.client_id or not secret:
            raise Conflict("The connection has no client id and client secret yet; give both with PATCH.")
        return App(self.row.client_id, secret)

    @property
    def tokens(self) -> Tokens | None:
        """The tokens of the last install or refresh, None without one."""
        found = self.credentials.get("tokens")
        return Tokens(**found) if found else None


class Shops:
    """All organizations' shops: who they are, what we hold of them, and a token to ask them with.

    `address` and `now` are changed by tests alone.
    """

    def __init__(self, core: Core, address: str = "https://{account}", now: Callable[[], int] = now_ms) -> None:
        self.core = core
        self.address = address
        self.now = now
        self._http: httpx.AsyncClient | None = None

    @property
    def states(self) -> States:
        """What signs the state of an install."""
        return States(self.core.settings.master_key)

    async def close(self) -> None:
        """Close the connections to Shopify."""
        if self._http is not None:
            await self._http.aclose()

    def shop(self, account: str) -> Shop:
        """Return a shop's endpoints."""
        if self._http is None:  # in the loop that uses it; redirects are never followed: they would lead elsewhere
            self._http = httpx.AsyncClient(timeout=httpx.Timeout(10.0), follow_redirects=False)
        return Shop(self._http, account, self.address)

    async def find(self, connection_id: str, organization_id: str | None = None) -> Kept:
        """Return a Shopify connection as it is now, of one organization or, with None, of any; raises NotFound."""
        async with self.core.catalog.reading() as session:
            row = await session.get(Connection, connection_id)
        return self._open(row, connection_id, organization_id)

    async def sibling(self, row: Connection, account: str) -> Connection | None:
        """Return the connection of another shop of the same organization in which the same app is, None without one."""
        wanted = select(Connection).where(
            Connection.organization_id == row.organization_id,
            Connection.vendor == row.vendor,
            Connection.client_id == row.client_id,
            Connection.account == account,
        )
        async with self.core.catalog.reading() as session:
            return (await session.scalars(wanted)).one_or_none()

    @asynccontextmanager
    async def editing(self, connection_id: str, actor: str = "system") -> AsyncIterator[Kept]:
        """Open the transaction in which a connection is changed; credentials are encrypted again at its end."""
        async with self.core.catalog.writing(actor) as change:
            row = await change.session.scalar(
                select(Connection).where(Connection.id == connection_id).with_for_update()
            )
            kept = self._open(row, connection_id, None)
            before = dict(kept.credentials)
            yield kept
            if kept.credentials != before:
                kept.row.credentials = self._vault().encrypt(kept.credentials, connection_id)

    def hook_secrets(self, row: Connection) -> list[str]:
        """Return what the app's hooks and queries are signed with, the present secret first; raises Undecryptable."""
        found = HookVault(self.core.settings.click_id_secrets).decrypt(row.hook_secrets, row.id)
        return present_secrets(row, found, self.now())

    async def app_secrets(self, row: Connection) -> list[str]:
        """Return the hook secrets of a connection's app, those it has from the organization's other shops too.

        Shopify sends the privacy topics of all shops of an app to one address, which must verify them even when that
        shop itself was redacted. Raises Undecryptable.
        """
        wanted = select(Connection).where(
            Connection.organization_id == row.organization_id,
            Connection.vendor == row.vendor,
            Connection.client_id == row.client_id,
            Connection.client_id != "",
            Connection.id != row.id,
        )
        async with self.core.catalog.reading() as session:
            others = (await session.scalars(wanted)).all()
        return [secret for each in (row, *others) for secret in self.hook_secrets(each)]

    async def begin_install(self, connection_id: str, actor: str) -> State:
        """Return the state of a new install; one that was begun before can't be finished any more."""
        nonce, expires_at = secrets.token_urlsafe(24), self.now() + STATE_MS
        async with self.editing(connection_id) as kept:
            kept.app  # noqa: B018 — reading it checks it
            kept.credentials = kept.credentials | {"install": {"nonce": _hash(nonce), "expires_at": expires_at}}
            organization_id = kept.row.organization_id
        return State(organization_id, connection_id, actor, nonce, expires_at)

    async def use_state(self, state: State) -> None:
        """Use an install's state up; raises Conflict when that was done before or another install was begun."""
        async with self.editing(state.connection_id) as kept:
            expected = kept.credentials.get("install", {}).get("nonce", "")
            if not secrets.compare_digest(expected, _hash(state.nonce)) or kept.row.organization_id != (
                state.organization_id
            ):
                raise Conflict("This install was finished or replaced by another one; begin it again.")
            kept.credentials = {name: value for name, value in kept.credentials.items() if name != "install"}

    async def keep_tokens(self, connection_id: str, tokens: Tokens, actor: str) -> Connection:
        """Keep the tokens of an install and take the connection's hooks from now on."""
        async with self.editing(connection_id, actor) as kept:
            rest = {name: value for name, value in kept.credentials.items() if name != "lease"}
            kept.credentials = rest | {"tokens": asdict(tokens)}
            kept.row.status = ConnectionStatus.active.value
        return kept.row

    async def access_token(self, connection_id: str, refused: str = "") -> str:
        """Return a token that is valid for some minutes, renewed first where necessary; `refused` is one that isn't.

        Raises Conflict without an install, VendorFailed when Shopify gives no other.
        """
        until = asyncio.get_running_loop().time() + PATIENCE_SECONDS
        while True:
            kept = await self.find(connection_id)
            tokens = _installed(kept)
            if not self._is_due(tokens, refused):
                return tokens.access_token
            ends_at = tokens.refresh_expires_at
            if not tokens.refresh_token or (ends_at is not None and ends_at <= self.now()):
                raise ShopRefused(f"{kept.row.account}'s token can't be renewed; install the app again.")
            holder = await self._take_lease(connection_id, refused)
            if holder:
                return await self._refresh(connection_id, holder)
            if asyncio.get_running_loop().time() > until:
                raise ShopAway(f"{kept.row.account}'s token is being renewed and takes long; try again in a minute.")
            await asyncio.sleep(POLL_SECONDS)

    async def ask(self, connection_id: str, name: str, **variables: Any) -> dict[str, Any]:
        """Ask a shop's Admin API with a token that is renewed once when Shopify refuses it."""
        shop = self.shop((await self.find(connection_id)).row.account)
        token = await self.access_token(connection_id)
        try:
            return await shop.ask(token, name, **variables)
        except TokenRefused:
            kept = await self.find(connection_id)
            tokens = kept.tokens
            if tokens is None or not tokens.refresh_token:
                raise
            return await shop.ask(await self.access_token(connection_id, refused=token), name, **variables)

    def _is_due(self, tokens: Tokens, refused: str) -> bool:
        if tokens.access_token == refused:
            return True
        return tokens.access_expires_at is not None and tokens.access_expires_at - EARLY_MS <= self.now()

    async def _take_lease(self, connection_id: str, refused: str) -> str:
        """Return a lease on the refresh, empty when another process has it or was quicker."""
        async with self.editing(connection_id) as kept:
            lease = kept.credentials.get("lease", {})
            if lease.get("until", 0) > self.now() or not self._is_due(_installed(kept), refused):
                return ""
            holder = secrets.token_hex(8)
            kept.credentials = kept.credentials | {"lease": {"holder": holder, "until": self.now() + LEASE_MS}}
        return holder

    async def _refresh(self, connection_id: str, holder: str) -> str:
        """Renew the tokens; the new pair is stored before anybody uses it, and until then the old one stays."""
        kept = await self.find(connection_id)
        before = _installed(kept)
        fresh: Tokens | None = None
        failed: VendorFailed | None = None
        try:
            fresh = await self.shop(kept.row.account).refresh(kept.app, before.refresh_token, self.now())
        except VendorFailed as error:
            failed = error
        finally:
            async with self.editing(connection_id) as stored:
                is_ours = stored.credentials.get("lease", {}).get("holder") == holder
                if is_ours:
                    stored.credentials = {name: value for name, value in stored.credentials.items() if name != "lease"}
                if is_ours and fresh is not None and stored.tokens == before:
                    stored.credentials = stored.credentials | {"tokens": asdict(fresh)}
        if stored.tokens == before:
            raise failed or ShopAway(f"{kept.row.account}'s token took too long to renew; try again in a minute.")
        return _installed(stored).access_token  # renewed, or newer still: of an install in between

    def _open(self, row: Connection | None, connection_id: str, organization_id: str | None) -> Kept:
        is_there = row is not None and row.vendor == ConnectionVendor.shopify
        if row is None or not is_there or organization_id not in (None, row.organization_id):
            raise NotFound(f"There is no connection {connection_id!r}.")
        credentials = self._vault().decrypt(row.credentials, row.id)
        if "client_secret" not in credentials and row.hook_secrets:  # a shop that was disconnected here
            credentials["client_secret"] = self.hook_secrets(row)[0]
        return Kept(row, credentials)

    def _vault(self) -> CredentialVault:
        return CredentialVault(self.core.settings.master_key)


def _installed(kept: Kept) -> Tokens:
    if kept.tokens is None:
        raise Conflict(
            "The app is not installed in the shop; begin with POST /v1/connections/{connection_id}/shopify/install."
        )
    return kept.tokens


def _hash(nonce: str) -> str:
    return hashlib.sha256(nonce.encode()).hexdigest()
