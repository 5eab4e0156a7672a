"""Which browser, system and kind of device a user agent names; for reports, never against anybody."""

from __future__ import annotations

import re

import ua_parser
from ua_parser.loaders import load_lazy_builtins
from ua_parser.regex import Resolver

from stackfluence.click.rules.patterns import LONGEST, Patterns
from stackfluence.click.signals import Signals
from stackfluence.vocabulary import DeviceClass

# the bare resolver: ua_parser's own parser keeps 2,000 results, and header sets are remembered already
_resolve = Resolver(load_lazy_builtins())
_NAMED_WITHIN = 400  # characters: browsers and systems are named early, and ua-parser's time grows with the text
_WANTED = ua_parser.Domain.USER_AGENT | ua_parser.Domain.OS
_TELEVISION = Patterns(
    (
        r"HbbTV|SMART-TV|SmartTV|Smart TV|CE-HTML|NETTV|\bTV\b|BRAVIA|AppleTV|Apple TV|GoogleTV|CrKey|AFT[A-Z]|Web0S"
        r"|NetCast"
        r"|Roku|VIDAA|DTV|PLAYSTATION|PlayStation [345]|Xbox|Nintendo (?:Wii|Switch)",
    ),
    is_folded=False,
)
_TABLET = Patterns(
    (r"iPad|Tablet|PlayBook|Kindle|Silk/|\bKF[A-Z]{3,4}\b|Nexus (?:7|9|10)\b|SM-[TXP]\d",), is_folded=False
)
_PHONE = Patterns(
    (r"iPhone|iPod|Mobile|Phone|BlackBerry|BB10|Symbian|MIDP|UP\.Browser|Opera Mini|IEMobile|DoCoMo|KAIOS",),
    is_folded=False,
)
_DESKTOP = re.compile(r"Windows|Macintosh|X11|CrOS|Linux")


def families(user_agent: str) -> tuple[str, str]:
    """Return the families of browser and system as ua-parser's table names them, empty for unknown."""
    found = _resolve(user_agent[:_NAMED_WITHIN], _WANTED)
    return found.user_agent.family if found.user_agent else "", found.os.family if found.os else ""


def device_class(signals: Signals) -> DeviceClass:
    """Return what a visitor holds, as the user agent says; Android without `Mobile` is a tablet."""
    text = signals.user_agent[:LONGEST]
    if "iPhone" in text:
        return DeviceClass.phone
    if "iPad" in text:
        return DeviceClass.tablet
    if _TELEVISION.fits(text):
        return DeviceClass.television
    if _TABLET.fits(text):
        return DeviceClass.tablet
    if _PHONE.fits(text):
        return DeviceClass.phone
    if "Android" in text:
        return DeviceClass.tablet
    return DeviceClass.desktop if _DESKTOP.search(text) else DeviceClass.other
