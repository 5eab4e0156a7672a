"""What other points or another threshold would have changed, told and not done."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from stackfluence.clock import now_ms, rfc3339, uuid7
from stackfluence.events.store import Store
from stackfluence.facts import Rules, Run, Thresholds, derive
from stackfluence.vocabulary import TrafficReason
from tests.api.brands import errors
from tests.api.stored import Journal
from tests.api.verdicts import put_verdicts, verdict

URL = "/v1/reports/back-test"
HOUR_MS = 3_600_000
R = TrafficReason


async def told(journal: Journal, **query: Any) -> dict[str, Any]:
    response = await journal.brand.get(URL, params=query)
    assert response.status_code == 200, response.text
    body: dict[str, Any] = response.json()
    for counts in (body["total"], *body["creators"]):
        assert counts["valid_then"] == counts["valid_now"] + counts["became_valid"] - counts["became_invalid"]
    for name in ("clicks", "valid_now", "valid_then", "became_valid", "became_invalid"):
        assert body["total"][name] == sum(creator[name] for creator in body["creators"])
    return body


async def put_some(journal: Journal, store: Store) -> dict[str, Any]:
    """Judge seven clicks and a test of emma and another creator, of the last hours but for one."""
    link = await journal.brand.link()
    now = now_ms()

    def click(creator_id: str, *reasons: str, hours: int = 1) -> Any:
        return journal.event(
            creator_id=creator_id, bot_reasons=list(reasons), occurred_at=rfc3339(now - hours * HOUR_MS)
        )

    emma, other = link["creator_id"], "crt_0000000001"
    rows = [
        verdict(click(emma)),
        verdict(click(emma, "hosting_network", "unlike_header_order")),
        verdict(click(emma, "no_accept_language")),
        verdict(click(emma), R.no_session),
        verdict(click(other, "declared_bot")),
        verdict(click(other, "prefetch"), lifted=[R.prefetch], sessions=1),
        verdict(click(emma, "no_accept_language"), is_test=True),
        verdict(click(emma, "no_accept_language", hours=120)),
    ]
    await journal.load()
    put_verdicts(store, journal.brand.keys.organization_id, 1, 1, rows)
    return link


async def test_without_a_change_nothing_changes(journal: Journal, store: Store) -> None:
    link = await put_some(journal, store)
    body = await told(journal, days=2)
    assert body["total"] == {"clicks": 6, "valid_now": 3, "valid_then": 3, "became_valid": 0, "became_invalid": 0}
    assert [(each["creator_id"], each["creator_handle"], each["clicks"]) for each in body["creators"]] == [
        (link["creator_id"], "emma", 4),
        ("crt_0000000001", None, 2),
    ]
    assert (body["flagged_from"], body["weights"], body["freed"], body["condemned"]) == (50, {}, {}, {})
    assert (await told(journal, days=7))["total"]["clicks"] == 7


async def test_a_threshold_reasons_and_points_are_tried(journal: Journal, store: Store) -> None:
    await put_some(journal, store)
    total = (await told(journal, days=2, flagged_from=20))["total"]
    assert (total["became_valid"], total["became_invalid"]) == (0, 1)
    total = (await told(journal, days=2, flagged_from=61))["total"]
    assert (total["became_valid"], total["became_invalid"]) == (2, 0)
    body = await told(journal, days=2, without=["no_session", "declared_bot"])
    assert [(each["creator_handle"], each["became_valid"]) for each in body["creators"]] == [("emma", 1), (None, 1)]
    assert body["weights"] == {"no_session": 0, "declared_bot": 0}
    assert body["freed"] == {"declared_bot": 1, "no_session": 1}
    body = await told(journal, days=2, weights=["hosting_network:40", "no_accept_language:10", "prefetch:100"])
    assert (body["total"]["became_valid"], body["total"]["became_invalid"]) == (1, 1)
    assert (body["freed"], body["condemned"]) == ({"no_accept_language": 1}, {"hosting_network": 1})
    assert body["creators"][0]["creator_handle"] == "emma", "those with most changes come first"
    assert (await journal.brand.get("/v1/reports/traffic")).json()["total"]["valid"] == 3, "nothing was changed"


async def test_thresholds_are_tried_as_a_derivation_would_have_them(journal: Journal, store: Store) -> None:
    link = await journal.brand.link()
    now = now_ms()
    for seconds in (10, 20, 40):
        at_ms = now - HOUR_MS
        click = uuid7(at_ms)[1]
        place = {"link_id": link["id"], "creator_id": link["creator_id"], "campaign_id": link["campaign_id"]}
        journal.event(event_id=click, occurred_at=rfc3339(at_ms), **place)
        journal.event(
            "conversion", event_id=uuid7(at_ms)[1], occurred_at=rfc3339(at_ms + seconds * 1000), trust_tier="browser",
            click_id=click, click_id_status="valid", conversion_type="purchase",
        )  # fmt: skip
    await journal.load()
    today = datetime.fromtimestamp((now - HOUR_MS) / 1000, UTC).date()
    organization = journal.brand.keys.organization_id

    def judge(run_id: int, rules: Rules) -> None:
        derive(store, Run(run_id, organization, 1, now), today, today + timedelta(days=1), rules=rules)

    judge(1, Rules())
    body = await told(journal, days=2, thresholds=["purchase_ms:30000", "arrival_clicks:50"])
    assert (body["total"]["valid_now"], body["total"]["valid_then"]) == (2, 1)
    assert (body["thresholds"], body["condemned"]) == ({"purchase_ms": 30_000}, {"conversion_too_fast": 1})
    body = await told(journal, days=2, thresholds=["purchase_ms:5000"])
    assert (body["total"]["valid_then"], body["freed"]) == (3, {"conversion_too_fast": 1})
    judge(2, Rules(thresholds=replace(Thresholds(), purchase_ms=30_000)))
    assert (await journal.brand.get("/v1/reports/traffic")).json()["total"]["valid"] == 1


async def test_of_many_creators_the_most_changed_are_told(journal: Journal, store: Store) -> None:
    await put_some(journal, store)
    response = await journal.brand.get(URL, params={"days": 2, "limit": 1, "without": "declared_bot"})
    body = response.json()
    assert [each["creator_id"] for each in body["creators"]] == ["crt_0000000001"]
    assert body["total"]["clicks"] == 6


async def test_nobody_sees_anothers_back_test(journal: Journal, store: Store) -> None:
    await put_some(journal, store)
    body = (await journal.other.get(URL)).json()
    assert (body["total"]["clicks"], body["creators"], body["missing_days"]) == (0, [], [])


async def test_a_question_that_makes_no_sense_is_refused(journal: Journal) -> None:
    for query, field in (
        ({"days": 0}, "days"),
        ({"days": 91}, "days"),
        ({"flagged_from": 101}, "flagged_from"),
        ({"flagged_from": 0}, "flagged_from"),
        ({"without": ["no_session", "bad_mood"]}, "without.1"),
        ({"weights": "bad_mood:10"}, "weights"),
        ({"weights": "no_session"}, "weights"),
        ({"weights": "no_session:-1"}, "weights"),
        ({"weights": "no_session:101"}, "weights"),
        ({"weights": "no_session:²"}, "weights"),
        ({"thresholds": "patience:10"}, "thresholds"),
        ({"thresholds": "code_orders:10"}, "thresholds"),
        ({"thresholds": "burst_clicks=10"}, "thresholds"),
        ({"thresholds": "burst_clicks:0"}, "thresholds"),
        ({"thresholds": "burst_clicks:-1"}, "thresholds"),
        ({"thresholds": ["burst_clicks:5", "burst_clicks:6"]}, "thresholds"),
        ({"weights": ["no_session:10", "no_session:20"]}, "weights"),
        ({"weights": "no_session:10", "without": "no_session"}, "weights"),
        ({"reason": "no_session"}, "reason"),
    ):
        response = await journal.brand.get(URL, params=query)
        assert response.status_code == 422, query
        assert set(errors(response)) == {field}


async def test_a_refusal_says_what_could_be_meant(journal: Journal) -> None:
    async def why(**query: str | list[str]) -> str:
        body: dict[str, Any] = (await journal.brand.get(URL, params=query)).json()
        return str(body["detail"])

    assert "burst_clicks" in await why(thresholds="patience:10")
    assert "code_orders" not in (await why(thresholds="code_orders:10")).partition(";")[2]
    assert "arrival_permille can be 0 to 1000, not 2000" in await why(thresholds="arrival_permille:2000")
    assert "must be written as threshold:number, arrival_permille:50 for one" in await why(thresholds="burst_clicks=5")
    assert "must be written as reason:points, hosting_network:40 for one" in await why(weights="hosting_network=30")
    assert "'bad_mood' is no reason; there are declared_bot, " in await why(weights="bad_mood:30")
    assert "no_session can weigh 0 to 100 points, not 101" in await why(weights="no_session:101")
    assert "no_session is given twice" in await why(weights=["no_session:10", "no_session:10"])
    assert "no_session is given other points and left out as well" in await why(
        weights="no_session:10", without="no_session"
    )
    assert "burst_clicks is given twice" in await why(thresholds=["burst_clicks:5", "burst_clicks:6"])
