"""The install check: what arrived from a page in the last hour, what is missing, and why. No page is ever fetched."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import httpx
import msgspec
from fastapi import Query
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import select

from stackfluence.api.access import Reading, Reads
from stackfluence.api.fields import Text, Time, Told
from stackfluence.api.install_findings import Refused, Seen, find
from stackfluence.api.routes import router
from stackfluence.catalog import load_horizon
from stackfluence.catalog.tables import Key
from stackfluence.clock import now_ms
from stackfluence.collect.payloads import page_host, page_parts
from stackfluence.errors import Invalid
from stackfluence.events.statements import read_statements
from stackfluence.vocabulary import (
    ClickIdStatus,
    Consent,
    ConversionType,
    EventType,
    InstallFinding,
    QuarantineReason,
    TrustTier,
)

SQL = read_statements(Path(__file__).with_name("install.sql"))
MINUTES = 60
MOST_ARRIVALS = 1_000
MOST_PAGES = 50
MOST_QUARANTINED = 20
MOST_REFUSED = 20
EDGE_SECONDS = 2.0  # an edge that is busier than that is left out
MAX_REFUSALS_BYTES = 4 << 20


class CheckQuery(BaseModel):
    """Which page."""

    model_config = ConfigDict(extra="forbid")

    url: Text = Field(
        default="",
        max_length=2_000,
        description="A page's address: findings are of its host, and of it when it has a path. It is not fetched.",
        examples=["https://shop.brand.example/socks"],
    )


class Finding(Told):
    """What is missing or wrong."""

    finding: InstallFinding
    sentence: str = Field(description="What was seen and what to do, for a person. Its wording may change.")


class Arrival(Told):
    """Events that are alike in everything an install can get wrong; each is counted once."""

    event_type: EventType
    conversion_type: ConversionType | None
    trust_tier: TrustTier | None
    shop: str
    host: str = Field(description="Of the page; empty of a server, and where no consent let its address be kept.")
    consent: Consent | None
    click_id_status: ClickIdStatus | None
    is_test: bool
    events: int
    connected: int = Field(description="Those with a valid click ID, a code or a customer, which can name a creator.")
    last_received_at: Time


class Page(Told):
    """A page that told of something; `path` without query, personal parts left out."""

    host: str
    path: str
    event_type: EventType
    events: int
    last_received_at: Time


class Quarantined(Told):
    """Events that can't be used."""

    event_type: str
    trust_tier: TrustTier | None
    reason: QuarantineReason
    detail: str
    events: int
    last_received_at: Time


class RefusedRequests(Told):
    """Requests of which nothing was kept: with your keys or connections, or from an origin that you allow."""

    origin: str
    path: str
    status: int
    type: str
    detail: str
    requests: int
    last_received_at: Time


class InstallCheck(Told):
    """What arrived since `from`. Findings come in the order of a visitor's journey; none is good news."""

    url: str
    from_: Time = Field(serialization_alias="from")
    to: Time
    findings: list[Finding]
    arrivals: list[Arrival] = Field(description="Clicks on your links too. Newest first.", max_length=MOST_ARRIVALS)
    pages: list[Page] = Field(description="Newest first, the page asked about before.", max_length=MOST_PAGES)
    quarantined: list[Quarantined] = Field(max_length=MOST_QUARANTINED)
    refused: list[RefusedRequests] = Field(max_length=MOST_REFUSED)
    edges_asked: int = Field(
        description="How many edges told what they refused: those beside this core. Others tell it on their admin port."
    )


class _Refusal(msgspec.Struct):
    at_ms: int
    status: int
    kind: str
    detail: str
    path: str
    origin: str
    organization_id: str


class _Refusals(msgspec.Struct):
    items: list[_Refusal]


routes = router("install")


@routes.get("/install/check", summary="Check an install")
async def check_install(asked: Annotated[CheckQuery, Query()], reading: Reads) -> InstallCheck:
    """Tell what arrived in the last 60 minutes from which host and page, what is missing and why.

    What is told within a second or two is not in it yet. The address is compared with what arrived, never fetched.
    """
    host, path = _read_url(asked.url)
    to_ms = now_ms()
    since_ms = to_ms - MINUTES * 60_000
    store = reading.core.events
    span = {"horizon": await load_horizon(reading.core.catalog), "since_ms": since_ms}
    (first,) = await store.read(SQL["first_load"], **span)
    common: dict[str, Any] = {**span, **first, "organization_id": reading.organization_id}
    arrivals, pages, quarantined, (edges, refused) = await asyncio.gather(
        store.read(SQL["arrivals"], **common, limit=MOST_ARRIVALS),
        store.read(SQL["pages"], **common, host=host, path=path, limit=MOST_PAGES),
        store.read(SQL["quarantined"], **common, limit=MOST_QUARANTINED),
        _refused(reading, since_ms),
    )
    seen = Seen(MINUTES, host, "" if path == "/" else path, arrivals, pages, quarantined, refused)
    return InstallCheck(
        url=asked.url,
        from_=since_ms,
        to=to_ms,
        findings=[Finding(finding=word, sentence=sentence) for word, sentence in find(seen)],
        arrivals=[_arrival(row) for row in arrivals],
        pages=[_page(row) for row in pages],
        quarantined=[_quarantined(row) for row in quarantined],
        refused=[_requests(group) for group in refused],
        edges_asked=edges,
    )


