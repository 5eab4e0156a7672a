"""Each rule on headers, on a set that it finds and on a near miss that it must leave alone."""

from __future__ import annotations

import subprocess
import threading
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from stackfluence.click.rules import hints
from stackfluence.click.signals import read_claim
from stackfluence.reasons import FLAGGED, REASONS, score_of
from stackfluence.vocabulary import TrafficReason as R
from tests.click.header_sets import (
    ALL,
    ANDROID,
    CHROME,
    CHROME_IOS,
    CHROMIUM_ACCEPT,
    FIREFOX,
    FIREFOX_153,
    IPHONE,
    OLD_IPHONE,
    PAGE,
    SAFARI,
    WEB_VIEW,
    WINDOWS,
    Headers,
    as_android,
    changed,
    found,
)


@pytest.mark.parametrize(
    "sent",
    [CHROME, as_android(CHROME), FIREFOX, SAFARI],
    ids=["chrome", "chrome-on-android", "firefox", "safari"],
)
def test_a_person_s_browser_has_no_reason_against_it(sent: Headers) -> None:
    assert found(sent) == set()


def test_a_rule_gives_one_reason_that_has_a_row() -> None:
    names = [rule.__name__ for rule in ALL]
    assert len(set(names)) == len(names)
    assert all(rule.__doc__ for rule in ALL)
    assert {R.head_request, R.prefetch, R.unlike_brands} <= set(REASONS)


def test_no_language_is_found_and_any_language_is_enough() -> None:
    older = without_fetch_metadata(SAFARI)
    assert found(changed(older, user_agent=OLD_IPHONE, accept_language=None)) == {
        R.no_accept_language,
        R.missing_headers,
    }
    assert R.no_accept_language in found(changed(older, user_agent=OLD_IPHONE, accept_language=""))
    assert found(changed(older, user_agent=OLD_IPHONE, accept_language="tlh")) == set()


def test_a_set_that_lacks_nothing_but_its_language_is_not_condemned() -> None:
    assert found(changed(CHROME, accept_language=None)) == {R.missing_headers}
    assert score_of(found(changed(CHROME, accept_language=None))) < FLAGGED


@pytest.mark.parametrize(
    ("base", "accept"),
    [
        (CHROME, "*/*"),
        (CHROME, PAGE + "image/webp,*/*;q=0.8"),
        (CHROME, None),
        (FIREFOX, PAGE + "image/webp,*/*;q=0.8"),
        (FIREFOX, CHROMIUM_ACCEPT),
        (SAFARI, PAGE + "image/webp,*/*;q=0.8"),
        (SAFARI, "*/*"),
    ],
)
def test_an_accept_of_no_page_of_this_engine_is_found(base: Headers, accept: str | None) -> None:
    assert R.unlike_navigation in found(changed(base, accept=accept))


@pytest.mark.parametrize(
    ("base", "accept"),
    [
        (CHROME, PAGE + "image/avif,image/webp,image/apng,*/*;q=0.8"),  # no signed exchanges: Brave, prerender
        (CHROME, PAGE + "image/apng,*/*;q=0.8"),  # extensions that want no WebP
        (CHROME, PAGE + "image/jxl," + CHROMIUM_ACCEPT.removeprefix(PAGE)),  # Chromium 156
        (FIREFOX, PAGE + "image/avif,image/webp,image/png,image/svg+xml,*/*;q=0.8"),  # Firefox 128
    ],
)
def test_an_accept_that_a_browser_of_another_version_or_setting_sends_is_left_alone(base: Headers, accept: str) -> None:
    assert found(changed(base, accept=accept)) == set()


def test_an_old_browser_is_held_to_what_it_sent_then() -> None:
    before_apng = changed(CHROME, user_agent=WINDOWS.replace("131.0.0.0", "58.0.3029.110"), accept=PAGE + "*/*;q=0.8")
    kept = [(name, value) for name, value in before_apng if not name.lower().startswith("sec-")]
    assert found(kept) == set()
    stock = (
        "Mozilla/5.0 (Linux; U; Android 4.0.4; de-de) AppleWebKit/534.30 (KHTML, like Gecko) "
        "Version/4.0 Mobile Safari/534.30"
    )
    accept = "application/xml,application/xhtml+xml,text/html;q=0.9,text/plain;q=0.8,image/png,*/*;q=0.5"
    sent = [("User-Agent", stock), ("Accept", accept), ("Accept-Encoding", "gzip"), ("Accept-Language", "de-DE")]
    assert found(sent) == set()


def test_a_script_s_fetch_is_no_page_and_a_frame_is_one() -> None:
    fetch = changed(CHROME, sec_fetch_mode="cors", sec_fetch_dest="empty")
    assert found(fetch) == {R.unlike_navigation}
    assert found(changed(CHROME, sec_fetch_dest="image")) == {R.unlike_navigation}
    assert found(changed(CHROME, sec_fetch_dest="iframe", sec_fetch_user=None)) == set()


