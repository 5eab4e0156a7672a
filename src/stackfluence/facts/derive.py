"""Derivation: what the clicks of a day mean, by the .sql files of this folder from 010 to 099, in their order.

What orders mean is derived by `orders.py`, from 110 on.

A run reads events up to a load, writes its verdicts day by day, says that it is complete, and last lets readers see its
days. One that dies before, or finds that its own rows contradict each other, leaves rows that nobody reads. The same
events, rules, policies and moment give the same rows, whatever order they arrived in; `facts_hash` says so in 32
digits.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from stackfluence import __version__
from stackfluence.events.statements import Statement, read_statements
from stackfluence.events.store import Session, Store
from stackfluence.facts.checks import check
from stackfluence.facts.policies import DEFAULT_POLICIES, PolicyBook
from stackfluence.facts.score_again import score_again
from stackfluence.facts.side_by_side import Progress, each_day
from stackfluence.facts.thresholds import Rules

FOLDER = Path(__file__).parent
SCHEMA = {**read_statements(FOLDER / "schema.sql"), **read_statements(FOLDER / "order_schema.sql")}
WORK = read_statements(FOLDER / "work.sql")
SQL = read_statements(FOLDER / "derive.sql")
STEPS: tuple[Statement, ...] = tuple(
    statement for path in sorted(FOLDER.glob("0*_*.sql")) for statement in read_statements(path).values()
)
DAY_MS = 86_400_000
FINAL_AFTER_MS = 2 * DAY_MS  # a day is over, and 24 hours have passed since its last click
PROVISIONAL_SECONDS = 7 * 86_400  # how long a scheduled run's rows of an unfinished day are read
STAY_SECONDS = 86_400  # how much longer they stay, for clocks that differ and readers that are slow
FOR_EVER = 2**32 - 1
GENERATION = 2  # the form of facts: days of an older one are derived again
SETTINGS = {"join_use_nulls": "0", "session_timeout": "3600"}


@dataclass(frozen=True, slots=True)
class Run:
    """A run as the catalog gave it out: its number, what it reads (`as_of`, a load), and the moment it judges at."""

    run_id: int
    organization_id: str
    as_of: int
    derived_ms: int


class Stay(NamedTuple):
    """How long a day's rows stay: `expires_s` ends their pointer, `rows_expire_s` the rows, in seconds since 1970."""

    is_final: bool
    is_kept: bool
    expires_s: int
    rows_expire_s: int


@dataclass(frozen=True, slots=True)
class DerivedDay:
    """What a day came to; `is_written` is False when a scheduled run found it unchanged, `is_kept` when it stays.

    `table_hashes` has one hash per table of facts, `facts_hash` is that of all of them. `expires_s` is when its
    verdicts are read no more, in seconds since 1970. `click_rows` counts the rows of clicks that were read.
    """

    day: date
    clicks: int
    click_rows: int
    valid: int
    qualified: int
    table_hashes: Mapping[str, str]
    facts_hash: str
    is_final: bool
    is_kept: bool
    is_written: bool
    expires_s: int = FOR_EVER


@dataclass(frozen=True, slots=True)
class Derived:
    """A finished run."""

    run_id: int
    as_of: int
    days: tuple[DerivedDay, ...]
    clicks: int
    valid: int
    qualified: int
    scored_again: int
    facts_hash: str
    warnings: tuple[str, ...]


def create_tables(store: Store) -> None:
    """Create the tables of facts that don't exist yet; again is harmless."""
    store.create(SCHEMA)


def highest_run(store: Store) -> int:
    """Return the highest run that left anything in the store, 0 for none. Raises StoreError."""
    with store.session() as session:
        return int(session.row(SQL["highest_run"])["run_id"])


def code_version(rules: Rules, steps: Sequence[Statement] = STEPS) -> str:
    """Return the program's version and a digest of statements and rules: another one may decide otherwise."""
    decides = [[statement.sql for statement in steps], rules.parameters(), rules.flagged_from]
    digest = hashlib.sha256(msgspec.json.encode(decides, order="sorted")).hexdigest()
    return f"{__version__}+{digest[:12]}"


def derive(
    store: Store,
    run: Run,
    from_day: date,
    to_day: date,
    *,
    policies: PolicyBook = DEFAULT_POLICIES,
    rules: Rules = Rules(),
    scores_again: bool = False,
    is_scheduled: bool = False,
    tell: Progress = lambda _done, _total: None,
) -> Derived:
    """Derive days [from_day, to_day), UTC, of the click, of an organization; readers see them once all are done.

    `scores_again` first asks today's rules and lists about the headers that are still kept. A scheduled run leaves a
    day alone that it finds unchanged, and its rows of a day that isn't final go after a week. Raises StoreError, and
    ChecksFailed when what it wrote contradicts itself.
    """
    chosen = list(days_between(from_day, to_day))
    again = 0

    def derive_one(session: Session, day: date) -> tuple[DerivedDay, list[str]]:
        counted = derive_day(session, run, day, policies, rules)
        warnings = check(session, "clicks", day)
        return _publish(session, run, day, counted, is_scheduled), warnings

    with contextlib.closing(store.open_session(SETTINGS)) as session:
        for day in chosen if scores_again else ():
            again += score_again(session, run.run_id, run.organization_id, run.as_of, run.derived_ms, day_ms(day))
        found = each_day(lambda share: store.open_session({**SETTINGS, **share}), chosen, derive_one, tell)
        derived = tuple(day for day, _ in found)
        result = Derived(
            run.run_id,
            run.as_of,
            derived,
            sum(day.clicks for day in derived),
            sum(day.valid for day in derived),
            sum(day.qualified for day in derived),
            again,
            joined(day.facts_hash for day in derived),
            tuple(warning for _, warnings in found for warning in warnings),
        )
        _finish(session, run, chosen, result, policies, rules)
    return result


