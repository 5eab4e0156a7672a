"""Lines taken apart: the rows of a loader's temporary table `staged`.

Two ways lead there and give the same rows. `stage.sql` reads any line there may be. In front of it, where compiled code
is, `take_apart` reads the lines that an edge writes of traffic, at a quarter of the cost, and leaves SQL the others.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO

from stackfluence.events.event import SCHEMA_VERSION
from stackfluence.events.statements import read_statements
from stackfluence.events.store import PIECE_BYTES, Session, StatementFailed
from stackfluence.native import compiled

SQL = read_statements(Path(__file__).with_name("stage.sql"))


@compiled
def take_apart(node: bytes, version: int, segments: tuple[tuple[bytes, int], ...], staged: int, odd: int) -> None:
    """Write what an edge writes of traffic to the file `staged`, as its columns, and every other line to `odd`, first.

    All files are descriptors; `segments` are named ones of this `node`, `version` is the schema's. What is written is
    in the engine's Native form, or nothing. Here every line is odd, and a segment is left whole. Raises OSError.
    """
    if not segments:
        return
    with open(odd, "wb", closefd=False) as file:
        file.write(_varint(2) + _varint(len(segments)) + _text(b"name") + _text(b"String"))
        file.writelines(_text(name) for name, _ in segments)
        file.write(_text(b"content") + _text(b"String"))
        for _, segment in segments:
            file.write(_text(os.pread(segment, os.fstat(segment).st_size, 0)))


def stage_lines(session: Session, node: str, segments: Sequence[tuple[str, BinaryIO]], *, is_embedded: bool) -> None:
    """Fill the session's table `staged` with every line of the named segments of a node; raises OSError, StoreError.

    Its table `present` is emptied.
    """
    named = tuple((name.encode(), segment.fileno()) for name, segment in segments)
    session.run(SQL["create_staged"])
    session.run(SQL["create_present"])
    with memory() as odd:
        with ThreadPoolExecutor(1) as threads:
            reading, writing = os.pipe()

            def take() -> None:
                with open(writing, "wb"):  # closed when all is written
                    take_apart(node.encode(), SCHEMA_VERSION, named, writing, odd.fileno())

            taken = threads.submit(take)
            try:
                with open(reading, "rb") as staged:
                    _fill(session, "staged", staged, is_embedded)
            except StatementFailed:
                with contextlib.suppress(BrokenPipeError):  # the store is what failed
                    taken.result()
                raise
            taken.result()
        if not os.fstat(odd.fileno()).st_size:
            return
        odd.seek(0)  # it was written by its descriptor
        session.run(SQL["create_odd_lines"])
        _fill(session, "odd_lines", odd, is_embedded)
    session.run(SQL["stage_lines"], node=node, schema_version=SCHEMA_VERSION)
    session.run(SQL["forget_odd_lines"])


def memory() -> BinaryIO:
    """Return a file without a name: nothing personal is left behind, whatever ends this process."""
    if hasattr(os, "memfd_create"):
        return open(os.memfd_create("lines"), "w+b")
    return tempfile.TemporaryFile()


def _fill(session: Session, table: str, file: BinaryIO, is_embedded: bool) -> None:
    if is_embedded:
        session.run(SQL[f"read_{table}"], path=f"/dev/fd/{file.fileno()}")
        return
    first = file.read(PIECE_BYTES)
    if first:  # a server takes no empty insert
        session.put_back(table, itertools.chain((first,), iter(lambda: file.read(PIECE_BYTES), b"")))


def _text(content: bytes) -> bytes:
    return _varint(len(content)) + content


def _varint(number: int) -> bytes:
    """Return a number as the Native form has it: seven bits a byte, the lowest first (LEB128)."""
    digits = bytearray()
    while number > 127:
        digits.append(number & 127 | 128)
        number >>= 7
    digits.append(number)
    return bytes(digits)
