"""Files of a backup: packed with zstd, hashed as they are written, on disk before the manifest names them."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

if sys.version_info >= (3, 14):  # pragma: no cover
    from compression import zstd
else:
    from backports import zstd

LEVEL = 3  # about 200 MB/s on one core; the leaves of events shrink to a fifth
PIECE = 1 << 20


def pack(path: Path, pieces: Iterable[bytes]) -> dict[str, Any]:
    """Write pieces to a new file, packed, and return `{"bytes", "sha256"}` of the file; raises OSError."""
    digest = hashlib.sha256()
    size = 0
    packer = zstd.ZstdCompressor(level=LEVEL)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        for piece in pieces:
            packed = packer.compress(piece)
            digest.update(packed)
            size += file.write(packed)
        packed = packer.flush()
        digest.update(packed)
        size += file.write(packed)
        file.flush()
        os.fsync(file.fileno())
    return {"bytes": size, "sha256": digest.hexdigest()}


def unpack(path: Path) -> Iterator[bytes]:
    """Yield the content of a packed file in pieces."""
    with zstd.open(path, "rb") as file:
        while piece := file.read(PIECE):
            yield piece


def unpacked_lines(path: Path) -> Iterator[bytes]:
    """Yield the lines of a packed file of lines."""
    with zstd.open(path, "rb") as file:
        yield from file


def plain(path: Path, content: bytes) -> dict[str, Any]:
    """Write a small file as it is, and return what `pack` returns."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    return {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def digest_of(path: Path) -> str:
    """Return a file's SHA-256, hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
