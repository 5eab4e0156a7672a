"""What the traffic sent and was answered, and whether the store agrees."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Self

from stackfluence.demo.judged import REMEMBERED
from stackfluence.vocabulary import EventType, RedirectOutcome

QUARANTINED = "quarantined"
KINDS = (*(kind.value for kind in EventType), QUARANTINED)
MAX_SURPRISES = 100


@dataclass
class Sent:
    """Counts of what was sent, by how it was answered.

    redirects     requests for links by RedirectOutcome, as the answer shows it
    events        distinct events answered 202, by EventType: each is stored once, however often it was sent
    repeats       further copies of those, by EventType: each is one more line in the journal
    quarantined   events answered 202 and quarantined, by QuarantineReason
    refused       event requests answered 4xx, by status: nothing is stored of them
    unanswered    by EventType, what got no answer, a 503 or an unrecorded click ID: stored or not, nobody can say
    resent        attempts after such an answer, of events with an idempotency key
    money         integer cents of the distinct events by currency and what they are, as `revenue_of` names them
    surprises     answers that the sender did not expect, the first hundred
    clicked       kind of visitor by event_id of the last clicks
    """

    visits: int = 0
    requests: int = 0
    preflights: int = 0
    purchases: int = 0
    resent: int = 0
    redirects: Counter[str] = field(default_factory=Counter)
    events: Counter[str] = field(default_factory=Counter)
    repeats: Counter[str] = field(default_factory=Counter)
    quarantined: Counter[str] = field(default_factory=Counter)
    refused: Counter[int] = field(default_factory=Counter)
    unanswered: Counter[str] = field(default_factory=Counter)
    money: Counter[str] = field(default_factory=Counter)
    surprises: list[str] = field(default_factory=list)
    clicked: dict[str, str] = field(default_factory=dict, repr=False, compare=False)

    @property
    def clicks(self) -> int:
        """Clicks answered with a recorded click ID."""
        return self.redirects[RedirectOutcome.recorded]

    def expected(self) -> dict[str, int]:
        """Return how many distinct events of each of KINDS must be stored, and how many cents of each `money`."""
        counts = dict.fromkeys(KINDS, 0) | dict(self.events)
        counts[EventType.click.value] = self.clicks
        counts[QUARANTINED] = self.quarantined.total()
        return counts | dict(self.money)

    def lines(self) -> int:
        """Return how many lines the journals have of this traffic, when nothing was left unanswered."""
        return self.clicks + self.events.total() + self.repeats.total() + self.quarantined.total()

    def copy(self) -> Self:
        """Return the counts as they are now."""
        return deepcopy(self)

    def remember(self, event_id: str, kind: str) -> None:
        """Keep who clicked, to ask later how they were judged."""
        self.clicked[event_id] = kind
        if len(self.clicked) > REMEMBERED:
            del self.clicked[next(iter(self.clicked))]

    def surprise(self, text: str) -> None:
        """Keep an answer that was not expected."""
        if len(self.surprises) < MAX_SURPRISES:
            self.surprises.append(text)


def revenue_of(currency: str) -> str:
    """Return the name of a currency's revenue among the counts, in integer cents."""
    return f"{EventType.conversion} {currency} cents"


def refunded_of(currency: str) -> str:
    """Return the name of a currency's refunds among the counts, in integer cents."""
    return f"{EventType.refund} {currency} cents"


def compare(sent: Sent, stored: Mapping[str, int]) -> list[str]:
    """Return how the stored counts differ from those of `Sent.expected`, one line each; none when they agree.

    What was left unanswered may be stored or not.
    """
    return [*missing(sent, stored), *surplus(sent, stored)]


def missing(sent: Sent, stored: Mapping[str, int]) -> list[str]:
    """Return a line for each kind of which less is stored than was answered."""
    return [
        f"{kind}: {count:,} sent, {stored.get(kind, 0):,} stored"
        for kind, count in sent.expected().items()
        if stored.get(kind, 0) < count
    ]


def surplus(sent: Sent, stored: Mapping[str, int]) -> list[str]:
    """Return a line for each kind of which more is stored than can have been sent."""
    expected = sent.expected()
    lines = []
    for kind in expected | dict(stored):
        count, unanswered = expected.get(kind, 0), sent.unanswered[kind.partition(" ")[0]]
        is_money = " " in kind  # of an event without an answer: any amount
        if stored.get(kind, 0) > count + unanswered and not (is_money and unanswered):
            lines.append(f"{kind}: {count:,} sent and {unanswered:,} unanswered, {stored.get(kind, 0):,} stored")
    return lines
