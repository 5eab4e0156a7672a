"""Browsers that name an engine and aren't made of it, or let their app choose the name: nobody's copy, and people's."""

from __future__ import annotations

import pytest

from stackfluence.click import bot_score
from stackfluence.vocabulary import TrafficReason as R
from tests.click.header_sets import (
    CHROME,
    CHROME_IOS,
    CHROMIUM_ACCEPT,
    FIREFOX,
    FIREFOX_153,
    IPHONE,
    LINUX,
    PAGE,
    SAFARI,
    WINDOWS,
    Headers,
    changed,
    found_by_all,
)

MAC = (
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/17.5 Safari/605.1.15"
)
GECKO = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 "
FORKS = [
    f"{GECKO}Firefox/140.0 SeaMonkey/2.53.21",
    f"{GECKO}Goanna/6.7 Firefox/140.0 PaleMoon/33.4.0",
    f"{GECKO}Goanna/6.7 Firefox/140.0 Basilisk/20250101",
    f"{GECKO}Firefox/140.0 Waterfox/56.6",
    f"{GECKO}Firefox/140.0 K-Meleon/76.5",
    "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Servo/0.1 Firefox/140.0",
    LINUX.replace("Chrome/131", "Falkon/24.02 QtWebEngine/6.8 Chrome/131"),
    LINUX.replace("Chrome/131", "Falkon/24.02 Chrome/131"),
    LINUX + " Ladybird/1.0",
]
# what such a browser's engine never learned: fetch metadata, hints, newer images, an order
BARE: Headers = [
    ("Host", "go.brand.example"),
    ("Accept-Language", "de,en;q=0.5"),
    ("User-Agent", ""),
    ("Accept-Encoding", "gzip, deflate"),
    ("Accept", PAGE + "image/webp,*/*;q=0.8"),
]
REQUESTED_WITH = {"x_requested_with": "com.brand.example"}


@pytest.mark.parametrize("user_agent", FORKS)
def test_a_browser_of_another_engine_than_it_names_is_not_held_to_it(user_agent: str) -> None:
    assert found_by_all(changed(BARE, user_agent=user_agent)) == set()


@pytest.mark.parametrize("user_agent", [FIREFOX_153.replace("153", "140"), LINUX])
def test_the_browser_that_it_names_is_held_to_it(user_agent: str) -> None:
    assert {R.unlike_navigation, R.no_fetch_metadata} <= found_by_all(changed(BARE, user_agent=user_agent))


@pytest.mark.parametrize("user_agent", [IPHONE, MAC, FIREFOX_153])
@pytest.mark.parametrize("sign", [REQUESTED_WITH, {"sec_ch_ua": '"Chromium";v="131", "Android WebView";v="131"'}])
def test_an_app_may_give_its_web_view_any_browsers_name(user_agent: str, sign: dict[str, str]) -> None:
    navigation = {"user_agent": user_agent, "accept": CHROMIUM_ACCEPT, "sec_ch_ua": None}
    sent = changed(CHROME, **navigation, sec_ch_ua_platform='"Android"', sec_ch_ua_mobile="?1")
    unhinted = changed(CHROME, **navigation, sec_ch_ua_platform=None, sec_ch_ua_mobile=None)
    assert found_by_all(changed(sent, **sign)) == set()
    assert found_by_all(changed(unhinted, **sign)) == set()
    assert R.unlike_navigation in found_by_all(unhinted)
    assert R.contradicting_hints in found_by_all(sent)
    assert found_by_all(changed(unhinted, x_requested_with="XMLHttpRequest")) != set(), "a script names no app"


def test_a_browser_that_brings_chromium_to_an_iphone_asks_as_chromium_does() -> None:
    asked = changed(CHROME, user_agent=CHROME_IOS, sec_ch_ua=None, sec_ch_ua_platform=None, sec_ch_ua_mobile=None)
    assert found_by_all(asked) == set()
    hinted = changed(CHROME, user_agent=CHROME_IOS, sec_ch_ua_platform='"iOS"', sec_ch_ua_mobile="?1")
    assert found_by_all(hinted) == set()
    assert R.unlike_navigation in found_by_all(changed(asked, user_agent=IPHONE)), "Safari is Safari"
    assert R.unlike_navigation in found_by_all(changed(SAFARI, user_agent=CHROME_IOS, accept=PAGE + "image/webp"))


@pytest.mark.parametrize(
    "user_agent",
    [
        "Lynx/2.9.2 libwww-FM/2.14 SSL-MM/1.4.1 OpenSSL/3.2.1",
        "w3m/0.5.3+git20230121",
        "ELinks/0.17.1 (textmode; Linux 6.8 x86_64; 120x40-2)",
        "Links (2.29; Linux 6.8 x86_64; GNU C 13.2; text)",
        "Dillo/3.1.1",
        "Mozilla/4.0 (compatible; Dillo 3.0)",
        "Mozilla/5.0 (X11; Linux) NetSurf/3.11",
    ],
)
def test_a_browser_for_text_may_ask_for_no_language(user_agent: str) -> None:
    sent = [("Host", "go.brand.example"), ("User-Agent", user_agent), ("Accept", "text/html, text/*;q=0.5, */*;q=0.1")]
    assert bot_score.read(sent).reasons == ()
    assert R.no_accept_language in bot_score.read(changed(sent, user_agent="Brand/1.0")).reasons


def test_an_older_firefox_is_still_held_to_its_order_and_images() -> None:
    shuffled = changed(FIREFOX[::-1], priority=None, user_agent=FIREFOX_153.replace("153", "140"))
    assert R.unlike_navigation in found_by_all(shuffled)
    assert R.contradicting_hints in found_by_all(changed(CHROME, user_agent=WINDOWS.replace("131.", "120.")))
