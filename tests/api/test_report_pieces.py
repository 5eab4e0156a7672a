"""Pieces that reports add up: read once for a run, let go of when room runs out, and added up exactly."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stackfluence.api import report_sums
from stackfluence.api.report_facts import SQL
from stackfluence.api.report_pieces import Kept, Pieces, Slice
from stackfluence.api.report_sums import Sums, once_each
from stackfluence.events.store import Session, Store
from stackfluence.facts import create_tables
from tests.api.told_facts import put
from tests.stores import drop

DAY_S = 86_400
FIRST_S = int(datetime(2026, 11, 20, tzinfo=UTC).timestamp())
WHOSE = {
    "organization_id": "org_0000000001",
    "is_test": False,
    "link_id": "",
    "creator_id": "",
    "campaign_id": "",
    "key": "link_id",
    "counted_by": "link",
}


@pytest.fixture(scope="module")
def store(engine_url: str) -> Iterator[Store]:
    """Put three days of one link each into a store, as run 1 and 2 count them, and the second day as run 3 does."""
    store = Store(engine_url, "test_pieces")
    create_tables(store)
    for run_id, days in ((1, (0, 1, 2)), (2, (0, 1, 2)), (3, (1,))):
        put(
            store,
            "click_rollups",
            [
                {
                    "organization_id": WHOSE["organization_id"],
                    "run_id": run_id,
                    "counted_by": "link",
                    "counted_at": datetime.fromtimestamp(FIRST_S + day * DAY_S, UTC),
                    "link_id": f"lnk_{day:010d}",
                    "arrival_stage": "measured",
                    "clicks": 10 * run_id + day,
                    "pageviews": 1,
                }
                for day in days
            ],
        )
    try:
        yield store
    finally:
        drop(store)


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[list[int]]:
    """Return the runs that were read, statement by statement."""
    read: list[list[int]] = []
    raw = Session.raw

    def counted(session: Session, *given: Any, **parameters: Any) -> bytes:
        read.append([run for run in parameters["runs"] if run])
        return raw(session, *given, **parameters)

    monkeypatch.setattr(Session, "raw", counted)
    return read


def days_of(*runs: int) -> list[Slice]:
    return [Slice(FIRST_S + day * DAY_S, FIRST_S + (day + 1) * DAY_S, run) for day, run in enumerate(runs)]


def told(pieces: Pieces, store: Store, slices: Sequence[Slice], **asked: Any) -> dict[tuple[int, str], int]:
    """Return how many clicks there are of each slice's place and key."""
    return {
        (int(place), kept.keys.all[row[0]]): int(row[2])
        for kept, rows, places in pieces.read(store, SQL["read_click_counts"], {**WHOSE, **asked}, slices)
        for row, place in zip(rows, places, strict=True)
    }


def test_a_piece_is_read_once_until_another_run_is_read(store: Store, reads: list[list[int]]) -> None:
    pieces = Pieces()
    first, second, third = ((day, f"lnk_{day:010d}") for day in range(3))
    assert told(pieces, store, days_of(1, 1, 1)) == {first: 10, second: 11, third: 12}
    assert told(pieces, store, days_of(1, 1)) == {first: 10, second: 11}
    assert reads == [[1, 1, 1]]
    assert told(pieces, store, days_of(1, 3, 2)) == {first: 10, second: 31, third: 22}
    assert reads == [[1, 1, 1], [3, 2]], "nothing is read of the day between or before that is kept"
    assert told(pieces, store, days_of(1, 0, 2)) == {first: 10, third: 22}, "a day that isn't derived any more"
    assert told(pieces, store, days_of(1, 1, 2)) == {first: 10, second: 11, third: 22}
    assert told(pieces, store, days_of(1, 1, 2), organization_id="org_0000000002") == {}
    assert told(pieces, store, days_of(1, 1, 2), link_id=second[1]) == {second: 11}
    assert told(pieces, store, days_of(4, 4, 4)) == {}


def test_what_was_asked_for_last_is_kept_while_there_is_room(store: Store, reads: list[list[int]]) -> None:
    pieces = Pieces()
    for key in ("link_id", "country"):
        told(pieces, store, days_of(1, 1, 1), key=key)
    pieces = Pieces(most_bytes=pieces.size)
    reads.clear()
    for key, statements in (("link_id", 1), ("country", 2), ("link_id", 2), ("device_class", 3), ("link_id", 3)):
        told(pieces, store, days_of(1, 1, 1), key=key)
        assert len(reads) == statements, key
    told(pieces, store, days_of(1, 1, 1), key="country")
    assert len(reads) == 4, "it made room"
    none = Pieces(most_bytes=0)
    for _ in range(2):
        assert len(told(none, store, days_of(1, 1, 1))) == 3
    assert (len(reads), none.size) == (6, 0)


def test_what_nothing_is_known_of_takes_room_too(store: Store) -> None:
    pieces = Pieces(most_bytes=60_000)
    for number in range(40):
        assert told(pieces, store, days_of(1, 1, 1), link_id=f"lnk_of_nobody_{number}") == {}
    assert 50_000 < pieces.size <= 60_000


