"""Which browser, system and kind of device a user agent names; for reports, never against anybody."""

from __future__ import annotations

import re
from functools import cache, lru_cache

from ua_parser.loaders import load_lazy_builtins
from ua_parser.regex import Resolver

from stackfluence.click.rules.frames import Anatomy
from stackfluence.click.rules.patterns import LONGEST, Patterns
from stackfluence.click.signals import Introduction
from stackfluence.vocabulary import DeviceClass

_NAMED_WITHIN = 400  # characters: browsers and systems are named early, and ua-parser's time grows with the text
_ALIKE = bytes.maketrans(b"023456789", b"1" * 9)  # no version makes another family of a widespread browser
_RUN = re.compile(b"1{2,}")
_OWN_WORDS_NAMED = 40  # characters of what an app adds: its name comes first, then the phone's particulars
_TELEVISION = (
    r"HbbTV|SMART-TV|SmartTV|Smart TV|CE-HTML|NETTV|\bTV\b|BRAVIA|AppleTV|Apple TV|GoogleTV|CrKey|AFT[A-Z]|Web0S"
    r"|NetCast|Roku|VIDAA|DTV|PLAYSTATION|PlayStation [345]|Xbox|Nintendo (?:Wii|Switch)"
)
_TABLET = r"iPad|Tablet|PlayBook|Kindle|Silk/|\bKF[A-Z]{3,4}\b|Nexus (?:7|9|10)\b|SM-[TXP]\d"
_LARGE = Patterns((_TELEVISION, _TABLET), is_folded=False)
_IS_TELEVISION = Patterns((_TELEVISION,), is_folded=False)
_PHONE = Patterns(
    (r"iPod|Mobile|Phone|BlackBerry|BB10|Symbian|MIDP|UP\.Browser|Opera Mini|IEMobile|DoCoMo|KAIOS",), is_folded=False
)
_DESKTOP = re.compile(r"Windows|Macintosh|X11|CrOS|Linux")


def families(user_agent: str, anatomy: Anatomy) -> tuple[str, str]:
    """Return the families of browser and system as ua-parser's table names them, empty for unknown."""
    if not anatomy.is_plain or _is_odd(anatomy, user_agent.lower()):
        return _named(user_agent[:_NAMED_WITHIN])
    text = f"{anatomy.bare} {anatomy.own_words[:_OWN_WORDS_NAMED]}" if anatomy.own_words else anatomy.bare
    return _named_alike(text.encode().translate(_ALIKE))


def _is_odd(anatomy: Anatomy, lower: str) -> bool:
    """Whether a phone is called like a robot or a browser, or an app writes into a desktop's string."""
    mobiles = lower.count("mobile")
    if mobiles > 1 or (anatomy.own_words and not mobiles and "android" not in lower):
        return True
    return "bot" in lower or "spider" in lower or "yandex" in lower or "catchpoint" in lower


@lru_cache(maxsize=5_000)
def _named_alike(text: bytes) -> tuple[str, str]:
    """Texts that differ in versions and models alone: about a thousand occur, half as many without their lengths."""
    return _named_shape(_RUN.sub(b"1", text))


@lru_cache(maxsize=5_000)
def _named_shape(text: bytes) -> tuple[str, str]:
    return _named(text.decode())


@cache
def _table() -> Resolver:
    """Return ua-parser's two extractors: its parser makes objects of versions too, which takes as long as the search.

    Building them takes 0.1 s, so only who asks has them; its table of devices, as large as both, isn't asked for.
    """
    browsers, systems, _ = load_lazy_builtins()
    return Resolver((browsers, systems, []))


def _named(text: str) -> tuple[str, str]:
    table = _table()
    browser, system = table.ua.extract(text), table.os.extract(text)
    return browser.family if browser else "", system.family if system else ""


def device_class(said: Introduction) -> DeviceClass:
    """Return what a visitor holds, as the user agent says; Android without `Mobile` is a tablet."""
    text = said.user_agent[:LONGEST]
    if "iPhone" in text:
        return DeviceClass.phone
    if "iPad" in text:
        return DeviceClass.tablet
    is_android = "Android" in text
    if not is_android and said.anatomy.is_plain:  # what is left of the widespread browsers' is a desktop's
        return DeviceClass.phone if "Mobile" in text or "iPod" in text else DeviceClass.desktop
    if _LARGE.fits(text):
        return DeviceClass.television if _IS_TELEVISION.fits(text) else DeviceClass.tablet
    if "Mobile" in text or _PHONE.fits(text):
        return DeviceClass.phone
    if is_android:
        return DeviceClass.tablet
    return DeviceClass.desktop if _DESKTOP.search(text) else DeviceClass.other
