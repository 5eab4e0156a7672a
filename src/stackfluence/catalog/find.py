"""Look-ups that more than one place needs; callers take the organization from a key or session, never from a body."""

from __future__ import annotations

import hashlib
from typing import TypeVar

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from stackfluence.catalog.tables import Base, Creator, CreatorAlias, Key
from stackfluence.errors import NotFound
from stackfluence.names import fold

Row = TypeVar("Row", bound=Base)


async def find_one(session: AsyncSession, kind: type[Row], organization_id: str, identifier: str) -> Row:
    """Return an organization's row by its id; raises NotFound, for another organization's just as for none."""
    row = await session.get(kind, identifier)
    if row is None or getattr(row, "organization_id", None) != organization_id:
        raise NotFound(f"There is no {kind.AUDITED_AS} {identifier!r}.")
    return row


async def resolve_creator(session: AsyncSession, organization_id: str, handle: str) -> Creator | None:
    """Return the creator whose handle this is or was."""
    found = await session.scalars(
        select(Creator)
        .join(CreatorAlias, CreatorAlias.creator_id == Creator.id)
        .where(CreatorAlias.organization_id == organization_id, CreatorAlias.handle == fold(handle))
    )
    return found.one_or_none()


async def find_key(session: AsyncSession, text: str) -> Key | None:
    """Return the key of this text, unless there is none or it was revoked."""
    found = await session.scalars(select(Key).where(Key.key_hash == key_hash(text).hex(), Key.revoked_at.is_(None)))
    return found.one_or_none()


def key_hash(text: str) -> bytes:
    """Return the SHA-256 of a key's text, 32 bytes; 256 random bits need no salt and no slow hash."""
    return hashlib.sha256(text.encode(errors="replace")).digest()