def test_safari_s_name_on_chromium_s_request_is_found_by_two_marks_together() -> None:
    both = changed(SAFARI, upgrade_insecure_requests="1", sec_fetch_user="?1")
    assert found(both) == {R.unlike_navigation}
    assert found(changed(SAFARI, upgrade_insecure_requests="1")) == set(), "kept when http redirected to https"
    assert found(changed(SAFARI, sec_fetch_user="?1")) == set()
    assert found(both, is_https=False) == set()


def test_firefox_s_name_on_another_s_request_is_found_by_two_marks_together() -> None:
    names = ("User-Agent", "Accept-Encoding", "Accept", "Connection", "Upgrade-Insecure-Requests", "Sec-Fetch-Site")
    order = {name: place for place, name in enumerate(names)}
    shuffled = sorted(FIREFOX, key=lambda header: order.get(header[0], len(order)))
    assert found(shuffled) == {R.unlike_header_order}, "a proxy may write headers anew"
    assert found(changed(FIREFOX, priority=None)) == set(), "a proxy may drop what it doesn't know"
    copied = {R.unlike_header_order, R.unlike_navigation}
    assert found(changed(shuffled, priority=None)) == copied
    assert found(changed(shuffled, upgrade_insecure_requests=None)) == copied
    assert found(changed(shuffled, priority=None), is_order_kept=False) == set()


def without_fetch_metadata(base: Headers) -> Headers:
    return [(name, value) for name, value in base if not name.lower().startswith("sec-fetch")]


@pytest.mark.parametrize("base", [CHROME, FIREFOX, SAFARI], ids=["chrome", "firefox", "safari"])
def test_a_version_that_sends_fetch_metadata_must_send_it_over_https(base: Headers) -> None:
    assert found(without_fetch_metadata(base)) == {R.no_fetch_metadata}
    assert found(without_fetch_metadata(base), is_https=False) == set()


@pytest.mark.parametrize(
    ("base", "user_agent"),
    [
        (SAFARI, OLD_IPHONE),
        (SAFARI, OLD_IPHONE.replace("Version/16.3", "CriOS/131.0.6778.73")),  # a new Chrome is made of the old WebKit
        (FIREFOX, FIREFOX_153.replace("153", "88")),
        (SAFARI, IPHONE.replace(" Version/17.5", "").replace(" Safari/604.1", "")),  # a page inside an app
    ],
)
def test_a_version_from_before_fetch_metadata_needn_t_send_it(base: Headers, user_agent: str) -> None:
    assert found(changed(without_fetch_metadata(base), user_agent=user_agent)) == set()


def test_a_new_chrome_on_a_new_iphone_sends_fetch_metadata_as_safari_does() -> None:
    assert found(changed(SAFARI, user_agent=CHROME_IOS)) == set()
    assert found(changed(without_fetch_metadata(SAFARI), user_agent=CHROME_IOS)) == {R.no_fetch_metadata}


def test_an_app_s_page_may_lack_hints_fetch_metadata_and_coding() -> None:
    sent = [(name, value) for name, value in CHROME if not name.lower().startswith("sec-")]
    bare = changed(sent, user_agent=WEB_VIEW, accept_encoding=None)
    assert found(bare) == set()
    named = changed(sent, user_agent=ANDROID)
    assert found(named) == {R.no_fetch_metadata, R.missing_headers}
    assert found(named, in_app_browser="instagram") == set()
    assert found(changed(named, x_requested_with="com.brand.example")) == set(), "WebView names its app"
    assert found(changed(named, x_requested_with="XMLHttpRequest")) != set(), "a script names no app"


def test_hints_coding_language_and_order_that_a_proxy_takes_are_never_enough() -> None:
    bare = [(name, value) for name, value in CHROME if not name.startswith("sec-ch")]
    assert found(bare) == {R.missing_headers}
    assert found(bare, is_https=False) == set(), "hints go to https alone"
    assert found(changed(CHROME, accept_encoding="gzip")) == set()
    assert found(changed(CHROME, accept_encoding=None)) == {R.missing_headers}
    shuffled = [*changed(bare, accept_language=None), ("Accept-Language", "de-DE")]
    both = found([shuffled[-1], *shuffled[:-1]])
    assert both == {R.missing_headers, R.unlike_header_order}
    assert score_of(both) < FLAGGED


def test_fetch_metadata_that_a_proxy_takes_or_another_name_that_an_extension_gives_is_enough() -> None:
    assert score_of(found(without_fetch_metadata(CHROME))) >= FLAGGED, "docs/traffic-quality.md says so"
    assert score_of(found(changed(CHROME, user_agent=FIREFOX_153))) >= FLAGGED
    assert score_of(found(changed(CHROME, user_agent=WINDOWS.replace("131.", "120.")))) >= FLAGGED
    assert score_of(found(changed(FIREFOX, user_agent=WINDOWS))) >= FLAGGED


