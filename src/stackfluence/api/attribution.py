"""Why this creator and not that one: every touch before an order, the policy's rule, and each model's credits."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from stackfluence.api.access import Reads
from stackfluence.api.conversions import Candidate, DerivedFrom, Names, find_conversion, names_of, tell_candidate
from stackfluence.api.fields import Time, Told
from stackfluence.api.routes import MISSING, router
from stackfluence.events.statements import read_statements
from stackfluence.events.store import Row
from stackfluence.facts import PolicyPeriod, read_policy_books
from stackfluence.reasons import TOUCH_SENTENCES
from stackfluence.vocabulary import (
    AttributionModel,
    CandidateOutcome,
    FoundBy,
    NonBillableReason,
    TouchOutcome,
    TrustTier,
    UnattributedReason,
)

SQL = read_statements(Path(__file__).with_name("attribution.sql"))
_TOUCHES = (CandidateOutcome.named, CandidateOutcome.outranked)


class Credits(Told):
    """Millionths of the order: those that are paid, and those of every model. Each adds up to 1,000,000 or 0."""

    paid: int
    last_touch: int
    first_touch: int
    linear: int
    position_based: int
    time_decay: int


class Touch(Told):
    """A click or a code before the order, and whether it earns."""

    place: int = Field(description="In the order of the rule: codes, then what servers tell, then the last one first.")
    found_by: FoundBy
    trust_tier: TrustTier = Field(description="Of the strongest who tells of it.")
    creator_id: str | None
    creator_handle: str | None
    campaign_id: str | None
    link_id: str | None
    click_id: str | None
    code: str | None
    touched_at: Time = Field(description="Of a click; a code touches when the order is placed.")
    before_seconds: int = Field(description="How long before the order; less than 0 when clocks differ.")
    outcome: TouchOutcome
    sentence: str
    invalid_reason: str | None = Field(description="Why the click is invalid traffic.")
    is_provisional: bool = Field(description="The click's day isn't derived yet: this is what its edge said.")
    credits: Credits


class PolicyTold(Told):
    """What the policy in force when the order was placed says of attribution."""

    version: int
    effective_from: Time
    attribution_model: AttributionModel
    attribution_window_days: int
    conversion_tiers: list[TrustTier]
    touch_tiers: list[TrustTier]


class Attribution(Told):
    """Who is credited with an order and why; anybody can work it out again from what is here."""

    conversion_id: str
    order_id: str | None
    occurred_at: Time
    trust_tier: TrustTier
    is_test: bool
    is_renewal: bool
    currency: str
    commission_base_cents: int | None = Field(
        description="Merchandise after discounts, without tax, shipping and gift cards that were sold."
    )
    net_base_micros: int | None = Field(
        description="What is left of it after what came back, in millionths of the currency's smallest unit."
    )
    policy: PolicyTold
    unattributed_reason: UnattributedReason | None
    non_billable_reason: NonBillableReason | None
    is_provisional: bool
    touches: list[Touch]
    refused: list[Candidate] = Field(description="Codes and clicks that could not have led to this order, and why.")
    derived: DerivedFrom


routes = router("conversions")


@routes.get("/conversions/{conversion_id}/attribution", responses=MISSING, summary="Explain who is paid for an order")
async def explain_attribution(conversion_id: str, reading: Reads) -> Attribution:
    """Tell why this creator is paid for an order and not that one.

    A creator's own live code goes first; without one the policy's model decides among the eligible touches. Credits of
    models that don't pay are told beside.
    """
    row = await find_conversion(reading, conversion_id)
    touches = await reading.core.events.read(
        SQL["touches_of_conversion"],
        organization_id=reading.organization_id,
        conversion_id=str(row["conversion_id"]),
        run_id=row["run_id"],
        occurred_ms=row["occurred_ms"],
    )
    names = await names_of(reading, [*touches, *row["candidates"]])
    books = await read_policy_books(reading.core.catalog, reading.organization_id)
    policy = books[reading.organization_id].in_force(min(row["occurred_ms"], row["received_ms"]))
    return Attribution(
        conversion_id=str(row["conversion_id"]),
        order_id=row["order_id"] or None,
        occurred_at=row["occurred_ms"],
        trust_tier=row["trust_tier"],
        is_test=row["is_test"],
        is_renewal=row["is_renewal"],
        currency=row["currency"],
        commission_base_cents=row["commission_base_cents"],
        net_base_micros=row["net_base_micros"],
        policy=_policy(policy),
        unattributed_reason=row["unattributed_reason"] or None,
        non_billable_reason=row["non_billable_reason"] or None,
        is_provisional=row["is_provisional"],
        touches=[_touch(touch, row["occurred_ms"], names) for touch in touches],
        refused=[tell_candidate(each, names) for each in row["candidates"] if each["outcome"] not in _TOUCHES],
        derived=DerivedFrom.of(row),
    )


def _policy(policy: PolicyPeriod) -> PolicyTold:
    return PolicyTold(
        version=policy.version,
        effective_from=policy.from_ms,
        attribution_model=AttributionModel(policy.attribution_model),
        attribution_window_days=policy.window_ms // 86_400_000,
        conversion_tiers=[TrustTier(tier) for tier in policy.conversion_tiers],
        touch_tiers=[TrustTier(tier) for tier in policy.touch_tiers],
    )


def _touch(row: Row, ordered_ms: int, names: Names) -> Touch:
    outcome = TouchOutcome(row["outcome"])
    return Touch(
        place=row["place"],
        found_by=row["found_by"],
        trust_tier=row["trust_tier"],
        touched_at=row["touched_ms"],
        before_seconds=(ordered_ms - row["touched_ms"]) // 1000,
        outcome=outcome,
        sentence=TOUCH_SENTENCES[outcome],
        invalid_reason=row["invalid_reason"] or None,
        is_provisional=row["is_provisional"],
        code=row["code"] or None,
        credits=Credits(paid=row["paid_credits"], **{model: row[f"{model}_credits"] for model in AttributionModel}),
        **names.tell(row),
    )
