"""Each line of the journal is in the store exactly once, whatever happens on the way."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from stackfluence.clock import now_ms
from stackfluence.errors import StoreError
from stackfluence.events import load, segments, staging
from stackfluence.events.load import Loader
from stackfluence.events.seal import Seal, broken_link, read_seal, seal_leaves
from stackfluence.events.seal_book import SealBook
from stackfluence.events.statements import Statement
from stackfluence.events.store import Session, StatementFailed, Store
from stackfluence.events.turn import STEPS, Desk, Step, Turn
from tests.events.journals import (
    BRAND,
    NODE,
    OTHER_BRAND,
    Numbers,
    Writer,
    counts,
    drain,
    poison,
    rows,
    value,
)
from tests.stores import drop


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "journal" / "w0"


@pytest.fixture
def writer(directory: Path) -> Writer:
    return Writer(directory)


@pytest.fixture
def numbers() -> Numbers:
    return Numbers()


@pytest.fixture
def open_loader(store: Store, directory: Path, numbers: Numbers) -> Iterator[Callable[[], Loader]]:
    """Give fresh loaders over the test's journals and store."""
    opened: list[Loader] = []

    def open_one() -> Loader:
        opened.append(Loader(directory.parent, store, numbers))
        return opened[-1]

    yield open_one
    for loader in opened:
        loader.close()


@pytest.fixture
def loader(open_loader: Callable[[], Loader]) -> Loader:
    return open_loader()


def seqs(store: Store, node: str = NODE) -> list[int]:
    sql = "select seq from events where node = {node:String} union all select seq from quarantined_events"
    return sorted(row["seq"] for row in rows(store, sql + " where node = {node:String}", node=node))


def is_archived(directory: Path) -> bool:
    return not list(directory.glob("n_*/*.segment"))


def test_lines_become_events_and_the_segments_go_to_the_archive(
    loader: Loader, writer: Writer, store: Store, directory: Path, numbers: Numbers
) -> None:
    writer.clicks(3)
    writer.event("conversion", OTHER_BRAND, order_id="1001", currency="EUR", revenue_cents=4999)
    lines = writer.finish().read_bytes()
    (report,) = drain(loader)
    assert (report.lines, report.known, report.quarantined, report.load_number, report.waiting) == (4, 0, 0, 1, 0)
    assert counts(store) == (4, 0, 4)
    assert numbers.finished == 1
    assert is_archived(directory)
    assert b"".join(path.read_bytes() for path in directory.glob("n_*/archive/*.lines")) == lines
    assert value(store, "select max(load_number) from events") == 1


def test_the_same_over_http(served_store: Store, writer: Writer, directory: Path, numbers: Numbers) -> None:
    writer.clicks(3)
    writer.event("refund", refund_amount_cents=-1, kept={"properties": '{"a\\t":"ü\'\\""}'})
    writer.finish()
    writer.clicks(3)
    writer.waiting[1] = b"rot\n"
    writer.finish()
    interrupted = Loader(directory.parent, served_store, numbers)
    interrupted.steps = STEPS[:-4]  # everything but the seal, the horizon and the archive
    interrupted.turn()
    interrupted.close()
    loader = Loader(directory.parent, served_store, numbers)
    (report,) = drain(loader)
    loader.close()
    assert (report.lines, report.known, report.quarantined) == (7, 7, 1)
    assert seqs(served_store) == [1, 2, 3, 4, 5, 6, 7]
    assert counts(served_store) == (6, 1, 6)
    assert value(served_store, "select properties from events_personal where kept != ''") == '{"a\\t":"ü\'\\""}'
    assert value(served_store, "select line from seals") == SealBook(directory).seals()[0].line().decode()
    assert is_archived(directory)


