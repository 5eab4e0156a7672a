"""Deriving orders: one conversion per order for ever, the creator that it names and how that was found, day by day.

The days are those of the orders, UTC, so they are derived apart from the days of clicks: a refund of last month costs a
day of orders, not a day of clicks. What a run gives is a function of the events up to its load, of the verdicts on the
clicks that these orders name, and of the codes, policies and own customers that the catalog has.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from stackfluence.events.statements import Statement, read_statements
from stackfluence.events.store import Session, Store
from stackfluence.facts.checks import check
from stackfluence.facts.codes import NO_CODES, CodeBook
from stackfluence.facts.derive import (
    DAY_MS,
    FOR_EVER,
    SETTINGS,
    Run,
    Stay,
    code_version,
    day_ms,
    hashes_of_tables,
    joined,
    stay_of,
)
from stackfluence.facts.order_places import place_orders
from stackfluence.facts.policies import DEFAULT_POLICIES, OwnCustomerPeriod, PolicyBook
from stackfluence.facts.side_by_side import Progress, each_day
from stackfluence.facts.thresholds import Rules
from stackfluence.names import code_key

FOLDER = Path(__file__).parent
WORK = read_statements(FOLDER / "order_work.sql")
SQL = read_statements(FOLDER / "orders.sql")
FILES = tuple(sorted(FOLDER.glob("1[0-9][0-9]_*.sql")))
ORDER_GENERATION = 3  # the form of an order's facts: before 3 they had no shares, which reports count
_LAST_BEFORE_CODES = "150"  # up to here no statement knows a code


def _steps(*, with_codes: bool) -> tuple[Statement, ...]:
    chosen = [path for path in FILES if (path.name > _LAST_BEFORE_CODES + "~") == with_codes]
    return tuple(statement for path in chosen for statement in read_statements(path).values())


STEPS, CODE_STEPS = _steps(with_codes=False), _steps(with_codes=True)


@dataclass(frozen=True, slots=True)
class Terms:
    """What the catalog says of an organization's orders: whose codes and customers are whose, and what counts."""

    codes: CodeBook = NO_CODES
    policies: PolicyBook = DEFAULT_POLICIES
    own_customers: Sequence[OwnCustomerPeriod] = field(default=())


@dataclass(frozen=True, slots=True)
class DerivedOrderDay:
    """What a day's orders came to; the words are those of `DerivedDay`.

    `code_keys` are the codes on its orders; `click_days` those of the clicks that may be credited, whose verdicts are
    in `verdicts_hash`.
    """

    day: date
    conversions: int
    table_hashes: Mapping[str, str]
    facts_hash: str
    code_keys: tuple[str, ...]
    codes_hash: str
    click_days: tuple[date, ...]
    verdicts_hash: str
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
    warnings: tuple[str, ...]


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
    terms: Terms = Terms(),
    *,
    rules: Rules = Rules(),
    is_scheduled: bool = False,
    tell: Progress = lambda _done, _total: None,
) -> DerivedOrders:
    """Derive the orders of some days (UTC, of the order) of an organization; readers see all days at once.

    A scheduled run leaves a day alone that it finds unchanged, and its rows of a day that isn't final go after a week.
    A day is final when the days of the clicks that may be credited are. Raises StoreError, and ChecksFailed when what
    it wrote contradicts itself.
    """

    def derive_one(session: Session, day: date) -> tuple[DerivedOrderDay, list[str]]:
        counted = derive_order_day(session, run, day, terms, rules)
        warnings = check(session, "orders", day)
        return _publish(session, run, day, counted, terms.codes, is_scheduled), warnings

    with contextlib.closing(store.open_session(SETTINGS)) as session:
        place_orders(session, run.as_of)
        found = each_day(lambda share: store.open_session({**SETTINGS, **share}), days, derive_one, tell)
        derived = tuple(day for day, _ in found)
        result = DerivedOrders(
            run.run_id,
            run.as_of,
            derived,
            sum(each.conversions for each in derived),
            joined(each.facts_hash for each in derived),
            tuple(warning for _, warnings in found for warning in warnings),
        )
        if derived:
            _finish(session, run, result, terms.policies, rules)
    return result


