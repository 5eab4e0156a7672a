"""Why a click counts or doesn't, told by its UUID or by the signed ID that its visitor carried."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

import pytest

from stackfluence.click.click_id import ClickIdKeys
from stackfluence.events.store import Store
from stackfluence.facts import PolicyBook, PolicyPeriod
from stackfluence.reasons import REASONS
from stackfluence.vocabulary import TrafficReason
from tests.api.brands import SECRET, Brand, errors
from tests.api.stored import Journal
from tests.api.verdicts import put_verdicts, verdict

R = TrafficReason
PHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148"


async def told(brand: Brand, click_id: str, **query: Any) -> dict[str, Any]:
    response = await brand.get(f"/v1/clicks/{click_id}", params=query)
    assert response.status_code == 200, response.text
    body: dict[str, Any] = response.json()
    return body


def signed(brand: Brand, event_id: str, secret: bytes = SECRET, flags: int = 0) -> str:
    mint = ClickIdKeys({1: secret}, 720).mint_for(brand.keys.organization_id, "lnk_0000000001")
    return mint(UUID(event_id).bytes, flags).decode()


async def test_a_click_that_no_run_has_judged_has_the_verdict_of_its_edge(journal: Journal) -> None:
    click = journal.event(
        bot_score=60,
        bot_reasons=["no_accept_language", "possible_duplicate"],
        list_versions={"isbot": "5.2.0", "country": "dbip-country 2026-06-01 demo", "asn": "GeoLite2-ASN 2026-06-02"},
        country="DE",
        asn=64500,
        in_app_browser="instagram",
        ua_family="Instagram",
        os_family="iOS",
        device_class="phone",
        visitor_hash="0123456789abcdef0123456789abcdef",
        expiring={"user_agent": PHONE, "ip_prefix": "192.0.2.0/24"},
    )
    await journal.load()
    body = await told(journal.brand, click.event_id)
    assert body["verdict"] == {
        "score": 60, "flagged_from": 50, "traffic_class": "givt", "invalid_reason": "no_accept_language",
        "is_valid": False, "is_provisional": False,
    }  # fmt: skip
    assert [(each["reason"], each["weight"], each["stage"], each["is_lifted"]) for each in body["reasons"]] == [
        ("no_accept_language", 60, "at_click", False),
        ("possible_duplicate", 0, "at_click", False),
    ]
    assert body["reasons"][0]["sentence"] == REASONS[R.no_accept_language].sentence
    assert (body["derived"], body["history"], body["arrival_stage"], body["sessions"]) == (None, [], None, None)
    assert (body["country"], body["asn"], body["in_app_browser"]) == ("DE", 64500, "instagram")
    assert (body["ua_family"], body["os_family"], body["device_class"]) == ("Instagram", "iOS", "phone")
    assert body["list_versions"]["isbot"] == "5.2.0"
    assert body["list_attributions"] == ["IP Geolocation by DB-IP, https://db-ip.com (CC-BY-4.0)"], (
        "set-up's table alone"
    )
    for personal in (PHONE, "192.0.2.0", "0123456789abcdef"):
        assert personal not in json.dumps(body)


async def test_a_click_without_reasons_is_valid(journal: Journal) -> None:
    click = journal.event()
    await journal.load()
    body = await told(journal.brand, click.event_id)
    assert (body["verdict"]["score"], body["verdict"]["is_valid"], body["reasons"]) == (0, True, [])
    assert (body["verdict"]["traffic_class"], body["verdict"]["invalid_reason"]) == ("valid", None)


async def test_the_reasons_that_count_add_up_to_the_score(journal: Journal, store: Store) -> None:
    click = journal.event(bot_score=100, bot_reasons=["prefetch", "hosting_network", "unlikely_language"])
    await journal.load()
    row = verdict(
        click, R.no_interaction, lifted=[R.prefetch], arrival_stage="resolved", sessions=1, pageviews=2,
        engaged_ms=4100, evidence={"seconds_to_session": 2}, is_scored_again=True,
    )  # fmt: skip
    put_verdicts(store, journal.brand.keys.organization_id, 7, 1, [row], list_versions={"isbot": "5.3.0"})
    body = await told(journal.brand, click.event_id)
    assert (body["verdict"]["score"], body["verdict"]["traffic_class"]) == (25, "valid")
    assert sum(each["weight"] for each in body["reasons"] if not each["is_lifted"]) == 25
    assert [(each["reason"], each["stage"]) for each in body["reasons"] if each["is_lifted"]] == [
        ("prefetch", "at_click")
    ]
    assert [each["reason"] for each in body["reasons"] if each["stage"] == "after_click"] == ["no_interaction"]
    assert (body["arrival_stage"], body["sessions"], body["pageviews"], body["engaged_ms"]) == ("resolved", 1, 2, 4100)
    assert body["evidence"] == {"seconds_to_session": 2}
    assert body["list_versions"] == {"isbot": "5.3.0"}
    assert (body["derived"]["run_id"], body["derived"]["as_of"], body["derived"]["is_scored_again"]) == (7, 1, True)


async def test_what_the_policy_ignores_makes_no_verdict_lasting(
    journal: Journal, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def read(_catalog: object, own: str) -> dict[str, PolicyBook]:
        return {own: PolicyBook([PolicyPeriod(ignored_reasons=("declared_bot",))])}

    click = journal.event(bot_score=100, bot_reasons=["prerender", "declared_bot"])
    await journal.load()
    monkeypatch.setattr("stackfluence.api.clicks.read_policy_books", read)
    assert (await told(journal.brand, click.event_id))["verdict"]["is_provisional"] is True
    put_verdicts(store, journal.brand.keys.organization_id, 1, 1, [verdict(click)])
    assert (await told(journal.brand, click.event_id))["verdict"]["is_provisional"] is True


async def test_a_page_fetched_ahead_is_invalid_until_it_is_looked_at(journal: Journal, store: Store) -> None:
    click = journal.event(bot_score=100, bot_reasons=["prerender"])
    lasting = journal.event(bot_score=100, bot_reasons=["prerender", "declared_bot"])
    await journal.load()
    organization = journal.brand.keys.organization_id
    assert (await told(journal.brand, click.event_id))["verdict"]["is_provisional"] is True
    put_verdicts(store, organization, 1, 1, [verdict(click), verdict(lasting)])
    body = await told(journal.brand, click.event_id)
    assert (body["verdict"]["is_valid"], body["verdict"]["is_provisional"]) == (False, True)
    assert (await told(journal.brand, lasting.event_id))["verdict"]["is_provisional"] is False
    put_verdicts(store, organization, 2, 1, [verdict(click, lifted=[R.prerender])])
    body = await told(journal.brand, click.event_id)
    assert (body["verdict"]["is_valid"], body["verdict"]["is_provisional"], body["verdict"]["score"]) == (
        True,
        False,
        0,
    )


async def test_earlier_verdicts_stay_and_an_unfinished_run_is_not_seen(journal: Journal, store: Store) -> None:
    click = journal.event()
    await journal.load()
    organization = journal.brand.keys.organization_id
    put_verdicts(store, organization, 1, 1, [verdict(click)])
    put_verdicts(store, organization, 2, 1, [verdict(click, R.no_session)])
    put_verdicts(store, organization, 3, 1, [verdict(click, R.webdriver)])
    put_verdicts(store, organization, 4, 1, [verdict(click)], is_finished=False)
    body = await told(journal.brand, click.event_id)
    assert (body["derived"]["run_id"], body["verdict"]["invalid_reason"]) == (3, "webdriver")
    assert [(each["run_id"], each["score"], each["invalid_reason"], each["reasons"]) for each in body["history"]] == [
        (2, 60, "no_session", ["no_session"]),
        (1, 0, None, []),
    ]
    for run_id in range(5, 30):
        put_verdicts(store, organization, run_id, 1, [verdict(click, *[R.no_session, R.webdriver][: run_id % 2])])
    history = (await told(journal.brand, click.event_id))["history"]
    assert [each["run_id"] for each in history] == list(range(28, 8, -1)), "the newest twenty"


async def test_runs_that_only_repeat_a_verdict_crowd_nothing_out_of_the_history(journal: Journal, store: Store) -> None:
    click = journal.event(bot_score=100, bot_reasons=["prerender"])
    await journal.load()
    organization = journal.brand.keys.organization_id
    for run_id in (1, 2, 3):
        put_verdicts(store, organization, run_id, 1, [verdict(click)])
    for run_id in range(4, 30):
        put_verdicts(store, organization, run_id, 1, [verdict(click, lifted=[R.prerender])])
    body = await told(journal.brand, click.event_id)
    assert (body["derived"]["run_id"], body["verdict"]["is_valid"]) == (29, True)
    assert [(each["run_id"], each["invalid_reason"]) for each in body["history"]] == [(3, "prerender")]
    put_verdicts(store, organization, 30, 1, [verdict(click, R.no_interaction, lifted=[R.prerender])])
    put_verdicts(store, organization, 31, 1, [verdict(click, lifted=[R.prerender])])
    history = (await told(journal.brand, click.event_id))["history"]
    assert [(each["run_id"], each["reasons"]) for each in history] == [
        (30, ["no_interaction"]),
        (29, []),
        (3, ["prerender"]),
    ], "a verdict that came back was replaced all the same"


async def test_the_newest_run_of_the_day_decides_though_it_left_the_click_out(journal: Journal, store: Store) -> None:
    click, other = journal.event(), journal.event()
    await journal.load()
    organization = journal.brand.keys.organization_id
    put_verdicts(store, organization, 1, 1, [verdict(click, R.webdriver), verdict(other)])
    put_verdicts(store, organization, 2, 1, [verdict(other)])
    body = await told(journal.brand, click.event_id)
    assert (body["derived"], body["verdict"]["is_valid"], [each["run_id"] for each in body["history"]]) == (
        None,
        True,
        [1],
    )


async def test_a_signed_id_names_its_click_for_ever_when_the_signature_is_right(journal: Journal) -> None:
    click = journal.event(link_id="lnk_0000000001")
    await journal.load()
    body = await told(journal.brand, signed(journal.brand, click.event_id))
    assert (body["click_id"], body["link_id"]) == (click.event_id, "lnk_0000000001")
    assert (await told(journal.brand, click.event_id.upper()))["click_id"] == click.event_id
    refused = (
        signed(journal.brand, click.event_id, secret=b"another secret of at least 32 bytes, a8"),
        signed(journal.other, click.event_id),
        signed(journal.brand, click.event_id)[:-1],
        "01a20320-a27b-7abc-8def-0123456789ab",
        "clicks",
        "x" * 63,
    )
    for click_id in refused:
        response = await journal.brand.get(f"/v1/clicks/{click_id}")
        assert response.status_code == 404, click_id
        assert errors(response) == {}
        assert response.json()["detail"] == f"There is no click {click_id!r}."


async def test_only_clicks_are_found(journal: Journal) -> None:
    session = journal.event("session")
    quarantined = journal.event(quarantine_reason="wrong_type")
    await journal.load()
    unloaded = journal.event()
    for leaf in (session, quarantined, unloaded):
        assert (await journal.brand.get(f"/v1/clicks/{leaf.event_id}")).status_code == 404


async def test_the_request_is_told_when_asked_for_as_long_as_it_is_kept(journal: Journal) -> None:
    headers = [["User-Agent", PHONE], ["Accept-Language", "de"]]
    signals = json.dumps({"method": "GET", "transport": "https", "headers": headers})
    kept = journal.event(expiring={"user_agent": PHONE, "signals": signals, "ip_prefix": "192.0.2.0/24"})
    large = journal.event(expiring={"user_agent": PHONE})
    gone = journal.event(expiring=None)
    await journal.load()
    body = await told(journal.brand, kept.event_id, include="signals")
    assert body["signals"] == {"user_agent": PHONE, "method": "GET", "transport": "https", "headers": headers}
    assert "192.0.2.0" not in json.dumps(body)
    assert (await told(journal.brand, large.event_id, include="signals"))["signals"]["headers"] == []
    assert (await told(journal.brand, gone.event_id, include="signals"))["signals"] is None
    assert (await told(journal.brand, kept.event_id))["signals"] is None
    assert (await journal.brand.get(f"/v1/clicks/{kept.event_id}", params={"include": "address"})).status_code == 422


async def test_creator_and_campaign_are_named(journal: Journal) -> None:
    link = await journal.brand.link("reel")
    own = {name: link[name] for name in ("creator_id", "campaign_id")}
    click = journal.event(link_id=link["id"], asset_slug="reel", **own)
    stranger = journal.event(brand=journal.other, link_id=link["id"], **own)
    await journal.load()
    body = await told(journal.brand, click.event_id)
    assert (body["creator_handle"], body["campaign_slug"], body["asset_slug"]) == ("emma", "summer", "reel")
    assert (body["creator_id"], body["campaign_id"]) == (link["creator_id"], link["campaign_id"])
    body = await told(journal.other, stranger.event_id)
    assert (body["creator_handle"], body["campaign_slug"]) == (None, None), "another organization's names stay its own"


async def test_a_word_of_another_version_weighs_nothing(journal: Journal) -> None:
    click = journal.event(bot_score=80, bot_reasons=["a_word_of_tomorrow"])
    await journal.load()
    body = await told(journal.brand, click.event_id)
    assert [(each["reason"], each["weight"]) for each in body["reasons"]] == [("a_word_of_tomorrow", 0)]
    assert body["verdict"]["is_valid"] is True