def test_contiguous_segments_are_one_load_and_one_seal(
    loader: Loader, writer: Writer, store: Store, directory: Path
) -> None:
    for _ in range(3):
        writer.clicks(2)
        writer.finish()
    (report,) = drain(loader)
    assert report.lines == 6
    (seal,) = SealBook(directory).seals()
    assert (seal.first_seq, seal.last_seq, seal.previous) == (1, 6, "")
    assert value(store, "select line from seals") == seal.line().decode()


def test_a_seal_covers_each_organizations_leaves_in_order(loader: Loader, writer: Writer, directory: Path) -> None:
    """And the tree is the one that Python makes of them.

    Among so many hashes some end in a zero byte, which the store drops from what becomes a String.
    """
    for place in range(3333):
        writer.event(organization_id=(BRAND, OTHER_BRAND, "org_0000003")[place % 7 % 3], link_id=f"lnk_{place}")
        if place % 1000 == 999:
            writer.finish()
    leaves = []
    for path in sorted(directory.glob("n_*/*.segment")):
        leaves += [(line[48:59].decode(), line.split(b"\t")[1]) for line in path.read_bytes().splitlines()]
    leaves += [(line[48:59].decode(), line.split(b"\t")[1]) for line in writer.waiting]
    writer.finish()
    drain(loader)
    assert SealBook(directory).seals() == [seal_leaves(NODE, 1, "", leaves, 3333)]


def test_seals_are_chained_through_the_directorys_nodes(loader: Loader, directory: Path) -> None:
    for node in ("n_0000000000000001", "n_0000000000000002"):
        writer = Writer(directory, node)
        for _ in range(2):
            writer.clicks(2)
            writer.finish()
            drain(loader)
    seals = SealBook(directory).seals()
    assert len(seals) == 4
    assert broken_link(seals) is None


def test_a_segment_copied_back_is_loaded_to_no_effect(
    loader: Loader, writer: Writer, store: Store, directory: Path, tmp_path: Path
) -> None:
    writer.clicks(3)
    path = writer.finish()
    shutil.copy(path, tmp_path / "copy")
    drain(loader)
    shutil.copy(tmp_path / "copy", path)
    (report,) = drain(loader)
    assert (report.lines, report.known) == (3, 3)
    assert counts(store) == (3, 0, 3)
    assert len(SealBook(directory).seals()) == 1
    assert is_archived(directory)


def test_a_segment_loaded_again_later_is_not_doubled(
    open_loader: Callable[[], Loader], writer: Writer, store: Store, directory: Path, tmp_path: Path
) -> None:
    """Another directory, other seals, a fresh loader, other loads in between: only (node, seq) knows."""
    writer.clicks(3)
    path = writer.finish()
    shutil.copy(path, tmp_path / "copy")
    drain(open_loader())
    for number in range(3):
        other = Writer(directory, f"n_000000000000000{number + 5}")
        other.clicks(1)
        other.finish()
        drain(open_loader())
    elsewhere = directory.parent / "w7" / NODE
    elsewhere.mkdir(parents=True)
    shutil.copy(tmp_path / "copy", elsewhere / path.name)
    (report,) = drain(open_loader())
    assert (report.lines, report.known) == (3, 3)
    assert counts(store) == (6, 0, 6)


def test_an_archive_put_back_fills_a_store_that_lost_it(
    writer: Writer, directory: Path, engine_url: str, store: Store, numbers: Numbers
) -> None:
    writer.clicks(3)
    path = writer.finish()
    content = path.read_bytes()
    first = Loader(directory.parent, store, numbers)
    drain(first)
    first.close()
    path.write_bytes(content)
    restored = Store(engine_url, "restored")
    restored.create_schema()
    second = Loader(directory.parent, restored, numbers)
    (report,) = drain(second)
    assert (report.lines, report.known) == (3, 0)
    assert counts(restored) == (3, 0, 3)
    second.close()
    drop(restored)


class PowerFailure(Exception):
    """The process is gone."""


def failing_after(place: int) -> tuple[Step, ...]:
    def fail(desk: Desk, turn: Turn) -> None:
        raise PowerFailure

    return (*STEPS[:place], fail)


