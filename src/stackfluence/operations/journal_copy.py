"""Journal directories, copied while edges write in them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from stackfluence.errors import OperationRefused
from stackfluence.events.event import split_line
from stackfluence.events.segment_file import sync_directory
from stackfluence.operations.packing import PIECE, pack, unpack

PACKED = ".zst"
LISTINGS = 3  # a file that is renamed while a folder is read can be missed by one listing, not by three

Files = dict[str, dict[str, Any]]


def copy_waiting(journals: Path, target: Path) -> Files:
    """Copy seals and whatever isn't loaded, that which is being written included, up to its last whole line.

    Loaders are at rest. Returns each file's path below `target`, with size, hash and modification time.
    """
    made: Files = {}
    for directory in sorted(path for path in journals.glob("*") if path.is_dir()):
        found = [path for _ in range(LISTINGS) for path in directory.glob("n_*/*")]
        finished = {path.with_suffix("") for path in found if path.suffix == ".segment"}
        for path in sorted(finished | {path.with_suffix("") for path in found if path.suffix == ".open"}):
            node, stem = path.parent.name, path.name
            content, mtime_ns = _segment(path, was_finished=path in finished)
            if content:
                place = f"{directory.name}/{node}/{stem}.segment"
                made |= _keep(target, place, iter([content]), mtime_ns)
        book = directory / "seals.jsonl"
        if book.exists():
            content = book.read_bytes()
            whole = content[: content.rfind(b"\n") + 1]
            made |= _keep(target, f"{directory.name}/seals.jsonl", iter([whole]), book.stat().st_mtime_ns)
    return made


def copy_archives(journals: Path, target: Path) -> Files:
    """Copy what was loaded within seven days; loaders may be at work and add to the newest file."""
    made: Files = {}
    for path in sorted(journals.glob("*/n_*/archive/*.lines")):
        try:
            with path.open("rb") as file:
                mtime = os.fstat(file.fileno()).st_mtime_ns
                place = path.relative_to(journals).as_posix()
                made |= _keep(target, place, _whole_pieces(file), mtime)
        except FileNotFoundError:
            continue  # its seven days were over
    return made


def put_back(files: Files, source: Path, journals: Path) -> None:
    """Write copied journal files into an empty data directory, on disk when this returns."""
    folders = set()
    for place, facts in files.items():
        path = journals / place
        if not path.resolve().is_relative_to(journals.resolve()):
            raise OperationRefused(f"The backup names a file outside of the journal: {place}.")
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            for piece in unpack(source / f"{place}{PACKED}"):
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
        os.utime(path, ns=(facts["mtime_ns"], facts["mtime_ns"]))  # the order of nodes, and the seven days
        folders |= {path.parent, *(p for p in path.parents if p.is_relative_to(journals))}
    for folder in folders:
        sync_directory(folder)


def _segment(stem: Path, *, was_finished: bool) -> tuple[bytes, int]:
    """Return a segment's whole lines and modification time, finished or being written: the one becomes the other."""
    for suffix in (".segment", ".open", ".segment"):
        try:
            with stem.with_suffix(suffix).open("rb") as file:
                content, mtime_ns = file.read(), os.fstat(file.fileno()).st_mtime_ns
        except FileNotFoundError:
            continue
        return (content if suffix == ".segment" else content[: _whole(content)]), mtime_ns
    if not was_finished:
        return b"", 0  # nothing was ever written to it, and its edge has removed it
    raise OperationRefused(f"{stem} went away while it was copied; does another loader work on this journal?")


def _whole(content: bytes) -> int:
    """Return how far a file that is being written consists of whole lines."""
    end = content.rfind(b"\n") + 1
    while end:
        start = content.rfind(b"\n", 0, end - 1) + 1
        if split_line(content[start:end]) is not None:
            return end
        end = start
    return 0


def _whole_pieces(file: Any) -> Iterator[bytes]:
    """Yield a growing file's content up to its last line feed."""
    rest = b""
    while piece := file.read(PIECE):
        content = rest + piece
        whole = content.rfind(b"\n") + 1
        rest = content[whole:]
        yield content[:whole]


def _keep(target: Path, place: str, pieces: Iterator[bytes], mtime_ns: int) -> Files:
    path = target / f"{place}{PACKED}"
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    return {place: {**pack(path, pieces), "mtime_ns": mtime_ns}}
