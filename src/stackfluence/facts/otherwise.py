"""Other rules, as people write them on a command line or in a query: `name=number` there, `name:number` here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from stackfluence.facts.thresholds import CLICK_THRESHOLDS, Thresholds
from stackfluence.reasons import REASONS
from stackfluence.vocabulary import TrafficReason

MAX_DIGITS = 9


def read_thresholds(texts: Iterable[str], mark: str) -> Thresholds:
    """Return the thresholds, some of them other ones; raises ValueError with what a person can act on."""
    thresholds = Thresholds()
    for name, value in _pairs(texts, mark, f"threshold{mark}number", f"arrival_permille{mark}50"):
        if name not in CLICK_THRESHOLDS:
            raise ValueError(f"{name[:100]!r} is no threshold; there are {', '.join(CLICK_THRESHOLDS)}.")
        thresholds = replace(thresholds, **{name: value})
    return thresholds


def read_weights(texts: Iterable[str], without: Iterable[str], mark: str) -> dict[TrafficReason, int]:
    """Return the other points of reasons, those to do without having none; raises ValueError as above."""
    weights = {}
    for word, points in _pairs(texts, mark, f"reason{mark}points", f"hosting_network{mark}40"):
        weights[_reason(word)] = points
    for reason in map(_reason, without):
        if weights.setdefault(reason, 0):
            raise ValueError(f"{reason} is given other points and left out as well.")
    return weights


def _reason(word: str) -> TrafficReason:
    if word not in REASONS:
        raise ValueError(f"{word[:100]!r} is no reason; there are {', '.join(REASONS)}.")
    return TrafficReason(word)


def _pairs(texts: Iterable[str], mark: str, form: str, example: str) -> Iterator[tuple[str, int]]:
    """Yield name and number of each text; a name that comes twice would mean one of its numbers, and is refused."""
    names = set()
    for text in texts:
        name, found, number = text.partition(mark)
        if not found or not (number.isascii() and number.isdigit() and len(number) <= MAX_DIGITS):
            raise ValueError(f"{text[:100]!r} must be written as {form}, {example} for one.")
        if name in names:
            raise ValueError(f"{name} is given twice.")
        names.add(name)
        yield name, int(number)
