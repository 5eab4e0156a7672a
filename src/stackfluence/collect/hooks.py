"""The vendors' hooks: `POST /v1/hooks/{vendor}/{connection}`. Signature first, then the disk, then the answer.

A vendor repeats a hook until it is answered 2xx, for hours, so a status says whether repeating helps: what can't be
used is kept with its reason and answered 200, a disk that can't be reached is 503. docs/http.md has all of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec

from stackfluence.clock import now_ms
from stackfluence.collect import documents, shopify, stripe_checkout
from stackfluence.collect.recording import Recorder, Sender, Told
from stackfluence.collect.unusable import Unusable
from stackfluence.errors import Undecryptable
from stackfluence.snapshot import Connection
from stackfluence.vault import HookVault
from stackfluence.vocabulary import (
    ConnectionStatus,
    ConnectionVendor,
    HookStatus,
    QuarantineReason,
    TrustTier,
)

if TYPE_CHECKING:
    from stackfluence.click.request import Request

PREFIX = b"/v1/hooks/"
MAX_BODY = 1 << 20  # more is signed by the vendor and so kept as quarantined: refused, it would be sent for days
_RETRY = b"retry-after: 5\r\n"


class Hooks:
    """The hooks of one edge process. Each connection's secrets are decrypted once for each of its revisions."""

    def __init__(self, recorder: Recorder, vault: HookVault) -> None:
        self._recorder = recorder
        self._vault = vault
        self._opened: dict[str, tuple[bytes, list[str]]] = {}
        recorder.edge.routes.append((frozenset((b"POST",)), PREFIX, self.post))

    def post(self, request: Request) -> None:
        """Answer one hook."""
        vendor, _, name = request.target[len(PREFIX) :].partition(b"?")[0].decode("latin-1").rstrip("/").partition("/")
        connection = self._recorder.edge.snapshot.connections.get(name)
        if connection is None or connection.vendor != vendor:
            self._refuse(request, 404, "not-found", "There is no such connection.")
        elif connection.status == ConnectionStatus.disconnected:
            self._refuse(request, 410, "disconnected", "This connection has been ended; send no more.", connection)
        elif b"content-encoding" in request.fields:
            self._refuse(
                request, 415, "unsupported-media-type", "Send the body without a content encoding.", connection
            )
        else:
            try:
                secrets = self._secrets(connection)
            except Undecryptable:
                detail = "The secret of this connection can't be opened here; send the hook again."
                self._refuse(request, 503, "unavailable", detail, connection, _RETRY)
                return
            if vendor == ConnectionVendor.shopify:
                self._shopify(request, connection, secrets)
            else:
                self._stripe(request, connection, secrets)

    def _shopify(self, request: Request, connection: Connection, secrets: list[str]) -> None:
        fields = request.fields
        if not shopify.is_signed(request.body, fields.get(b"x-shopify-hmac-sha256", b""), secrets):
            self._refuse(
                request, 401, "bad-signature", "X-Shopify-Hmac-Sha256 is none of this connection's.", connection
            )
            return
        if fields.get(b"x-shopify-shop-domain", b"").decode("latin-1").lower() != connection.account:
            self._refuse(request, 403, "wrong-account", "The hook is of another shop than the connection.", connection)
            return
        topic = fields.get(b"x-shopify-topic", b"").decode("latin-1")
        event_type = shopify.TYPES.get(topic)
        if event_type is None:
            self._ignore(request)
            return
        try:
            document = _read(request)
        except Unusable as problem:
            self._record(request, connection, [Told(event_type, "", problem, {})])
            return
        # the headers are not signed, so what they say must be what the body says
        if shopify.shop_of(document) not in ("", connection.account):
            self._refuse(request, 403, "wrong-account", "The order is another shop's than the connection.", connection)
            return
        self._record(request, connection, shopify.told(topic, document, connection.account))

    def _stripe(self, request: Request, connection: Connection, secrets: list[str]) -> None:
        header = request.fields.get(b"stripe-signature", b"")
        try:
            stripe_checkout.check_signature(request.body, header, secrets, now_ms() // 1000)
        except stripe_checkout.Unsigned as problem:
            self._refuse(request, 401, "bad-signature", str(problem), connection)
            return
        try:
            document = _read(request)
        except Unusable as problem:
            self._record(request, connection, [Told(None, "", problem, {})])
            return
        account = documents.inside(document, "account")
        if isinstance(account, str) and connection.account.startswith("acct_") and account != connection.account:
            self._refuse(
                request, 403, "wrong-account", "The hook is of another account than the connection.", connection
            )
            return
        told = stripe_checkout.told(document, connection.account)
        self._record(request, connection, [] if told is None else [told])

    def _record(self, request: Request, connection: Connection, told: Sequence[Told]) -> None:
        if not told:
            self._ignore(request)
            return
        # ids are the vendor's: they mean one thing in its account, also through a connection that is made anew
        namespace = f"{connection.vendor}\0{connection.account}"
        sender = Sender(connection.organization_id, TrustTier.connector.value, namespace=namespace)
        answer = _HookAnswer(self._recorder, request, len(told))
        for each in told:
            self._recorder.record(request, sender, each, answer)

    def _secrets(self, connection: Connection) -> list[str]:
        opened = self._opened.get(connection.id)
        if opened is None or opened[0] != connection.hook_secrets:
            secrets = self._vault.decrypt(connection.hook_secrets, connection.id)
            opened = self._opened[connection.id] = (connection.hook_secrets, secrets)
        return opened[1]

    def _ignore(self, request: Request) -> None:
        self._recorder.counts[HookStatus.ignored.value] += 1
        _answer(self._recorder, request, {"status": HookStatus.ignored.value})

    def _refuse(
        self,
        request: Request,
        status: int,
        kind: str,
        detail: str,
        connection: Connection | None = None,
        headers: bytes = b"",
    ) -> None:
        organization_id = "" if connection is None else connection.organization_id
        self._recorder.refuse(request, status, kind, detail, headers, organization_id)


class _HookAnswer:
    """The answer to one hook, sent when its events are on disk, or 503 when one isn't."""

    def __init__(self, recorder: Recorder, request: Request, events: int) -> None:
        self._recorder = recorder
        self._request = request
        self._waiting = events
        self._events: list[dict[str, str]] = []
        self._has_failed = False

    def add(self, event_id: str, status: str, reason: str, detail: str) -> int:
        """Take up an event and return its place."""
        event = {"event_id": event_id, "status": HookStatus(status).value}
        if reason:
            event |= {"reason": reason, "detail": detail}
        self._events.append(event)
        return len(self._events) - 1

    def settle(self, place: int, is_recorded: bool) -> None:
        """An event is on disk, or not: then the vendor sends all again."""
        self._recorder.settle(self._events[place], is_recorded)
        self._has_failed = self._has_failed or not is_recorded
        self._waiting -= 1
        if self._waiting:
            return
        if self._has_failed:
            self._request.refuse(503, "unavailable", "The event could not be put on disk in time.", _RETRY)
            return
        several = {"events": self._events}
        _answer(self._recorder, self._request, several if len(self._events) > 1 else self._events[0])


def _read(request: Request) -> documents.Document:
    """Return the body's object; raises Unusable for one that is too large to be an order, or no object."""
    if len(request.body) > MAX_BODY:
        raise Unusable(QuarantineReason.text_too_long, f"the body has more than {MAX_BODY} bytes")
    return documents.read_document(bytes(request.body))


def _answer(recorder: Recorder, request: Request, document: Mapping[str, object]) -> None:
    body = msgspec.json.encode(document)
    request.answer(
        b"HTTP/1.1 200 OK\r\ndate: %b\r\ncontent-type: application/json\r\ncache-control: no-store\r\n"
        b"content-length: %d\r\n\r\n%b" % (recorder.edge.date, len(body), body)
    )
