"""Billable events: what may be charged for, one by one, and why not. Prices are the ledger's."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from fastapi import Query
from pydantic import Field

from stackfluence import facts
from stackfluence.api.access import Reading, Reads
from stackfluence.api.clicks import SQL as CLICKS
from stackfluence.api.conversions import Names, last_order_run, names_of
from stackfluence.api.fields import Time, Told
from stackfluence.api.paging import PageQuery, decode_cursor, encode_cursor
from stackfluence.api.reports import SpanQuery, read_span
from stackfluence.api.routes import router
from stackfluence.clock import now_ms
from stackfluence.errors import Invalid
from stackfluence.events.feed import LATEST_MS
from stackfluence.events.statements import read_statements
from stackfluence.events.store import Row
from stackfluence.vocabulary import ChargeType, ConversionType, NonBillableReason

SQL = read_statements(Path(facts.__file__).with_name("billable.sql"))
_BEHIND_ALL = "~"  # sorts behind every id and charge type


class BillableEvent(Told):
    """One thing that may be charged for. `source_id` and `charge_type` name it, with `place` where several are paid."""

    charge_type: ChargeType
    source_id: str = Field(description="The click's id, or the conversion's.")
    place: int = Field(description="Of the touch that is paid for the order; 0 for clicks and sessions.")
    occurred_at: Time
    creator_id: str | None
    creator_handle: str | None
    campaign_id: str | None
    link_id: str | None
    click_id: str | None
    credits: int = Field(description="Millionths that the creator gets: 1,000,000 unless several share an order.")
    conversion_type: ConversionType | None
    customer_type: str | None
    is_renewal: bool
    currency: str | None
    commission_base_cents: int | None = Field(description="Of the whole order.")
    net_base_micros: int | None = Field(description="What is left of it, in millionths of the smallest unit.")
    non_billable_reason: NonBillableReason | None = Field(description="Null when it is billable.")
    detail: str | None = Field(description="The reason behind it: why invalid, unqualified or unattributed.")
    is_provisional: bool = Field(description="Its day may still change.")
    policy_version: int


class BillableEvents(Told):
    """A part of the billable events, latest first."""

    items: list[BillableEvent]
    next_cursor: str | None


class BillableQuery(PageQuery, SpanQuery):
    """Which of them; tests are among those that aren't billable."""

    charge_type: ChargeType | None = None
    is_billable: bool | None = None


routes = router("reports")


@routes.get("/billable-events", summary="List billable events")
async def list_billable_events(asked: Annotated[BillableQuery, Query()], reading: Reads) -> BillableEvents:
    """List what may be charged for and what may not, with the reason, latest first.

    Later parts of a list are of the same moment as its first.
    """
    span = await read_span(reading, asked)
    moment = now_ms()
    runs, after = await _place(reading, asked, moment)
    subject = span.filters.subject()
    found = await reading.core.events.read(
        SQL["billable_events"],
        organization_id=reading.organization_id,
        last_run=runs[0],
        last_order_run=runs[1],
        now_ms=moment,
        charge_type=asked.charge_type.value if asked.charge_type else "",
        is_billable=asked.is_billable,
        limit=asked.limit + 1,
        **after,
        **{name: subject[name] for name in ("from_ms", "to_ms", "creator_id", "campaign_id", "link_id")},
    )
    shown = found[: asked.limit]
    names = await names_of(reading, shown)
    last = shown[-1] if len(found) > asked.limit else None
    end = last and [*runs, last["occurred_ms"], str(last["source_id"]), last["charge_type"], last["place"]]
    return BillableEvents(
        items=[_told(row, names) for row in shown],
        next_cursor=encode_cursor(end) if end else None,
    )


async def _place(reading: Reading, asked: BillableQuery, moment: int) -> tuple[tuple[int, int], dict[str, Any]]:
    """Return up to which runs is read, and behind what; raises Invalid for another list's cursor."""
    (row,) = await reading.core.events.read(CLICKS["last_run"], organization_id=reading.organization_id, now_ms=moment)
    newest = (int(row["last_run"]), await last_order_run(reading, moment))
    if not asked.cursor:
        behind = {"after_ms": LATEST_MS, "after_id": _BEHIND_ALL, "after_type": _BEHIND_ALL, "after_place": 0}
        return newest, behind
    run, order_run, after_ms, after_id, after_type, place = decode_cursor(asked.cursor, 6)
    limits = ((run, LATEST_MS), (order_run, LATEST_MS), (after_ms, LATEST_MS), (place, 2**32 - 1))
    is_sound = all(isinstance(number, int) and 0 <= number <= most for number, most in limits)
    if not is_sound or after_type not in ChargeType.__members__ or not isinstance(after_id, str):
        raise Invalid("cursor: this is not a cursor of this list.", field="cursor")
    behind = {"after_ms": after_ms, "after_id": after_id, "after_type": after_type, "after_place": place}
    return (min(int(run), newest[0]), min(int(order_run), newest[1])), behind


def _told(row: Row, names: Names) -> BillableEvent:
    return BillableEvent(
        charge_type=row["charge_type"],
        source_id=str(row["source_id"]),
        place=row["place"],
        occurred_at=row["occurred_ms"],
        credits=row["credits"],
        conversion_type=row["conversion_type"] or None,
        customer_type=row["customer_type"] or None,
        is_renewal=row["is_renewal"],
        currency=row["currency"] or None,
        commission_base_cents=row["commission_base_cents"],
        net_base_micros=row["net_base_micros"],
        non_billable_reason=row["non_billable_reason"] or None,
        detail=row["detail"] or None,
        is_provisional=row["is_provisional"],
        policy_version=row["policy_version"],
        **names.tell(row),
    )
