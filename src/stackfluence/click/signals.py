"""What a request says of itself, read once, as the rules of `rules/` look at it."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

from stackfluence.vocabulary import TrafficReason

Rule = Callable[["Signals"], TrafficReason | None]

_MAX_READ = 1_000  # characters of a user agent; what is longer than the longest of apps is read no further
_CHROME = re.compile(r"\b(?:Chrome|CriOS)/(\d{1,4})((?:\.\d{1,6}){0,3})")
_FIREFOX = re.compile(r"\b(?:Firefox|FxiOS)/(\d{1,4})((?:\.\d{1,6}){0,3})")
_SAFARI = re.compile(r"\bVersion/(\d{1,4})((?:\.\d{1,6}){0,3}).* Safari/")
_EDGE_LEGACY = re.compile(r"\bEdge/\d")  # EdgeHTML, which also says Chrome/ and sends other headers than Chromium
# Browsers that fetch pages through servers or networking code of their own, and Chromium inside other products:
# what Chromium always sends may be missing there. `Opera Mini` and `Puffin` draw pages on a server.
_OWN_NETWORKING = re.compile(
    r"UCBrowser|UBrowser|QQBrowser|Quark/|Puffin|baidubrowser|MiuiBrowser|HuaweiBrowser|HeyTapBrowser|VivoBrowser"
    r"|Opera Mini|Silk/|SmartTV|SMART-TV|Web0S|NetCast|Tizen|PlayStation|Electron/|QtWebEngine/"
)
_IOS_BROWSERS = ("CriOS/", "FxiOS/", "EdgiOS/")
_PLATFORMS = (  # first that is named; plain words, since a search for a pattern costs ten times as much
    ("windows", ("Windows",)),
    ("ios", ("iPhone", "iPad", "iPod")),
    ("macos", ("Macintosh", "Mac OS X")),
    ("android", ("Android",)),
    ("chromeos", ("CrOS",)),
    ("linux", ("Linux", "X11")),
)


@dataclass(frozen=True, slots=True)
class Claim:
    """Which browser a user agent says it is.

    `engine` is blink, gecko, webkit or empty for anything else; `version` that of Chrome, Firefox or Safari, `major`
    its first number, 0 for none. On iOS every browser is webkit. `platform` is windows, macos, ios, android, chromeos,
    linux or empty. `is_webview` is a page inside an app: Android's `; wv)`, or iOS without `Safari/`.
    """

    engine: str
    version: str
    major: int
    platform: str
    is_mobile: bool
    is_webview: bool


def read_claim(user_agent: str) -> Claim:
    """Return what a user agent claims; nothing is checked here."""
    platform = _platform(user_agent)
    chrome = _CHROME.search(user_agent) if "Chrome/" in user_agent or "CriOS/" in user_agent else None
    firefox = _FIREFOX.search(user_agent) if "Firefox/" in user_agent or "FxiOS/" in user_agent else None
    safari = _SAFARI.search(user_agent) if "Version/" in user_agent else None
    engine, found = "", None
    if platform == "ios":
        engine, found = "webkit", safari or chrome or firefox
    elif chrome and not ("Edge/" in user_agent and _EDGE_LEGACY.search(user_agent)):
        engine, found = "blink", chrome
    elif firefox:
        engine, found = "gecko", firefox
    elif safari and "AppleWebKit/" in user_agent:
        engine, found = "webkit", safari
    is_webview = "; wv)" in user_agent or (platform == "ios" and "Safari/" not in user_agent)
    return Claim(
        engine=engine,
        version=found[1] + found[2] if found else "",
        major=int(found[1]) if found else 0,
        platform=platform,
        is_mobile="Mobile" in user_agent,
        is_webview=is_webview,
    )


def _platform(user_agent: str) -> str:
    if any(word in user_agent for word in _IOS_BROWSERS):  # also where one asks for the desktop's page as a Mac
        return "ios"
    for name, words in _PLATFORMS:
        for word in words:
            if word in user_agent:
                return name
    return ""


class Signals:
    """One request. Header names keep case and order in `headers`; `fields` has them in lower case, equal ones joined.

    `is_order_kept` is False behind a proxy that writes the headers anew. `has_headers` is False when only the user
    agent is known. `in_app_browser` is the app that shows the page, a word of `rules/apps.py`, or empty: apps are
    recognised before any rule is asked. `is_self_referred`: it names a tracked link as where it comes from.
    """

    def __init__(
        self,
        headers: Sequence[tuple[str, str]],
        *,
        method: str = "GET",
        is_https: bool = True,
        is_order_kept: bool = True,
        has_headers: bool = True,
        is_self_referred: bool = False,
        in_app_browser: str = "",
    ) -> None:
        self.headers = tuple(headers)
        self.method = method
        self.is_https = is_https
        self.is_order_kept = is_order_kept
        self.has_headers = has_headers
        self.is_self_referred = is_self_referred
        self.in_app_browser = in_app_browser
        self.fields: dict[str, str] = {}
        for name, value in self.headers:
            lower = name.lower()
            self.fields[lower] = f"{self.fields[lower]}, {value}" if lower in self.fields else value
        self.user_agent = self.fields.get("user-agent", "")

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The header names in the order they came in, lower case."""
        return tuple(name.lower() for name, _ in self.headers)

    @cached_property
    def claim(self) -> Claim:
        """Which browser the user agent says it is."""
        return read_claim(self.user_agent[:_MAX_READ])

    @cached_property
    def has_own_habits(self) -> bool:
        """Whether a browser may lack what its engine always sends: it shows the page inside an app, or fetches its way.

        Android's WebView names its app in X-Requested-With (a package name) or itself among the brands, also where the
        app replaced the user agent.
        """
        fields = self.fields
        is_android = self.claim.platform == "android" or fields.get("sec-ch-ua-platform") == '"Android"'
        is_named = "." in fields.get("x-requested-with", "") or "Android WebView" in fields.get("sec-ch-ua", "")
        return (
            bool(self.in_app_browser)
            or self.claim.is_webview
            or (is_android and is_named)
            or _OWN_NETWORKING.search(self.user_agent) is not None
        )