@pytest.mark.parametrize("place", range(len(STEPS) + 1), ids=["start", *(step.__name__ for step in STEPS)])
def test_a_crash_after_any_step_is_repaired(
    place: int, open_loader: Callable[[], Loader], writer: Writer, store: Store, directory: Path, numbers: Numbers
) -> None:
    writer.clicks(4)
    writer.event("conversion", order_id="1001", revenue_cents=1, kept={"customer_hash": "c1"})
    writer.event("conversion", quarantine_reason="wrong_type")
    writer.waiting[2] = b"rotten\n"
    writer.finish()
    crashing = open_loader()
    crashing.steps = failing_after(place)
    with pytest.raises(PowerFailure):
        crashing.turn()
    late = Writer(directory, NODE, writer.seq, writer.at_ms)
    late.clicks(2)  # more is ready when the next loader starts
    late.finish()
    fresh = open_loader()
    drain(fresh)
    assert counts(store) == (6, 2, 7)
    assert seqs(store) == list(range(1, 9))
    assert value(store, "select uniqExact(node, seq) from events_personal") == 7
    assert is_archived(directory)
    seals = SealBook(directory).seals()
    assert broken_link(seals) is None
    assert [
        read_seal(row["line"].encode()) for row in rows(store, "select line from seals order by load_number")
    ] == seals
    assert numbers.finished == value(store, "select max(load_number) from events")
    assert fresh.counts.held == {}


