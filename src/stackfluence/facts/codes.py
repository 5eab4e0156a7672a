"""Codes as a derivation reads them: whose each is, from when to when, as the catalog says at the moment of the run."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import NamedTuple

import msgspec
from sqlalchemy import select

from stackfluence.catalog.connect import Catalog
from stackfluence.catalog.sources import Code

NO_START, NO_END = 0, 2**62  # milliseconds since 1970: before and behind every order


class CodePeriod(NamedTuple):
    """That a code names a creator in [from_ms, to_ms), milliseconds since 1970; `campaign_id` is empty for none."""

    code_key: str
    creator_id: str
    campaign_id: str = ""
    from_ms: int = NO_START
    to_ms: int = NO_END


class CodeBook:
    """The codes of one organization."""

    def __init__(self, periods: Iterable[CodePeriod] = ()) -> None:
        self._periods: dict[str, list[CodePeriod]] = {}
        for period in sorted(periods):
            self._periods.setdefault(period.code_key, []).append(period)

    def of(self, keys: Iterable[str]) -> list[CodePeriod]:
        """Return the periods of some codes, in order."""
        return [period for key in sorted(set(keys)) for period in self._periods.get(key, ())]

    def hash_of(self, keys: Iterable[str]) -> str:
        """Return what says to whom some codes belong: another one when any of them changed hands. 32 hex digits."""
        return hashlib.sha256(msgspec.json.encode(self.of(keys))).hexdigest()[:32]


NO_CODES = CodeBook()


async def read_code_books(catalog: Catalog, organization_id: str | None = None) -> dict[str, CodeBook]:
    """Return the codes of an organization or of all, by organization; one without codes is left out."""
    wanted = select(
        Code.organization_id, Code.code_key, Code.creator_id, Code.campaign_id, Code.starts_at, Code.ends_at
    )
    if organization_id is not None:
        wanted = wanted.where(Code.organization_id == organization_id)
    found: dict[str, list[CodePeriod]] = {}
    async with catalog.reading() as session:
        for owner, key, creator_id, campaign_id, starts_at, ends_at in await session.execute(wanted):
            period = CodePeriod(
                key,
                creator_id,
                campaign_id or "",
                NO_START if starts_at is None else starts_at,
                NO_END if ends_at is None else ends_at,
            )
            found.setdefault(owner, []).append(period)
    return {owner: CodeBook(periods) for owner, periods in found.items()}
