"""Each rule on client hints, on a set that it finds and on a near miss that it must leave alone."""

from __future__ import annotations

import pytest

from stackfluence.click.rules import hints
from stackfluence.vocabulary import TrafficReason as R
from tests.click.header_sets import (
    ANDROID,
    CHROME,
    CHROME_IOS,
    FIREFOX,
    IPHONE,
    LINUX,
    SAFARI,
    WEB_VIEW,
    WINDOWS,
    Headers,
    changed,
    found,
)


@pytest.mark.parametrize(
    ("major", "vendor", "brands"),
    [
        (113, "Microsoft Edge", '"Microsoft Edge";v="113", "Chromium";v="113", "Not-A.Brand";v="24"'),
        (116, "Google Chrome", '"Chromium";v="116", "Not)A;Brand";v="24", "Google Chrome";v="116"'),
        (124, "Google Chrome", '"Chromium";v="124", "Google Chrome";v="124", "Not-A.Brand";v="99"'),
        (131, "Google Chrome", '"Google Chrome";v="131", "Chromium";v="131", "Not_A Brand";v="24"'),
        (156, "", '"Not:A-Brand";v="8", "Chromium";v="156"'),
    ],
)
def test_brands_are_computed_as_these_versions_sent_them(major: int, vendor: str, brands: str) -> None:
    read = hints.read_brands(brands)
    assert tuple(name for name, _ in read) == hints.brand_names(major, vendor)
    assert hints.greased_brand(major) in read
    user_agent = WINDOWS.replace("131.", f"{major}.") + (f" Edg/{major}.0.0.0" if "Edge" in vendor else "")
    assert found(changed(CHROME, sec_ch_ua=brands, user_agent=user_agent)) == set()


@pytest.mark.parametrize(
    "brands",
    [
        '"Not A;Brand";v="99", "Chromium";v="131", "Google Chrome";v="131"',  # made up as in version 90
        '"Google Chrome";v="131", "Chromium";v="131", "Not_A Brand";v="8"',  # its version is another's
        '"Chromium";v="131", "Google Chrome";v="131", "Not_A Brand";v="24"',  # order
        '"Google Chrome";v="131", "Chromium";v="131"',  # nothing made up
    ],
)
def test_brands_that_chromium_doesn_t_build_are_found(brands: str) -> None:
    assert found(changed(CHROME, sec_ch_ua=brands)) == {R.unlike_brands}


@pytest.mark.parametrize(
    "brands",
    [
        '"Brave";v="131", "Chromium";v="131", "Not_A Brand";v="24"',
        '"Chromium";v="131", "Not_A Brand";v="24", "Brave";v="131"',  # forks may order theirs otherwise
        '"Chromium";v="131", "Not_A Brand";v="24"',  # ungoogled
        '"Chromium";v="131", "Somebody";v="4.2", "Not;A=Brand";v="9"',  # an unknown fork's own list
        '"Google Chrome";v="131.0.6778.86", "Chromium";v="131.0.6778.86", "Not_A Brand";v="24.0.0.0"',
        "",
    ],
)
def test_brands_of_forks_are_left_alone(brands: str) -> None:
    assert found(changed(CHROME, sec_ch_ua=brands)) == set()


def test_lists_that_are_known_beforehand_are_what_reading_them_would_say() -> None:
    assert len(hints._BUILT) > 400
    assert {value: hints._examine(value) for value in hints._BUILT} == hints._BUILT


def test_brands_of_versions_that_nobody_has_seen_are_left_alone() -> None:
    user_agent = WINDOWS.replace("131.", f"{hints.BRANDS_UNTIL + 1}.")
    brands = f'"Chromium";v="{hints.BRANDS_UNTIL + 1}", "Google Chrome";v="{hints.BRANDS_UNTIL + 1}"'
    assert found(changed(CHROME, sec_ch_ua=brands, user_agent=user_agent)) == set()


def test_an_endless_brand_list_is_read_in_time_in_step_with_its_length() -> None:
    assert hints.read_brands('\\"' * 4_000) == ()
    assert len(hints.read_brands('"a";v="1"' * 800)) == 800


@pytest.mark.parametrize(
    "change",
    [
        {"sec_ch_ua_platform": '"Linux"'},
        {"sec_ch_ua_platform": '"Android"'},
        {"sec_ch_ua_platform": "Windows"},  # without quotes
        {"sec_ch_ua_mobile": "?1"},
        {"sec_ch_ua_mobile": "0"},
        {"user_agent": WINDOWS.replace("131.", "120.")},
        {"user_agent": WINDOWS + " Edg/131.0.0.0"},
        {"user_agent": ANDROID, "sec_ch_ua_platform": '"Android"'},  # a phone that hints that it is none
    ],
)
def test_hints_that_contradict_the_user_agent_are_found(change: dict[str, str]) -> None:
    assert found(changed(CHROME, **change)) == {R.contradicting_hints}


@pytest.mark.parametrize(
    "change",
    [
        {"user_agent": LINUX, "sec_ch_ua_platform": '"Android"'},  # a phone that asks for the desktop site
        {"user_agent": ANDROID.replace(" Mobile", ""), "sec_ch_ua_platform": '"Android"'},  # a tablet
        {"user_agent": WINDOWS.replace("Windows NT 10.0; Win64; x64", "X11; CrOS x86_64 14541.0.0"),
         "sec_ch_ua_platform": '"Chromium OS"'},
        {"sec_ch_ua_platform": None, "sec_ch_ua_mobile": None},
        {"user_agent": WEB_VIEW.replace("Chrome/131", "Chrome/91"), "sec_ch_ua_platform": '"Android"'},  # an app's own
    ],
)  # fmt: skip
def test_hints_that_only_look_odd_are_left_alone(change: dict[str, str | None]) -> None:
    assert found(changed(CHROME, **change)) == set()


@pytest.mark.parametrize("base", [FIREFOX, SAFARI], ids=["firefox", "safari"])
def test_hints_from_a_browser_that_sends_none_are_found(base: Headers) -> None:
    assert found(changed(base, sec_ch_ua_platform='"Windows"')) == {R.contradicting_hints}


def test_a_chromium_on_ios_may_send_hints_one_day() -> None:
    brands = '"Google Chrome";v="131", "Chromium";v="131", "Not_A Brand";v="24"'
    hinted = changed(SAFARI, user_agent=CHROME_IOS, sec_ch_ua=brands, sec_ch_ua_platform='"iOS"')
    assert found(hinted) == set()
    assert found(changed(hinted, user_agent=IPHONE)) == {R.contradicting_hints}
