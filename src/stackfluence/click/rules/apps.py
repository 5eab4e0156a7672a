"""Apps that show a page themselves, recognised before any rule is asked: a creator's audience comes through them.

An app counts only in a browser's frame, `Mozilla/5.0 (device) AppleWebKit/…`: the same name alone is the app's server
fetching a preview. Sources: the makers' own documentation of their tokens (Meta's FBAN/FBAV and FB_IAB, Google's GSA
and WebView pages, Apple's WKWebView, Tencent's MicroMessenger) and what the apps are publicly known to send.
"""

from __future__ import annotations

import re

from stackfluence.click.rules.patterns import LONGEST, Patterns

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
_HAS_APP = Patterns((re.sub(r"\?P<\w+>", "?:", _APP.pattern),), is_folded=False)  # quicker to say that there is none
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
    if _HAS_APP.fits(user_agent):
        app = _APP.search(user_agent, frame.end())
        if app is not None:
            return app.lastgroup or ""
    if "; wv) AppleWebKit/" in user_agent or ("; Android " in user_agent and " Version/4.0 Chrome/" in user_agent):
        return "android_webview"
    if "Safari/" not in user_agent and _IOS_WEBVIEW.match(user_agent, 12):
        return "ios_webview"
    return ""


def without_own_words(user_agent: str) -> str:
    """Return a user agent without what an app adds about the phone, where any word may stand."""
    if "[FB" in user_agent or "Instagram " in user_agent or "Barcelona " in user_agent:
        return _OWN_WORDS.sub("", user_agent)
    return user_agent
