"""Visitor salts: one random value a UTC day, handed out two days ahead and destroyed 48 hours after the day ended."""

from __future__ import annotations

import secrets
from datetime import date, timedelta

from sqlalchemy import select, text

from stackfluence.catalog.books import VisitorSalt
from stackfluence.catalog.connect import LOCK_WAIT_MS, Catalog

SALT_BYTES = 32
DAYS_AHEAD = 2  # an edge that lost the catalog keeps hashing for two days
DAYS_KEPT = 2  # full days after the salt's own


async def ensure_salts(catalog: Catalog, today: date) -> bool:
    """Make the salts of `today` (UTC) and two days after, destroy those past their time; tell whether any changed."""
    wanted = {(today + timedelta(days=ahead)).isoformat() for ahead in range(DAYS_AHEAD + 1)}
    oldest = (today - timedelta(days=DAYS_KEPT)).isoformat()
    async with catalog.reading() as session:
        known = set(await session.scalars(select(VisitorSalt.day)))
    if wanted <= known and min(known) >= oldest:
        return False
    async with catalog.writing("system") as change:
        salts = (await change.session.scalars(select(VisitorSalt))).all()
        for day in sorted(wanted - {salt.day for salt in salts}):
            change.session.add(VisitorSalt(day=day, salt=secrets.token_bytes(SALT_BYTES)))
        expired = [salt for salt in salts if salt.day < oldest]
        for salt in expired:
            await change.session.delete(salt)
    if expired:
        await _destroy_remains(catalog)
    return True


async def _destroy_remains(catalog: Catalog) -> None:
    """Remove what the deleted rows left in the database's files: a salt that can be read back was not destroyed."""
    async with catalog.outside_transactions() as connection:
        if catalog.is_sqlite:  # the main file is overwritten (secure_delete); the log still has the old page
            await connection.execute(text("PRAGMA busy_timeout = 1000"))  # writers wait for it meanwhile
            await connection.execute(text("PRAGMA wal_checkpoint(TRUNCATE)"))
            await connection.execute(text(f"PRAGMA busy_timeout = {LOCK_WAIT_MS}"))
        else:
            await connection.execute(text("VACUUM FULL visitor_salts"))
