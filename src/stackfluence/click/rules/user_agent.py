"""What the user agent alone says: robots that name themselves, strings that no browser's maker wrote."""

from __future__ import annotations

from stackfluence.click.rules import names
from stackfluence.click.rules.lists import CRAWLER_DETECT, CRAWLERS, ISBOT_STARTS, ISBOT_WORDS
from stackfluence.click.rules.patterns import Patterns
from stackfluence.click.signals import Introduction, UserAgentRule
from stackfluence.vocabulary import TrafficReason

_DESKTOP = r"^Mozilla/5\.0 \((?:Windows|Macintosh|X11)[^()]*\) AppleWebKit/537\.36 \(KHTML, like Gecko\) "
# slips of people who write a browser's string by hand or by program; the makers' own programs don't make them
_GARBLED = Patterns(
    (
        # a colon for the semicolon
        r"^Mozilla/5\.0 ?\((?:Macintosh|Windows|X11|Linux|iPhone|iPad|iPod) ?:[^()]*\) ?AppleWebKit/",
        r"^Mozilla/5\.0 \(Macintosh,? Intel Mac OS X [\d_]+\) AppleWebKit/[\d.]+ \(KHTML, like Gecko\) Version/",
        r"\((?:Macintosh|Windows)[^()]*\) AppleWebKit/ ",  # the slash, and no version
        r"^Mozilla/5\.0 Gecko/",  # no system
        r"Gecko/\d+ Mozilla/5\.0 ",  # started anew where the browser's name stands
        r"^[A-LN-Z]ozilla/",
        r"^[\w-]+, ?Mozilla/",  # a name of one's own in front of somebody else's string
        r"%[sd]\b|%[a-z_]+\d?%|\{\{",  # blanks that were never filled in
        r"\bappCodeName\b|\bappName\b|\b[sg]etUserAgent",  # scraps of a program's source
        # browsers on Chromium say their version; one bare word behind it is a program's own mark
        _DESKTOP + r"Chrome/(?:[89]\d|\d{3})\.[\d.]+ Safari/537\.36 [A-Za-z][\w.-]*$",
        _DESKTOP + r"Chrome/[\d.]+ Safari/537\.36 [A-Za-z]+\.[A-Za-z]+$",
    ),
    is_folded=False,
)
# kinds that have no app for people: also in an app's frame nobody looks at the page
_SHOWN_TO_NOBODY = frozenset((TrafficReason.uptime_monitor, TrafficReason.headless_browser, TrafficReason.attack))
SHORTEST = 3  # characters; shorter ones, `-` say, are placeholders


def says_nothing(said: Introduction) -> TrafficReason | None:
    """No user agent, or a mere placeholder for one."""
    return TrafficReason.no_user_agent if len(said.user_agent.strip()) < SHORTEST else None


def names_itself(said: Introduction) -> TrafficReason | None:
    """A robot's name, or a word that only robots use; the kind of robot is the reason."""
    anatomy = said.anatomy
    found = names.find(anatomy.bare) or CRAWLERS.find(anatomy.bare)
    is_in_app = bool(said.in_app_browser) or "Electron/" in said.user_agent
    if found is None or found in _SHOWN_TO_NOBODY or not is_in_app:
        return found
    # the app of a service, ChatGPT's or Tumblr's, shows a page to a person; its robot says that it is one
    return found if names.ROBOT_WORDS.fits(anatomy.bare) else None


def fits_list(said: Introduction) -> TrafficReason | None:
    """A word of what robots do, ours, isbot's or CrawlerDetect's; apps' web views may have any word.

    So may programs on Electron, which people read and write with, but for those that only robots use. A robot that has
    named itself isn't asked about again: one word is not two reasons. Nor are the lists asked where no frame fits:
    their patterns for such strings see what `fits_no_frame` sees.
    """
    anatomy = said.anatomy
    asked, bare = anatomy.asked, anatomy.bare
    if said.in_app_browser or ("Electron/" in said.user_agent and not names.ROBOT_WORDS.fits(bare)):
        return None
    # Google's App Engine adds its name to any user agent: of programs, and of people behind the free proxies on it
    is_listed = names.BROAD.fits(asked) or names.OWN_REQUESTS.fits(bare) or "AppEngine-Google" in said.user_agent
    if anatomy.frame and not is_listed:
        is_listed = ISBOT_WORDS.fits(asked) or ISBOT_STARTS.fits(bare) or CRAWLER_DETECT.fits(bare)
    return TrafficReason.listed_pattern if is_listed and names.find(bare) is None else None


def fits_no_frame(said: Introduction) -> TrafficReason | None:
    """A string that is built like none of a browser, a phone, a television."""
    return None if said.anatomy.frame else TrafficReason.unlikely_user_agent


def garbles_frame(said: Introduction) -> TrafficReason | None:
    """A browser's string with a slip in it that no browser makes: a blank not filled in, a colon for a semicolon.

    It knows no robot by name, so it finds those nobody has met: whoever copies a browser's string by hand slips anew.
    """
    anatomy = said.anatomy
    if said.in_app_browser:
        return None
    return TrafficReason.unlikely_user_agent if _GARBLED.fits(anatomy.bare) else None


RULES: tuple[UserAgentRule, ...] = (says_nothing, names_itself, fits_list, fits_no_frame, garbles_frame)
