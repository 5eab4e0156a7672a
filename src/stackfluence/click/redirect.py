"""A click: look the link up, score, put the event on disk, answer 302. The whole hot path, top to bottom."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from stackfluence.click import bot_score, click_id
from stackfluence.click.destination import Destination
from stackfluence.click.visitor import ip_prefix, landing_parameters, read_query, referrer_host, signals, visitor_hashes
from stackfluence.clock import rfc3339, uuid7, uuid_text
from stackfluence.events.event import Expiring, Leaf, commitment, encode_leaf, encode_personal, fresh_salt
from stackfluence.vocabulary import RedirectOutcome

if TYPE_CHECKING:
    from stackfluence.click.edge import Edge
    from stackfluence.click.server import Request

_FOUND = (
    b"HTTP/1.1 302 Found\r\ndate: %b\r\nlocation: %b\r\n"
    b"cache-control: private, no-store\r\nx-robots-tag: noindex\r\ncontent-length: 0\r\n\r\n"
)


class Ticket(NamedTuple):
    """A click on its way to the disk."""

    request: Request
    destination: Destination
    query: bytes
    event: bytes


def redirect(edge: Edge, request: Request) -> None:
    """Answer GET and HEAD of `/c/{creator}/{campaign}[/{asset}]`, at once or when the disk has the click."""
    if request.method not in (b"GET", b"HEAD"):
        request.refuse(405, "method-not-allowed", "A link answers GET and HEAD.", b"allow: GET, HEAD\r\n")
        return
    path, _, query = request.target.partition(b"?")
    key = edge.snapshot.key_of(request.fields.get(b"host", b""), path)
    if key is None:
        edge.count(RedirectOutcome.unknown_link)
        request.refuse(404, "unknown-link", "A link is /c/{creator}/{campaign} or /c/{creator}/{campaign}/{asset}.")
        return
    destination = edge.snapshot.find(key)
    if destination is None:
        edge.look_up(key, request)  # perhaps newer than the snapshot: the catalog is asked, then comes `follow`
        return
    follow(edge, request, destination, query)


def follow(edge: Edge, request: Request, destination: Destination, query: bytes) -> None:
    """Answer a request whose link is known."""
    now_ms = edge.journal.stamp()
    if not destination.is_open(now_ms):
        _turn_away(edge, request, destination)
        return
    if request.method == b"HEAD":
        edge.count(RedirectOutcome.head)
        request.answer(_FOUND % (edge.date, destination.address(query, b"")))
        return
    event = uuid7(now_ms)
    body, personal = describe(edge, request, destination, query, event, now_ms)
    edge.journal.append(destination.organization, body, personal, edge.settle_click, Ticket(request, destination, query, event))


def settle(edge: Edge, ticket: Ticket, is_recorded: bool) -> None:
    """Answer a click: its ID says whether it is on disk."""
    request, destination, query, event = ticket
    link = destination.link
    flags = (0 if is_recorded else click_id.UNRECORDED) | (click_id.TEST if link.is_test else 0)
    signed = edge.click_ids.mint(link.organization_id, link.id, event, flags)
    edge.count(RedirectOutcome.recorded if is_recorded else RedirectOutcome.unrecorded)
    request.answer(_FOUND % (edge.date, destination.address(query, signed)))


def describe(
    edge: Edge, request: Request, destination: Destination, query: bytes, event: bytes, now_ms: int
) -> tuple[bytes, bytes]:
    """Return a click as the journal takes it: the encoded leaf, and `kept TAB expiring`."""
    link, fields = destination.link, request.fields
    user_agent = fields.get(b"user-agent", b"")[:1_000]
    referrer = fields.get(b"referer", b"")
    is_opted_out = fields.get(b"sec-gpc") == b"1"
    event_id, at = uuid_text(event), rfc3339(now_ms)
    score = bot_score.score(request.method, request.headers, request.is_https)
    leaf = Leaf(
        event_id=event_id,
        event_type="click",
        occurred_at=at,
        received_at=at,
        click_id=event_id,
        link_id=link.id,
        creator_id=link.creator_id,
        campaign_id=link.campaign_id,
        asset_slug=link.asset_slug,
        bot_score=score.score,
        bot_reasons=score.reasons,
        list_versions=score.list_versions,
        trust_tier="server",
        consent="opted_out" if is_opted_out else "unknown",
        is_test=link.is_test,
    )
    if referrer:
        leaf.referrer_host = referrer_host(referrer)
    expiring = Expiring(
        salt=fresh_salt(),
        user_agent=user_agent.decode("latin-1"),
        signals=signals(request.method, request.headers, request.is_https),
    )
    if query:
        leaf.landing_params, networks = landing_parameters(read_query(query))
        if not is_opted_out:
            expiring.ad_click_ids = networks
    if not is_opted_out:
        expiring.ip_prefix = ip_prefix(request.address)
        expiring.referrer = referrer[:2_000].decode("latin-1")
        leaf.visitor_hash, leaf.visitor_hash_before = visitor_hashes(
            edge.snapshot.salts, now_ms, destination.organization, request.address, user_agent
        )
    personal = encode_personal(expiring)
    leaf.personal_commitment = commitment(b"", personal)
    return encode_leaf(leaf), b"\t" + personal


def _turn_away(edge: Edge, request: Request, destination: Destination) -> None:
    """A paused or expired link leads to its fallback, or says that it is gone."""
    if destination.fallback:
        edge.count(RedirectOutcome.fallback)
        request.answer(_FOUND % (edge.date, destination.fallback))
        return
    edge.count(RedirectOutcome.inactive_link)
    request.refuse(410, "inactive-link", "This link is no longer active.")
