"""What a request says of itself, read once, as the rules of `rules/` look at it."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import msgspec

from stackfluence.click.rules import apps, versions
from stackfluence.click.rules.frames import Anatomy, dissect
from stackfluence.vocabulary import TrafficReason

UserAgentRule = Callable[["Introduction"], TrafficReason | None]
Rule = Callable[["Signals"], TrafficReason | None]

_MAX_READ = 1_000  # characters of a user agent; what is longer than the longest of apps is read no further
# each finds the version and its first number
_CHROME = re.compile(r"\b(?:Chrome|CriOS)/((\d{1,4})(?:\.\d{1,6}){0,3})")
_FIREFOX = re.compile(r"\b(?:Firefox|FxiOS)/((\d{1,4})(?:\.\d{1,6}){0,3})")
_SAFARI = re.compile(r"\bVersion/((\d{1,4})(?:\.\d{1,6}){0,3}).* Safari/")
_EDGE_LEGACY = re.compile(r"\bEdge/\d")  # EdgeHTML, which also says Chrome/ and sends other headers than Chromium
# Browsers that fetch pages through servers or networking code of their own, and Chromium inside other products:
# what Chromium always sends may be missing there. `Opera Mini` and `Puffin` draw pages on a server.
_OWN_NETWORKING = re.compile(
    r"UCBrowser|UBrowser|QQBrowser|Quark/|Puffin|baidubrowser|MiuiBrowser|HuaweiBrowser|HeyTapBrowser|VivoBrowser"
    r"|Opera Mini|Silk/|SmartTV|SMART-TV|Web0S|NetCast|Tizen|PlayStation|Electron/|QtWebEngine/"
)
# Browsers that name a version of Chrome beside their own and aren't made of it, or of an older one
_OTHER_THAN_CHROME = re.compile(r"\b(?:Ladybird|Falkon|QupZilla|qutebrowser|Otter|Konqueror|Dooble)/")
# Firefox ends with its version. What names another browser around it is a fork, of an older Gecko or of Goanna: Pale
# Moon, Basilisk, SeaMonkey, K-Meleon, Waterfox Classic; or Servo
_FIREFOX_ITSELF = re.compile(r"\) Gecko/[\d.]+ Firefox/[\d.]+$")
# Apple lets browsers bring their own engine to iOS in some regions; all say themselves which they are
_OTHER_ON_IOS = re.compile(r"\b(?:CriOS|EdgiOS|FxiOS|OPT|OPiOS)/")


class Claim(msgspec.Struct, frozen=True, gc=False):
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


class Introduction(msgspec.Struct, frozen=True, gc=False):
    """What a user agent says by itself, as the rules on it alone look at it.

    `in_app_browser` is the app that shows the page, a word of `rules/apps.py`, or empty: apps are recognised before any
    rule is asked.
    """

    user_agent: str
    anatomy: Anatomy
    claim: Claim
    in_app_browser: str


def introduce(user_agent: str) -> Introduction:
    """Return what a user agent says by itself."""
    anatomy = dissect(user_agent)
    is_unnamed = anatomy.is_plain and not anatomy.own_words and " GSA/" not in user_agent
    app = apps.webview(user_agent) if is_unnamed else apps.recognise(user_agent)
    return Introduction(user_agent, anatomy, read_claim(user_agent[:_MAX_READ]), app)


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
    version, major = found.groups() if found else ("", "0")
    is_webview = "; wv)" in user_agent or (platform == "ios" and "Safari/" not in user_agent)
    return Claim(engine, version, int(major), platform, "Mobile" in user_agent, is_webview)


def _chrome(user_agent: str) -> re.Match[str] | None:
    at = 0 if "CriOS/" in user_agent else user_agent.find("Chrome/")
    return _CHROME.search(user_agent, at) if at >= 0 else None


def _firefox(user_agent: str) -> re.Match[str] | None:
    at = 0 if "FxiOS/" in user_agent else user_agent.find("Firefox/")
    return _FIREFOX.search(user_agent, at) if at >= 0 else None


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


_NOT_READ = Claim("", "", 0, "", False, False)


class Signals(msgspec.Struct):
    """One request. Header names keep case and order in `headers`; `fields` has them in lower case, equal ones joined.

    `claim` is which browser the user agent says it is, `in_app_browser` the app that shows the page, or empty.
    `is_order_kept` is False behind a proxy that writes the headers anew. `is_self_referred`: it names a tracked link
    as where it comes from. Who has read claim or fields already may give them; a Struct, since one is made for each
    header set and a class takes four times as long.
    """

    headers: Sequence[tuple[str, str]]
    method: str = "GET"
    is_https: bool = True
    is_order_kept: bool = True
    is_self_referred: bool = False
    in_app_browser: str = ""
    claim: Claim = _NOT_READ
    fields: dict[str, str] = {}
    user_agent: str = ""
    _has_own_habits: bool | None = None

    def __post_init__(self) -> None:
        if not self.fields:
            self.fields = read_fields(self.headers)
        self.user_agent = self.fields.get("user-agent", "")
        if self.claim is _NOT_READ:
            self.claim = read_claim(self.user_agent[:_MAX_READ])

    @property
    def has_own_habits(self) -> bool:
        """Whether a browser may lack what its engine always sends: it shows the page inside an app, fetches its way, or
        is another one than the engine it names.
        """
        if self._has_own_habits is None:
            self._has_own_habits = (
                bool(self.in_app_browser)
                or self.claim.is_webview
                or self._is_androids_webview()
                or self._is_other_engine()
                or _OWN_NETWORKING.search(self.user_agent) is not None
            )
        return self._has_own_habits

    @property
    def is_held(self) -> bool:
        """Whether a browser is held to what its engine's version always sends: a known one, without own habits.

        Apps on Apple's phones are made of WebKit and send what it sends; what they leave out is another question.
        """
        claim = self.claim
        if versions.is_beyond(claim.engine, claim.major, self.user_agent):
            return False
        if claim.engine == "webkit":
            return not (self._is_androids_webview() or self._is_other_engine())
        return not self.has_own_habits

    def _is_androids_webview(self) -> bool:
        """Whether Android's WebView sent it, which names its app in X-Requested-With (a package name) or itself among
        the brands, also where the app replaced the user agent, by an iPhone's, a Mac's or Firefox's as well.
        """
        fields = self.fields
        is_named = "." in fields.get("x-requested-with", "") or "Android WebView" in fields.get("sec-ch-ua", "")
        claim = self.claim
        return is_named and (
            claim.platform == "android"
            or claim.engine in ("gecko", "webkit")
            or fields.get("sec-ch-ua-platform") == '"Android"'
        )

    def _is_other_engine(self) -> bool:
        """Whether it names an engine that it isn't made of: a fork, or a browser on iOS that brought its own."""
        engine = self.claim.engine
        if engine == "webkit":
            brought = self.fields.get("sec-ch-ua-platform") == '"iOS"' or "image/apng" in self.fields.get("accept", "")
            return brought and _OTHER_ON_IOS.search(self.user_agent) is not None
        if engine == "gecko":
            return _FIREFOX_ITSELF.search(self.user_agent) is None
        return engine == "blink" and _OTHER_THAN_CHROME.search(self.user_agent) is not None


def read_fields(headers: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Return headers by their names in lower case, in the order they came in; equal ones joined with a comma."""
    fields = {name.lower(): value for name, value in headers}
    if len(fields) < len(headers):
        fields = {}
        for name, value in headers:
            lower = name.lower()
            fields[lower] = f"{fields[lower]}, {value}" if lower in fields else value
    return fields
