"""Scores header sets and user agents from JSON lines: one answer a line, in order, in constant memory.

Judged is as an edge would judge the same request, by what the line has of it: headers that a proxy wrote anew, those
with X-Forwarded-For, have no order, a Referer on the Host's own links is one, and parameters are those of `url`. Where
it came from, and how often, is known to an edge alone.

A line that can't be read gets `{"error": "line 3: …"}` in its place, so that answers and questions stay side by side.
"""

from __future__ import annotations

from codecs import BOM_UTF8
from collections.abc import Iterator
from functools import lru_cache
from typing import Literal, Protocol

import msgspec

from stackfluence.click import bot_score
from stackfluence.click.rules.arrival import names_a_link, parameter_reasons
from stackfluence.click.signals import read_fields
from stackfluence.reasons import REASONS
from stackfluence.vocabulary import TrafficReason

MAX_LINE = 1 << 20  # bytes; the edge itself refuses heads of a fraction of it
PIECE = 1 << 16
MAX_REMEMBERED = 4_000  # characters of a header set; 4,000 of them are 16 MB

Headers = tuple[tuple[str, str], ...]
Reasons = tuple[TrafficReason, ...]

_encode = msgspec.json.Encoder().encode


class Source(Protocol):
    """What lines come from, a buffered binary stream."""

    def read1(self, size: int, /) -> bytes:
        """Return what is there, at most `size` bytes, waiting for the first; empty at the end."""
        ...


class Sink(Protocol):
    """What answers go to."""

    def write(self, content: bytes, /) -> object:
        """Take some bytes."""
        ...

    def flush(self) -> object:
        """Pass on what was taken."""
        ...


class Question(msgspec.Struct):
    """A request, or its user agent alone; what else a line has is ignored.

    `headers` are in the order they came in. Of a request all rules are asked, of a user agent those that need no more.
    `url` is the address that was asked for, or its path, with the parameters that the link brought.
    """

    headers: list[tuple[str, str]] | msgspec.UnsetType = msgspec.UNSET
    user_agent: str | msgspec.UnsetType = msgspec.UNSET
    transport: Literal["https", "http"] = "https"
    method: str = "GET"
    url: str = ""


class Answer(msgspec.Struct):
    """What is said of a request, score 0 to 100."""

    score: int
    reasons: list[str]
    traffic_class: str


class Explained(Answer):
    """The same with a sentence for each reason."""

    sentences: list[str]


class Refused(msgspec.Struct):
    """What stands in place of an answer."""

    error: str


_decoder = msgspec.json.Decoder(Question)


def score_lines(source: Source, sink: Sink, *, is_explained: bool = False) -> int:
    """Answer every line of `source` on `sink`, and return how many could not be read.

    A byte order mark at the start, which editors on Windows write, is passed over. Answers are passed on whenever
    `source` has no more at the moment, so a program may wait for each.
    """
    number = refused = 0
    for lines in _batches(source):
        answers = []
        for line in lines:
            number += 1
            if number == 1 and line is not None:
                line = line.removeprefix(BOM_UTF8)
            try:
                answers.append(_encode(answer(line, is_explained=is_explained)))
            except (ValueError, RecursionError) as error:  # what msgspec raises, the latter for a million brackets
                answers.append(_encode(Refused(f"line {number}: {error}")))
                refused += 1
        sink.write(b"\n".join([*answers, b""]))
        sink.flush()
    return refused


def answer(line: bytes | None, *, is_explained: bool = False) -> Answer:
    """Score one line; None is one that was too long. Raises ValueError for what is no question."""
    if line is None:
        raise ValueError(f"longer than {MAX_LINE:,} bytes")
    if not line.strip():
        raise ValueError("empty")
    question = _decoder.decode(line)
    if question.headers is not msgspec.UNSET:
        found = _read(tuple(question.headers), question.method, question.transport == "https", True)
    elif question.user_agent is not msgspec.UNSET:
        found = _read((("User-Agent", question.user_agent),), "GET", True, False)
    else:
        raise ValueError("needs `headers` or `user_agent`")
    query = question.url.partition("#")[0].partition("?")[2]
    verdict = bot_score.combine(found, parameter_reasons(query.encode()))
    reasons = [reason.value for reason in verdict.reasons]
    if not is_explained:
        return Answer(verdict.score, reasons, verdict.traffic_class.value)
    sentences = [REASONS[reason].sentence for reason in verdict.reasons]
    return Explained(verdict.score, reasons, verdict.traffic_class.value, sentences)


def _read(headers: Headers, method: str, is_https: bool, has_headers: bool) -> Reasons:
    """Return the reasons in headers; those in sets of an ordinary size are remembered, since logs repeat them."""
    size = sum(len(name) + len(value) for name, value in headers)
    read = _look_at if size <= MAX_REMEMBERED else _look_at.__wrapped__
    return read(headers, method, is_https, has_headers)


@lru_cache(maxsize=4_000)
def _look_at(headers: Headers, method: str, is_https: bool, has_headers: bool) -> Reasons:
    fields = read_fields(headers)
    return bot_score.read(
        headers,
        method=method,
        is_https=is_https,
        is_order_kept=has_headers and "x-forwarded-for" not in fields,
        has_headers=has_headers,
        is_self_referred=names_a_link(fields.get("referer", "").encode(), fields.get("host", "").encode()),
        fields=fields,
    ).reasons


def _batches(source: Source) -> Iterator[list[bytes | None]]:
    """Yield the complete lines of each piece that comes; one that grows too long is let go and given as None."""
    held, is_too_long = bytearray(), False
    while piece := source.read1(PIECE):
        first, *rest = piece.split(b"\n")
        if not is_too_long:
            held += first
            is_too_long = len(held) > MAX_LINE
        if is_too_long:
            held.clear()
        if rest:
            yield [None if is_too_long else bytes(held), *rest[:-1]]
            held, is_too_long = bytearray(rest[-1]), False
    if is_too_long or held:
        yield [None if is_too_long else bytes(held)]
