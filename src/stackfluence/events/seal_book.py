"""`seals.jsonl`: the seals of one journal directory, one a line, in the order they were made, each on disk before the
range it seals is loaded.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from stackfluence.errors import JournalDiverged
from stackfluence.events.seal import Seal, read_seal
from stackfluence.events.segment_file import sync_directory


class _Range(msgspec.Struct):
    """The part of a seal's line that tells how far a node is sealed."""

    node: str
    first_seq: int
    last_seq: int


class SealBook:
    """The seals of a directory. Whoever calls `refresh` or `append` holds the directory's loader lock."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "seals.jsonl"
        self.last: Seal | None = None
        self.ends: dict[str, int] = {}  # node → the highest sequence number that is sealed
        self._size = 0

    def refresh(self) -> None:
        """Take in what was appended since, by whoever; a torn last line is cut off, it will be made again.

        Raises JournalDiverged for a line that is damaged and not the last.
        """
        size = self.path.stat().st_size if self.path.exists() else 0
        if size == self._size:
            return
        if size < self._size:
            self.last, self.ends, self._size = None, {}, 0
        with self.path.open("r+b") as file:
            file.seek(self._size)
            added = file.read()
            whole = added.rfind(b"\n") + 1
            lines = added[:whole].splitlines(keepends=True)
            if whole < len(added):
                file.truncate(self._size + whole)
                os.fsync(file.fileno())
        for line in lines:
            try:
                sealed = msgspec.json.decode(line, type=_Range)
            except msgspec.MsgspecError as error:
                raise JournalDiverged(f"{self.path} has a damaged line: {error}.") from None
            self.ends[sealed.node] = max(self.ends.get(sealed.node, 0), sealed.last_seq)
        if lines:
            self.last = read_seal(lines[-1])
        self._size += whole

    def append(self, seal: Seal) -> None:
        """Put a seal on disk, behind the last; raises OSError when the disk refuses."""
        line = seal.line()
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            os.write(descriptor, line)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        if not self._size:
            sync_directory(self.path.parent)
        self.refresh()

    def seals(self) -> list[Seal]:
        """Return all seals in order; raises JournalDiverged for one that isn't what its hash says."""
        if not self.path.exists():
            return []
        with self.path.open("rb") as file:
            return [read_seal(line) for line in file if line.endswith(b"\n")]
