"""One event, from what somebody told to a line in the journal: shared by the intake and the vendors' hooks."""

from __future__ import annotations

import hashlib
from collections import Counter, deque
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple, Protocol

import msgspec

from stackfluence.click.admin import Refusal
from stackfluence.click.visitor import ip_prefix, visitor_hashes
from stackfluence.clock import now_ms, rfc3339, uuid7, uuid_text
from stackfluence.collect import payloads
from stackfluence.collect.payloads import Payload
from stackfluence.collect.unusable import Unusable
from stackfluence.events.event import Expiring, Kept, Leaf, commitment, encode_leaf, encode_personal, fresh_salt
from stackfluence.native import compiled
from stackfluence.vocabulary import ClickIdStatus, Consent, IntakeStatus

if TYPE_CHECKING:
    from stackfluence.click.edge import Edge
    from stackfluence.click.request import Request
    from stackfluence.snapshot import Organization

MAX_RAW = 16 << 10
REMEMBERED = 100_000  # event ids whose repetition is answered `duplicate`
REMEMBERED_REFUSALS = 500  # for who wonders why nothing arrives; about 300 kB at most
MAX_REFUSAL_TEXT = 200
_UNREAD = (bytes, bytearray, msgspec.Raw)
_NOTHING_EXPIRING = Expiring(salt="")
# Plain texts: finding a member of an enumeration costs as much as what is done with it here.
_ACCEPTED, _DUPLICATE = IntakeStatus.accepted.value, IntakeStatus.duplicate.value
_QUARANTINED, _OPTED_OUT, _UNKNOWN = IntakeStatus.quarantined.value, Consent.opted_out.value, Consent.unknown.value
_DENIED = frozenset((Consent.denied.value, _OPTED_OUT))
_ASIDE = frozenset((ClickIdStatus.valid, ClickIdStatus.missing))  # what needs no judging again


class Sender(NamedTuple):
    """Who tells: for which organization, how far to be trusted, and whether the visitor's browser sent GPC.

    `is_browser` says that a visitor's own browser tells it. `namespace` is what a vendor's ids belong to, its account;
    empty for the organization's own.
    """

    organization_id: str
    tier: str
    is_browser: bool = False
    is_opted_out: bool = False
    namespace: str = ""


class Told(NamedTuple):
    """One event as it was told: its type, its idempotency key or nothing, what it says or why it can't be used.

    Without a type it can't be. `document` is kept for a while then; as bytes it is JSON that was not taken apart.
    """

    event_type: str | None
    key: str
    payload: Payload | Unusable
    document: object


