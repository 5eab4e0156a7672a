"""A history in the making, by chance: clicks, what is told again, nasty moments, policies."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

from stackfluence.facts import PolicyPeriod
from stackfluence.reasons import score_of
from stackfluence.vocabulary import AttributionModel, TrafficReason
from tests.facts.days import DAY_START_MS
from tests.facts.histories import DAY, HOUR, MINUTE, SECOND, Telling

NOON = 12 * HOUR
TIERS = ("browser", "connector", "server")
STAMPS = (
    (), (), (), (), ("prefetch",), ("prerender", "hosting_network"), ("declared_bot",), ("no_accept_language",),
    ("listed_pattern", "unlike_brands"), ("self_referred", "vpn_network"), ("hosting_network", "missing_headers"),
    ("unlike_header_order", "missing_headers", "hosting_network", "vpn_network"), ("prefetch", "contradicting_hints"),
    ("possible_duplicate", "link_velocity"), ("headless_browser", "impossible_user_agent"), ("replayed_click_id",),
)  # fmt: skip
# Facts are cut in UTC days. Midnight of an accounting time zone, also of a day that its clocks change on, is a moment
# like any other, at which a policy may begin: Berlin's is at 23:00 in winter, at 22:00 in summer.
MIDNIGHTS = (22 * HOUR, 23 * HOUR)
BOUNDARIES = (
    0, 1, 5 * MINUTE, NOON - 1, NOON, NOON + 1, 23 * HOUR + 50 * MINUTE, DAY - 1, *MIDNIGHTS, MIDNIGHTS[1] - 1,
)  # fmt: skip
STARTS = (-6 * HOUR, MIDNIGHTS[0] - DAY, MIDNIGHTS[1] - DAY, 0, NOON)


def policy_periods(chance: random.Random) -> list[PolicyPeriod]:
    """Return up to three policies, which change in every field at noon or some midnight."""
    starts = sorted(DAY_START_MS + start for start in chance.sample(STARTS, chance.randrange(3)))
    return [_policy(chance, at_ms, version) for version, at_ms in enumerate([0, *starts], start=1)]


def _policy(chance: random.Random, from_ms: int, version: int) -> PolicyPeriod:
    if chance.random() < 0.25:
        return PolicyPeriod(from_ms, version)
    return PolicyPeriod(
        from_ms,
        version,
        chance.choice([50, 50, 50, 20, 21, 60, 61, 100]),
        tuple(
            chance.choice(
                [(), (), ("no_accept_language",), ("webdriver", "prefetch"), ("hosting_network", "no_interaction")]
            )
        ),
        tuple(chance.choice([("givt", "sivt"), ("givt", "sivt"), ("givt",), ("sivt",), ()])),
        chance.choice([10, 10, 0, 5, 60]) * SECOND,
        chance.choice([2, 2, 1, 3, 100]),
        chance.choice([24, 24, 0, 1, 3]) * HOUR,
        tuple(chance.choice([TIERS, TIERS, ("server",), ("connector", "server"), ("browser",)])),
        tuple(chance.choice([("server", "connector"), ("server", "connector"), ("server",), ("connector",)])),
        tuple(chance.choice([TIERS, TIERS, ("server", "connector"), ("server",), ("browser",)])),
        chance.choice(list(AttributionModel)).value,
        chance.choice([30, 30, 1, 7, 29]) * DAY,
    )


@dataclass
class Draft:
    """A history in the making."""

    chance: random.Random
    tellings: list[Telling] = field(default_factory=list)
    clicks: dict[str, int] = field(default_factory=dict)  # name, time
    events: int = 0
    receipts: set[int] = field(default_factory=set)

    def one_of(self, *choices: Any) -> Any:
        """Choose evenly."""
        return self.chance.choice(choices)

    def often(self, share: float) -> bool:
        """Whether it happens this time."""
        return self.chance.random() < share

    def name(self) -> str:
        """Return the name of a new event."""
        self.events += 1
        return f"e{self.events}"

    def add(self, event_type: str, at_ms: int, later_ms: int = 0, **fields: Any) -> Telling:
        """Tell an event; no two have the same time of receipt, because which came first would be nobody's guess."""
        while at_ms + later_ms in self.receipts:
            later_ms += 1
        self.receipts.add(at_ms + later_ms)
        telling = Telling(event_type, at_ms, later_ms, {"event_id": self.name(), **fields})
        self.tellings.append(telling)
        return telling

    def again(self, telling: Telling, at_ms: int, later_ms: int, **fields: Any) -> None:
        """Tell another row of the same event."""
        self.add(telling.event_type, at_ms, later_ms, **{**telling.fields, **fields})

    def moment(self) -> int:
        """Return a time of the day or of the evening before, often a nasty one."""
        if self.often(0.4):
            return self.chance.choice(BOUNDARIES) - self.chance.choice([0, 0, DAY])
        return self.chance.randrange(-8 * HOUR, DAY)

    def click(self, at_ms: int | None = None, *, is_alone: bool = True, **fields: Any) -> str:
        """Tell a click, at a time of its own if `is_alone`: an order's last click of two at once is nobody's guess."""
        at_ms = self.moment() if at_ms is None else at_ms
        while is_alone and at_ms in self.clicks.values():
            at_ms += 1
        creator, stamp = self.one_of("emma", "emma", "lena", "mia"), self.one_of(*STAMPS)
        place = self.one_of("", "", "_story")
        told = {
            "link_id": f"lnk_{creator}{place}~",
            "creator_id": f"crt_{creator}~",
            "campaign_id": f"cmp_{self.one_of('spring', 'spring', 'autumn')}~",
            "bot_reasons": list(stamp),
            "bot_score": score_of(map(TrafficReason, stamp)),
            "consent": self.one_of("unknown", "unknown", "unknown", "granted", "denied", "opted_out"),
            "is_test": self.often(0.1),
        } | fields
        telling = self.add("click", at_ms, trust_tier="server", **told)
        name = str(telling.fields["event_id"])
        telling.fields["click_id"] = name
        self.clicks[name] = at_ms
        return name

    def retell(self, telling: Telling) -> None:
        """Tell an event in another row: by somebody else, at another time, of another click, without it."""
        change: dict[str, Any] = {"trust_tier": self.one_of(*TIERS)}
        if self.often(0.3) and self.clicks:
            change["click_id"], change["click_id_status"] = self.one_of(*self.clicks), "valid"
        if self.often(0.2):
            change["click_id"], change["click_id_status"] = "", "missing"
        if self.often(0.2):
            change["is_test"] = not telling.fields.get("is_test", False)
        if change["trust_tier"] == "browser":
            change["payment_id"], change["revised_at"] = "", None
        at_ms = telling.at_ms + self.one_of(0, 0, SECOND, -SECOND, 3 * HOUR, -20 * HOUR)
        if at_ms == telling.at_ms and change["trust_tier"] == telling.fields["trust_tier"]:
            change = {}  # a retry: which of two that differ in nothing but what they say would count is nobody's guess
        self.again(telling, at_ms, telling.later_ms + self.one_of(0, MINUTE, DAY, 30 * DAY), **change)
