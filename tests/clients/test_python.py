"""The Python client: what it sends, how often, and what it gives back."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import httpx
import pytest

from stackfluence.client import MAX_BATCH, RETRIES, Client, Event, Refused, Unreached, click_id_of
from tests.edge.edges import SECRET_KEY, RunningEdge

ACCEPTED = {"event_id": "01a20320-a27b-7abc-8def-0123456789ab", "status": "accepted"}


class Answers:
    """A transport that gives answers in turn, then 202; keeps bodies and pauses."""

    def __init__(self, *answers: httpx.Response | Exception) -> None:
        self._answers = list(answers)
        self.requests: list[httpx.Request] = []
        self.pauses: list[float] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self._answers.pop(0) if self._answers else _take(request)
        if isinstance(answer, Exception):
            raise answer
        return answer

    @property
    def bodies(self) -> list[Any]:
        return [json.loads(request.content) for request in self.requests]

    def client(self) -> Client:
        return Client(
            "https://go.brand.example/", "sf_sec_x", transport=httpx.MockTransport(self), pause=self.pauses.append
        )


def _take(request: httpx.Request) -> httpx.Response:
    body = json.loads(request.content)
    if request.url.path.endswith("/batch"):
        told = [{"event_id": event["idempotency_key"], "status": "accepted"} for event in body["events"]]
        return httpx.Response(202, json={"events": told})
    return httpx.Response(202, json=ACCEPTED)


def unavailable(**headers: str) -> httpx.Response:
    return httpx.Response(503, json={"type": "/problems/unavailable", "detail": "later"}, headers=headers)


async def test_an_edge_keeps_what_the_client_tells(edge: RunningEdge) -> None:
    def tell() -> list[str]:
        with Client(f"http://127.0.0.1:{edge.port}", SECRET_KEY) as client:
            told = [
                client.conversion(
                    order_id=2**60 + 1,
                    revenue_cents=4999,
                    currency="EUR",
                    lines=[{"sku": "SOCK-RED", "quantity": 2, "subtotal_cents": 4999}],
                    occurred_at=datetime(2026, 11, 16, 9, 30, tzinfo=UTC),
                    idempotency_key="order-1",
                ),
                client.conversion(order_id=2**60 + 1, revenue_cents=4999, idempotency_key="order-1"),
                client.refund(original_order_id="1", refund_amount_cents=999),
                client.identify(customer_id="c-1"),
                client.conversion(order_id="2"),
                *client.batch([{"type": "refund", "original_order_id": "1", "refund_amount_cents": -1}]),
            ]
            assert [receipt.is_quarantined for receipt in told] == [False] * 4 + [True] * 2
            return [f"{receipt.status} {receipt.reason} {receipt.detail}".strip() for receipt in told]

    assert await asyncio.to_thread(tell) == [
        "accepted", "duplicate", "accepted", "accepted", "quarantined missing_field revenue_cents",
        "quarantined amount_out_of_range refund_amount_cents",
    ]  # fmt: skip
    first = edge.events()[0].leaf
    assert (first.order_id, first.revenue_cents, first.occurred_at) == (
        str(2**60 + 1),
        4999,
        "2026-11-16T09:30:00.000Z",
    )
    assert [(line.sku, line.quantity) for line in first.lines] == [("SOCK-RED", 2)]


@pytest.mark.parametrize(
    "failure",
    [
        unavailable(),
        httpx.Response(502, text="Bad Gateway"),
        httpx.ConnectError("refused"),
        httpx.ReadTimeout("slow"),
        httpx.RemoteProtocolError("closed"),
        httpx.DecodingError("cut off"),
    ],
    ids=["503", "502", "connect", "timeout", "broken", "unreadable"],
)
def test_what_may_succeed_later_is_tried_again_with_the_same_key(failure: httpx.Response | Exception) -> None:
    answers = Answers(failure, failure)
    receipt = answers.client().conversion(order_id="1", revenue_cents=1)
    assert receipt.status == "accepted"
    assert len(answers.requests) == 3
    assert len({request.content for request in answers.requests}) == 1, "the same bytes, the same key"
    assert answers.bodies[0]["idempotency_key"]
    assert answers.pauses == [0.5, 1.0]


def test_calls_without_a_key_are_events_of_their_own_and_a_given_key_stays() -> None:
    answers = Answers()
    client = answers.client()
    for _ in range(2):
        client.refund(original_order_id="1", refund_amount_cents=1)
        client.refund(original_order_id="1", refund_amount_cents=1, idempotency_key="refund-1")
    first, given, second, again = (body["idempotency_key"] for body in answers.bodies)
    assert first != second
    assert given == again == "refund-1"


def test_the_servers_wish_how_long_to_wait_is_followed_within_bounds() -> None:
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    past = format_datetime(datetime.now(UTC) - timedelta(days=1), usegmt=True)
    waits = [{"Retry-After": text} for text in ("7", "86400", soon, past)]
    answers = Answers(*(unavailable(**wait) for wait in waits))
    answers.client().identify(customer_id="1")
    assert answers.pauses[:2] == [7.0, 60.0]
    assert 20 < answers.pauses[2] <= 30
    assert answers.pauses[3] == 0.0
    odd = Answers(unavailable(**{"Retry-After": "soon"}))
    odd.client().identify(customer_id="1")
    assert odd.pauses == [0.5]


def test_attempts_end() -> None:
    answers = Answers(*(unavailable() for _ in range(9)))
    with pytest.raises(Unreached, match=r"Tried 5 times. 503 unavailable: later"):
        answers.client().conversion(order_id="1", revenue_cents=1)
    assert len(answers.requests) == RETRIES + 1
    assert answers.pauses == [0.5, 1.0, 2.0, 4.0]


@pytest.mark.parametrize(
    ("answer", "type"),
    [
        (httpx.Response(401, json={"type": "/problems/unauthorized", "detail": "no"}), "unauthorized"),
        (httpx.Response(500, text="oh"), "unexpected-answer"),
        (httpx.Response(301, headers={"Location": "https://elsewhere.example/"}), "unexpected-answer"),
        (httpx.Response(200, text="<html>hello</html>"), "unexpected-answer"),
        (httpx.Response(200, json={"ok": True}), "unexpected-answer"),
        (httpx.Response(400, json=[1]), "unexpected-answer"),
    ],
)
def test_a_refusal_is_told_and_not_repeated(answer: httpx.Response, type: str) -> None:
    answers = Answers(answer)
    with pytest.raises(Refused) as refused:
        answers.client().conversion(order_id="1", revenue_cents=1)
    assert (refused.value.status, refused.value.type) == (answer.status_code, type)
    assert len(answers.requests) == 1


async def test_an_unknown_key_is_refused_by_the_edge_itself(edge: RunningEdge) -> None:
    def tell() -> Refused:
        with Client(f"http://127.0.0.1:{edge.port}", "sf_sec_unknown") as client, pytest.raises(Refused) as refused:
            client.batch([{"type": "identify", "customer_id": "1"}])
        return refused.value

    refused = await asyncio.to_thread(tell)
    assert (refused.status, refused.type) == (401, "unauthorized")
    assert edge.events() == []


def test_a_batch_is_cut_at_a_thousand_events_and_before_the_bytes_an_edge_reads() -> None:
    answers = Answers()
    events: list[Event] = [{"type": "identify", "customer_id": number} for number in range(2 * MAX_BATCH + 1)]
    receipts = answers.client().batch(events)
    assert [len(body["events"]) for body in answers.bodies] == [MAX_BATCH, MAX_BATCH, 1]
    sent = [event for body in answers.bodies for event in body["events"]]
    assert [event["customer_id"] for event in sent] == list(range(2 * MAX_BATCH + 1))
    assert [receipt.event_id for receipt in receipts] == [event["idempotency_key"] for event in sent]
    assert len({receipt.event_id for receipt in receipts}) == len(receipts)

    answers = Answers()
    long: list[Event] = [{"type": "identify", "customer_id": 1, "metadata": {"a": "x" * 10_000}} for _ in range(300)]
    assert len(answers.client().batch(long)) == 300
    assert len(answers.requests) == 4
    assert max(len(request.content) for request in answers.requests) < 1 << 20
    assert Answers().client().batch([]) == []


def test_a_batch_that_fails_half_way_tells_what_had_arrived() -> None:
    first = httpx.Response(202, json={"events": [ACCEPTED] * MAX_BATCH})
    answers = Answers(first, httpx.Response(401, json={"type": "/problems/unauthorized", "detail": "revoked"}))
    with pytest.raises(Refused) as refused:
        answers.client().batch([{"type": "identify", "customer_id": n} for n in range(MAX_BATCH + 5)])
    assert len(refused.value.receipts) == MAX_BATCH


def test_without_endpoint_or_key_nothing_is_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STACKFLUENCE_ENDPOINT", raising=False)
    monkeypatch.setenv("STACKFLUENCE_SECRET_KEY", "sf_sec_x")
    with pytest.raises(ValueError, match="STACKFLUENCE_ENDPOINT"):
        Client()
    monkeypatch.setenv("STACKFLUENCE_ENDPOINT", "go.brand.example")
    with pytest.raises(ValueError, match=r"not 'go\.brand\.example'"):
        Client()
    monkeypatch.setenv("STACKFLUENCE_ENDPOINT", "https://go.brand.example")
    Client().close()


@pytest.mark.parametrize(
    ("landing", "click_id"),
    [
        ("https://shop.brand.example/socks?colour=red&inf_click_id=AQEA-_&x=1#top", "AQEA-_"),
        ("?inf_click_id=AQEA", "AQEA"),
        ("colour=red&inf_click_id=AQEA", "AQEA"),
        ("https://shop.brand.example/socks", ""),
        ("", ""),
    ],
)
def test_the_click_id_is_found_in_an_address(landing: str, click_id: str) -> None:
    assert click_id_of(landing) == click_id
