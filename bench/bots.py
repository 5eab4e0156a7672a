"""Error rates of the click-time score on labelled corpora, beside other detectors in the same run.

`python -m bench.bots [DIRECTORY]` prints a table on stderr and a JSON line per corpus on stdout; exit code 2 when there
are no corpora. Every rate is in percent, with its 95 % interval.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from bench import bots_cost, bots_table, corpora
from bench.detectors import Detector, detectors
from bench.intervals import Share, share, weighted_share
from stackfluence.click import bot_score
from stackfluence.reasons import CERTAIN, FLAGGED

MISSING = 2  # exit code
# In percent, of robots at least, of people at most: flagged (score >= 50), certain (score >= 90); None: none is set.
TARGETS: Mapping[str, tuple[float, float | None]] = {
    "bots": (99.0, 75.0),
    "bots_independent": (95.0, 65.0),
    "previews": (100.0, None),
    "spoofed_wild": (95.0, None),
    "humans": (0.60, 0.08),
    "humans_modern": (0.07, 0.0),
    "inapp": (0.02, 0.0),
    "header_sets_bot": (80.0, None),
    "header_sets_human": (0.7, None),
}


class Seen(NamedTuple):
    """One sample and what our score says of it."""

    text: str
    score: int
    app: str
    reasons: tuple[str, ...]


@dataclass
class Row:
    """What was counted of one corpus, or of a part of it: of the people in one app, if `is_app`."""

    name: str
    is_bot: bool
    flagged: Share
    certain: Share
    reasons: dict[str, int]
    others: dict[str, Share] = field(default_factory=dict)
    parts: dict[str, list[Row]] = field(default_factory=dict)
    weighted: dict[str, Any] = field(default_factory=dict)
    is_app: bool = False

    def meets(self, is_certain: bool) -> bool | None:
        """Whether the target is met, None where none is set."""
        target = TARGETS.get(self.name, (None, None))[is_certain]
        if target is None:
            return None
        rate = 100 * (self.certain if is_certain else self.flagged).rate
        return rate >= target if self.is_bot else rate <= target

    def as_json(self) -> dict[str, Any]:
        """Return the figures, in percent."""
        figures: dict[str, Any] = {"corpus": self.name, "label": "bot" if self.is_bot else "human"}
        for is_certain, name, found in ((False, "flagged", self.flagged), (True, "certain", self.certain)):
            figures[name] = found.as_json()
            if (met := self.meets(is_certain)) is not None:
                figures[name] |= {"target": TARGETS[self.name][is_certain], "is_met": met}
        figures["reasons"] = self.reasons
        if self.others:
            figures["detectors"] = {name: found.as_json() for name, found in self.others.items()}
        if self.weighted:
            figures["weighted_by_traffic"] = self.weighted
        for by, rows in self.parts.items():
            figures[by] = {
                row.name: {
                    "flagged": row.flagged.as_json(is_app=row.is_app),
                    "certain": row.certain.as_json(is_app=row.is_app),
                }
                for row in rows
            }
        return figures


def look_at(text: str) -> Seen:
    """Return what our score says of a user agent of which nothing else is known."""
    return _seen(text, bot_score.read([("User-Agent", text)] if text else [], has_headers=False))


def look_at_headers(row: corpora.HeaderSet) -> Seen:
    """Return what our score says of a header set; of an incomplete one by its user agent alone.

    As an edge sees it: behind the proxy that ends https the headers' order isn't kept.
    """
    has_headers, is_https = not row.is_partial, row.is_https
    reading = bot_score.read(row.headers, is_https=is_https, is_order_kept=not is_https, has_headers=has_headers)
    return _seen(row.user_agent, reading)


def counted(name: str, is_bot: bool, found: Sequence[Seen]) -> Row:
    """Return a row of the samples, by our two thresholds; `reasons` are the flagged ones', frequent ones first."""
    flagged = [seen for seen in found if seen.score >= FLAGGED]
    certain = sum(seen.score >= CERTAIN for seen in flagged)
    reasons = Counter(reason for seen in flagged for reason in seen.reasons)
    n = len(found)
    return Row(name, is_bot, share(len(flagged), n), share(certain, n), dict(reasons.most_common(8)))


def by_app(found: Iterable[tuple[str, Seen]]) -> list[Row]:
    """Return a row for each app among the pairs, most samples first; people without one are under `none`."""
    rows = grouped(((app or "none", seen) for app, seen in found), False)
    for row in rows:
        row.is_app = True
    return rows


def grouped(found: Iterable[tuple[str, Seen]], is_bot: bool) -> list[Row]:
    """Return a row for each name among the pairs, most samples first."""
    by_name: dict[str, list[Seen]] = {}
    for name, seen in found:
        by_name.setdefault(name, []).append(seen)
    return [counted(name, is_bot, by_name[name]) for name in sorted(by_name, key=lambda name: -len(by_name[name]))]


