"""What the demo prints: sent and stored side by side, and at the end whether they agree."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from typing import Any

import pytest

from stackfluence.demo import progress, show, stored
from tests.demo.recording import Recorded, record, response
from tests.demo.samples import SAMPLE
from tests.demo.test_traffic import respond

EARLIER = Counter({"click": 1_000, "session": 200, "conversion USD cents": 99})  # of a demo before
PLURALS = {"click": "clicks", "session": "sessions", "pageview": "pageviews", "conversion": "conversions",
           "refund": "refunds", "identify": "identifies"}  # fmt: skip


def summary_of(counts: Counter[str]) -> bytes:
    """Return a summary as the API gives it."""
    money = {
        name: {key.split()[1]: cents for key, cents in counts.items() if key.startswith(f"{kind} ")}
        for kind, name in (("conversion", "revenue_cents"), ("refund", "refunded_cents"))
    }
    total = {plural: counts[name] for name, plural in PLURALS.items()} | money
    return json.dumps({"total": total, "quarantined": counts["quarantined"]}).encode()


class Store:
    """Counts what is clicked and posted, each event once, and tells it; `lost` clicks never arrive."""

    def __init__(self, lost: int = 0) -> None:
        self.counts = EARLIER + Counter()
        self.counts["click"] -= lost
        self.seen: set[str] = set()
        self.asked = 0

    def __call__(self, request: Recorded) -> bytes:
        if request.target.startswith(stored.SUMMARY):
            self.asked += 1
            assert request.get("authorization") == f"Bearer {SAMPLE.secret_key}"
            return response("200 OK", summary_of(EARLIER if self.asked <= 2 else self.counts))
        if request.method == "GET":
            self.counts["click"] += 1
        elif request.method == "POST":
            name = request.target.rpartition("/")[2]
            try:
                document = json.loads(request.body)
            except json.JSONDecodeError:
                return response("400 Bad Request")
            for event in document["events"] if name == "batch" else [document]:
                self._take(event.get("type", name), event)
        return respond(request)

    def _take(self, event_type: str, event: dict[str, Any]) -> None:
        key = f"{event_type} {event.get('idempotency_key', len(self.seen))}"
        if key in self.seen:
            return
        self.seen.add(key)
        self.counts[event_type] += 1
        for field in ("revenue_cents", "refund_amount_cents"):
            if isinstance(event.get(field), int):
                self.counts[f"{event_type} {event.get('currency', 'USD')} cents"] += event[field]


async def shown(store: Store, monkeypatch: pytest.MonkeyPatch) -> tuple[list[str], list[str]]:
    """Return what `show` says is missing, and what it wrote."""
    monkeypatch.setattr(stored, "STEADY_SECONDS", 0.0)
    monkeypatch.setattr(progress, "SETTLE_SECONDS", 0.3)
    monkeypatch.setattr(progress, "ASK_SECONDS", 0.02)
    written: list[str] = []
    until = asyncio.Event()
    async with record(store) as server:
        loop = asyncio.get_running_loop()
        loop.call_later(0.5, until.set)
        lacking = await show(server.base_url, SAMPLE, 200, until, written.append, every_seconds=0.15, pace=0.001)
    return lacking, written


async def test_it_says_so_when_everything_is_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    lacking, written = await shown(Store(), monkeypatch)
    assert lacking == []
    assert written[0].startswith("sent ")
    assert " clicks · " in written[0]
    assert written[1].endswith("✓"), "what an earlier demo stored is not counted"
    assert written[-1] == "Everything that was answered is stored, once. ✓"


async def test_it_names_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    lacking, written = await shown(Store(lost=500), monkeypatch)
    assert len(lacking) == 1
    assert lacking[0].startswith("click: ")
    assert written[1].endswith("… loading")
    assert f"✗ {lacking[0]}" in written


async def test_clicks_of_a_person_who_tries_the_links_are_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    lacking, written = await shown(Store(lost=-2), monkeypatch)
    assert lacking == []
    assert any(line.startswith("Sent by others meanwhile: click: ") for line in written)


async def test_without_a_core_the_traffic_goes_on_and_nothing_is_claimed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored, "STEADY_SECONDS", 0.0)
    written: list[str] = []
    until = asyncio.Event()

    def without_core(request: Recorded) -> bytes:
        return response("503 Service Unavailable") if request.target == stored.SUMMARY else respond(request)

    async with record(without_core) as server:
        asyncio.get_running_loop().call_later(0.3, until.set)
        lacking = await show(server.base_url, SAMPLE, 100, until, written.append, pace=0.001)
    assert len(lacking) == 1
    assert "503" in lacking[0]
    assert any(request.target.startswith("/c/") for request in server.requests)
