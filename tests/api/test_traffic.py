"""Clicks by verdict: gross is the sum of the valid ones and of each reason's, in every group, on every page."""

from __future__ import annotations

from collections import Counter
from datetime import date
from typing import Any

import pytest

from stackfluence.api.clicks import SQL as CLICKS
from stackfluence.api.traffic import HEAVIEST_FIRST, HEAVIEST_WEIGHTS, SOPHISTICATED, SQL
from stackfluence.catalog import load_horizon
from stackfluence.clock import parse_rfc3339
from stackfluence.events.event import Leaf
from stackfluence.events.feed import LATEST_MS, Filters
from stackfluence.events.store import Store
from stackfluence.facts import DEFAULT_POLICIES, PolicyBook, PolicyPeriod
from stackfluence.facts.derive import DAY_MS, Run, derive
from stackfluence.vocabulary import TrafficReason
from tests.api.brands import Brand, errors
from tests.api.stored import Journal
from tests.api.verdicts import put_verdicts, verdict
from tests.events.journals import BRAND

URL = "/v1/reports/traffic"
R = TrafficReason


async def told(brand: Brand, **query: Any) -> dict[str, Any]:
    response = await brand.get(URL, params=query)
    assert response.status_code == 200, response.text
    body: dict[str, Any] = response.json()
    for counts in (body["total"], *body["items"]):
        assert counts["gross"] == counts["valid"] + sum(counts["by_reason"].values())
        assert counts["gross"] == counts["valid"] + counts["givt"] + counts["sivt"]
        assert counts["gross"] == sum(counts["scores"])
        arrived = counts["arrival"]
        assert counts["gross"] == counts["not_derived"] + arrived["measured"]
        assert arrived["measured"] >= arrived["received"] >= arrived["resolved"]
    return body


async def test_clicks_that_no_run_has_judged_count_by_what_their_edge_said(journal: Journal) -> None:
    journal.event()
    journal.event(bot_score=15, bot_reasons=["hosting_network"])
    journal.event(bot_score=100, bot_reasons=["hosting_network", "declared_bot"])
    journal.event(bot_score=65, bot_reasons=["no_fetch_metadata", "unlikely_language"])
    journal.event(bot_score=100, bot_reasons=["no_fetch_metadata", "no_accept_language"])
    journal.event(bot_score=0, bot_reasons=["possible_duplicate"])
    journal.event("session")
    journal.event(quarantine_reason="wrong_type")
    journal.event(brand=journal.other, bot_score=100, bot_reasons=["declared_bot"])
    await journal.load()
    body = await told(journal.brand)
    assert body["total"] == {
        "gross": 6, "valid": 3, "givt": 2, "sivt": 1, "possible_duplicates": 1, "not_derived": 6,
        "by_reason": {"declared_bot": 1, "no_accept_language": 1, "no_fetch_metadata": 1},
        "arrival": {"measured": 0, "received": 0, "resolved": 0, "measurable_permille": None},
        "scores": [2, 1, 0, 0, 0, 0, 1, 0, 0, 2],
    }  # fmt: skip
    assert body["items"] == [{"group": "", "name": None, **body["total"]}]
    assert (body["run_id"], body["group_by"], body["time_zone"]) == (0, "total", "Europe/Berlin")


