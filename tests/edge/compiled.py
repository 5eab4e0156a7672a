"""Both ways of taking a click, side by side: in C, and in the Python that stands beside it.

`in_python` lets every module use the Python functions. `Bench` is an edge without sockets: what it writes to its
journal and what it answers are the same bytes for the same requests, since its time and its randomness stand still.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from stackfluence import native
from stackfluence.click import redirect, velocity
from stackfluence.click.edge import Edge
from stackfluence.click.judge import Judge
from stackfluence.click.links import Snapshot
from stackfluence.click.server import Connection, Server
from stackfluence.click.velocity import Velocity
from stackfluence.click.visitor import Networks
from stackfluence.collect import recording
from stackfluence.collect.ingest import Intake
from stackfluence.events import event
from stackfluence.events import journal as journal_module
from stackfluence.events.journal import Journal
from tests.edge.edges import Absent, places

AN_AGE_MS = 10**13  # no clock passes the end of such a minute between two clicks
needs_compiled = pytest.mark.skipif(not native.is_compiled(), reason=f"nothing is compiled: {native.why_not}")


def in_python(patch: pytest.MonkeyPatch) -> None:
    """Let all modules use the functions as they are in Python."""
    ours = [module for name, module in sys.modules.items() if name.startswith("stackfluence.")]
    for name, twin in native.twins.items():
        in_c, places_used = native.counterpart(name), 0
        for module in ours:
            if not module.__name__.startswith("stackfluence.native") and vars(module).get(name) is in_c:
                patch.setattr(module, name, twin)
                places_used += 1
        assert places_used, name


class Wire:
    """The transport of a client that reads everything at once; `peer` is its address."""

    def __init__(self, peer: str) -> None:
        self.peer = peer
        self.sent = b""
        self.is_closed = False

    def get_extra_info(self, name: str) -> tuple[str, int]:
        return self.peer, 5

    def write(self, some: bytes) -> None:
        self.sent += some

    def is_closing(self) -> bool:
        return self.is_closed

    def close(self) -> None:
        self.is_closed = True

    abort = write_eof = pause_reading = resume_reading = close


class Bench:
    """An edge whose journal is never written: `lines` are what would be on disk by now."""

    def __init__(self, known: Snapshot, patch: pytest.MonkeyPatch, at_ms: int, proxies: Networks = ()) -> None:
        drawn = itertools.count()

        def draw(size: int) -> bytes:
            return hashlib.sha512(b"%d" % next(drawn)).digest()[:size]

        for module in (redirect, event):
            patch.setattr(module, "random_bytes", draw)
        patch.setattr(recording, "uuid7", lambda at_ms: (b"", f"{at_ms:x}-{draw(8).hex()}"))
        patch.setattr(journal_module, "now_ms", lambda: at_ms)
        for length in ("MINUTE_MS", "HALF_HOUR_MS"):
            patch.setattr(velocity, length, AN_AGE_MS)
        self.journal = Journal(Path("never-opened"))
        self.journal._loop = asyncio.get_running_loop()
        self.journal._is_scheduled = True
        judge = Judge(places(), Velocity())
        self.edge = Edge(known, self.journal, judge, find_link=Absent(), proxies=proxies, core_socket="")
        self.edge.date, self.edge.found = b"today", redirect.FOUND % b"today"
        self.intake = Intake(self.edge)
        self.server = Server(self.edge)
        self.server._timer.cancel()
        self.lines: list[bytes] = []

    def connect(self, peer: str = "198.51.100.7") -> tuple[Connection, Wire]:
        """Return a new connection and its other end."""
        connection, wire = self.server.accept(), Wire(peer)
        connection.connection_made(cast(asyncio.Transport, wire))
        return connection, wire

    def settle(self, is_recorded: bool = True) -> None:
        """Number what waits, and tell who waits for it."""
        join: Callable[..., bytes] = vars(journal_module)["join_lines"]
        entries = list(self.journal._waiting)
        self.journal._waiting.clear()
        self.lines += join(b"n_0", len(self.lines) + 1, entries).splitlines(keepends=True)
        for *_, settle, ticket, _ in entries:
            settle(ticket, is_recorded)

    def state(self) -> dict[str, Any]:
        """Return what the edge counted, for comparing."""
        counted = self.edge.judge.velocity.organizations
        windows = {o: [(w.now, w.before, w.heavy) for w in counts.windows] for o, counts in counted.items()}
        return {
            "windows": windows,
            "recorded": self.edge.recorded,
            "counts": self.edge.counts,
            "hidden": self.edge.hidden,
            "events": self.intake.recorder.counts,
        }
