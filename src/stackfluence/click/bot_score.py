"""How likely a request was made by no person: what the rules find, and what it adds up to. Nothing is blocked here."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, lru_cache
from typing import NamedTuple

import msgspec

from stackfluence.click.rules import arrival, consistency, device, hints, user_agent
from stackfluence.click.rules import headers as header_rules
from stackfluence.click.rules.lists import VERSIONS
from stackfluence.click.signals import Claim, Rule, Signals, UserAgentRule, introduce, read_fields
from stackfluence.reasons import score_of, traffic_class_of
from stackfluence.vocabulary import TrafficClass, TrafficReason

RULES_VERSION = "1"
USER_AGENT_RULES: tuple[UserAgentRule, ...] = (*user_agent.RULES, *consistency.RULES)  # need nothing but the user agent
HEADER_RULES: tuple[Rule, ...] = (*arrival.RULES, *header_rules.RULES)
_TELLING = frozenset((*arrival.AHEAD, *header_rules.OF_MACHINES))  # headers that only a few rules look for
RULES: tuple[UserAgentRule | Rule, ...] = (*USER_AGENT_RULES, *HEADER_RULES, *hints.RULES)
REMEMBERED = 2_000  # user agents: headers that are new mostly come with one that was there; 16 MB of the longest
VERDICTS = 5_000  # sets of reasons, from all places; a few hundred occur


class Verdict(NamedTuple):
    """`score` is 0 (a person) to 100 (certainly not), `reasons` add up to it, the heaviest gives the class."""

    score: int
    reasons: tuple[TrafficReason, ...]
    traffic_class: TrafficClass


class Reading(msgspec.Struct, frozen=True, gc=False):
    """What one header block says: the reasons found in it, and the visitor's browser, system, device and app."""

    reasons: tuple[TrafficReason, ...]
    ua_family: str
    os_family: str
    device_class: str
    in_app_browser: str


@cache
def list_versions() -> dict[str, str]:
    """Return names and versions of our rules and of the lists that they rest on."""
    return {"rules": RULES_VERSION, **VERSIONS}


def read(
    headers: Sequence[tuple[str, str]],
    *,
    method: str = "GET",
    is_https: bool = True,
    is_order_kept: bool = True,
    has_headers: bool = True,
    is_self_referred: bool = False,
    fields: dict[str, str] | None = None,
) -> Reading:
    """Judge a request by what it says itself; pure. `has_headers=False`: only the user agent is known.

    `fields` are the headers as `read_fields` gives them, for who has read them already.
    """
    if fields is None:
        fields = read_fields(headers)
    reading, claim = _introduced(fields.get("user-agent", ""))
    if not has_headers:
        return reading
    signals = Signals(
        headers,
        method=method,
        is_https=is_https,
        is_order_kept=is_order_kept,
        is_self_referred=is_self_referred,
        in_app_browser=reading.in_app_browser,
        claim=claim,
        fields=fields,
    )
    is_usual = method == "GET" and not is_self_referred and _TELLING.isdisjoint(fields)
    has_hints = "sec-ch-ua" in fields or "sec-ch-ua-platform" in fields or "sec-ch-ua-mobile" in fields
    found = []
    for rule in _rules_for(claim.engine, is_https, is_order_kept, has_hints, is_usual):
        reason = rule(signals)
        if reason is not None:
            found.append(reason)
    if not found:
        return reading
    reasons = tuple(dict.fromkeys((*reading.reasons, *found)))
    return Reading(reasons, reading.ua_family, reading.os_family, reading.device_class, reading.in_app_browser)


@cache
def _rules_for(engine: str, is_https: bool, is_order_kept: bool, has_hints: bool, is_usual: bool) -> tuple[Rule, ...]:
    """Return the rules on headers that can have a say, in their order; the others would find nothing.

    `is_usual`: an ordinary GET without a header that one of `_TELLING` is.
    """
    silent: set[Rule] = set()
    if is_usual:
        silent.update((*arrival.RULES, header_rules.automation_header))
    if not is_https:
        silent.update(header_rules.OVER_HTTPS)
    if not is_order_kept:
        silent.add(header_rules.unlike_header_order)
    if not has_hints:
        silent.update(hints.RULES)
    for rule, engines in (*header_rules.ENGINES.items(), *hints.ENGINES.items()):
        if engine not in engines:
            silent.add(rule)
    return tuple(rule for rule in (*HEADER_RULES, *hints.RULES) if rule not in silent)


def prepare() -> None:
    """Read what is read at its first use, which takes 0.1 s, so that no click has to wait for it."""
    read([("User-Agent", "Mozilla/5.0")])


@lru_cache(maxsize=REMEMBERED)
def _introduced(user_agent: str) -> tuple[Reading, Claim]:
    """Return what a user agent says by itself.

    Strings with nothing but a browser's words are nearly all that come: no list is asked about them, only versions.
    """
    said = introduce(user_agent)
    anatomy = said.anatomy
    rules = USER_AGENT_RULES
    if anatomy.is_plain:
        rules = consistency.VERSION_RULES if "Chrome/" in user_agent else ()
    found = [reason for rule in rules if (reason := rule(said)) is not None]
    ua_family, os_family = device.families(user_agent, anatomy)
    reasons = tuple(dict.fromkeys(found)) if found else ()
    return Reading(reasons, ua_family, os_family, device.device_class(said), said.in_app_browser), said.claim


@lru_cache(maxsize=VERDICTS)
def combine(*parts: tuple[TrafficReason, ...]) -> Verdict:
    """Return the verdict on reasons from several places; one that is given twice counts once."""
    reasons = tuple(dict.fromkeys(reason for part in parts for reason in part))
    return Verdict(score_of(reasons), reasons, traffic_class_of(reasons))