def test_an_order_is_judged_only_where_it_is_kept() -> None:
    # Chromium 156 with a language set by automation
    moved = [header for header in CHROME if header[0] != "Accept-Language"]
    moved.insert(6, ("Accept-Language", "fr-FR"))
    assert found(moved) == {R.unlike_header_order}
    assert found(moved, is_order_kept=False) == set()
    assert score_of(found(moved)) < FLAGGED


def test_capitals_that_chromium_doesn_t_write_are_found_and_lower_case_is_http2() -> None:
    assert found([(name.title(), value) for name, value in CHROME]) == {R.unlike_header_order}
    assert found([(name.lower(), value) for name, value in CHROME]) == set()


def test_safari_has_no_order_but_not_the_alphabet_s() -> None:
    assert found(sorted(SAFARI)) == {R.unlike_header_order}
    assert found(SAFARI[::-1]) == set()


def test_hints_behind_accept_are_a_redirect_that_chromium_followed() -> None:
    at = CHROME.index(("Accept-Encoding", "gzip, deflate, br, zstd"))
    first, last = CHROME[:at], CHROME[at:]
    hinted = [header for header in first if header[0].startswith("sec-ch")]
    sent = [header for header in first if header not in hinted] + hinted + last
    assert found(sent) == set()


@pytest.mark.parametrize("name", ["From", "Signature-Agent", "Sec-Datadog"])
def test_headers_of_machines_are_found(name: str) -> None:
    assert found([*CHROME, (name, "crawler@brand.example")]) == {R.automation_header}
    assert found([*CHROME, (f"X-{name}-Else", "1")]) == set()


def test_a_browser_without_a_window_is_found_by_its_brand() -> None:
    brands = ", ".join(f'"{name}";v="131"' for name in hints.brand_names(131, "HeadlessChrome")).replace(
        'Brand";v="131"', 'Brand";v="24"'
    )
    assert found(changed(CHROME, sec_ch_ua=brands)) == {R.automation_header}


def test_an_old_edge_is_no_chromium() -> None:
    assert read_claim(WINDOWS.replace("131.0.0.0", "64.0.3282.140") + " Edge/18.17763").engine != "blink"
    assert read_claim(WINDOWS + " Edg/131.0.0.0").engine == "blink"


@pytest.fixture(scope="module")
def received() -> Iterator[tuple[str, list[Headers]]]:
    """A server on loopback: its address, and the headers it was sent."""
    got: list[Headers] = []

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            got.append([(name, value) for name, value in self.headers.items() if name != "Host"])
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            del format, args

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/", got
        server.shutdown()
        thread.join()


def test_a_library_that_says_it_is_a_browser_is_found(received: tuple[str, list[Headers]]) -> None:
    address, got = received
    with urllib.request.urlopen(urllib.request.Request(address, headers={"User-Agent": WINDOWS})) as answer:
        assert answer.status == 200
    assert {R.no_accept_language, R.unlike_navigation, R.no_fetch_metadata} <= found(got[-1])
    assert score_of(found(got[-1], is_https=False)) >= FLAGGED


def test_curl_with_a_copied_language_and_accept_is_found(received: tuple[str, list[Headers]]) -> None:
    address, got = received
    copied = [f"{name}: {value}" for name, value in FIREFOX if name in ("User-Agent", "Accept", "Accept-Language")]
    try:
        subprocess.run(["curl", "-sf", *[part for line in copied for part in ("-H", line)], address], check=True)
    except FileNotFoundError:
        pytest.skip("no curl here")
    assert R.no_fetch_metadata in found(got[-1])
    assert score_of(found(got[-1])) >= FLAGGED


def test_chrome_on_an_iphone_that_asks_for_the_desktop_page_is_no_chromium() -> None:
    desktop = (
        "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/138 "
        "Version/11.1.1 Safari/605.1.15"
    )
    assert found(changed(SAFARI, user_agent=desktop)) == set()


def test_a_header_that_only_looks_like_a_prefetch_excuses_nothing() -> None:
    fetched = changed(CHROME, accept="*/*", sec_fetch_mode="cors")
    assert R.unlike_navigation in found(fetched)
    assert R.unlike_navigation in found(changed(fetched, purpose="x"))


def test_a_desktop_browser_does_not_become_an_apps_by_saying_so() -> None:
    bare = changed(CHROME, sec_fetch_mode=None, sec_fetch_dest=None, sec_fetch_site=None, sec_fetch_user=None)
    assert R.no_fetch_metadata in found(changed(bare, x_requested_with="com.brand.example"))
    assert R.no_fetch_metadata not in found(changed(as_android(bare), x_requested_with="com.brand.example"))
