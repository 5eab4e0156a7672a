"""Programs on Electron have a person in front of them, whatever they are for; those that test pages don't."""

from __future__ import annotations

import pytest

from stackfluence.click import bot_score
from stackfluence.vocabulary import TrafficReason as R

WINDOWS = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "


def found(name: str, electron: str = "Electron/37.0.0") -> tuple[R, ...]:
    agent = f"{WINDOWS}{name} Chrome/138.0.0.0 {electron} Safari/537.36".replace("  ", " ")
    return bot_score.read([("User-Agent", agent)], has_headers=False).reasons


@pytest.mark.parametrize(
    "name",
    ["", "Feedly/1.0", "RSSReader/2.1", "Podcasts/3.0", "BrandResearch/1.2", "SEO-Desk/4.0", "LinkChecker/1.0"],
)
def test_a_person_s_program_may_be_called_anything(name: str) -> None:
    assert found(name) == ()


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("Cypress/13.6.0", R.headless_browser),
        ("Playwright/1.50.0", R.headless_browser),
        ("brandbot/1.4", R.declared_bot),
        ("SiteCrawler/2.0", R.declared_bot),
        ("FeedFetcher/1.0", R.declared_bot),
        ("PageMonitor/1.0", R.uptime_monitor),
    ],
)
def test_a_robot_on_electron_is_one(name: str, reason: R) -> None:
    assert reason in found(name)


def test_the_same_word_in_a_browser_is_a_robot_s() -> None:
    assert R.listed_pattern in found("Feedly/1.0", electron="")
