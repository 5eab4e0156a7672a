"""The intake: `POST /v1/events/…`. On disk before it is answered; what can't be used is kept with its reason.

Refused (4xx, counted, nothing stored): what can't be read, is too large, or comes without a valid key. Everything else
is answered 202 with each event's id and whether it was accepted, is a duplicate as far as this edge remembers, or was
quarantined and why.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import msgspec

from stackfluence.click.request import cors
from stackfluence.collect import payloads
from stackfluence.collect.recording import Recorder, Sender, Told
from stackfluence.collect.unusable import Unusable
from stackfluence.collect.usual import UsualPayload, read_usual
from stackfluence.snapshot import Key
from stackfluence.vocabulary import EventType, KeyKind, QuarantineReason, TrustTier

if TYPE_CHECKING:
    from stackfluence.click.edge import Edge
    from stackfluence.click.request import Request

PREFIX = b"/v1/events/"
MAX_BODY = 256 << 10
MAX_BATCH = 1_000
RECORDED_TYPES = frozenset(t.value for t in EventType if t not in (EventType.click, EventType.payment))
_CONTENT_TYPES = (b"", b"application/json", b"text/plain")
_FOREIGN = Unusable(QuarantineReason.unknown_value, "organization_id is not the key's")
_encode = msgspec.json.Encoder().encode
_RETRY = b"retry-after: 1\r\naccess-control-expose-headers: retry-after\r\n"


class Intake:
    """The intake of one edge process; its recorder has the counters."""

    def __init__(self, edge: Edge) -> None:
        self.edge = edge
        self.recorder = Recorder(edge)
        edge.routes.append((frozenset((b"POST",)), PREFIX, self.post))
        edge.routes.append((frozenset((b"OPTIONS",)), PREFIX, self.preflight))

    def post(self, request: Request) -> None:
        """Answer one event or a batch."""
        asked = request.asked
        if asked is None:
            asked = request.asked = self._ask(request)
            if asked is None:
                return
        body, is_batch = request.body, asked.is_batch
        if not is_batch and len(body) > MAX_BODY:
            self._refuse(request, 413, "too-large", f"An event may have at most {MAX_BODY} bytes.")
            return
        usual = read_usual(body, is_batch)
        if usual is not None and len(usual.payloads) <= MAX_BATCH:
            key = self._authorize(request, asked, usual.key, usual.organization_id)
            if key is None:
                return
            told = [
                _told_usual(key, asked.name or payload.type, payload, document)
                for payload, document in zip(usual.payloads, usual.documents, strict=True)
            ]
        else:
            documents, envelope = self._read(request, is_batch)
            if documents is None:
                return
            key = self._authorize(request, asked, str(envelope.get("key") or ""), envelope.get("organization_id"))
            if key is None:
                return
            told = [_told(key, asked.name or _type_of(document), document) for document in documents]
        answer = _Answer(self.recorder, request, asked, len(told))
        for event in told:
            self.recorder.record(request, asked.sender, event, answer)
        if not told:
            answer.send()

    def preflight(self, request: Request) -> None:
        """Answer a browser's OPTIONS; which origins may write is judged with the key, at the POST."""
        origin = request.fields.get(b"origin", b"*")
        request.answer(
            b"HTTP/1.1 204 No Content\r\ndate: %b\r\naccess-control-allow-origin: %b\r\nvary: origin\r\n"
            b"access-control-allow-methods: POST\r\naccess-control-allow-headers: authorization, content-type\r\n"
            b"access-control-max-age: 86400\r\n\r\n" % (self.edge.date, origin)
        )

    def _ask(self, request: Request) -> _Asked | None:
        """Return what a request's head says, or refuse it and return None."""
        name = request.target[len(PREFIX) :].partition(b"?")[0].rstrip(b"/").decode("latin-1")
        if name != "batch" and name not in RECORDED_TYPES:
            known = ", ".join(sorted(RECORDED_TYPES))
            self._refuse(request, 404, "unknown-event-type", f"An event is one of {known}, or batch.")
        elif request.fields.get(b"content-type", b"").partition(b";")[0].strip().lower() not in _CONTENT_TYPES:
            self._refuse(
                request, 415, "unsupported-media-type", "Send application/json, or text/plain from sendBeacon."
            )
        elif b"content-encoding" in request.fields:
            self._refuse(request, 415, "unsupported-media-type", "Send the body without a content encoding.")
        else:
            return _Asked(request, name)
        return None

    def _read(self, request: Request, is_batch: bool) -> tuple[list[object] | None, dict[str, Any]]:
        """Return the events' documents and the envelope that may carry a key, or answer and return None."""
        try:
            document = msgspec.json.decode(request.body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            self._refuse(request, 400, "malformed-json", f"The body is no JSON: {error}")
            return None, {}
        if not is_batch:
            if isinstance(document, dict):
                return [document], document
            self._refuse(request, 400, "malformed-json", "An event is a JSON object.")
            return None, {}
        envelope = document if isinstance(document, dict) else {}
        events = envelope.get("events") if envelope else document
        if not isinstance(events, list):
            self._refuse(request, 400, "malformed-json", 'A batch is a list of events, or {"events": […]}.')
            return None, {}
        if len(events) > MAX_BATCH:
            self._refuse(request, 413, "too-large", f"A batch may have at most {MAX_BATCH} events.")
            return None, {}
        if not envelope and events and isinstance(events[0], dict):
            envelope = events[0]
        return events, envelope

    def _authorize(self, request: Request, asked: _Asked, text: str, named: object) -> Key | None:
        """Return the sender's key: of the Authorization header, else the body's `text`, else its `organization_id`."""
        keys = self.edge.snapshot.keys
        if asked.digest:
            key = keys.get(asked.digest)
            if key is not None and key is asked.key and (not named or named == key.organization_id):
                return key
        elif text and not asked.is_bearer:
            key = keys.get(hashlib.sha256(text.encode()).digest())
        else:
            key = keys.get(named.encode()) if isinstance(named, str) else None
        if key is None or key.revoked or (key.kind == KeyKind.secret and not asked.is_bearer):
            self._refuse(request, 401, "unauthorized", "Send a key of the organization: Authorization: Bearer sf_….")
            return None
        if named and named != key.organization_id:
            detail = "The key belongs to another organization than the event names."
            self._refuse(request, 403, "forbidden", detail, key.organization_id)
            return None
        if key.kind == KeyKind.publishable and key.allowed_origins and asked.origin not in key.allowed_origins:
            detail = "This origin may not send events with this key."
            self._refuse(request, 403, "forbidden", detail, key.organization_id)
            return None
        asked.learn(key)
        return key

    def _refuse(self, request: Request, status: int, kind: str, detail: str, organization_id: str = "") -> None:
        challenge = b"www-authenticate: Bearer\r\n" if status == 401 else b""
        self.recorder.refuse(request, status, kind, detail, challenge + cors(request), organization_id)


class _Asked:
    """What the head of a request asks for, and as whom: the same for all requests with the same head.

    `key` and `sender` are those of the last request that was authorized.
    """

    __slots__ = ("cors", "digest", "is_batch", "is_bearer", "is_opted_out", "key", "name", "origin", "sender")

    def __init__(self, request: Request, name: str) -> None:
        scheme, _, secret = request.fields.get(b"authorization", b"").partition(b" ")
        secret = secret.strip()
        self.is_batch = name == "batch"
        self.name = "" if self.is_batch else name
        self.is_bearer = scheme.lower() == b"bearer"
        self.digest = hashlib.sha256(secret).digest() if self.is_bearer and secret else b""
        self.origin = request.fields.get(b"origin", b"").decode("latin-1").lower()
        self.is_opted_out = request.fields.get(b"sec-gpc") == b"1"
        self.cors = cors(request)
        self.key: Key | None = None
        self.sender = Sender("", "")

    def learn(self, key: Key) -> None:
        """Send as the owner of a key."""
        if key is not self.key:
            is_browser = key.kind == KeyKind.publishable
            tier = TrustTier.browser if is_browser else TrustTier.server
            # a server's own headers say nothing about a visitor
            self.sender = Sender(key.organization_id, tier.value, is_browser, is_browser and self.is_opted_out)
            self.key = key


class _Answer:
    """The answer to one request, sent when each of its events is on disk, or 503 when one isn't."""

    __slots__ = ("_asked", "_events", "_has_failed", "_recorder", "_request", "_waiting")

    def __init__(self, recorder: Recorder, request: Request, asked: _Asked, waiting: int) -> None:
        self._recorder = recorder
        self._request = request
        self._asked = asked
        self._waiting = waiting
        self._events: list[dict[str, str]] = []
        self._has_failed = False

    def add(self, event_id: str, status: str, reason: str, detail: str) -> int:
        """Take up an event and return its place."""
        event = {"event_id": event_id, "status": status}
        if reason:
            event |= {"reason": reason, "detail": detail}
        self._events.append(event)
        return len(self._events) - 1

    def settle(self, place: int, is_recorded: bool) -> None:
        """An event is on disk, or not."""
        if not is_recorded:
            self._has_failed = True
        self._recorder.settle(self._events[place], is_recorded)
        self._waiting -= 1
        if not self._waiting:
            self.send()

    def send(self) -> None:
        """Answer."""
        request = self._request
        if self._has_failed:
            detail = "The event could not be put on disk in time; send it again with the same idempotency_key."
            request.refuse(503, "unavailable", detail, _RETRY + self._asked.cors)
            return
        body = _encode({"events": self._events} if self._asked.is_batch else self._events[0])
        request.answer(
            b"HTTP/1.1 202 Accepted\r\ndate: %b\r\ncontent-type: application/json\r\ncache-control: no-store\r\n%b"
            b"content-length: %d\r\n\r\n%b" % (self._recorder.edge.date, self._asked.cors, len(body), body)
        )


def _told_usual(key: Key, name: str, payload: UsualPayload, document: object) -> Told:
    """Return what an event says, or why it can't be used, as `_told`."""
    said: payloads.Payload | Unusable = payload
    if name not in RECORDED_TYPES:
        name, said = "", payloads.NO_TYPE
    elif payload.organization_id and payload.organization_id != key.organization_id:
        said = _FOREIGN
    return Told(name, str(payload.idempotency_key), said, document)


def _told(key: Key, name: str, document: object) -> Told:
    """Return what an event says, or why it can't be used."""
    said: payloads.Payload | Unusable
    if name not in RECORDED_TYPES:
        name, said = "", payloads.NO_TYPE
    else:
        try:
            said = payloads.read_payload(document)
            if said.organization_id not in ("", key.organization_id):
                said = _FOREIGN
        except Unusable as problem:
            said = problem
        except RecursionError:
            said = payloads.TOO_DEEP
    return Told(name, payloads.idempotency_key(document), said, document)


def _type_of(document: object) -> str:
    named = document.get("type") if isinstance(document, dict) else None
    return named if isinstance(named, str) else ""
