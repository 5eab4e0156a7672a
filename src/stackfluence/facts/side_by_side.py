"""Days of a run, some of them at once: none needs another's result."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from queue import SimpleQueue
from typing import TypeVar

from stackfluence.events.store import SETTINGS, Session

CORES = os.cpu_count() or 1
THREADS = int(SETTINGS["max_threads"])  # of a statement, when nothing else is asked for
AT_ONCE = min(4, CORES)  # the engine takes a core for most of a day's statements, whatever the day's size

Progress = Callable[[int, int], None]  # days done, of how many
Result = TypeVar("Result")


def each_day(
    open_session: Callable[[Mapping[str, str]], Session],
    days: Sequence[date],
    work: Callable[[Session, date], Result],
    tell: Progress,
) -> list[Result]:
    """Return what each day's work gave, in the order of the days; each at work has a connection of its own.

    `open_session` takes settings: days side by side with more threads than cores would only wait for each other's.
    The first error ends it; what else is at work is waited for.
    """
    results: list[Result] = []
    at_once = max(1, min(AT_ONCE, len(days)))
    share = {"max_threads": "1"} if at_once * THREADS > CORES else {}
    tell(0, len(days))
    with contextlib.ExitStack() as opened:
        idle: SimpleQueue[Session] = SimpleQueue()
        for _ in range(at_once):
            session = open_session(share)
            opened.callback(session.close)
            idle.put(session)

        def borrow(day: date) -> Result:
            mine = idle.get()
            try:
                return work(mine, day)
            finally:
                idle.put(mine)

        with ThreadPoolExecutor(at_once, thread_name_prefix="derive") as threads:
            waiting = [threads.submit(borrow, day) for day in days]
            try:
                for done, future in enumerate(waiting, start=1):
                    results.append(future.result())
                    tell(done, len(days))
            except BaseException:
                for future in waiting:
                    future.cancel()
                raise
    return results
