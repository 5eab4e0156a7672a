"""The time in which a client secret that was replaced is still good: Shopify goes on signing hooks with it.

It signs with the oldest that isn't revoked (Shopify, "Rotate or revoke client credentials"): until the owner revokes it
there, which is the last step of a rotation, and some minutes longer. A secret that leaked and was never revoked must
not be good for ever, so it ends here in any case.
"""

from __future__ import annotations

from collections.abc import Sequence

from stackfluence.catalog.sources import Connection
from stackfluence.clock import parse_rfc3339
from stackfluence.vault import HookVault

OVERLAP_DAYS = 14  # between giving us the new secret and revoking the old one, which takes two clicks
EARLIER_UNTIL = "earlier_secret_until"  # in a connection's settings, RFC 3339


def is_over(row: Connection, now_ms: int) -> bool:
    """Whether the secret before the present one is accepted no more."""
    until = row.settings.get(EARLIER_UNTIL)
    return until is not None and parse_rfc3339(until) <= now_ms


def present_secrets(row: Connection, secrets: Sequence[str], now_ms: int) -> list[str]:
    """Return what hooks may be signed with now, of all hook secrets of a connection, the present one first."""
    return list(secrets[:1] if is_over(row, now_ms) else secrets)


def end_overlap(row: Connection, vault: HookVault) -> None:
    """Accept the present secret alone from now on, at edges too; raises Undecryptable."""
    row.hook_secrets = vault.encrypt(vault.decrypt(row.hook_secrets, row.id)[:1], row.id) if row.hook_secrets else b""
    row.settings = {name: value for name, value in row.settings.items() if name != EARLIER_UNTIL}
