"""What the event store has of the sample organization, asked over HTTP as anybody would."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

from stackfluence.demo.sample import Sample
from stackfluence.demo.sent import KINDS
from stackfluence.demo.wire import Address, Answer, Connection, Unanswered

SUMMARY = "/v1/reports/summary"
STEADY_SECONDS = 1.5  # longer than an event takes from its answer to the store
STEADY_TRIES = 20


class NotTold(Exception):
    """The core can't say at the moment; the edge takes events all the same."""


async def fetch_stored(base_url: str, sample: Sample) -> dict[str, int]:
    """Return how many distinct events of each of KINDS are stored of the organization; raises NotTold."""
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
    return {kind: now.get(kind, 0) - before.get(kind, 0) for kind in KINDS}


def _counts(answer: Answer) -> dict[str, int]:
    if answer.status != 200:
        raise NotTold(f"{SUMMARY} answered {answer.status}: {answer.body[:200]!r}")
    document: dict[str, Any] = json.loads(answer.body)
    counts: Mapping[str, int] = document["events"]
    return {kind: int(counts.get(kind, 0)) for kind in KINDS}
