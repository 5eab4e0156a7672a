"""The error rates as a table that fits a terminal of 160 columns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bench.intervals import Share

if TYPE_CHECKING:
    from bench.bots import Row

_NARROW = {"crawler-user-agents": "crawler-ua", "device-detector": "device-det.", "ua-parser Spider": "ua-parser"}
_MARKS = {True: " ✓", False: " ✗", None: "  "}


def table(rows: Sequence[Row], others: Sequence[str], cost: Mapping[str, Any]) -> Iterator[str]:
    """Give the lines: robots' recall, people's false positives, then the parts of the corpora, then cost."""
    for is_bot, title in ((True, "Recall, % (95 % interval)"), (False, "False positives, % (95 % interval)")):
        yield _header(title, others)
        yield from (_line(row, others) for row in rows if row.is_bot == is_bot)
        yield ""
    yield "* asked about a sample spread evenly; the sample's size is in the JSON line"
    for row in rows:
        for by, parts in row.parts.items():
            yield ""
            yield _header(f"{row.name}, {by.replace('_', ' ')}", ())
            yield from (_line(part, ()) for part in parts)
        if row.weighted:
            yield ""
            weighted = row.weighted
            yield (
                f"{row.name}, weighted by traffic: {_number(weighted['rate'])} % flagged, 95 % interval "
                f"{_number(weighted.get('low'))}-{_number(weighted.get('high'))}, n {weighted['n']}, as sure as "
                f"{weighted.get('effective_n', 0)} equal ones"
            )
    yield ""
    yield from _cost(cost)


def _header(title: str, others: Sequence[str]) -> str:
    names = "".join(f"{_NARROW.get(name, name):>15}" for name in others)
    return f"{title:38}{'n':>7}  {'flagged (score ≥ 50)':27}{'certain (score ≥ 90)':27}{names}"


def _line(row: Row, others: Sequence[str]) -> str:
    asked = "".join(f"{_other(row.others[name], row.flagged.n):>15}" for name in others if name in row.others)
    flagged, certain = (
        "not measurable" if row.is_app and not found.is_measurable else _share(found, row.meets(found is row.certain))
        for found in (row.flagged, row.certain)
    )
    return f"{row.name[:37]:38}{row.flagged.n:>7,}  {flagged:27}{certain:27}{asked}".rstrip()


def _share(found: Share, is_met: bool | None) -> str:
    return f"{100 * found.rate:6.2f} ({100 * found.low:.2f}-{100 * found.high:.2f}){_MARKS[is_met]}"


def _other(found: Share, n: int) -> str:
    return f"{100 * found.rate:.2f}{'*' if found.n < n else ' '}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _cost(cost: Mapping[str, Any]) -> Iterator[str]:
    yield "Median microseconds of ours"
    for name, figure in cost["microseconds"].items():
        limit = cost["targets"].get(name)
        aim = "" if limit is None else f"   (target ≤ {limit:g}){_MARKS[figure <= limit]}"
        yield f"  {name.replace('_', ' '):45}{figure:>9.1f}{aim}"
    yield "Mean microseconds a user agent of the others, uncached"
    for name, other in cost["detectors"].items():
        yield f"  {name + ' ' + other['version']:45}{other['microseconds']:>9.1f}"
