"""Scores add up, do not depend on order, and name the lists they rest on."""

from __future__ import annotations

import itertools

import msgspec
import pytest

from stackfluence.click import bot_score
from stackfluence.click.head import evidence
from stackfluence.reasons import REASONS, score_of
from stackfluence.vocabulary import TrafficClass, TrafficReason
from tests.click.header_sets import CHROME as CHROME_SET
from tests.click.header_sets import FIREFOX, SAFARI, Headers, as_android, changed, found_by_all

R = TrafficReason
CHROME = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"
)
MAC = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko)"


def test_nothing_found_is_valid_and_zero() -> None:
    assert bot_score.combine((), ()) == (0, (), TrafficClass.valid)


def test_reasons_of_all_parts_add_up_and_count_once() -> None:
    verdict = bot_score.combine((R.missing_headers,), (R.hosting_network,), (R.missing_headers,))
    assert verdict.reasons == (R.missing_headers, R.hosting_network)
    assert verdict.score == REASONS[R.missing_headers].weight + REASONS[R.hosting_network].weight
    assert verdict.traffic_class is TrafficClass.valid


def test_the_order_of_reasons_changes_neither_score_nor_class() -> None:
    found = (R.listed_pattern, R.impossible_user_agent, R.vpn_network)
    verdicts = {bot_score.combine(order)[::2] for order in itertools.permutations(found)}
    assert verdicts == {(100, TrafficClass.sivt)}


def test_two_middling_reasons_are_certainty() -> None:
    assert score_of((R.listed_pattern, R.unlikely_user_agent)) == 100


@pytest.mark.parametrize("reason", [R.declared_bot, R.link_preview, R.http_library])
def test_a_declared_robot_is_general_invalid_traffic(reason: TrafficReason) -> None:
    assert bot_score.combine((reason,)) == (100, (reason,), TrafficClass.givt)


def test_the_same_headers_are_read_the_same_way() -> None:
    headers = [("User-Agent", CHROME), ("Accept", "*/*")]
    assert bot_score.read(headers) == bot_score.read(headers)


def test_a_user_agent_alone_is_judged_by_nothing_that_is_not_there() -> None:
    headers = [("User-Agent", CHROME)]
    assert bot_score.read(headers, has_headers=False).reasons == ()
    assert R.no_accept_language in bot_score.read(headers).reasons


def test_what_comes_with_the_request_reaches_the_rules() -> None:
    headers = [("User-Agent", CHROME)]
    assert R.head_request in bot_score.read(headers, method="HEAD").reasons
    assert R.head_request not in bot_score.read(headers).reasons


def test_every_rule_is_explained_and_is_asked_once() -> None:
    assert len(set(bot_score.RULES)) == len(bot_score.RULES)
    assert [rule for rule in bot_score.RULES if not rule.__doc__] == []
    assert set(bot_score.USER_AGENT_RULES) <= set(bot_score.RULES)


@pytest.mark.parametrize(
    "base", [CHROME_SET, FIREFOX, FIREFOX[::-1], SAFARI, as_android(CHROME_SET), [("User-Agent", "curl/8.4.0")]]
)
@pytest.mark.parametrize(
    "change",
    [
        {},
        {"accept": "*/*", "accept_language": None},
        {"purpose": "prefetch"},
        {"x_devtools_emulate_network_conditions_client_id": "1"},
        {"sec_ch_ua": '"HeadlessChrome";v="131", "Chromium";v="131", "Not_A Brand";v="24"'},
        {"sec_ch_ua_platform": "Plan 9", "sec_ch_ua_mobile": "?2"},
        {"sec_ch_ua_mobile": "?1", "sec_fetch_mode": None, "sec_fetch_dest": "image"},
        {"accept_encoding": None, "upgrade_insecure_requests": None},
        {"upgrade_insecure_requests": "1", "sec_fetch_user": "?1"},
        {"priority": None, "user_agent": None, "from": "emma@brand.example"},
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_rules_that_are_not_asked_would_find_nothing(base: Headers, change: dict[str, str | None], method: str) -> None:
    sent = changed(base, **change)
    for is_https, is_order_kept, is_self_referred in itertools.product((True, False), repeat=3):
        asked = bot_score.read(
            sent, method=method, is_https=is_https, is_order_kept=is_order_kept, is_self_referred=is_self_referred
        )
        everything = found_by_all(
            sent, method=method, is_https=is_https, is_order_kept=is_order_kept, is_self_referred=is_self_referred
        )
        assert set(asked.reasons) == everything


def test_of_a_header_that_is_sent_twice_the_first_is_kept() -> None:
    twice = ((b"User-Agent", b"first/1"), (b"Accept-Language", b"de"), (b"user-agent", b"second/1"))
    kept = evidence(b"GET", twice, False, True, False).expiring
    assert msgspec.json.decode(f"{{{kept}}}")["user_agent"] == "first/1"


def test_the_lists_are_named_with_their_versions() -> None:
    versions = bot_score.list_versions()
    assert versions["rules"] == bot_score.RULES_VERSION
    assert {"isbot", "crawler-user-agents", "crawlerdetect", "ua-parser", "chrome-builds"} <= set(versions)
    assert all(versions.values())
    assert bot_score.list_versions() is versions


@pytest.mark.parametrize(
    ("engine", "reason"),
    [("Cypress/14.5.2", R.headless_browser), ("Puppeteer/24", R.headless_browser), ("Claude/1.9", None)],
)
def test_a_page_that_is_driven_in_electron_is_shown_to_nobody(engine: str, reason: TrafficReason | None) -> None:
    agent = f"{MAC} {engine} Chrome/138.0.7204.100 Electron/37.2.3 Safari/537.36"
    reasons = bot_score.read([("User-Agent", agent)], has_headers=False).reasons
    assert reasons == (() if reason is None else (reason,))


def test_a_name_in_front_of_a_browser_s_string_is_nobody_s_browser() -> None:
    agent = f"Reader, {MAC} Chrome/138.0.0.0 Safari/537.36"
    assert R.unlikely_user_agent in bot_score.read([("User-Agent", agent)], has_headers=False).reasons
