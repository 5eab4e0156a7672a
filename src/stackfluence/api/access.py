"""Who asks: a secret key, looked up before anything else is read; and the one transaction in which each request works.

The organization always comes from the key. `Reading` and `Writing` are what routes depend on: the transaction is opened
before the route runs and committed when it returned, before the answer is sent.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Annotated

from fastapi import Depends, Header, Request, Response
from fastapi.security import HTTPBearer
from pydantic import BaseModel
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from stackfluence.api import problems
from stackfluence.api.core import Core
from stackfluence.api.rates import Rates
from stackfluence.catalog import Change, find_key
from stackfluence.catalog.tables import Key
from stackfluence.errors import Forbidden, TooLarge, TooManyRequests, Unauthorized
from stackfluence.vocabulary import KeyKind

MAX_BODY = 1 << 20
MAX_UPLOAD = 16 << 20  # 10,000 lines of 1.6 kB
UPLOADS = frozenset({"/v1/links/bulk", "/v1/links/import", "/v1/codes/bulk", "/v1/codes/import"})
# Here a signature says who asks, and the route looks at it: Shopify's hooks for the core, and the owner it sends back.
SIGNED = re.compile(
    r"POST /v1/connections/[^/]+/shopify|GET /v1/connections/[^/]+/shopify/open|GET /v1/shopify/callback"
)
_HOST = re.compile(r"[\w.-]+(:\d{1,5})?|\[[\da-f:.]+\](:\d{1,5})?", re.ASCII | re.IGNORECASE)

# only tells the OpenAPI document about it: `Gate` has looked at the key already
_bearer = HTTPBearer(auto_error=False, scheme_name="secret_key", description="A secret key, `sf_sec_…`.")


@dataclass(frozen=True, slots=True)
class Access:
    """An organization, and the secret key that acts for it."""

    organization_id: str
    key_id: str

    @property
    def actor(self) -> str:
        """How the audit log names who did it."""
        return f"key:{self.key_id}"


@dataclass(frozen=True, slots=True)
class Reading:
    """A request that reads: one snapshot of the catalog. `base_url` is where links without a host of their own are."""

    core: Core
    organization_id: str
    session: AsyncSession
    base_url: str


@dataclass(frozen=True, slots=True)
class Writing:
    """A request that writes: one transaction, and, when its sender gave an Idempotency-Key, what keeps the answer."""

    core: Core
    organization_id: str
    session: AsyncSession
    base_url: str
    change: Change
    access: Access
    idempotency_key: str = ""
    request_hash: str = ""

    async def answer(self, told: BaseModel, status: int = 201, *, remembered: BaseModel | None = None) -> Response:
        """Return the answer, kept for repetitions of the request; `remembered` is what to keep of one with a secret."""
        body = told.model_dump_json().encode()
        if self.idempotency_key:
            kept = body if remembered is None else remembered.model_dump_json().encode()
            await self.change.remember_answer(
                self.organization_id, self.idempotency_key, self.request_hash, status, kept
            )
        return Response(body, status, media_type="application/json")


class Repeated(Exception):
    """The request was answered before."""

    def __init__(self, status: int, body: bytes) -> None:
        super().__init__(status)
        self.status = status
        self.body = body


async def on_repeated(_request: Request, error: Exception) -> Response:
    """Give the earlier answer again."""
    assert isinstance(error, Repeated)
    return Response(error.body, error.status, {"Idempotent-Replay": "true"}, "application/json")


class Gate:
    """Lets requests to /v1 in that bring a secret key, are not too many and have a body that is not too long."""

    def __init__(self, app: ASGIApp, core: Core, rates: Rates) -> None:
        self._app = app
        self._core = core
        self._rates = rates

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 401, 403, 413 or 429 before the body is read, and 500 or 503 for what nobody else answered."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        has_answered = False
        limits: dict[str, str] = {}  # headers of every answer to a known key

        async def watch(message: Message) -> None:
            nonlocal has_answered
            has_answered = True
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(limits)
            await send(message)

        try:
            await self._app(scope, await self._let_in(scope, receive, limits), watch)
        except Exception as error:
            if has_answered:
                raise
            await problems.answer(problems.translate(error), limits)(scope, receive, send)

    async def _let_in(self, scope: Scope, receive: Receive, limits: dict[str, str]) -> Receive:
        headers = Headers(scope=scope)
        if not scope["path"].startswith("/v1/"):
            return receive
        if not SIGNED.fullmatch(f"{scope['method']} {scope['path']}"):
            await self._count(scope, headers, limits)
        most = MAX_UPLOAD if scope["path"] in UPLOADS else MAX_BODY
        length = headers.get("content-length", "0")
        if length.isdigit() and int(length) > most:
            raise TooLarge(f"The body may have at most {most} bytes.")
        left = most

        async def bounded() -> Message:
            nonlocal left
            message = await receive()
            left -= len(message.get("body", b""))
            if left < 0:
                raise HTTPException(413, f"The body may have at most {most} bytes.")
            return message

        return bounded

    async def _count(self, scope: Scope, headers: Headers, limits: dict[str, str]) -> None:
        """Look the key up and count its request."""
        access = await _authenticate(self._core, headers.get("authorization", ""))
        scope.setdefault("state", {})["access"] = access
        limits.update(await self._rates.count(access.key_id))
        if "Retry-After" in limits:
            raise TooManyRequests(f"A key may make {self._rates.most} requests a minute.")


async def _authenticate(core: Core, authorization: str) -> Access:
    scheme, _, text = authorization.partition(" ")
    if scheme.lower() != "bearer" or not text.strip():
        raise Unauthorized("Send `Authorization: Bearer sf_sec_…`.")
    async with core.catalog.reading() as session:
        key = await find_key(session, text.strip())
    if key is None:
        raise Unauthorized("This key is unknown or revoked.")
    if key.kind != KeyKind.secret:
        raise Forbidden("A publishable key can only send events; this needs a secret one.")
    return Access(key.organization_id, key.id)


def base_url(request: Request) -> str:
    """Return the address of links on the shared host: the setting's, else the one this request came to."""
    core: Core = request.app.state.core
    if core.settings.base_url:
        return core.settings.base_url.rstrip("/")
    host = request.headers.get("host", "")
    return f"{request.scope['scheme']}://{host if _HOST.fullmatch(host) else 'localhost'}"