def _read_url(url: str) -> tuple[str, str]:
    """Return host and path as events have them, both empty without an address; raises Invalid for no page's."""
    if not url:
        return "", ""
    host = page_host(url)
    if not host or not url.lower().startswith(("https://", "http://")):
        raise Invalid("url: must be a page's address, as https://shop.brand.example/socks.", field="url")
    path, _ = page_parts(url)
    return host, path


def _arrival(row: dict[str, Any]) -> Arrival:
    """Return a group as it is told: what an event doesn't have is null."""
    named = ("conversion_type", "trust_tier", "consent", "click_id_status")
    plain = ("event_type", "shop", "host", "is_test", "events", "connected")
    return Arrival(
        **{name: row[name] or None for name in named},
        **{name: row[name] for name in plain},
        last_received_at=row["last_ms"],
    )


def _page(row: dict[str, Any]) -> Page:
    return Page(
        host=row["host"],
        path=row["page_path"],
        event_type=row["event_type"],
        events=row["events"],
        last_received_at=row["last_ms"],
    )


def _quarantined(row: dict[str, Any]) -> Quarantined:
    return Quarantined(
        event_type=row["event_type"],
        trust_tier=row["trust_tier"] or None,
        reason=row["reason"],
        detail=row["detail"],
        events=row["events"],
        last_received_at=row["last_ms"],
    )


def _requests(group: Refused) -> RefusedRequests:
    return RefusedRequests(
        origin=group.origin,
        path=group.path,
        status=group.status,
        type=group.type,
        detail=group.detail,
        requests=group.requests,
        last_received_at=group.last_ms,
    )


async def _refused(reading: Reading, since_ms: int) -> tuple[int, list[Refused]]:
    """Return how many edges of this data directory answered, and what of theirs is the organization's to see.

    A request without a known key names no organization: it is told to those who allow its origin, and to nobody else.
    """
    sockets = sorted((reading.core.settings.data_path / "edge").glob("w*.sock"))
    answers = await asyncio.gather(*(_refusals_of(socket) for socket in sockets))
    allowed = set[str]()
    keys = select(Key.allowed_origins).where(Key.organization_id == reading.organization_id, Key.revoked_at.is_(None))
    for (origins,) in await reading.session.execute(keys):
        allowed.update(origins)
    counts: Counter[tuple[str, str, int, str, str]] = Counter()
    last: dict[tuple[str, str, int, str, str], int] = {}
    for refusal in (refusal for answer in answers if answer is not None for refusal in answer):
        is_own = refusal.organization_id == reading.organization_id
        is_from_own_page = not refusal.organization_id and refusal.origin.lower() in allowed
        if refusal.at_ms < since_ms or not (is_own or is_from_own_page):
            continue
        group = (refusal.origin, refusal.path, refusal.status, refusal.kind, refusal.detail)
        counts[group] += 1
        last[group] = max(last.get(group, 0), refusal.at_ms)
    newest = sorted(counts, key=lambda group: (-last[group], group))[:MOST_REFUSED]
    return sum(answer is not None for answer in answers), [
        Refused(*group, requests=counts[group], last_ms=last[group]) for group in newest
    ]


async def _refusals_of(socket: Path) -> list[_Refusal] | None:
    """Return what one edge refused lately, None when it doesn't answer in time."""
    # a socket has no certificate, and reading those of authorities would hold up the event loop
    transport = httpx.AsyncHTTPTransport(uds=str(socket), verify=False)
    try:
        async with httpx.AsyncClient(transport=transport, timeout=EDGE_SECONDS) as client:
            answer = await client.get("http://edge/refusals")
        if answer.status_code != 200 or len(answer.content) > MAX_REFUSALS_BYTES:
            return None
        return msgspec.json.decode(answer.content, type=_Refusals).items
    except (httpx.HTTPError, OSError, msgspec.DecodeError):
        return None
