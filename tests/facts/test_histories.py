"""What chance tells comes to the same in numbered SQL and in a slow oracle, and by whatever way it was told."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from datetime import date
from functools import partial
from typing import Any

import pytest

from stackfluence.events.statements import Statement
from stackfluence.facts import PolicyPeriod, create_tables
from stackfluence.facts.derive import SCHEMA
from tests import oracle_orders
from tests.events.journals import Writer
from tests.facts.chance import history
from tests.facts.days import Days
from tests.facts.differences import (
    Difference,
    Numbered,
    compared,
    derive_all,
    differences,
    expected_facts,
    shortest,
    terms_of,
)
from tests.facts.draft import policy_periods
from tests.facts.histories import HOUR, History, Telling, tell_all

ORGANIZATIONS, HISTORIES = 4, 50  # a derivation costs seconds whatever is in it, so many histories share one

Hashes = tuple[dict[date, str], dict[date, str]]  # of the clicks and of the orders of each day


def drawn(seed: int, count: int) -> tuple[list[PolicyPeriod], list[tuple[int, History]]]:
    """Return an organization's policies and histories."""
    chance = random.Random(seed)
    return policy_periods(chance), [(number, history(chance)) for number in range(1, count + 1)]


@pytest.mark.parametrize("seed", range(ORGANIZATIONS))
def test_sql_and_the_oracle_agree_on_every_click_and_order(seed: int, shared_days: Days) -> None:
    policies, told = drawn(seed, HISTORIES)
    compare = partial(differences, shared_days, policies=policies)
    if found := compare(told):
        least = min((shortest(one, compare) for one in found[:3]), key=lambda one: len(str(one)))
        pytest.fail(f"{len(found)} of {len(told)} histories differ, for one\n{least}\n" + "\n".join(map(str, policies)))


def test_a_difference_is_found_and_told_in_few_lines(shared_days: Days, monkeypatch: pytest.MonkeyPatch) -> None:
    click = {"click_id": "e1", "link_id": "lnk_emma~", "creator_id": "crt_emma~", "campaign_id": "cmp_spring~"}
    order = {"order_id": "A1~", "conversion_type": "purchase", "revenue_cents": 4900, "currency": "EUR"}
    told = History(
        (
            Telling("click", HOUR + 1, 0, {"event_id": "e1", **click}),
            Telling("session", 2 * HOUR, 0, {"event_id": "e2", "click_id": "e1", "session_id": "a~"}),
            Telling("conversion", HOUR, 0, {"event_id": "e3", "click_id": "e1", "click_id_status": "valid", **order}),
        )
    )
    policies = [PolicyPeriod()]

    def by_two_oracles(histories: Numbered) -> list[Difference]:
        """Compare without deriving, which would cost seconds for each round of leaving out."""
        right = expected_facts(histories, policies)
        with monkeypatch.context() as wrong:
            wrong.setattr(oracle_orders, "CLOCK_MS", 0)
            return compared(histories, right, expected_facts(histories, policies))

    with monkeypatch.context() as wrong:
        wrong.setattr(oracle_orders, "CLOCK_MS", 0)
        (found,) = differences(shared_days, [(1, told)], policies)
    assert found.found["order A1~1"]["found_by"] == ("click_id", "none")
    assert by_two_oracles([(1, told)])[0].found == found.found
    least = shortest(found, by_two_oracles)
    assert [telling.event_type for telling in least.history.tellings] == ["click", "conversion"]
    assert "derived 'click_id', by the rules 'none'" in str(least)


def test_the_same_history_is_the_same_facts_by_whatever_way_it_came(
    days: Days, other_days: Callable[[str], Days]
) -> None:
    policies, told = drawn(99, 25)
    terms = terms_of(told, policies)
    tell_all(days, told)
    first = derive_all(days, terms)
    assert len(set(first[0].values()) | set(first[1].values())) == 4, "two days of clicks, two of orders"

    drop_facts(days)
    assert derive_all(days, terms) == first, "derived again from nothing"

    late = other_days("late")
    here, stalled = parted(days.told, random.Random(7))
    late.tell_again(here)
    assert derive_all(late, terms) != first, "with whatever there is by then"
    late.writer = Writer(late.journals / "w1", node="n_0000000000000002")
    late.tell_again(stalled)
    assert derive_all(late, terms) == first, "shuffled, each event twice, half of them from a node that had stalled"


def parted(
    told: list[tuple[str, str, dict[str, Any]]], chance: random.Random
) -> tuple[list[tuple[str, str, dict[str, Any]]], list[tuple[str, str, dict[str, Any]]]]:
    """Return what two nodes tell: of every event both its rows, shuffled."""
    halves: tuple[list[tuple[str, str, dict[str, Any]]], ...] = ([], [])
    for each in told:
        chance.choice(halves).extend([each, each])
    for half in halves:
        chance.shuffle(half)
    return halves[0], halves[1]


def drop_facts(days: Days) -> None:
    """Drop every table of facts and create it anew, empty."""
    tables = {
        name for statement in SCHEMA.values() for name in re.findall(r"create table if not exists (\w+)", statement.sql)
    }
    assert "conversions" in tables
    with days.store.session() as session:
        for name in sorted(tables):
            session.run(Statement("drop", "", f"drop table {name} sync"))
    create_tables(days.store)