def derive_order_day(session: Session, run: Run, day: date, terms: Terms, rules: Rules) -> dict[str, Any]:
    """Fill the session's tables of the day, `day_conversions` and so on; returns what `_publish` tells.

    Raises StoreError.
    """
    for statement in WORK.values():
        session.run(statement)
    parameters = {
        "organization_id": run.organization_id,
        "run_id": run.run_id,
        "as_of": run.as_of,
        "derived_ms": run.derived_ms,
        "day_ms": day_ms(day),
        **terms.policies.parameters(),
        **rules.parameters(),
    }
    if terms.own_customers:
        session.upload("own_customers", OwnCustomerPeriod._fields, [list(period) for period in terms.own_customers])
    needless = set() if terms.own_customers else {"find_self_purchases"}
    if not session.rows(SQL["any_payment"], **parameters):
        needless.add("find_refund_orders")
    for statement in STEPS:
        if statement.name not in needless:  # each costs more to prepare than to ask whether it has anything to find
            session.run(statement, **parameters)
    words = [row["code"] for row in session.rows(SQL["words_of_day"], **parameters)]
    keys = {word: code_key(word) for word in words}
    if keys:
        session.upload("code_words", ("code", "code_key"), [list(pair) for pair in keys.items()])
    periods = terms.codes.of(keys.values())
    if periods:
        columns = ("code_key", "creator_id", "campaign_id", "from_ms", "to_ms")
        session.upload("code_periods", columns, [list(period) for period in periods])
    for statement in CODE_STEPS:
        session.run(statement, **parameters)
    counted = session.row(SQL["count_day_conversions"])
    hashes = {"conversions": counted["facts_hash"]}
    for table, name in (("attributions", "hash_day_attributions"), ("order_shares", "hash_day_shares")):
        hashes[table] = session.row(SQL[name])["facts_hash"]
    return {
        "conversions": counted["conversions"],
        "table_hashes": hashes,
        "code_keys": tuple(row["code_key"] for row in session.rows(SQL["keys_of_day"])),
        **session.row(SQL["touches_of_day"]),
    }


def _publish(
    session: Session, run: Run, day: date, counted: dict[str, Any], codes: CodeBook, is_scheduled: bool
) -> DerivedOrderDay:
    stay = stay_of(run, day, is_scheduled)
    if stay.is_final and not counted["is_final"]:
        stay = Stay(False, stay.is_kept, stay.expires_s, stay.rows_expire_s)
    keys = counted["code_keys"]
    codes_hash, facts_hash = codes.hash_of(keys), joined(counted["table_hashes"].values())
    is_written = True
    if is_scheduled:
        asked = {"organization_id": run.organization_id, "day": day, "now_ms": run.derived_ms}
        pointers = session.rows(SQL["last_order_pointer"], **asked)
        is_written = not pointers or pointers[0] != {
            "is_final": stay.is_final,
            "facts_hash": facts_hash,
            "codes_hash": codes_hash,
            "verdicts_hash": counted["verdicts_hash"],
            "generation": ORDER_GENERATION,
        }
    if is_written:
        for name in ("publish_conversions", "publish_attributions", "publish_shares"):
            session.run(
                SQL[name],
                run_id=run.run_id,
                organization_id=run.organization_id,
                expires_s=stay.rows_expire_s,
            )
    return DerivedOrderDay(
        day,
        counted["conversions"],
        counted["table_hashes"],
        facts_hash,
        keys,
        codes_hash,
        tuple(counted["click_days"]),
        counted["verdicts_hash"],
        stay.is_final,
        stay.is_kept,
        is_written,
        stay.expires_s,
    )


def _finish(session: Session, run: Run, result: DerivedOrders, policies: PolicyBook, rules: Rules) -> None:
    asked = {"organization_id": run.organization_id, "run_id": run.run_id}
    hashes = hashes_of_tables(each.table_hashes for each in result.days)
    session.run(
        SQL["note_order_run"],
        **asked,
        derived_ms=run.derived_ms,
        days=[each.day.isoformat() for each in result.days],
        as_of=run.as_of,
        code_version=code_version(rules, STEPS + CODE_STEPS),
        run_policies=policies.versions_between(
            day_ms(result.days[0].day), max(day_ms(each.day) for each in result.days) + DAY_MS
        ),
        conversions=result.conversions,
        facts_hash=result.facts_hash,
        hashed_tables=list(hashes),
        table_hashes=list(hashes.values()),
        warnings=list(result.warnings),
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
            click_days=[[day.isoformat() for day in each.click_days] for each in written],
            verdict_hashes=[each.verdicts_hash for each in written],
            generation=ORDER_GENERATION,
            ends=[each.expires_s for each in written],
        )
