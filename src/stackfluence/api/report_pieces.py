"""What reports add up, in pieces of days: read from the store once for each run, and kept while there is room.

A run's facts never change, so a piece is good for as long as its run is the one that is read for its day. A report
always adds up pieces, whether they were kept or just read: there is one way to its figures.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from stackfluence.events.statements import Statement
from stackfluence.events.store import StatementFailed, Store

MOST_BYTES = 256 << 20  # of all that is kept
AT_ONCE = 200  # pieces that are read and added up at a time, unless it is said otherwise: of whole days, half a year
THREADS = 4  # reports that are added up at a time; a report has two sides
# roughly what it takes to keep any kind, a piece of it even if that is empty, and a word in either direction
KIND_BYTES, PIECE_BYTES, WORD_BYTES = 2_000, 500, 200

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
        words = len(self.keys.all) + len(self.parts.all)
        return KIND_BYTES + self._bytes + PIECE_BYTES * len(self._pieces) + WORD_BYTES * words

    def missing(self, slices: Sequence[Slice]) -> list[Slice]:
        """Return those that have to be read: unknown ones, and those that another run was read for."""
        known = self._pieces
        found = ((each, known.get((each.from_s, each.to_s))) for each in slices)
        return [each for each, piece in found if piece is None or piece[0] != each.run_id]

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


class Pieces:
    """What is kept of all kinds; when room runs out, those asked for last. Safe from any thread."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self.threads = ThreadPoolExecutor(THREADS, thread_name_prefix="reports")
        self._lock = threading.Lock()
        self._kinds: OrderedDict[tuple[Any, ...], Kept] = OrderedDict()

    @property
    def size(self) -> int:
        """How many bytes all that is kept takes, roughly."""
        with self._lock:
            return self._size()

    def read(
        self,
        store: Store,
        statement: Statement,
        parameters: Mapping[str, Any],
        slices: Sequence[Slice],
        at_once: int = 0,
    ) -> Iterator[tuple[Kept, Rows, Rows]]:
        """Yield what a statement tells of slices, some at a time: rows, and the place of each one's slice.

        Reads those that aren't kept. All that comes is told with the words of the same `Kept`. Raises StoreError.
        """
        kind = (statement.name, *sorted(parameters.items()))
        kept = self._kept(kind)
        step = at_once or AT_ONCE
        for first in range(0, len(slices), step):
            wanted = slices[first : first + step]
            with kept.lock:
                missing = kept.missing(wanted)
                if missing:
                    _fill(kept, store, statement, parameters, missing)
                rows, places = kept.rows(wanted)
                if missing:
                    self._make_room(kind, kept)
            yield kept, rows, places + first

    def _kept(self, kind: tuple[Any, ...]) -> Kept:
        with self._lock:
            kept = self._kinds.setdefault(kind, Kept())
            self._kinds.move_to_end(kind)
            return kept

    def _make_room(self, kind: tuple[Any, ...], kept: Kept) -> None:
        """Let kinds go that weren't asked for for longest. One that is too much alone makes none of them go."""
        with self._lock:
            if self._kinds.get(kind) is not kept:
                kept.forget()  # another made room meanwhile
                return
            if kept.size > self._most_bytes:
                del self._kinds[kind]
                kept.forget()
            size = self._size()
            while size > self._most_bytes:
                _, oldest = self._kinds.popitem(last=False)
                size -= oldest.size

    def _size(self) -> int:
        return sum(kept.size for kept in self._kinds.values())


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
    try:
        table = pa.ipc.open_stream(told).read_all()
    except pa.ArrowInvalid as error:  # a server that fails on the way ends its answer with what went wrong
        raise StatementFailed(statement.name, None, str(error)) from None
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
