"""One visitor: who they are, the connection they hold, and what they do, each deed counted by the answer it got."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any
from urllib.parse import parse_qs, urlsplit

from stackfluence.click import click_id
from stackfluence.click.destination import PARAMETER
from stackfluence.demo import contents
from stackfluence.demo.header_sets import HeaderSet, HeaderSets, fill
from stackfluence.demo.sample import Sample
from stackfluence.demo.sent import Sent, refunded_of, revenue_of
from stackfluence.demo.wire import Address, Answer, Connection, Headers, NotSent, Unanswered
from stackfluence.vocabulary import EventType, IntakeStatus, RedirectOutcome

RESENDS = 20  # of an event with an idempotency key that got no answer, a second apart: an edge restarts in less
RESEND_SECONDS = 1.0
_CLICK_ID = PARAMETER.decode()
_OUTCOMES = {
    404: RedirectOutcome.unknown_link,
    410: RedirectOutcome.inactive_link,
    503: RedirectOutcome.undecided_link,
}


class Left(Exception):
    """The visitor left: the traffic is ending."""


@dataclass
class Traffic:
    """What all visitors share.

    `pace` stretches pauses, and the engaged times that fill them: 1 is life, 0 no pause at all. With `is_proxied` the
    visitors' addresses are told in X-Forwarded-For, as a trusted proxy with TLS would, else they come from loopback
    addresses of their own. `seed` and a visit's number decide everything a visit does.
    """

    address: Address
    sample: Sample
    header_sets: HeaderSets
    seed: str
    pace: float = 1.0
    is_proxied: bool = False
    sent: Sent = field(default_factory=Sent)
    leaving: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(frozen=True, slots=True)
class Landing:
    """Where a click led: the shop's page and the click ID in its address."""

    page_url: str
    signed_click_id: str


