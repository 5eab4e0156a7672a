"""What no rule can tell at the click, and what follows it can: real browsers driven by programs, and copies of them."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from stackfluence.reasons import FLAGGED
from tests.processes.serving import Serving, run, serving, wait_for

CAMPAIGN = "programs"
CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), ""
)
PHONE = {
    "User-Agent": "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/18.6 Mobile/15E148 Safari/604.1",
    "Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    "Sec-Fetch-Site": "cross-site",
    "Sec-Fetch-Mode": "navigate",
    "Sec-Fetch-Dest": "document",
    "Accept-Language": "en-GB,en;q=0.9",
    "Priority": "u=0, i",
    "Accept-Encoding": "gzip, deflate, br",
    "Connection": "keep-alive",
}
AHEAD = {"Sec-Purpose": "prefetch;prerender"}
# The shop's page, which tells of its visitors as every shop's does
PAGE = """<!doctype html><title>Dresses</title><script async src="EDGE/sf.js" data-org="ORGANIZATION"></script>"""
# Run by every Python process that has its folder in PYTHONPATH: it lives a day and an hour later
TOMORROW = """import time
_time, _time_ns = time.time, time.time_ns
time.time = lambda: _time() + 90_000
time.time_ns = lambda: _time_ns() + 90_000 * 10**9
"""


@contextmanager
def shop() -> Iterator[ThreadingHTTPServer]:
    """Serve `server.page` at every path of a loopback port; yields the server."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = getattr(self.server, "page", "").encode()
            self.send_response(200)
            self.send_header("content-type", "text/html")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class Story:
    """One advertiser's campaign, and the clicks of each creator in it."""

    def __init__(self, running: Serving, destination: str) -> None:
        self.running = running
        self.http = httpx.Client(base_url=running.address, headers=running.secret, timeout=30)
        # visitors of a machine's own network, 127.0.0.0/8, each of a prefix of its own
        sources = (httpx.HTTPTransport(verify=False, local_address=f"127.3.{number}.1") for number in range(20))
        self.visitors = [httpx.Client(transport=source, timeout=30) for source in sources]
        self.destination = destination

    def close(self) -> None:
        self.http.close()
        for visitor in self.visitors:
            visitor.close()

    def link(self, creator: str) -> str:
        """Create a creator's link and return its path."""
        body = {"creator_handle": creator, "campaign_slug": CAMPAIGN, "destination_url": self.destination}
        answer = self.http.post("/v1/links", json=body)
        assert answer.status_code == 201, answer.text
        return f"/c/{creator}/{CAMPAIGN}"

    def click(self, path: str, number: int = 0, headers: Mapping[str, str] = PHONE) -> str:
        """Click as a visitor with a phone does and return the signed click ID."""
        # httpx puts its own headers in front; building the request keeps ours alone
        request = httpx.Request("GET", f"{self.running.address}{path}", headers=headers)
        return signed_id(self.visitors[number % len(self.visitors)].send(request).headers["location"])

    def arrive(self, clicks: list[str]) -> None:
        """Tell of a session and a pageview for each click, as the shop's server."""
        told = [
            {"type": kind, "inf_click_id": click, "session_id": f"s-{click[-12:]}", "time_on_page_ms": 12_000}
            for click in clicks
            for kind in ("session", "pageview")
        ]
        answer = self.http.post("/v1/events/batch", json={"events": told})
        assert answer.status_code == 202, answer.text
        assert {each["status"] for each in answer.json()["events"]} == {"accepted"}

    def is_stored(self, clicks: int, sessions: int) -> None:
        """Wait until that many are in the store."""

        def counts() -> tuple[int, int]:
            total = self.http.get("/v1/reports/summary").json()["total"]
            return total["clicks"], total["sessions"]

        wait_for(lambda: counts() == (clicks, sessions), self.running.log)


def explain(http: httpx.Client, click: str) -> dict[str, Any]:
    """Return what is said of a click."""
    answer = http.get(f"/v1/clicks/{click}")
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


def reasons(told: Mapping[str, Any], stage: str) -> dict[str, int]:
    """Return the points of the reasons that were found at a stage and count."""
    return {
        each["reason"]: each["weight"] for each in told["reasons"] if each["stage"] == stage and not each["is_lifted"]
    }


def signed_id(location: str) -> str:
    """Return the click ID that a redirect gave."""
    return parse_qs(urlsplit(location).query)["inf_click_id"][0]


def derive(running: Serving, **environment: str) -> None:
    """Derive the days around today, as a person would who doesn't wait for the core to do it."""
    today = datetime.now(UTC).date()
    span = ("--from", f"{today - timedelta(days=1)}", "--to", f"{today + timedelta(days=1)}")
    whose = ("--organization", running.keys["organization_id"])
    done = run(running.directory, "derive", *span, *whose, "--json", **environment)
    assert done.returncode == 0, done.stderr


@contextmanager
def story_of(running: Serving) -> Iterator[Story]:
    """Return an advertiser with a page that reports who arrives."""
    with shop() as server:
        page = PAGE.replace("EDGE", running.address).replace("ORGANIZATION", running.keys["organization_id"])
        server.page = page  # type: ignore[attr-defined]
        told = Story(running, f"http://127.0.0.1:{server.server_address[1]}/dresses")
        try:
            yield told
        finally:
            told.close()


