"""The journal: what was promised to be on disk is there once, whatever the disk does."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import os
import shutil
import subprocess
import threading
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from stackfluence.click.click_id import ClickIdKeys
from stackfluence.events import journal as journal_module
from stackfluence.events import segment_file
from stackfluence.events.event import Leaf, encode_leaf, split_line
from stackfluence.events.journal import DEADLINE_SECONDS, Journal, adopt, segments
from stackfluence.vocabulary import ClickIdStatus, RedirectOutcome
from tests.edge.edges import (
    ORGANIZATION,
    PUBLISHABLE_KEY,
    SECRET_KEY,
    SECRETS,
    SHOP_ORIGIN,
    TTL_HOURS,
    assert_gap_free,
    journal_events,
    journal_lines,
    start_edge,
    until,
)

AT = "2026-11-22T13:00:00.000Z"


def a_body(number: int, detail: str = "") -> bytes:
    """Return an encoded leaf whose event id tells its number."""
    leaf = Leaf(event_id=f"e{number}", event_type="session", occurred_at=AT, received_at=AT, quarantine_detail=detail)
    return encode_leaf(leaf)


class Outcomes:
    """Who was told what, and after how long."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self.number = 0  # of the next event
        self._asked = 0
        self.told: dict[int, bool] = {}
        self.waited: dict[int, float] = {}

    def append(self, count: int = 1, detail: str = "") -> list[int]:
        """Append events; returns their numbers."""
        numbers = list(range(self.number, self.number + count))
        self.number += count
        self._asked += count
        for number in numbers:
            body = a_body(number, detail)
            self._journal.append(ORGANIZATION.encode(), body, b"\t", self._settle, (number, time.monotonic()))
        return numbers

    def _settle(self, ticket: tuple[int, float], is_recorded: bool) -> None:
        number, since = ticket
        assert number not in self.told, "told twice"
        self.told[number] = is_recorded
        self.waited[number] = time.monotonic() - since

    async def all_told(self, seconds: float = 5.0) -> None:
        """Wait until everybody has been told."""
        await until(lambda: len(self.told) == self._asked, seconds)

    def recorded(self) -> set[str]:
        """Return the ids of events that were told to be on disk."""
        return {f"e{number}" for number, is_recorded in self.told.items() if is_recorded}


@contextlib.asynccontextmanager
async def open_journal(directory: Path) -> AsyncIterator[tuple[Journal, Outcomes]]:
    journal = Journal(directory)
    journal.open(asyncio.get_running_loop())
    try:
        yield journal, Outcomes(journal)
    finally:
        await journal.close()


def found(directory: Path) -> list[str]:
    """Return the event ids in a directory; fails when one is there twice or a number is missing."""
    events = journal_events(directory)
    assert_gap_free(events)
    ids = [event.leaf.event_id for event in events]
    assert len(ids) == len(set(ids))
    return ids


def files(directory: Path, ending: str) -> list[Path]:
    """Return the files of a journal directory with an ending."""
    return sorted(directory.glob(f"n_*/*.{ending}"))


async def test_lines_are_on_disk_before_anybody_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []

    def note(descriptor: int) -> None:
        os.fsync(descriptor)
        synced.append(os.fstat(descriptor).st_size)

    monkeypatch.setattr(os, "fdatasync", note)
    async with open_journal(tmp_path) as (journal, outcomes):
        outcomes.append(3)
        assert outcomes.told == {}
        await outcomes.all_told()
        assert outcomes.recorded() == {"e0", "e1", "e2"}
        assert found(tmp_path) == ["e0", "e1", "e2"]
        assert 0 <= synced[-1] - sum(map(len, journal_lines(tmp_path))) < segment_file.BLOCK
        assert (journal.batches, journal.committed) == (1, 3)  # of one turn of the loop: one commit