def test_what_is_too_large_alone_takes_nobody_elses_room(
    store: Store, reads: list[list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    pieces = Pieces()
    told(pieces, store, days_of(1, 1, 1), key="country")
    pieces = Pieces(most_bytes=pieces.size)
    told(pieces, store, days_of(1, 1, 1), key="country")
    assert len(told(pieces, store, days_of(1, 1, 1))) == 3, "its three words are too many"
    reads.clear()
    told(pieces, store, days_of(1, 1, 1), key="country")
    assert reads == []
    monkeypatch.setattr("stackfluence.api.report_pieces.AT_ONCE", 1)
    read = list(pieces.read(store, SQL["read_click_counts"], WHOSE, days_of(1, 1, 1) * 9))
    (large,) = {kept for kept, *_ in read}
    assert (len(read), pieces.size) == (27, 0)
    assert large.size < 5_000, "no piece of it is kept, however many are read"


def test_amounts_come_whole_also_below_zero(store: Store) -> None:
    revenue, returned = 10**13 + 7, -(10**13) - 1
    common = {
        "organization_id": "org_0000000003",
        "run_id": 1,
        "link_id": "",
        "model": "linear",
        "occurred_at": datetime.fromtimestamp(FIRST_S + 60, UTC),
        "touched_at": datetime.fromtimestamp(FIRST_S + 30, UTC),
        "conversion_type": "purchase",
        "currency": "EUR",
        "revenue_cents": revenue,
        "net_revenue_cents": returned,
    }
    two = {**common, "conversion_id": UUID(int=1), "link_id": "lnk_1"}
    rows = [{**two, "place": 1, "credits": 333_333}, {**two, "place": 2, "credits": 666_667}]
    put(store, "order_shares", [*rows, {**common, "conversion_id": UUID(int=2), "place": 0, "credits": 1_000_000}])
    asked = {**WHOSE, "organization_id": "org_0000000003", "model": "linear", "moment": "touched_at"}
    del asked["counted_by"]
    ((kept, rows_read, _),) = Pieces().read(store, SQL["read_order_shares"], asked, days_of(1))
    found = sorted(
        (kept.keys.all[key], row[0], row[3], row[4], row[5] * 10**9 + row[10], row[7] * 10**9 + row[12])
        for key, _, *row in rows_read.tolist()
    )
    assert found == [
        ("", 1, 0, 1_000_000, revenue * 1_000_000, returned * 1_000_000),
        ("lnk_1", 0, 1, 333_333, revenue * 333_333, returned * 333_333),
        ("lnk_1", 0, 1, 666_667, revenue * 666_667, returned * 666_667),
    ]


def test_many_may_ask_at_once(store: Store, reads: list[list[int]]) -> None:
    pieces, barrier = Pieces(), threading.Barrier(6)

    def ask(run_id: int) -> list[dict[tuple[int, str], int]]:
        barrier.wait()
        return [told(pieces, store, days_of(run_id, run_id, run_id)) for _ in range(5)]

    with ThreadPoolExecutor(6) as threads:
        same = list(threads.map(ask, [1] * 6))
        assert len(reads) == 1
        each = list(threads.map(ask, [1, 2, 1, 2, 1, 2]))
    ten, twenty = ({(day, f"lnk_{day:010d}"): 10 * run + day for day in range(3)} for run in (1, 2))
    assert same == [[ten] * 5] * 6
    assert each == [[ten] * 5, [twenty] * 5] * 3, "which run is read is who asks' to say"


LARGE = 1 << 57  # 36 of them fit
ROWS = st.lists(
    st.tuples(st.sampled_from("abc"), st.sampled_from("xyz"), st.integers(-LARGE, LARGE), st.integers(0, 3)),
    max_size=12,
)


@given(st.lists(ROWS, max_size=3), st.sampled_from([0, 1 << 22]))
def test_sums_are_exact(pieces: list[list[tuple[str, str, int, int]]], dense_cells: int) -> None:
    expected: Counter[tuple[str, str]] = Counter()
    sums, small = Sums(columns=2), report_sums.DENSE_CELLS
    report_sums.DENSE_CELLS = dense_cells
    try:
        for rows in pieces:
            kept = Kept()  # each with numbers of its own for the same words
            keys, parts = kept.keys.codes([row[0] for row in rows]), kept.parts.codes([f'["{row[1]}"]' for row in rows])
            numbers = np.array([row[2:] for row in rows], dtype=np.int64).reshape(len(rows), 2)
            coded = np.column_stack([keys, parts, numbers])
            sums.add(sums.groups.codes(kept.keys.all)[coded[:, 0]], sums.parts_of(kept, coded), coded[:, 2:])
            for key, part, number, _ in rows:
                expected[key, part] += number
    finally:
        report_sums.DENSE_CELLS = small
    found = {
        (sums.groups.all[group], words[0]): numbers[0]
        for group in sums.present()
        for words, numbers in sums.told(group)
    }
    assert found == dict(expected)


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2), st.integers(0, 4)), max_size=30))
def test_an_order_counts_once_in_a_group_and_part(rows: list[tuple[int, int, int]]) -> None:
    several = Counter(order for *_, order in rows)
    table = np.array(rows, dtype=np.int64).reshape(len(rows), 3)
    is_shared = np.array([several[order] > 1 for *_, order in rows], dtype=np.int64)
    ones = once_each(table[:, 0], table[:, 1], table[:, 2], is_shared)
    found: Counter[tuple[int, int]] = Counter()
    for (group, part, _), one in zip(rows, ones.tolist(), strict=True):
        found[group, part] += one
    assert found == Counter((group, part) for group, part, _ in set(rows))
