"""What a request says of itself, read once, as the rules of `rules/` look at it."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

from stackfluence.click.rules.frames import Anatomy, dissect
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


class Claim(NamedTuple):
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
    engine, found = "", None
    if platform == "ios":
        engine, found = "webkit", _safari(user_agent) or _chrome(user_agent) or _firefox(user_agent)
    elif (chrome := _chrome(user_agent)) and not ("Edge/" in user_agent and _EDGE_LEGACY.search(user_agent)):
        engine, found = "blink", chrome
    elif firefox := _firefox(user_agent):
        engine, found = "gecko", firefox
    elif "AppleWebKit/" in user_agent and (safari := _safari(user_agent)):
        engine, found = "webkit", safari
    version, major = (found[1] + found[2], int(found[1])) if found else ("", 0)
    is_webview = "; wv)" in user_agent or (platform == "ios" and "Safari/" not in user_agent)
    return Claim(engine, version, major, platform, "Mobile" in user_agent, is_webview)


def _chrome(user_agent: str) -> re.Match[str] | None:
    at = 0 if "CriOS/" in user_agent else user_agent.find("Chrome/")
    return _CHROME.search(user_agent, at) if at >= 0 else None


def _firefox(user_agent: str) -> re.Match[str] | None:
    return _FIREFOX.search(user_agent) if "Firefox/" in user_agent or "FxiOS/" in user_agent else None


def _safari(user_agent: str) -> re.Match[str] | None:
    at = user_agent.find("Version/")
    return _SAFARI.search(user_agent, at) if at >= 0 else None


def _platform(user_agent: str) -> str:
    """Return the first that is named; by plain words, since a search for a pattern costs ten times as much."""
    if "CriOS/" in user_agent or "FxiOS/" in user_agent or "EdgiOS/" in user_agent:
        return "ios"  # also where one asks for the desktop's page as a Mac
    if "Windows" in user_agent:
        return "windows"
    if "iPhone" in user_agent or "iPad" in user_agent or "iPod" in user_agent:
        return "ios"
    if "Macintosh" in user_agent or "Mac OS X" in user_agent:
        return "macos"
    if "Android" in user_agent:
        return "android"
    if "CrOS" in user_agent:
        return "chromeos"
    return "linux" if "Linux" in user_agent or "X11" in user_agent else ""


class Signals:
    """One request. Header names keep case and order in `headers`; `fields` has them in lower case, equal ones joined.

    `claim` is which browser the user agent says it is. `is_order_kept` is False behind a proxy that writes the headers
    anew. `has_headers` is False when only the user agent is known. `in_app_browser` is the app that shows the page, a
    word of `rules/apps.py`, or empty: apps are recognised before any rule is asked. `is_self_referred`: it names a
    tracked link as where it comes from. Who has read claim, fields or anatomy already may give them.
    """

    __slots__ = (
        "_anatomy",
        "claim", "fields", "has_headers", "headers", "in_app_browser", "is_https", "is_order_kept", "is_self_referred",
        "method", "user_agent",
    )  # fmt: skip

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
        claim: Claim | None = None,
        fields: dict[str, str] | None = None,
        anatomy: Anatomy | None = None,
    ) -> None:
        self.headers = headers
        self.method = method
        self.is_https = is_https
        self.is_order_kept = is_order_kept
        self.has_headers = has_headers
        self.is_self_referred = is_self_referred
        self.in_app_browser = in_app_browser
        self.fields = read_fields(headers) if fields is None else fields
        self.user_agent = self.fields.get("user-agent", "")
        self._anatomy = anatomy
        self.claim = read_claim(self.user_agent[:_MAX_READ]) if claim is None else claim

    @property
    def anatomy(self) -> Anatomy:
        """What the user agent is made of."""
        if self._anatomy is None:
            self._anatomy = dissect(self.user_agent)
        return self._anatomy

    @property
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


def read_fields(headers: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Return headers by their names in lower case, in the order they came in; equal ones joined with a comma."""
    fields = {name.lower(): value for name, value in headers}
    if len(fields) < len(headers):
        fields = {}
        for name, value in headers:
            lower = name.lower()
            fields[lower] = f"{fields[lower]}, {value}" if lower in fields else value
    return fields
