"""Policies as a derivation reads them: what counted when, as parallel arrays that statements pick from by a moment.

A statement picks by `arrayLastIndex(at -> at <= ms, {policy_from:Array(Int64)})`: 1 or more, because a book always
begins at 0. A click is judged by the policy of its `occurred_at`, an order by that of the earlier of `occurred_at` and
`received_at`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from sqlalchemy import select

from stackfluence.catalog.connect import Catalog
from stackfluence.catalog.policies import (
    CONVERSION_TIERS,
    EXCLUDED_CLASSES,
    MIN_ENGAGED_SECONDS,
    MIN_PAGEVIEWS,
    REPEAT_HOURS,
    SESSION_TIERS,
    TOUCH_TIERS,
    WINDOW_DAYS,
    OwnCustomer,
    Policy,
)
from stackfluence.reasons import FLAGGED, REASONS, heaviest, score_of
from stackfluence.vocabulary import AttributionModel, TrafficReason

SECOND_MS, HOUR_MS, DAY_MS = 1000, 3_600_000, 86_400_000
NO_END = 2**62  # milliseconds since 1970: behind every order


class PolicyPeriod(NamedTuple):
    """What counts from `from_ms` until the next period's; times are milliseconds, those without `from_` are lengths.

    The defaults are those that an organization starts with.
    """

    from_ms: int = 0
    version: int = 1
    flagged_from: int = FLAGGED
    ignored_reasons: tuple[str, ...] = ()
    excluded_classes: tuple[str, ...] = EXCLUDED_CLASSES
    min_engaged_ms: int = MIN_ENGAGED_SECONDS * SECOND_MS
    min_pageviews: int = MIN_PAGEVIEWS
    repeat_ms: int = REPEAT_HOURS * HOUR_MS
    session_tiers: tuple[str, ...] = SESSION_TIERS
    conversion_tiers: tuple[str, ...] = CONVERSION_TIERS
    touch_tiers: tuple[str, ...] = TOUCH_TIERS
    attribution_model: str = AttributionModel.last_touch.value
    window_ms: int = WINDOW_DAYS * DAY_MS

    def judge(self, found: Iterable[TrafficReason]) -> tuple[int, TrafficReason | None]:
        """Return the points of what was found of a click, and for what it is invalid; None for a valid one."""
        counting = {reason for reason in found if reason not in self.ignored_reasons}
        score, worst = score_of(counting), heaviest(counting)
        if worst is None or score < self.flagged_from or REASONS[worst].traffic_class not in self.excluded_classes:
            return score, None
        return score, worst


class PolicyBook:
    """The policies of one organization, by when they begin. Raises ValueError when none is in force from 0 on."""

    def __init__(self, periods: Iterable[PolicyPeriod]) -> None:
        self.periods = tuple(sorted(periods))
        starts = [period.from_ms for period in self.periods]
        if not starts or starts[0] != 0 or len(set(starts)) < len(starts):
            raise ValueError(f"A book of policies begins at 0 and has one for each moment, not {starts}.")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PolicyBook) and self.periods == other.periods

    def __hash__(self) -> int:
        return hash(self.periods)

    def __repr__(self) -> str:
        return f"PolicyBook({list(self.periods)!r})"

    def in_force(self, at_ms: int) -> PolicyPeriod:
        """Return what counts at a moment, milliseconds since 1970; before 1970 what counts from then on."""
        return next((period for period in reversed(self.periods) if period.from_ms <= at_ms), self.periods[0])

    def versions_between(self, from_ms: int, to_ms: int) -> list[int]:
        """Return the versions in force at any moment of [from_ms, to_ms), ascending."""
        if to_ms <= from_ms:
            return []
        begun = {period.version for period in self.periods if from_ms <= period.from_ms < to_ms}
        return sorted(begun | {self.in_force(from_ms).version})

    def replaced(self, **fields: Any) -> PolicyBook:
        """Return the same book with some fields the same in every period, for a back-test."""
        return PolicyBook(period._replace(**fields) for period in self.periods)

    def parameters(self) -> dict[str, list[Any]]:
        """Return the arrays that numbered statements bind, one element a period, all of the same length."""
        return {
            "policy_from": [period.from_ms for period in self.periods],  # Array(Int64), ascending
            "policy_versions": [period.version for period in self.periods],  # Array(UInt32)
            "policy_flagged_from": [period.flagged_from for period in self.periods],  # Array(UInt8)
            "policy_ignored_reasons": [list(period.ignored_reasons) for period in self.periods],  # …String))
            "policy_excluded_classes": [list(period.excluded_classes) for period in self.periods],
            "policy_min_engaged_ms": [period.min_engaged_ms for period in self.periods],  # Array(Int64)
            "policy_min_pageviews": [period.min_pageviews for period in self.periods],  # Array(UInt32)
            "policy_repeat_ms": [period.repeat_ms for period in self.periods],  # Array(Int64)
            "policy_session_tiers": [list(period.session_tiers) for period in self.periods],  # Array(Array(String))
            "policy_conversion_tiers": [list(period.conversion_tiers) for period in self.periods],
            "policy_touch_tiers": [list(period.touch_tiers) for period in self.periods],
            "policy_models": [period.attribution_model for period in self.periods],  # Array(String)
            "policy_window_ms": [period.window_ms for period in self.periods],  # Array(Int64)
        }


DEFAULT_POLICIES = PolicyBook([PolicyPeriod()])


class OwnCustomerPeriod(NamedTuple):
    """That a customer is a creator's own in [from_ms, to_ms), milliseconds since 1970."""

    creator_id: str
    customer_hash: str
    from_ms: int = 0
    to_ms: int = NO_END


async def read_policy_books(catalog: Catalog, organization_id: str | None = None) -> dict[str, PolicyBook]:
    """Return the policies of an organization or of all, by organization; each has some."""
    wanted = select(Policy)
    if organization_id is not None:
        wanted = wanted.where(Policy.organization_id == organization_id)
    found: dict[str, list[PolicyPeriod]] = {}
    async with catalog.reading() as session:
        for policy in await session.scalars(wanted):
            found.setdefault(policy.organization_id, []).append(period_of(policy))
    return {owner: PolicyBook(periods) for owner, periods in found.items()}


def period_of(policy: Policy) -> PolicyPeriod:
    """Return a stored policy as a derivation reads it."""
    return PolicyPeriod(
        policy.effective_from,
        policy.version,
        policy.flagged_from,
        tuple(policy.ignored_reasons),
        tuple(policy.excluded_classes),
        policy.min_engaged_seconds * SECOND_MS,
        policy.min_pageviews,
        policy.repeat_hours * HOUR_MS,
        tuple(policy.session_tiers),
        tuple(policy.conversion_tiers),
        tuple(policy.touch_tiers),
        policy.attribution_model,
        policy.attribution_window_days * DAY_MS,
    )


async def read_own_customers(catalog: Catalog, organization_id: str) -> list[OwnCustomerPeriod]:
    """Return which customers were which creators' own when, in order; they count for orders placed within."""
    wanted = select(OwnCustomer).where(OwnCustomer.organization_id == organization_id)
    async with catalog.reading() as session:
        return sorted(
            OwnCustomerPeriod(
                own.creator_id,
                own.customer_hash,
                own.created_at,
                NO_END if own.retracted_at is None else own.retracted_at,
            )
            for own in await session.scalars(wanted)
        )
