"""One event, from what somebody told to a line in the journal: shared by the intake and the vendors' hooks."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

from stackfluence.click.admin import Refusal
from stackfluence.click.visitor import ip_prefix, visitor_hashes
from stackfluence.clock import now_ms, rfc3339, uuid7, uuid_text
from stackfluence.collect import payloads
from stackfluence.collect.payloads import Payload
from stackfluence.collect.unusable import Unusable
from stackfluence.events.event import Expiring, Kept, Leaf, commitment, encode_leaf, encode_personal, fresh_salt
from stackfluence.vocabulary import ClickIdStatus, Consent, EventType, IntakeStatus, TrustTier

if TYPE_CHECKING:
    from stackfluence.click.edge import Edge
    from stackfluence.click.request import Request

MAX_RAW = 16 << 10
REMEMBERED = 100_000  # event ids whose repetition is answered `duplicate`
REMEMBERED_REFUSALS = 500  # for who wonders why nothing arrives; about 300 kB at most
MAX_REFUSAL_TEXT = 200
_NOTHING_KEPT, _NOTHING_EXPIRING = Kept(salt=""), Expiring(salt="")


@dataclass(frozen=True, slots=True)
class Sender:
    """Who tells: for which organization, how far to be trusted, and whether the visitor's browser sent GPC.

    `namespace` is what a vendor's ids belong to, its account; empty for the organization's own.
    """

    request: Request
    organization_id: str
    tier: TrustTier
    is_opted_out: bool = False
    namespace: str = ""

    @property
    def is_browser(self) -> bool:
        """Whether a visitor's own browser tells it."""
        return self.tier is TrustTier.browser


class Told(NamedTuple):
    """One event as it was told: its type, its idempotency key or nothing, what it says or why it can't be used.

    `document` is kept for a while when it can't be used.
    """

    event_type: EventType | None
    key: str
    payload: Payload | Unusable
    document: object


class Answer(Protocol):
    """What hears of an event: the answer to a request."""

    def add(self, event_id: str, status: IntakeStatus, reason: str, detail: str) -> int:
        """Take up an event and return its place."""

    def settle(self, place: int, is_recorded: bool) -> None:
        """The event in a place is on disk, or not."""


