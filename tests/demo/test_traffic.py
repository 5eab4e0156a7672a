"""The traffic: against a real edge, what it counted is what the journal has; the same seed sends the same."""

from __future__ import annotations

import asyncio
import base64
import json
from collections import Counter
from pathlib import Path

import pytest

from stackfluence import clock
from stackfluence.demo import Sent, compare, drive, prepare
from stackfluence.demo.header_sets import HeaderSets
from stackfluence.demo.sent import QUARANTINED, refunded_of, revenue_of
from stackfluence.demo.visitor import Traffic, Visitor
from stackfluence.demo.wire import Address
from stackfluence.vocabulary import EventType, RedirectOutcome
from tests.demo.recording import CLICK_ID, Recorded, record, response
from tests.demo.samples import SAMPLE, settings_in, snapshot_of
from tests.edge.edges import Event, start_edge

PACE = 0.001


def stored_of(events: list[Event]) -> dict[str, int]:
    """Return what a store would have of the journal's lines: each event once, quarantined ones apart."""
    leaves = {event.leaf.event_id: event.leaf for event in events}
    counts = Counter(QUARANTINED if leaf.quarantine_reason else leaf.event_type for leaf in leaves.values())
    for leaf in leaves.values():
        for name, cents in ((revenue_of, leaf.revenue_cents), (refunded_of, leaf.refund_amount_cents)):
            if cents:
                counts[name(leaf.currency)] += cents
    return dict(counts)


def assert_journal_has(sent: Sent, events: list[Event]) -> None:
    """Fail unless the journal is what was sent: exactly, but for what a busy machine left without an answer."""
    stored = stored_of(events)
    assert compare(sent, stored) == []
    unsure = sent.unanswered.total() + sent.resent
    assert 0 <= len(events) - sent.lines() <= unsure
    if not unsure:
        assert {kind: count for kind, count in sent.expected().items() if count} == stored


async def test_everything_sent_is_in_the_journal_and_counted_as_it_was_answered(tmp_path: Path) -> None:
    sample = await prepare(settings_in(tmp_path))
    async with start_edge(tmp_path, known=await snapshot_of(settings_in(tmp_path))) as edge:
        sent = await drive(f"http://127.0.0.1:{edge.port}", sample, 200, asyncio.Event(), visits=400, pace=PACE)
        events = edge.events()
    assert sent.surprises == []
    assert sent.visits == 400
    assert_journal_has(sent, events)
    assert edge.edge.recorded == sent.clicks
    assert edge.edge.counts == {k: v for k, v in sent.redirects.items() if k != RedirectOutcome.recorded}
    assert edge.intake.recorder.counts["refused"] == sent.refused.total()
    assert 0 <= edge.intake.recorder.counts["duplicate"] - sent.repeats.total() <= sent.resent
    assert sent.repeats.total() > 0
    assert edge.intake.recorder.counts["quarantined"] == sent.quarantined.total() > 0
    wanted = {"recorded", "head", "unknown_link", "inactive_link", "fallback"}
    assert wanted <= {str(outcome) for outcome in sent.redirects}
    # clicks are counted apart, and payments are told by vendors alone
    assert set(sent.events) == {event_type.value for event_type in EventType} - {"click", "payment"}


async def test_visitors_report_with_the_click_they_came_by(tmp_path: Path) -> None:
    sample = await prepare(settings_in(tmp_path))
    async with start_edge(tmp_path, known=await snapshot_of(settings_in(tmp_path))) as edge:
        await drive(f"http://127.0.0.1:{edge.port}", sample, 200, asyncio.Event(), visits=300, pace=PACE, seed=5)
        events = edge.events()
    clicks = {event.leaf.event_id for event in events if event.leaf.event_type == EventType.click}
    sessions = [event.leaf for event in events if event.leaf.event_type == EventType.session]
    valid = [leaf for leaf in sessions if leaf.click_id_status == "valid"]
    unrecorded = sum(leaf.click_id_status == "unrecorded" for leaf in sessions)  # a busy machine's
    assert len(valid) + unrecorded > 0.9 * len(sessions) > 0
    assert {leaf.click_id for leaf in valid} <= clicks
    tiers = Counter((event.leaf.event_type, event.leaf.trust_tier) for event in events)
    assert tiers["session", "browser"] == len(sessions)
    assert tiers["conversion", "server"] > 0
    assert tiers["conversion", "browser"] > 0
    browsers = {event.expiring.user_agent for event in events if event.expiring and event.expiring.user_agent}
    assert len(browsers) > 30
    assert len({event.leaf.visitor_hash for event in events}) > 100


