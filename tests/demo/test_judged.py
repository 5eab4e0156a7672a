"""How each kind of the demo's visitors was judged, as the store has it."""

from __future__ import annotations

import json
from collections import Counter
from urllib.parse import parse_qs, urlsplit

from stackfluence.clock import uuid7
from stackfluence.demo.judged import EVENTS, REMEMBERED, account, fetch_judged
from stackfluence.demo.sent import Sent
from stackfluence.vocabulary import TrafficClass
from tests.demo.recording import Recorded, record, response
from tests.demo.samples import SAMPLE

AT_MS = 1_790_000_000_000
PERSON, PREVIEW, COPY, STRANGER = (uuid7(AT_MS + number)[1] for number in range(4))
PAGES = [
    [{"event_id": PERSON}, {"event_id": PREVIEW, "bot_reasons": ["link_preview", "listed_pattern"]}],
    [
        {"event_id": COPY, "bot_reasons": ["unlike_brands", "a reason of another version"]},
        {"event_id": STRANGER, "bot_reasons": ["attack"]},
    ],
]
CLICKED = {PERSON: "person", PREVIEW: "preview", COPY: "script"}


def tell(request: Recorded) -> bytes:
    """Answer as the core does, two pages."""
    assert request.get("authorization") == f"Bearer {SAMPLE.secret_key}"
    assert urlsplit(request.target).path == EVENTS
    asked = parse_qs(urlsplit(request.target).query)
    assert asked["event_type"] == ["click"]
    assert asked["from"] == ["2026-09-21T14:13:20.000Z"]
    number = int(asked.get("cursor", ["0"])[0])
    page = {"items": PAGES[number], "next_cursor": "1" if number == 0 else None}
    return response("200 OK", json.dumps(page).encode())


async def test_each_kind_of_visitor_is_counted_by_class_and_strangers_are_not() -> None:
    async with record(tell) as server:
        found = await fetch_judged(server.base_url, SAMPLE, CLICKED)
    assert found == {
        "person": Counter({TrafficClass.valid: 1}),
        "preview": Counter({TrafficClass.givt: 1}),
        "script": Counter({TrafficClass.sivt: 1}),
    }
    lines = account(found)
    assert lines[0].split() == ["the", "last", "3", "clicks", "valid", "givt", "sivt"]
    assert [line.split() for line in lines[1:]] == [
        ["person", "1", "0", "0"], ["preview", "0", "1", "0"], ["script", "0", "0", "1"],
    ]  # fmt: skip


async def test_without_a_core_nothing_is_said() -> None:
    async with record(lambda _: response("503 Service Unavailable")) as server:
        assert await fetch_judged(server.base_url, SAMPLE, CLICKED) == {}
    assert await fetch_judged("http://127.0.0.1:9", SAMPLE, {}) == {}
    assert account({}) == []


def test_only_the_last_clicks_are_remembered() -> None:
    sent = Sent()
    for number in range(REMEMBERED + 3):
        sent.remember(str(number), "person")
    assert len(sent.clicked) == REMEMBERED
    assert "2" not in sent.clicked
    assert "3" in sent.clicked
