"""Events as they are stored: a list to follow, one with its proof, and a stream."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Annotated, Any

import msgspec
from fastapi import Header, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import Field

from stackfluence.api.access import Access, Accessed
from stackfluence.api.core import Core
from stackfluence.api.event_queries import EventFilter, place_after
from stackfluence.api.fields import Text, Told
from stackfluence.api.problems import is_passing
from stackfluence.api.routes import MISSING, router
from stackfluence.catalog import load_horizon
from stackfluence.catalog.tables import Key
from stackfluence.errors import NotFound, Unavailable
from stackfluence.events.event import Leaf
from stackfluence.events.feed import MAX_LIMIT, Cursor, Filters, find_event, page_of_events

POLL_SECONDS = 0.5
HEARTBEAT_SECONDS = 15.0  # below the idle time-out of any proxy
STREAM_PAGE = 500
MAX_STREAMS = 100  # each asks the catalog twice a second
MAX_STREAMS_EACH = 10  # of one organization: it can't take all of them
_BEHIND_ALL_NODES = "z"  # nodes begin with n_


class EventQuery(EventFilter):
    """Which part of the list of events."""

    limit: int = Field(default=100, ge=1, le=MAX_LIMIT)
    cursor: Text = Field(default="", max_length=100)
    is_quarantined: bool = Field(default=False, description="Those that can't be used, with their reasons, instead.")


class StreamQuery(EventFilter):
    """What to stream."""

    cursor: Text = Field(default="", max_length=100, description="Begin behind it; without, behind what is stored now.")


class EventPage(Told):
    """A part of the events, in the order in which they became readable."""

    items: list[dict[str, Any]]
    next_cursor: str | None = Field(description="Null when there is no more at present.")
    resume_cursor: str = Field(description="Where this part ends: give it as `cursor` later for what came since.")


class Proof(Told):
    """That the leaf was sealed: hash up from `leaf` by `path` to `root`, which `own` ties to the seal's entries."""

    seal: dict[str, Any]
    seal_hash: str
    own: dict[str, Any] | None
    index: int
    leaves: int
    root: str
    path: list[str]


class EventWithProof(Told):
    """One event. `leaf` has the bytes that were sealed; of its person there is what has not expired or been erased."""

    event: dict[str, Any]
    leaf: str
    rows: int = Field(description="How often it was received; one counts.")
    is_quarantined: bool
    kept: str | None
    expiring: str | None
    expiring_hash: str | None
    proof: Proof | None = Field(description="Null while the segment is being loaded.")


routes = router("events")

PAGE_SCHEMA = EventPage.model_json_schema(ref_template="#/components/schemas/{model}")
PAGE_SCHEMA["properties"]["items"]["items"] = {"$ref": "#/components/schemas/Event"}


def event_schema() -> dict[str, Any]:
    """Return the schemas of events as lists give them: a leaf, and its place. A quarantined one may lack most."""
    (_, components) = msgspec.json.schema_components([Leaf], ref_template="#/components/schemas/{name}")
    schema = dict(components["Leaf"])
    schema["title"] = "Event"
    schema["description"] = "What is kept of an event for ever, what is unset left out. Later versions may add fields."
    schema["required"] = ["load_number", "node", "seq"]
    place = {name: {"type": "integer"} for name in ("load_number", "seq", "schema_version")}
    place |= {name: {"type": "string"} for name in ("stored_at", "organization_id", "node")}
    schema["properties"] = place | schema["properties"]
    return {"Event": schema, "Line": components["Line"], "EventPage": PAGE_SCHEMA}


_PAGE: dict[int | str, dict[str, Any]] = {
    200: {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/EventPage"}}}}
}
_STREAM: dict[int | str, dict[str, Any]] = {200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}}


@routes.get("/events", response_class=Response, responses=_PAGE, summary="List events")
async def list_events(asked: Annotated[EventQuery, Query()], request: Request, access: Accessed) -> Response:
    """List events in the order in which they became readable, so that whoever follows the cursor misses none.

    An event that was received again comes again only when the later one counts in its place.
    """
    core: Core = request.app.state.core
    store, after = core.events, place_after(asked.cursor)
    page = await page_of_events(
        store,
        access.organization_id,
        await load_horizon(core.catalog),
        after=after,
        limit=asked.limit,
        filters=asked.filters(),
        is_quarantined=asked.is_quarantined,
    )
    resume = page.next_cursor.text() if page.next_cursor.node else asked.cursor
    told = {
        "items": page.items,
        "next_cursor": None if page.is_last else resume,
        "resume_cursor": resume,
    }
    return Response(msgspec.json.encode(told), media_type="application/json")


