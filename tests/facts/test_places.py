"""What clicks are compared by, worked out again in plain Python for campaigns made by chance."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace

import pytest

from stackfluence.facts.thresholds import Rules, Thresholds
from tests.facts.days import Days
from tests.facts.histories import HOUR, MINUTE, SECOND

# small, so that campaigns of a few hundred clicks reach them
THRESHOLDS = replace(
    Thresholds(), arrival_clicks=5, peer_clicks=32, arrival_permille=300, measured_permille=400,
    flood_clicks=5, flood_seen=3, flood_permille=400,
)  # fmt: skip
ARRIVING = {"emma": 0.1, "lena": 0.8, "mia": 0.6}
DOWN = ("//brand.example/sale", 3)  # a page that tells of nobody in one hour


@dataclass(frozen=True)
class Click:
    """One click, and whether a session or an order came of it."""

    campaign: str
    creator: str
    page: str
    country: str
    hour: int
    has_arrived: bool
    has_bought: bool
    is_comparable: bool

    @property
    def is_seen(self) -> bool:
        """Whether anything came of it."""
        return self.has_arrived or self.has_bought


def clicks_by_chance(chance: random.Random, days: Days) -> dict[str, Click]:
    """Tell some hundred clicks of three creators in two campaigns, and return them by their ids."""
    told = {}
    for number in range(900):
        creator, page = chance.choice(list(ARRIVING)), chance.choice(["", DOWN[0], "//brand.example/new"])
        hour = chance.choice([1, 2, 3, 9])
        arrives = chance.random() < ARRIVING[creator] and (page, hour) != DOWN
        click = Click(
            chance.choice(["spring", "autumn"]), creator, page, chance.choice(["", "DE", "US"]), hour, arrives,
            not arrives and chance.random() < 0.05, chance.random() < 0.95,
        )  # fmt: skip
        at_ms, link_id = hour * HOUR + number * SECOND, f"lnk_{creator}"
        click_id = days.click(
            at_ms, link_id=link_id, creator_id=f"crt_{creator}", campaign_id=f"cmp_{click.campaign}", page_path=page,
            country=click.country, consent="unknown" if click.is_comparable else "denied",
        )  # fmt: skip
        if click.has_arrived:
            days.after(click_id, "session", at_ms + 3 * SECOND, link_id=link_id)
        if click.has_bought:
            days.after(click_id, "conversion", at_ms + 10 * MINUTE, link_id=link_id, trust_tier="server")
        told[click_id] = click
    return told


class Comparison:
    """What each creator's clicks of a campaign led to, and what they would have if they did as others' there."""

    def __init__(self, clicks: Mapping[str, Click]) -> None:
        comparable = [click for click in clicks.values() if click.is_comparable]
        self.by_page: dict[tuple[str, str], int] = defaultdict(int)
        self.by_hour: dict[tuple[str, str, int], int] = defaultdict(int)
        for click in comparable:
            self.by_page[click.campaign, click.page] += click.has_arrived
            self.by_hour[click.campaign, click.page, click.hour] += click.has_arrived
        self.places: set[tuple[str, ...]] = set()
        self.sums: dict[tuple[str, str], dict[str, int]] = defaultdict(lambda: defaultdict(int))
        inside = [click for click in comparable if self.is_open(click)]
        for place in {self.place(click) for click in inside}:
            campaign, creator, page, country = place
            there = [each for each in inside if (each.campaign, each.page, each.country) == (campaign, page, country)]
            own = [each for each in there if each.creator == creator]
            others = [each for each in there if each.creator != creator]
            if len(others) >= THRESHOLDS.peer_clicks:
                self.places.add(place)
                self._add(self.sums[campaign, creator], own, others)

    def _add(self, sums: dict[str, int], own: list[Click], others: list[Click]) -> None:
        sums["creator_clicks"] += len(own)
        sums["creator_arrived"] += sum(each.has_arrived for each in own)
        sums["creator_seen"] += sum(each.is_seen for each in own)
        sums["peer_clicks"] += len(others)
        sums["peer_seen"] += sum(each.is_seen for each in others)
        sums["arrived_1000"] += len(own) * sum(each.has_arrived for each in others) * 1000 // len(others)
        if sum(each.is_seen for each in others) >= THRESHOLDS.flood_seen:
            sums["seen_1000"] += len(own) * sum(each.is_seen for each in others) * 1000 // len(others)

    def place(self, click: Click) -> tuple[str, ...]:
        """Return what a click's place is, with whose it is."""
        return click.campaign, click.creator, click.page, click.country

    def is_open(self, click: Click) -> bool:
        """Whether the page told of visits in the hour, or of none all day."""
        of_day = self.by_page[click.campaign, click.page]
        return not of_day or self.by_hour[click.campaign, click.page, click.hour] > 0

    def found(self, click: Click) -> set[str]:
        """Return what the comparison says against a click."""
        if click.is_seen or not click.is_comparable or not self.is_open(click) or self.place(click) not in self.places:
            return set()
        sums, found = self.sums[click.campaign, click.creator], set()
        clicks = sums["creator_clicks"]
        if clicks >= 5 and sums["arrived_1000"] >= 400 * clicks:
            found |= {"no_session"} if sums["creator_arrived"] * 1000 <= 300 * clicks else set()
        if clicks >= 5 and sums["seen_1000"] >= 3_000:
            found |= {"click_flooding"} if sums["creator_seen"] * 1_000_000 <= 400 * sums["seen_1000"] else set()
        return found


@pytest.mark.parametrize("seed", range(6))
def test_like_is_compared_with_like(seed: int, days: Days) -> None:
    clicks = clicks_by_chance(random.Random(seed), days)
    days.derive(rules=Rules(thresholds=THRESHOLDS))
    verdicts, comparison = days.verdicts(), Comparison(clicks)
    compared = ("creator_clicks", "creator_seen", "peer_clicks", "peer_seen")
    condemned = 0
    for click_id, click in clicks.items():
        expected = comparison.found(click)
        assert set(verdicts[click_id]["later_reasons"]) == expected, click
        if expected:
            condemned += 1
            sums = comparison.sums[click.campaign, click.creator]
            evidence = {name: sums[name] for name in compared} | {"expected_seen": sums["seen_1000"] // 1000}
            assert dict(verdicts[click_id]["evidence"]) == evidence
    assert 0 < condemned < len(clicks)