class Visitor:
    """A person, a program or a shop's server, with an address, a connection and a random source of their own."""

    def __init__(self, traffic: Traffic, name: str) -> None:
        self.traffic = traffic
        self.name = name  # made of the run and the visit's number: what it names comes once
        self.rng = Random(f"{traffic.seed}/{name}")  # noqa: S311 — repeatable is the point
        self.seen: Headers = []  # the headers of the visit, which reports repeat in part
        self.engine = ""
        self._forwarded = _public_address(self.rng)
        source = None if traffic.is_proxied else _loopback_address(self.rng)
        self._connection = Connection(traffic.address, source)
        self._has_asked = False  # for permission to send across origins, which browsers remember
        self._sent_keys: set[str] = set()

    def companion(self, name: str) -> Visitor:
        """Return another visitor of this visit: a further server of a preview fetcher, the shop's server."""
        return Visitor(self.traffic, f"{self.name}.{name}")

    async def close(self) -> None:
        """Hang up."""
        await self._connection.close()

    async def pause(self, seconds: float) -> int:
        """Wait as a visitor would and return the milliseconds that passed at this pace; raises Left at the end."""
        waited = seconds * self.traffic.pace
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.traffic.leaving.wait(), waited)
        if self.traffic.leaving.is_set():
            raise Left
        return int(waited * 1000)

    async def visit(
        self, target: str, headers: HeaderSet, referer: str = "", *, is_closed: bool = False
    ) -> Landing | None:
        """Request a link, GET or HEAD as the header set has it; returns where a GET with a click ID led."""
        names = {"host": self.traffic.address.host_header, "referer": referer}
        self.seen = fill(headers.chosen(self.rng), names)
        self.engine = headers.engine
        sent = self.traffic.sent
        try:
            answer = await self._request(headers.method, target, self.seen)
        except Unanswered as error:
            if headers.method == "GET" and not is_closed and not isinstance(error, NotSent):
                sent.unanswered[EventType.click] += 1
            return None
        location = answer.get("location")
        signed = parse_qs(urlsplit(location).query).get(_CLICK_ID, [""])[-1]
        outcome = _outcome(answer.status, signed, is_head=headers.method == "HEAD" and not is_closed)
        if outcome is None:
            sent.surprise(f"{headers.method} {target}: {answer.status}")
            return None
        sent.redirects[outcome] += 1
        if outcome == RedirectOutcome.unrecorded:
            sent.unanswered[EventType.click] += 1
        if outcome == RedirectOutcome.recorded and (raw := click_id.decode(signed)) is not None:
            sent.remember(click_id.read(raw).event_id, headers.kind)
        return Landing(location, signed) if signed else None

    async def tell(self, event_type: EventType, fields: Mapping[str, Any], *, form: str, expected: str = "") -> None:
        """Send an event as a page's script does: `form` is fetch, with the key in a header, or beacon, with it inside.

        `expected` is what should become of it: accepted unless told otherwise, a quarantine reason, or a status.
        """
        sample = self.traffic.sample
        document = {**fields, "organization_id": sample.organization_id}
        if form == "beacon" and self.rng.random() < 0.5:  # the other half trusts in organization_id alone
            document["key"] = sample.publishable_key
        if form == "fetch" and not self._has_asked:
            await self._preflight()
        body = json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()
        names = self._names(body, sample.publishable_key)
        headers = self.traffic.header_sets.report(self.engine or "chromium", form, self.seen, names)
        await self.post([event_type], event_type, headers, body, [document], expected=expected)

    async def report(
        self, events: list[tuple[EventType, dict[str, Any]]], *, client: str = "node", expected: str = ""
    ) -> None:
        """Send events as a shop's server does, several as one batch."""
        names = [event_type for event_type, _ in events]
        documents = [fields for _, fields in events]
        path = names[0].value
        document: Any = documents[0]
        if len(events) > 1:
            path = "batch"
            document = {"events": [{**fields, "type": name.value} for name, fields in events]}
        body = json.dumps(document).encode()
        headers = self.traffic.header_sets.report(
            client, "server", [], self._names(body, self.traffic.sample.secret_key)
        )
        await self.post(names, path, headers, body, documents, expected=expected)

    async def post(
        self,
        event_types: list[EventType],
        path: str,
        headers: Headers,
        body: bytes,
        documents: list[dict[str, Any]],
        *,
        expected: str = "",
    ) -> None:
        """Send a request with events and count what became of each; sent again while it gets no answer, if it may."""
        is_repeatable = all(document.get("idempotency_key") for document in documents)
        sent = self.traffic.sent
        has_arrived = False
        for attempt in range(RESENDS + 1 if is_repeatable else 1):
            if attempt:
                sent.resent += 1
                await asyncio.sleep(RESEND_SECONDS * min(self.traffic.pace, 1))
            try:
                answer = await self._request("POST", f"/v1/events/{path}", headers, body)
            except Unanswered as error:
                has_arrived = has_arrived or not isinstance(error, NotSent)
                continue
            if answer.status == 503:
                has_arrived = True  # the line may still reach the disk, late
                continue
            self._count(event_types, documents, answer, expected)
            return
        if has_arrived:
            sent.unanswered.update(event_type.value for event_type in event_types)

    def _count(
        self, event_types: list[EventType], documents: list[dict[str, Any]], answer: Answer, expected: str
    ) -> None:
        sent = self.traffic.sent
        if answer.status != 202:
            sent.refused[answer.status] += 1
            if str(answer.status) != expected:
                sent.surprise(f"POST of {event_types[0]}: {answer.status} {answer.body[:200]!r}")
            return
        told = json.loads(answer.body)
        for event_type, document, fate in zip(event_types, documents, told.get("events", [told]), strict=True):
            key = str(document.get("idempotency_key", ""))
            if fate["status"] == IntakeStatus.quarantined:
                sent.quarantined[fate["reason"]] += 1
            elif key in self._sent_keys:
                sent.repeats[event_type.value] += 1
            else:
                sent.events[event_type.value] += 1
                sent.purchases += document.get("event_type") == "purchase"
                currency = document.get("currency", contents.CURRENCY)
                for name, cents in (
                    (revenue_of(currency), document.get("revenue_cents")),
                    (refunded_of(currency), document.get("refund_amount_cents")),
                ):
                    if isinstance(cents, int):
                        sent.money[name] += cents
                if key:
                    self._sent_keys.add(key)
            if (fate.get("reason") or "") != expected:
                sent.surprise(f"POST of {event_type}: {fate}")

    async def _preflight(self) -> None:
        headers = self.traffic.header_sets.report(self.engine or "chromium", "preflight", self.seen, self._names(b""))
        self._has_asked = True
        try:
            answer = await self._request("OPTIONS", "/v1/events/session", headers)
        except Unanswered:
            return
        self.traffic.sent.preflights += 1
        if answer.get("access-control-allow-origin") not in (self.traffic.sample.origin, "*"):
            self.traffic.sent.surprise(f"OPTIONS: {answer.status} {answer.headers}")

    def _names(self, body: bytes, key: str = "") -> dict[str, str]:
        return {
            "host": self.traffic.address.host_header,
            "origin": self.traffic.sample.origin,
            "length": str(len(body)),
            "key": key,
        }

    async def _request(self, method: str, target: str, headers: Headers, body: bytes = b"") -> Answer:
        self.traffic.sent.requests += 1
        if self.traffic.is_proxied:
            headers = [*headers, ("X-Forwarded-For", self._forwarded), ("X-Forwarded-Proto", "https")]
        return await self._connection.request(method, target, headers, body)


def _outcome(status: int, signed_click_id: str, *, is_head: bool) -> RedirectOutcome | None:
    """Return what an answer to a request for a link means, None for an answer that no link gives."""
    if status != 302:
        return _OUTCOMES.get(status)
    raw = click_id.decode(signed_click_id)
    if raw is not None:
        return RedirectOutcome.unrecorded if click_id.read(raw).is_unrecorded else RedirectOutcome.recorded
    return RedirectOutcome.head if is_head else RedirectOutcome.fallback


def _loopback_address(rng: Random) -> str:
    """Return one of 127.0.0.0/8, of which a machine owns all."""
    return f"127.{rng.randrange(1, 255)}.{rng.randrange(256)}.{rng.randrange(1, 255)}"


def _public_address(rng: Random) -> str:
    """Return an address of the ranges kept for documentation (RFC 5737, RFC 3849), which are nobody's."""
    if rng.random() < 0.5:
        return f"{rng.choice(('192.0.2', '198.51.100', '203.0.113'))}.{rng.randrange(1, 255)}"
    return f"2001:db8:{rng.randrange(65_536):x}:{rng.randrange(256):x}::{rng.randrange(1, 65_536):x}"
