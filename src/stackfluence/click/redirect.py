"""A click: look the link up, score, put the event on disk, answer 302. The whole hot path, top to bottom."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from stackfluence.click import click_id
from stackfluence.click.destination import Destination, answer_found
from stackfluence.click.head import Head
from stackfluence.click.rules.arrival import parameter_reasons
from stackfluence.click.velocity import REASONS
from stackfluence.click.visitor import LANDING, Proxies, ip_prefix, landing_parameters, read_query, visitor_hashes
from stackfluence.clock import UUID_TAIL_BYTES, random_bytes, rfc3339, uuid7_of, uuid_text
from stackfluence.clock import now_ms as clock_ms
from stackfluence.events.event import SALT_BYTES, commitment
from stackfluence.native import compiled
from stackfluence.vocabulary import RedirectOutcome, TrafficReason

if TYPE_CHECKING:
    from stackfluence.click.edge import Edge
    from stackfluence.click.judge import Judge
    from stackfluence.click.links import Snapshot
    from stackfluence.click.request import Request, Turn
    from stackfluence.events.journal import Journal

DRAWN_BYTES = SALT_BYTES + UUID_TAIL_BYTES
encode = msgspec.json.Encoder().encode
FOUND = (
    b"HTTP/1.1 302 Found\r\ncache-control: private, no-store\r\nx-robots-tag: noindex\r\ncontent-length: 0\r\n"
    b"date: %b\r\nlocation: "
)
_END = b"\r\n\r\n"


Made = tuple[Destination, bytes, bytes]  # what a click is answered with: link, what is passed on to it, UUIDv7
Ticket = tuple["Turn", Made]  # a click on its way to the disk
Taken = tuple[bytes, bytes, bytes, Made]  # a click that was taken whole: organization, leaf, personal part
Kit = tuple[Any, ...]  # what `usual_click` needs of an edge; each is the same as long as the edge lives


def kit_of(snapshot: Snapshot, journal: Journal, judge: Judge, proxies: Proxies) -> Kit:
    """Return what `usual_click` needs of an edge."""
    return (
        snapshot.paths, snapshot.salts, judge.velocity.organizations, judge.velocity, judge, judge.places,
        journal.stamp, random_bytes, rfc3339, REASONS, DRAWN_BYTES, LANDING, proxies.visitor_behind,
    )  # fmt: skip


@compiled
def usual_click(kit: Kit, known: dict[bytes, Head], address: str, prefix: str, message: bytes) -> Taken | None:
    """Take a whole click as `follow` would: return what goes to disk and into the answer, None when it is unusual.

    Usual is: a known header block, to a link that was requested before, with parameters that need no decoding; salts
    are at hand, no count is near a limit for the first time. All else is `redirect`'s, and nothing has happened to it
    here. Without a compiler that is every click.
    """
    return None


def redirect(edge: Edge, request: Request) -> None:
    """Answer GET and HEAD of `/c/{creator}/{campaign}[/{asset}]`, at once or when the disk has the click."""
    path, _, query = request.target.partition(b"?")
    host = request.fields.get(b"host", b"") if request.head is None else request.head.host
    destination = edge.snapshot.at(host, path)
    if destination is None:
        _search(edge, request, host, path)
        return
    follow(edge, request, destination, query)


def follow(edge: Edge, request: Request, destination: Destination, query: bytes) -> None:
    """Answer a request whose link is known; a click is answered by `settle`, when the journal has it."""
    journal = edge.journal
    now_ms = journal.stamp()
    if not destination.is_open(now_ms):
        _turn_away(edge, request, destination)
        return
    if request.method != b"GET":
        _answer_without_event(edge, request, destination, query)
        return
    head = request.head
    if head is None:
        head = request.head = Head(request)
    leaf, expiring, found = (head.leaf, head.expiring, ()) if not query else _landing(query, head)
    address = request.address
    prefix = ip_prefix(address)
    today = before = ""
    if not head.is_opted_out:
        today, before = visitor_hashes(edge.snapshot.salts, now_ms, destination.organization, address, head.user_agent)
    velocity = edge.judge.velocity
    if request.forwarded and request.is_behind_unknown_proxy:  # one address for everybody: nobody's pace can be told
        edge.hidden += 1
        found += velocity.count(destination.organization, destination.link_id, "", "", clock_ms())
    else:
        found += velocity.count(destination.organization, destination.link_id, today, prefix, clock_ms())
    judged = edge.judge.members(head.evidence, edge.judge.places.find(address), found)
    event, body, personal = click_event(
        now_ms, rfc3339(now_ms), random_bytes(DRAWN_BYTES), destination.leaf, judged, leaf, expiring, today, before,
        prefix, head.is_opted_out,
    )  # fmt: skip
    ticket = (request, (destination, destination.passed(query) if query else b"", event))
    journal.append(destination.organization, body, personal, edge.settle_click, ticket)


@compiled
def click_event(
    at_ms: int, at: str, drawn: bytes, link: str, judged: str, leaf: str, expiring: str, today: str, before: str,
    prefix: str, is_opted_out: bool,
) -> tuple[bytes, bytes, bytes]:  # fmt: skip
    """Return a click's UUIDv7, and its leaf and personal part as the journal takes them.

    `drawn` are 26 random bytes. `link`, `judged`, `leaf` and `expiring` are members of JSON objects; `judged` ends with
    a comma, `leaf` too unless it is empty. `today` and `before` are the visitor's hashes, `prefix` that of the address:
    none is kept of who opted out.
    """
    event = uuid7_of(at_ms, drawn[SALT_BYTES:])
    event_id = uuid_text(event)
    consent = "opted_out" if is_opted_out else "unknown"
    if not is_opted_out:
        leaf += f'"visitor_hash":"{today}",' + (f'"visitor_hash_before":"{before}",' if before else "")
        expiring += f',"ip_prefix":"{prefix}"'
    personal = f'{{"salt":"{drawn[:SALT_BYTES].hex()}",{expiring}}}'.encode()
    body = (
        f'"event_id":"{event_id}","event_type":"click","occurred_at":"{at}","received_at":"{at}","click_id":"{event_id}",'
        f'{link},{judged}{leaf}"trust_tier":"server","consent":"{consent}",'
        f'"personal_commitment":"{commitment(b"", personal)}"}}'
    )
    return event, body.encode(), b"\t" + personal


def settle(edge: Edge, ticket: Ticket, is_recorded: bool) -> None:
    """Answer a click: its ID says whether it is on disk."""
    turn, (destination, passed, event) = ticket
    flags = destination.flags
    if is_recorded:
        edge.recorded += 1
    else:
        edge.count(RedirectOutcome.unrecorded)
        flags |= click_id.UNRECORDED
    turn.answer(answer_found(destination.texts, destination.click_id_key, edge.found, passed, event, flags))


def _landing(query: bytes, head: Head) -> tuple[str, str, tuple[TrafficReason, ...]]:
    """Return the leaf's and the expiring half's members of a click that brought parameters, and what these say."""
    leaf, expiring = head.leaf, head.expiring
    landing, networks = landing_parameters(read_query(query))
    if landing:
        leaf += f'"landing_params":{encode(landing).decode()},'
    if networks and not head.is_opted_out:
        expiring += f',"ad_click_ids":{encode(networks).decode()}'
    return leaf, expiring, parameter_reasons(query)


def _search(edge: Edge, request: Request, host: bytes, path: bytes) -> None:
    """A path the snapshot doesn't know: no link's at all, or one newer than the snapshot."""
    if request.method not in (b"GET", b"HEAD"):
        request.refuse(405, "method-not-allowed", "A link answers GET and HEAD.", b"allow: GET, HEAD\r\n")
        return
    key = edge.snapshot.key_of(host, path)
    if key is None:
        edge.count(RedirectOutcome.unknown_link)
        request.refuse(404, "unknown-link", "A link is /c/{creator}/{campaign} or /c/{creator}/{campaign}/{asset}.")
    else:
        edge.look_up(key, request)


def _answer_without_event(edge: Edge, request: Request, destination: Destination, query: bytes) -> None:
    """HEAD gets the redirect, without an ID; other methods are told what a link answers."""
    if request.method == b"HEAD":
        edge.count(RedirectOutcome.head)
        request.answer(edge.found + destination.address(query, b"") + _END)
    else:
        request.refuse(405, "method-not-allowed", "A link answers GET and HEAD.", b"allow: GET, HEAD\r\n")


def _turn_away(edge: Edge, request: Request, destination: Destination) -> None:
    """A paused or expired link leads to its fallback, or says that it is gone."""
    if destination.fallback:
        edge.count(RedirectOutcome.fallback)
        request.answer(edge.found + destination.fallback + _END)
        return
    edge.count(RedirectOutcome.inactive_link)
    request.refuse(410, "inactive-link", "This link is no longer active.")
