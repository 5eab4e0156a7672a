"""Which creator a code names when: in an organization, the periods of one code never overlap."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from stackfluence.catalog import checks
from stackfluence.catalog.sources import Code
from stackfluence.clock import rfc3339
from stackfluence.errors import Conflict


def overlap(first: Code, second: Code) -> bool:
    """Whether there is a moment in the periods of both; they are [starts_at, ends_at), None being no bound."""
    return _ends_after(first.ends_at, second.starts_at) and _ends_after(second.ends_at, first.starts_at)


def _ends_after(ends_at: int | None, starts_at: int | None) -> bool:
    return ends_at is None or starts_at is None or ends_at > starts_at


def taken_by(code: Code, others: Collection[Code]) -> Code | None:
    """Return the first of some codes of the same key whose period overlaps this one's, None when there is none."""
    return next((other for other in others if other is not code and overlap(code, other)), None)


def is_same(first: Code, second: Code) -> bool:
    """Whether two codes of the same key say the same: creator, campaign and period."""
    return (first.creator_id, first.campaign_id, first.starts_at, first.ends_at) == (
        second.creator_id,
        second.campaign_id,
        second.starts_at,
        second.ends_at,
    )


def period_text(code: Code) -> str:
    """Return a code's period for people: `from 2026-11-01T00:00:00.000Z`."""
    bounds = (("from", code.starts_at), ("until", code.ends_at))
    return " ".join(f"{word} {rfc3339(at)}" for word, at in bounds if at is not None) or "at all times"


async def codes_of(session: AsyncSession, organization_id: str, keys: Collection[str]) -> dict[str, list[Code]]:
    """Return an organization's codes that have one of these keys, by key, in the order of their ids."""
    found: dict[str, list[Code]] = {key: [] for key in keys}
    wanted = select(Code).where(Code.organization_id == organization_id, Code.code_key.in_(keys))
    for code in await session.scalars(wanted.order_by(Code.id)):
        found[code.code_key].append(code)
    return found


async def check_free(session: AsyncSession, code: Code) -> None:
    """Refuse a period that ends before it starts, and, with Conflict, one that overlaps another of the same code.

    Writers take turns, so what was found free inside of a writing transaction is so when it commits.
    """
    checks.period("ends_at", code.starts_at, code.ends_at)
    with session.no_autoflush:
        others = await codes_of(session, code.organization_id, {code.code_key})
    other = taken_by(code, others[code.code_key])
    if other is not None:
        raise Conflict(
            f"The code {other.code!r} names a creator {period_text(other)} already.",
            code_id=other.id,
            creator_id=other.creator_id,
        )