async def test_what_the_policy_ignores_or_does_not_exclude_takes_no_click_that_waits(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    books = {
        "general alone": PolicyPeriod(excluded_classes=("givt",)),
        "ignored": PolicyPeriod(ignored_reasons=("no_accept_language", "no_fetch_metadata")),
    }
    clicks = [
        journal.event(bot_score=100, bot_reasons=["no_accept_language", "hosting_network", "contradicting_hints"]),
        journal.event(bot_score=60, bot_reasons=["no_fetch_metadata"]),
        journal.event(bot_score=100, bot_reasons=["declared_bot", "no_accept_language"]),
    ]
    await journal.load()
    for name, reasons in (
        ("general alone", {"declared_bot": 1, "no_accept_language": 1}),
        ("ignored", {"contradicting_hints": 1, "declared_bot": 1}),
    ):

        async def read(_catalog: object, own: str, policy: PolicyPeriod = books[name]) -> dict[str, PolicyBook]:
            return {own: PolicyBook([policy])}

        for module in ("traffic", "clicks"):
            monkeypatch.setattr(f"stackfluence.api.{module}.read_policy_books", read)
        assert (await told(journal.brand))["total"]["by_reason"] == reasons, name
        found = [(await journal.brand.get(f"/v1/clicks/{click.event_id}")).json()["verdict"] for click in clicks]
        assert Counter(each["invalid_reason"] for each in found if not each["is_valid"]) == reasons, name


async def test_of_nothing_there_is_nothing(journal: Journal) -> None:
    body = await told(journal.brand, group_by="creator")
    assert (body["total"]["gross"], body["items"], body["next_cursor"]) == (0, [], None)
    assert body["total"]["scores"] == [0] * 10


async def test_derived_verdicts_replace_what_the_edge_said(journal: Journal, store: Store) -> None:
    clean = [journal.event() for _ in range(3)]
    fetched = journal.event(bot_score=100, bot_reasons=["prefetch"])
    await journal.load()
    organization = journal.brand.keys.organization_id
    rows = [
        verdict(clean[0], arrival_stage="resolved"),
        verdict(clean[1], R.no_session, R.possible_duplicate),
        verdict(clean[2], arrival_stage="received"),
        verdict(fetched, lifted=[R.prefetch], arrival_stage="received"),
    ]
    put_verdicts(store, organization, 1, 1, [verdict(click, R.webdriver) for click in [*clean, fetched]])
    put_verdicts(store, organization, 2, 1, rows)
    put_verdicts(store, organization, 3, 1, [verdict(clean[0], R.webdriver)], is_finished=False)
    put_verdicts(store, journal.other.keys.organization_id, 4, 1, [verdict(clean[0], R.webdriver)])
    total = (await told(journal.brand))["total"]
    assert (total["gross"], total["valid"], total["by_reason"], total["not_derived"]) == (4, 3, {"no_session": 1}, 0)
    assert total["arrival"] == {"measured": 4, "received": 3, "resolved": 1, "measurable_permille": 1000}
    assert (await told(journal.brand))["run_id"] == 2


async def test_what_was_loaded_after_the_run_is_counted_beside_it(journal: Journal, store: Store) -> None:
    first = journal.event(occurred_at="2026-11-22T10:00:00.000Z")
    await journal.load()
    put_verdicts(store, journal.brand.keys.organization_id, 1, 1, [verdict(first, R.no_session)])
    journal.event(occurred_at="2026-11-22T11:00:00.000Z")
    late = journal.event(occurred_at="2026-11-21T11:00:00.000Z", bot_score=100, bot_reasons=["declared_bot"])
    journal.event(occurred_at=late.occurred_at, event_id=late.event_id, bot_score=100, bot_reasons=["declared_bot"])
    journal.event(occurred_at=first.occurred_at, event_id=first.event_id)
    await journal.load()
    body = await told(journal.brand, group_by="day", time_zone="UTC")
    assert (body["total"]["gross"], body["total"]["not_derived"]) == (3, 2), "each click once, however often it came"
    days = {group["group"]: (group["gross"], group["valid"], group["by_reason"]) for group in body["items"]}
    assert days == {"2026-11-22": (2, 1, {"no_session": 1}), "2026-11-21": (1, 0, {"declared_bot": 1})}
    assert (await told(journal.brand, to="2026-11-22", time_zone="UTC"))["total"]["gross"] == 1
    assert (await told(journal.brand, **{"from": "2026-11-22T10:30:00Z"}))["total"]["not_derived"] == 1


async def test_days_are_those_of_the_time_zone(journal: Journal, store: Store) -> None:
    clicks = [journal.event(occurred_at=f"2026-11-2{n}T23:30:00.000Z") for n in (0, 1)]
    await journal.load()
    put_verdicts(store, journal.brand.keys.organization_id, 1, 1, [verdict(click) for click in clicks])
    body = await told(journal.brand, group_by="day")
    assert {group["group"]: group["gross"] for group in body["items"]} == {"2026-11-21": 1, "2026-11-22": 1}
    body = await told(journal.brand, group_by="day", time_zone="UTC", **{"from": "2026-11-21"})
    assert {group["group"]: group["gross"] for group in body["items"]} == {"2026-11-21": 1}


async def test_groups_are_named_and_the_filters_hold(journal: Journal, store: Store) -> None:
    link = await journal.brand.link("reel")
    own = {"link_id": link["id"], "creator_id": link["creator_id"], "campaign_id": link["campaign_id"]}
    derived = [journal.event(**own, in_app_browser="instagram", country="DE") for _ in range(2)]
    await journal.load()
    put_verdicts(store, journal.brand.keys.organization_id, 1, 1, [verdict(click) for click in derived])
    journal.event(**own, in_app_browser="tiktok", country="FR", is_test=True, bot_score=100, bot_reasons=["attack"])
    journal.event(link_id="lnk_0000000001", creator_id="crt_0000000001")
    await journal.load()
    names = {"creator": "emma", "campaign": "summer", "link": "emma/summer/reel"}
    for group_by, name in names.items():
        body = await told(journal.brand, group_by=group_by)
        assert (body["items"][0]["group"], body["items"][0]["name"]) == (
            link[f"{group_by}_id"] if group_by != "link" else link["id"],
            name,
        )
        assert [(group["gross"], group["not_derived"]) for group in body["items"]] == [(3, 1), (1, 1)]
        assert (body["items"][1]["name"], body["total"]["gross"]) == (None, 4)
    apps = (await told(journal.brand, group_by="in_app_browser"))["items"]
    assert [(group["group"], group["gross"]) for group in apps] == [("instagram", 2), ("", 1), ("tiktok", 1)]
    countries = (await told(journal.brand, group_by="country"))["items"]
    assert [(group["group"], group["valid"]) for group in countries] == [("DE", 2), ("", 1), ("FR", 0)]
    for name, value in own.items():
        assert (await told(journal.brand, **{name: value}))["total"]["gross"] == 3
    assert (await told(journal.brand, is_test=True))["total"]["by_reason"] == {"attack": 1}
    assert (await told(journal.brand, is_test=False))["total"]["valid"] == 3


async def test_pages_are_of_one_moment_and_leave_nothing_out(journal: Journal) -> None:
    for place in range(7):
        for _ in range(1 + place // 3):
            journal.event(creator_id=f"crt_{place:010d}")
    await journal.load()
    whole = (await told(journal.brand, group_by="creator"))["items"]
    assert [group["gross"] for group in whole] == [3, 2, 2, 2, 1, 1, 1]
    page = await told(journal.brand, group_by="creator", limit=2)
    seen = page["items"]
    for place in range(7):
        journal.event(creator_id=f"crt_{place:010d}")
    await journal.load()
    while page["next_cursor"]:
        page = await told(journal.brand, group_by="creator", limit=2, cursor=page["next_cursor"])
        assert page["total"]["gross"] == 12
        seen += page["items"]
    assert seen == whole


async def test_a_question_that_makes_no_sense_is_refused(journal: Journal) -> None:
    for query, field in (
        ({"group_by": "browser"}, "group_by"),
        ({"from": "yesterday"}, "from"),
        ({"time_zone": "Mars/Olympus"}, "time_zone"),
        ({"cursor": "crt_0000000001"}, "cursor"),
        ({"cursor": "WzEsMl0"}, "cursor"),
        ({"cursor": "WzEsMiwiMyIsImEiXQ"}, "cursor"),
        ({"cursor": "WzEsMiwtMywiYSJd"}, "cursor"),
        ({"limit": 0}, "limit"),
        ({"creator": "emma"}, "creator"),
    ):
        response = await journal.brand.get(URL, params=query)
        assert response.status_code == 422, query
        assert set(errors(response)) == {field}
    response = await journal.brand.get(URL, params={"group_by": "browser"})
    for allowed in ("total", "creator", "campaign", "link", "day", "in_app_browser", "country"):
        assert f"'{allowed}'" in errors(response)["group_by"]


async def test_what_a_derivation_says_is_what_is_counted(journal: Journal, store: Store) -> None:
    seen = journal.event(link_id="lnk_0000000001", creator_id="crt_0000000001")
    ahead = journal.event(creator_id="crt_0000000001", bot_score=100, bot_reasons=["prerender"])
    journal.event(creator_id="crt_0000000001", bot_score=100, bot_reasons=["prefetch"])
    driven = journal.event(creator_id="crt_0000000002")
    journal.event(creator_id="crt_0000000002", bot_score=100, bot_reasons=["declared_bot", "hosting_network"])
    for click, reasons in ((seen, []), (ahead, []), (driven, ["webdriver"])):
        journal.event("session", click_id=click.event_id, click_id_status="valid", session_id="s", bot_reasons=reasons)
    journal.event("pageview", click_id=seen.event_id, click_id_status="valid", session_id="s")
    await journal.load()
    organization = journal.brand.keys.organization_id
    before = await told(journal.brand, group_by="creator")
    assert (before["total"]["valid"], before["total"]["not_derived"]) == (2, 5)
    horizon = await load_horizon(journal.api.state.core.catalog)
    derived_ms = parse_rfc3339("2026-11-25T00:00:00Z")
    derive(store, Run(1, organization, horizon, derived_ms), date(2026, 11, 22), date(2026, 11, 23))
    body = await told(journal.brand, group_by="creator")
    assert (body["total"]["gross"], body["total"]["valid"], body["total"]["not_derived"]) == (5, 2, 0)
    assert body["total"]["by_reason"] == {"declared_bot": 1, "prefetch": 1, "webdriver": 1}
    assert [(group["group"], group["gross"], group["valid"]) for group in body["items"]] == [
        ("crt_0000000001", 3, 2),
        ("crt_0000000002", 2, 0),
    ]
    assert body["total"]["arrival"] == {"measured": 5, "received": 3, "resolved": 1, "measurable_permille": 1000}
    explained = (await journal.brand.get(f"/v1/clicks/{ahead.event_id}")).json()
    assert (explained["verdict"]["is_valid"], explained["verdict"]["score"]) == (True, 0)
    assert [(each["reason"], each["is_lifted"]) for each in explained["reasons"]] == [("prerender", True)]
    explained = (await journal.brand.get(f"/v1/clicks/{driven.event_id}")).json()
    assert (explained["verdict"]["invalid_reason"], explained["derived"]["as_of"]) == ("webdriver", horizon)
    assert explained["reasons"][0]["stage"] == "after_click"


async def test_verdicts_that_expired_are_no_verdicts_and_their_clicks_still_count(
    journal: Journal, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    click = journal.event()
    journal.event("session", click_id=click.event_id, click_id_status="valid", session_id="s")
    journal.event(bot_score=100, bot_reasons=["declared_bot"])
    await journal.load()
    horizon = await load_horizon(journal.api.state.core.catalog)
    derived_ms = parse_rfc3339("2026-11-23T00:00:00Z")
    run = Run(1, journal.brand.keys.organization_id, horizon, derived_ms)
    derive(store, run, date(2026, 11, 22), date(2026, 11, 23), is_scheduled=True)
    expires_ms = derived_ms + 7 * DAY_MS
    for at_ms, run_id, not_derived, is_derived in ((expires_ms - 1, 1, 0, True), (expires_ms, 0, 2, False)):
        monkeypatch.setattr("stackfluence.api.traffic.now_ms", lambda at_ms=at_ms: at_ms)
        monkeypatch.setattr("stackfluence.api.clicks.now_ms", lambda at_ms=at_ms: at_ms)
        body = await told(journal.brand)
        total = body["total"]
        assert (total["gross"], total["valid"], total["by_reason"]) == (2, 1, {"declared_bot": 1})
        assert (body["run_id"], total["not_derived"]) == (run_id, not_derived)
        explained = (await journal.brand.get(f"/v1/clicks/{click.event_id}")).json()
        assert (explained["derived"] is not None, explained["history"]) == (is_derived, [])


def test_the_statements_run_on_an_engine_of_either_kind(any_store: Store) -> None:
    click = Leaf(
        event_id="01a20320-a27b-7abc-8def-0123456789ab",
        event_type="click",
        occurred_at="2026-11-22T13:00:00.000Z",
        received_at="2026-11-22T13:00:00.000Z",
        creator_id="crt_0000000001",
        bot_reasons=["no_accept_language"],
    )
    put_verdicts(any_store, BRAND, 3, 1, [verdict(click, R.no_session, evidence={"peer_clicks": 100})])
    moment = {"first_ms": 0, "last_ms": LATEST_MS}
    put_verdicts(any_store, BRAND, 2, 1, [verdict(click)], is_finished=False, list_versions={"networks": "2027-01"})
    reading = {"organization_id": BRAND, "last_run": 3, "now_ms": 0}
    with any_store.session() as session:
        assert session.row(CLICKS["last_run"], organization_id=BRAND, now_ms=0) == {"last_run": 3}
        found = session.row(CLICKS["verdicts_of_click"], **reading, **moment, click_id=click.event_id, limit=21)
        assert (found["score"], found["newest_run"], found["evidence"]) == (100, 3, {"peer_clicks": 100})
        assert session.rows(CLICKS["lists_of_click"], **reading, **moment, click_id=click.event_id) == []
        counted = session.row(SQL["count_traffic"], **reading, **parameters(group_by="creator"))
        assert (counted["group_key"], counted["gross"], counted["scores"]) == ("crt_0000000001", 1, {9: 1})
        assert counted["by_reason"] == {"no_accept_language": 1}


def parameters(**changed: Any) -> dict[str, Any]:
    return {
        "horizon": 1,
        "time_zone": "UTC",
        **DEFAULT_POLICIES.parameters(),
        "heaviest_first": HEAVIEST_FIRST,
        "heaviest_weights": HEAVIEST_WEIGHTS,
        "sophisticated": SOPHISTICATED,
        "after_gross": 1000,
        "after_group": "",
        "limit": 1,
        **Filters().subject(),
        **changed,
    }
