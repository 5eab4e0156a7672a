"""How a command has an operation carried out: by the running core, or, when none runs, by itself.

What only the second needs is imported when it is: the stores take longer to import than most answers of a core.
"""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from stackfluence.errors import JournalLocked, OperationRefused, WrongUsage
from stackfluence.processes import operator_socket
from stackfluence.settings import Settings

if TYPE_CHECKING:
    from stackfluence.operations.site import Arguments, Tell

PATIENCE_SECONDS = 20.0  # a core that starts holds its lock before it answers


def ask(settings: Settings, operation: str, arguments: Arguments, tell: Tell) -> dict[str, Any]:
    """Carry an operation out and return its result, `tell` hearing of its progress.

    Raises OperationRefused with the core's reason, or what the operation itself raises.
    """
    return asyncio.run(ask_core(settings, operation, arguments, tell))


async def ask_core(settings: Settings, operation: str, arguments: Arguments, tell: Tell) -> dict[str, Any]:
    """The same inside of an event loop."""
    until = time.monotonic() + PATIENCE_SECONDS
    while True:
        result = await _through_socket(operator_socket(settings), operation, arguments, tell)
        if result is not None:
            return result
        try:
            return await _without_core(settings, operation, arguments, tell)
        except JournalLocked as error:
            if str(settings.data_path / "core.lock") not in str(error):
                raise
            if time.monotonic() > until:
                raise OperationRefused("A core has the data directory, but doesn't answer on operator.sock.") from None
            await asyncio.sleep(0.2)


async def _without_core(settings: Settings, operation: str, arguments: Arguments, tell: Tell) -> dict[str, Any]:
    from stackfluence.operations.perform import perform
    from stackfluence.operations.site import open_site

    async with open_site(settings) as site:
        return await perform(site, operation, arguments, tell)


async def _through_socket(path: Path, operation: str, arguments: Arguments, tell: Tell) -> dict[str, Any] | None:
    """Return the core's result, None when no core answers."""
    transport = httpx.AsyncHTTPTransport(uds=str(path), verify=False)
    result: dict[str, Any] | None = None
    async with httpx.AsyncClient(transport=transport, base_url="http://core", timeout=None) as client:  # noqa: S113
        try:
            async with client.stream("POST", f"/{operation}", json=dict(arguments)) as answer:
                if answer.status_code != 200:
                    await answer.aread()
                    raise OperationRefused(answer.text[:500])
                async for line in answer.aiter_lines():
                    message = json.loads(line)
                    if "error" in message:
                        raise (WrongUsage if message.get("is_usage") else OperationRefused)(message["error"])
                    if "result" in message:
                        result = message["result"]
                    else:
                        tell(message)
        except httpx.ConnectError:
            return None
        except httpx.TransportError as error:
            raise OperationRefused(f"The core ended meanwhile ({error!r}); look at what was done.") from None
    if result is None:
        raise OperationRefused("The core ended meanwhile; look at what was done.")
    return result
