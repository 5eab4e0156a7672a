"""Segments on the disk: which are next, what in them can't be read, and where they go when they are loaded."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from stackfluence.clock import now_ms, rfc3339
from stackfluence.errors import JournalDiverged
from stackfluence.events.event import split_line
from stackfluence.events.segment_file import sync_directory

ARCHIVE_DAYS = 7  # a loaded segment's bytes stay this long, for whoever must load them again
MOVED_BYTES = 4 << 20  # a segment this large is moved to the archive; smaller ones are collected in one file an hour
_NAME = re.compile(r"\d{16}\.segment", re.ASCII)
_SEQ = re.compile(rb'"seq":(\d{1,19})[,}]')


@dataclass(frozen=True, slots=True)
class Unreadable:
    """The place of a line that can't be read, and the SHA-256 (hex) and length of the bytes found there.

    `organization_id` and `leaf_hash` (hex) are set only when the line has a leaf that the store refused.
    """

    seq: int
    bytes_hash: str
    length: int
    organization_id: str = ""
    leaf_hash: str = ""


def first_seq(segment: Path) -> int:
    """Return the sequence number that a segment's name promises; raises JournalDiverged for another name."""
    if not _NAME.fullmatch(segment.name):
        raise JournalDiverged(f"{segment.name} is no segment's name.")
    return int(segment.stem)


def find_unreadable(segment: Path, good: set[int], next_seq: int | None) -> tuple[int, list[Unreadable]]:
    """Return a damaged segment's last sequence number and the places of its lines that can't be read.

    `good` are the sequence numbers that can be. What lies between two of them is one finding, however many line feeds
    the damage removed or made: each missing number gets the hash of all those bytes. `next_seq`, where the next segment
    begins, tells how many are missing at the end; unknown, each piece counts as one. Raises JournalDiverged when the
    numbers don't rise.
    """
    found: list[Unreadable] = []
    expected = first_seq(segment)
    gap: list[bytes] = []
    for line in segment.read_bytes().removesuffix(b"\n").split(b"\n"):
        seq = _seq_of(line)
        if seq is None or seq not in good:
            gap.append(line)
            continue
        if seq < expected:
            raise JournalDiverged(f"{segment} has line {seq} after line {expected - 1}.")
        found += _missing(range(expected, seq), gap)
        expected, gap = seq + 1, []
    end = next_seq if next_seq is not None and next_seq >= expected else expected + len(gap)
    return end - 1, found + _missing(range(expected, end), gap)


def _missing(seqs: range, gap: list[bytes]) -> list[Unreadable]:
    content = b"\n".join(gap)
    digest = hashlib.sha256(content).hexdigest()
    return [Unreadable(seq, digest, len(content)) for seq in seqs]


def _seq_of(line: bytes) -> int | None:
    parts = split_line(line)
    return None if parts is None else seq_of(parts.leaf)


def seq_of(leaf: bytes) -> int | None:
    """Return a leaf's sequence number, None when it has none."""
    found = _SEQ.search(leaf)
    return None if found is None else int(found[1])


def archive(segments: list[Path]) -> None:
    """Put loaded segments of one node away; raises OSError when the disk refuses, and may then be repeated.

    Interrupted, a segment may be in the archive and still in its place: it is loaded again, to no effect.
    """
    if not segments:
        return
    node = segments[0].parent
    folder = node / "archive"
    folder.mkdir(mode=0o700, exist_ok=True)
    small = [segment for segment in segments if segment.stat().st_size < MOVED_BYTES]
    if small:
        with (folder / f"{rfc3339(now_ms())[:13]}.lines").open("ab") as file:
            for segment in small:
                file.write(segment.read_bytes())
            file.flush()
            os.fsync(file.fileno())
    for segment in segments:
        if segment in small:
            segment.unlink()
        else:
            os.utime(segment)  # the seven days begin now
            segment.rename(folder / f"{segment.stem}.lines")
    sync_directory(folder)
    sync_directory(node)


def prune(directory: Path) -> int:
    """Delete what was archived or cut off more than seven days ago, and the folders of nodes that are empty then."""
    oldest = time.time() - ARCHIVE_DAYS * 86_400
    gone = 0
    for pattern in ("n_*/archive/*.lines", "n_*/*.torn", "n_*/*.blanked", "n_*/archive/*.blanked"):
        for path in directory.glob(pattern):
            # a draft that was never finished holds what was to be erased
            if path.suffix == ".blanked" or path.stat().st_mtime < oldest:
                path.unlink()
                gone += 1
    for folder in [*directory.glob("n_*/archive"), *directory.glob("n_*")]:
        with contextlib.suppress(OSError):  # not empty
            if folder.stat().st_mtime < oldest:  # an edge may be about to begin in a new one
                folder.rmdir()
    return gone


def blank_personal(path: Path, is_erased: Callable[[bytes, bytes], bool]) -> int:
    """Remove the personal halves of a file's lines for which `is_erased(leaf, kept)`; returns how many.

    The file is replaced at once, or not at all; leaves, and with them every hash, stay. Unreadable lines stay, too:
    they can't be judged, and the file's seven days end.
    """
    lines = path.read_bytes().split(b"\n")  # and nothing behind the last line feed
    blanked = 0
    for place, line in enumerate(lines):
        parts = split_line(line)
        if parts is None or not (parts.kept or parts.expiring) or not is_erased(parts.leaf, parts.kept):
            continue
        content = parts.leaf + b"\t\t"
        lines[place] = b"%08x\t%b" % (zlib.crc32(content), content)
        blanked += 1
    if blanked:
        draft = path.with_suffix(".blanked")
        with draft.open("wb") as file:
            file.write(b"\n".join(lines))
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
        sync_directory(path.parent)
    return blanked
