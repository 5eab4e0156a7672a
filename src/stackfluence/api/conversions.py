"""Conversions: each order once, what it comes to, which creator it names and how that was found."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

from fastapi import Query
from pydantic import Field
from sqlalchemy import select

from stackfluence.api.access import Reading, Reads
from stackfluence.api.fields import Text, Time, Told
from stackfluence.api.paging import PageQuery, decode_cursor, encode_cursor
from stackfluence.api.reports import SpanQuery, read_span
from stackfluence.api.routes import MISSING, router
from stackfluence.catalog.tables import Campaign, Creator
from stackfluence.clock import now_ms
from stackfluence.errors import Invalid, NotFound
from stackfluence.events.feed import LATEST_MS
from stackfluence.events.statements import read_statements
from stackfluence.events.store import Row
from stackfluence.reasons import CONVERSION_SENTENCES
from stackfluence.vocabulary import (
    CandidateOutcome,
    ConversionReason,
    ConversionType,
    FoundBy,
    NonBillableReason,
    TrustTier,
    UnattributedReason,
)

SQL = read_statements(Path(__file__).with_name("conversions.sql"))
NO_ID = UUID(int=0)
LAST_ID = UUID(int=(1 << 128) - 1)


class OddReason(Told):
    """What is odd about an order. It takes nothing away."""

    reason: str
    sentence: str


class Conversion(Told):
    """An order, once, whoever told of it and how often. Amounts are minor units of `currency`, null where untold."""

    conversion_id: str = Field(description="Of an order the same for ever; without an order id that of its event.")
    occurred_at: Time = Field(description="As the first event said that is believed.")
    received_at: Time = Field(description="When that event arrived.")
    shop: str
    order_id: str | None
    event_id: str = Field(description="The event that fixes time and terms.")
    amounts_event_id: str = Field(description="The event that the amounts are of.")
    events: int = Field(description="How many events tell of the order, refunds left out.")
    conversion_type: ConversionType
    customer_type: str | None
    is_renewal: bool
    is_test: bool
    trust_tier: TrustTier = Field(description="Of the one whose amounts these are.")
    is_confirmed: bool = Field(description="A server or connector tells of it, not a browser alone.")
    currency: str
    revenue_cents: int | None
    subtotal_cents: int | None
    discount_cents: int | None
    tax_cents: int | None
    shipping_cents: int | None
    gift_card_cents: int | None
    presentment_currency: str | None = Field(description="What the shopper paid in, when that is another one.")
    presentment_revenue_cents: int | None
    refunds: int = Field(description="Those that count.")
    is_cancelled: bool = Field(description="The order was called off: all of it comes back.")
    refunded_cents: int
    refunded_by_reason: dict[str, int] = Field(description="As it was told; what a bank gave back adds.")
    unconfirmed_refunds: int = Field(description="Told by browsers alone: they move nothing.")
    other_currency_refunds: int = Field(description="In another currency than the order: not subtracted.")
    net_revenue_cents: int | None
    coupon_codes: list[str]
    found_by: FoundBy
    found_tier: TrustTier | None = Field(description="Of the strongest who tells of the code or click that is named.")
    creator_id: str | None
    creator_handle: str | None
    campaign_id: str | None
    campaign_slug: str | None
    link_id: str | None
    click_id: str | None
    matched_code: str | None
    commission_base_cents: int | None = Field(
        description="Merchandise after discounts, without tax, shipping and gift cards that were sold."
    )
    net_base_micros: int | None = Field(
        description="What is left of it after what came back, in millionths of the currency's smallest unit."
    )
    unattributed_reason: UnattributedReason | None = Field(description="Null when a creator is credited with it.")
    non_billable_reason: NonBillableReason | None = Field(description="Null when it is billable.")
    is_provisional: bool = Field(description="A click that it names has no verdict yet.")
    policy_version: int = Field(description="Of the policy in force when it was placed; 0 before it was attributed.")
    reasons: list[OddReason]
    evidence: dict[str, int] = Field(description="The numbers that the reasons rest on.")


class Candidate(Told):
    """A code or click that could have named a creator, and what became of it. The first is the one that is named."""

    found_by: FoundBy
    outcome: CandidateOutcome
    creator_id: str | None
    creator_handle: str | None
    campaign_id: str | None
    link_id: str | None
    click_id: str | None
    clicked_at: Time | None
    code: str | None
    trust_tier: TrustTier = Field(description="Of the strongest who tells of it.")
    event_id: str = Field(description="The event that tells of it.")


class DerivedFrom(Told):
    """The run that a conversion is of, and the load up to which it read."""

    run_id: int
    derived_at: Time
    as_of: int
    code_version: str

    @classmethod
    def of(cls, row: Row) -> DerivedFrom:
        """Return the run of a conversion."""
        return cls(
            run_id=row["run_id"], derived_at=row["derived_ms"], as_of=row["as_of"], code_version=row["code_version"]
        )


class ExplainedConversion(Conversion):
    """A conversion with everybody whom it could have named."""

    candidates: list[Candidate]
    derived: DerivedFrom


class Conversions(Told):
    """A part of the conversions, latest first."""

    items: list[Conversion]
    next_cursor: str | None


class ConversionQuery(PageQuery, SpanQuery):
    """Which conversions; `link_id`, `creator_id` and `campaign_id` are those that they name."""

    found_by: FoundBy | None = None
    shop: Text = Field(default="", max_length=200)
    order_id: Text = Field(default="", max_length=200)


class Names:
    """What people call creators and campaigns, by id, as far as the organization's catalog knows them."""

    def __init__(self, handles: dict[str, str], slugs: dict[str, str]) -> None:
        self.handles = handles
        self.slugs = slugs

    def tell(self, row: Row) -> dict[str, Any]:
        """Return whom and what a row names, as answers say it."""
        return {
            "creator_id": row["creator_id"] or None,
            "creator_handle": self.handles.get(row["creator_id"]),
            "campaign_id": row["campaign_id"] or None,
            "link_id": row["link_id"] or None,
            "click_id": None if row["click_id"] == NO_ID else str(row["click_id"]),
        }


