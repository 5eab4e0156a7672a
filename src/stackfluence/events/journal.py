"""The journal: every event is on this disk before it is answered.

In a journal directory::

    <node>/0000000000000001.open      being written, and locked (flock) by who writes it
    <node>/0000000000000001.segment   finished; the number is the first line's `seq`

A **node** is one opening of one directory: a random name under which `seq` counts from 1 without a gap. A directory
that was copied or restored therefore never continues another's numbers, and nothing is shared that two could spoil.

Commit: the event loop collects lines while one thread writes and syncs the batch before; when that is on disk, the
loop answers all of it and hands over the next batch. A disk that stalls stalls the thread, not the loop: what has
waited for 250 ms is answered as not recorded.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue
from time import monotonic
from typing import Any

from stackfluence.clock import now_ms, random_bytes
from stackfluence.errors import JournalLocked
from stackfluence.events.event import join_lines, split_line
from stackfluence.events.segment_file import Batch, SegmentFile, sync_directory
from stackfluence.names import base32

DEADLINE_SECONDS = 0.25  # promise 2: a redirect never waits longer for the disk
STALLED_SECONDS = 1.0  # a disk silent for this long is not waited for at all until it answers
GATHER_SECONDS = 0.006  # a commit waits at most this long for lines that keep coming in
RETRY_SECONDS = 0.1  # after an error the next attempt waits this long, well inside the deadline
ROTATE_SECONDS = 0.5  # an event is offered to the loader at most this long after its answer
SEGMENT_BYTES = 32 << 20
MAX_WAITING = 50_000  # lines, about 60 MB: what 250 ms can bring in, several times over
TICK_SECONDS = 0.02
DRAFT_SECONDS = 60.0  # a file that is being created has its name after microseconds
log = logging.getLogger(__name__)

Settle = Callable[[Any, bool], None]


# A line that waits for the disk, and whom to tell: organization, body, personal, settle, ticket, monotonic time. A
# plain tuple: naming its fields would cost more than appending it.
Entry = tuple[bytes, bytes, bytes, Settle, Any, float]


class Journal:
    """The writing side of one journal directory, owned by one event loop."""

    def __init__(self, directory: Path, *, is_fsynced: bool = True) -> None:
        self.directory = directory
        self.committed = 0  # lines on disk
        self.batches = 0
        self.failures = 0  # batches that the disk refused
        self.late = 0  # lines that reached the disk after they had been answered as not recorded
        self.last_error = ""
        self._segment = SegmentFile(directory, is_fsynced)
        self._node = ""
        self._seq = 0
        self._last_ms = 0
        self._waiting: deque[Entry] = deque()
        self._flying: list[Entry] | None = None  # None: nothing in flight; emptied when its entries timed out
        self._flying_count = 0
        self._flying_since = 0.0
        self._is_scheduled = False
        self._gathered = 0
        self._retry_at = 0.0
        self._rotate_at = 0.0
        self._jobs: SimpleQueue[Batch] = SimpleQueue()
        self._outcome: Exception | None = None
        self._wake = -1
        self._thread: threading.Thread | None = None
        self._tick: asyncio.TimerHandle | None = None

    def open(self, loop: asyncio.AbstractEventLoop) -> None:
        """Adopt what an earlier edge left and start the committing thread.

        A disk that refuses now, a full one for example, may not keep links from redirecting: it is tried again with
        the first line, and what could not be adopted waits for the next opening.
        """
        try:
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            for folder in (self.directory.parent, self.directory.parent.parent):
                sync_directory(folder)
            adopt(self.directory)
        except OSError as error:
            self.last_error = str(error)
            log.warning("journal_not_adopted", extra={"error": str(error)})
        self._loop = loop
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        loop.add_reader(self._wake, self._on_committed)
        self._thread = threading.Thread(target=self._commit_forever, name="journal", daemon=True)
        self._thread.start()
        self._tick = loop.call_later(TICK_SECONDS, self._on_tick)

    def stamp(self) -> int:
        """Return the time in milliseconds for an event received now; it never goes back while this journal is open."""
        now = now_ms()
        if now > self._last_ms:
            self._last_ms = now
        return self._last_ms

    def append(self, organization_id: bytes, body: bytes, personal: bytes, settle: Settle, ticket: Any) -> None:
        """Put a line on disk; `settle(ticket, is_recorded)` is called once, from the loop, within the deadline.

        `body` is `encode_leaf`'s, `personal` is `kept TAB expiring`.
        """
        since, waiting = monotonic(), self._waiting
        if len(waiting) >= MAX_WAITING or (self._flying is not None and since - self._flying_since > STALLED_SECONDS):
            self._loop.call_soon(settle, ticket, False)
            return
        waiting.append((organization_id, body, personal, settle, ticket, since))
        if self._flying is None and not self._is_scheduled:
            self._is_scheduled = True
            self._loop.call_soon(self._gather)

    def is_stalled(self, now: float) -> bool:
        """Whether the disk has been silent for so long that nothing waits for it; `now` is time.monotonic()."""
        return self._flying is not None and now - self._flying_since > STALLED_SECONDS

    async def close(self) -> None:
        """Commit what waits, finish the segment, release the directory; gives a stalled disk one second."""
        if self._thread is None:
            return
        patience = monotonic() + STALLED_SECONDS
        while (self._waiting or self._flying is not None) and monotonic() < patience:
            await asyncio.sleep(TICK_SECONDS)
        if self._tick is not None:
            self._tick.cancel()
        self._jobs.put(Batch(self._node, self._seq + 1, 0, b"", rotate=True, is_last=True))
        await asyncio.to_thread(self._thread.join, STALLED_SECONDS)
        self._loop.remove_reader(self._wake)
        if not self._thread.is_alive():  # a thread that still waits for the disk will want to tell
            os.close(self._wake)
        self._thread = None

    def _gather(self) -> None:
        """Hand over once a turn of the loop brought no more lines: one commit for all who are there."""
        if len(self._waiting) > self._gathered and monotonic() < self._waiting[0][-1] + GATHER_SECONDS:
            self._gathered = len(self._waiting)
            self._loop.call_soon(self._gather)
        else:
            self._gathered = 0
            self._hand_over()

    def _hand_over(self) -> None:
        """Number the waiting lines and give them to the thread. Numbers are taken only here, with nothing in flight."""
        self._is_scheduled = False
        now = monotonic()
        rotate = now >= self._rotate_at
        if self._flying is not None or not (self._waiting or (rotate and self._segment.has_lines)):
            return
        if now < self._retry_at:
            self._is_scheduled = True
            self._loop.call_later(self._retry_at - now, self._hand_over)
            return
        if not self._node:
            self._node, self._seq = new_node(), 0
        entries = list(self._waiting)
        self._waiting.clear()
        first_seq = self._seq + 1
        lines = join_lines(self._node.encode(), first_seq, entries)
        self._flying, self._flying_count, self._flying_since = entries, len(entries), now
        if rotate:
            self._rotate_at = now + ROTATE_SECONDS
        self._jobs.put(Batch(self._node, first_seq, len(entries), lines, rotate, is_last=False))

    def _on_committed(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self._wake)
        entries, error = self._flying, self._outcome
        if entries is None:
            return
        self._flying = None
        if error is None:
            self._seq += self._flying_count
            self.committed += self._flying_count
            self.batches += 1
            self.late += self._flying_count - len(entries)
        else:
            self.failures += 1
            self.last_error = str(error) or repr(error)
            self._node = ""  # after a failed sync the kernel forgets what was not written: never trust this file again
            self._retry_at = monotonic() + RETRY_SECONDS
        _settle_all(entries, error is None)
        if self._waiting and not self._is_scheduled:
            self._is_scheduled = True
            self._loop.call_soon(self._gather)

    def _on_tick(self) -> None:
        self._tick = self._loop.call_later(TICK_SECONDS, self._on_tick)
        now = monotonic()
        overdue: list[Entry] = []
        if self._flying and now - self._flying[0][-1] > DEADLINE_SECONDS:
            overdue = [entry for entry in self._flying if now - entry[-1] > DEADLINE_SECONDS]
            self._flying = self._flying[len(overdue) :]  # they arrived in order
        give_up = self.is_stalled(now)
        while self._waiting and (give_up or now - self._waiting[0][-1] > DEADLINE_SECONDS):
            overdue.append(self._waiting.popleft())
        _settle_all(overdue, False)
        if self._flying is None and not self._is_scheduled and now >= self._rotate_at:
            self._hand_over()

    def _commit_forever(self) -> None:
        while True:
            batch = self._jobs.get()
            outcome: Exception | None = None
            try:
                self._segment.write(batch)
            except Exception as error:  # out of memory, say: whoever waits is told, and the next batch is tried
                outcome = error
                self._segment.abandon()
            if batch.is_last:
                self._segment.finish()
                return
            self._outcome = outcome
            os.eventfd_write(self._wake, 1)
            if outcome is None and (batch.rotate or self._segment.size > SEGMENT_BYTES):
                self._segment.rotate(batch.first_seq + batch.lines)


def _settle_all(entries: list[Entry], is_recorded: bool) -> None:
    for entry in entries:
        try:
            entry[3](entry[4], is_recorded)
        except Exception:  # one answer that fails may not cost the others theirs
            log.exception("settle_failed")


def new_node() -> str:
    """Return a fresh node name, `n_` and 80 random bits."""
    return "n_" + base32(random_bytes(10))


def lock(path: Path, *, create: bool = False) -> int:
    """Take a file's exclusive lock, which ends with the process, and return its descriptor; raises JournalLocked."""
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT if create else 0), 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise JournalLocked(str(path)) from None
    return descriptor


