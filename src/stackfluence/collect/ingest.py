"""The intake: `POST /v1/events/…`. On disk before it is answered; what can't be used is kept with its reason.

Refused (4xx, counted, nothing stored): what can't be read, is too large, or comes without a valid key. Everything else
is answered 202 with each event's id and whether it was accepted, is a duplicate as far as this edge remembers, or was
quarantined and why.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import TYPE_CHECKING, Any

import msgspec

from stackfluence.click.request import cors
from stackfluence.click.visitor import ip_prefix, visitor_hashes
from stackfluence.clock import rfc3339, uuid7, uuid_text
from stackfluence.collect import payloads
from stackfluence.collect.payloads import Payload, Unusable
from stackfluence.events.event import Expiring, Kept, Leaf, commitment, encode_leaf, encode_personal, fresh_salt
from stackfluence.snapshot import Key
from stackfluence.vocabulary import (
    ClickIdStatus,
    Consent,
    EventType,
    IntakeStatus,
    KeyKind,
    QuarantineReason,
    TrustTier,
)

if TYPE_CHECKING:
    from stackfluence.click.edge import Edge
    from stackfluence.click.request import Request

PREFIX = b"/v1/events/"
MAX_BODY = 256 << 10
MAX_BATCH = 1_000
MAX_RAW = 16 << 10
REMEMBERED = 100_000  # event ids whose repetition is answered `duplicate`
RECORDED_TYPES = {t.value.encode(): t for t in EventType if t is not EventType.click}
_NOTHING_KEPT, _NOTHING_EXPIRING = Kept(salt=""), Expiring(salt="")
_CONTENT_TYPES = (b"", b"application/json", b"text/plain")
_RETRY = b"retry-after: 1\r\naccess-control-expose-headers: retry-after\r\n"


class Intake:
    """The intake of one edge process: its counters and the event ids it remembers."""

    def __init__(self, edge: Edge) -> None:
        self.edge = edge
        self.counts: Counter[str] = Counter()  # events by IntakeStatus or `unavailable`, and requests `refused`
        self._seen: dict[str, None] = {}
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
        answer = _Answer(self, request, is_batch, len(documents))
        for document in documents:
            event_type = RECORDED_TYPES.get(_type_of(document) if is_batch else name)
            self._record(request, key, event_type, document, answer)
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
            self._refuse(request, 403, "forbidden", "The key belongs to another organization than the event names.")
            return None
        if key.kind == KeyKind.publishable and key.allowed_origins:
            origin = request.fields.get(b"origin", b"").decode("latin-1").lower()
            if origin not in key.allowed_origins:
                self._refuse(request, 403, "forbidden", "This origin may not send events with this key.")
                return None
        return key

    def _record(
        self, request: Request, key: Key, event_type: EventType | None, document: object, answer: _Answer
    ) -> None:
        """Put one event on disk; `answer` hears of it."""
        received_ms = self.edge.journal.stamp()
        is_browser = key.kind == KeyKind.publishable
        tier = TrustTier.browser if is_browser else TrustTier.server
        kept, expiring = Kept(salt=""), Expiring(salt="")
        type_name = "" if event_type is None else event_type.value
        idempotency_key = payloads.idempotency_key(document)
        event_id = (
            uuid_text(payloads.keyed_event_id(key.organization_id, type_name, idempotency_key))
            if idempotency_key
            else uuid7(received_ms)[1]
        )
        at = rfc3339(received_ms)
        leaf = Leaf(event_id=event_id, event_type=type_name, occurred_at=at, received_at=at, trust_tier=tier)
        status = IntakeStatus.accepted
        try:
            if event_type is None:
                raise Unusable(QuarantineReason.unknown_value, "type")
            payload = payloads.read_payload(document)
            if payload.organization_id not in ("", key.organization_id):
                raise Unusable(QuarantineReason.unknown_value, "organization_id is not the key's")
            self._describe(request, key, event_type, payload, leaf, kept, expiring, received_ms)
        except (Unusable, RecursionError) as error:
            problem = error if isinstance(error, Unusable) else payloads.TOO_DEEP
            status = IntakeStatus.quarantined
            leaf = Leaf(
                event_id=event_id,
                event_type=type_name,
                occurred_at=at,
                received_at=at,
                trust_tier=tier,
                quarantine_reason=problem.reason,
                quarantine_detail=problem.detail,
            )
            kept, expiring = Kept(salt=""), Expiring(salt="")
            if not (_opts_out(request, is_browser) or payloads.denies_consent(document)):
                expiring.raw = payloads.raw_text(document)[:MAX_RAW]
        if status is IntakeStatus.accepted and event_id in self._seen:
            status = IntakeStatus.duplicate  # kept all the same: its content may differ, the facts decide
        kept_bytes, expiring_bytes = _sealed(kept), _sealed(expiring)
        leaf.personal_commitment = commitment(kept_bytes, expiring_bytes)
        place = answer.add(event_id, status, leaf.quarantine_reason, leaf.quarantine_detail)
        self.edge.journal.append(
            key.organization_id.encode(), encode_leaf(leaf), kept_bytes + b"\t" + expiring_bytes, answer.settle, place
        )

    def _describe(
        self,
        request: Request,
        key: Key,
        event_type: EventType,
        payload: Payload,
        leaf: Leaf,
        kept: Kept,
        expiring: Expiring,
        received_ms: int,
    ) -> None:
        """Fill leaf and personal halves; raises Unusable before anything personal is kept."""
        payloads.check(event_type, payload)
        is_browser = leaf.trust_tier == TrustTier.browser
        occurred_ms, leaf.is_clamped = payloads.occurred(payload, received_ms, is_browser)
        properties = payloads.metadata_text(payload.metadata)
        organization = self.edge.snapshot.organizations[key.organization_id]
        leaf.occurred_at = rfc3339(occurred_ms)
        payloads.fill(leaf, payload, organization.currency)
        verdict = self.edge.snapshot.click_ids.verify(
            payload.inf_click_id, key.organization_id, received_ms if is_browser else occurred_ms
        )
        leaf.click_id_status = verdict.status
        if verdict.click is not None:
            leaf.click_id, leaf.link_id = verdict.click.event_id, verdict.click.link_id
            leaf.is_test = leaf.is_test or verdict.click.is_test
        if verdict.status not in (ClickIdStatus.valid, ClickIdStatus.missing):
            leaf.signed_click_id = payload.inf_click_id[:100]
        leaf.consent = Consent.opted_out if _opts_out(request, is_browser) else payload.consent or Consent.unknown
        if leaf.consent in (Consent.opted_out, Consent.denied):
            return  # nothing that singles a person out, and what the sender wrote in `metadata` might
        kept.properties = properties
        if payload.customer_id and organization.customer_key:
            kept.customer_hash = payloads.customer_hash(organization.customer_key, payload.customer_id)
        expiring.page_url, expiring.referrer = payload.page_url[:2_000], payload.referrer[:2_000]
        if is_browser:
            user_agent = request.fields.get(b"user-agent", b"")
            expiring.user_agent = user_agent[:1_000].decode("latin-1")
            expiring.ip_prefix = ip_prefix(request.address)
            leaf.visitor_hash, leaf.visitor_hash_before = visitor_hashes(
                self.edge.snapshot.salts, received_ms, key.organization_id.encode(), request.address, user_agent
            )

    def remember(self, event_id: str) -> None:
        """An event was accepted: its id is a duplicate from now on, as long as it is remembered."""
        if len(self._seen) >= REMEMBERED:
            self._seen.clear()
        self._seen[event_id] = None

    def _refuse(self, request: Request, status: int, kind: str, detail: str) -> None:
        self.counts["refused"] += 1
        challenge = b"www-authenticate: Bearer\r\n" if status == 401 else b""
        request.refuse(status, kind, detail, challenge + cors(request))


class _Answer:
    """The answer to one request, sent when each of its events is on disk, or 503 when one isn't."""

    def __init__(self, intake: Intake, request: Request, is_batch: bool, waiting: int) -> None:
        self._intake = intake
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
        self._intake.counts[event["status"] if is_recorded else "unavailable"] += 1
        if is_recorded and event["status"] == IntakeStatus.accepted:
            self._intake.remember(event["event_id"])
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
            b"content-length: %d\r\n\r\n%b" % (self._intake.edge.date, cors(request), len(body), body)
        )


def _sealed(half: Kept | Expiring) -> bytes:
    """Return a personal half's bytes under a fresh salt, empty when it holds nothing."""
    if half in (_NOTHING_KEPT, _NOTHING_EXPIRING):
        return b""
    half.salt = fresh_salt()
    return encode_personal(half)


def _opts_out(request: Request, is_browser: bool) -> bool:
    """Whether the visitor's browser sent Global Privacy Control; a server's own headers say nothing about a visitor."""
    return is_browser and request.fields.get(b"sec-gpc") == b"1"


def _type_of(document: object) -> bytes:
    named = document.get("type") if isinstance(document, dict) else None
    return named.encode("utf-8", "replace") if isinstance(named, str) else b""
