"""Many patterns searched as one: by google-re2, in time that depends on the text alone, what it lacks by `re`."""

from __future__ import annotations

import re
from collections.abc import Iterable

import re2

LONGEST = 1_000  # characters of a user agent that are looked at; browsers write 60 to 600, apps up to 950
REMEMBERED = 16  # the rules ask about one user agent, one after the other
MEMORY = 4 << 20  # bytes an automaton may grow to, however odd the texts; re2 starts it anew then
_LOOKS_AROUND = re.compile(r"\(\?<?[=!]")
_CHOICE_BEHIND = re.compile(r"\(\?<!([^()|]+\|[^()]+)\)")
_RANGE_OF_CLASS = re.compile(r"(\\[dswDSW])-(?=[^\]])")


def in_python(pattern: str) -> str:
    """Return a JavaScript pattern as Python's `re` takes it.

    Python wants one width behind: `(?<!a|bc)` is `(?<!a)(?<!bc)`. In a class it takes `\\d-.` for a range.
    """
    pattern = _CHOICE_BEHIND.sub(lambda found: "".join(f"(?<!{one})" for one in found[1].split("|")), pattern)
    return _RANGE_OF_CLASS.sub(r"\1\\-", pattern)


def without_surroundings(pattern: str) -> str:
    """Return a pattern without its look-arounds: it fits whatever the pattern fits, and more."""
    while found := _LOOKS_AROUND.search(pattern):
        end, depth = found.end(), 1
        while depth:
            if pattern[end] == "\\":
                end += 1
            else:
                depth += (pattern[end] == "(") - (pattern[end] == ")")
            end += 1
        pattern = pattern[: found.start()] + pattern[end:]
    return pattern


class Patterns:
    """Many patterns as one, without regard to case when `is_folded`.

    Patterns that look around are tried with `re`, and only when the pattern without its surroundings fits.
    """

    def __init__(self, patterns: Iterable[str], *, is_folded: bool, memory: int = MEMORY) -> None:
        translated = [in_python(pattern) for pattern in patterns]
        looking = [pattern for pattern in translated if _LOOKS_AROUND.search(pattern)]
        self._plain = _compile([pattern for pattern in translated if pattern not in looking], is_folded, memory)
        self._wide = _compile([without_surroundings(pattern) for pattern in looking], is_folded, memory)
        self._looking = [re.compile(pattern, re.ASCII | (re.IGNORECASE if is_folded else 0)) for pattern in looking]

    def fits(self, text: str) -> bool:
        """Whether one of the patterns is found in the text."""
        if self._plain is not None and self._plain.Match(text):
            return True
        if self._wide is None or not self._wide.Match(text):
            return False
        return any(pattern.search(text) for pattern in self._looking)


class Tables:
    """Several patterns searched in one go, without regard to case, of which the first that fits counts."""

    def __init__(self, patterns: Iterable[str], memory: int = MEMORY) -> None:
        self._set = re2.Set.SearchSet(_options(True, memory))
        for pattern in patterns:
            self._set.Add(pattern)
        self._set.Compile()

    def first(self, text: str) -> int | None:
        """Return the place of the first pattern that is found in the text, None for none."""
        fitting = self._set.Match(text)
        return min(fitting) if fitting else None


def _compile(patterns: list[str], is_folded: bool, memory: int) -> re2.Set | None:
    """Return a set of the patterns' union alone: it answers in half the time of a search, which says where as well."""
    if not patterns:
        return None
    union = re2.Set.SearchSet(_options(is_folded, memory))
    union.Add("|".join(f"(?:{pattern})" for pattern in patterns))
    union.Compile()
    return union


def _options(is_folded: bool, memory: int) -> re2.Options:
    options = re2.Options()
    options.case_sensitive = not is_folded
    options.never_capture = True
    options.max_mem = memory
    return options