@pytest.mark.parametrize("name", ["load_personal", "load_quarantined", "load_traffic", "load_orders"])
def test_an_insert_that_stored_only_a_part_is_repaired(
    name: str, open_loader: Callable[[], Loader], writer: Writer, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer.clicks(4)
    writer.event("conversion", order_id="1001", revenue_cents=1)
    writer.event("conversion", order_id="1002", revenue_cents=1)
    writer.event("conversion", quarantine_reason="wrong_type")
    writer.event("refund", quarantine_reason="wrong_type")
    writer.finish()
    insert = Desk.insert

    def part(desk: Desk, turn: Turn, statement: Statement, low: int, high: int) -> None:
        if statement.name != name:
            insert(desk, turn, statement, low, high)
            return
        for seq in (2, 5, 7):
            insert(desk, turn, statement, seq, seq)
        raise PowerFailure

    with monkeypatch.context() as patch:
        patch.setattr(Desk, "insert", part)
        with pytest.raises(PowerFailure):
            open_loader().turn()
    drain(open_loader())
    assert counts(store) == (6, 2, 8)
    assert seqs(store) == list(range(1, 9))
    assert value(store, "select uniqExact(node, seq) from events_personal") == 8


def test_an_insert_that_stores_nothing_is_noticed(
    loader: Loader, writer: Writer, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer.clicks(2)
    writer.finish()
    with monkeypatch.context() as patch:
        patch.setattr(Desk, "insert", lambda *_: None)
        with pytest.raises(StoreError, match="of 2 lines, 0 events"):
            loader.turn()
    drain(loader)
    assert counts(store) == (2, 0, 2)


def test_a_clone_with_a_shorter_copy_of_a_node_is_skipped_and_not_stopped(
    loader: Loader, writer: Writer, store: Store, directory: Path
) -> None:
    writer.clicks(3)
    shorter = b"".join(writer.waiting)
    writer.clicks(4)
    writer.finish()
    drain(loader)
    clone = directory.parent / "w1" / NODE
    clone.mkdir(parents=True)
    (clone / "0000000000000001.segment").write_bytes(shorter)
    (report,) = drain(loader)
    assert (report.lines, report.known) == (3, 3)
    assert loader.counts.held == {}
    assert counts(store) == (7, 0, 7)


def test_the_longer_original_of_a_clone_brings_the_rest(
    loader: Loader, writer: Writer, store: Store, directory: Path
) -> None:
    writer.clicks(3)
    clone = directory.parent / "w1" / NODE
    clone.mkdir(parents=True)
    (clone / "0000000000000001.segment").write_bytes(b"".join(writer.waiting))
    drain(loader)
    writer.clicks(4)
    writer.finish()
    (report,) = drain(loader)
    assert (report.lines, report.known) == (7, 3)
    assert counts(store) == (7, 0, 7)
    assert seqs(store) == list(range(1, 8))


def test_another_leaf_under_the_same_number_stops_the_directory_loudly(
    loader: Loader, writer: Writer, store: Store, directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    writer.clicks(3)
    writer.finish()
    drain(loader)
    other = Writer(directory.parent / "w1", NODE)
    other.clicks(2, organization_id=OTHER_BRAND)
    path = other.finish()
    healthy = Writer(directory, "n_0000000000000009")
    healthy.clicks(1)
    healthy.finish()
    (report,) = drain(loader)
    assert report.lines == 1, "other directories go on"
    assert "lines [1, 2] differ" in loader.counts.held["w1"]
    assert "journal_held" in caplog.text
    assert path.exists()
    assert counts(store) == (4, 0, 4)
    assert not (path.parent.parent / "seals.jsonl").exists(), "it isn't sealed either"


def test_segments_that_changed_after_they_were_sealed_stop_the_directory(
    open_loader: Callable[[], Loader], writer: Writer, store: Store, directory: Path
) -> None:
    writer.clicks(3)
    writer.finish()
    crashing = open_loader()
    crashing.steps = failing_after(4)
    with pytest.raises(PowerFailure):
        crashing.turn()
    again = Writer(directory)
    again.clicks(3, asset_slug="another")
    again.finish()
    loader = open_loader()
    assert drain(loader) == []
    assert "changed after seal" in loader.counts.held["w0"]
    assert counts(store) == (0, 0, 0)


def test_missing_lines_stop_the_directory(loader: Loader, writer: Writer, store: Store) -> None:
    writer.clicks(3)
    first = writer.finish()
    writer.clicks(2)
    writer.finish()
    first.unlink()
    assert drain(loader) == []
    assert "lines 1-3 are gone" in loader.counts.held["w0"]
    assert counts(store) == (0, 0, 0)


def test_lines_missing_between_segments_stop_the_directory(loader: Loader, writer: Writer, store: Store) -> None:
    writer.clicks(2)
    writer.finish()
    writer.clicks(2)
    writer.finish().unlink()
    writer.clicks(2)
    writer.finish()
    assert drain(loader) == []
    assert "begins at 5, not at 3" in loader.counts.held["w0"]


def test_a_busy_or_failing_journal_keeps_no_other_waiting(
    loader: Loader, writer: Writer, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(load, "TURN_BYTES", 1)
    other = Writer(directory.parent / "w1", "n_0000000000000002")
    failing = Writer(directory.parent / "w2", "n_0000000000000003")
    for one in (writer, other, failing):
        for _ in range(2):
            one.clicks(1)
            one.finish()
    honest = loader._turn_of

    def turn_of(journal: Path) -> load.Report | None:
        if journal.name == "w2":
            raise StoreError("It refuses.")
        return honest(journal)

    monkeypatch.setattr(loader, "_turn_of", turn_of)
    tried = []
    for _ in range(6):
        with contextlib.suppress(StoreError):
            loader.turn()
        tried.append(loader._last.name)
    assert tried[:5] == ["w0", "w1", "w2", "w0", "w1"]
    assert loader.counts.lines == 4


def test_thousands_of_small_segments_are_several_turns(
    loader: Loader, writer: Writer, store: Store, directory: Path
) -> None:
    for _ in range(600):
        writer.clicks(1)
        writer.finish()
    assert [report.lines for report in drain(loader)] == [256, 256, 88]
    assert counts(store) == (600, 0, 600)
    assert is_archived(directory)


def test_a_held_directory_is_tried_again(
    loader: Loader, writer: Writer, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer.clicks(2)
    first = writer.finish()
    aside = first.rename(first.with_suffix(".aside"))
    writer.clicks(1)
    writer.finish()
    monkeypatch.setattr(load, "HELD_SECONDS", 0.0)
    assert drain(loader) == []
    assert loader.counts.held
    aside.rename(first)
    assert [report.lines for report in drain(loader)] == [3]
    assert loader.counts.held == {}


def quarantined(store: Store) -> list[dict[str, object]]:
    sql = """
        select seq, organization_id, quarantine_reason, line, bytes_length, length(bytes_hash) as hashed
        from quarantined_events order by seq
    """
    return rows(store, sql)


@pytest.mark.parametrize("kind", ["poison", "rot", "short"])
def test_a_line_that_cannot_be_read_is_counted_and_its_bytes_are_not_kept(
    kind: str, loader: Loader, writer: Writer, store: Store
) -> None:
    writer.clicks(5)
    line = writer.waiting[2]
    spoilt = {"poison": poison(line), "rot": line[:50] + b"\x00" + line[51:], "short": line[:30] + b"\n"}[kind]
    writer.waiting[2] = spoilt
    writer.finish()
    (report,) = drain(loader)
    assert (report.lines, report.quarantined) == (5, 1)
    assert quarantined(store) == [
        {
            "seq": 3,
            "organization_id": "",
            "quarantine_reason": "unreadable_line",
            "line": "",
            "bytes_length": len(spoilt) - 1,
            "hashed": 64,
        }
    ]
    assert seqs(store) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(("at", "missing"), [(0, [1, 2]), (2, [3, 4]), (4, [5])])
def test_damage_that_joins_lines_leaves_a_place_for_each(
    at: int, missing: list[int], loader: Loader, writer: Writer, store: Store
) -> None:
    writer.clicks(5)
    writer.waiting[at] = writer.waiting[at].replace(b"\n", b" ")
    writer.finish()
    writer.clicks(1)
    writer.finish()
    drain(loader)
    assert [row["seq"] for row in quarantined(store)] == missing
    assert seqs(store) == [1, 2, 3, 4, 5, 6]


def test_damage_that_parts_a_line_leaves_one_place(loader: Loader, writer: Writer, store: Store) -> None:
    writer.clicks(3)
    line = writer.waiting[1]
    writer.waiting[1] = line[:60] + b"\n" + line[61:]
    writer.finish()
    drain(loader)
    assert [row["seq"] for row in quarantined(store)] == [2]


def test_a_segment_of_which_nothing_can_be_read_is_counted(loader: Loader, writer: Writer, store: Store) -> None:
    writer.clicks(3)
    writer.waiting = [b"x\n", b"y\n", b"z"]
    writer.finish()
    writer.clicks(1)
    writer.finish()
    drain(loader)
    assert [row["seq"] for row in quarantined(store)] == [1, 2, 3]
    assert counts(store) == (1, 3, 1)


def test_a_large_segment_of_which_nothing_can_be_read_is_counted(loader: Loader, writer: Writer, store: Store) -> None:
    writer.waiting = [b"x\n"] * 999
    writer.seq = 999
    writer.finish()
    drain(loader)
    assert counts(store) == (0, 999, 0)
    assert value(store, "select uniqExact(seq) from quarantined_events") == 999


def test_an_empty_segment_is_put_away(loader: Loader, writer: Writer, store: Store, directory: Path) -> None:
    writer.finish()
    drain(loader)
    assert loader.counts.held == {}
    assert is_archived(directory)
    writer.clicks(2)
    writer.finish()
    drain(loader)
    assert counts(store) == (2, 0, 2)


def test_a_line_from_a_newer_version_holds_the_journal_until_the_upgrade(
    loader: Loader, writer: Writer, store: Store, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("stackfluence.events.event.SCHEMA_VERSION", 2)
        writer.clicks(2)
    writer.finish()
    assert drain(loader) == []
    assert "newer version" in loader.counts.held["w0"]
    assert not is_archived(directory)
    assert counts(store) == (0, 0, 0)
    monkeypatch.setattr(staging, "SCHEMA_VERSION", 2)
    monkeypatch.setattr(load, "HELD_SECONDS", 0.0)
    loader._retry_at.clear()
    drain(loader)
    assert counts(store) == (2, 0, 2)


def test_what_the_intake_could_not_use_is_kept_apart(loader: Loader, writer: Writer, store: Store) -> None:
    writer.event("conversion", quarantine_reason="amount_out_of_range", quarantine_detail="revenue_cents")
    writer.event("", quarantine_reason="unknown_value", expiring={"raw": '{"type":"?"}'})
    writer.event("session", landing_params={"utm_source": '"quarantine_reason":"x"'})
    writer.finish()
    (report,) = drain(loader)
    assert (report.lines, report.quarantined) == (3, 2)
    assert counts(store) == (1, 2, 3)
    sql = "select quarantine_reason, quarantine_detail, organization_id from quarantined_events order by seq"
    assert rows(store, sql) == [
        {"quarantine_reason": "amount_out_of_range", "quarantine_detail": "revenue_cents", "organization_id": BRAND},
        {"quarantine_reason": "unknown_value", "quarantine_detail": "", "organization_id": BRAND},
    ]


def test_two_loaders_on_one_journal_load_each_line_once(
    open_loader: Callable[[], Loader], writer: Writer, store: Store
) -> None:
    first, second = open_loader(), open_loader()
    for _ in range(4):
        writer.clicks(2)
        writer.finish()

        def intrude(desk: Desk, turn: Turn, other: Loader = second) -> None:
            report = other.turn()
            assert (report.is_busy, report.lines) == (True, 0)

        first.steps = (*STEPS[:6], intrude, *STEPS[6:])
        first.turn()
        second.turn()
        first, second = second, first
        first.steps = second.steps = STEPS
    assert counts(store) == (8, 0, 8)


def test_while_another_loader_holds_the_number_a_turn_waits(
    loader: Loader, writer: Writer, store: Store, numbers: Numbers
) -> None:
    writer.clicks(2)
    writer.finish()
    numbers.is_taken = True
    report = loader.turn()
    assert report.is_busy
    assert counts(store) == (0, 0, 0)
    numbers.is_taken = False
    assert loader.turn().lines == 2


def test_lines_of_a_hundred_and_fifty_months_go_in_by_parts(loader: Loader, writer: Writer, store: Store) -> None:
    """More than a hundred partitions are refused for one insert: the turn is divided until each part is taken."""
    for month in range(150):
        writer.event(
            "session", received_at=f"{2011 + month // 12}-{month % 12 + 1:02d}-01T00:00:00.000Z", expiring=None
        )
    writer.finish()
    (report,) = drain(loader)
    assert (report.lines, report.quarantined) == (150, 0)
    assert counts(store) == (150, 0, 0)


def test_a_line_that_the_store_refuses_is_quarantined_alone(
    loader: Loader, writer: Writer, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer.clicks(9)
    writer.finish()
    run = Session.run

    def refuse_five(session: Session, statement: Statement, **parameters: int) -> None:
        if statement.name == "load_traffic" and parameters["low"] <= 5 <= parameters["high"]:
            raise StatementFailed(statement.name, 27, "Cannot parse input")
        run(session, statement, **parameters)

    monkeypatch.setattr(Session, "run", refuse_five)
    drain(loader)
    assert counts(store) == (8, 1, 9)
    (row,) = quarantined(store)
    assert (row["seq"], row["organization_id"], row["line"]) == (5, BRAND, "")
    assert value(store, "select length(leaf_hash) from quarantined_events") == 32, "it stays in the tree"


def test_a_failing_store_stops_nothing_but_the_turn(
    loader: Loader, writer: Writer, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer.clicks(2)
    writer.finish()
    run = Session.run

    def refuse(session: Session, statement: Statement, **parameters: int) -> None:
        if statement.name == "load_traffic":
            raise StatementFailed(statement.name, 243, "Cannot reserve 1.00 MiB, not enough space")
        run(session, statement, **parameters)

    with monkeypatch.context() as patch:
        patch.setattr(Session, "run", refuse)
        with pytest.raises(StoreError, match="not enough space"):
            loader.turn()
    drain(loader)
    assert counts(store) == (2, 0, 2)


async def test_the_loop_goes_on_after_a_failure_and_ends_when_told(
    loader: Loader, writer: Writer, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(load, "FIRST_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(load, "IDLE_SECONDS", 0.01)
    failures = iter([OSError("No space left on device"), StoreError("It is away."), RuntimeError("a driver's own")])
    honest = loader._turn_of

    def sometimes(directory: Path) -> load.Report | None:
        for failure in failures:
            raise failure
        return honest(directory)

    monkeypatch.setattr(loader, "_turn_of", sometimes)
    writer.clicks(2)
    writer.finish()
    loaded = asyncio.Event()
    running = asyncio.create_task(loader.run(lambda report: loaded.set() if report.lines else None))
    await asyncio.wait_for(loaded.wait(), 20)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert loader.counts.failures == 3
    assert (loader.counts.lines, loader.counts.turns) == (2, 1)
    assert counts(store) == (2, 0, 2)


def test_a_segment_left_open_by_a_dead_edge_is_adopted(
    loader: Loader, writer: Writer, store: Store, directory: Path
) -> None:
    writer.clicks(3)
    path = writer.finish()
    path.write_bytes(path.read_bytes() + b"0000")
    path.rename(path.with_suffix(".open"))
    drain(loader)
    assert counts(store) == (3, 0, 3)
    assert path.with_suffix(".torn").read_bytes() == b"0000"


def test_the_lag_is_the_age_of_the_oldest_line(loader: Loader, directory: Path) -> None:
    writer = Writer(directory, at_ms=now_ms() - 5000)
    writer.clicks(2)
    writer.finish()
    (report,) = drain(loader)
    assert 4.9 < report.lag_seconds < 60


def test_archives_are_deleted_after_a_week(
    writer: Writer, directory: Path, open_loader: Callable[[], Loader], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segments, "MOVED_BYTES", 1)
    writer.clicks(2)
    writer.finish()
    drain(open_loader())
    (archived,) = directory.glob("n_*/archive/*.lines")
    assert archived.name == "0000000000000001.lines"
    assert segments.prune(directory) == 0
    monkeypatch.setattr(segments, "ARCHIVE_DAYS", -1)
    assert segments.prune(directory) == 1
    assert not (directory / NODE).exists()


def test_a_torn_seal_is_made_again(
    open_loader: Callable[[], Loader], writer: Writer, store: Store, directory: Path
) -> None:
    writer.clicks(2)
    writer.finish()
    drain(open_loader())
    writer.clicks(2)
    writer.finish()
    crashing = open_loader()
    crashing.steps = failing_after(4)
    with pytest.raises(PowerFailure):
        crashing.turn()
    book = directory / "seals.jsonl"
    whole = book.read_bytes()
    book.write_bytes(whole[:-20])
    drain(open_loader())
    assert book.read_bytes() == whole
    assert counts(store) == (4, 0, 4)


def test_a_seal_is_the_same_however_often_it_is_made() -> None:
    made = [seal_leaves(NODE, 1, "", [(BRAND, b"a"), (OTHER_BRAND, b"b")], 2) for _ in range(2)]
    assert isinstance(made[0], Seal)
    assert made[0].line() == made[1].line()
