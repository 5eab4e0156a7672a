"""What reports add up, in pieces of days: read from the store once for each run, and kept while there is room.

A run's facts never change, so a piece is good for as long as its run is the one that is read for its day. A report
always adds up pieces, whether they were kept or just read: there is one way to its figures.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from stackfluence.events.statements import Statement
from stackfluence.events.store import Store

MOST_BYTES = 256 << 20  # of all that is kept; a quarter of an organization of a million clicks a month takes a few MB
AT_ONCE = 512  # pieces that are read and added up at a time: of whole days, somewhat over a year
WORD_BYTES = 200  # what a word takes in either direction, roughly

Rows = NDArray[np.int64]


class Slice(NamedTuple):
    """A part of one day (UTC), [from_s, to_s) in seconds since 1970, and the run that is read of it, 0 for none."""

    from_s: int
    to_s: int
    run_id: int


class Words:
    """Words as numbers, in the order in which they came."""

    def __init__(self) -> None:
        self.all: list[str] = []
        self._codes: dict[str, int] = {}

    def codes(self, words: Sequence[str]) -> Rows:
        """Return the number of each word."""
        codes = self._codes
        found = [codes.setdefault(word, len(codes)) for word in words]
        self.all += islice(codes, len(self.all), None)
        return np.array(found, dtype=np.int64)


class Kept:
    """Pieces of one kind: what one statement tells when it is asked with the same parameters.

    Each row begins with the number of its `key` in `keys` and that of its `part` in `parts`; its other numbers are the
    statement's. To be used under its lock.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.keys = Words()
        self.parts = Words()
        self._bytes = 0
        self._pieces: dict[tuple[int, int], tuple[int, Rows]] = {}

    @property
    def size(self) -> int:
        """How many bytes it takes, roughly."""
        return self._bytes + WORD_BYTES * (len(self.keys.all) + len(self.parts.all))

    def missing(self, slices: Sequence[Slice]) -> list[Slice]:
        """Return those that have to be read: unknown ones, and those that another run was read for."""
        known = self._pieces
        return [each for each in slices if known.get((each.from_s, each.to_s), _UNKNOWN)[0] != each.run_id]

    def keep(self, of: Slice, rows: Rows) -> None:
        """Put a piece in place of what another run told."""
        before = self._pieces.get((of.from_s, of.to_s))
        self._bytes += rows.nbytes - (before[1].nbytes if before else 0)
        self._pieces[of.from_s, of.to_s] = of.run_id, rows

    def rows(self, slices: Sequence[Slice]) -> tuple[Rows, Rows]:
        """Return the rows of slices that aren't missing, and the place of the slice that each is of."""
        each = [self._pieces[of.from_s, of.to_s][1] for of in slices]
        return np.concatenate(each), np.repeat(np.arange(len(each)), [len(rows) for rows in each])

    def forget(self) -> None:
        """Keep no piece; the words stay as they are for who works with their numbers."""
        self._pieces.clear()
        self._bytes = 0


_UNKNOWN: tuple[int, None] = (-1, None)


class Pieces:
    """What is kept of all kinds; when room runs out, those asked for last. Safe from any thread."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._lock = threading.Lock()
        self._kinds: OrderedDict[tuple[Any, ...], Kept] = OrderedDict()

    @property
    def size(self) -> int:
        """How many bytes all that is kept takes, roughly."""
        with self._lock:
            return sum(kept.size for kept in self._kinds.values())

    def read(
        self, store: Store, statement: Statement, parameters: Mapping[str, Any], slices: Sequence[Slice]
    ) -> Iterator[tuple[Kept, Rows, Rows]]:
        """Yield what a statement tells of slices, some hundreds at a time: rows, and the place of each one's slice.

        Reads those that aren't kept. All that comes is told with the words of the same `Kept`. Raises StoreError.
        """
        kept = self._kept((statement.name, *sorted(parameters.items())))
        for first in range(0, len(slices), AT_ONCE):
            wanted = slices[first : first + AT_ONCE]
            with kept.lock:
                missing = kept.missing(wanted)
                if missing:
                    _fill(kept, store, statement, parameters, missing)
                rows, places = kept.rows(wanted)
                if missing:
                    self._make_room(kept)
            yield kept, rows, places + first

    def _kept(self, kind: tuple[Any, ...]) -> Kept:
        with self._lock:
            kept = self._kinds.setdefault(kind, Kept())
            self._kinds.move_to_end(kind)
            return kept

    def _make_room(self, for_kept: Kept) -> None:
        """Let kinds go that weren't asked for for longest; in the end the one that is read, if it alone is too much."""
        with self._lock:
            size = sum(kept.size for kept in self._kinds.values())
            while size > self._most_bytes and self._kinds:
                _, kept = self._kinds.popitem(last=False)
                size -= kept.size
                if kept is for_kept:
                    kept.forget()


def _fill(
    kept: Kept, store: Store, statement: Statement, parameters: Mapping[str, Any], missing: Sequence[Slice]
) -> None:
    """Read slices, in order of time, with one statement. What lies between them is of no run, 0."""
    runs = {each.to_s: 0 for each in missing} | {each.from_s: each.run_id for each in missing}
    cuts = sorted(runs)
    with store.session() as session:
        told = session.raw(
            statement, "ArrowStream", **parameters, cuts=cuts, runs=[runs[cut] for cut in cuts], end_s=cuts[-1]
        )
    table = pa.ipc.open_stream(told).read_all()
    begins, keys, parts, *numbers = table.columns
    rows = np.column_stack(
        [_coded(keys, kept.keys), _coded(parts, kept.parts), *(column.to_numpy() for column in numbers)]
    )
    starts, moments = begins.to_numpy(), [each.from_s for each in missing]
    firsts, ends = np.searchsorted(starts, moments, "left"), np.searchsorted(starts, moments, "right")
    for each, first, end in zip(missing, firsts, ends, strict=True):
        kept.keep(each, rows[first:end].copy())


def _coded(column: pa.ChunkedArray, words: Words) -> Rows:
    """Return the numbers of words that come as a dictionary and places in it."""
    coded = [words.codes(chunk.dictionary.to_pylist())[chunk.indices.to_numpy()] for chunk in column.chunks]
    return np.concatenate([np.zeros(0, dtype=np.int64), *coded])
