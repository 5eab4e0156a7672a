"""User agent client hints against the user agent, and Chromium's brand list against its version.

Sources: WICG "User-Agent Client Hints" (headers, quoting, which browsers send them: Chromium alone, to https alone);
Chromium `components/embedder_support/user_agent_utils.cc`: `GetGreasedUserAgentBrandVersion`, `GetRandomOrder` and
`ShuffleBrandList` build the list from the major version alone since 111 (before, the policy for the old form could be
switched on); `user_agent_utils_unittest.cc` holds examples.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache, lru_cache
from typing import NamedTuple

from stackfluence.click.rules.versions import NEWEST
from stackfluence.click.signals import Rule, Signals
from stackfluence.vocabulary import TrafficReason

Brands = tuple[tuple[str, str], ...]  # brand and version, in the order sent

# Which platform may be hinted under which user agent. A phone that asks for the desktop site says Linux in its user
# agent; builds differ in what they hint then. Linux is also what televisions, consoles and headsets say.
_PLATFORMS = {
    "windows": frozenset(("Windows",)),
    "macos": frozenset(("macOS", "Mac OS X")),
    "android": frozenset(("Android",)),
    "chromeos": frozenset(("Chrome OS", "Chromium OS", "Linux")),
    "linux": frozenset(("Linux", "Android", "Chrome OS", "Chromium OS", "Unknown", "")),
}
_USUAL_PLATFORMS = frozenset(('""', '"Windows"', '"macOS"', '"Android"', '"Linux"', '"Chrome OS"'))
_QUOTED = re.compile(r'"[^"\\]*"')  # RFC 8941 string, as far as browsers need it
_BRAND = re.compile(r'"([^"]*)"\s*;\s*v="([^"]*)"')
_NO_LETTER = re.compile("[^A-Za-z]+")
_MAJOR = re.compile(r"\d{1,4}")

# Brands of browsers that leave Chromium's list as it is but for their own name, which stands where Chrome's does
_CHROMIUM_LISTS = frozenset(("Google Chrome", "Microsoft Edge", "Brave", "Opera", "HeadlessChrome"))
_CHROMIUM_ORDERS = frozenset(("Google Chrome", "Microsoft Edge", "HeadlessChrome"))

BRANDS_SINCE, BRANDS_UNTIL = 111, NEWEST["blink"].last  # a later Chromium may build its list in another way
_GREASE = " (:-./);=?_"
_GREASE_VERSIONS = ("8", "99", "24")
_ORDERS_OF_3 = ((0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0))


def read_brands(value: str) -> Brands:
    """Return brand and version of each entry of a Sec-CH-UA, in order; what is no entry is left out."""
    return tuple(_BRAND.findall(value))


@cache
def greased_brand(major: int) -> tuple[str, str]:
    """Return the name and version of the brand that Chromium makes up from its major version (111 and later).

    Source: `GetGreasedUserAgentBrandVersion`, which calls the major version the seed.
    """
    first, second = _GREASE[major % len(_GREASE)], _GREASE[(major + 1) % len(_GREASE)]
    return f"Not{first}A{second}Brand", _GREASE_VERSIONS[major % len(_GREASE_VERSIONS)]


@lru_cache(maxsize=2_000)
def brand_names(major: int, vendor: str = "") -> tuple[str, ...]:
    """Return the names in Chromium's brand list, in its order: made up, `Chromium`, and the vendor's where it has one.

    Source: `GenerateBrandVersionList` and `GetRandomOrder`: entry i goes to place order[i].
    """
    names = (greased_brand(major)[0], "Chromium", vendor) if vendor else (greased_brand(major)[0], "Chromium")
    order = _ORDERS_OF_3[major % 6] if vendor else (major % 2, (major + 1) % 2)
    return tuple(name for _, name in sorted(zip(order, names, strict=True)))


def headless_brand(signals: Signals) -> TrafficReason | None:
    """A Chromium that says among its brands that it has no window, so a program runs it."""
    is_headless = "HeadlessChrome" in signals.fields.get("sec-ch-ua", "")
    return TrafficReason.automation_header if is_headless else None


def unsupported_hints(signals: Signals) -> TrafficReason | None:
    """Client hints from Firefox or Safari, of which no known version sends any."""
    fields = signals.fields
    engine = signals.claim.engine
    if engine not in ("gecko", "webkit") or not ("sec-ch-ua" in fields or "sec-ch-ua-platform" in fields):
        return None
    return TrafficReason.contradicting_hints if signals.is_held else None


def malformed_hints(signals: Signals) -> TrafficReason | None:
    """Hints that aren't written as structured fields are: the platform without quotes, a mobile flag that is none."""
    fields = signals.fields
    platform, mobile = fields.get("sec-ch-ua-platform", '""'), fields.get("sec-ch-ua-mobile", "?0")
    is_platform = platform in _USUAL_PLATFORMS or _QUOTED.fullmatch(platform) is not None
    if (is_platform and mobile in ("?0", "?1")) or signals.has_own_habits:
        return None
    return TrafficReason.contradicting_hints


