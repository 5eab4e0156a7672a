"""Up to which version of a browser's engine it is known what it sends.

Browsers change what they send without notice, and everybody gets the change within weeks. A rule that says what a
version always sends must therefore end: above `last` it is silent. Rules that compare a request with itself have no
end, nor have those on what is older than any engine.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from typing import NamedTuple


class Known(NamedTuple):
    """Of one engine: the newest major version whose headers somebody captured, and how many come in a year."""

    browser: str
    newest: int
    a_year: int

    @property
    def last(self) -> int:
        """The last major version that is held to what is known.

        A year ahead: who copies a browser's headers by hand writes the version of the day under them, and most
        releases change none. Longer, an installation that is never updated would take everybody's browser for a copy.
        """
        return self.newest + self.a_year


# Releases: Chrome every two weeks since 153 (September 2026), Firefox every four, Safari's major version every autumn
NEWEST: Mapping[str, Known] = {
    "blink": Known("Chromium", 156, 26),
    "gecko": Known("Firefox", 153, 13),
    "webkit": Known("Safari", 26, 1),
}
CAPTURED_ON = date(2026, 11, 1)
GOOD_FOR_DAYS = 365  # as many as `last` looks ahead

# On iOS the system's version tells WebKit's, unless Safari says its own under a frozen one; other browsers count alone
_ON_WEBKIT = re.compile(r"( OS |\bVersion/|\b(?:CriOS|EdgiOS)/|\bFxiOS/)(\d{1,4})")
_COUNTED_AS = {" OS ": "webkit", "Version/": "webkit", "CriOS/": "blink", "EdgiOS/": "blink", "FxiOS/": "gecko"}


def is_beyond(engine: str, major: int, user_agent: str) -> bool:
    """Whether a browser is newer than what is known of its engine."""
    if engine == "webkit":
        named = _ON_WEBKIT.findall(user_agent)
        return any(int(number) > NEWEST[_COUNTED_AS[name]].last for name, number in named)
    known = NEWEST.get(engine)
    return known is not None and major > known.last
