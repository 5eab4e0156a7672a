"""The oracle of clicks: what followed each, what speaks against it, and whether it led to a visit that may be billed.

Comparisons with peers need samples that the generated histories never reach, so they aren't here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from stackfluence.clock import parse_rfc3339
from stackfluence.facts.policies import PolicyPeriod
from stackfluence.reasons import REASONS
from tests.oracle_events import DAY_MS, OBJECTS, Event, Input, Judged, judge, policy_at

FIRST_ORDER_MS = {"purchase": 15_000, "signup": 5_000, "lead": 5_000}
PROMPT_MS = 60_000
IDLE_MS = 10_000


@dataclass(frozen=True)
class Visit:
    """What pages told of one session of a click."""

    session_id: str
    events: tuple[Event, ...]

    @property
    def pages(self) -> int:
        """How many were seen."""
        return sum(event.event_type == "pageview" for event in self.events)


class Clicks:
    """Every stored click of an input, judged."""

    def __init__(self, given: Input) -> None:
        self.given = given
        self.clicks = given.clicks
        self.followed: dict[str, list[Event]] = {click: [] for click in self.clicks}
        for event in given.of_type("session", "pageview", "conversion"):
            click = self.clicks.get(event.click)
            if click is not None and abs(event.at_ms - click.at_ms) <= DAY_MS and event.is_test == click.is_test:
                self.followed[event.click].append(event)

    def pages(self, click: str) -> list[Event]:
        """Return what pages told within 24 hours, either way: clocks are wrong."""
        return [event for event in self.followed[click] if event.event_type != "conversion"]

    def orders(self, click: str) -> list[Event]:
        """Return the conversions within 24 hours."""
        return [event for event in self.followed[click] if event.event_type == "conversion"]

    def believed(self, click: str) -> list[Event]:
        """Return what pages told, as those say whom the policy believes about visits."""
        return [event for event in self.pages(click) if event.tier in self.policy(click).session_tiers]

    def visits(self, click: str) -> list[Visit]:
        """Return the sessions of a click that those told of whom the policy believes."""
        sessions: dict[str, list[Event]] = {}
        for event in self.believed(click):
            if event.get("session_id"):
                sessions.setdefault(event.get("session_id"), []).append(event)
        return [Visit(session_id, tuple(events)) for session_id, events in sessions.items()]

    def policy(self, click: str) -> PolicyPeriod:
        """Return the policy at the click."""
        return policy_at(self.given.terms, self.clicks[click].at_ms)

    def stamped(self, click: str) -> set[str]:
        """Return what its edge found."""
        return set(self.clicks[click].get("bot_reasons", ()))

    def lifted(self, click: str) -> set[str]:
        """Return the provisional reasons that a visit disproved."""
        provisional = {reason.value for reason, row in REASONS.items() if row.is_provisional}
        return self.stamped(click) & provisional if self.pages(click) else set()

    def said_by_pages(self, click: str) -> set[str]:
        """Return what the visit itself says against the click."""
        pages = self.pages(click)
        first = min(pages, key=lambda event: (event.at_ms, event.get("session_id")), default=None)
        of_first = [event for event in pages if first and event.get("session_id") == first.get("session_id")]
        found = {"webdriver"} if any("webdriver" in event.get("bot_reasons", ()) for event in of_first) else set()
        if self.engaged_ms(click) > IDLE_MS and all(
            "no_interaction" in event.get("bot_reasons", ()) for event in pages
        ):
            found.add("no_interaction")
        return found

    def too_fast_ms(self, click: str) -> int | None:
        """Return after what time the first order came that nobody can have placed so soon."""
        at_ms = self.clicks[click].at_ms
        after = [
            order.at_ms - at_ms
            for order in self.orders(click)
            if not order.get("is_renewal", False)
            and order.received_ms - order.at_ms <= PROMPT_MS
            and 0 <= order.at_ms - at_ms < FIRST_ORDER_MS.get(order.get("conversion_type"), 0)
        ]
        return min(after, default=None)

    def later(self, click: str) -> set[str]:
        """Return what was found after the click."""
        return self.said_by_pages(click) | ({"conversion_too_fast"} if self.too_fast_ms(click) is not None else set())

    def engaged_ms(self, click: str) -> int:
        """Return the longest time that a page told of."""
        return max((event.get("engaged_ms", 0) for event in self.pages(click)), default=0)

    def judged(self, click: str) -> Judged:
        """Return what everything against the click comes to."""
        return judge((self.stamped(click) | self.later(click)) - self.lifted(click), self.policy(click))

    def stamp_judged(self, click: str) -> Judged:
        """Return what the edge's stamp alone comes to, for a click that isn't derived."""
        return judge(self.stamped(click), self.policy(click))

    def counts_for_repetition(self, click: str) -> bool:
        """Whether stamp and its own pages leave the click unflagged."""
        reasons = (self.stamped(click) | self.said_by_pages(click)) - self.lifted(click)
        return not judge(reasons, self.policy(click)).is_flagged

    def is_engaged(self, click: str, visit: Visit, policy: PolicyPeriod, *, is_boasting: bool = False) -> bool:
        """Whether a visit has pages or time enough; `is_boasting` believes impossible times, too."""
        times = [
            event.get("engaged_ms", 0)
            for event in visit.events
            if is_boasting or event.tier != "browser" or event.get("engaged_ms", 0) <= self.since(click, event)
        ]
        return visit.pages >= policy.min_pageviews or max(times, default=0) >= policy.min_engaged_ms

    def since(self, click: str, event: Event) -> int:
        """Return how much time had passed since the click when the row that counts was told."""
        return parse_rfc3339(event.leaf["received_at"]) - self.clicks[click].at_ms

    def earlier(self, click: str, session_id: str) -> list[str]:
        """Return the clicks before, within the policy's hours, that the same session came through."""
        of, repeat_ms = self.clicks[click], self.policy(click).repeat_ms
        return [
            other
            for other, row in self.clicks.items()
            if of.at_ms - repeat_ms < row.at_ms
            and (row.at_ms, other) < (of.at_ms, click)
            and row.is_test == of.is_test
            and any(visit.session_id == session_id for visit in self.visits(other))
            and self.counts_for_repetition(other)
        ]

    def is_repeated(self, click: str, visit: Visit) -> bool:
        """Whether an earlier click of creator and campaign led to an engaged visit of the same session."""
        return any(
            self.is_engaged(other, seen, self.policy(other))
            for other in self.earlier(click, visit.session_id)
            if self.same(click, other, "creator_id", "campaign_id")
            for seen in self.visits(other)
            if seen.session_id == visit.session_id
        )

    def same(self, click: str, other: str, *names: str) -> bool:
        """Whether two clicks agree in some fields."""
        return all(self.clicks[click].get(name) == self.clicks[other].get(name) for name in names)

    def is_duplicate(self, click: str) -> bool:
        """Whether a session of the click had come through the same link before."""
        return any(
            self.same(click, other, "link_id", "creator_id", "campaign_id")
            for visit in self.visits(click)
            for other in self.earlier(click, visit.session_id)
        )

    def unqualified_reason(self, click: str) -> str:
        """Return why the click led to no visit that may be billed, the first reason that holds; empty if it did."""
        if self.judged(click).invalid_reason:
            return "invalid_traffic"
        if not self.pages(click):
            return "no_consent" if self.clicks[click].get("consent") in OBJECTS else "not_measured"
        if not self.believed(click):
            return "untrusted_visit"
        reasons = [self._unqualified_visit(click, visit, self.policy(click)) for visit in self.visits(click)]
        best_first = ("", "repeated_visit", "implausible_engagement", "not_engaged")
        return min(reasons, key=best_first.index, default="no_consent")

    def _unqualified_visit(self, click: str, visit: Visit, policy: PolicyPeriod) -> str:
        if self.is_engaged(click, visit, policy):
            return "repeated_visit" if self.is_repeated(click, visit) else ""
        return "implausible_engagement" if self.is_engaged(click, visit, policy, is_boasting=True) else "not_engaged"

    def told(self, click: str) -> dict[str, Any]:
        """Return a click's verdict in the columns of `click_verdicts`."""
        judged, fast_ms = self.judged(click), self.too_fast_ms(click)
        pages = self.pages(click)
        resolved = any(event.event_type == "pageview" or event.get("engaged_ms", 0) for event in pages)
        return {
            "arrival_stage": "resolved" if resolved else "received" if pages else "measured",
            "sessions": len({event.get("session_id") for event in pages} - {""}) or min(len(pages), 1),
            "pageviews": sum(event.event_type == "pageview" for event in pages),
            "engaged_ms": self.engaged_ms(click),
            "conversions": len(self.orders(click)),
            "bot_reasons": sorted(self.stamped(click)),
            "later_reasons": sorted(self.later(click)),
            "lifted_reasons": sorted(self.lifted(click)),
            "evidence": {} if fast_ms is None else {"conversion_after_ms": fast_ms},
            "score": judged.score,
            "traffic_class": judged.traffic_class,
            "invalid_reason": judged.invalid_reason,
            "policy_version": self.policy(click).version,
            "unqualified_reason": self.unqualified_reason(click),
            "is_duplicate_click": self.is_duplicate(click),
        }
