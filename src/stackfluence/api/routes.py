"""What the routers of all resources share: prefix, the problems any route may answer, look-up by id."""

from __future__ import annotations

import unicodedata
from typing import Any, TypeVar

from fastapi import APIRouter
from sqlalchemy import ColumnElement
from sqlalchemy.ext.asyncio import AsyncSession

from stackfluence.api.problems import documented
from stackfluence.catalog import find_one
from stackfluence.catalog.tables import Base
from stackfluence.errors import (
    Conflict,
    Forbidden,
    Invalid,
    MalformedJson,
    NotFound,
    TooLarge,
    TooManyRequests,
    Unauthorized,
    Unavailable,
    Unexpected,
)
from stackfluence.names import id_bytes

Row = TypeVar("Row", bound=Base)

MISSING = documented(NotFound)
BODY = documented(MalformedJson, Conflict)


def router(tag: str) -> APIRouter:
    """Return a router of /v1 whose routes document what any of them may answer."""
    return APIRouter(
        prefix="/v1",
        tags=[tag],
        responses=documented(Unauthorized, Forbidden, TooLarge, Invalid, TooManyRequests, Unexpected, Unavailable),
    )


async def find(session: AsyncSession, kind: type[Row], organization_id: str, identifier: str) -> Row:
    """Return an organization's row by its id; raises NotFound for another's, for none, and for what is no id."""
    try:
        id_bytes(identifier)
    except ValueError:
        raise NotFound(f"There is no {kind.AUDITED_AS} {identifier!r}.") from None
    return await find_one(session, kind, organization_id, identifier)


def begins(column: Any, text: str) -> ColumnElement[bool]:
    """Return whether a handle or slug begins with a text; a prefix may end in punctuation, unlike a whole name."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    beginning: ColumnElement[bool] = column.startswith(folded, autoescape=True)
    return beginning
