"""Rules on what a version always sends end with the versions that are known; those on contradictions don't."""

from __future__ import annotations

from datetime import timedelta

import pytest

from stackfluence import doctor
from stackfluence.click.rules.versions import CAPTURED_ON, GOOD_FOR_DAYS, NEWEST
from stackfluence.click.signals import read_claim
from stackfluence.settings import Settings
from stackfluence.vocabulary import TrafficReason as R
from tests.click.header_sets import (
    CHROME,
    CHROME_IOS,
    FIREFOX,
    FIREFOX_153,
    IPHONE,
    PAGE,
    SAFARI,
    WINDOWS,
    Headers,
    changed,
    found_by_all,
)

LAST = {engine: known.last for engine, known in NEWEST.items()}


def chrome(major: int) -> str:
    return WINDOWS.replace("131.", f"{major}.")


def firefox(major: int) -> str:
    return FIREFOX_153.replace("153", str(major))


def safari(major: int) -> str:
    """Return a user agent whose system's version is frozen, as Safari's since 26."""
    return IPHONE.replace("17_5", "18_7").replace("17.5", f"{major}.1")


def iphone(major: int) -> str:
    return CHROME_IOS.replace("17_5", f"{major}_0")


def chrome_on_iphone(major: int) -> str:
    return CHROME_IOS.replace("131.", f"{major}.").replace("17_5", "18_7")


# what a browser may do that none has done until now: other brands, other images, another order, hints
OTHERWISE = [
    (CHROME, chrome, "blink", {"sec_ch_ua": '"Chromium";v="{major}", "Google Chrome";v="{major}"'}, R.unlike_brands),
    (CHROME, chrome, "blink", {"accept": PAGE + "*/*;q=0.8"}, R.unlike_navigation),
    (CHROME, chrome, "blink", {"accept": "*/*"}, R.unlike_navigation),
    (CHROME, chrome, "blink", {"sec_fetch_mode": None}, R.no_fetch_metadata),
    (CHROME, chrome, "blink", {"sec_ch_ua": None}, R.missing_headers),
    (FIREFOX, firefox, "gecko", {"accept": PAGE + "image/apng,*/*;q=0.8"}, R.unlike_navigation),
    (FIREFOX, firefox, "gecko", {"sec_fetch_mode": None}, R.no_fetch_metadata),
    (FIREFOX, firefox, "gecko", {"sec_ch_ua_platform": '"Linux"'}, R.contradicting_hints),
    (FIREFOX[::-1], firefox, "gecko", {"priority": None}, R.unlike_navigation),
    (SAFARI, safari, "webkit", {"accept": PAGE + "image/webp,*/*;q=0.8"}, R.unlike_navigation),
    (SAFARI, safari, "webkit", {"upgrade_insecure_requests": "1", "sec_fetch_user": "?1"}, R.unlike_navigation),
    (SAFARI, iphone, "webkit", {"sec_fetch_mode": None}, R.no_fetch_metadata),
    (SAFARI, chrome_on_iphone, "blink", {"accept": PAGE + "image/webp,*/*;q=0.8"}, R.unlike_navigation),
]  # fmt: skip


@pytest.mark.parametrize(("base", "user_agent", "engine", "change", "reason"), OTHERWISE)
def test_a_browser_of_years_to_come_may_do_what_none_has_done_until_now(
    base: Headers, user_agent: object, engine: str, change: dict[str, str | None], reason: R
) -> None:
    assert callable(user_agent)
    for major, expected in ((LAST[engine], {reason}), (LAST[engine] + 1, set()), (999, set())):
        values = {name: value and value.format(major=major) for name, value in change.items()}
        sent = changed(base, user_agent=user_agent(major), **values)
        if "sec_ch_ua" not in change:
            sent = changed(sent, sec_ch_ua=None)
        assert reason in found_by_all(sent) if expected else found_by_all(sent) == set()


@pytest.mark.parametrize(
    "change",
    [
        {"sec_ch_ua": '"Chromium";v="150", "Google Chrome";v="150"'},
        {"sec_ch_ua_platform": '"Linux"'},
        {"sec_ch_ua_platform": "Windows"},
        {"sec_ch_ua_mobile": "?1"},
    ],
)
def test_a_request_that_contradicts_itself_does_so_in_any_version(change: dict[str, str]) -> None:
    sent = changed(CHROME, **{"user_agent": chrome(999), "sec_ch_ua": None, **change})
    assert R.contradicting_hints in found_by_all(sent)


def test_a_script_s_fetch_is_no_page_in_any_version() -> None:
    sent = changed(CHROME, user_agent=chrome(999), sec_ch_ua=None, sec_fetch_mode="cors", sec_fetch_dest="empty")
    assert found_by_all(sent) == {R.unlike_navigation}


def test_the_tests_own_browsers_are_known() -> None:
    claims = [read_claim(text) for text in (WINDOWS, FIREFOX_153, IPHONE)]
    assert all(claim.major <= NEWEST[claim.engine].newest for claim in claims)


def test_doctor_tells_the_newest_versions_and_when_they_are_too_old(monkeypatch: pytest.MonkeyPatch) -> None:
    def browsers(days: int) -> doctor.Finding:
        monkeypatch.setattr(doctor, "today", lambda: CAPTURED_ON + timedelta(days=days))
        return doctor._browsers(Settings())

    fresh, old = browsers(0), browsers(GOOD_FOR_DAYS + 1)
    for known in NEWEST.values():
        assert f"{known.browser} {known.newest}" in fresh.detail
        assert f"{known.last}" in fresh.detail
    assert (fresh.is_well, old.is_well) == (True, False)
    assert "newer version of Stackfluence" in old.advice