@routes.get("/events/stream", response_class=Response, responses=_STREAM, summary="Stream events")
async def stream_events(
    asked: Annotated[StreamQuery, Query()],
    request: Request,
    access: Accessed,
    last_event_id: Annotated[str | None, Header(alias="Last-Event-ID", max_length=100)] = None,
) -> StreamingResponse:
    """Stream events as they are stored, as server-sent events; the id of each is its cursor.

    A client that reconnects with `Last-Event-ID` goes on where it was. A comment comes every 15 seconds.
    """
    core: Core = request.app.state.core
    core.events  # noqa: B018 — 503 before the stream begins
    streams: dict[str, int] = request.app.state.streams
    if streams.get(access.organization_id, 0) >= MAX_STREAMS_EACH or sum(streams.values()) >= MAX_STREAMS:
        raise Unavailable(f"At most {MAX_STREAMS_EACH} streams at a time.")
    text = last_event_id or asked.cursor
    after = place_after(text) if text else Cursor(await load_horizon(core.catalog), _BEHIND_ALL_NODES, 0)
    closing: asyncio.Event = request.app.state.closing
    return StreamingResponse(
        _counted(_events(core, access, after, asked.filters(), closing), streams, access.organization_id),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


async def _counted(stream: AsyncIterator[bytes], streams: dict[str, int], organization_id: str) -> AsyncIterator[bytes]:
    streams[organization_id] = streams.get(organization_id, 0) + 1
    try:
        async for chunk in stream:
            yield chunk
    finally:
        streams[organization_id] -= 1
        if not streams[organization_id]:
            del streams[organization_id]


async def _events(
    core: Core, access: Access, after: Cursor, filters: Filters, closing: asyncio.Event
) -> AsyncIterator[bytes]:
    """Yield what comes after a cursor, until the core closes or the key is revoked. A store that is away comes back."""
    loop = asyncio.get_running_loop()
    yield b": stackfluence\nretry: 2000\n\n"
    heartbeat_at = loop.time() + HEARTBEAT_SECONDS
    seen = -1
    while not closing.is_set():
        try:
            horizon = await load_horizon(core.catalog)
            is_last = horizon == seen
            if not is_last:
                page = await page_of_events(
                    core.events, access.organization_id, horizon, after=after, limit=STREAM_PAGE, filters=filters
                )
                after, is_last = page.next_cursor, page.is_last
                if page.items:
                    yield b"".join(_message(item) for item in page.items)
                if is_last:
                    seen = horizon
            if loop.time() >= heartbeat_at:
                heartbeat_at = loop.time() + HEARTBEAT_SECONDS
                yield b":\n\n"
                if await _is_revoked(core, access):
                    return
        except Exception as error:
            if not is_passing(error):
                raise
            is_last = True
        if is_last:
            await _pause(closing)


async def _pause(closing: asyncio.Event) -> None:
    # not `wait_for`: that forgets that it was cancelled when the core closes at the same moment
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(POLL_SECONDS):
            await closing.wait()


async def _is_revoked(core: Core, access: Access) -> bool:
    async with core.catalog.reading() as session:
        key = await session.get(Key, access.key_id)
    return key is None or key.revoked_at is not None


def _message(item: dict[str, Any]) -> bytes:
    cursor = Cursor(item["load_number"], item["node"], item["seq"]).text()
    return b"id: %b\ndata: %b\n\n" % (cursor.encode(), msgspec.json.encode(item))


@routes.get("/events/{event_id}", responses=MISSING, summary="Get an event with its proof")
async def get_event(event_id: str, request: Request, access: Accessed) -> EventWithProof:
    """Get one event, quarantined ones too, with what is kept of its person and the proof that it was sealed."""
    core: Core = request.app.state.core
    store = core.events
    try:
        found = await find_event(store, access.organization_id, await load_horizon(core.catalog), event_id)
    except ValueError:
        found = None
    if found is None:
        raise NotFound(f"There is no event {event_id!r}.")
    proof = found.proof and Proof(
        **found.proof.view,
        index=found.proof.index,
        leaves=found.proof.leaves,
        root=found.proof.root.hex(),
        path=[sibling.hex() for sibling in found.proof.path],
    )
    return EventWithProof(
        event=found.event,
        leaf=found.leaf.decode(),
        rows=found.rows,
        is_quarantined=found.is_quarantined,
        kept=found.kept.decode() or None,
        expiring=found.expiring.decode() or None,
        expiring_hash=found.expiring_hash or None,
        proof=proof,
    )
