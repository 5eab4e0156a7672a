"""The operations by name. Each is `async (site, arguments, tell) → result`, in and out as JSON has it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from stackfluence.errors import OperationRefused
from stackfluence.operations.backup import backup
from stackfluence.operations.derive import back_test, derive
from stackfluence.operations.erase import erase, find_person
from stackfluence.operations.export import export
from stackfluence.operations.load import load
from stackfluence.operations.site import Arguments, Site, Tell

Operation = Callable[[Site, Arguments, Tell], Awaitable[dict[str, Any]]]

OPERATIONS: dict[str, Operation] = {
    "load": load,
    "find-person": find_person,
    "erase": erase,
    "backup": backup,
    "export": export,
    "derive": derive,
    "back-test": back_test,
}
# they change nothing that others read half-way, and a core may be asked meanwhile
SIDE_BY_SIDE = frozenset({"load", "find-person", "export", "derive", "back-test"})


async def perform(site: Site, name: str, arguments: Arguments, tell: Tell) -> dict[str, Any]:
    """Carry an operation out and return its result; raises StackfluenceError with what a person can act on."""
    if site.loader is not None and name in SIDE_BY_SIDE:
        return await OPERATIONS[name](site, arguments, tell)
    if site.turn.locked():
        raise OperationRefused("Another command is at work in this installation; try again when it is done.")
    async with site.turn:
        return await OPERATIONS[name](site, arguments, tell)