def other_claim(signals: Signals) -> TrafficReason | None:
    """Another platform or major version than the user agent's, or a phone's hint under a desktop's, or the reverse."""
    claim = signals.claim
    if claim.engine != "blink":
        return None
    fields = signals.fields
    platform, mobile = fields.get("sec-ch-ua-platform"), fields.get("sec-ch-ua-mobile")
    brands = fields.get("sec-ch-ua")
    expected = _PLATFORMS.get(claim.platform)
    is_other = (
        (platform is not None and expected is not None and platform.strip('"') not in expected)
        or (brands is not None and _judge(brands).major not in (0, claim.major))
        or (mobile == "?1" and claim.platform in ("windows", "macos"))
        or (mobile == "?0" and claim.platform == "android" and claim.is_mobile)
    )
    return TrafficReason.contradicting_hints if is_other and not signals.has_own_habits else None


def other_browser(signals: Signals) -> TrafficReason | None:
    """Google Chrome among the brands of a browser that says it is another one, and never calls itself Google's."""
    if '"Google Chrome"' not in signals.fields.get("sec-ch-ua", ""):
        return None
    text = signals.user_agent
    is_other = "Edg/" in text or "EdgA/" in text or "OPR/" in text or "SamsungBrowser/" in text
    return TrafficReason.contradicting_hints if is_other and not signals.has_own_habits else None


def unlike_brands(signals: Signals) -> TrafficReason | None:
    """A brand list that Chromium of that version doesn't build: another made-up brand, or another order.

    Lists with a brand that is unknown here are left alone: apps and forks may build theirs in their own way.
    """
    value = signals.fields.get("sec-ch-ua")
    if value is None or not _judge(value).is_unlike or signals.has_own_habits:
        return None
    return TrafficReason.unlike_brands


class _Judged(NamedTuple):
    major: int  # of Chromium, 0 for none
    is_unlike: bool


def _judge(value: str) -> _Judged:
    return _BUILT.get(value) or _examine(value)


@lru_cache(maxsize=2_000)  # lists of apps and forks; one of 8 kB, the longest header that is read, makes 16 MB
def _examine(value: str) -> _Judged:
    brands = read_brands(value)
    major = _chromium_major(brands)
    return _Judged(major, BRANDS_SINCE <= major <= BRANDS_UNTIL and not _is_built(brands, major))


def _is_built(brands: Brands, major: int) -> bool:
    """Whether Chromium of this major version builds such a list, or nothing is known of how it is built."""
    made_up = greased_brand(major)
    known = ("Chromium", made_up[0])
    vendors = [name for name, _ in brands if name not in known and not _is_made_up(name)]
    if len(vendors) > 1 or not _CHROMIUM_LISTS.issuperset(vendors):
        return True
    if made_up not in [(name, version.partition(".")[0]) for name, version in brands]:
        return False
    return not _CHROMIUM_ORDERS.issuperset(vendors) or tuple(name for name, _ in brands) == brand_names(major, *vendors)


def _chromium_major(brands: Brands) -> int:
    """Return the major version beside the brand Chromium, 0 for none."""
    for name, version in brands:
        if name == "Chromium":
            found = _MAJOR.match(version)
            return int(found[0]) if found else 0
    return 0


def _is_made_up(name: str) -> bool:
    """Whether a brand is one of those that are there so that nobody relies on the list: all say Not A Brand."""
    return _NO_LETTER.sub("", name) == "NotABrand"


def _as_sent(major: int, vendor: str) -> str:
    """Return the brand list of a browser as it is written into the header."""
    versions = dict((greased_brand(major),))
    names = brand_names(major, vendor)
    return ", ".join(f'"{name}";v="{versions.get(name, major)}"' for name in names)


# What Chromium and the browsers with its list send, so that nothing has to be read of it.
_BUILT = {
    _as_sent(major, vendor): _Judged(major, False)
    for major in range(BRANDS_SINCE, BRANDS_UNTIL + 1)
    for vendor in ("", *sorted(_CHROMIUM_LISTS))
}

RULES: tuple[Rule, ...] = (
    headless_brand,
    unsupported_hints,
    malformed_hints,
    other_claim,
    other_browser,
    unlike_brands,
)

# of which engines a rule has a say; the others are about all
ENGINES: Mapping[Rule, frozenset[str]] = {
    unsupported_hints: frozenset(("gecko", "webkit")),
    other_claim: frozenset(("blink",)),
}
