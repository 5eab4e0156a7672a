"""What the judgement of a click costs: warm, as nearly all clicks are, and for headers that were never seen."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from itertools import cycle, islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple, cast

from bench import corpora
from bench.detectors import sample
from stackfluence.click import bot_score
from stackfluence.click.geo import Places
from stackfluence.click.head import Head, Heads, evidence, find_head, kept_headers
from stackfluence.click.judge import Judge
from stackfluence.click.request import Request
from stackfluence.click.server import Connection
from stackfluence.click.velocity import Velocity
from stackfluence.click.visitor import ip_prefix
from stackfluence.clock import now_ms
from stackfluence.settings import read_settings

USER_AGENTS = 2_000
HEADER_SETS = 500
ADDRESSES = 5_000
BATCH = 1_000
BATCHES = 60
TARGETS = {"click": 8.0, "click_with_new_headers": 100.0}
ORGANIZATION, LINK_IDS = b"\x01\x02\x03\x04", [number.to_bytes(6, "big") for number in range(50)]


def measure(directory: Path) -> dict[str, Any]:
    """Return medians in microseconds; to be called before anything else has asked our score, whose caches are empty."""
    sets = [row for row in corpora.header_sets(directory) if row.user_agent and not row.is_partial]
    sets = list({row.user_agent: row for row in sets}.values())[:HEADER_SETS]
    judge = a_judge()
    figures = _uncached(judge, sets) | _warm(judge, sets)
    texts = list(sample([text for name in ("humans", "inapp", "bots") for text in corpora.texts(directory, name)],
                        USER_AGENTS))  # fmt: skip
    for name in ("user_agent_new", "user_agent_known"):
        figures[name] = _median(_look_at(text) for text in texts)
    return {"microseconds": figures, "targets": TARGETS, "header_sets": len(sets), "addresses": ADDRESSES}


def _uncached(judge: Judge, sets: list[corpora.HeaderSet]) -> dict[str, float]:
    """Medians of a click whose header set and address come for the first time, whole and of its two large parts.

    The yardstick is taken between them, since a machine's speed changes from one moment to the next.
    """
    whole, read, placed, added_up = [], [], [], []
    for row, address in zip(sets, _addresses(), strict=False):
        headers = _pairs(row)
        began = time.perf_counter_ns()
        seen = evidence(b"GET", kept_headers(headers), row.is_https, not row.is_https, False)
        has_read = time.perf_counter_ns()
        place = judge.places.find(address)
        has_place = time.perf_counter_ns()
        judge.members(seen, place, judge.velocity.count(ORGANIZATION, LINK_IDS[0], address, address, now_ms()))
        whole.append(time.perf_counter_ns() - began)
        read.append(has_read - began)
        placed.append(has_place - has_read)
        began = time.perf_counter_ns()
        _add_up()
        added_up.append(time.perf_counter_ns() - began)
    parts = {
        "click_with_new_headers": whole,
        "of_it_the_headers": read,
        "of_it_the_address": placed,
        "yardstick_a_thousand_additions": added_up,
    }
    return {name: round(statistics.median(taken) / 1000, 2) for name, taken in parts.items()}


def _warm(judge: Judge, sets: list[corpora.HeaderSet]) -> dict[str, float]:
    """Medians of a click of whose header block and network there were others, by batches of a thousand.

    The look-up of the block stands apart: a click that finds it is spared the parsing of its headers.
    """
    visitors = list(zip(cycle(_blocks(sets)), islice(_addresses(), ADDRESSES), strict=False))
    clicks = list(islice(cycle((*visitor, ip_prefix(visitor[1])) for visitor in visitors), BATCH * BATCHES))
    heads = Heads()
    for data, request in {block.data: block.request for block, _ in visitors}.items():
        heads.learn(data, request)
    looked_up, judged = [], []
    for start in range(0, len(clicks), BATCH):
        batch = clicks[start : start + BATCH]
        began = time.perf_counter_ns()
        for block, _, _ in batch:
            find_head(heads.known, block.data)
        found = time.perf_counter_ns()
        for number, (block, address, prefix) in enumerate(batch):
            link = LINK_IDS[number % len(LINK_IDS)]
            pace = judge.velocity.count(ORGANIZATION, link, address, prefix, now_ms())
            judge.members(block.head.evidence, judge.places.find(address), pace)
        ended = time.perf_counter_ns()
        looked_up.append((found - began) / len(batch))
        judged.append((ended - found) / len(batch))
    is_warm = len(visitors) // BATCH  # batches until every visitor was there
    return {
        "click": round(statistics.median(judged[is_warm:]) / 1000, 2),
        "header_block_look_up": round(statistics.median(looked_up[is_warm:]) / 1000, 2),
    }


class _Block(NamedTuple):
    data: bytes
    request: Request
    head: Head


def _blocks(sets: list[corpora.HeaderSet]) -> list[_Block]:
    """Return whole requests for a link, and what an edge makes of them."""
    connection = cast(Connection, SimpleNamespace(is_proxied=False, peer="127.0.0.1"))
    blocks = []
    for row in sets:
        request = Request(connection, b"/c/emma/spring")
        request.headers = [(b"Host", b"go.brand.example"), *_pairs(row)]
        request.fields = {name.lower(): value for name, value in request.headers}
        head = request.head = Head(request)
        lines = b"".join(b"%b: %b\r\n" % pair for pair in request.headers)
        blocks.append(_Block(b"GET /c/emma/spring HTTP/1.1\r\n%b\r\n" % lines, request, head))
    return blocks


def a_judge() -> Judge:
    """Return a judge with the tables that set-up installs, as an edge has it."""
    return Judge(Places(read_settings({})), Velocity())


def _look_at(text: str) -> Callable[[], None]:
    headers = [("User-Agent", text)]

    def look() -> None:
        bot_score.combine(bot_score.read(headers, has_headers=False).reasons)

    return look


def _add_up() -> None:
    """How fast the machine is at the moment: 20 to 30 microseconds on an idle core of 2024."""
    total = 0
    for number in range(1_000):
        total += number


def _median(deeds: Iterator[Callable[[], None]]) -> float:
    taken = []
    for deed in deeds:
        began = time.perf_counter_ns()
        deed()
        taken.append(time.perf_counter_ns() - began)
    return round(statistics.median(taken) / 1000, 2)


def _pairs(row: corpora.HeaderSet) -> list[tuple[bytes, bytes]]:
    return [(name.encode("latin-1", "replace"), value.encode("latin-1", "replace")) for name, value in row.headers]


def _addresses() -> Iterator[str]:
    """Give public addresses all over the IPv4 range, the same ones every time."""
    for number in cycle(range(1, 200_000)):
        yield f"{1 + number * 37 % 220}.{number * 101 % 256}.{number * 7 % 256}.{1 + number % 254}"
