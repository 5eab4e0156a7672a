"""Many copies of one conversion at the same time, and the same again after a restart, are one event."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from tests.edge.edges import SECRET_KEY, Client, RunningEdge, assert_gap_free, journal_events, start_edge

CONNECTIONS, EACH = 25, 20
SERVER = {"Authorization": f"Bearer {SECRET_KEY}"}


async def send_copies(running: RunningEdge, body: bytes) -> list[str]:
    """Send one event on many connections, several in flight on each; returns each answer's event id and status."""
    clients = [await running.connect() for _ in range(CONNECTIONS)]

    async def send(client: Client) -> list[str]:
        for _ in range(EACH):
            client.ask("POST", "/v1/events/conversion", body, **SERVER)
        answers = [await client.response(seconds=30) for _ in range(EACH)]
        assert {answer.status for answer in answers} == {202}
        return [answer.json["event_id"] for answer in answers]

    return [event_id for ids in await asyncio.gather(*map(send, clients)) for event_id in ids]


async def test_copies_of_one_conversion_are_one_event_also_after_a_restart(tmp_path: Path) -> None:
    body = json.dumps({"order_id": "o-1", "revenue_cents": 12_900, "idempotency_key": "o-1"}).encode()
    event_ids: set[str] = set()
    for _ in range(2):
        async with start_edge(tmp_path) as running:
            event_ids |= set(await send_copies(running, body))
            counts = running.intake.recorder.counts
            assert counts["accepted"] >= 1
            assert counts["accepted"] + counts["duplicate"] == CONNECTIONS * EACH
    events = journal_events(tmp_path / "journal" / "w0")
    assert_gap_free(events)
    assert len(events) == 2 * CONNECTIONS * EACH, "none was answered without being on disk"
    assert {event.leaf.event_id for event in events} == event_ids
    assert len(event_ids) == 1
    assert {(event.leaf.order_id, event.leaf.revenue_cents) for event in events} == {("o-1", 12_900)}
