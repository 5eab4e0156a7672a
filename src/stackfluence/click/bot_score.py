"""How likely a request was made by no person: what the rules find, and what it adds up to. Nothing is blocked here."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, lru_cache
from typing import NamedTuple

from stackfluence.click.rules import apps, arrival, consistency, device, hints, user_agent
from stackfluence.click.rules import headers as header_rules
from stackfluence.click.rules.frames import dissect
from stackfluence.click.rules.lists import VERSIONS
from stackfluence.click.signals import Claim, Rule, Signals, read_fields
from stackfluence.reasons import score_of, traffic_class_of
from stackfluence.vocabulary import TrafficClass, TrafficReason

RULES_VERSION = "1"
USER_AGENT_RULES: tuple[Rule, ...] = (*user_agent.RULES, *consistency.RULES)  # need nothing but the user agent
HEADER_RULES: tuple[Rule, ...] = (*arrival.RULES, *header_rules.RULES)
RULES: tuple[Rule, ...] = (*USER_AGENT_RULES, *HEADER_RULES, *hints.RULES)
REMEMBERED = 2_000  # user agents: headers that are new mostly come with one that was there; 16 MB of the longest
VERDICTS = 5_000  # sets of reasons, from all places; a few hundred occur


class Verdict(NamedTuple):
    """`score` is 0 (a person) to 100 (certainly not), `reasons` add up to it, the heaviest gives the class."""

    score: int
    reasons: tuple[TrafficReason, ...]
    traffic_class: TrafficClass


class Reading(NamedTuple):
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
) -> Reading:
    """Judge a request by what it says itself; pure. `has_headers=False`: only the user agent is known."""
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
    rules = HEADER_RULES if hints.HINTS.isdisjoint(fields) else (*HEADER_RULES, *hints.RULES)
    found = [reason for rule in rules if (reason := rule(signals)) is not None]
    return reading._replace(reasons=tuple(dict.fromkeys((*reading.reasons, *found)))) if found else reading


@lru_cache(maxsize=REMEMBERED)
def _introduced(user_agent: str) -> tuple[Reading, Claim]:
    """Return what a user agent says by itself; apps are recognised before any rule is asked.

    Strings with nothing but a browser's words are nearly all that come: no list is asked about them, only versions.
    """
    anatomy = dissect(user_agent)
    is_unnamed = anatomy.is_plain and not anatomy.own_words and " GSA/" not in user_agent
    app = apps.webview(user_agent) if is_unnamed else apps.recognise(user_agent)
    signals = Signals((), has_headers=False, in_app_browser=app, fields={"user-agent": user_agent}, anatomy=anatomy)
    rules = consistency.VERSION_RULES if anatomy.is_plain else USER_AGENT_RULES
    found = {reason: None for rule in rules if (reason := rule(signals)) is not None}
    reading = Reading(tuple(found), *device.families(user_agent, anatomy), device.device_class(signals), app)
    return reading, signals.claim


@lru_cache(maxsize=VERDICTS)
def combine(*parts: tuple[TrafficReason, ...]) -> Verdict:
    """Return the verdict on reasons from several places; one that is given twice counts once."""
    reasons = tuple(dict.fromkeys(reason for part in parts for reason in part))
    return Verdict(score_of(reasons), reasons, traffic_class_of(reasons))