def measure_texts(directory: Path, ask: Callable[[Sequence[str]], dict[str, Share]]) -> list[Row]:
    """Return a row for each corpus of user agents; `ask` asks the other detectors."""
    known: dict[str, Seen] = {}
    rows = []
    for name in (*corpora.BOTS, *corpora.HUMANS):
        texts = corpora.texts(directory, name)
        for text in texts:
            if text not in known:
                known[text] = look_at(text)
        found = [known[text] for text in texts]
        row = counted(name, name in corpora.BOTS, found)
        row.others = ask(texts)
        if name in ("inapp", "inapp_other"):
            row.parts["by_app"] = by_app((seen.app, seen) for seen in found)
            row.parts["by_app_marker"] = by_app((corpora.app_of(seen.text), seen) for seen in found)
        rows.append(row)
    labels = corpora.labelled(directory)
    kinds = [(label.kind, known.get(label.text) or look_at(label.text)) for label in labels if label.label == "bot"]
    rows[0].parts["by_kind"] = grouped(kinds, True)
    weighed = [label for label in labels if label.label == "human" and label.weight > 0]
    _row(rows, "humans").weighted = weighted_share(
        [label.weight for label in weighed], [look_at(label.text).score >= FLAGGED for label in weighed]
    )
    return rows


def measure_header_sets(directory: Path, ask: Callable[[Sequence[str]], dict[str, Share]]) -> list[Row]:
    """Return a row of the robots' and of the people's complete header sets, and one of each sort that is neither."""
    sets = [(row, look_at_headers(row)) for row in corpora.header_sets(directory)]
    rows = []
    for is_bot, label in ((True, "bot"), (False, "human")):
        own = [(row, seen) for row, seen in sets if row.is_bot == is_bot]
        sorts = {
            "": [pair for pair in own if not pair[0].is_ambiguous and not pair[0].is_partial],
            "_ambiguous": [pair for pair in own if pair[0].is_ambiguous],
            "_partial": [pair for pair in own if pair[0].is_partial],
        }
        for sort, pairs in sorts.items():
            if not pairs:
                continue
            row = counted(f"header_sets_{label}{sort}", is_bot, [seen for _, seen in pairs])
            row.others = ask([given.user_agent for given, _ in pairs])
            row.parts["by_kind" if is_bot else "by_source"] = grouped(
                ((given.kind if is_bot else given.source, seen) for given, seen in pairs), is_bot
            )
            rows.append(row)
    return rows


def measure(directory: Path, others: Sequence[Detector]) -> list[Row]:
    """Return a row for each corpus in a directory."""

    def ask(texts: Sequence[str]) -> dict[str, Share]:
        answers = {other.name: other.find(texts) for other in others}
        return {name: share(count, n) for name, (n, count) in answers.items()}

    return [*measure_texts(directory, ask), *measure_header_sets(directory, ask)]


def report(directory: Path) -> list[dict[str, Any]]:
    """Measure everything, write the table to stderr and return the figures, one dictionary a corpus and one of cost."""
    cost = bots_cost.measure(directory)
    texts = [text for name in (*corpora.BOTS, *corpora.HUMANS) for text in corpora.texts(directory, name)]
    others = detectors([*texts, *(row.user_agent for row in corpora.header_sets(directory))])
    rows = measure(directory, others)
    cost["detectors"] = {
        other.name: {"version": other.version, "microseconds": other.microseconds, "at_most": other.at_most}
        for other in others
    }
    for line in bots_table.table(rows, [other.name for other in others], cost):
        print(line, file=sys.stderr)
    return [*(row.as_json() for row in rows), {"corpus": "cost", **cost}]


def run() -> list[dict[str, Any]]:
    """Return the figures of the corpora beside the repository or in SF_BENCH_BOTS, for `make bench`."""
    try:
        return report(corpora.find())
    except corpora.Missing as missing:
        return [{"skipped": str(missing)}]


def main() -> int:
    """Measure the corpora of the directory on the command line; return the exit code."""
    try:
        directory = corpora.find(sys.argv[1] if len(sys.argv) > 1 else "")
    except corpora.Missing as missing:
        print(missing, file=sys.stderr)
        return MISSING
    for line in report(directory):
        print(json.dumps({"bench": "bots", **line}), flush=True)
    return 0


def _seen(text: str, reading: bot_score.Reading) -> Seen:
    verdict = bot_score.combine(reading.reasons)
    return Seen(text, verdict.score, reading.in_app_browser, tuple(verdict.reasons))


def _row(rows: Sequence[Row], name: str) -> Row:
    return next(row for row in rows if row.name == name)


if __name__ == "__main__":
    sys.exit(main())
