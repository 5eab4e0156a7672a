"""The loader: takes finished segments from the journal into the event store, each line exactly once.

A turn takes the contiguous segments of one node and loads them as one range, `turn.STEPS`. What can't be loaded is
held, loudly, and stays on disk: a newer schema until this program is upgraded, a journal that contradicts the store
until somebody looks.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stackfluence.clock import now_ms
from stackfluence.errors import JournalError, JournalLocked, SchemaTooNew, StackfluenceError
from stackfluence.events.journal import adopt, lock, segments
from stackfluence.events.seal_book import SealBook
from stackfluence.events.segments import first_seq, prune
from stackfluence.events.store import LOADER_SETTINGS, Store
from stackfluence.events.turn import RETENTION_DAYS, SQL, STEPS, AnotherLoads, Desk, LoadNumbers, Step, Turn

log = logging.getLogger(__name__)

TURN_BYTES = 128 << 20  # 110,000 clicks and 600 MB of memory when so much waits; by 32 MB each costs twice as much
TURN_SEGMENTS = 256  # after a pause there may be thousands of small ones
IDLE_SECONDS = 0.1
FIRST_PAUSE_SECONDS = 0.2  # after a failure; doubled up to the last, reset by a turn that loads
LAST_PAUSE_SECONDS = 30.0
ADOPT_SECONDS = 5.0
PRUNE_SECONDS = 3600.0
HELD_SECONDS = 60.0  # a held directory is tried again this often: the program may have been upgraded around it


@dataclass(slots=True)
class Report:
    """What a turn did. `lag_seconds` is the age of its oldest line when it became readable."""

    lines: int = 0
    known: int = 0  # of these, in the store before
    quarantined: int = 0
    load_number: int = 0
    seconds: float = 0.0
    lag_seconds: float = 0.0
    waiting: int = 0  # segments that are ready and not loaded yet
    is_busy: bool = False  # another loader is at work


@dataclass(slots=True)
class Counts:
    """What this loader did since it started, for the metrics."""

    turns: int = 0
    lines: int = 0
    known: int = 0
    quarantined: int = 0
    failures: int = 0
    lag_seconds: float = 0.0
    waiting: int = 0
    held: dict[str, str] = field(default_factory=dict)  # directory → why nothing of it is loaded


class Loader:
    """Loads the journals below a directory (`w0`, `w1`, …) into a store; one thread at a time."""

    def __init__(
        self, journals: Path, store: Store, numbers: LoadNumbers, *, retention_days: int = RETENTION_DAYS
    ) -> None:
        """Open a connection; `retention_days` is how long expiring personal halves stay. Raises StoreError."""
        self.journals = journals
        self.counts = Counts()
        self.steps: tuple[Step, ...] = STEPS
        session = store.open_session(LOADER_SETTINGS)
        highest = session.row(SQL["highest_load_number"])["load_number"]
        self._desk = Desk(session, numbers, store.is_embedded, retention_days, highest)
        self._books: dict[Path, SealBook] = {}
        self._loaded: dict[Path, str] = {}  # directory → hash of its last seal known to be in the store
        self._retry_at: dict[Path, float] = {}
        self._last = journals
        self._adopt_at = 0.0
        self._prune_at = 0.0

    def close(self) -> None:
        """Give the connection back."""
        self._desk.session.close()

    def turn(self) -> Report:
        """Load the next range of whichever journal has one; an empty report when none has.

        Raises StoreError, OSError: the turn is to be repeated later. What holds up a single directory is not raised
        but kept in `counts.held`.
        """
        started = time.monotonic()
        self._keep_house(started)
        report = Report()
        for directory in self._directories():
            if started < self._retry_at.get(directory, 0.0) or not segments(directory):
                continue
            self._last = directory
            try:
                loaded = self._turn_of(directory)
            except AnotherLoads:
                report.is_busy = True
                break
            except JournalLocked:
                report.is_busy = True
                continue
            except (JournalError, SchemaTooNew) as error:
                self._hold(directory, error)
                continue
            if loaded is not None:
                report = loaded
                break
        report.seconds = time.monotonic() - started
        report.waiting = self.counts.waiting = sum(len(segments(path)) for path in self.journals.glob("*"))
        return report

    async def run(self, on_report: Callable[[Report], Any] | None = None) -> None:
        """Load until cancelled, the turn under way finished first; a failure is logged and repeated after a pause."""
        pause = FIRST_PAUSE_SECONDS
        while True:
            thread = asyncio.ensure_future(asyncio.to_thread(self.turn))
            try:
                report = await asyncio.shield(thread)
            except asyncio.CancelledError:
                await asyncio.wait([thread])
                raise
            except Exception as error:  # the store's, the disk's, or whatever the catalog's driver raises
                self.counts.failures += 1
                log.error("load_failed", extra={"error": repr(error), "pause_seconds": pause})
                await asyncio.sleep(pause)
                pause = min(pause * 2, LAST_PAUSE_SECONDS)
                continue
            pause = FIRST_PAUSE_SECONDS
            if on_report is not None:
                on_report(report)
            if not report.lines:
                await asyncio.sleep(IDLE_SECONDS)

    def _directories(self) -> list[Path]:
        """Return the journals, those after the last tried one first: a busy or failing one keeps no other waiting."""
        found = sorted(path for path in self.journals.glob("*") if path.is_dir())
        return [path for path in found if path > self._last] + [path for path in found if path <= self._last]

    def _turn_of(self, directory: Path) -> Report | None:
        held = lock(directory / "loader.lock", create=True)
        try:
            turn = self._choose(directory)
            if turn is None:
                return None
            for step in self.steps:
                step(self._desk, turn)
            if turn.pending is not None:
                self._loaded[directory] = turn.pending.seal_hash
        finally:
            os.close(held)
        self.counts.held.pop(directory.name, None)
        return self._count(turn)

    def _choose(self, directory: Path) -> Turn | None:
        """Return the next turn: what an interrupted one had sealed, or the contiguous segments of the oldest node."""
        book = self._books.setdefault(directory, SealBook(directory))
        book.refresh()
        nodes: dict[Path, list[Path]] = {}
        for path in segments(directory):
            nodes.setdefault(path.parent, []).append(path)
        if not nodes:
            return None
        last = book.last
        if last is not None and not self._is_loaded(directory, book):
            found = nodes.get(directory / last.node, [])
            sealed = [path for path in found if last.first_seq <= first_seq(path) <= last.last_seq]
            if sealed and first_seq(sealed[0]) == last.first_seq:
                following = next((path for path in found if first_seq(path) > last.last_seq), None)
                return Turn(book, last.node, sealed, following, pending=last)
        folder = min(nodes, key=lambda node: (nodes[node][0].stat().st_mtime_ns, node.name))
        return self._next_of(book, folder, nodes[folder])

    def _next_of(self, book: SealBook, folder: Path, ready: list[Path]) -> Turn:
        sealed_to = book.ends.get(folder.name, 0)
        begins = first_seq(ready[0])
        if begins > sealed_to + 1:
            raise JournalError(f"{folder}: lines {sealed_to + 1}-{begins - 1} are gone.")
        is_again = begins <= sealed_to
        chosen: list[Path] = []
        size = 0
        for path in ready:
            if is_again and first_seq(path) > sealed_to:
                break
            size += path.stat().st_size
            if chosen and (size > TURN_BYTES or len(chosen) == TURN_SEGMENTS):
                break
            chosen.append(path)
        following = ready[len(chosen)] if len(chosen) < len(ready) else None
        return Turn(book, folder.name, chosen, following, is_again=is_again)

    def _is_loaded(self, directory: Path, book: SealBook) -> bool:
        last = book.last
        if last is None or self._loaded.get(directory) == last.seal_hash:
            return True
        found = self._desk.session.row(
            SQL["count_seals"], node=last.node, first_seq=last.first_seq, seal_hash=last.seal_hash
        )
        if found["seals"]:
            self._loaded[directory] = last.seal_hash
        return bool(found["seals"])

    def _count(self, turn: Turn) -> Report:
        report = Report(
            lines=turn.lines,
            known=min(turn.present, turn.lines),
            quarantined=turn.lines - turn.stored,
            load_number=turn.load_number,
            lag_seconds=max(0.0, (now_ms() - turn.first_received_ms) / 1000) if turn.first_received_ms else 0.0,
        )
        self.counts.turns += 1
        self.counts.lines += report.lines
        self.counts.known += report.known
        self.counts.quarantined += report.quarantined
        self.counts.lag_seconds = report.lag_seconds
        return report

    def _hold(self, directory: Path, error: StackfluenceError) -> None:
        self._retry_at[directory] = time.monotonic() + HELD_SECONDS
        if self.counts.held.get(directory.name) != str(error):
            log.error("journal_held", extra={"directory": directory.name, "reason": str(error)})
        self.counts.held[directory.name] = str(error)

    def _keep_house(self, now: float) -> None:
        """Finish what dead edges left open, and empty the archives of what is older than a week."""
        if now >= self._adopt_at:
            self._adopt_at = now + ADOPT_SECONDS
            for directory in self.journals.glob("*"):
                adopt(directory)
        if now >= self._prune_at:
            self._prune_at = now + PRUNE_SECONDS
            for directory in self.journals.glob("*"):
                try:
                    held = lock(directory / "loader.lock", create=True)
                except JournalLocked:
                    continue
                try:
                    prune(directory)
                finally:
                    os.close(held)
