"""Hook secrets follow the click-ID secrets: what an older one encrypted is encrypted anew with the one that signs."""

from __future__ import annotations

import logging

from sqlalchemy import select

from stackfluence.catalog.connect import Catalog
from stackfluence.catalog.sources import Connection
from stackfluence.errors import Undecryptable
from stackfluence.vault import HookVault

_BATCH = 500  # a transaction: other writers get their turn in between
log = logging.getLogger(__name__)


async def renew_hook_secrets(catalog: Catalog, vault: HookVault) -> int:
    """Encrypt anew what isn't encrypted with the vault's first secret; returns of how many connections.

    Afterwards the older secrets may be taken out of the settings. What opens with none of them stays as it is, and is
    logged: its connection needs its secrets anew.
    """
    async with catalog.reading() as session:
        rows = await session.execute(select(Connection.id, Connection.hook_secrets))
        outdated = [connection_id for connection_id, blob in rows if not vault.is_current(blob)]
    renewed = 0
    for start in range(0, len(outdated), _BATCH):
        async with catalog.writing("system") as change:
            some = select(Connection).where(Connection.id.in_(outdated[start : start + _BATCH]))
            for row in await change.session.scalars(some):
                try:
                    row.hook_secrets = vault.encrypt(vault.decrypt(row.hook_secrets, row.id), row.id)
                except Undecryptable as error:
                    log.error("hook_secrets_lost", extra={"connection_id": row.id, "error": str(error)})
                else:
                    renewed += 1
    return renewed


async def count_hook_secrets(catalog: Catalog, vault: HookVault) -> tuple[int, int, int]:
    """Return how many connections have hook secrets, and of how many these aren't the first secret's, or don't open."""
    total = outdated = lost = 0
    async with catalog.reading() as session:
        rows = await session.execute(select(Connection.id, Connection.hook_secrets))
        for connection_id, blob in rows:
            total += bool(blob)
            outdated += not vault.is_current(blob)
            try:
                vault.decrypt(blob, connection_id)
            except Undecryptable:
                lost += 1
    return total, outdated, lost
