"""What is missing between a page, a shop and its reports, and why: one function a finding, in the order of the journey.

Each takes what was seen and returns a sentence, or None when there is nothing to say. Only what arrived is looked at:
no page is ever asked for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from stackfluence.events.store import Row
from stackfluence.vocabulary import ClickIdStatus, Consent, ConversionType, EventType, InstallFinding, TrustTier

MOST_NAMED = 5  # of hosts, shops or reasons in one sentence
VISITS = (EventType.session, EventType.pageview)
REFUSING = (Consent.denied, Consent.opted_out)


@dataclass(frozen=True, slots=True)
class Refused:
    """Requests that an edge refused alike: nothing of them was kept."""

    origin: str
    path: str
    status: int
    type: str
    detail: str
    requests: int
    last_ms: int


@dataclass(frozen=True, slots=True)
class Seen:
    """What arrived in the last minutes; `host` and `path` are of the page that is asked about, empty for all."""

    minutes: int
    host: str
    path: str
    arrivals: list[Row]
    pages: list[Row]
    quarantined: list[Row]
    refused: list[Refused] = field(default_factory=list)

    @property
    def clicks(self) -> int:
        """How many clicks on the organization's links."""
        return _count(row for row in self.arrivals if row["event_type"] == EventType.click)

    @property
    def told(self) -> list[Row]:
        """What pages of the host, and servers, told."""
        return [
            row
            for row in self.arrivals
            if row["event_type"] != EventType.click
            and (not self.host or row["host"] in ("", self.host) or row["trust_tier"] != TrustTier.browser)
        ]

    @property
    def visits(self) -> list[Row]:
        """Sessions and pageviews of the host, and those that kept no address."""
        return [row for row in self.told if row["event_type"] in VISITS]

    @property
    def orders(self) -> list[Row]:
        """Purchases, however they were told."""
        return [row for row in self.told if row["conversion_type"] == ConversionType.purchase]


def _count(rows: Iterable[Row]) -> int:
    return sum(row["events"] for row in rows)


def _list(counted: Mapping[str, int]) -> str:
    """Return names with their counts, the most frequent first."""
    first = sorted(counted.items(), key=lambda item: (-item[1], item[0]))
    more = f" and {len(first) - MOST_NAMED} more" if len(first) > MOST_NAMED else ""
    return ", ".join(f"{name} ({count})" for name, count in first[:MOST_NAMED]) + more


def _nothing_received(seen: Seen) -> str | None:
    if seen.told or seen.quarantined or any(row["event_type"] != EventType.click for row in seen.arrivals):
        return None
    return (
        f"No page and no server told anything in the last {seen.minutes} minutes. Is sf.js in the page, with your "
        "organization and endpoint? Open the page, look around for a few seconds, and check again; the browser's "
        "console says what sf.js misses."
    )


def _other_hosts_only(seen: Seen) -> str | None:
    hosts: Counter[str] = Counter()
    for row in seen.arrivals:
        if row["host"] and row["event_type"] in VISITS:
            hosts[row["host"]] += row["events"]
    if not seen.host or not hosts or seen.host in hosts:
        return None
    return f"Nothing came from {seen.host}, but from {_list(hosts)}. Is sf.js in the pages of {seen.host}, too?"


def _page_not_seen(seen: Seen) -> str | None:
    if not seen.path or not any(row["host"] == seen.host for row in seen.visits):
        return None
    if any(row["host"] == seen.host and row["page_path"] == seen.path for row in seen.pages):
        return None
    return (
        f"Pages of {seen.host} were seen, {seen.path} was not. Is sf.js in that page's template? Does it forward to "
        "another address at once?"
    )


def _no_visits(seen: Seen) -> str | None:
    if not seen.told or any(row["event_type"] in VISITS for row in seen.arrivals):
        return None
    return (
        "Only orders, refunds or customers were told, no visits: no page with sf.js was seen. Orders count without it; "
        "sessions can't be counted, and where no server passes the click ID on, orders are found by code or customer "
        "alone."
    )


def _no_consent(seen: Seen) -> str | None:
    if not seen.visits or any(row["consent"] not in REFUSING for row in seen.visits):
        return None
    return (
        f"All {_count(seen.visits)} visits came without consent, so nothing of them is counted. Does the consent "
        "banner call sfq('consent', 'granted')? Does your own browser send Global Privacy Control?"
    )


def _no_click_ids(seen: Seen) -> str | None:
    statuses = {row["click_id_status"] for row in seen.visits}
    if statuses != {ClickIdStatus.missing}:
        return None
    came = f"there were {seen.clicks} clicks on your links" if seen.clicks else "there was no click on your links"
    return (
        f"None of {_count(seen.visits)} visits had a click ID; {came} meanwhile. Open one of your links in a new "
        "private window: the page's address must end with inf_click_id=…. If it doesn't, a redirect of the shop drops "
        "the query; if it does, sf.js comes too late or from an old copy."
    )


