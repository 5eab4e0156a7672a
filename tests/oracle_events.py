"""What the oracle reads: told events, one row each, and the catalog's terms. Plain Python, integers only.

It is written from the pages on traffic quality, conversions and policies, not from the numbered SQL, so that the two
can disagree. It is slow on purpose: every question looks at everything that was told.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from typing import Any

from stackfluence.clock import parse_rfc3339
from stackfluence.facts.codes import CodePeriod
from stackfluence.facts.policies import OwnCustomerPeriod, PolicyPeriod
from stackfluence.reasons import REASONS
from stackfluence.vocabulary import TrafficReason

HOUR_MS, DAY_MS = 3_600_000, 86_400_000
TIERS = ("browser", "connector", "server")  # weakest first
OBJECTS = ("denied", "opted_out")

Told = tuple[str, str, Mapping[str, Any]]  # event type, organization, fields of the leaf, with `kept`


@dataclass(frozen=True)
class Event:
    """An event as the row tells it that counts; `leaf` has the fields that were written, times are milliseconds."""

    event_type: str
    event_id: str
    tier: str
    at_ms: int
    received_ms: int
    leaf: Mapping[str, Any]

    def get(self, name: str, default: Any = "") -> Any:
        """Return a field of the leaf."""
        return self.leaf.get(name, default)

    @property
    def click(self) -> str:
        """Which click's signed ID it carries, empty for none that can be used."""
        return str(self.get("click_id")) if self.get("click_id_status") == "valid" else ""

    @property
    def is_test(self) -> bool:
        """Whether it says of itself to be one."""
        return bool(self.get("is_test", False))

    @property
    def strength(self) -> int:
        """The higher, the more its word is worth."""
        return TIERS.index(self.tier)

    @property
    def is_believed(self) -> bool:
        """Whether a server or connector says so."""
        return self.tier != "browser"

    @property
    def persons(self) -> frozenset[tuple[str, str]]:
        """The pseudonyms of its customer: of the id, of the mail address."""
        kept = self.leaf.get("kept") or {}
        return frozenset((name, kept[name]) for name in ("customer_hash", "email_hash") if kept.get(name))


@dataclass(frozen=True)
class Terms:
    """What the catalog says of an organization."""

    policies: Sequence[PolicyPeriod] = (PolicyPeriod(),)
    codes: Sequence[CodePeriod] = ()
    own_customers: Sequence[OwnCustomerPeriod] = ()


@dataclass(frozen=True)
class Input:
    """All that a run may know; days of clicks in `derived` have verdicts, the others only what their edge stamped."""

    events: Sequence[Event]
    terms: Terms = Terms()
    derived: Collection[date] = field(default=())

    def of_type(self, *event_types: str) -> list[Event]:
        """Return the events of some types."""
        return [event for event in self.events if event.event_type in event_types]

    @property
    def clicks(self) -> dict[str, Event]:
        """The stored clicks by id."""
        return {event.event_id: event for event in self.events if event.event_type == "click"}


def events_of(told: Iterable[Told], organization_id: str) -> list[Event]:
    """Return each event once: the row of the highest tier, then the earliest; received when that tier first told."""
    found: dict[str, list[Event]] = {}
    for event_type, owner, fields in told:
        if owner == organization_id:
            event = Event(
                event_type,
                str(fields["event_id"]),
                fields.get("trust_tier", "server"),
                parse_rfc3339(fields["occurred_at"]),
                parse_rfc3339(fields["received_at"]),
                fields,
            )
            found.setdefault(event.event_id, []).append(event)
    return [_counted(rows) for rows in found.values()]


def _counted(rows: Sequence[Event]) -> Event:
    counted = min(rows, key=lambda row: (-row.strength, row.at_ms, row.received_ms))
    return replace(counted, received_ms=min(row.received_ms for row in rows if row.strength == counted.strength))


def day_of(at_ms: int) -> date:
    """Return the day in UTC of a moment."""
    return datetime.fromtimestamp(at_ms // 1000, UTC).date()


def policy_at(terms: Terms, at_ms: int) -> PolicyPeriod:
    """Return what counts at a moment: the policy that began last before it, or then."""
    return max((policy for policy in terms.policies if policy.from_ms <= at_ms), key=lambda policy: policy.from_ms)


def folded(code: str) -> str:
    """Return a code as it is compared: case, width and outer spaces make no difference."""
    once = unicodedata.normalize("NFKC", code).casefold()
    return unicodedata.normalize("NFKC", once).strip()


@dataclass(frozen=True)
class Judged:
    """What reasons come to under a policy: points, whether they flag, the heaviest and its class if it's excluded."""

    score: int
    is_flagged: bool
    invalid_reason: str
    traffic_class: str


def judge(reasons: Iterable[str], policy: PolicyPeriod) -> Judged:
    """Add up points: each reason once, ignored and unknown ones nothing, 100 at most."""
    rows = {
        name: REASONS[TrafficReason(name)]
        for name in set(reasons)
        if name in TrafficReason.__members__ and name not in policy.ignored_reasons
    }
    score = min(100, sum(row.weight for row in rows.values()))
    is_flagged = score >= policy.flagged_from
    if not is_flagged:
        return Judged(score, False, "", "valid")
    worst = min(rows, key=lambda name: (-rows[name].weight, rows[name].traffic_class.value, name))
    worst_class = rows[worst].traffic_class.value
    if worst_class not in policy.excluded_classes:
        return Judged(score, True, "", "valid")
    return Judged(score, True, worst, worst_class)
