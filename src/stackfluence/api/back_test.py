"""What if: how other thresholds, other points, or doing without a reason would have judged the last days' clicks."""

from __future__ import annotations

import asyncio
from dataclasses import asdict, replace
from datetime import UTC, date, datetime, timedelta
from typing import Annotated

from fastapi import Query
from pydantic import BaseModel, ConfigDict, Field

from stackfluence.api.access import Reads
from stackfluence.api.fields import Told
from stackfluence.api.routes import router
from stackfluence.api.traffic import names_of
from stackfluence.catalog import load_horizon
from stackfluence.clock import now_ms
from stackfluence.errors import Invalid
from stackfluence.facts.back_test import Change
from stackfluence.facts.back_test import back_test as compare
from stackfluence.facts.otherwise import read_thresholds, read_weights
from stackfluence.facts.policies import read_policy_books
from stackfluence.facts.thresholds import CLICK_THRESHOLDS, Rules, Thresholds
from stackfluence.reasons import MOST
from stackfluence.vocabulary import TrafficReason

MAX_DAYS = 90
MAX_CREATORS = 1_000

Points = Annotated[str, Field(max_length=50, examples=["hosting_network:40"])]
Number = Annotated[str, Field(max_length=50, examples=["arrival_permille:50"])]
USUAL = ", ".join(f"`{name}` ({value})" for name, value in Thresholds().values().items() if name in CLICK_THRESHOLDS)


class BackTestQuery(BaseModel):
    """Which days, and what would be otherwise."""

    model_config = ConfigDict(extra="forbid")

    days: int = Field(default=30, ge=1, le=MAX_DAYS, description="Days in UTC, today the last.")
    flagged_from: int | None = Field(
        default=None, ge=1, le=MOST, description="The score that would be invalid; by default the policies'."
    )
    without: list[TrafficReason] = Field(default=[], description="Reasons that would weigh nothing.", max_length=100)
    weights: list[Points] = Field(
        default=[], description=f"Other points, `reason:points`, 0 to {MOST}.", max_length=100
    )
    thresholds: list[Number] = Field(
        default=[],
        description=f"Other thresholds for what follows a click, `threshold:number`, of {USUAL}. Days are then derived "
        "anew, which takes as long as a derivation of them.",
        max_length=100,
    )
    limit: int = Field(default=MAX_CREATORS, ge=1, le=MAX_CREATORS, description="How many creators are told.")


class BackTested(Told):
    """Clicks that have a verdict, tests left out: `valid_then` = `valid_now` + `became_valid` - `became_invalid`."""

    clicks: int
    valid_now: int
    valid_then: int
    became_valid: int
    became_invalid: int


class CreatorBackTested(BackTested):
    """The same of one creator."""

    creator_id: str
    creator_handle: str | None


class BackTest(Told):
    """What would have changed; nothing did."""

    from_day: date
    to_day: date = Field(description="Exclusive.")
    missing_days: list[date] = Field(description="Those with clicks that no run has judged yet; not counted here.")
    flagged_from: int
    weights: dict[TrafficReason, int] = Field(description="The points that would be other ones.")
    thresholds: dict[str, int] = Field(description="The thresholds that would be other ones.")
    total: BackTested
    freed: dict[str, int] = Field(description="Clicks that would become valid, by the reason that decides now.")
    condemned: dict[str, int] = Field(description="Clicks that would become invalid, by the reason that would decide.")
    creators: list[CreatorBackTested] = Field(description="Those with most changes first.")


routes = router("reports")


@routes.get("/reports/back-test", summary="Try other rules on past clicks")
async def back_test(asked: Annotated[BackTestQuery, Query()], reading: Reads) -> BackTest:
    """Tell what thresholds or points would have made of clicks that runs have judged, per creator; nothing changes.

    Only the sum is made anew, and with `thresholds` what was found after the click. What today's lists would find in
    stored headers is tried by the command line.
    """
    rules = _rules(asked)
    books = await read_policy_books(reading.core.catalog, reading.organization_id)
    policies = books[reading.organization_id]
    moment = now_ms()
    to_day = datetime.fromtimestamp(moment / 1000, UTC).date() + timedelta(days=1)
    found = await asyncio.to_thread(
        compare,
        reading.core.events,
        reading.organization_id,
        to_day - timedelta(days=asked.days),
        to_day,
        rules,
        policies,
        as_of=await load_horizon(reading.core.catalog),
        now_ms=moment,
    )
    changes = sorted(found.creators.items(), key=_most_changed)[: asked.limit]
    handles = await names_of(reading, "creator", [creator_id for creator_id, _ in changes])
    return BackTest(
        from_day=found.from_day,
        to_day=found.to_day,
        missing_days=found.missing_days,
        flagged_from=rules.flagged_from or policies.in_force(moment).flagged_from,
        weights=dict(rules.weights),
        thresholds=rules.other_thresholds(),
        total=BackTested(**_counts(found.total)),
        freed=dict(found.freed.most_common()),
        condemned=dict(found.condemned.most_common()),
        creators=[
            CreatorBackTested(creator_id=creator_id, creator_handle=handles.get(creator_id), **_counts(change))
            for creator_id, change in changes
        ],
    )


def _rules(asked: BackTestQuery) -> Rules:
    """Return the rules that are tried; raises Invalid, which names the parameter at fault."""
    field = "weights"
    try:
        rules = Rules(asked.flagged_from, weights=read_weights(asked.weights, asked.without, ":"))
        field = "thresholds"
        return replace(rules, thresholds=read_thresholds(asked.thresholds, ":"))
    except ValueError as error:
        raise Invalid(f"{field}: {error}", field=field) from None


def _most_changed(item: tuple[str, Change]) -> tuple[int, int, str]:
    creator_id, change = item
    return -(change.became_valid + change.became_invalid), -change.clicks, creator_id


def _counts(change: Change) -> dict[str, int]:
    counts = asdict(change)
    return {"valid_now": counts.pop("valid_before"), "valid_then": counts.pop("valid_after"), **counts}