@pytest.fixture
def story(shared: Serving) -> Iterator[Story]:
    with story_of(shared) as told:
        yield told


@pytest.fixture
def own_story(tmp_path: Path) -> Iterator[Story]:
    """Return the same in an installation of its own, which may be ended."""
    with serving(tmp_path / "installation") as running, story_of(running) as told:
        yield told


@pytest.fixture
def tomorrow(tmp_path: Path) -> dict[str, str]:
    """Return the variables of a process that lives a day later: what never arrived by then never will."""
    folder = tmp_path / "tomorrow"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(TOMORROW)
    return {"PYTHONPATH": str(folder)}


def follow_with_chromium(links: list[str]) -> list[str]:
    """Follow links in a headless Chromium that says it is Chrome on Windows; returns the addresses it came to."""
    from playwright.sync_api import sync_playwright

    arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    addresses = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        major = browser.version.split(".")[0]
        spoofed = (
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
            f"Chrome/{major}.0.0.0 Safari/537.36"
        )
        for link in links:
            page = browser.new_context(user_agent=spoofed).new_page()  # with no cookie of the one before
            page.goto(link)
            addresses.append(page.url)
            page.wait_for_function("window.sfq && window.sfq.v")
            page.goto("about:blank")  # what is on its way is taken along
        browser.close()
    return addresses


@pytest.mark.skipif(not CHROMIUM, reason="no Chromium on this machine: apt-get install chromium")
def test_a_driven_browser_with_a_spoofed_user_agent_passes_at_the_click_and_not_on_the_page(story: Story) -> None:
    link = f"{story.running.address}{story.link('emma')}"
    clicks = [signed_id(address) for address in follow_with_chromium([link] * 3)]
    person = story.click(f"/c/emma/{CAMPAIGN}")
    story.arrive([person])
    story.is_stored(clicks=4, sessions=4)

    for click in clicks:
        at_click = reasons(explain(story.http, click), "at_click")
        assert sum(at_click.values()) < FLAGGED, (
            "if this is told at the click by now, write so in docs/traffic-quality.md"
        )
    derive(story.running)
    for click in clicks:
        told = explain(story.http, click)
        assert reasons(told, "after_click")["webdriver"] == 100
        assert told["verdict"]["invalid_reason"] == "webdriver"
        assert told["verdict"]["traffic_class"] == "sivt"
        assert told["arrival_stage"] == "resolved"
    assert explain(story.http, person)["verdict"]["is_valid"]


def test_copies_of_a_browser_that_never_arrive_and_a_page_that_was_drawn_ahead(
    own_story: Story, tomorrow: dict[str, str]
) -> None:
    from curl_cffi import requests

    copied, peers = own_story.link("lena"), own_story.link("noa")
    people = [own_story.click(peers, number) for number in range(60)]  # before and after: an hour may begin between
    with requests.Session(impersonate="chrome") as copy:
        address = f"{own_story.running.address}{copied}"
        answers = [copy.get(address, allow_redirects=False, interface=f"127.9.{number}.1") for number in range(60)]
    copies = [signed_id(str(answer.headers["location"])) for answer in answers]
    people += [own_story.click(peers, number) for number in range(60)]
    activated, left = (own_story.click(peers, number, {**AHEAD, **PHONE}) for number in (1, 2))
    own_story.arrive([*people[:45], *people[-45:], activated])
    own_story.is_stored(clicks=182, sessions=91)

    for click in (*copies[:5], *people[:5], *people[55:60]):
        at_click = reasons(explain(own_story.http, click), "at_click")
        assert sum(at_click.values()) < FLAGGED, (
            "if this is told at the click by now, write so in docs/traffic-quality.md"
        )
    assert explain(own_story.http, left)["verdict"]["is_provisional"]
    secret, directory = own_story.running.secret, own_story.running.directory
    own_story.running.process.terminate()
    own_story.running.process.wait(30)

    with serving(directory, **tomorrow) as later, httpx.Client(base_url=later.address, headers=secret) as http:
        derive(later, **tomorrow)
        for click in (*copies[:5], copies[-1]):
            told = explain(http, click)
            assert reasons(told, "after_click") == {"no_session": 60}
            assert (told["verdict"]["invalid_reason"], told["arrival_stage"]) == ("no_session", "measured")
            assert told["evidence"]["peer_clicks"] >= 100
        assert [explain(http, click)["verdict"]["is_valid"] for click in (people[0], people[59])] == [True, True]
        drawn = explain(http, activated)
        assert drawn["verdict"]["is_valid"]
        assert [each["reason"] for each in drawn["reasons"] if each["is_lifted"]] == ["prerender"]
        assert explain(http, left)["verdict"]["invalid_reason"] == "prerender"
        total = http.get("/v1/reports/traffic").json()["total"]
        assert total["gross"] == 182
        assert total["valid"] == 121  # all people, and the page that was looked at: once
        assert total["by_reason"] == {"no_session": 60, "prerender": 1}
