"""Apps that show a page themselves, recognised before any rule is asked: a creator's audience comes through them.

An app counts only in a browser's frame, `Mozilla/5.0 (device) AppleWebKit/…`: the same name alone is the app's server
fetching a preview. Sources: the makers' own documentation of their tokens (Meta's FBAN/FBAV and FB_IAB, Google's GSA
and WebView pages, Apple's WKWebView, Tencent's MicroMessenger) and what the apps are publicly known to send.
"""

from __future__ import annotations

import re

from stackfluence.click.rules.patterns import LONGEST

_FRAME = re.compile(
    r"Mozilla/5\.0 \([^()]*+(?:\([^()]*+\)[^()]*+)*+\) AppleWebKit/[\d.]+ ?\(KHTML, like Gecko\)", re.ASCII
)
_APP = re.compile(
    r"(?=[BFGIKLMPRSTWY[cmt])(?:"  # first letters, so that most places are left at once
    r"(?P<instagram>\bInstagram \d)"
    r"|(?P<messenger>\[?FB(?:AN|_IAB)/(?:Messenger|Orca|MESSENGER))"
    r"|(?P<threads>\bBarcelona \d)"
    r"|(?P<facebook>\[FB(?:AN|AV|_IAB)/|\bFB_IAB/|\bFBAN/)"
    r"|(?P<tiktok>\bmusical_ly_\d|\bmusical_ly/|\btrill_\d|\bBytedanceWebview/|\bBytedanceWebview\b|\bTikTok )"
    r"|(?P<snapchat>\bSnapchat/\d)"
    r"|(?P<pinterest>\[Pinterest/|\bPinterest for )"
    r"|(?P<linkedin>\[LinkedInApp\]|\bLinkedInApp/)"
    r"|(?P<twitter>\bTwitter for |\bTwitterAndroid\b)"
    r"|(?P<wechat>\bMicroMessenger/)"
    r"|(?P<kakaotalk>\bKAKAOTALK\b)"
    r"|(?P<line>\bLine/\d)"
    r"|(?P<telegram>\bTelegram-(?:Android|iOS)/|\bTelegram/\d)"
    r"|(?P<reddit>\bReddit/(?:Version|\d)|\bRedditAndroid/)"
    r"|(?P<whatsapp>\bWhatsApp/\d)"
    r"|(?P<youtube>\bcom\.google\.(?:android|ios)\.youtube/|\bYouTube/\d)"
    r"|(?P<google>\bGSA/\d))",
    re.ASCII,
)
# what browsers write behind the frame; apps are looked for behind it
_NO_APP = re.compile(
    r"(?: (?:(?:Version|Chrome|CriOS|FxiOS|Safari|Edge?|EdgA|EdgiOS|OPR|SamsungBrowser|YaBrowser)/[\d.]+"
    r"|Mobile(?:/\w+)?)(?= |$))*",
    re.ASCII,
)
_IOS_WEBVIEW = re.compile(
    r"\((?:iPhone|iPad|iPod)[^)]*\) AppleWebKit/[\d.]+ \(KHTML, like Gecko\) Mobile/\w+", re.ASCII
)
# what apps write after the browser's part: their own version, the phone's model, language and carrier
_OWN_WORDS = re.compile(r"\[FB[^\]]*(?:\]|$)|\b(?:Instagram|Barcelona) [\d.]+ (?:Android )?\([^)]*(?:\)|$)", re.ASCII)


def recognise(user_agent: str) -> str:
    """Return the app that shows the page: its name, `android_webview` or `ios_webview` for one unknown, else empty."""
    user_agent = user_agent[:LONGEST]
    frame = _FRAME.match(user_agent)
    if frame is None:
        return ""
    browsers_own = _NO_APP.match(user_agent, frame.end())
    if browsers_own and browsers_own.end() < len(user_agent) and (app := _APP.search(user_agent, browsers_own.end())):
        return app.lastgroup or ""
    return webview(user_agent)


def webview(user_agent: str) -> str:
    """Return `android_webview` or `ios_webview` for a browser's frame inside an app that doesn't name itself."""
    if "; wv) AppleWebKit/" in user_agent or ("; Android " in user_agent and " Version/4.0 Chrome/" in user_agent):
        return "android_webview"
    if "Safari/" not in user_agent and _IOS_WEBVIEW.match(user_agent, 12):
        return "ios_webview"
    return ""


def without_own_words(user_agent: str) -> tuple[str, str]:
    """Return a user agent without what an app adds about the phone, where any word may stand, and what that is."""
    if "[FB" not in user_agent and "Instagram " not in user_agent and "Barcelona " not in user_agent:
        return user_agent, ""
    first = min(at for word in ("[FB", "Instagram ", "Barcelona ") if (at := user_agent.find(word)) >= 0)
    found = _OWN_WORDS.search(user_agent, first)
    if found is None:
        return user_agent, ""
    return user_agent[: found.start()] + _OWN_WORDS.sub("", user_agent[found.end() :]), found[0]
