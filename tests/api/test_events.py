"""Events over HTTP: followed without a gap, proved one by one, streamed as they come."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from starlette.types import Message

from stackfluence.api import events as streaming
from stackfluence.catalog import load_horizon
from stackfluence.events import seal
from stackfluence.events.event import commitment
from stackfluence.events.store import StatementFailed, Store
from tests.api.brands import Brand, errors
from tests.api.stored import Journal


async def follow(brand: Brand, cursor: str = "", **query: Any) -> tuple[list[str], str]:
    """Return the ids of all events behind a cursor, and where they end."""
    seen: list[str] = []
    while True:
        response = await brand.get("/v1/events", params={"limit": 2, "cursor": cursor, **query})
        assert response.status_code == 200, response.text
        page = response.json()
        seen += [event["event_id"] for event in page["items"]]
        if page["next_cursor"] is None:
            return seen, page["resume_cursor"]
        cursor = page["next_cursor"]


async def test_whoever_follows_the_cursor_gets_each_event_once(journal: Journal) -> None:
    first = [journal.event(link_id=f"lnk_000000000{n}") for n in range(5)]
    journal.event(brand=journal.other)
    assert await follow(journal.brand) == ([], "")
    await journal.load()
    seen, cursor = await follow(journal.brand)
    assert seen == [leaf.event_id for leaf in first]
    assert await follow(journal.brand, cursor) == ([], cursor)
    later = journal.event("conversion", occurred_at="2026-11-01T00:00:00.000Z", order_id="1", revenue_cents=4999)
    await journal.load()
    assert (await follow(journal.brand, cursor))[0] == [later.event_id], "an event that came late is not passed over"
    assert len((await follow(journal.other))[0]) == 1


async def test_events_are_found_by_what_they_are(journal: Journal) -> None:
    click = journal.event(link_id="lnk_0000000001", creator_id="crt_0000000001")
    sale = journal.event("conversion", click_id=click.event_id, campaign_id="cmp_0000000001", is_test=True)
    bad = journal.event("refund", quarantine_reason="missing_field", quarantine_detail="refund_amount_cents")
    await journal.load()
    everything = [click.event_id, sale.event_id]
    wanted_of: list[tuple[dict[str, Any], list[str]]] = [
        ({}, everything),
        ({"event_type": "click"}, [click.event_id]),
        ({"click_id": click.event_id}, everything),
        ({"link_id": "lnk_0000000001", "creator_id": "crt_0000000001"}, [click.event_id]),
        ({"campaign_id": "cmp_0000000001"}, [sale.event_id]),
        ({"is_test": False}, [click.event_id]),
        ({"from": sale.occurred_at}, [sale.event_id]),
        ({"to": sale.occurred_at}, [click.event_id]),
        ({"from": "2100-01-01T00:00:00Z"}, []),
        ({"is_quarantined": True}, [bad.event_id]),
        ({"is_quarantined": True, "event_type": "click"}, []),
    ]
    for query, wanted in wanted_of:
        assert (await follow(journal.brand, **query))[0] == wanted, query
    for field, value in (
        ("cursor", "x"),
        ("cursor", "1.2"),
        ("click_id", "x"),
        ("event_type", "like"),
        ("from", "yesterday"),
        ("limit", "1001"),
        ("colour", "red"),
    ):
        response = await journal.brand.get("/v1/events", params={field: value})
        assert response.status_code == 422, value
        assert set(errors(response)) == {field}


async def test_an_event_is_told_with_a_proof_that_holds(journal: Journal) -> None:
    wanted = journal.event(
        "conversion", kept={"customer_hash": "c1", "properties": '{"note":"=1+1"}'}, expiring={"user_agent": "phone"}
    )
    for number in range(4):
        journal.event(brand=journal.other if number % 2 else None)
    await journal.load()
    told = (await journal.brand.get(f"/v1/events/{wanted.event_id}")).json()
    assert told["event"]["event_id"] == wanted.event_id
    assert json.loads(told["leaf"])["personal_commitment"] == commitment(
        told["kept"].encode(), told["expiring"].encode()
    )
    proof = told["proof"]
    path = [bytes.fromhex(sibling) for sibling in proof["path"]]
    root = bytes.fromhex(proof["root"])
    assert seal.is_included(told["leaf"].encode(), proof["index"], proof["leaves"], path, root)
    assert not seal.is_included(told["leaf"].encode() + b" ", proof["index"], proof["leaves"], path, root)
    assert seal.check_view(proof)
    assert proof["own"]["root"] == proof["root"]
    assert journal.other.keys.organization_id not in json.dumps(told)


async def test_anothers_event_is_unknown_whatever_is_asked(journal: Journal) -> None:
    theirs = journal.event(brand=journal.other)
    await journal.load()
    for event_id in (theirs.event_id, "01a20320-a27b-7abc-8def-0123456789ab", "nonsense", "%00"):
        response = await journal.brand.get(f"/v1/events/{event_id}")
        assert (response.status_code, errors(response)) == (404, {})
    assert (await journal.other.get(f"/v1/events/{theirs.event_id}")).status_code == 200
    assert (await follow(journal.brand, click_id=theirs.event_id))[0] == []


async def test_without_an_event_store_events_are_a_503(brand: Brand) -> None:
    for path in (
        "/v1/events",
        "/v1/events/stream",
        "/v1/events/01a20320-a27b-7abc-8def-0123456789ab",
        "/v1/reports/summary",
        "/v1/exports/events",
        "/v1/exports/events/manifest",
        "/v1/exports/seals",
    ):
        response = await brand.get(path)
        assert (response.status_code, errors(response)) == (503, {})
        assert response.headers["retry-after"]


class Stream:
    """A reader of server-sent events that speaks ASGI itself: a test client would wait for the end."""

    def __init__(self, journal: Journal, path: str, headers: dict[str, str]) -> None:
        target, _, query = path.partition("?")
        sent = {"authorization": journal.brand.headers["authorization"], **headers}
        self._scope = {
            "type": "http", "method": "GET", "path": target, "query_string": query.encode(), "scheme": "https",
            "headers": [(name.lower().encode(), value.encode()) for name, value in sent.items()],
        }  # fmt: skip
        self._gone = asyncio.Event()
        self.status = 0
        self._received: asyncio.Queue[bytes] = asyncio.Queue()
        self.task = asyncio.create_task(journal.api(self._scope, self._receive, self._send))

    async def _receive(self) -> Message:
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        self.status = message.get("status", self.status)
        for block in message.get("body", b"").split(b"\n\n"):
            if block:
                await self._received.put(block)

    async def next(self) -> dict[str, Any]:
        """Return the next event, its cursor as `cursor`."""
        while True:
            block = await asyncio.wait_for(self._received.get(), 10)
            lines = dict(line.split(b": ", 1) for line in block.split(b"\n") if line.startswith((b"id: ", b"data: ")))
            if lines:
                return {"cursor": lines[b"id"].decode(), **json.loads(lines[b"data"])}

    async def heartbeat(self) -> None:
        """Wait for a comment."""
        while not (await asyncio.wait_for(self._received.get(), 10)).startswith(b":"):
            pass

    async def leave(self) -> None:
        self._gone.set()
        await asyncio.wait_for(self.task, 10)


@asynccontextmanager
async def stream(journal: Journal, query: str = "", **headers: str) -> AsyncIterator[Stream]:
    opened = Stream(journal, f"/v1/events/stream{query}", headers)
    await opened.heartbeat()
    yield opened
    await opened.leave()


async def test_a_stream_tells_what_comes_and_goes_on_where_it_was(journal: Journal) -> None:
    old = journal.event()
    await journal.load()
    async with stream(journal) as live:
        first, second = journal.event(), journal.event()
        journal.event(brand=journal.other)
        await journal.load()
        told = [await live.next(), await live.next()]
        assert [event["event_id"] for event in told] == [first.event_id, second.event_id]
    third = journal.event()
    await journal.load()
    async with stream(journal, **{"Last-Event-ID": told[0]["cursor"]}) as again:
        assert [(await again.next())["event_id"] for _ in range(2)] == [second.event_id, third.event_id]
    async with stream(journal, "?cursor=0.0.n_0&event_type=click") as whole:
        assert (await whole.next())["event_id"] == old.event_id
    assert journal.api.state.streams == {}


async def test_a_stream_ends_when_its_key_is_revoked_or_the_core_closes(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streaming, "HEARTBEAT_SECONDS", 0.05)
    monkeypatch.setattr(streaming, "POLL_SECONDS", 0.02)
    made = await journal.brand.make("keys", kind="secret")
    opened = Stream(journal, "/v1/events/stream", {"authorization": f"Bearer {made['key']}"})
    await opened.heartbeat()
    await opened.heartbeat()
    assert (await journal.brand.delete(f"/v1/keys/{made['id']}")).status_code == 204
    await asyncio.wait_for(opened.task, 10)
    opened = Stream(journal, "/v1/events/stream", {})
    await opened.heartbeat()
    journal.api.state.closing.set()
    await asyncio.wait_for(opened.task, 10)
    assert opened.status == 200


async def test_one_organization_cannot_take_all_streams(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "MAX_STREAMS_EACH", 1)
    async with stream(journal):
        refused = await journal.brand.get("/v1/events/stream")
        assert (refused.status_code, errors(refused)) == (503, {})
        other = Stream(journal, "/v1/events/stream", {"authorization": journal.other.headers["authorization"]})
        await other.heartbeat()
        await other.leave()
    assert journal.api.state.streams == {}


async def test_a_stream_waits_for_a_catalog_that_is_away(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "POLL_SECONDS", 0.02)
    failures = 0

    async def away(catalog: Any) -> int:
        nonlocal failures
        failures += 1
        if 1 < failures < 4:
            raise ConnectionRefusedError
        return await load_horizon(catalog)

    monkeypatch.setattr(streaming, "load_horizon", away)
    async with stream(journal) as live:
        leaf = journal.event()
        await journal.load()
        assert (await live.next())["event_id"] == leaf.event_id
    assert failures >= 4


async def test_a_store_that_fails_is_a_503(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    from stackfluence.events.store import Store

    async def fail(_store: Store, *_statement: Any, **_parameters: Any) -> Any:
        raise StatementFailed("page_of_events", None, "connection refused")

    monkeypatch.setattr(Store, "read", fail)
    response: httpx.Response = await journal.brand.get("/v1/events")
    assert (response.status_code, errors(response)) == (503, {})
    assert "refused" not in response.text