_UNUSABLE = {
    ClickIdStatus.malformed: "cut or changed on the way: a redirect that lowers the case or shortens the query",
    ClickIdStatus.bad_signature: "not issued here, or changed on the way; does the shop send to the right endpoint?",
    ClickIdStatus.wrong_organization: "another organization's: is `data-org` your own?",
    ClickIdStatus.expired: "older than SF_CLICK_ID_TTL_DAYS",
    ClickIdStatus.unrecorded: "of clicks that could not be put on disk; see /metrics of the edge",
}


def _unusable_click_ids(seen: Seen) -> str | None:
    found: Counter[str] = Counter()
    for row in seen.told:
        if row["click_id_status"] in _UNUSABLE:
            found[row["click_id_status"]] += row["events"]
    if not found:
        return None
    reasons = "; ".join(f"{status} is {why}" for status, why in _UNUSABLE.items() if status in found)
    return f"Click IDs came that can't be used: {_list(found)}. {reasons}."


def _no_orders(seen: Seen) -> str | None:
    if seen.orders or not seen.told:
        return None
    return (
        f"No purchase was told in the last {seen.minutes} minutes. If there was one, the confirmation page does not "
        "call sfq('conversion', …), or the shop's server, plug-in or webhook doesn't send it."
    )


def _unconfirmed_orders(seen: Seen) -> str | None:
    if not seen.orders or any(row["trust_tier"] != TrustTier.browser for row in seen.orders):
        return None
    return (
        f"All {_count(seen.orders)} purchases were told by browsers, where anyone can tell anything: they move no "
        "money until a server with a secret key, or a connected shop, tells the same `shop` and `order_id`."
    )


def _unconnected_orders(seen: Seen) -> str | None:
    confirmed = [row for row in seen.orders if row["trust_tier"] != TrustTier.browser]
    if not confirmed or any(row["connected"] for row in confirmed):
        return None
    return (
        f"None of {_count(confirmed)} purchases that servers told has a valid click ID, a code or a customer. Pass on "
        "the cookie inf_click_id with the order, and all codes that were used."
    )


def _several_sources(seen: Seen) -> str | None:
    sources: Counter[str] = Counter()
    for row in seen.orders:
        sources[row["shop"] or "no `shop`"] += row["events"]
    if len(sources) < 2:
        return None
    return (
        f"Purchases were told under several shops: {_list(sources)}. If these are the same orders, each counts more "
        "than once: let one source tell of a shop, or let all name the same `shop` and `order_id`."
    )


def _test_only(seen: Seen) -> str | None:
    if not seen.told or not all(row["is_test"] for row in seen.told):
        return None
    return "Everything that came is marked as a test, by its sender or by a test link: it is counted apart."


def _quarantined(seen: Seen) -> str | None:
    if not seen.quarantined:
        return None
    found: Counter[str] = Counter()
    for row in seen.quarantined:
        found[f"{row['event_type'] or 'event'}: {row['reason']} {row['detail']}".strip()] += row["events"]
    return f"{_count(seen.quarantined)} events can't be used and are kept apart: {_list(found)}."


def _refused(seen: Seen) -> str | None:
    if not seen.refused:
        return None
    found: Counter[str] = Counter()
    for refused in seen.refused:
        whence = f" from {refused.origin}" if refused.origin else ""
        found[f"{refused.status} {refused.type}{whence}: {refused.detail}"] += refused.requests
    return f"{sum(found.values())} requests were refused and nothing of them kept: {_list(found)}."


FINDINGS: list[tuple[InstallFinding, Callable[[Seen], str | None]]] = [
    (InstallFinding.nothing_received, _nothing_received),
    (InstallFinding.refused, _refused),
    (InstallFinding.quarantined, _quarantined),
    (InstallFinding.other_hosts_only, _other_hosts_only),
    (InstallFinding.page_not_seen, _page_not_seen),
    (InstallFinding.no_visits, _no_visits),
    (InstallFinding.no_consent, _no_consent),
    (InstallFinding.no_click_ids, _no_click_ids),
    (InstallFinding.unusable_click_ids, _unusable_click_ids),
    (InstallFinding.no_orders, _no_orders),
    (InstallFinding.unconfirmed_orders, _unconfirmed_orders),
    (InstallFinding.unconnected_orders, _unconnected_orders),
    (InstallFinding.several_sources, _several_sources),
    (InstallFinding.test_only, _test_only),
]


def find(seen: Seen) -> list[tuple[InstallFinding, str]]:
    """Return what is to be said of what was seen, each finding with its sentence."""
    return [(word, sentence) for word, look in FINDINGS if (sentence := look(seen))]
