"""Header sets that browsers send, and what the rules find in one.

Those of Chromium 156 and Firefox 153 are as these sent them to a server on loopback, with another version in
Chromium's; those of Safari and of Google Chrome follow WebKit's and Chromium's source, named in `rules/headers.py` and
`rules/hints.py`.
"""

from __future__ import annotations

from stackfluence.click import bot_score
from stackfluence.click.rules import arrival, headers, hints
from stackfluence.click.signals import Rule, Signals, introduce, read_fields
from stackfluence.vocabulary import TrafficReason as R

Headers = list[tuple[str, str]]
ALL: tuple[Rule, ...] = headers.RULES + hints.RULES + arrival.RULES
PAGE = "text/html,application/xhtml+xml,application/xml;q=0.9,"
CHROMIUM_ACCEPT = PAGE + "image/avif,image/webp,image/apng,*/*;q=0.8,application/signed-exchange;v=b3;q=0.7"
WINDOWS = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36"
)
LINUX = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36"
ANDROID = (
    "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Mobile Safari/537.36"
)
IPHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/17.5 Mobile/15E148 Safari/604.1"
)
CHROME_IOS = IPHONE.replace("Version/17.5", "CriOS/131.0.6778.73")
OLD_IPHONE = IPHONE.replace("17_5", "16_3").replace("17.5", "16.3")
FIREFOX_153 = "Mozilla/5.0 (X11; Linux x86_64; rv:153.0) Gecko/20100101 Firefox/153.0"
WEB_VIEW = (
    "Mozilla/5.0 (Linux; Android 14; Pixel 7 Build/UQ1A; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 "
    "Chrome/131.0.6778.39 Mobile Safari/537.36"
)

CHROME: Headers = [
    ("Connection", "keep-alive"),
    ("sec-ch-ua", '"Google Chrome";v="131", "Chromium";v="131", "Not_A Brand";v="24"'),
    ("sec-ch-ua-mobile", "?0"),
    ("sec-ch-ua-platform", '"Windows"'),
    ("Upgrade-Insecure-Requests", "1"),
    ("User-Agent", WINDOWS),
    ("Accept", CHROMIUM_ACCEPT),
    ("Sec-Fetch-Site", "cross-site"),
    ("Sec-Fetch-Mode", "navigate"),
    ("Sec-Fetch-User", "?1"),
    ("Sec-Fetch-Dest", "document"),
    ("Accept-Encoding", "gzip, deflate, br, zstd"),
    ("Accept-Language", "de-DE,de;q=0.9,en;q=0.8"),
]
FIREFOX: Headers = [
    ("User-Agent", FIREFOX_153),
    ("Accept", PAGE + "*/*;q=0.8"),
    ("Accept-Language", "en-US,en;q=0.9"),
    ("Accept-Encoding", "gzip, deflate, br, zstd"),
    ("Connection", "keep-alive"),
    ("Upgrade-Insecure-Requests", "1"),
    ("Sec-Fetch-Dest", "document"),
    ("Sec-Fetch-Mode", "navigate"),
    ("Sec-Fetch-Site", "none"),
    ("Sec-Fetch-User", "?1"),
    ("Priority", "u=0, i"),
]
SAFARI: Headers = [
    ("Sec-Fetch-Dest", "document"),
    ("User-Agent", IPHONE),
    ("Accept", PAGE + "*/*;q=0.8"),
    ("Sec-Fetch-Site", "none"),
    ("Sec-Fetch-Mode", "navigate"),
    ("Accept-Language", "fr-FR,fr;q=0.9"),
    ("Accept-Encoding", "gzip, deflate, br"),
]


def changed(base: Headers, **values: str | None) -> Headers:
    """Return headers with some replaced where they stand, taken out (None), or, when they are new, put at the end."""
    wanted = {name.replace("_", "-").lower(): (name.replace("_", "-"), value) for name, value in values.items()}
    found = [(name, wanted.pop(name.lower(), (name, value))[1]) for name, value in base]
    return [(name, value) for name, value in [*found, *wanted.values()] if value is not None]


def as_android(base: Headers) -> Headers:
    return changed(base, user_agent=ANDROID, sec_ch_ua_platform='"Android"', sec_ch_ua_mobile="?1")


def found_by_all(sent: Headers, **more: object) -> set[R]:
    """Return what the rules find when each of them is asked, whatever browser it is about."""
    in_app_browser = introduce(read_fields(sent).get("user-agent", "")).in_app_browser
    by_user_agent = bot_score.read(sent, has_headers=False).reasons
    return {*by_user_agent, *found(sent, in_app_browser=in_app_browser, **more)}


def found(sent: Headers, **more: object) -> set[R]:
    signals = Signals(sent, **more)  # type: ignore[arg-type]
    return {reason for rule in ALL if (reason := rule(signals)) is not None}
