"""Labelled user agents and header sets, as they lie in a directory beside the repository; none of it is copied here."""

from __future__ import annotations

import gzip
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

DIRECTORY = Path(__file__).resolve().parents[2] / "shared" / "data" / "bots" / "train"
VARIABLE = "SF_BENCH_BOTS"
BOTS = ("bots", "bots_independent", "previews", "spoofed_wild", "attacks", "bot_tokens")
HUMANS = ("humans", "humans_modern", "inapp", "inapp_other")

# What each app writes into its user agent, by itself and not by our recogniser: first that fits.
APP_MARKERS: Mapping[str, re.Pattern[str]] = {
    app: re.compile(pattern)
    for app, pattern in (
        ("instagram", r"Instagram"),
        ("messenger", r"FB(?:AN|_IAB)/(?:Messenger|Orca)"),
        ("threads", r"Barcelona"),
        ("facebook", r"FBAN|FBAV|FB_IAB"),
        ("tiktok", r"musical_ly|BytedanceWebview|TikTok|trill_"),
        ("snapchat", r"Snapchat"),
        ("pinterest", r"Pinterest"),
        ("linkedin", r"LinkedInApp"),
        ("twitter", r"Twitter"),
        ("wechat", r"MicroMessenger"),
        ("line", r"\bLine/"),
        ("kakaotalk", r"KAKAOTALK"),
        ("google", r"\bGSA/"),
        ("telegram", r"Telegram"),
        ("reddit", r"Reddit"),
        ("alipay", r"AliApp|AlipayClient"),
        ("qq", r"\bQQ/"),
    )
}


class HeaderSet(NamedTuple):
    """One labelled request. `is_ambiguous`: the same bytes are labelled both ways; `is_partial`: only some headers."""

    is_bot: bool
    kind: str
    source: str
    is_https: bool
    headers: list[tuple[str, str]]
    is_ambiguous: bool
    is_partial: bool

    @property
    def user_agent(self) -> str:
        """The user agent it sends, empty for none."""
        return next((value for name, value in self.headers if name.lower() == "user-agent"), "")


class Labelled(NamedTuple):
    """One user agent with its label (bot, human, spoof), its kind and its share of a site's real visits, mostly 0."""

    text: str
    label: str
    kind: str
    weight: float


class Missing(Exception):
    """There are no corpora at that place."""


def find(argument: str = "") -> Path:
    """Return the directory of the corpora: the argument's, that of SF_BENCH_BOTS, or the one beside the repository.

    Raises Missing with a sentence that says where it looked.
    """
    directory = Path(argument or os.environ.get(VARIABLE) or DIRECTORY)
    lacking = [name for name in (*BOTS, *HUMANS) if not (directory / f"{name}.txt.gz").is_file()]
    if lacking:
        raise Missing(
            f"No labelled corpora in {directory} (no {lacking[0]}.txt.gz): name their directory as an argument or in "
            f"{VARIABLE}."
        )
    return directory


def texts(directory: Path, name: str) -> list[str]:
    """Return the user agents of a corpus."""
    with gzip.open(directory / f"{name}.txt.gz", "rt", encoding="utf-8", newline="\n") as lines:
        return [line.rstrip("\n") for line in lines]


def labelled(directory: Path) -> list[Labelled]:
    """Return every user agent with its label; none when the file isn't there."""
    return [
        Labelled(row["ua"], row["label"], row["kind"], float(row.get("traffic_weight") or 0))
        for row in _rows(directory / "ua_labels.jsonl.gz")
    ]


def header_sets(directory: Path) -> list[HeaderSet]:
    """Return every labelled header set, header names and order as they were sent; none when the file isn't there."""
    return [
        HeaderSet(
            row["label"] == "bot",
            row["kind"],
            row["source"].removeprefix("captured on loopback: "),
            row["transport"] == "https",
            [(name, value) for name, value in row["headers"]],
            bool(row.get("ambiguous")),
            bool(row.get("partial")),
        )
        for row in _rows(directory / "headers.jsonl.gz")
    ]


def app_of(user_agent: str) -> str:
    """Return the app that a user agent's own marker names, empty for none that we know."""
    return next((app for app, marker in APP_MARKERS.items() if marker.search(user_agent)), "")


def _rows(path: Path) -> list[dict[str, Any]]:
    if not path.is_file():
        return []
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]