routes = router("conversions")


@routes.get("/conversions", summary="List conversions")
async def list_conversions(asked: Annotated[ConversionQuery, Query()], reading: Reads) -> Conversions:
    """List orders, each once, latest first, as they were derived; what was just loaded comes within minutes.

    Later parts of a list are of the same moment as its first.
    """
    span = await read_span(reading, asked)
    moment = now_ms()
    last_run, after = await _place(reading, asked, moment)
    found = await reading.core.events.read(
        SQL["page_of_conversions"],
        organization_id=reading.organization_id,
        last_run=last_run,
        now_ms=moment,
        found_by=asked.found_by.value if asked.found_by else "",
        shop=asked.shop,
        order_id=asked.order_id,
        limit=asked.limit + 1,
        **after,
        **span.filters.subject(),
    )
    shown = found[: asked.limit]
    names = await names_of(reading, shown)
    last = shown[-1] if len(found) > asked.limit else None
    return Conversions(
        items=[Conversion(**_told(row, names)) for row in shown],
        next_cursor=encode_cursor([last_run, last["occurred_ms"], str(last["conversion_id"])]) if last else None,
    )


@routes.get("/conversions/{conversion_id}", responses=MISSING, summary="Explain a conversion")
async def explain_conversion(conversion_id: str, reading: Reads) -> ExplainedConversion:
    """Tell why an order names this creator and not that one: every code and click that it could have been, in order."""
    row = await find_conversion(reading, conversion_id)
    names = await names_of(reading, [row, *row["candidates"]])
    candidates = [tell_candidate(each, names) for each in row["candidates"]]
    return ExplainedConversion(**_told(row, names), candidates=candidates, derived=DerivedFrom.of(row))


async def find_conversion(reading: Reading, conversion_id: str) -> Row:
    """Return a conversion with its candidates and its run; raises NotFound."""
    moment = now_ms()
    try:
        wanted = str(UUID(conversion_id))
    except ValueError:
        raise NotFound(f"There is no conversion {conversion_id!r}.") from None
    rows = await reading.core.events.read(
        SQL["conversion_of_id"],
        organization_id=reading.organization_id,
        last_run=await last_order_run(reading, moment),
        now_ms=moment,
        conversion_id=wanted,
    )
    if not rows:
        raise NotFound(f"There is no conversion {conversion_id!r}.")
    return rows[0]


