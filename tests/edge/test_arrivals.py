"""A link is posted, and everything comes that comes: robots are stored and count for nothing, people all count."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from ipaddress import ip_network
from pathlib import Path

import pytest

from stackfluence.demo.header_sets import HeaderSets, Kind, fill
from stackfluence.reasons import FLAGGED, REASONS, score_of, traffic_class_of
from stackfluence.vocabulary import RedirectOutcome, TrafficClass, TrafficReason
from tests.edge.arrivals import AHEAD, HEAD_STORM, PREVIEWS, SCANNERS, Asked, federation
from tests.edge.edges import Event, RunningEdge, start_edge

TRANSPORTS = ("https", "http")
LINK = "/c/emma/summer"
SETS = HeaderSets()
TOLD_AS = {"gsa": "google", "x": "twitter"}  # apps by the words of `rules/apps.py`
PEOPLE = [name for name, known in SETS.visits.items() if known.kind in (Kind.person, Kind.in_app)]


@pytest.fixture(params=TRANSPORTS)
async def link(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Link]:
    """Return a link as the world sees it: behind a proxy that speaks TLS, or plainly."""
    is_https = request.param == "https"
    proxies = (ip_network("127.0.0.0/8"),) if is_https else ()
    async with start_edge(tmp_path, proxies=proxies) as running:
        yield Link(running, is_https)


class Link:
    """One link, and what became of those who came."""

    def __init__(self, running: RunningEdge, is_https: bool) -> None:
        self.running = running
        self.is_https = is_https

    async def is_asked(self, requests: Iterable[Asked], addresses: Sequence[str] = ("203.0.113.7",)) -> None:
        """Send requests one after another, each from the next of the addresses; every one is redirected."""
        client = await self.running.connect()
        for asked, address in zip(requests, itertools.cycle(addresses), strict=False):
            headers = [("Host", "go.brand.example"), *asked.headers]
            if self.is_https:
                headers += [("X-Forwarded-For", address), ("X-Forwarded-Proto", "https")]
            lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
            client.send(f"{asked.method} {LINK} HTTP/1.1\r\n{lines}\r\n".encode())
            answer = await client.response(of_head=asked.method == "HEAD")
            assert answer.status == 302, "nobody is blocked"
            if answer.get("connection") == "close" or ("Connection", "close") in asked.headers:
                client = await self.running.connect()

    @property
    def clicks(self) -> list[Event]:
        """All that is stored."""
        return self.running.events()

    @property
    def valid(self) -> list[tuple[str, list[str]]]:
        """User agents and reasons of the clicks that would be paid."""
        return [
            (click.expiring.user_agent if click.expiring else "", list(click.leaf.bot_reasons))
            for click in self.clicks
            if click.leaf.bot_score < FLAGGED
        ]

    @property
    def heads(self) -> int:
        """HEAD requests that were counted."""
        return self.running.edge.counts[RedirectOutcome.head]


def reasons_of(click: Event) -> list[TrafficReason]:
    return [TrafficReason(reason) for reason in click.leaf.bot_reasons]


def got(requests: Sequence[Asked]) -> int:
    return sum(asked.method == "GET" for asked in requests)


def assert_adds_up(clicks: Iterable[Event]) -> None:
    """Fail unless every score is the sum of its reasons' weights."""
    for click in clicks:
        assert click.leaf.bot_score == score_of(reasons_of(click))


@pytest.mark.parametrize("name", PREVIEWS)
async def test_what_fetches_a_preview_is_stored_and_no_valid_click(link: Link, name: str) -> None:
    await link.is_asked(PREVIEWS[name])

    assert link.valid == []
    assert len(link.clicks) == got(PREVIEWS[name])
    assert link.heads == len(PREVIEWS[name]) - got(PREVIEWS[name])
    assert {traffic_class_of(reasons_of(click)) for click in link.clicks} == {TrafficClass.givt}
    assert_adds_up(link.clicks)


