"""What each reason against a click weighs, and what it says to the people on both sides.

A click's score is the sum of the weights of its reasons, at most 100: no order, no hidden interplay, and anybody can
add it up again. A weight below FLAGGED never condemns a click alone. The classes are the MRC's, Invalid Traffic
Detection and Filtration Standards Addendum: general (lists and standard checks) and sophisticated (analysis).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from stackfluence.vocabulary import ConversionReason, TouchOutcome, TrafficClass, TrafficReason, UnqualifiedReason

FLAGGED = 50  # from here on a click is invalid unless an organization's policy says otherwise
CERTAIN = 90  # from here on there is no reasonable doubt
MOST = 100

_G, _S = TrafficClass.givt, TrafficClass.sivt


@dataclass(frozen=True, slots=True)
class Reason:
    """One row: MRC class, weight in points, the sentence for people.

    `is_provisional`: a session of the same click lifts it, for a page that was fetched ahead and then looked at.
    `is_after_click`: found in the facts, not at the click.
    """

    traffic_class: TrafficClass
    weight: int
    sentence: str
    is_provisional: bool = False
    is_after_click: bool = False


def _after(traffic_class: TrafficClass, weight: int, sentence: str) -> Reason:
    return Reason(traffic_class, weight, sentence, is_after_click=True)


_R = TrafficReason
REASONS: Mapping[TrafficReason, Reason] = {
    _R.declared_bot: Reason(_G, 100, "The user agent names a crawler or another robot."),
    _R.ai_agent: Reason(_G, 100, "The user agent names an assistant or crawler of an AI company."),
    _R.link_preview: Reason(_G, 100, "An app fetched the link to show a preview; nobody has opened it."),
    _R.mail_scanner: Reason(_G, 100, "A mail gateway fetched the link to check it."),
    _R.uptime_monitor: Reason(_G, 100, "A monitoring service checked whether the link answers."),
    _R.http_library: Reason(_G, 100, "The user agent is that of a programming library or command-line tool."),
    _R.headless_browser: Reason(_G, 80, "The user agent says that the browser runs without a window."),
    _R.attack: Reason(_G, 100, "The user agent carries an attempt to break into a server."),
    _R.no_user_agent: Reason(_G, 100, "No user agent was sent; every browser sends one."),
    _R.listed_pattern: Reason(_G, 60, "The user agent has a word that lists of robots name, such as fetch or feed."),
    _R.unlikely_user_agent: Reason(_G, 60, "The user agent is not built as those of browsers and apps are."),
    _R.impossible_user_agent: Reason(
        _S, 80, "The user agent names a version that was never made, or contradicts itself."
    ),
    _R.head_request: Reason(_G, 100, "Only the headers were asked for; a person's browser asks for the page."),
    _R.prefetch: Reason(_G, 100, "A browser fetched the link ahead; it counts once the page is looked at.", True),
    _R.prerender: Reason(_G, 100, "A browser drew the page ahead; it counts once the page is looked at.", True),
    _R.no_accept_language: Reason(_G, 60, "No language was asked for; browsers always say which they prefer."),
    _R.unlike_navigation: Reason(_G, 60, "It was not asked for as browsers ask for a page."),
    _R.no_fetch_metadata: Reason(_S, 60, "Headers are missing that this browser's version sends with every page."),
    _R.contradicting_hints: Reason(_S, 60, "The browser's hints contradict its user agent."),
    _R.unlike_brands: Reason(_S, 60, "The list of brands is not the one that this browser's version sends."),
    _R.unlike_header_order: Reason(_S, 10, "The headers came in an order that this browser doesn't use."),
    _R.missing_headers: Reason(_S, 5, "Headers are missing that such a browser usually sends."),
    _R.automation_header: Reason(_G, 100, "A header was sent by which automation says what it is."),
    _R.self_referred: Reason(_S, 40, "It claims to come from a tracked link, which shows no page to come from."),
    _R.replayed_click_id: Reason(_S, 10, "The link carried the click ID of an earlier click."),
    _R.malformed_parameters: Reason(_G, 10, "The link's parameters are damaged or not text."),
    _R.hosting_network: Reason(_G, 10, "It came from a data centre; people rarely do."),
    _R.vpn_network: Reason(_G, 10, "It came through a VPN."),
    _R.unlikely_language: Reason(_S, 5, "The language asked for is rare in the country it came from."),
    _R.possible_duplicate: Reason(_G, 0, "Maybe the same visitor's second click on this link; counted all the same."),
    _R.visitor_velocity: Reason(_G, 60, "One visitor clicked more often than a person does."),
    _R.prefix_velocity: Reason(_G, 5, "Unusually many clicks came from one part of the network."),
    _R.link_velocity: Reason(_G, 0, "The link was clicked unusually often at that moment."),
    _R.organization_velocity: Reason(_G, 0, "All links together were clicked unusually often at that moment."),
    _R.webdriver: _after(_S, 100, "The browser said that it is driven by a program."),
    _R.no_session: _after(_S, 60, "It never arrived on the site, though clicks through comparable links do."),
    _R.no_interaction: _after(_S, 10, "The page was open without a movement, key or scroll."),
    _R.conversion_too_fast: _after(_S, 60, "An order followed sooner than a person can place one."),
    _R.conversion_too_late: _after(_S, 5, "Orders follow this creator's clicks much later than others'."),
    _R.click_flooding: _after(_S, 60, "Clicks in great number, nearly none of which led to anything."),
    _R.hyper_engagement: _after(_S, 60, "The same visitor clicked again and again within minutes."),
    _R.hourly_outlier: _after(_S, 5, "This hour's clicks are far above what this creator's audience does."),
    _R.shared_prefix: _after(_S, 5, "One part of the network clicked the links of many creators."),
}


# what is odd about an order weighs nothing: it is told to both sides, and people decide
CONVERSION_SENTENCES: Mapping[ConversionReason, str] = {
    ConversionReason.code_spike: (
        "The code was on many more orders than usual, without clicks of its creator; it may have got around by itself."
    ),
    ConversionReason.conflicting_clicks: "Browsers named clicks of several creators for this one order.",
}

TOUCH_SENTENCES: Mapping[TouchOutcome, str] = {
    TouchOutcome.paid: "It is paid, by the policy that was in force when the order was placed.",
    TouchOutcome.eligible: "It could have been paid; the policy's rule gives the order to another touch.",
    TouchOutcome.invalid_traffic: "The click is invalid traffic.",
    TouchOutcome.outside_window: "More time lies between click and order than the policy looks back.",
    TouchOutcome.unconfirmed_touch: "Only somebody told of it whose word the policy doesn't take for this.",
    TouchOutcome.self_purchase: "The order was placed by one of the creator's own customers.",
}

UNQUALIFIED_SENTENCES: Mapping[UnqualifiedReason, str] = {
    UnqualifiedReason.invalid_traffic: "The click is invalid traffic.",
    UnqualifiedReason.not_measured: "No page told of a visit: the visitor left at once, or it has no snippet.",
    UnqualifiedReason.no_consent: "The visitor objected to being measured, so nobody knows how long the visit was.",
    UnqualifiedReason.untrusted_visit: "Only somebody told of the visit whose word the policy doesn't take for this.",
    UnqualifiedReason.implausible_engagement: "The page told of a longer visit than the time since the click.",
    UnqualifiedReason.not_engaged: "The visitor saw too few pages and left too soon for the policy.",
    UnqualifiedReason.repeated_visit: "The same visitor had come by this creator's link shortly before.",
    UnqualifiedReason.not_derived: "Visits of this day haven't been judged yet.",
}


def score_of(found: Iterable[TrafficReason]) -> int:
    """Return the score of a set of reasons, 0 to 100; a reason that is named twice counts once."""
    return min(MOST, sum(REASONS[reason].weight for reason in set(found)))


def heaviest(found: Iterable[TrafficReason]) -> TrafficReason | None:
    """Return the reason that weighs most, general before sophisticated, then by name; None for none."""
    return min(found, key=rank, default=None)


def rank(reason: TrafficReason) -> tuple[int, str, str]:
    """Return what sorts reasons, the one that decides first."""
    return -REASONS[reason].weight, REASONS[reason].traffic_class, reason


def traffic_class_of(found: Iterable[TrafficReason], flagged_from: int = FLAGGED) -> TrafficClass:
    """Return `valid` below `flagged_from` points, else the class of the reason that weighs most."""
    kept = set(found)
    worst = heaviest(kept)
    if worst is None or score_of(kept) < flagged_from:
        return TrafficClass.valid
    return REASONS[worst].traffic_class
