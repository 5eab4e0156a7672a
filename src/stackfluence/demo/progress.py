"""The demo as a person sees it: a line every few seconds with what was sent and what is stored."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from stackfluence.demo import judged
from stackfluence.demo.sample import Sample
from stackfluence.demo.sent import Sent, missing, surplus
from stackfluence.demo.stored import NotTold, fetch_stored, since, steady_stored
from stackfluence.demo.traffic import drive
from stackfluence.vocabulary import EventType

SETTLE_SECONDS = 15.0  # at the end, for the last events to be loaded
ASK_SECONDS = 0.5
_SHOWN = {EventType.click: "clicks", EventType.session: "sessions", EventType.conversion: "conversions"}


async def show(
    base_url: str,
    sample: Sample,
    visits_per_second: float,
    until: asyncio.Event,
    write: Callable[[str], None],
    *,
    every_seconds: float = 5.0,
    pace: float = 1.0,
    corpus: Path | None = None,
    is_proxied: bool = False,
) -> list[str]:
    """Drive traffic until `until` is set, writing a line every few seconds; return what the store lacks at the end.

    The list is empty when every event that was answered is stored, exactly once. What others send meanwhile, a person
    who tries the links for one, is told and is no fault. Options are those of `drive`.
    """
    sent = Sent()
    go = partial(
        drive, base_url, sample, visits_per_second, until, sent=sent, pace=pace, corpus=corpus, is_proxied=is_proxied
    )
    try:
        before = await steady_stored(base_url, sample)
    except NotTold as error:
        write(f"The store could not be asked what it has ({error}): what follows is what was sent.")
        await go()
        return [f"nothing is known of the store: {error}"]
    driving = asyncio.create_task(go())
    earlier = sent.copy()
    while not (until.is_set() or driving.done()):
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(until.wait(), every_seconds)
        try:
            stored = since(await fetch_stored(base_url, sample), before)
        except NotTold:
            write(f"sent {_counts(sent.expected())} — the core is away; the edge keeps what comes")
        else:
            mark = "✓" if not missing(earlier, stored) else "… loading"
            write(f"sent {_counts(sent.expected())} — stored {_counts(stored)} {mark}")
        earlier = sent.copy()  # what was answered by now must be stored when the next line is written
    await driving
    return await _settle(base_url, sample, sent, before, write)


async def _settle(
    base_url: str, sample: Sample, sent: Sent, before: Mapping[str, int], write: Callable[[str], None]
) -> list[str]:
    """Wait until everything is stored, write the last account, return what is missing."""
    loop = asyncio.get_running_loop()
    patience = loop.time() + SETTLE_SECONDS
    stored: dict[str, int] = {}
    lacking = ["the store could not be asked at the end"]
    while lacking and loop.time() < patience:
        with contextlib.suppress(NotTold):
            stored = since(await fetch_stored(base_url, sample), before)
            lacking = missing(sent, stored)
        await asyncio.sleep(ASK_SECONDS if lacking else 0)
    for line in (*account(sent, stored), *judged.account(await judged.fetch_judged(base_url, sample, sent.clicked))):
        write(line)
    for line in [*lacking, *sent.surprises[:10]]:
        write(f"✗ {line}")
    if extra := surplus(sent, stored):
        write("Sent by others meanwhile: " + "; ".join(extra))
    if not lacking:
        write("Everything that was answered is stored, once. ✓")
    return lacking


def account(sent: Sent, stored: Mapping[str, int]) -> list[str]:
    """Return a table of what was sent and stored by kind, and what no event was made of, as lines."""
    expected = sent.expected()
    lines = [f"{'':20} {'sent':>12} {'stored':>12}"]
    lines += [f"{kind:20} {count:>12,} {stored.get(kind, 0):>12,}" for kind, count in expected.items()]
    outcomes = ", ".join(f"{count:,} {name}" for name, count in sorted(sent.redirects.items()))
    lines.append(
        f"{sent.requests:,} requests of {sent.visits:,} visits; links: {outcomes}; "
        f"sent twice: {sent.repeats.total():,}; refused: {sent.refused.total():,}; "
        f"unanswered: {sent.unanswered.total():,}"
    )
    return lines


def _counts(counts: Mapping[str, int]) -> str:
    return " · ".join(f"{counts[kind]:,} {name}" for kind, name in _SHOWN.items())