@pytest.mark.parametrize("refusal", ["none", "at once", "after some blocks", "all"])
async def test_batches_of_all_sizes_are_whole_whatever_the_disk_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refusal: str
) -> None:
    """Written past the page cache, without, and from the middle on without; a line ends anywhere in a block."""
    written: list[tuple[bool, int]] = []
    real = os.pwrite

    def pwrite(descriptor: int, data: memoryview, at: int) -> int:
        is_direct = bool(fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_DIRECT)
        if is_direct and refusal != "none":
            if refusal != "after some blocks" or len(data) <= segment_file.BLOCK:
                raise OSError(errno.EINVAL, "Invalid argument")
            data = data[: segment_file.BLOCK]
        written.append((is_direct, len(data)))
        return real(descriptor, data, at)

    def refuse(descriptor: int, command: int, flags: int = 0) -> int:
        if command == fcntl.F_SETFL and flags & os.O_DIRECT:
            raise OSError(errno.EINVAL, "Invalid argument")
        return fcntl.fcntl(descriptor, command, flags)

    monkeypatch.setattr(os, "pwrite", pwrite)
    monkeypatch.setattr(segment_file, "ROOM", 3 * segment_file.BLOCK)
    if refusal == "all":
        monkeypatch.setattr(segment_file, "fcntl", SimpleNamespace(**{**vars(fcntl), "fcntl": refuse}))
    async with open_journal(tmp_path) as (_, outcomes):
        for detail in (20_000, 9000, 4096, *range(0, 4000, 271)):
            outcomes.append(1 + detail % 3, "x" * detail)
            await outcomes.all_told()
            assert len(found(tmp_path)) == len(outcomes.told)
    assert {is_direct for is_direct, _ in written} == {
        "none": {True}, "at once": {False}, "after some blocks": {True, False}, "all": {False}
    }[refusal]  # fmt: skip
    contents = [path.read_bytes() for path in segments(tmp_path)]
    assert all(content.endswith(b"\n") and b"\0" not in content for content in contents)
    assert sum(content.count(b"\n") for content in contents) == len(outcomes.told)


async def test_numbers_have_no_gap_over_batches_and_segments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_module, "ROTATE_SECONDS", 0.03)
    async with open_journal(tmp_path) as (_, outcomes):
        for count in (1, 5, 100, 1, 3):
            outcomes.append(count)
            await outcomes.all_told()
            await asyncio.sleep(0.04)
        await until(lambda: len(segments(tmp_path)) >= 3)
        assert found(tmp_path) == [f"e{number}" for number in range(110)]
    assert len(found(tmp_path)) == 110
    for path in segments(tmp_path):
        first = journal_events_of(path)[0]
        assert path.name == f"{first:016d}.segment"


def journal_events_of(path: Path) -> list[int]:
    """Return the numbers of a segment's lines."""
    from tests.edge.edges import read_event

    return [read_event(line).seq for line in path.read_bytes().splitlines(keepends=True)]


async def test_a_line_is_offered_to_the_loader_soon_after_although_no_other_comes(tmp_path: Path) -> None:
    async with open_journal(tmp_path) as (_, outcomes):
        outcomes.append()
        await outcomes.all_told()
        await until(lambda: len(segments(tmp_path)) == 1, 1.5)


async def test_a_segment_ends_when_it_is_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_module, "SEGMENT_BYTES", 10_000)
    monkeypatch.setattr(journal_module, "ROTATE_SECONDS", 60.0)
    async with open_journal(tmp_path) as (_, outcomes):
        for _ in range(20):
            outcomes.append(1, "x" * 2000)
            await outcomes.all_told()
        assert 3 <= len(segments(tmp_path)) <= 6
    assert len(found(tmp_path)) == 20


async def test_the_stamp_never_goes_back_when_the_clock_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([1000, 1001, 500, 700, 1001, 1002])
    monkeypatch.setattr(journal_module, "now_ms", lambda: next(clock))
    async with open_journal(tmp_path) as (journal, _):
        assert [journal.stamp() for _ in range(6)] == [1000, 1001, 1001, 1001, 1001, 1002]


