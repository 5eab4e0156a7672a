"""How likely a request was made by no person. The rules come with their own measurements; nothing is blocked here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Score(NamedTuple):
    """0 (a person) to 100 (certainly not), and why; `list_versions` names the lists and databases it rests on."""

    score: int
    reasons: list[str]
    list_versions: dict[str, str]


UNSCORED = Score(0, [], {})


def score(method: bytes, headers: Sequence[tuple[bytes, bytes]], is_https: bool) -> Score:
    """Judge a request by what it says itself; pure, and never reads a store."""
    return UNSCORED
