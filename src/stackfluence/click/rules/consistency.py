"""User agents that cannot be: versions that were never made, systems and engines that never met."""

from __future__ import annotations

import re

from stackfluence.click.rules.lists import CHROME_BUILDS
from stackfluence.click.rules.patterns import LONGEST, Patterns
from stackfluence.click.signals import Introduction, UserAgentRule
from stackfluence.vocabulary import TrafficReason

_IMPOSSIBLE = TrafficReason.impossible_user_agent
_CHROME = re.compile(r"\bChrome/(\d{1,4})\.0\.(\d{1,5})\.(\d{1,5})(?![\d.])", re.ASCII)
# browsers on Chromium that number their builds themselves, or write one number for ever
_OWN_COUNT = Patterns(
    (
        r"\bIron\b|Seznam\.cz/|\bSBRO\b|YaBrowser/1\.|Puffin/|\bAmigo/|UCBrowser/|\bSecure/|BDSpark/"
        r"|PlayFreeBrowser/|OPRN/",
    ),
    is_folded=False,
)
# what ends Chrome's string, and Edge's; another name behind it may be one that numbers builds by itself
_CHROMES_OWN_END = re.compile(r"Safari/[\d.]+(?: Edge?A?/[\d.]+)?$", re.ASCII)
# Chrome's whole string behind the system, with no other browser's name in it
_CHROMES_OWN_FORM = re.compile(r"\(KHTML, like Gecko\) Chrome/[\d.]+ (?:Mobile )?Safari/[\d.]+$", re.ASCII)
_ON_IOS = re.compile(r"Mozilla/5\.0 \(i(?:Phone|Pad|Pod)\b[^()]*\) AppleWebKit/537\.36 ")
# twice what any build has reached since version 5 (36.0.1985.534); browsers that count by themselves go on to 13,000
PATCHES = 1_000
# Android version → last Chrome for the ones before it (Chrome's support page and release notes)
LAST_CHROME = (((4, 4), 71), ((5, 0), 81), ((6, 0), 95), ((7, 0), 106), ((8, 0), 119), ((10, 0), 138))
LATE = 20  # major versions that phones with an altered system have been seen ahead
_FIRST_LATE = LAST_CHROME[0][1] + LATE
_RUNS_ANY = re.compile(r"; Android [1-9]\d[;.]", re.ASCII)  # none of the versions that LAST_CHROME tells of
_ANDROID = re.compile(
    r"\bAndroid (\d{1,2})(?:\.(\d{1,2}))?[^()]{0,100}\) AppleWebKit/537\.36 .{0,60} Chrome/(\d{2,3})\.", re.ASCII
)
_OWN_ENGINE = re.compile(r"\bSilk/|\bOPR/|\bUCBrowser/|\bVersion/4|\bCrosswalk/|YaBrowser/|MQQBrowser/")
_EDGE = re.compile(r" Chrome/(\d{2,3})\.[\d.]{5,12} Safari/537\.36 Edg/(\d{2,3})\.", re.ASCII)
# one comment, and systems in it that never met: Apple's phones with others' computers, WAP's profile after 2006
_MIXED = Patterns(
    (
        r"\([^()]*\bi(?:Phone|Pad|Pod);[^()]*\b(?:Win32|Win64|Windows NT|Amiga|X11)\b",
        r"\([^()]*\b(?:Win32|Win64|Windows NT|Amiga|X11)\b[^()]*; ?i(?:Phone|Pad|Pod);",
        r"\([^()]*\bWindows NT (?:6\.[1-3]|10\.0)[^()]*\bMIDP-",
    ),
    is_folded=False,
)
_MOZILLA = re.compile(r"Mozilla/(?:0|6\.[1-9]|[7-9]|\d\d)", re.ASCII)
SLACK = 60  # builds beside a range: canaries and forks of Chromium that number a little ahead
REDUCED_FROM = 101  # the first Chrome that writes 0.0.0 for its build (Chromium's page on the reduction, phase 4)


def invents_chrome_build(said: Introduction) -> TrafficReason | None:
    """A build number that Chrome never had with its major version, or a patch of it, of the time when Chrome wrote it.

    Whoever still writes one is another browser on Chromium, which may count as it likes.
    """
    claim = said.claim
    if claim.engine == "blink" and claim.version.endswith(".0.0.0") and said.user_agent.count("Chrome/") == 1:
        return None  # the reduced form, as nearly all that come
    user_agent = said.user_agent[:LONGEST]
    at = user_agent.find("Chrome/")
    found = _CHROME.search(user_agent, at) if at >= 0 else None
    if found is None:
        return None
    major, build = int(found[1]), int(found[2])
    if build == 0 or major >= REDUCED_FROM:  # the reduced form again, and that of Android 4.4's WebView
        return None
    lowest, highest = CHROME_BUILDS.get(major, (0, 0))
    if int(found[3]) >= PATCHES and _CHROMES_OWN_FORM.search(user_agent):
        return _IMPOSSIBLE
    is_made = lowest - SLACK <= build <= highest + SLACK or not highest
    if is_made or not _CHROMES_OWN_END.search(user_agent) or _OWN_COUNT.fits(user_agent):
        return None
    return _IMPOSSIBLE


def mixes_engines(said: Introduction) -> TrafficReason | None:
    """Chrome's own string on Apple's phones, where it says CriOS and runs on Safari's engine."""
    if said.claim.platform != "ios" or not _ON_IOS.match(said.user_agent):
        return None
    return _IMPOSSIBLE if _CHROMES_OWN_FORM.search(said.user_agent[:LONGEST]) else None


def invents_mozilla(said: Introduction) -> TrafficReason | None:
    """A version of Mozilla that no browser has claimed; it has been frozen at 5.0 since 1998, bar a few at 6.0."""
    return _IMPOSSIBLE if _MOZILLA.match(said.user_agent) else None


def mixes_edge(said: Introduction) -> TrafficReason | None:
    """Edge on Chromium whose major version is not Chromium's; since 79 they are one."""
    found = _EDGE.search(said.user_agent[:LONGEST]) if " Edg/" in said.user_agent else None
    return _IMPOSSIBLE if found is not None and found[1] != found[2] else None


def outlives_android(said: Introduction) -> TrafficReason | None:
    """A Chrome that the Android it names can't run; browsers that bring an engine of their own say so."""
    claim = said.claim
    if claim.platform != "android" or claim.major <= _FIRST_LATE or _RUNS_ANY.search(said.user_agent):
        return None
    found = _ANDROID.search(said.user_agent[:LONGEST])
    if found is None:
        return None
    android, chrome = (int(found[1]), int(found[2] or 0)), int(found[3])
    last = next((last for before, last in LAST_CHROME if android < before), None)
    if last is None or chrome <= last + LATE or _OWN_ENGINE.search(said.user_agent[:LONGEST]):
        return None
    return _IMPOSSIBLE


def mixes_systems(said: Introduction) -> TrafficReason | None:
    """Two systems at once that no device runs; programs that put strings together from a hat make new ones daily."""
    return _IMPOSSIBLE if _MIXED.fits(said.user_agent[:LONGEST]) else None


# of versions, which also a string may get wrong that has nothing but a browser's words
VERSION_RULES: tuple[UserAgentRule, ...] = (
    invents_chrome_build,
    mixes_edge,
    mixes_engines,
    outlives_android,
)
RULES: tuple[UserAgentRule, ...] = (*VERSION_RULES, invents_mozilla, mixes_systems)
