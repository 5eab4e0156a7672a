"""Policies as a derivation reads them: one for each moment, each moment's the same in Python and in SQL."""

from __future__ import annotations

from typing import Any

import pytest

from stackfluence.events.statements import Statement
from stackfluence.events.store import Store
from stackfluence.facts.policies import DEFAULT_POLICIES, PolicyBook, PolicyPeriod
from stackfluence.vocabulary import TrafficReason

BOOK = PolicyBook(
    [
        PolicyPeriod(from_ms=2000, version=2, min_pageviews=3, excluded_classes=()),
        PolicyPeriod(),
        PolicyPeriod(from_ms=1000, version=3, ignored_reasons=(TrafficReason.vpn_network.value, "declared_bot")),
    ]
)
PICKED = """
with arrayLastIndex(at -> at <= {ms:Int64}, {policy_from:Array(Int64)}) as place
select
    {policy_versions:Array(UInt32)}[place] as version,
    {policy_flagged_from:Array(UInt8)}[place] as flagged_from,
    {policy_ignored_reasons:Array(Array(String))}[place] as ignored_reasons,
    {policy_excluded_classes:Array(Array(String))}[place] as excluded_classes,
    {policy_min_engaged_ms:Array(Int64)}[place] as min_engaged_ms,
    {policy_min_pageviews:Array(UInt32)}[place] as min_pageviews,
    {policy_repeat_ms:Array(Int64)}[place] as repeat_ms,
    {policy_session_tiers:Array(Array(String))}[place] as session_tiers,
    {policy_conversion_tiers:Array(Array(String))}[place] as conversion_tiers,
    {policy_touch_tiers:Array(Array(String))}[place] as touch_tiers,
    {policy_models:Array(String)}[place] as attribution_model,
    {policy_window_ms:Array(Int64)}[place] as window_ms
"""


def picked(store: Store, book: PolicyBook, ms: int) -> dict[str, Any]:
    with store.session() as session:
        return session.row(Statement("picked", "The policy of a moment.", PICKED), ms=ms, **book.parameters())


@pytest.mark.parametrize("ms", [0, 999, 1000, 1999, 2000, 2**40])
def test_a_statement_picks_what_is_in_force(store: Store, ms: int) -> None:
    period = BOOK.in_force(ms)._asdict()
    del period["from_ms"]
    assert picked(store, BOOK, ms) == {key: list(v) if isinstance(v, tuple) else v for key, v in period.items()}


def test_the_versions_of_a_span_are_those_in_force_at_any_moment_of_it() -> None:
    assert [BOOK.in_force(ms).version for ms in (-1, 0, 999, 1000, 2000)] == [1, 1, 1, 3, 2]
    assert BOOK.versions_between(0, 1000) == [1]
    assert BOOK.versions_between(0, 1001) == [1, 3]
    assert BOOK.versions_between(1500, 2500) == [2, 3]
    assert BOOK.versions_between(5000, 6000) == [2]
    assert BOOK.versions_between(1000, 1000) == []


def test_a_back_test_replaces_a_rule_in_every_period() -> None:
    tried = BOOK.replaced(flagged_from=80, excluded_classes=("givt",))
    assert tried.parameters()["policy_flagged_from"] == [80, 80, 80]
    assert tried.parameters()["policy_excluded_classes"] == [["givt"]] * 3
    assert tried.parameters()["policy_from"] == [0, 1000, 2000]
    assert BOOK.parameters()["policy_flagged_from"] == [50, 50, 50]
    assert tried != BOOK
    assert tried.replaced(flagged_from=50) == BOOK.replaced(excluded_classes=("givt",))


@pytest.mark.parametrize("starts", [[], [5], [0, 0], [0, 7, 7]])
def test_a_book_has_one_policy_for_each_moment(starts: list[int]) -> None:
    with pytest.raises(ValueError, match="begins at 0"):
        PolicyBook([PolicyPeriod(from_ms=ms, version=number) for number, ms in enumerate(starts, 1)])


def test_all_arrays_have_one_element_a_period() -> None:
    assert {len(values) for values in BOOK.parameters().values()} == {3}
    assert {len(values) for values in DEFAULT_POLICIES.parameters().values()} == {1}
