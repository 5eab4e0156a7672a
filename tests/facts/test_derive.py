"""A run is a function of events, rules and moment; it is seen as a whole or not at all, and what it said stays."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import date, timedelta
from functools import reduce
from operator import xor
from pathlib import Path
from typing import Any

import pytest

from stackfluence.events.statements import Statement
from stackfluence.events.store import Session, Store
from stackfluence.facts import Rules, derive, highest_run
from stackfluence.facts.derive import DAY_MS, FOR_EVER
from stackfluence.facts.thresholds import Thresholds
from stackfluence.vocabulary import TrafficReason
from tests.events.journals import rows, value
from tests.facts.days import DAY, DAY_START_MS, LATER_MS, NEXT_DAY, Days
from tests.facts.golden import golden_cases, tell

MIXED: dict[str, Any] = {
    "traffic": [
        {"name": "emma", "creator": "emma", "clicks": 60, "prefix": "192.0.2.0/24"},
        {"name": "lena", "creator": "lena", "clicks": 100, "then": [{"session": "3s", "engaged": "4s"}]},
        {"name": "mia", "creator": "mia", "clicks": 3, "then": [{"session": "3s", "says": ["webdriver"]}]},
        {"name": "ahead", "creator": "mia", "clicks": 2, "reasons": ["prefetch"]},
        {"name": "looked", "creator": "mia", "clicks": 2, "reasons": ["prerender"], "then": [{"session": "2s"}]},
        {"name": "buyers", "creator": "lena", "clicks": 4, "then": [{"conversion": "9s", "id": 1}]},
    ]
}


def test_a_run_says_what_it_read_and_by_what(days: Days) -> None:
    tell(days, MIXED)
    done = days.derive()
    (run,) = rows(days.store, "select * from derivation_runs")
    assert (run["run_id"], run["as_of"], run["clicks"], run["policy_versions"]) == (1, 1, 171, [1])
    assert (run["facts_hash"], len(run["facts_hash"])) == (done.facts_hash, 32)
    hashes = run["table_hashes"]
    assert set(hashes) == {"click_verdicts", "click_rollups"}
    assert reduce(xor, (int(each, 16) for each in hashes.values())) == int(done.facts_hash, 16)
    assert run["code_version"].startswith("0.1.0+")
    assert (run["from_at"].isoformat()[:10], run["to_at"].isoformat()[:10]) == ("2026-11-22", "2026-11-23")
    reasons = [verdict["invalid_reason"] for verdict in days.verdicts().values()]
    assert done.clicks == len(reasons) == 171
    assert done.valid == reasons.count("")
    assert {word: reasons.count(word) for word in set(reasons)} == {
        "": 102, "no_session": 60, "webdriver": 3, "prefetch": 2, "conversion_too_fast": 4,
    }  # fmt: skip


def test_the_same_events_give_the_same_rows_again_and_in_any_order_of_arrival(
    days: Days, other_days: Callable[[str], Days]
) -> None:
    tell(days, MIXED)
    first = days.derive()
    assert days.derive().facts_hash == first.facts_hash
    told = list(days.told)
    for seed in range(2):
        again = other_days(f"shuffled{seed}")
        random.Random(seed).shuffle(told)
        for part in range(3):  # in three loads
            again.tell_again(told[part::3])
            again.load()
        shuffled = again.derive()
        assert (shuffled.clicks, shuffled.facts_hash) == (first.clicks, first.facts_hash)


def test_one_more_session_is_another_hash(days: Days) -> None:
    click = days.click(1000)
    before = days.derive()
    days.after(click, "session", 2000)
    after = days.derive()
    assert before.facts_hash != after.facts_hash
    assert (before.as_of, after.as_of) == (1, 2)


def test_of_one_event_in_two_rows_the_best_counts_whichever_came_first(other_days: Callable[[str], Days]) -> None:
    rows_of_event: list[dict[str, Any]] = [
        {"trust_tier": "browser", "bot_reasons": ["webdriver"]},
        {"trust_tier": "server"},
    ]
    hashes = set()
    click_id = "019aaba6-6480-7663-8128-2d69f5af2110"
    for place, order in enumerate((rows_of_event, rows_of_event[::-1])):
        told = other_days(f"order{place}")
        told.click(1000, event_id=click_id)
        for fields in order:
            told.after(click_id, "session", 2000, event_id="019aaba6-6480-7663-8128-2d69f5af2999", **fields)
            told.load()
        hashes.add(told.derive().facts_hash)
        assert told.verdicts()[click_id]["later_reasons"] == []
    assert len(hashes) == 1


def test_a_session_that_is_loaded_later_changes_the_verdict_and_the_old_one_stays(days: Days) -> None:
    click = days.click(1000, bot_reasons=["prefetch"], bot_score=100)
    first = days.derive()
    days.after(click, "session", 60_000)
    second = days.derive()
    assert days.verdicts()[click]["invalid_reason"] == ""
    assert days.verdicts()[click]["lifted_reasons"] == ["prefetch"]
    old = days.verdicts(first.run_id)[click]
    assert (old["invalid_reason"], old["arrival_stage"], old["score"]) == ("prefetch", "measured", 100)
    assert second.run_id > first.run_id


def test_a_run_reads_no_load_that_finished_behind_its_horizon(days: Days) -> None:
    days.click(1000)
    days.load()
    run = days.run()
    days.click(2000)
    days.load()
    assert derive(days.store, run, DAY, NEXT_DAY).clicks == 1


@pytest.mark.parametrize("last", ["publish_verdicts", "derive_click_verdicts", "note_run", "point_days"])
def test_a_run_that_dies_leaves_readers_where_they_were(last: str, days: Days, monkeypatch: pytest.MonkeyPatch) -> None:
    clicks = [days.click(1000), days.click(1000 + DAY_MS)]
    two_days = (DAY, NEXT_DAY + timedelta(days=1))
    first = days.derive(*two_days)
    for click in clicks:
        days.after(click, "session", 3000)
    carried = Session.run
    calls: list[str] = []

    def dying(self: Session, statement: Statement, **parameters: Any) -> None:
        calls.append(statement.name)
        if statement.name == last and calls.count(last) == (1 if last.startswith(("note", "point")) else 2):
            raise KeyboardInterrupt
        carried(self, statement, **parameters)

    monkeypatch.setattr(Session, "run", dying)
    with pytest.raises(KeyboardInterrupt):
        days.derive(*two_days)
    monkeypatch.undo()
    assert {row["run_id"] for row in days.verdicts().values()} == {first.run_id}
    assert {row["arrival_stage"] for row in days.verdicts().values()} == {"measured"}
    third = days.derive(*two_days)
    assert {row["run_id"] for row in days.verdicts().values()} == {third.run_id}
    assert days.verdicts()[clicks[0]]["arrival_stage"] == "received"
    assert highest_run(days.store) == third.run_id


def test_one_organization_says_nothing_about_anothers_clicks(days: Days) -> None:
    mine = days.click(1000)
    days.organization_id = "org_0000002"
    theirs = days.click(1000)
    days.after(mine, "session", 2000)  # carries an ID of the first organization
    days.derive()
    assert set(days.verdicts()) == {theirs}
    days.organization_id = "org_0000001"
    days.derive()
    assert days.verdicts()[mine]["arrival_stage"] == "measured"


def test_a_scheduled_run_leaves_a_day_alone_that_did_not_change(days: Days) -> None:
    days.click(1000)
    first = days.derive(is_scheduled=True)
    again = days.derive(is_scheduled=True)
    assert (first.days[0].is_written, again.days[0].is_written) == (True, False)
    assert {row["run_id"] for row in days.verdicts().values()} == {first.run_id}
    assert value(days.store, "select count() as c from derivation_runs") == 2, "what was looked at is known"
    days.click(2000)
    assert days.derive(is_scheduled=True).days[0].is_written


def test_what_a_scheduled_run_says_of_an_unfinished_day_expires_and_nothing_else_does(days: Days) -> None:
    days.click(1000)
    at_ms = DAY_START_MS + DAY_MS
    days.derive(is_scheduled=True, at_ms=at_ms)
    days.derive(at_ms=at_ms)
    days.derive(is_scheduled=True, at_ms=LATER_MS)
    select = "select run_id, toUnixTimestamp(expires_at) as ends"
    ends = [row["ends"] for row in rows(days.store, f"{select} from click_verdicts order by run_id")]
    pointed = [row["ends"] for row in rows(days.store, f"{select} from derived_days order by run_id")]
    assert pointed == [at_ms // 1000 + 7 * 86_400, FOR_EVER, FOR_EVER]
    assert ends == [pointed[0] + 86_400, FOR_EVER, FOR_EVER], "what is pointed to stays longer than its pointer"
    kept = rows(days.store, "select is_kept, is_final from derived_days order by run_id")
    assert [(row["is_kept"], row["is_final"]) for row in kept] == [(False, False), (True, False), (True, True)]


def test_a_days_verdicts_cost_nothing_of_other_days(days: Days) -> None:
    """What was clicked 8 days before or a day behind is not even read: it changes no row and no hash."""
    days.click(1000)
    before = days.derive()
    days.click(1000 - 8 * DAY_MS)
    days.click(1000 + 3 * DAY_MS)
    assert days.derive().facts_hash == before.facts_hash


def test_a_shared_prefix_stays_when_the_prefix_has_expired(days: Days) -> None:
    for creator in ("emma", "lena", "mia"):
        for place in range(20):
            days.click(
                place * 1000,
                creator_id=f"crt_{creator}",
                link_id=f"lnk_{creator}{place % 2}",
                expiring={"ip_prefix": "192.0.2.0/24"},
            )
    first = days.derive()
    assert {tuple(row["later_reasons"]) for row in days.verdicts().values()} == {("shared_prefix",)}
    found = value(days.store, "select count() as c from shared_prefix_clicks")
    a_year_later = LATER_MS + 365 * DAY_MS
    assert days.derive(at_ms=a_year_later).facts_hash == first.facts_hash
    assert value(days.store, "select count() as c from shared_prefix_clicks") == found == 60


def test_prefixes_that_have_expired_are_not_read(days: Days) -> None:
    for place in range(60):
        days.click(
            place, creator_id=f"crt_{place % 3}", link_id=f"lnk_{place % 6}", expiring={"ip_prefix": "192.0.2.0/24"}
        )
    days.derive(at_ms=LATER_MS + 365 * DAY_MS)
    assert {tuple(row["later_reasons"]) for row in days.verdicts().values()} == {()}


def test_other_rules_give_other_verdicts_under_their_own_threshold(days: Days) -> None:
    click = days.click(1000, bot_reasons=["hosting_network", "missing_headers"], bot_score=15)
    days.derive(rules=Rules(flagged_from=15))
    assert days.verdicts()[click]["invalid_reason"] == "hosting_network"
    assert days.verdicts()[click]["flagged_from"] == 15
    days.derive(rules=Rules(weights={TrafficReason.missing_headers: 90}))
    assert (days.verdicts()[click]["invalid_reason"], days.verdicts()[click]["score"]) == ("missing_headers", 100)


@pytest.mark.parametrize("rules", [{"flagged_from": 0}, {"flagged_from": 101}, {"weights": {TrafficReason.attack: -1}}])
def test_rules_that_cannot_be_meant_are_refused(rules: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"not"):
        Rules(**rules)


def test_facts_are_derived_over_http_as_in_this_process(served_store: Store, days: Days, tmp_path: Path) -> None:
    served = Days(served_store, tmp_path / "served")
    tell(days, MIXED)
    served.tell_again(days.told)
    assert served.derive().facts_hash == days.derive().facts_hash
    served.close()


def test_an_empty_day_is_derived_too(days: Days) -> None:
    done = days.derive(date(2026, 1, 1), date(2026, 1, 3))
    assert (done.clicks, [day.clicks for day in done.days]) == (0, [0, 0])
    assert value(days.store, "select count() as c from derived_days") == 2


def test_a_better_row_that_carries_another_click_takes_the_event_away(days: Days) -> None:
    click = days.click(1000)
    other = days.click(1000 - 3 * DAY_MS)
    event_id = "019aaba6-6480-7663-8128-2d69f5af2999"
    days.after(click, "session", 2000, event_id=event_id)
    assert days.derive().clicks == 1
    assert days.verdicts()[click]["arrival_stage"] == "received"
    days.after(other, "session", 2000, event_id=event_id, trust_tier="server")
    days.derive()
    assert days.verdicts()[click]["arrival_stage"] == "measured"


def test_a_run_finds_shared_prefixes_whatever_a_higher_one_found(days: Days) -> None:
    for place in range(60):
        days.click(
            place, creator_id=f"crt_{place % 3}", link_id=f"lnk_{place % 6}", expiring={"ip_prefix": "192.0.2.0/24"}
        )
    days.runs = 4
    higher = days.derive()
    days.runs = 2
    lower = days.derive()
    assert (higher.run_id, lower.run_id) == (5, 3)
    assert lower.facts_hash == higher.facts_hash
    assert {tuple(row["later_reasons"]) for row in days.verdicts(3).values()} == {("shared_prefix",)}


def test_a_run_says_by_which_rules_it_decided(days: Days) -> None:
    days.click(1000)
    decided = (
        Rules(),
        Rules(flagged_from=15),
        Rules(thresholds=Thresholds(burst_clicks=11)),
        Rules(weights={TrafficReason.prefetch: 10}),
    )
    for rules in (*decided, Rules()):
        days.derive(rules=rules)
    versions = [row["code_version"] for row in rows(days.store, "select * from derivation_runs order by run_id")]
    assert (len(set(versions)), versions[0]) == (4, versions[4])


@pytest.mark.parametrize("first", range(1, 10, 4))
def test_a_run_over_many_days_says_of_each_what_a_run_over_it_alone_does(first: int, days: Days) -> None:
    """What a run has counted of the days before is as good as what a run that begins there counts."""
    tell(days, _outlier())
    alone = days.derive().days[0]
    together = days.derive(DAY - timedelta(days=first), DAY + timedelta(days=2)).days
    assert together[first] == alone
    assert "hourly_outlier" in {reason for verdict in days.verdicts().values() for reason in verdict["later_reasons"]}


def _outlier() -> dict[str, Any]:
    """Return the first golden case of an hour that is unlike the week before."""
    return next(case for name, case in golden_cases() if "/hourly_outlier/" in name)


def test_the_week_before_is_the_organizations_own_as_far_as_the_run_reads(days: Days) -> None:
    """What the hour is beside: clicks of another organization and of a later load would double what is usual."""
    outlier = _outlier()
    tell(days, outlier)
    more = {"traffic": [{**group, "every": "100s"} for group in outlier["traffic"] if group.get("day")]}
    days.organization_id = "org_0000002"
    tell(days, more)
    days.organization_id = "org_0000001"
    days.load()
    run = days.run()
    tell(days, more)
    days.load()
    derive(days.store, run, DAY, NEXT_DAY)
    found = [verdict["evidence"] for verdict in days.verdicts().values() if verdict["later_reasons"]]
    assert {evidence["usual_hour_clicks"] for evidence in found} == {30}
    days.derive()
    assert {verdict["evidence"].get("usual_hour_clicks") for verdict in days.verdicts().values()} == {None}


@pytest.mark.parametrize("before", [0, 6])  # days of the same run: those counted the busy ones
def test_usual_is_what_the_seven_days_before_had_and_no_day_earlier(before: int, days: Days) -> None:
    case = _outlier()
    traffic = [{**group, "day": -7} if group.get("day") else group for group in case["traffic"]]
    busy = [{"creator": "emma", "clicks": 1440, "day": day, "at": "00:00", "every": "60s"} for day in (-8, -9)]
    busy += [{**busy[0], "day": -6, "test": True}]
    tell(days, {"traffic": [*traffic, *busy]})
    days.derive(DAY - timedelta(days=before), NEXT_DAY)
    found = [verdict["evidence"] for verdict in days.verdicts().values() if verdict["later_reasons"]]
    assert {evidence["usual_hour_clicks"] for evidence in found} == {30}


def test_what_counts_are_added_up_to_is_what_they_add_up_to(days: Days) -> None:
    tell(days, MIXED)
    days.derive()
    apart = "is_test, arrival_stage, invalid_reason, unqualified_reason"
    day = "toDateTime(toDate(click_rollups.counted_at), 'UTC')"
    for counted_by, moment, names in (
        ("quarter", "click_rollups.counted_at", ""),
        ("link", day, "link_id, creator_id, campaign_id, "),
        ("country", day, "country, "),
        ("device", day, "device_class, "),
        ("in_app_browser", day, "in_app_browser, "),
    ):
        key = f"{names}{apart}"
        sums = "sum(clicks) as counted, sum(pageviews) as pages"
        wanted = f"""
            select {moment} as moment, {key}, {sums} from click_rollups
            where counted_by = 'all' group by all order by all
            """
        found = f"""
            select counted_at as moment, {key}, clicks as counted, pageviews as pages from click_rollups
            where counted_by = '{counted_by}' order by all
            """
        assert rows(days.store, found) == rows(days.store, wanted) != []