def _access(request: Request, _key: Annotated[object, Depends(_bearer)]) -> Access:
    access: Access = request.state.access
    return access


Accessed = Annotated[Access, Depends(_access)]


async def _reading(request: Request, access: Accessed) -> AsyncIterator[Reading]:
    core: Core = request.app.state.core
    async with core.catalog.reading() as session:
        yield Reading(core, access.organization_id, session, base_url(request))


async def _writing(request: Request, access: Accessed) -> AsyncIterator[Writing]:
    core: Core = request.app.state.core
    async with core.catalog.writing(access.actor) as change:
        await recheck(change, access)
        yield Writing(core, access.organization_id, change.session, base_url(request), change, access)


async def recheck(change: Change, access: Access) -> None:
    """Raise Unauthorized when the key was revoked while the request waited for its turn to write."""
    key = await change.session.get(Key, access.key_id)
    if key is None or key.revoked_at is not None:
        raise Unauthorized("This key was revoked.")


IdempotencyKeyHeader = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        description="Chosen by the sender, 1 to 255 visible ASCII characters; the same request with it is done once.",
        min_length=1,
        max_length=255,
        pattern=r"^[\x21-\x7e]+$",
    ),
]


async def hash_request(request: Request) -> str:
    """Return the SHA-256 of what makes a request the same one: method, path, query and body, byte for byte."""
    digest = hashlib.sha256(f"{request.method} {request.scope['path']}\n".encode())
    digest.update(request.scope["query_string"] + b"\n")
    digest.update(await request.body())
    return digest.hexdigest()


async def _posting(
    request: Request,
    writing: Annotated[Writing, Depends(_writing, scope="function")],
    idempotency_key: IdempotencyKeyHeader = None,
) -> Writing:
    if idempotency_key is None:
        return writing
    request_hash = await hash_request(request)
    await repeat(writing.change, writing.organization_id, idempotency_key, request_hash)
    return replace(writing, idempotency_key=idempotency_key, request_hash=request_hash)


async def repeat(change: Change, organization_id: str, idempotency_key: str, request_hash: str) -> None:
    """Raise Repeated when the request was answered before, Conflict when the key was another request's."""
    earlier = await change.earlier_answer(organization_id, idempotency_key, request_hash)
    if earlier:
        raise Repeated(earlier.status, earlier.body)


Reads = Annotated[Reading, Depends(_reading, scope="function")]
Writes = Annotated[Writing, Depends(_writing, scope="function")]
Posts = Annotated[Writing, Depends(_posting, scope="function")]
