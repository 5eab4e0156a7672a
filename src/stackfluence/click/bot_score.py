"""How likely a request was made by no person: what the rules find, and what it adds up to. Nothing is blocked here."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

from stackfluence.click.rules import apps, arrival, consistency, device, hints, user_agent
from stackfluence.click.rules import headers as header_rules
from stackfluence.click.rules.lists import VERSIONS
from stackfluence.click.signals import Rule, Signals
from stackfluence.reasons import score_of, traffic_class_of
from stackfluence.vocabulary import TrafficClass, TrafficReason

RULES_VERSION = "1"
USER_AGENT_RULES: tuple[Rule, ...] = (*user_agent.RULES, *consistency.RULES)  # need nothing but the user agent
RULES: tuple[Rule, ...] = (*USER_AGENT_RULES, *arrival.RULES, *header_rules.RULES, *hints.RULES)


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
    signals = Signals(
        headers,
        method=method,
        is_https=is_https,
        is_order_kept=is_order_kept,
        has_headers=has_headers,
        is_self_referred=is_self_referred,
    )
    signals.in_app_browser = apps.recognise(signals.user_agent)
    rules = RULES if has_headers else USER_AGENT_RULES
    found = {reason: None for rule in rules if (reason := rule(signals)) is not None}
    ua_family, os_family = device.families(signals.user_agent)
    return Reading(tuple(found), ua_family, os_family, device.device_class(signals), signals.in_app_browser)


def combine(*parts: tuple[TrafficReason, ...]) -> Verdict:
    """Return the verdict on reasons from several places; one that is given twice counts once."""
    reasons = tuple(dict.fromkeys(reason for part in parts for reason in part))
    return Verdict(score_of(reasons), reasons, traffic_class_of(reasons))