async def last_order_run(reading: Reading, moment: int) -> int:
    """Return the newest run over orders that may be read, 0 before the first."""
    (row,) = await reading.core.events.read(
        SQL["last_order_run"], organization_id=reading.organization_id, now_ms=moment
    )
    return int(row["last_run"])


async def names_of(reading: Reading, rows: Iterable[Row]) -> Names:
    """Return the names of the creators and campaigns of some rows."""
    found = list(rows)
    creators = sorted({row["creator_id"] for row in found} - {""})
    campaigns = sorted({row["campaign_id"] for row in found} - {""})
    own = reading.organization_id
    handles = await reading.session.execute(
        select(Creator.id, Creator.handle).where(Creator.organization_id == own, Creator.id.in_(creators))
    )
    slugs = await reading.session.execute(
        select(Campaign.id, Campaign.slug).where(Campaign.organization_id == own, Campaign.id.in_(campaigns))
    )
    return Names({row.id: row.handle for row in handles}, {row.id: row.slug for row in slugs})


async def _place(reading: Reading, asked: ConversionQuery, moment: int) -> tuple[int, dict[str, Any]]:
    """Return up to which run is read, and behind which order; raises Invalid for another list's cursor."""
    newest = await last_order_run(reading, moment)
    if not asked.cursor:
        return newest, {"after_ms": LATEST_MS, "after_id": str(LAST_ID)}
    then, after_ms, after_id = decode_cursor(asked.cursor, 3)
    try:
        if not (isinstance(then, int) and isinstance(after_ms, int) and then >= 0 and 0 <= after_ms <= LATEST_MS):
            raise ValueError
        return min(then, newest), {"after_ms": after_ms, "after_id": str(UUID(str(after_id)))}
    except ValueError:
        raise Invalid("cursor: this is not a cursor of this list.", field="cursor") from None


_PLAIN = (
    "shop", "events", "conversion_type", "is_renewal", "is_test", "trust_tier", "currency", "revenue_cents",
    "subtotal_cents", "discount_cents", "tax_cents", "shipping_cents", "gift_card_cents",
    "presentment_revenue_cents", "refunds", "is_cancelled", "refunded_cents",
    "unconfirmed_refunds", "other_currency_refunds", "net_revenue_cents", "found_by", "commission_base_cents",
    "net_base_micros", "is_provisional", "policy_version",
)  # fmt: skip


def _told(row: Row, names: Names) -> dict[str, Any]:
    """Return the members of Conversion."""
    return {
        **{name: row[name] for name in _PLAIN},
        **names.tell(row),
        "conversion_id": str(row["conversion_id"]),
        "occurred_at": row["occurred_ms"],
        "received_at": row["received_ms"],
        "order_id": row["order_id"] or None,
        "event_id": str(row["event_id"]),
        "amounts_event_id": str(row["amounts_event_id"]),
        "customer_type": row["customer_type"] or None,
        "presentment_currency": row["presentment_currency"] or None,
        "found_tier": row["found_tier"] or None,
        "is_confirmed": row["trust_tier"] != TrustTier.browser,
        "refunded_by_reason": dict(sorted(row["refunded_by_reason"].items())),
        "coupon_codes": list(row["coupon_codes"]),
        "campaign_slug": names.slugs.get(row["campaign_id"]),
        "matched_code": row["matched_code"] or None,
        "unattributed_reason": row["unattributed_reason"] or None,
        "non_billable_reason": row["non_billable_reason"] or None,
        "reasons": [_odd(word) for word in row["reasons"]],
        "evidence": dict(sorted(row["evidence"].items())),
    }


def tell_candidate(row: Row, names: Names) -> Candidate:
    """Return a candidate as it is told."""
    return Candidate(
        found_by=row["found_by"],
        outcome=row["outcome"],
        clicked_at=row["clicked_ms"] or None,
        code=row["code"] or None,
        trust_tier=row["trust_tier"],
        event_id=str(row["event_id"]),
        **names.tell(row),
    )


def _odd(word: str) -> OddReason:
    known = word in ConversionReason.__members__
    sentence = CONVERSION_SENTENCES[ConversionReason(word)] if known else "A reason of another version."
    return OddReason(reason=word, sentence=sentence)
