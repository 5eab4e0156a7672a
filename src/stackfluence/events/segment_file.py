"""The file of a journal that is being written; `journal` has the whole picture.

It is written past the page cache where the file system can (O_DIRECT), in whole blocks: the last one is filled up with
zeros, written again with the lines that follow, and cut when the segment is finished. What nobody here reads again need
not push out what others read, and a virtual machine pays dearly for each page of memory it had not used before.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import mmap
import os
from pathlib import Path
from typing import NamedTuple

BLOCK = 4096  # bytes; what O_DIRECT asks for is this or less but on disks with larger sectors, which go without
ROOM = 1 << 20  # bytes that one call writes at most


class Batch(NamedTuple):
    """What the committing thread gets: lines of one node from `first_seq` on; `is_last` asks it to finish."""

    node: str
    first_seq: int
    lines: int
    data: bytes
    rotate: bool
    is_last: bool


class SegmentFile:
    """The file being written; used by the committing thread alone, but for reading `has_lines`."""

    def __init__(self, directory: Path, is_fsynced: bool) -> None:
        self.has_lines = False
        self.size = 0
        self._directory = directory
        self._is_direct = is_fsynced  # without syncs the page cache is where lines stay
        self._sync = os.fdatasync if is_fsynced else _no_sync
        self._file = -1
        self._path = directory
        self._node = ""
        self._blocks = mmap.mmap(-1, ROOM)  # aligned as O_DIRECT wants it

    def write(self, batch: Batch) -> None:
        """Append a batch and sync it; raises OSError when not all of it is on disk."""
        if not batch.lines:
            return
        if self._file < 0 or batch.node != self._node:
            self._start(batch.node, batch.first_seq)
        self._append(batch.data)
        self._sync(self._file)
        self.size += len(batch.data)
        self.has_lines = True

    def rotate(self, next_seq: int) -> None:
        """Finish this segment and start the next. When the disk refuses, the old one stays in use."""
        if self._file < 0 or not self.has_lines:
            return
        fresh = self._path.with_name(f"{next_seq:016d}.open")
        try:
            descriptor = self._create(fresh)
        except OSError:
            return
        are_names_safe = self.finish()
        self._file, self._path = descriptor, fresh
        if not are_names_safe:
            self.finish()  # a file whose name may be lost takes no lines; the next batch starts another

    def finish(self) -> bool:
        """Leave the segment to the loader, and only then unlock it, or it would be adopted in between.

        Returns whether the names in its folder are on disk.
        """
        if self._file < 0:
            return True
        are_names_safe = False
        with contextlib.suppress(OSError):
            if self.size:
                os.ftruncate(self._file, self.size)
                self._sync(self._file)
                self._path.rename(self._path.with_suffix(".segment"))
            else:
                self._path.unlink()
            sync_directory(self._path.parent)
            are_names_safe = True
        with contextlib.suppress(OSError):
            os.close(self._file)
        self._file = -1
        self.size, self.has_lines = 0, False
        return are_names_safe

    def abandon(self) -> None:
        """Cut what the failed batch left behind, as far as the disk allows, and never write to this file again."""
        if self._file >= 0:
            with contextlib.suppress(OSError):
                os.ftruncate(self._file, self.size)
        self.finish()
        with contextlib.suppress(OSError):
            self._path.parent.rmdir()  # only when nothing was ever committed in it

    def _start(self, node: str, first_seq: int) -> None:
        self.finish()
        folder = self._directory / node
        if not folder.is_dir():
            folder.mkdir(mode=0o700)
            sync_directory(self._directory)
        self._path = folder / f"{first_seq:016d}.open"
        self._node, self.size = node, 0
        self._file = self._create(self._path)
        sync_directory(folder)

    def _append(self, data: bytes) -> None:
        """Write behind the first `size` bytes, of which `_blocks` begins with those that fill no block."""
        rest, tail = memoryview(data), self.size % BLOCK
        at = self.size - tail
        while rest:
            some = rest[: ROOM - tail]
            rest = rest[len(some) :]
            filled = tail + len(some)
            whole, padded = filled // BLOCK * BLOCK, -(-filled // BLOCK) * BLOCK
            self._blocks[tail:filled] = some
            self._blocks[filled:padded] = bytes(padded - filled)
            self._write(at, padded)
            self._blocks[: filled - whole] = self._blocks[whole:filled]
            tail, at = filled - whole, at + whole

    def _write(self, at: int, many: int) -> None:
        with memoryview(self._blocks) as blocks:
            done = 0
            while done < many:
                try:
                    done += os.pwrite(self._file, blocks[done:many], at + done)
                except OSError as error:
                    flags = fcntl.fcntl(self._file, fcntl.F_GETFL)
                    if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP) or not flags & os.O_DIRECT:
                        raise
                    fcntl.fcntl(self._file, fcntl.F_SETFL, flags & ~os.O_DIRECT)  # larger sectors, or an odd remainder

    def _create(self, path: Path) -> int:
        """Return the descriptor of a new segment that is locked before anybody can find it under its name."""
        draft = path.with_suffix(".new")
        descriptor = os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            draft.rename(path)
        except OSError:
            os.close(descriptor)
            draft.unlink(missing_ok=True)
            raise
        if self._is_direct:
            with contextlib.suppress(OSError):  # a file system that can't
                fcntl.fcntl(descriptor, fcntl.F_SETFL, fcntl.fcntl(descriptor, fcntl.F_GETFL) | os.O_DIRECT)
        return descriptor


def sync_directory(path: Path) -> None:
    """Put a directory's names on disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _no_sync(_descriptor: int) -> None:
    return
