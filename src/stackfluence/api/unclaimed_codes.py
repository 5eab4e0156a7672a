"""Codes that orders carry and nobody owns: creators who aren't in the catalog yet, or the shop's own."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query
from pydantic import Field
from sqlalchemy import select

from stackfluence.api.access import Reads
from stackfluence.api.conversions import SQL, last_order_run
from stackfluence.api.fields import Time, Told
from stackfluence.api.paging import PageQuery, decode_cursor, encode_cursor
from stackfluence.api.reports import SpanQuery, read_span
from stackfluence.api.routes import router
from stackfluence.catalog.sources import Code
from stackfluence.clock import now_ms
from stackfluence.errors import Invalid

_MOST = (1 << 63) - 1  # more orders than any code has


class UnclaimedCode(Told):
    """A code on orders that belongs to nobody."""

    code: str = Field(description="As it is written on an order; in any case it is the same code.")
    orders: int
    unnamed_orders: int = Field(description="Those of them that name no creator by anything else.")
    revenue_cents: dict[str, int] = Field(description="Of these orders, by currency, before anything came back.")
    first_at: Time
    last_at: Time


class UnclaimedCodes(Told):
    """A part of the codes, those on most orders first."""

    items: list[UnclaimedCode]
    next_cursor: str | None


class UnclaimedQuery(PageQuery, SpanQuery):
    """Of which orders; those that are tests are left out unless they are asked for."""

    is_test: bool | None = Field(default=False, description="Whether the orders are tests.")


routes = router("codes")


@routes.get("/codes/unclaimed", summary="List codes that nobody owns")
async def list_unclaimed(asked: Annotated[UnclaimedQuery, Query()], reading: Reads) -> UnclaimedCodes:
    """List the codes on orders that belong to no creator, so that each can be given to one or left alone."""
    for name in ("link_id", "creator_id", "campaign_id"):
        if getattr(asked, name):
            raise Invalid(f"{name}: a code without an owner has none.", field=name)
    span = await read_span(reading, asked)
    moment = now_ms()
    last_run = await last_order_run(reading, moment)
    after_orders, after_key = _MOST, ""
    if asked.cursor:
        then, orders, key = decode_cursor(asked.cursor, 3)
        if (
            not isinstance(then, int)
            or not isinstance(orders, int)
            or not isinstance(key, str)
            or min(then, orders) < 0
        ):
            raise Invalid("cursor: this is not a cursor of this list.", field="cursor")
        last_run, after_orders, after_key = min(then, last_run), orders, key
    found = await reading.core.events.read(
        SQL["unclaimed_codes"],
        organization_id=reading.organization_id,
        last_run=last_run,
        now_ms=moment,
        after_orders=after_orders,
        after_key=after_key,
        limit=asked.limit + 1,
        **{name: value for name, value in span.filters.subject().items() if name in ("from_ms", "to_ms", "is_test")},
    )
    shown = found[: asked.limit]
    last = shown[-1] if len(found) > asked.limit else None
    # what was given to somebody a moment ago isn't derived yet
    keys = [row["code_key"] for row in shown]
    claimed = set(
        await reading.session.scalars(
            select(Code.code_key).where(Code.organization_id == reading.organization_id, Code.code_key.in_(keys))
        )
    )
    return UnclaimedCodes(
        items=[
            UnclaimedCode(
                code=row["code"],
                orders=row["orders"],
                unnamed_orders=row["unnamed_orders"],
                revenue_cents={name: int(cents) for name, cents in sorted(row["revenue_cents"].items())},
                first_at=row["first_ms"],
                last_at=row["last_ms"],
            )
            for row in shown
            if row["code_key"] not in claimed
        ],
        next_cursor=encode_cursor([last_run, last["orders"], last["code_key"]]) if last else None,
    )
