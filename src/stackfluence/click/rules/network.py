"""What the network a click came from says, with the language asked for: never enough to condemn it.

All of it together stays far below the score that flags a click: people work through data centres, subscribe to VPNs,
travel and migrate.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache, lru_cache
from typing import NamedTuple

from stackfluence import lists
from stackfluence.click.geo import Place
from stackfluence.errors import ListsUnusable
from stackfluence.vocabulary import NetworkClass, TrafficReason

_NETWORK = {
    NetworkClass.hosting: (TrafficReason.hosting_network,),
    NetworkClass.vpn: (TrafficReason.vpn_network,),
}
_ELSEWHERE = {NetworkClass.hosting, NetworkClass.vpn, NetworkClass.relay}  # the address's country isn't the visitor's
_NEVER_RARE = ("en", "*", "")
_LANGUAGES_READ = 20  # of one header; a browser sends up to about ten
_SAME = {  # what browsers send → what the Unicode CLDR calls it; macrolanguages and withdrawn codes of ISO 639
    "no": "nb", "nn": "nb", "tl": "fil", "iw": "he", "in": "id", "ji": "yi", "sh": "sr", "bs": "hr", "cnr": "sr",
    "mo": "ro", "cmn": "zh", "ckb": "ku", "prs": "fa", "arb": "ar", "swh": "sw", "zsm": "ms",
}  # fmt: skip


def reasons(place: Place, accept_language: str) -> tuple[TrafficReason, ...]:
    """Return what speaks against a click from `place` that asked for the languages of its `Accept-Language`."""
    is_here = place.country != "" and place.network not in _ELSEWHERE
    if is_here and accept_language and is_rare(place.country, accept_language):
        return (TrafficReason.unlikely_language,)
    return _NETWORK.get(place.network, ())


@cache
def versions() -> dict[str, str]:
    """Return the version of the table of languages, empty when it isn't installed."""
    return {"cldr-territories": _languages().version} if _languages().version else {}


def is_rare(country: str, accept_language: str) -> bool:
    """Whether none of the languages asked for is usual in a country; False when the table doesn't know the country.

    Usual are English, what Unicode's CLDR counts there, down to the smallest minorities, and the languages of so
    many countries that their speakers are everywhere.
    """
    table = _languages()
    spoken = table.spoken.get(country)
    if spoken is None:
        return False
    asked = _asked(accept_language)
    return table.spread.isdisjoint(asked) and spoken.isdisjoint(asked)


@lru_cache(maxsize=5_000)
def _asked(accept_language: str) -> tuple[str, ...]:
    """Return the languages that a header asks for, as the table calls them."""
    asked = accept_language.lower().split(",", _LANGUAGES_READ)[:_LANGUAGES_READ]
    return tuple([_named(part.partition(";")[0].strip()) for part in asked])


def _named(tag: str) -> str:
    language = tag.replace("_", "-").partition("-")[0]
    return _SAME.get(language, language)


class _Languages(NamedTuple):
    """The table: what is `spoken` in each country that it knows, and what is `spread` over so many that it's rare in
    none. `version` is empty when it isn't installed.
    """

    version: str
    spoken: dict[str, frozenset[str]]
    spread: frozenset[str]


@cache
def _languages() -> _Languages:
    try:
        table = lists.load("languages")
    except ListsUnusable:  # doctor says so; a click is never lost to it
        return _Languages("", {}, frozenset())
    spoken = {country: _named_alike(languages) for country, languages in table["languages"].items() if languages}
    return _Languages(str(table["version"]), spoken, _named_alike((*table["spread"], *_NEVER_RARE)))


def _named_alike(languages: Iterable[str]) -> frozenset[str]:
    return frozenset(_SAME.get(language, language) for language in languages)
