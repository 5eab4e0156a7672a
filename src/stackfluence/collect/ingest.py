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
from stackfluence.snapshot import Key
from stackfluence.vocabulary import EventType, IntakeStatus, KeyKind, QuarantineReason, TrustTier

if TYPE_CHECKING:
    from stackfluence.click.edge import Edge
    from stackfluence.click.request import Request

PREFIX = b"/v1/events/"
MAX_BODY = 256 << 10
MAX_BATCH = 1_000
RECORDED_TYPES = {t.value.encode(): t for t in EventType if t not in (EventType.click, EventType.payment)}
_CONTENT_TYPES = (b"", b"application/json", b"text/plain")
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
        name = request.target[len(PREFIX) :].partition(b"?")[0].rstrip(b"/")
        is_batch = name == b"batch"
        if not is_batch and name not in RECORDED_TYPES:
            known = ", ".join(sorted(t.value for t in RECORDED_TYPES.values()))
            self._refuse(request, 404, "unknown-event-type", f"An event is one of {known}, or batch.")
            return
        if request.fields.get(b"content-type", b"").partition(b";")[0].strip().lower() not in _CONTENT_TYPES:
            self._refuse(
                request, 415, "unsupported-media-type", "Send application/json, or text/plain from sendBeacon."
            )
            return
        if b"content-encoding" in request.fields:
            self._refuse(request, 415, "unsupported-media-type", "Send the body without a content encoding.")
            return
        if not is_batch and len(request.body) > MAX_BODY:
            self._refuse(request, 413, "too-large", f"An event may have at most {MAX_BODY} bytes.")
            return
        documents, envelope = self._read(request, is_batch)
        if documents is None:
            return
        key = self._authorize(request, envelope)
        if key is None:
            return
        is_browser = key.kind == KeyKind.publishable
        tier = TrustTier.browser if is_browser else TrustTier.server
        # a server's own headers say nothing about a visitor
        sender = Sender(request, key.organization_id, tier, is_browser and request.fields.get(b"sec-gpc") == b"1")
        answer = _Answer(self.recorder, request, is_batch, len(documents))
        for document in documents:
            event_type = RECORDED_TYPES.get(_type_of(document) if is_batch else name)
            self.recorder.record(sender, _told(key, event_type, document), answer)
        if not documents:
            answer.send()

    def preflight(self, request: Request) -> None:
        """Answer a browser's OPTIONS; which origins may write is judged with the key, at the POST."""
        origin = request.fields.get(b"origin", b"*")
        request.answer(
            b"HTTP/1.1 204 No Content\r\ndate: %b\r\naccess-control-allow-origin: %b\r\nvary: origin\r\n"
            b"access-control-allow-methods: POST\r\naccess-control-allow-headers: authorization, content-type\r\n"
            b"access-control-max-age: 86400\r\n\r\n" % (self.edge.date, origin)
        )

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

    def _authorize(self, request: Request, envelope: dict[str, Any]) -> Key | None:
        """Return the sender's key: of the Authorization header, the body's `key`, or its `organization_id`."""
        scheme, _, secret = request.fields.get(b"authorization", b"").partition(b" ")
        named = envelope.get("organization_id")
        text = secret.strip() if scheme.lower() == b"bearer" else str(envelope.get("key") or "").encode()
        if text:
            key = self.edge.snapshot.keys.get(hashlib.sha256(text).digest())
        else:
            key = self.edge.snapshot.keys.get(named.encode()) if isinstance(named, str) else None
        is_in_header = scheme.lower() == b"bearer"
        if key is None or key.revoked or (key.kind == KeyKind.secret and not is_in_header):
            self._refuse(request, 401, "unauthorized", "Send a key of the organization: Authorization: Bearer sf_….")
            return None
        if named and named != key.organization_id:
            detail = "The key belongs to another organization than the event names."
            self._refuse(request, 403, "forbidden", detail, key.organization_id)
            return None
        if key.kind == KeyKind.publishable and key.allowed_origins:
            origin = request.fields.get(b"origin", b"").decode("latin-1").lower()
            if origin not in key.allowed_origins:
                detail = "This origin may not send events with this key."
                self._refuse(request, 403, "forbidden", detail, key.organization_id)
                return None
        return key

    def _refuse(self, request: Request, status: int, kind: str, detail: str, organization_id: str = "") -> None:
        challenge = b"www-authenticate: Bearer\r\n" if status == 401 else b""
        self.recorder.refuse(request, status, kind, detail, challenge + cors(request), organization_id)


class _Answer:
    """The answer to one request, sent when each of its events is on disk, or 503 when one isn't."""

    def __init__(self, recorder: Recorder, request: Request, is_batch: bool, waiting: int) -> None:
        self._recorder = recorder
        self._request = request
        self._is_batch = is_batch
        self._waiting = waiting
        self._events: list[dict[str, str]] = []
        self._has_failed = False

    def add(self, event_id: str, status: IntakeStatus, reason: str, detail: str) -> int:
        """Take up an event and return its place."""
        event = {"event_id": event_id, "status": status.value}
        if reason:
            event |= {"reason": reason, "detail": detail}
        self._events.append(event)
        return len(self._events) - 1

    def settle(self, place: int, is_recorded: bool) -> None:
        """An event is on disk, or not."""
        self._has_failed = self._has_failed or not is_recorded
        event = self._events[place]
        self._recorder.settle(event, is_recorded)
        self._waiting -= 1
        if not self._waiting:
            self.send()

    def send(self) -> None:
        """Answer."""
        request = self._request
        if self._has_failed:
            detail = "The event could not be put on disk in time; send it again with the same idempotency_key."
            request.refuse(503, "unavailable", detail, _RETRY + cors(request))
            return
        body = msgspec.json.encode({"events": self._events} if self._is_batch else self._events[0])
        request.answer(
            b"HTTP/1.1 202 Accepted\r\ndate: %b\r\ncontent-type: application/json\r\ncache-control: no-store\r\n%b"
            b"content-length: %d\r\n\r\n%b" % (self._recorder.edge.date, cors(request), len(body), body)
        )


def _told(key: Key, event_type: EventType | None, document: object) -> Told:
    """Return what an event says, or why it can't be used."""
    payload: payloads.Payload | Unusable
    try:
        if event_type is None:
            raise Unusable(QuarantineReason.unknown_value, "type")
        payload = payloads.read_payload(document)
        if payload.organization_id not in ("", key.organization_id):
            raise Unusable(QuarantineReason.unknown_value, "organization_id is not the key's")
    except Unusable as problem:
        payload = problem
    except RecursionError:
        payload = payloads.TOO_DEEP
    return Told(event_type, payloads.idempotency_key(document), payload, document)


def _type_of(document: object) -> bytes:
    named = document.get("type") if isinstance(document, dict) else None
    return named.encode("utf-8", "replace") if isinstance(named, str) else b""
