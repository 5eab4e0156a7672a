"""When what follows a click speaks against it: every threshold, with where it comes from, and the rules as parameters.

Each comparison asks for a sample that is large enough, so that a small creator is never judged by noise, and compares
with peers: the other creators of the same campaign, on the same day.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from stackfluence.facts.policies import PolicyBook
from stackfluence.reasons import FLAGGED, MOST, REASONS
from stackfluence.vocabulary import TrafficReason

_R = TrafficReason

# What a click's stored headers can be asked again. The rest of a stamp stays as it is: networks and pace at the moment
# of the click and its parameters aren't kept; its referrer and the order of its headers aren't asked again.
RECOMPUTABLE = frozenset(
    (
        _R.declared_bot, _R.ai_agent, _R.link_preview, _R.mail_scanner, _R.uptime_monitor, _R.http_library,
        _R.headless_browser, _R.attack, _R.no_user_agent, _R.listed_pattern, _R.unlikely_user_agent,
        _R.impossible_user_agent, _R.head_request, _R.prefetch, _R.prerender, _R.no_accept_language,
        _R.unlike_navigation, _R.no_fetch_metadata, _R.contradicting_hints, _R.unlike_brands, _R.missing_headers,
        _R.automation_header,
    )
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Counts, milliseconds and thousandths. Sources are the published guides named beside each."""

    comparable_below: int = FLAGGED  # a click that its edge took for a robot is no measure of anybody's audience
    idle_ms: int = 10_000  # a visit is engaged from 10 s on (GA4's and our session rule); still untouched is odd

    # Everflow, minimum time from click to conversion: 5 s for sign-ups, 15 s as its standard
    goal_ms: int = 5_000
    purchase_ms: int = 15_000
    prompt_ms: int = 60_000  # heard of within a minute of its stated time; a later word may be that of a slow clock

    # Everflow: more than 30 % of conversions later than 24 h means click stuffing; Branch: click spam comes late
    late_conversions: int = 20
    late_permille: int = 300
    late_peer_permille: int = 150

    # others arrive and this creator's clicks don't: of 50 clicks 5 or fewer, where 6 of 10 do; by chance less than once
    # in 10^12 (binomial)
    measured_permille: int = 600
    peer_clicks: int = 100
    arrival_permille: int = 100
    arrival_clicks: int = 50

    # Branch: more than ten times the clicks for the same conversions. Where 20 of the peers' clicks were seen, and as
    # many are to be expected, two or fewer happen by chance on one day in 16,000 (binomial, 2 of 22)
    flood_clicks: int = 1_000
    flood_permille: int = 100
    flood_seen: int = 20

    # Adjust drops high-frequency clicks as hyper-engagement without a public number, so this one is ours: 20 in 5
    # minutes on one link, none of which arrives where 6 of 10 do. Colleagues behind one address may all block the
    # snippet; what keeps them out of it is that 20 of them would have to open one link within 5 minutes
    burst_clicks: int = 20

    # a post makes an hour five times the usual; an outlier is so and leads to a quarter of what peers' clicks lead to
    outlier_clicks: int = 200
    outlier_times: int = 5
    outlier_hours: int = 24
    outlier_permille: int = 250

    # one /24 or /48 that clicks everybody's links: our own number; it may be a campus or a company's proxy, and weighs
    # hardly anything
    prefix_clicks: int = 50
    prefix_links: int = 5
    prefix_creators: int = 3

    # a shop sells to 1 to 4 of 100 visitors, so fewer clicks than orders say that the code came another way: by word of
    # mouth, or by a site that collects codes. The sample is that of late conversions, five times that of an hour
    code_orders: int = 20
    code_times: int = 5

    def __post_init__(self) -> None:
        for name, value in self.values().items():
            lowest, highest = bounds_of(name)
            if not lowest <= value <= highest:
                raise ValueError(f"{name} can be {lowest} to {highest}, not {value}.")

    def values(self) -> dict[str, int]:
        """Return every threshold by its name."""
        return {threshold.name: getattr(self, threshold.name) for threshold in fields(self)}


# those that decide about clicks; the others are about orders, which no back-test judges anew
CLICK_THRESHOLDS = tuple(threshold.name for threshold in fields(Thresholds) if not threshold.name.startswith("code_"))


def bounds_of(name: str) -> tuple[int, int]:
    """Return the least and the greatest number that a threshold can be."""
    if name == "comparable_below":
        return 1, MOST
    if name.endswith("_ms"):
        return 0, 86_400_000
    return (0, 1_000) if name.endswith("_permille") else (1, 1_000_000)


@dataclass(frozen=True, slots=True)
class Rules:
    """What decides a verdict beside the policies: thresholds and points of each reason.

    `weights` replaces points of single reasons, and `flagged_from` the policies' own, to try what that would change.
    Raises ValueError for what can't be meant.
    """

    flagged_from: int | None = None
    thresholds: Thresholds = Thresholds()
    weights: Mapping[TrafficReason, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.flagged_from is not None and not 1 <= self.flagged_from <= MOST:
            raise ValueError(f"A click can be invalid from 1 to {MOST} points on, not from {self.flagged_from}.")
        for reason, points in self.weights.items():
            if not 0 <= points <= MOST:
                raise ValueError(f"{reason} can weigh 0 to {MOST} points, not {points}.")

    def without(self, reasons: Iterable[TrafficReason]) -> Rules:
        """Return the same rules, some reasons weighing nothing."""
        return replace(self, weights={**self.weights, **dict.fromkeys(reasons, 0)})

    def parameters(self) -> dict[str, Any]:
        """Return what the numbered statements bind; a weight stands in `reasons.py` alone."""
        return {
            **self.thresholds.values(),
            **self.points(),
            "recomputable": sorted(RECOMPUTABLE),
        }

    def other_thresholds(self) -> dict[str, int]:
        """Return the thresholds that are other ones than those of this version."""
        usual = Thresholds().values()
        return {name: value for name, value in self.thresholds.values().items() if value != usual[name]}

    def judged_by(self, policies: PolicyBook) -> PolicyBook:
        """Return the policies that judge under these rules."""
        return policies if self.flagged_from is None else policies.replaced(flagged_from=self.flagged_from)

    def points(self) -> dict[str, Any]:
        """Return what turns reasons into a score and a class."""
        return {
            "most": MOST,
            "reason_names": [reason.value for reason in REASONS],
            "reason_weights": [self.weights.get(reason, row.weight) for reason, row in REASONS.items()],
            "reason_classes": [row.traffic_class.value for row in REASONS.values()],
            "provisional": [reason.value for reason, row in REASONS.items() if row.is_provisional],
        }