def segments(directory: Path) -> list[Path]:
    """Return the finished segments of a journal directory, by node and first sequence number."""
    return sorted(directory.glob("n_*/*.segment"))


def adopt(directory: Path) -> list[Path]:
    """Finish the segments that a dead edge left open and return them; those of a living one are locked and stay.

    A torn end, bytes behind which no whole line follows, was never answered: it is cut and kept aside as `.torn`.
    A damaged line with whole lines after it stays, for the loader to quarantine.
    """
    adopted = []
    for draft in directory.glob("n_*/*.new"):  # its edge died before it could write to it, unless it is just made
        with contextlib.suppress(FileNotFoundError):
            if time.time() - draft.stat().st_mtime > DRAFT_SECONDS:
                draft.unlink()
    for path in sorted(directory.glob("n_*/*.open")):
        try:
            held = lock(path)
        except (JournalLocked, FileNotFoundError):
            continue
        try:
            if not path.exists():
                continue  # its edge finished it between the listing and the lock
            whole = _whole_lines(path)
            if whole:
                finished = path.with_suffix(".segment")
                path.rename(finished)
                adopted.append(finished)
            else:
                path.unlink()
            sync_directory(path.parent)
            with contextlib.suppress(OSError):
                path.parent.rmdir()
        finally:
            os.close(held)
    return adopted


def _whole_lines(path: Path) -> int:
    """Cut a torn end off and return the size of what is left."""
    data = path.read_bytes()
    whole = len(data)
    while whole:
        start = data.rfind(b"\n", 0, whole - 1) + 1
        if data[whole - 1 : whole] == b"\n" and split_line(data[start:whole]) is not None:
            break
        whole = start
    if whole < len(data):
        torn = data[whole:].rstrip(b"\0")  # what fills the last block up
        if torn:
            path.with_suffix(".torn").write_bytes(torn)
        with path.open("r+b") as file:
            file.truncate(whole)
            os.fsync(file.fileno())
    return whole