def derive_day(session: Session, run: Run, day: date, policies: PolicyBook, rules: Rules) -> dict[str, Any]:
    """Fill the session's `day_verdicts`; returns what was counted, and table_hashes. Raises StoreError."""
    create_work(session)
    run_steps(session, STEPS, run, day, policies, rules)
    counted = session.row(SQL["count_day_verdicts"])
    hashes = {
        "click_verdicts": counted.pop("facts_hash"),
        "click_rollups": session.row(SQL["hash_day_rollups"])["facts_hash"],
    }
    return {**counted, "table_hashes": hashes}


def create_work(session: Session) -> None:
    """Create a session's tables of one day, empty."""
    for statement in WORK.values():
        session.run(statement)


def run_steps(
    session: Session, steps: Iterable[Statement], run: Run, day: date, policies: PolicyBook, rules: Rules
) -> None:
    """Run numbered statements over a day's tables, in their order. Raises StoreError."""
    parameters = {
        "organization_id": run.organization_id,
        "run_id": run.run_id,
        "as_of": run.as_of,
        "derived_ms": run.derived_ms,
        "day_ms": day_ms(day),
        **rules.judged_by(policies).parameters(),
        **rules.parameters(),
    }
    for statement in steps:
        session.run(statement, **parameters)


def day_ms(day: date) -> int:
    """Return the first millisecond of a day in UTC."""
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * 1000


def days_between(first: date, end: date) -> Iterator[date]:
    """Yield the days from `first` up to, without, `end`."""
    while first < end:
        yield first
        first += timedelta(days=1)


def stay_of(run: Run, day: date, is_scheduled: bool) -> Stay:
    """Return how long what a run derives of a day stays: a scheduled run's rows of an unfinished day go."""
    is_final = day_ms(day) + FINAL_AFTER_MS <= run.derived_ms
    if is_final or not is_scheduled:
        return Stay(is_final, is_kept=True, expires_s=FOR_EVER, rows_expire_s=FOR_EVER)
    expires_s = run.derived_ms // 1000 + PROVISIONAL_SECONDS
    return Stay(is_final, is_kept=False, expires_s=expires_s, rows_expire_s=expires_s + STAY_SECONDS)


def joined(hashes: Iterable[str]) -> str:
    """Return the hash of all days' rows together: the days' hashes, each digit's bits added up without carry."""
    total = 0
    for facts_hash in hashes:
        total ^= int(facts_hash, 16)
    return f"{total:032x}"


def hashes_of_tables(days: Iterable[Mapping[str, str]]) -> dict[str, str]:
    """Return the hash of each table's rows of all days together."""
    found: dict[str, list[str]] = {}
    for hashes in days:
        for table, facts_hash in hashes.items():
            found.setdefault(table, []).append(facts_hash)
    return {table: joined(hashes) for table, hashes in found.items()}


def _publish(session: Session, run: Run, day: date, counted: dict[str, Any], is_scheduled: bool) -> DerivedDay:
    stay = stay_of(run, day, is_scheduled)
    facts_hash = joined(counted["table_hashes"].values())
    is_written = True
    if is_scheduled:
        asked = {"organization_id": run.organization_id, "day": day, "now_ms": run.derived_ms}
        pointers = session.rows(SQL["last_pointer"], **asked)
        is_written = not pointers or pointers[0] != {
            "is_final": stay.is_final,
            "facts_hash": facts_hash,
            "generation": GENERATION,
            "click_rows": counted["click_rows"],
        }
    if is_written:
        for name in ("publish_verdicts", "publish_rollups"):
            session.run(
                SQL[name],
                run_id=run.run_id,
                organization_id=run.organization_id,
                expires_s=stay.rows_expire_s,
            )
    return DerivedDay(
        day,
        counted["clicks"],
        counted["click_rows"],
        counted["valid"],
        counted["qualified"],
        counted["table_hashes"],
        facts_hash,
        stay.is_final,
        stay.is_kept,
        is_written,
        stay.expires_s,
    )


def _finish(
    session: Session, run: Run, days: Sequence[date], result: Derived, policies: PolicyBook, rules: Rules
) -> None:
    if not days:
        return
    span = {"from_ms": day_ms(days[0]), "to_ms": day_ms(days[-1]) + DAY_MS}
    asked = {"organization_id": run.organization_id, "run_id": run.run_id}
    lists: dict[str, set[str]] = {}
    for row in session.rows(SQL["list_versions"], **asked, **span):
        for name, version in row["list_versions"].items():
            lists.setdefault(name, set()).add(version)
    hashes = hashes_of_tables(day.table_hashes for day in result.days)
    session.run(
        SQL["note_run"],
        **asked,
        **span,
        derived_ms=run.derived_ms,
        as_of=run.as_of,
        code_version=code_version(rules),
        list_names=sorted(lists),
        list_values=[", ".join(sorted(lists[name])) for name in sorted(lists)],
        run_policies=policies.versions_between(**span),
        clicks=result.clicks,
        facts_hash=result.facts_hash,
        hashed_tables=list(hashes),
        table_hashes=list(hashes.values()),
        warnings=list(result.warnings),
    )
    written = [day for day in result.days if day.is_written]
    if written:
        session.run(
            SQL["point_days"],
            **asked,
            days=[day.day.isoformat() for day in written],
            finals=[day.is_final for day in written],
            kept=[day.is_kept for day in written],
            day_clicks=[day.clicks for day in written],
            hashes=[day.facts_hash for day in written],
            generation=GENERATION,
            rows_read=[day.click_rows for day in written],
            ends=[day.expires_s for day in written],
        )
