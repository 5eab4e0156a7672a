"""The published lists of robots' user agents, compiled: isbot's, crawler-user-agents' and CrawlerDetect's.

None is copied: isbot comes from npm at set-up, the other two are packages of their own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from importlib.metadata import version
from itertools import chain

from crawlerdetect.providers import crawlers as crawlerdetect
from crawleruseragents import CRAWLER_USER_AGENTS_DATA

from stackfluence.click.rules.patterns import Patterns
from stackfluence.lists import load
from stackfluence.vocabulary import TrafficReason

MEMORY = 32 << 20  # bytes: the automaton of 1,500 names doesn't start with less than 10 MB
_A_START = re.compile(r"\^[a-z]{3}(?!illa)")
_A_WORD = re.compile(r"(?!\^).*[a-z]{2}")
# crawler-user-agents' tags, first that an entry has; entries with none are declared bots
_KINDS = (
    ("ai-crawler", TrafficReason.ai_agent),
    ("social-preview", TrafficReason.link_preview),
    ("monitoring", TrafficReason.uptime_monitor),
    ("browser-automation", TrafficReason.headless_browser),
    ("http-library", TrafficReason.http_library),
)


def _kind(tags: Iterable[str]) -> TrafficReason:
    return next((kind for tag, kind in _KINDS if tag in tags), TrafficReason.declared_bot)


class Crawlers:
    """The names of crawler-user-agents, each with the kind of robot that its tags tell."""

    def __init__(self) -> None:
        patterns: dict[TrafficReason, list[str]] = {}
        for entry in CRAWLER_USER_AGENTS_DATA:
            patterns.setdefault(_kind(entry.get("tags", ())), []).append(entry["pattern"])
        self._any = Patterns(chain.from_iterable(patterns.values()), is_folded=False, memory=MEMORY)
        self._kinds = [(kind, Patterns(patterns.get(kind, ()), is_folded=False, memory=MEMORY)) for _, kind in _KINDS]

    def find(self, text: str) -> TrafficReason | None:
        """Return what the list says the text names, the most particular kind when several do; None for nothing."""
        if not self._any.fits(text):
            return None
        return next((kind for kind, patterns in self._kinds if patterns.fits(text)), TrafficReason.declared_bot)


_isbot, _builds = load("isbot"), load("chrome_builds")
# the patterns that look for a word; the others look at the shape, which `frames.py` knows more of
ISBOT_WORDS = Patterns((pattern for pattern in _isbot["patterns"] if _A_WORD.match(pattern)), is_folded=True)
# those that look for a word at the start; a browser's string, or a phone's, starts with its maker's, Yahoo's apps' too
ISBOT_STARTS = Patterns(
    (pattern for pattern in _isbot["patterns"] if _A_START.match(pattern) and pattern != "^yahoo"), is_folded=True
)
# CrawlerDetect's that are people's where a browser's frame fits: programs that show a link, toolbars, browsers and a
# library that one names, a phone
OF_PEOPLE = frozenset(
    (
        "Microsoft Outlook", "Outlook-Express", r"Word\/", "PeoplePal", "StumbleUpon", "Seznam", r"Photon\/",
        r"voyager\/", "Yandex(?!Search)", "libwww", "OPPO A33",
    )
)  # fmt: skip
_PARTS_OF_WORDS = "[a-z0-9"  # starts its one pattern of such parts, which phones and firms have too: Cubot, Caboto
CRAWLER_DETECT = Patterns(
    (name for name in crawlerdetect.data if name not in OF_PEOPLE and not name.startswith(_PARTS_OF_WORDS)),
    is_folded=True,
    memory=MEMORY,
)
CRAWLERS = Crawlers()
VERSIONS = {
    "isbot": str(_isbot["version"]),
    "crawler-user-agents": version("crawler-user-agents"),
    "crawlerdetect": version("crawlerdetect"),
    "ua-parser": version("ua-parser-builtins"),
    "chrome-builds": str(_builds["version"]),
}
# major version of Chrome → lowest and highest build number ever published for it
CHROME_BUILDS: dict[int, tuple[int, int]] = {
    int(major): (int(lowest), int(highest)) for major, (lowest, highest) in _builds["builds"].items()
}