def respond(request: Recorded) -> bytes:
    """Answer as an edge would, always the same."""
    if request.method in ("GET", "HEAD"):
        where = f"https://lumen-skincare.example/?inf_click_id={CLICK_ID}" if request.method == "GET" else "https://x/"
        return response("302 Found", b"", f"Location: {where}")
    if request.method == "OPTIONS":
        return response("204 No Content", b"", "Access-Control-Allow-Origin: *")
    fate = {"event_id": "x", "status": "accepted"}
    count = len(json.loads(request.body)["events"]) if request.target.endswith("/batch") else 0
    return response("202 Accepted", json.dumps({"events": [fate] * count} if count else fate).encode())


async def requests_of(seed: int) -> Counter[str]:
    async with record(respond) as server:
        await drive(server.base_url, SAMPLE, 5_000, asyncio.Event(), visits=120, pace=0, seed=seed)
    port = server.base_url.rpartition(":")[2]
    return Counter(repr(request).replace(port, "PORT") for request in server.requests)


async def test_the_same_seed_sends_the_same_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "now_ms", lambda: 1_795_000_000_000)
    first = await requests_of(1)
    assert first.total() > 250
    assert await requests_of(1) == first
    assert await requests_of(2) != first


async def test_at_the_end_visitors_leave_at_once_and_nothing_is_left_uncounted(tmp_path: Path) -> None:
    sample = await prepare(settings_in(tmp_path))
    until = asyncio.Event()
    sent = Sent()
    async with start_edge(tmp_path, known=await snapshot_of(settings_in(tmp_path))) as edge:
        driving = asyncio.create_task(drive(f"http://127.0.0.1:{edge.port}", sample, 300, until, sent=sent))
        while sent.clicks < 30:
            await asyncio.sleep(0.01)
        until.set()
        async with asyncio.timeout(5):
            assert await driving is sent
        events = edge.events()
    assert_journal_has(sent, events)


async def test_an_event_without_an_answer_is_sent_again_with_its_key_and_counted_once() -> None:
    answers = iter([None, response("503 Service Unavailable"), respond])

    def unwell(request: Recorded) -> bytes | None:
        answer = next(answers)
        return answer(request) if callable(answer) else answer

    async with record(unwell) as server:
        traffic = Traffic(Address.of(server.base_url), SAMPLE, HeaderSets(), seed="1", pace=0)
        visitor = Visitor(traffic, "v")
        await visitor.report([(EventType.conversion, {"order_id": "LS-1", "idempotency_key": "order-LS-1"})])
        await visitor.close()
    assert len({request.body for request in server.requests}) == 1
    assert traffic.sent.events == {"conversion": 1}
    assert traffic.sent.resent == 2
    assert not traffic.sent.unanswered


async def test_an_event_without_a_key_and_an_answer_may_be_stored_or_not() -> None:
    async with record(lambda _: None) as server:
        traffic = Traffic(Address.of(server.base_url), SAMPLE, HeaderSets(), seed="1", pace=0)
        visitor = Visitor(traffic, "v")
        await visitor.report([(EventType.conversion, {"order_id": "LS-1"})])
        await visitor.visit("/c/emma/night-serum", traffic.header_sets.named("curl"))
        await visitor.close()
    assert traffic.sent.unanswered == {"conversion": 1, "click": 1}
    assert compare(traffic.sent, {"click": 1}) == []
    assert compare(traffic.sent, {"click": 2}) == ["click: 0 sent and 1 unanswered, 2 stored"]


async def test_an_unrecorded_click_id_is_not_counted_as_stored() -> None:
    raw = bytes([1, 1, 1]) + bytes(44)  # the unrecorded flag
    signed = base64.urlsafe_b64encode(raw).decode().rstrip("=")

    def unrecorded(_: Recorded) -> bytes:
        return response("302 Found", b"", f"Location: https://lumen-skincare.example/?inf_click_id={signed}")

    async with record(unrecorded) as server:
        traffic = Traffic(Address.of(server.base_url), SAMPLE, HeaderSets(), seed="1", pace=0)
        visitor = Visitor(traffic, "v")
        landing = await visitor.visit("/c/emma/night-serum", traffic.header_sets.named("curl"))
        await visitor.close()
    assert landing is not None
    assert traffic.sent.redirects == {"unrecorded": 1}
    assert traffic.sent.expected()["click"] == 0
    assert compare(traffic.sent, {"click": 0}) == compare(traffic.sent, {"click": 1}) == []


def test_differences_are_told_by_kind() -> None:
    sent = Sent()
    sent.redirects[RedirectOutcome.recorded] = 1_240
    sent.events["session"] = 312
    sent.quarantined["wrong_type"] = 2
    assert compare(sent, {"click": 1_240, "session": 312, "quarantined": 2}) == []
    assert compare(sent, {"click": 1_239, "session": 313}) == [
        "click: 1,240 sent, 1,239 stored",
        "quarantined: 2 sent, 0 stored",
        "session: 312 sent and 0 unanswered, 313 stored",
    ]
