"""`operator.sock` in the data directory: the operations of a running core, for whoever may read that directory.

It is mode 0600, and no edge hands anything on to it. `POST /{operation}` with the arguments as JSON answers JSON lines:
messages of progress, and last either `{"result": …}` or `{"error": "…"}`, with `is_usage` where it can't be
meant. `GET /metrics` and `/readyz` are there, too.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import socket
from collections.abc import AsyncIterator
from typing import Any

from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import StreamingResponse

from stackfluence.errors import OperationRefused, StackfluenceError, WrongUsage
from stackfluence.operations.perform import OPERATIONS, perform
from stackfluence.operations.site import Site
from stackfluence.operations.watch import watch
from stackfluence.processes import operator_socket
from stackfluence.settings import Settings

log = logging.getLogger(__name__)


def listen_for_operators(settings: Settings) -> socket.socket:
    """Return the listening socket, mode 0600 from its first moment; whoever calls holds core.lock."""
    path = operator_socket(settings)
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    before = os.umask(0o177)
    try:
        listener.bind(str(path))
    finally:
        os.umask(before)
    listener.listen(16)
    listener.setblocking(False)
    return listener


def create_operator_api(site: Site) -> FastAPI:
    """Return the application behind the socket."""
    api = FastAPI(openapi_url=None)
    watch(api, site)
    running: set[asyncio.Task[None]] = set()

    @api.post("/{operation}")
    async def carry_out(operation: str, request: Request) -> StreamingResponse:
        if operation not in OPERATIONS:
            raise HTTPException(404, "There is no such operation; is the core of an older version?")
        arguments: dict[str, Any] = json.loads(await request.body() or b"{}")
        messages: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
        # a task of its own: what was begun is finished, also when the command line is interrupted
        task = asyncio.create_task(_answer(site, operation, arguments, messages))
        running.add(task)
        task.add_done_callback(running.discard)
        return StreamingResponse(_lines(messages), media_type="application/x-ndjson")

    return api


async def _answer(
    site: Site, operation: str, arguments: dict[str, Any], messages: asyncio.Queue[dict[str, Any] | None]
) -> None:
    loop = asyncio.get_running_loop()

    def tell(message: dict[str, Any]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closing
            loop.call_soon_threadsafe(messages.put_nowait, message)

    try:
        result = await perform(site, operation, arguments, tell)
        tell({"result": result})
    except OperationRefused as error:
        tell(
            {"error": error.args[0], "is_usage": isinstance(error, WrongUsage)}
        )  # without the sentence that it gets again at the other end
    except (StackfluenceError, OSError) as error:
        tell({"error": str(error)})
    except Exception as error:
        log.exception("operation_failed", extra={"operation": operation})
        tell({"error": f"It failed unexpectedly ({error!r}); the core's log says more."})
    finally:
        loop.call_soon(messages.put_nowait, None)


async def _lines(messages: asyncio.Queue[dict[str, Any] | None]) -> AsyncIterator[bytes]:
    while (message := await messages.get()) is not None:
        yield json.dumps(message).encode() + b"\n"
