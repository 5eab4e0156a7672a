"""What the processes have in common: when none starts, how they find each other, how they are told to end."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

from stackfluence.errors import OperationRefused
from stackfluence.settings import Settings

DRAIN_SECONDS = 10.0
UNFINISHED = "restore.unfinished"  # is there while a restore runs; nothing starts on half of an installation


def refuse_unfinished(settings: Settings) -> None:
    """Raise OperationRefused for a data directory whose restore was interrupted."""
    if (settings.data_path / UNFINISHED).exists():
        raise OperationRefused(
            f"{settings.data_path} was restored by half; empty it (and its databases) and restore again."
        )


def core_socket(settings: Settings) -> Path:
    """Return the Unix socket on which the core of this data directory listens."""
    return settings.data_path / "core.sock"


def operator_socket(settings: Settings) -> Path:
    """Return the Unix socket on which a core of this data directory takes commands."""
    return settings.data_path / "operator.sock"


async def until_told(lifeline: int | None) -> None:
    """Return at SIGTERM, SIGINT, or when the supervisor at the other end of the lifeline is gone."""
    loop = asyncio.get_running_loop()
    told = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, told.set)
    if lifeline is not None:
        loop.add_reader(lifeline, told.set)
    await told.wait()
    if lifeline is not None:
        loop.remove_reader(lifeline)
