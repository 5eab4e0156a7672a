"""What a policy is made of, as it is sent and told."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from stackfluence.api.fields import Given, Time, Title, Told
from stackfluence.api.reports import Moment
from stackfluence.catalog.policies import RANGES
from stackfluence.vocabulary import AttributionModel, TrafficReason

MOST_WORDS = 100  # of one list; each counts once


def _range(column: str) -> Any:
    least, most = RANGES[column]
    return Field(ge=least, le=most)


FlaggedFrom = Annotated[int, _range("flagged_from")]
Reasons = Annotated[list[Annotated[TrafficReason, Field(strict=False)]], Field(max_length=MOST_WORDS)]
Classes = Annotated[list[Literal["givt", "sivt"]], Field(max_length=MOST_WORDS)]
EngagedSeconds = Annotated[int, _range("min_engaged_seconds")]
Pageviews = Annotated[int, _range("min_pageviews")]
RepeatHours = Annotated[int, _range("repeat_hours")]
Tiers = Annotated[list[Literal["server", "connector", "browser"]], Field(min_length=1, max_length=MOST_WORDS)]
OrderTiers = Annotated[list[Literal["server", "connector"]], Field(min_length=1, max_length=MOST_WORDS)]
Model = Annotated[AttributionModel, Field(strict=False)]
WindowDays = Annotated[int, _range("attribution_window_days")]


class PolicyTerms(Given):
    """What a policy says. What isn't given stays as it was."""

    name: Title = Field(default_factory=str)
    effective_from: Moment = Field(
        default_factory=str,
        description="An RFC 3339 time, or a date: its first moment in the organization's accounting time zone. At "
        "least five minutes ahead. A new policy's, by default: the next midnight there.",
    )
    flagged_from: FlaggedFrom = Field(
        default_factory=int, description="Points from which on a click's reasons make it invalid."
    )
    ignored_reasons: Reasons = Field(default_factory=list, description="Reasons that weigh nothing.")
    excluded_classes: Classes = Field(
        default_factory=list, description="Of which classes an invalid click doesn't count; of others it does."
    )
    min_engaged_seconds: EngagedSeconds = Field(
        default_factory=int, description="A visit of so much engaged time qualifies, however few its pages; or:"
    )
    min_pageviews: Pageviews = Field(
        default_factory=int, description="A visit of so many pages qualifies, however short."
    )
    repeat_hours: RepeatHours = Field(
        default_factory=int,
        description="How long the same visit doesn't count again for a creator and campaign; 0: every one counts.",
    )
    session_tiers: Tiers = Field(default_factory=list, description="Who is believed about visits.")
    conversion_tiers: OrderTiers = Field(
        default_factory=list, description="Whose word an order needs. A page's alone moves no money."
    )
    touch_tiers: Tiers = Field(default_factory=list, description="Who is believed about which click led to an order.")
    attribution_model: Model = Field(
        default_factory=lambda: AttributionModel.last_touch, description="How the credit is shared that pays."
    )
    attribution_window_days: WindowDays = Field(
        default_factory=int,
        description="How long before an order a click may have been made; at most SF_CLICK_ID_TTL_DAYS.",
    )


class NewPolicy(PolicyTerms):
    """A policy to be added. What isn't given is as in the policy that would be in force then."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"name": "Three pages", "effective_from": "2026-12-01", "min_pageviews": 3}],
        }
    )


class PolicyPatch(PolicyTerms):
    """What can be changed of a policy that isn't in force yet; what isn't given stays."""


class Policy(Told):
    """What counts, for what happens in [effective_from, effective_until). Once in force it never changes."""

    id: str
    version: int = Field(description="Of this organization, counted up; one that was deleted isn't given again.")
    name: str
    effective_from: Time
    effective_until: Time | None = Field(description="When the next one begins; null while none is planned.")
    flagged_from: int
    ignored_reasons: list[str]
    excluded_classes: list[str]
    min_engaged_seconds: int
    min_pageviews: int
    repeat_hours: int
    session_tiers: list[str]
    conversion_tiers: list[str]
    touch_tiers: list[str]
    attribution_model: AttributionModel
    attribution_window_days: int
    created_at: Time