class Answer(Protocol):
    """What hears of an event: the answer to a request."""

    def add(self, event_id: str, status: str, reason: str, detail: str) -> int:
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

    def record(self, request: Request, sender: Sender, told: Told, answer: Answer) -> None:
        """Put one event on disk; `answer` hears of it."""
        journal = self.edge.journal
        received_ms = journal.stamp()
        leaf = _blank(sender, told, received_ms)
        payload, kept, expiring = told.payload, b"", b""
        problem: tuple[str, str] | None = None
        if isinstance(payload, Unusable):
            problem = payload.reason, payload.detail
        else:
            try:
                kept, expiring = self._describe(request, sender, payload, leaf, received_ms)
            except Unusable as error:
                problem = error.reason, error.detail
            except RecursionError:
                problem = payloads.TOO_DEEP.reason, payloads.TOO_DEEP.detail
        status = _ACCEPTED
        if problem is not None:
            status, event_id = _QUARANTINED, leaf.event_id
            leaf = _blank(sender, told, received_ms)
            leaf.event_id, (leaf.quarantine_reason, leaf.quarantine_detail) = event_id, problem
            expiring = _raw(sender, told)
        elif leaf.event_id in self._seen:
            status = _DUPLICATE  # kept all the same: its content may differ, the facts decide
        leaf.personal_commitment = commitment(kept, expiring)
        place = answer.add(leaf.event_id, status, leaf.quarantine_reason, leaf.quarantine_detail)
        personal = b"%b\t%b" % (kept, expiring)
        journal.append(sender.organization_id.encode(), encode_leaf(leaf), personal, answer.settle, place)

    def settle(self, event: Mapping[str, str], is_recorded: bool) -> None:
        """Count an event by what it is answered; the id of an accepted one is a duplicate while it is remembered."""
        status = event["status"] if is_recorded else "unavailable"
        self.counts[status] += 1
        if status == _ACCEPTED:
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
        self, request: Request, sender: Sender, payload: Payload, leaf: Leaf, received_ms: int
    ) -> tuple[bytes, bytes]:
        """Fill the leaf and return the personal halves; raises Unusable before anything personal is kept."""
        is_browser, consent = sender.is_browser, payload.consent
        is_denied = sender.is_opted_out or consent in _DENIED
        payloads.check(leaf.event_type, payload, is_denied=is_denied, is_browser=is_browser)
        occurred_ms = received_ms
        if payload.occurred_at:
            occurred_ms, leaf.is_clamped = payloads.occurred(payload, received_ms, is_browser)
            leaf.occurred_at = rfc3339(occurred_ms)
        properties = payloads.metadata_text(payload.metadata) if payload.metadata else ""
        organization = self.edge.snapshot.organizations[sender.organization_id]
        if payload.revised_at:
            leaf.revised_at = payloads.revised(payload, received_ms, is_browser)
        payloads.fill(leaf, payload, organization.currency)
        self._judge_click_id(leaf, payload, sender, received_ms if is_browser else occurred_ms)
        leaf.consent = _OPTED_OUT if sender.is_opted_out else consent or _UNKNOWN
        if is_denied:  # decision 0015
            leaf.session_id = ""
            return b"", b""  # nothing that singles a person out, and what the sender wrote in `metadata` might
        kept = expiring = b""
        customer, email = _pseudonyms(organization, payload)
        if properties or customer or email:
            kept = encode_personal(
                Kept(salt=fresh_salt(), customer_hash=customer, email_hash=email, properties=properties)
            )
        if is_browser:
            organization_id, address = sender.organization_id.encode(), request.address
            user_agent = request.fields.get(b"user-agent", b"")
            leaf.visitor_hash, leaf.visitor_hash_before = visitor_hashes(
                self.edge.snapshot.salts, received_ms, organization_id, address, user_agent
            )
            said = Expiring(
                salt="", user_agent=user_agent[:1_000].decode("latin-1"), ip_prefix=ip_prefix(address),
                page_url=payload.page_url[:2_000], referrer=payload.referrer[:2_000],
            )  # fmt: skip
        elif payload.page_url or payload.referrer:
            said = Expiring(salt="", page_url=payload.page_url[:2_000], referrer=payload.referrer[:2_000])
        else:
            return kept, expiring
        if said != _NOTHING_EXPIRING:
            said.salt = fresh_salt()
            expiring = encode_personal(said)
        return kept, expiring

    def _judge_click_id(self, leaf: Leaf, payload: Payload, sender: Sender, at_ms: int) -> None:
        verdict = self.edge.snapshot.click_ids.verify(payload.inf_click_id, sender.organization_id, at_ms)
        leaf.click_id_status = verdict.status
        if verdict.click is not None:
            leaf.click_id, leaf.link_id = verdict.click.event_id, verdict.click.link_id
            leaf.is_test = leaf.is_test or verdict.click.is_test
        if verdict.status not in _ASIDE:
            leaf.signed_click_id = payload.inf_click_id[:100]


def _blank(sender: Sender, told: Told, received_ms: int) -> Leaf:
    """Return a leaf that says when and by whom something was told, and not yet what."""
    at, type_name = rfc3339(received_ms), told.event_type or ""
    if told.key:
        kind = f"{sender.namespace}\0{type_name}" if sender.namespace else type_name
        event_id = keyed_event_id(sender.organization_id, kind, told.key)
    else:
        event_id = uuid7(received_ms)[1]
    return Leaf(event_id=event_id, event_type=type_name, occurred_at=at, received_at=at, trust_tier=sender.tier)


def _raw(sender: Sender, told: Told) -> bytes:
    """Return the half that holds what was sent and can't be used; nothing of who doesn't want to be measured."""
    try:
        document = msgspec.json.decode(told.document) if isinstance(told.document, _UNREAD) else told.document
    except RecursionError:  # too deep to be read for what it says of consent
        return b""
    if sender.is_opted_out or payloads.denies_consent(document):
        return b""
    raw = payloads.raw_text(document)[:MAX_RAW]
    return encode_personal(Expiring(salt=fresh_salt(), raw=raw)) if raw else b""


def _pseudonyms(organization: Organization, payload: Payload) -> tuple[str, str]:
    """Return the hashes of a customer's id and e-mail address; empty for what isn't told or may not be hashed."""
    key, customer, email = organization.customer_key, "", ""
    if key and payload.customer_id != "":
        customer = payloads.customer_hash(key, payload.customer_id, payload.shop)
    if key and payload.email_sha256:
        email = payloads.email_hash(key, payload.email_sha256)
    return customer, email


@compiled
def keyed_event_id(organization_id: str, kind: str, key: str) -> str:
    """Return the UUIDv8 (RFC 9562, section 5.8) that an idempotency key stands for, for ever, as text.

    `kind` is the event's type; a vendor's has the namespace of its account and a NUL in front of it, where no sender's
    key can reach.
    """
    digest = bytearray(hashlib.sha256(f"{organization_id}\0{kind}\0{key}".encode()).digest()[:16])
    digest[6] = digest[6] & 0x0F | 0x80
    digest[8] = digest[8] & 0x3F | 0x80
    return uuid_text(bytes(digest))
