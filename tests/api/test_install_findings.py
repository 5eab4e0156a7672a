"""What the install check says of what it sees: each finding where it belongs, and only there."""

from __future__ import annotations

from typing import Any

import pytest

from stackfluence.api.install_findings import FINDINGS, Refused, Seen, find
from stackfluence.vocabulary import InstallFinding

HOST = "shop.brand.example"


def row(event_type: str, events: int = 1, **fields: Any) -> dict[str, Any]:
    """Return events that are alike."""
    given: dict[str, Any] = {
        "event_type": event_type, "conversion_type": "", "trust_tier": "browser", "shop": "", "host": HOST,
        "consent": "granted", "click_id_status": "valid", "is_test": False, "connected": events, "last_ms": 0,
    }  # fmt: skip
    return {**given, "events": events, **fields}


def order(**fields: Any) -> dict[str, Any]:
    """Return a purchase that a server told."""
    given = {"conversion_type": "purchase", "trust_tier": "server", "host": "", "consent": "unknown"}
    return row("conversion", **{**given, **fields})


VISIT, ORDER, CLICK = row("session"), order(), row("click", host="", consent="", trust_tier="server")


def findings(*arrivals: dict[str, Any], host: str = "", path: str = "", **more: Any) -> dict[str, str]:
    """Return what is found, with its sentences."""
    given = {"pages": [], "quarantined": [], **more}
    return {word.value: sentence for word, sentence in find(Seen(60, host, path, list(arrivals), **given))}


def test_a_whole_install_gives_no_reason_to_complain() -> None:
    pages = [{"host": HOST, "page_path": "/socks", "event_type": "session"}]
    assert findings(CLICK, VISIT, ORDER, host=HOST, path="/socks", pages=pages) == {}


def test_clicks_alone_are_not_an_install() -> None:
    assert set(findings()) == set(findings(CLICK)) == {"nothing_received"}


def test_another_host_than_the_one_asked_about_is_named_with_its_visits() -> None:
    elsewhere = [row("pageview", 2, host="www.brand.example"), row("session", host="m.brand.example")]
    sentences = findings(*elsewhere, ORDER, host=HOST)
    assert set(sentences) == {"other_hosts_only"}
    assert "www.brand.example (2), m.brand.example (1)" in sentences["other_hosts_only"]
    assert "other_hosts_only" not in findings(*elsewhere, VISIT, ORDER, host=HOST)
    assert "other_hosts_only" not in findings(ORDER, host=HOST), "nobody else was seen either"


def test_a_page_that_was_not_seen_is_told_from_one_that_was() -> None:
    pages = [{"host": HOST, "page_path": "/socks", "event_type": "session"}]
    assert "/hats was not" in findings(VISIT, ORDER, host=HOST, path="/hats", pages=pages)["page_not_seen"]
    assert findings(VISIT, ORDER, host=HOST, path="/socks", pages=pages) == {}
    assert findings(VISIT, ORDER, host=HOST, pages=pages) == {}


def test_visits_without_consent_count_as_such_only_when_all_are() -> None:
    denied = [row("session", 2, consent="denied", host=""), row("pageview", consent="opted_out", host="")]
    assert findings(*denied, ORDER)["no_consent"].startswith("All 3 visits came without consent")
    assert findings(*denied, ORDER, host=HOST).keys() == {"no_consent"}, "their address isn't kept"
    assert findings(*denied, VISIT, ORDER) == {}


def test_missing_click_ids_are_explained_by_whether_there_were_clicks() -> None:
    bare = row("session", 4, click_id_status="missing")
    assert "there was no click on your links" in findings(bare, ORDER)["no_click_ids"]
    assert "there were 3 clicks on your links" in findings(row("click", 3), bare, ORDER)["no_click_ids"]
    assert findings(bare, VISIT, ORDER) == {}, "not every visitor comes by a link"


@pytest.mark.parametrize("status", ["malformed", "bad_signature", "wrong_organization", "expired", "unrecorded"])
def test_an_unusable_click_id_is_explained(status: str) -> None:
    sentence = findings(row("session", 2, click_id_status=status), ORDER)["unusable_click_ids"]
    assert f"{status} (2)" in sentence
    assert f"{status} is " in sentence


def test_orders_are_looked_at_by_who_tells_them_and_whom_they_name() -> None:
    assert set(findings(VISIT)) == {"no_orders"}
    assert set(findings(VISIT, row("conversion", conversion_type="signup"))) == {"no_orders"}
    browser = order(trust_tier="browser", host=HOST)
    assert set(findings(VISIT, browser)) == {"unconfirmed_orders"}
    nobodys = order(connected=0, click_id_status="missing")
    assert set(findings(VISIT, browser, nobodys)) == {"unconnected_orders"}
    assert findings(VISIT, browser, nobodys, ORDER) == {}
    assert set(findings(ORDER)) == {"no_visits"}


def test_orders_of_several_shops_may_be_the_same_ones() -> None:
    sentence = findings(VISIT, ORDER, order(trust_tier="connector", shop="acct_1"))["several_sources"]
    assert "acct_1 (1), no `shop` (1)" in sentence
    assert "one source" in sentence
    assert findings(VISIT, order(shop="berlin"), order(trust_tier="browser", shop="berlin")) == {}


def test_tests_alone_are_no_traffic() -> None:
    assert set(findings({**VISIT, "is_test": True}, {**ORDER, "is_test": True})) == {"test_only"}
    assert findings({**VISIT, "is_test": True}, ORDER) == {}


def test_what_was_quarantined_or_refused_is_counted_and_named() -> None:
    unusable = {"event_type": "", "reason": "unknown_value", "detail": "type", "events": 3}
    assert (
        "3 events can't be used and are kept apart: event: unknown_value type (3)"
        in (findings(VISIT, ORDER, quarantined=[unusable])["quarantined"])
    )
    refused = Refused("https://x.example", "/v1/events/session", 403, "forbidden", "No.", 7, 0)
    assert "7 requests were refused" in findings(VISIT, ORDER, refused=[refused])["refused"]
    assert "403 forbidden from https://x.example: No. (7)" in findings(refused=[refused])["refused"]


def test_long_lists_are_cut() -> None:
    many = [row("session", host=f"h{number}.example") for number in range(9)]
    assert findings(*many, host=HOST)["other_hosts_only"].count(" (1)") == 5
    assert "and 4 more" in findings(*many, host=HOST)["other_hosts_only"]


def test_each_finding_stands_in_the_order_of_the_vocabulary() -> None:
    assert [word for word, _ in FINDINGS] == list(InstallFinding)
