"""What the event store has of the sample organization, asked over HTTP as anybody would."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

from stackfluence.demo.sample import Sample
from stackfluence.demo.sent import QUARANTINED, refunded_of, revenue_of
from stackfluence.demo.wire import Address, Answer, Connection, Unanswered
from stackfluence.vocabulary import EventType

_PLURALS = {
    EventType.click: "clicks",
    EventType.session: "sessions",
    EventType.pageview: "pageviews",
    EventType.conversion: "conversions",
    EventType.refund: "refunds",
    EventType.identify: "identifies",
}
SUMMARY = "/v1/reports/summary"
STEADY_SECONDS = 1.5  # longer than an event takes from its answer to the store
STEADY_TRIES = 20


class NotTold(Exception):
    """The core can't say at the moment; the edge takes events all the same."""


async def fetch_stored(base_url: str, sample: Sample) -> dict[str, int]:
    """Return what is stored of the organization, counted as `Sent.expected` counts; raises NotTold."""
    address = Address.of(base_url)
    connection = Connection(address)
    headers = [
        ("Host", address.host_header),
        ("Authorization", f"Bearer {sample.secret_key}"),
        ("Accept", "application/json"),
        ("Connection", "close"),
    ]
    try:
        answer = await connection.request("GET", SUMMARY, headers)
    except Unanswered as error:
        raise NotTold(str(error)) from None
    finally:
        await connection.close()
    return _counts(answer)


async def steady_stored(base_url: str, sample: Sample) -> dict[str, int]:
    """Return the counts once they stand still: what an earlier demo left in the journal is loaded. Raises NotTold."""
    before: dict[str, int] | None = None
    told = NotTold("it does not stand still")
    for _ in range(STEADY_TRIES):
        try:
            now = await fetch_stored(base_url, sample)
        except NotTold as error:
            told, now = error, None
        if now is not None and now == before:
            return now
        before = now
        await asyncio.sleep(STEADY_SECONDS)
    raise told


def since(now: Mapping[str, int], before: Mapping[str, int]) -> dict[str, int]:
    """Return what was stored between two counts."""
    return {kind: count - before.get(kind, 0) for kind, count in now.items()}


def _counts(answer: Answer) -> dict[str, int]:
    if answer.status != 200:
        raise NotTold(f"{SUMMARY} answered {answer.status}: {answer.body[:200]!r}")
    document: dict[str, Any] = json.loads(answer.body)
    total = document["total"]
    counts = {event_type.value: int(total[plural]) for event_type, plural in _PLURALS.items()}
    counts[QUARANTINED] = int(document["quarantined"])
    counts |= {revenue_of(currency): cents for currency, cents in total["revenue_cents"].items()}
    return counts | {refunded_of(currency): cents for currency, cents in total["refunded_cents"].items()}