async def test_a_post_that_hundreds_of_federated_servers_fetch_brings_no_valid_click(link: Link) -> None:
    addresses = [f"198.51.100.{number}" for number in range(1, 255)]
    await link.is_asked(federation(300), addresses)

    assert link.valid == []
    assert len(link.clicks) == 300
    assert {traffic_class_of(reasons_of(click)) for click in link.clicks} == {TrafficClass.givt}


@pytest.mark.parametrize("name", SCANNERS)
async def test_what_checks_the_links_of_a_letter_is_no_valid_click(link: Link, name: str) -> None:
    await link.is_asked(SCANNERS[name])

    assert link.valid == []
    assert len(link.clicks) == got(SCANNERS[name])
    assert_adds_up(link.clicks)


@pytest.mark.parametrize("name", AHEAD)
async def test_what_a_browser_fetches_ahead_waits_for_the_page_to_be_looked_at(link: Link, name: str) -> None:
    await link.is_asked(AHEAD[name])

    assert link.valid == []
    [click] = link.clicks
    for_good = [reason for reason in reasons_of(click) if not REASONS[reason].is_provisional]
    assert score_of(for_good) < FLAGGED, "a session must be able to make it valid"


async def test_a_storm_of_heads_is_counted_and_makes_no_click(link: Link) -> None:
    await link.is_asked(HEAD_STORM)

    assert link.clicks == []
    assert link.heads == len(HEAD_STORM)


@pytest.mark.parametrize("name", [name for name, known in SETS.visits.items() if known.kind == Kind.preview])
async def test_the_demo_s_previews_are_no_valid_clicks(link: Link, name: str) -> None:
    known = SETS.named(name)
    await link.is_asked([Asked(known.method, _filled(name, choice)) for choice in _choices(name)])

    assert link.valid == []
    assert len(link.clicks) + link.heads == len(list(_choices(name)))


@pytest.mark.parametrize("name", PEOPLE)
async def test_people_are_valid_in_every_app_and_browser(link: Link, name: str) -> None:
    choices = list(_choices(name))
    await link.is_asked([Asked("GET", _filled(name, choice)) for choice in choices])

    assert len(link.clicks) == len(choices)
    assert len(link.valid) == len(choices), [
        click.leaf.bot_reasons for click in link.clicks if click.leaf.bot_score >= FLAGGED
    ]
    app = name.rpartition("-")[0] if SETS.named(name).kind == Kind.in_app else ""
    assert {click.leaf.in_app_browser for click in link.clicks} == {TOLD_AS.get(app, app)}
    assert_adds_up(link.clicks)


@pytest.mark.parametrize("link", ["https"], indirect=True)  # where a proxy tells addresses apart
async def test_a_carrier_s_customers_with_one_phone_model_are_all_valid(link: Link) -> None:
    """Thousands share few addresses (RFC 6598), and an app on one model sends the same headers from each phone."""
    phone = Asked("GET", _filled("instagram-iphone", next(_choices("instagram-iphone"))))
    shared = ["203.0.113.9"] * 60
    each = [f"198.51.{block}.{number}" for block in (100, 101, 102) for number in range(1, 255)]
    await link.is_asked([phone] * (len(shared) + len(each)), [*shared, *each])

    assert len(link.valid) == len(link.clicks) == len(shared) + len(each)


def _choices(name: str) -> Iterator[dict[str, str]]:
    """Give every combination of what a header set leaves open, at most 24, spread evenly."""
    choices = SETS.named(name).choices
    whole = [dict(zip(choices, values, strict=True)) for values in itertools.product(*choices.values())]
    return iter([whole[number * len(whole) // min(24, len(whole))] for number in range(min(24, len(whole)))])


def _filled(name: str, choice: dict[str, str]) -> tuple[tuple[str, str], ...]:
    names = {**choice, "host": "go.brand.example", "referer": "https://t.co/"}
    filled = fill(SETS.named(name).headers, names)
    return tuple((header, value) for header, value in filled if header.lower() != "host")
