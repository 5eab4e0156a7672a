"""Nothing in the code can change or remove what is immutable."""

from __future__ import annotations

from pathlib import Path

import pytest

from stackfluence.errors import StoreError
from stackfluence.events import erase, feed, turn
from stackfluence.events.statements import check_allowed, read_statements
from stackfluence.events.store import SCHEMA

FORBIDDEN = [
    "alter table events delete where 1",
    "ALTER TABLE `events` UPDATE line = '' WHERE 1",
    "alter table stackfluence.events delete where 1",
    "/* select */ alter table events delete where 1",
    "delete from events where 1",
    "delete from events_personal where 1",
    "truncate table events",
    "alter table events add column if not exists x String, delete where 1",
    "alter table events add column x String",
    "truncate table events_personal",
    "drop table events",
    "drop table if exists seals",
    "drop database stackfluence",
    "rename table events to old",
    "exchange tables events and other",
    "create or replace table events (x Int8) engine = Memory",
    "optimize table events deduplicate",
    "update events set line = '' where 1",
    "alter table quarantined_events delete where 1",
    "alter table seals delete where 1",
    "alter table erasures delete where 1",
    "select 1; alter table events delete where 1",
    "detach table events",
    "attach table events",
    "system stop merges",
]


@pytest.mark.parametrize("sql", FORBIDDEN)
def test_a_statement_that_could_change_an_event_is_refused(sql: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.sql"
    path.write_text(f"-- name: bad\n-- It must not be.\n{sql};\n")
    with pytest.raises(StoreError):
        read_statements(path)


def test_all_statements_have_a_name_and_a_sentence() -> None:
    found = {**SCHEMA, **turn.SQL, **feed.SQL, **erase.SQL}
    assert len(found) > 30
    assert [name for name, statement in found.items() if len(statement.sentence) < 20] == []


def test_personal_halves_are_all_that_may_be_deleted() -> None:
    changing = [
        statement.name
        for statement in {**SCHEMA, **turn.SQL, **feed.SQL, **erase.SQL}.values()
        if not statement.sql.lower().startswith(("select", "with", "insert into", "create", "drop temporary table"))
        and "add column if not exists" not in statement.sql
        and "add index if not exists" not in statement.sql
    ]
    assert changing == ["delete_personal"]
    check_allowed("delete_personal", "alter table events_personal delete where 1")


def test_a_statement_without_a_name_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bad.sql"
    path.write_text("select 1;\n")
    with pytest.raises(StoreError):
        read_statements(path)
