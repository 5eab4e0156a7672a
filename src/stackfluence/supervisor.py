"""`serve`: one port, an edge and a core behind it, each restarted when it dies, neither taking the other along.

The first core brings the catalog up to date before it does anything else, and says so in a pipe; then edges start.
The supervisor owns the listening socket, so that connections wait in its queue while an edge restarts. Children hold
the reading end of a pipe: when the supervisor is gone, they finish what is under way and end.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from stackfluence.errors import StackfluenceError

log = logging.getLogger(__name__)

BACKLOG = 4096
DRAIN_SECONDS = 15.0
FIRST_PAUSE_SECONDS = 0.05  # after a crash; doubled up to the last, reset by a minute of life
LAST_PAUSE_SECONDS = 5.0


@dataclass
class Child:
    """A process that is kept alive."""

    name: str
    command: list[str]
    files: tuple[int, ...]
    process: asyncio.subprocess.Process | None = None
    restarts: int = 0
    pause: float = field(default=FIRST_PAUSE_SECONDS)
    ended: asyncio.Event = field(default_factory=asyncio.Event)  # at least once


def listen(host: str, port: int) -> socket.socket:
    """Return the listening socket; port 0 takes a free one. Raises OSError when the port is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((host, port))
    listener.listen(BACKLOG)
    listener.setblocking(False)
    return listener


async def supervise(
    listener: socket.socket, workers: int, on_start: Callable[[str, int], None], stopping: asyncio.Event
) -> None:
    """Run a core behind a socket and, once the catalog is up to date, `workers` edges, until told to stop.

    `on_start(name, pid)` hears of each start. Raises StackfluenceError when the first core ends before that.
    """
    alive, life = os.pipe()
    ready, telling = os.pipe()
    for inherited in (alive, telling, listener.fileno()):
        os.set_inheritable(inherited, True)
    program = [sys.executable, "-m", "stackfluence"]
    core = Child("core", [*program, "core", "--lifeline", str(alive), "--ready", str(telling)], (alive, telling))
    children = [core]
    keepers = [asyncio.create_task(_keep(core, stopping, on_start))]
    await _first(_readable(ready), core.ended.wait(), stopping.wait())
    is_refused = core.ended.is_set() and not stopping.is_set()
    if is_refused:
        stopping.set()
    for worker in range(0 if stopping.is_set() else workers):
        command = [*program, "edge", "--fd", str(listener.fileno()), "--worker", str(worker), "--lifeline", str(alive)]
        children.append(Child(f"edge-{worker}", command, (alive, listener.fileno())))
        keepers.append(asyncio.create_task(_keep(children[-1], stopping, on_start)))
    await stopping.wait()
    await asyncio.gather(*(_stop(child) for child in reversed(children)))
    await asyncio.gather(*keepers)
    for end in (life, alive, ready, telling):
        os.close(end)
    if is_refused:
        raise StackfluenceError("The core could not start; it says why above.")


async def _first(*waits: Coroutine[Any, Any, Any]) -> None:
    tasks = [asyncio.create_task(wait) for wait in waits]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _readable(pipe: int) -> None:
    loop, told = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(pipe, told.set)
    try:
        await told.wait()
    finally:
        loop.remove_reader(pipe)


def on_signals(told: asyncio.Event) -> None:
    """Set an event at SIGTERM and SIGINT."""
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, told.set)


async def _keep(child: Child, stopping: asyncio.Event, on_start: Callable[[str, int], None]) -> None:
    loop = asyncio.get_running_loop()
    while not stopping.is_set():
        started = loop.time()
        # a session of its own: Ctrl-C reaches the supervisor alone, which then lets the children drain
        child.process = await asyncio.create_subprocess_exec(
            *child.command, pass_fds=child.files, start_new_session=True
        )
        on_start(child.name, child.process.pid)
        if stopping.is_set():
            await _stop(child)  # it was told to stop before there was a process
            return
        status = await child.process.wait()
        child.ended.set()
        if stopping.is_set():
            return
        if loop.time() - started > 60:
            child.pause = FIRST_PAUSE_SECONDS
        child.restarts += 1
        log.warning("child_ended", extra={"child": child.name, "status": status, "restart_in": child.pause})
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stopping.wait(), child.pause)
        child.pause = min(child.pause * 2, LAST_PAUSE_SECONDS)


async def _stop(child: Child) -> None:
    process = child.process
    if process is None or process.returncode is not None:
        return
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    try:
        await asyncio.wait_for(process.wait(), DRAIN_SECONDS)
    except TimeoutError:
        log.error("child_killed", extra={"child": child.name})
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
