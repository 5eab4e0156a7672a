"""Deriving orders: one conversion per order for ever, the creator that it names and how that was found, day by day.

The days are those of the orders, UTC, so they are derived apart from the days of clicks: a refund of last month costs a
day of orders, not a day of clicks. What a run gives is a function of the events up to its load, of the codes that the
catalog has, and of the rules.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from stackfluence.events.statements import Statement, read_statements
from stackfluence.events.store import Session, Store
from stackfluence.facts.codes import NO_CODES, CodeBook
from stackfluence.facts.derive import FOR_EVER, SETTINGS, Progress, Run, code_version, day_ms, joined, stay_of
from stackfluence.facts.order_places import place_orders
from stackfluence.facts.thresholds import Rules
from stackfluence.names import code_key

FOLDER = Path(__file__).parent
WORK = read_statements(FOLDER / "order_work.sql")
SQL = read_statements(FOLDER / "orders.sql")
FILES = tuple(sorted(FOLDER.glob("1[0-9][0-9]_*.sql")))
_LAST_BEFORE_CODES = "150"  # up to here no statement knows a code


def _steps(*, with_codes: bool) -> tuple[Statement, ...]:
    chosen = [path for path in FILES if (path.name > _LAST_BEFORE_CODES + "~") == with_codes]
    return tuple(statement for path in chosen for statement in read_statements(path).values())


STEPS, CODE_STEPS = _steps(with_codes=False), _steps(with_codes=True)


@dataclass(frozen=True, slots=True)
class DerivedOrderDay:
    """What a day's orders came to; the words are those of `DerivedDay`. `code_keys` are the codes on its orders."""

    day: date
    conversions: int
    facts_hash: str
    code_keys: tuple[str, ...]
    codes_hash: str
    is_final: bool
    is_kept: bool
    is_written: bool
    expires_s: int = FOR_EVER


@dataclass(frozen=True, slots=True)
class DerivedOrders:
    """A finished run over days of orders."""

    run_id: int
    as_of: int
    days: tuple[DerivedOrderDay, ...]
    conversions: int
    facts_hash: str


def days_with_orders(store: Store, organization_id: str, as_of: int, from_day: date, to_day: date) -> list[date]:
    """Return the days of [from_day, to_day), UTC, on which there is anything to derive. Raises StoreError."""
    span = {"from_ms": day_ms(from_day), "to_ms": day_ms(to_day)}
    with store.session() as session:
        rows = session.rows(SQL["days_with_orders"], organization_id=organization_id, as_of=as_of, **span)
    return [row["day"] for row in rows]


def derive_orders(
    store: Store,
    run: Run,
    days: Sequence[date],
    codes: CodeBook = NO_CODES,
    *,
    rules: Rules = Rules(),
    is_scheduled: bool = False,
    tell: Progress = lambda _done, _total: None,
) -> DerivedOrders:
    """Derive the orders of some days (UTC, of the order) of an organization; readers see all days at once.

    A scheduled run leaves a day alone that it finds unchanged, and its rows of a day that isn't final go after a week.
    Raises StoreError.
    """
    session = store.open_session(SETTINGS)
    try:
        place_orders(session, run.as_of)
        derived: list[DerivedOrderDay] = []
        for done, day in enumerate(days):
            tell(done, len(days))
            counted = derive_order_day(session, run, day, codes, rules)
            derived.append(_publish(session, run, day, counted, codes, is_scheduled))
        tell(len(days), len(days))
        result = DerivedOrders(
            run.run_id,
            run.as_of,
            tuple(derived),
            sum(each.conversions for each in derived),
            joined(each.facts_hash for each in derived),
        )
        if derived:
            _finish(session, run, result, rules)
    finally:
        session.close()
    return result


def derive_order_day(session: Session, run: Run, day: date, codes: CodeBook, rules: Rules) -> dict[str, Any]:
    """Fill the session's `day_conversions`; returns conversions, facts_hash and code_keys. Raises StoreError."""
    for statement in WORK.values():
        session.run(statement)
    parameters = {
        "organization_id": run.organization_id,
        "run_id": run.run_id,
        "as_of": run.as_of,
        "day_ms": day_ms(day),
        **rules.parameters(),
    }
    for statement in STEPS:
        session.run(statement, **parameters)
    words = [row["code"] for row in session.rows(SQL["words_of_day"], **parameters)]
    keys = {word: code_key(word) for word in words}
    if keys:
        session.upload("code_words", ("code", "code_key"), [list(pair) for pair in keys.items()])
    periods = codes.of(keys.values())
    if periods:
        columns = ("code_key", "creator_id", "campaign_id", "from_ms", "to_ms")
        session.upload("code_periods", columns, [list(period) for period in periods])
    for statement in CODE_STEPS:
        session.run(statement, **parameters)
    counted = session.row(SQL["count_day_conversions"])
    return {**counted, "code_keys": [row["code_key"] for row in session.rows(SQL["keys_of_day"])]}


def _publish(
    session: Session, run: Run, day: date, counted: dict[str, Any], codes: CodeBook, is_scheduled: bool
) -> DerivedOrderDay:
    stay = stay_of(run, day, is_scheduled)
    keys = tuple(counted["code_keys"])
    codes_hash = codes.hash_of(keys)
    is_written = True
    if is_scheduled:
        asked = {"organization_id": run.organization_id, "day": day, "now_ms": run.derived_ms}
        pointers = session.rows(SQL["last_order_pointer"], **asked)
        is_written = not pointers or tuple(pointers[0].values()) != (stay.is_final, counted["facts_hash"], codes_hash)
    if is_written:
        session.run(
            SQL["publish_conversions"],
            run_id=run.run_id,
            organization_id=run.organization_id,
            expires_s=stay.rows_expire_s,
        )
    return DerivedOrderDay(
        day,
        counted["conversions"],
        counted["facts_hash"],
        keys,
        codes_hash,
        stay.is_final,
        stay.is_kept,
        is_written,
        stay.expires_s,
    )


def _finish(session: Session, run: Run, result: DerivedOrders, rules: Rules) -> None:
    asked = {"organization_id": run.organization_id, "run_id": run.run_id}
    session.run(
        SQL["note_order_run"],
        **asked,
        derived_ms=run.derived_ms,
        days=[each.day.isoformat() for each in result.days],
        as_of=run.as_of,
        code_version=code_version(rules, STEPS + CODE_STEPS),
        conversions=result.conversions,
        facts_hash=result.facts_hash,
    )
    written = [each for each in result.days if each.is_written]
    if written:
        session.run(
            SQL["point_order_days"],
            **asked,
            days=[each.day.isoformat() for each in written],
            finals=[each.is_final for each in written],
            kept=[each.is_kept for each in written],
            day_conversions=[each.conversions for each in written],
            hashes=[each.facts_hash for each in written],
            keys=[list(each.code_keys) for each in written],
            code_hashes=[each.codes_hash for each in written],
            ends=[each.expires_s for each in written],
        )
