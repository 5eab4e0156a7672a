"""Lists by cursor, newest first: no row is skipped or repeated, however many are added meanwhile."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Any, Generic, TypeVar

import msgspec
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import ColumnElement, Select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from stackfluence.api.fields import Told
from stackfluence.errors import Invalid

MAX_LIMIT = 200
_INT64 = range(-(1 << 63), 1 << 63)

Item = TypeVar("Item", bound=BaseModel)


class Page(Told, Generic[Item]):
    """A part of a list."""

    items: list[Item]
    next_cursor: str | None = Field(description="Give it as `cursor` for the next part; null when this is the last.")


class PageQuery(BaseModel):
    """Which part of a list."""

    model_config = ConfigDict(extra="forbid")

    limit: int = Field(default=50, ge=1, le=MAX_LIMIT)
    cursor: str = Field(
        default="", max_length=500, description="`next_cursor` of the part before; empty for the first."
    )


async def read_page(
    session: AsyncSession, query: Select[*tuple[Any, ...]], keys: Sequence[Any], asked: PageQuery
) -> tuple[list[Any], str | None]:
    """Return the rows that `asked` names, in falling order of `keys`, which are unique together, and the next cursor.

    The first column of `query` is a mapped class, and `keys` are columns of it.
    """
    if asked.cursor:
        after = decode_cursor(asked.cursor, len(keys))
        if [type(value) for value in after] != [key.type.python_type for key in keys]:
            raise Invalid("cursor: this is not a cursor of this list.", field="cursor")
        query = query.where(_is_below(keys, after))
    found = await session.execute(query.order_by(*(key.desc() for key in keys)).limit(asked.limit + 1))
    rows = list(found)
    if len(rows) <= asked.limit:
        return rows, None
    rows = rows[: asked.limit]
    return rows, encode_cursor([getattr(rows[-1][0], key.key) for key in keys])


def _is_below(keys: Sequence[Any], values: Sequence[Any]) -> ColumnElement[bool]:
    return tuple_(*keys) < tuple_(*values)


def encode_cursor(values: Sequence[int | str]) -> str:
    """Return a place in a list as text that means nothing to its reader."""
    return base64.urlsafe_b64encode(msgspec.json.encode(values)).decode().rstrip("=")


def decode_cursor(cursor: str, length: int) -> list[int | str]:
    """Return the values of a cursor; raises Invalid for what `encode_cursor` never gave."""
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        values = msgspec.json.decode(raw, type=list[int | str])
    except (ValueError, binascii.Error, msgspec.MsgspecError):
        values = []
    is_sound = all(value in _INT64 if isinstance(value, int) else "\0" not in value for value in values)
    if len(values) != length or not is_sound:
        raise Invalid("cursor: this is not a cursor of this list.", field="cursor")
    return values