class Recorder:
    """Puts events on disk; one per edge process, with its counters and the event ids it remembers."""

    def __init__(self, edge: Edge) -> None:
        self.edge = edge
        self.counts: Counter[str] = Counter()  # events by IntakeStatus or `unavailable`, and requests `refused`
        self.refusals: deque[Refusal] = deque(maxlen=REMEMBERED_REFUSALS)
        self._seen: dict[str, None] = {}

    def record(self, sender: Sender, told: Told, answer: Answer) -> None:
        """Put one event on disk; `answer` hears of it."""
        received_ms = self.edge.journal.stamp()
        kept, expiring = Kept(salt=""), Expiring(salt="")
        status = IntakeStatus.accepted
        leaf = _blank(sender, told, received_ms)
        try:
            if told.event_type is None or isinstance(told.payload, Unusable):
                raise told.payload if isinstance(told.payload, Unusable) else payloads.NO_TYPE
            self._describe(sender, told.event_type, told.payload, leaf, kept, expiring, received_ms)
        except (Unusable, RecursionError) as error:
            problem = error if isinstance(error, Unusable) else payloads.TOO_DEEP
            status = IntakeStatus.quarantined
            event_id, leaf = leaf.event_id, _blank(sender, told, received_ms)
            leaf.event_id, leaf.quarantine_reason, leaf.quarantine_detail = event_id, problem.reason, problem.detail
            kept, expiring = Kept(salt=""), Expiring(salt="")
            if not (sender.is_opted_out or payloads.denies_consent(told.document)):
                expiring.raw = payloads.raw_text(told.document)[:MAX_RAW]
        if status is IntakeStatus.accepted and leaf.event_id in self._seen:
            status = IntakeStatus.duplicate  # kept all the same: its content may differ, the facts decide
        kept_bytes, expiring_bytes = _sealed(kept), _sealed(expiring)
        leaf.personal_commitment = commitment(kept_bytes, expiring_bytes)
        place = answer.add(leaf.event_id, status, leaf.quarantine_reason, leaf.quarantine_detail)
        self.edge.journal.append(
            sender.organization_id.encode(),
            encode_leaf(leaf),
            kept_bytes + b"\t" + expiring_bytes,
            answer.settle,
            place,
        )

    def settle(self, event: Mapping[str, str], is_recorded: bool) -> None:
        """Count an event by what it is answered; the id of an accepted one is a duplicate while it is remembered."""
        self.counts[event["status"] if is_recorded else "unavailable"] += 1
        if is_recorded and event["status"] == IntakeStatus.accepted:
            if len(self._seen) >= REMEMBERED:
                self._seen.clear()
            self._seen[event["event_id"]] = None

    def refuse(
        self, request: Request, status: int, kind: str, detail: str, headers: bytes = b"", organization_id: str = ""
    ) -> None:
        """Answer that nothing of a request is kept, and remember that for a while."""
        self.counts["refused"] += 1
        path = request.target.partition(b"?")[0].decode("latin-1")[:MAX_REFUSAL_TEXT]
        origin = request.fields.get(b"origin", b"").decode("latin-1")[:MAX_REFUSAL_TEXT]
        self.refusals.append(Refusal(now_ms(), status, kind, detail[:MAX_REFUSAL_TEXT], path, origin, organization_id))
        request.refuse(status, kind, detail, headers)

    def _describe(
        self,
        sender: Sender,
        event_type: EventType,
        payload: Payload,
        leaf: Leaf,
        kept: Kept,
        expiring: Expiring,
        received_ms: int,
    ) -> None:
        """Fill leaf and personal halves; raises Unusable before anything personal is kept."""
        is_denied = sender.is_opted_out or payload.consent in (Consent.denied, Consent.opted_out)
        payloads.check(event_type, payload, is_denied=is_denied, is_browser=sender.is_browser)
        occurred_ms, leaf.is_clamped = payloads.occurred(payload, received_ms, sender.is_browser)
        properties = payloads.metadata_text(payload.metadata)
        organization = self.edge.snapshot.organizations[sender.organization_id]
        leaf.occurred_at = rfc3339(occurred_ms)
        leaf.revised_at = payloads.revised(payload, received_ms, sender.is_browser)
        payloads.fill(leaf, payload, organization.currency)
        self._judge_click_id(leaf, payload, sender, received_ms if sender.is_browser else occurred_ms)
        leaf.consent = Consent.opted_out if sender.is_opted_out else payload.consent or Consent.unknown
        if is_denied:  # decision 0015
            leaf.session_id = ""
            return  # nothing that singles a person out, and what the sender wrote in `metadata` might
        kept.properties = properties
        if organization.customer_key:
            if payload.customer_id != "":
                kept.customer_hash = payloads.customer_hash(
                    organization.customer_key, payload.customer_id, payload.shop
                )
            if payload.email_sha256:
                kept.email_hash = payloads.email_hash(organization.customer_key, payload.email_sha256)
        expiring.page_url, expiring.referrer = payload.page_url[:2_000], payload.referrer[:2_000]
        if sender.is_browser:
            request = sender.request
            user_agent = request.fields.get(b"user-agent", b"")
            expiring.user_agent = user_agent[:1_000].decode("latin-1")
            expiring.ip_prefix = ip_prefix(request.address)
            leaf.visitor_hash, leaf.visitor_hash_before = visitor_hashes(
                self.edge.snapshot.salts, received_ms, sender.organization_id.encode(), request.address, user_agent
            )

    def _judge_click_id(self, leaf: Leaf, payload: Payload, sender: Sender, at_ms: int) -> None:
        verdict = self.edge.snapshot.click_ids.verify(payload.inf_click_id, sender.organization_id, at_ms)
        leaf.click_id_status = verdict.status
        if verdict.click is not None:
            leaf.click_id, leaf.link_id = verdict.click.event_id, verdict.click.link_id
            leaf.is_test = leaf.is_test or verdict.click.is_test
        if verdict.status not in (ClickIdStatus.valid, ClickIdStatus.missing):
            leaf.signed_click_id = payload.inf_click_id[:100]


def _blank(sender: Sender, told: Told, received_ms: int) -> Leaf:
    """Return a leaf that says when and by whom something was told, and not yet what."""
    type_name = "" if told.event_type is None else told.event_type.value
    event_id = (
        uuid_text(payloads.keyed_event_id(sender.organization_id, type_name, told.key, sender.namespace))
        if told.key
        else uuid7(received_ms)[1]
    )
    at = rfc3339(received_ms)
    return Leaf(event_id=event_id, event_type=type_name, occurred_at=at, received_at=at, trust_tier=sender.tier)


def _sealed(half: Kept | Expiring) -> bytes:
    """Return a personal half's bytes under a fresh salt, empty when it holds nothing."""
    if half in (_NOTHING_KEPT, _NOTHING_EXPIRING):
        return b""
    half.salt = fresh_salt()
    return encode_personal(half)