async def test_received_at_never_goes_back_within_a_node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1_800_000_000_000
    monkeypatch.setattr(journal_module, "now_ms", lambda: now)
    async with start_edge(tmp_path) as running:
        for step in (10, -3_600_000, 5, 3_600_000):
            now += step
            assert (await running.get("/c/emma/summer")).status == 302
        times = [event.leaf.received_at for event in running.events()]
    assert times == sorted(times)
    assert times[0] == times[1] == times[2] < times[3]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Return a directory on a disk of one megabyte."""
    path = tmp_path / "disk"
    path.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m,nr_inodes=100", "tmpfs", str(path)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("only root may mount a disk")
    yield path
    subprocess.run(["umount", "-l", str(path)], check=True)


async def test_a_full_disk_costs_no_redirect_and_no_recorded_click_and_heals(small_disk: Path) -> None:
    keys = ClickIdKeys(SECRETS, TTL_HOURS)
    async with start_edge(small_disk) as running:
        client = await running.connect()
        assert (await client.request("GET", "/c/emma/summer")).status == 302
        ballast = small_disk / "ballast"
        with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(4096))
        promised: set[str] = set()
        unrecorded: set[str] = set()
        conversions: dict[int, int] = {}

        async def click() -> None:
            began = time.monotonic()
            answer = await client.request("GET", "/c/emma/summer", User_Agent="U" * 900)
            assert time.monotonic() - began < 0.35
            assert answer.status == 302
            status, found = keys.verify(answer["location"].partition("inf_click_id=")[2], ORGANIZATION, 0)
            assert found is not None
            (promised if status == ClickIdStatus.valid else unrecorded).add(found.event_id)

        async def convert(number: int) -> None:
            body = b'{"order_id":"o%d","revenue_cents":1,"idempotency_key":"k%d"}' % (number, number)
            answer = await running.request("POST", "/v1/events/conversion", body, Authorization=f"Bearer {SECRET_KEY}")
            conversions[number] = answer.status
            if answer.status == 202:
                promised.add(answer.json["event_id"])
            else:
                assert answer["retry-after"] == "1"

        for number in range(12):
            await click()
            await convert(number)
        assert unrecorded
        assert 503 in conversions.values()
        assert running.journal.failures > 0
        assert "No space left" in running.journal.last_error
        assert running.edge.counts[RedirectOutcome.unrecorded] == len(unrecorded)
        ballast.unlink()
        await asyncio.sleep(0.15)
        before = len(promised)
        for number in range(12, 18):
            await click()
            await convert(number)
        assert len(promised) == before + 12
        ids = [event.leaf.event_id for event in running.events()]
    assert len(ids) == len(set(ids))
    assert promised <= set(ids)
    assert not unrecorded & set(ids)
    assert_gap_free(journal_events(small_disk / "journal" / "w0"))


async def test_an_edge_starts_and_redirects_on_a_full_disk(small_disk: Path) -> None:
    async with start_edge(small_disk) as running:
        await running.get("/c/emma/summer")
    [segment] = segments(small_disk / "journal" / "w0")
    segment.rename(torn := segment.with_suffix(".open"))
    with torn.open("ab") as file:
        file.write(b"torn")
    with (small_disk / "ballast").open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))
    async with start_edge(small_disk) as running:
        assert (await running.get("/c/emma/summer")).status == 302
        assert running.edge.counts[RedirectOutcome.unrecorded] == 1
        assert running.journal.last_error


class Disk:
    """A disk that can be made to stall or to refuse, in place of fdatasync."""

    def __init__(self) -> None:
        self.free = threading.Event()
        self.free.set()
        self.error: Exception | None = None
        self.syncs = 0

    def sync(self, descriptor: int) -> None:
        self.syncs += 1
        self.free.wait(10)
        if self.error is not None:
            raise self.error
        os.fdatasync(descriptor)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    """Let journals sync through a disk that the test controls."""
    given = Disk()
    real = segment_file.SegmentFile.__init__

    def replaced(self: segment_file.SegmentFile, *arguments: Any) -> None:
        real(self, *arguments)
        self._sync = given.sync  # type: ignore[assignment]

    monkeypatch.setattr(segment_file.SegmentFile, "__init__", replaced)
    yield given
    given.free.set()


async def test_a_stalled_disk_costs_the_deadline_once_and_then_nothing(tmp_path: Path, disk: Disk) -> None:
    async with open_journal(tmp_path) as (journal, outcomes):
        outcomes.append(2)
        await outcomes.all_told()
        disk.free.clear()
        stalled = outcomes.append(3)
        await asyncio.sleep(0.1)
        stalled += outcomes.append(3)  # these wait behind the batch in flight
        await outcomes.all_told()
        for number in stalled:
            assert not outcomes.told[number]
            assert DEADLINE_SECONDS <= outcomes.waited[number] < 0.35
        await asyncio.sleep(1.0)
        assert journal.is_stalled(time.monotonic())
        later = outcomes.append(5)
        await asyncio.sleep(0.02)
        assert all(not outcomes.told[number] and outcomes.waited[number] < 0.02 for number in later)
        disk.free.set()
        await until(lambda: journal.late == 3)
        after = outcomes.append(2)
        await outcomes.all_told()
        assert all(outcomes.told[number] for number in after)
        assert not journal.is_stalled(time.monotonic())
    ids = found(tmp_path)
    assert set(ids) == outcomes.recorded() | {"e2", "e3", "e4"}  # written late, as announced by nobody
    assert journal.committed == len(ids)


async def test_visitors_of_a_stalled_disk_wait_a_third_of_a_second_at_most(tmp_path: Path, disk: Disk) -> None:
    async with start_edge(tmp_path) as running:

        async def click() -> float:
            began = time.monotonic()
            assert (await running.get("/c/emma/summer")).status == 302
            return time.monotonic() - began

        on_this_machine = max(await asyncio.gather(*(click() for _ in range(50))))
        disk.free.clear()
        waits = [*await asyncio.gather(*(click() for _ in range(50)))]
        assert max(waits) - on_this_machine < 0.33
        await asyncio.sleep(1.0)
        waits = [*await asyncio.gather(*(click() for _ in range(50)))]
        assert max(waits) < DEADLINE_SECONDS
        answer = await running.request(
            "POST", "/v1/events/session", b'{"session_id":"s"}', Authorization="Bearer " + SECRET_KEY
        )
        assert answer.status == 503
        assert running.edge.counts[RedirectOutcome.unrecorded] == 100
        disk.free.set()
        await until(lambda: running.journal.late > 0)
        assert (await running.get("/c/emma/summer")).status == 302
        assert running.edge.recorded == 51


@pytest.mark.parametrize("error", [OSError(errno.EIO, "Input/output error"), MemoryError()], ids=["disk", "memory"])
async def test_a_failed_sync_takes_its_batch_back_and_begins_a_new_node(
    tmp_path: Path, disk: Disk, error: Exception
) -> None:
    async with open_journal(tmp_path) as (journal, outcomes):
        outcomes.append(2)
        await outcomes.all_told()
        disk.error = error
        outcomes.append(3)
        await outcomes.all_told()
        disk.error = None
        assert [outcomes.told[n] for n in range(5)] == [True, True, False, False, False]
        assert journal.failures == 1
        assert journal.last_error
        outcomes.append(2)
        await outcomes.all_told()
    assert set(found(tmp_path)) == {"e0", "e1", "e5", "e6"}
    assert len({event.node for event in journal_events(tmp_path)}) == 2


@pytest.mark.parametrize("call", ["open", "rename", "close", "mkdir", "fsync", "pwrite", "unlink", "ftruncate"])
async def test_no_error_of_the_disk_ends_the_journal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, disk: Disk, call: str
) -> None:
    """Each call fails for a while, during which segments are finished and begun; then all is well again."""
    monkeypatch.setattr(journal_module, "ROTATE_SECONDS", 0.02)
    monkeypatch.setattr(journal_module, "DEADLINE_SECONDS", 10.0)  # what is told False here failed, and nothing is late
    monkeypatch.setattr(journal_module, "STALLED_SECONDS", 10.0)
    is_failing = False
    real = getattr(os, call)

    def failing(*arguments: Any, **more: Any) -> Any:
        thread = threading.current_thread().name
        if is_failing and thread == "journal":
            if call == "close":
                real(*arguments, **more)
            raise OSError(errno.EIO, f"{call} failed")
        return real(*arguments, **more)

    monkeypatch.setattr(os, call, failing)
    descriptors = len(os.listdir("/proc/self/fd"))
    async with open_journal(tmp_path) as (journal, outcomes):
        for is_failing_now, error in ((False, None), (True, None), (True, OSError(errno.EIO, "sync")), (False, None)):
            is_failing, disk.error = is_failing_now, error
            for _ in range(4):
                outcomes.append(2)
                await asyncio.sleep(0.04)
        await asyncio.sleep(0.15)
        last = outcomes.append(2)
        await outcomes.all_told()
        assert all(outcomes.told[number] for number in last), journal.last_error
        assert len(os.listdir("/proc/self/fd")) < descriptors + 10
    adopt(tmp_path)
    ids = found(tmp_path) if call != "ftruncate" else [e.leaf.event_id for e in journal_events(tmp_path)]
    assert outcomes.recorded() <= set(ids)
    assert {f"e{number}" for number, told in outcomes.told.items() if not told}.isdisjoint(ids) or call == "ftruncate"


async def test_one_answer_that_fails_costs_no_other_its_own(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with open_journal(tmp_path) as (journal, outcomes):
        outcomes.append()
        journal.append(ORGANIZATION.encode(), a_body(100), b"\t", lambda ticket, is_recorded: ticket(), None)
        outcomes.append()
        await outcomes.all_told()
    assert "settle_failed" in caplog.text
    assert found(tmp_path) == ["e0", "e100", "e1"]


async def test_closing_commits_what_waits(tmp_path: Path) -> None:
    async with open_journal(tmp_path) as (_, outcomes):
        outcomes.append(100)
    assert len(outcomes.recorded()) == 100
    assert len(found(tmp_path)) == 100
    assert len(segments(tmp_path)) == 1
    assert files(tmp_path, "open") == []


async def test_closing_gives_a_stalled_disk_little_time_and_tells_everybody(tmp_path: Path, disk: Disk) -> None:
    journal = Journal(tmp_path)
    journal.open(asyncio.get_running_loop())
    outcomes = Outcomes(journal)
    disk.free.clear()
    outcomes.append(2)
    await asyncio.sleep(0.05)
    outcomes.append(2)
    began = time.monotonic()
    await journal.close()
    assert time.monotonic() - began < 3
    assert outcomes.told == dict.fromkeys(range(4), False)
    disk.free.set()
    await until(lambda: len(journal_lines(tmp_path)) == 2)


async def test_what_waits_is_bounded(tmp_path: Path, disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_module, "MAX_WAITING", 100)
    async with open_journal(tmp_path) as (journal, outcomes):
        disk.free.clear()
        outcomes.append(1)
        await until(lambda: disk.syncs == 1)
        outcomes.append(150)
        assert len(journal._waiting) == 100
        await asyncio.sleep(0)
        assert sum(not told for told in outcomes.told.values()) == 50  # turned away at once
        disk.free.set()
        await outcomes.all_told()
        assert len(outcomes.recorded()) == 101


async def a_directory(path: Path, count: int = 5) -> Path:
    """Write a directory whose only segment was left open by a crash; return the segment."""
    async with open_journal(path) as (_, outcomes):
        outcomes.append(count)
        await outcomes.all_told()
    [segment] = segments(path)
    return segment.rename(segment.with_suffix(".open"))


@pytest.mark.parametrize(
    "tail",
    [
        b"0123",
        b"deadbeef\t{}\t\t",
        b"deadbeef\t{}\t\t\n",
        bytes(4095) + b"torn",
        b"\n" * 10,
        b"\n\0\n\0garbage\n" * 500,
        b"a\tb\tc\td\n" * 10,
        bytes(range(256)) * 20,
    ],
)
async def test_a_torn_end_is_cut_and_kept_aside(tmp_path: Path, tail: bytes) -> None:
    left_open = await a_directory(tmp_path)
    whole = left_open.read_bytes()
    left_open.write_bytes(whole + tail)

    assert adopt(tmp_path) == [left_open.with_suffix(".segment")]

    assert left_open.with_suffix(".segment").read_bytes() == whole
    assert left_open.with_suffix(".torn").read_bytes() == tail
    assert not left_open.exists()
    assert len(found(tmp_path)) == 5


async def test_what_fills_the_last_block_up_is_cut_and_forgotten(tmp_path: Path) -> None:
    left_open = await a_directory(tmp_path)
    whole = left_open.read_bytes()
    for tail, kept in ((bytes(100), b""), (b"half a li" + bytes(5000), b"half a li")):
        left_open.write_bytes(whole + tail)
        [finished] = adopt(tmp_path)
        assert finished.read_bytes() == whole
        torn = left_open.with_suffix(".torn")
        assert (torn.read_bytes() if torn.exists() else b"") == kept
        finished.rename(left_open)


async def test_a_torn_last_line_is_cut_wherever_it_broke(tmp_path: Path) -> None:
    left_open = await a_directory(tmp_path, 2)
    first, second = left_open.read_bytes().splitlines(keepends=True)
    for length in range(1, len(second)):
        left_open.write_bytes(first + second[:length])
        adopt(tmp_path)
        finished = left_open.with_suffix(".segment")
        assert finished.read_bytes() == first
        finished.rename(left_open)
        left_open.with_suffix(".torn").unlink()


async def test_rot_in_the_middle_stays_for_the_loader_to_see(tmp_path: Path) -> None:
    left_open = await a_directory(tmp_path)
    lines = left_open.read_bytes().splitlines(keepends=True)
    lines[2] = lines[2][:100] + b"\0" + lines[2][101:]
    left_open.write_bytes(b"".join(lines))

    [finished] = adopt(tmp_path)

    assert finished.read_bytes() == b"".join(lines)
    assert [split_line(line) is not None for line in lines] == [True, True, False, True, True]
    assert files(tmp_path, "torn") == []


async def test_what_holds_no_whole_line_is_no_segment(tmp_path: Path) -> None:
    left_open = await a_directory(tmp_path)
    left_open.write_bytes(b"")
    assert adopt(tmp_path) == []
    assert not left_open.parent.exists()
    left_open.parent.mkdir()
    left_open.write_bytes(b"torn before its end")
    assert adopt(tmp_path) == []
    assert left_open.with_suffix(".torn").read_bytes() == b"torn before its end"
    assert segments(tmp_path) == []


def test_what_an_edge_had_only_begun_to_create_is_removed_after_a_while(tmp_path: Path) -> None:
    for name in ("n_a", "n_b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "0000000000000001.new").touch()
    an_hour_ago = time.time() - 3600
    os.utime(tmp_path / "n_a" / "0000000000000001.new", (an_hour_ago, an_hour_ago))
    assert adopt(tmp_path) == []
    assert [path.parent.name for path in tmp_path.glob("n_*/*")] == ["n_b"]


async def test_adopting_leaves_the_file_of_a_living_edge_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_module, "ROTATE_SECONDS", 0.005)
    async with open_journal(tmp_path) as (journal, outcomes):
        stop = threading.Event()

        def keep_adopting() -> None:
            while not stop.is_set():
                assert adopt(tmp_path) == []

        adopting = asyncio.create_task(asyncio.to_thread(keep_adopting))
        for _ in range(150):
            outcomes.append(2)
            await outcomes.all_told()
            await asyncio.sleep(0.003)
        stop.set()
        await adopting
        assert journal.failures == 0
    assert len(outcomes.recorded()) == 300
    assert len(found(tmp_path)) == 300
    assert len({event.node for event in journal_events(tmp_path)}) == 1


async def test_a_file_is_locked_before_it_can_be_found_under_its_name(tmp_path: Path) -> None:
    async with open_journal(tmp_path) as (_, outcomes):
        outcomes.append()
        await outcomes.all_told()
        [path] = files(tmp_path, "open")
        with path.open("rb") as file, pytest.raises(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        assert path.stat().st_mode & 0o077 == 0
        assert path.parent.stat().st_mode & 0o077 == 0


async def test_two_edges_in_one_directory_never_share_a_number(tmp_path: Path) -> None:
    async with open_journal(tmp_path) as (_, first), open_journal(tmp_path) as (_, second):
        first.append(10)
        second.number = 1000
        second.append(10)
        await until(lambda: len(first.told) == len(second.told) == 10)
        assert len(found(tmp_path)) == 20
        assert len({event.node for event in journal_events(tmp_path)}) == 2
    assert len(found(tmp_path)) == 20


async def test_a_copied_directory_begins_a_node_of_its_own(tmp_path: Path) -> None:
    original, copied = tmp_path / "a", tmp_path / "b"
    async with open_journal(original) as (_, outcomes):
        outcomes.append(3)
        await outcomes.all_told()
        await until(lambda: bool(segments(original)))  # the first batch begins a new segment
        shutil.copytree(original, copied)
        outcomes.append(3)
        await outcomes.all_told()
    async with open_journal(copied) as (_, outcomes):
        outcomes.number = 100
        outcomes.append(3)
        await outcomes.all_told()
    assert len(found(original)) == 6
    assert len(found(copied)) == 6
    shared = {event.node for event in journal_events(original)}
    assert len(shared) == 1
    assert len({event.node for event in journal_events(copied)} - shared) == 1


async def test_opening_again_adopts_what_was_left_and_goes_on_in_a_new_node(tmp_path: Path) -> None:
    left_open = await a_directory(tmp_path)
    async with open_journal(tmp_path) as (_, outcomes):
        assert left_open.with_suffix(".segment").exists()
        outcomes.number = 100
        outcomes.append()
        await outcomes.all_told()
    assert len(found(tmp_path)) == 6


async def test_events_told_as_unavailable_are_not_remembered_as_duplicates(tmp_path: Path, disk: Disk) -> None:
    body = b'{"order_id":"o1","revenue_cents":1,"idempotency_key":"k1"}'
    headers = {"Authorization": f"Bearer {PUBLISHABLE_KEY}", "Origin": SHOP_ORIGIN}
    async with start_edge(tmp_path) as running:
        disk.error = OSError(errno.ENOSPC, "full")
        assert (await running.request("POST", "/v1/events/conversion", body, **headers)).status == 503
        disk.error = None
        await asyncio.sleep(0.15)
        again = await running.request("POST", "/v1/events/conversion", body, **headers)
        assert again.json["status"] == "accepted"
        assert len(running.events()) == 1
