"""Facts through the command line: by a running core and without one."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from stackfluence import events
from stackfluence.events.statements import read_statements
from stackfluence.facts.derive import SCHEMA as FACTS_SCHEMA
from stackfluence.operations.backup import TABLES
from tests.operations.installations import loaded, new_link, refusal, result, rows, signed_click_id, stored
from tests.processes.serving import HTTP, Serving, serving
from tests.processes.serving import run as run_command

EVENTS = Path(events.__file__).parent
PHONE = (
    "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/142.0.0.0 Mobile Safari/537.36"
)


def visit(running: Serving, link: str, **said: Any) -> str:
    """Click, and tell of the visit that followed; returns the signed click ID."""
    sent = signed_click_id(HTTP.get(link, headers={"User-Agent": PHONE}, timeout=20))
    body = {"inf_click_id": sent, "session_id": f"visit {sent[:9]}", "time_on_page_ms": 12_000, **said}
    answer = HTTP.post(f"{running.address}/v1/events/session", json=body, headers=running.secret, timeout=20)
    assert answer.status_code == 202, answer.text
    return sent


FACTS = (
    "click_verdicts", "derivation_runs", "derived_days", "scored_clicks", "shared_prefix_clicks", "conversions",
    "order_runs", "derived_order_days", "same_customers", "attributions", "order_shares", "self_purchases",
    "click_rollups",
)  # fmt: skip


def facts_of(directory: Path) -> dict[str, list[dict[str, Any]]]:
    """Return every row of every table of facts."""
    with stored(directory) as store:
        return {table: rows(store, f"select * from {table} order by all") for table in FACTS}


def test_verdicts_are_derived_by_the_running_core_and_without_one(tmp_path: Path) -> None:
    today = datetime.now(UTC).date()
    span = ("--from", (today - timedelta(days=1)).isoformat(), "--to", (today + timedelta(days=1)).isoformat())
    with serving(tmp_path) as running:
        link = new_link(running)
        visit(running, link)
        visit(running, link, is_webdriver=True)
        loaded(running)
        first = result(tmp_path, "derive", *span)
        asked = ("back-test", "--days", "2")
        found = result(tmp_path, *asked, "--without", "webdriver", "--weight", "webdriver=0", is_own_process=True)
        assert "'bad_mood' is no reason; there are declared_bot, " in refusal(tmp_path, *asked, "--without", "bad_mood")
        refused = run_command(tmp_path, *asked, "--weight", "no_session=10", "--weight", "no_session=20")
        assert (refused.returncode, "no_session is given twice." in refused.stderr) == (2, True)
        tried = result(tmp_path, *asked, "--threshold", "idle_ms=500", "--threshold", "burst_clicks=2")
        assert "there are comparable_below, " in refusal(tmp_path, *asked, "--threshold", "patience=10")
        assert "can be 1 to 1000000, not 0" in refusal(tmp_path, *asked, "--threshold", "burst_clicks=0")
        assert "100 points on" in refusal(tmp_path, "back-test", "--days", "2", "--flagged-from", "101")
    (run,) = first["runs"]
    assert (first["clicks"], len(run["days"]), len(run["facts_hash"])) == (2, 2, 32)
    (compared,) = found["organizations"]
    assert compared["total"]["clicks"] == 2
    assert compared["missing_days"] == []
    assert tried["thresholds"] == {"idle_ms": 500, "burst_clicks": 2}
    assert tried["organizations"][0]["total"]["clicks"] == 2
    second = result(tmp_path, "derive", *span, "--score-again", "--organization", running.keys["organization_id"])
    assert second["scored_again"] == 2
    assert second["runs"][0]["run_id"] > run["run_id"]
    with stored(tmp_path) as store:
        verdicts = rows(store, "select * from click_verdicts where run_id = {run:UInt64}", run=run["run_id"])
    assert sorted(len(row["later_reasons"]) for row in verdicts) == [0, 1]
    assert {row["arrival_stage"] for row in verdicts} == {"resolved"}


def test_verdicts_that_were_given_outlive_a_restored_backup(tmp_path: Path) -> None:
    home, copy, elsewhere = tmp_path / "home", tmp_path / "copy", tmp_path / "elsewhere"
    home.mkdir()
    today = datetime.now(UTC).date()
    derive = ("derive", "--from", today.isoformat(), "--to", (today + timedelta(days=1)).isoformat())
    with serving(home) as running:
        sent = visit(running, new_link(running))
        order = {"inf_click_id": sent, "order_id": "A1", "revenue_cents": 4900, "customer_id": "emma"}
        told = HTTP.post(f"{running.address}/v1/events/conversion", json=order, headers=running.secret, timeout=20)
        assert told.status_code == 202, told.text
        loaded(running)
        result(home, *derive, "--score-again")
        result(home, *derive)
        result(home, "backup", str(copy))
    before = facts_of(home)
    result(elsewhere, "restore", str(copy))
    after = facts_of(elsewhere)
    assert len(after["click_verdicts"]) >= 2
    assert after["scored_clicks"] == before["scored_clicks"]
    kept = {row["run_id"] for row in after["derived_days"]}
    assert [row for row in before["click_verdicts"] if row["run_id"] in kept] == after["click_verdicts"]
    pointed = {row["run_id"] for row in after["derived_order_days"]}
    assert [row for row in before["conversions"] if row["run_id"] in pointed] == after["conversions"] != []
    assert [row for row in before["attributions"] if row["run_id"] in pointed] == after["attributions"] != []
    again = result(elsewhere, *derive)
    assert again["runs"][0]["orders"]["facts_hash"] == after["order_runs"][-1]["facts_hash"]
    assert again["conversions"] == 1
    assert again["runs"][0]["run_id"] > max(kept)
    assert again["runs"][0]["facts_hash"] == after["derivation_runs"][-1]["facts_hash"]


def test_a_backup_has_every_table_that_cannot_be_made_again() -> None:
    made = {
        table
        for statement in [*read_statements(EVENTS / "schema.sql").values(), *FACTS_SCHEMA.values()]
        for table in re.findall(r"create table if not exists (\w+)", statement.sql)
    }
    assert made - {"order_places", "placed_loads"} == set(TABLES), "places are made of events"


@pytest.mark.parametrize(
    ("span", "why"),
    [
        (("--from", "2026-11-02", "--to", "2026-11-02"), "are not 1 to"),
        (("--from", "yesterday", "--to", "2026-11-02"), "Days are written as"),
        (("--from", "2026-11-01", "--to", "2026-11-02", "--organization", "org_nobody"), "There is no organization"),
    ],
)
def test_days_that_cannot_be_meant_are_refused(span: tuple[str, ...], why: str, tmp_path: Path) -> None:
    assert why in refusal(tmp_path, "derive", *span)


@pytest.mark.parametrize(
    "arguments",
    [
        ("derive", "--from", "2026-11-02", "--to", "2026-11-01"),
        ("derive", "--from", "2026-11-01"),
        ("derive", "--from", "2026-11-01", "--to", "2026-11-02", "--organization", "org_nobody"),
        ("back-test", "--days", "0"),
        ("back-test", "--days", "few"),
        ("back-test", "--days", "2", "--flagged-from", "0"),
        ("back-test", "--days", "2", "--weight", "no_session"),
        ("back-test", "--days", "2", "--weight", "no_session=101"),
        ("back-test", "--days", "2", "--weight", "no_session=10", "--without", "no_session"),
        ("back-test", "--days", "2", "--threshold", "burst_clicks=0"),
        ("score",),
        ("score", "there-is-no-such-file.jsonl"),
    ],
)
def test_wrong_usage_has_an_exit_code_of_its_own_whatever_finds_it(arguments: tuple[str, ...], tmp_path: Path) -> None:
    done = run_command(tmp_path, *arguments)
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert "Traceback" not in done.stderr


def test_days_that_have_not_come_are_refused(tmp_path: Path) -> None:
    today = datetime.now(UTC).date()
    end = (today + timedelta(days=3)).isoformat()
    said = refusal(tmp_path, "derive", "--from", today.isoformat(), "--to", end)
    assert f"Days up to {end} haven't come yet" in said
