"""Days of a run, some of them at once: none needs another's result."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from queue import SimpleQueue
from typing import TypeVar

from stackfluence.events.store import Session

AT_ONCE = min(4, os.cpu_count() or 1)  # the engine takes a core for most of a day's statements, whatever the day's size

Progress = Callable[[int, int], None]  # days done, of how many
Result = TypeVar("Result")


def each_day(
    session: Session,
    open_another: Callable[[], Session],
    days: Sequence[date],
    work: Callable[[Session, date], Result],
    tell: Progress,
) -> list[Result]:
    """Return what each day's work gave, in the order of the days; each at work has a connection of its own.

    The first has `session`. The first error ends it; what else is at work is waited for.
    """
    results: list[Result] = []
    tell(0, len(days))
    with contextlib.ExitStack() as opened:
        idle: SimpleQueue[Session] = SimpleQueue()
        idle.put(session)
        for _ in range(min(AT_ONCE, len(days)) - 1):
            another = open_another()
            opened.callback(another.close)
            idle.put(another)

        def borrow(day: date) -> Result:
            mine = idle.get()
            try:
                return work(mine, day)
            finally:
                idle.put(mine)

        with ThreadPoolExecutor(max(1, min(AT_ONCE, len(days))), thread_name_prefix="derive") as threads:
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
