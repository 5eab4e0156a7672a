"""What an edge knows, and its copy on disk: complete, never older than it says, and replaced when it is damaged."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from stackfluence import edge_process, snapshot
from stackfluence.click.click_id import ClickIdKeys
from stackfluence.click.links import MAX_REMEMBERED_LENGTH, Copy, Snapshot
from stackfluence.snapshot import EdgeChunk, EdgeRow
from tests.edge.edges import SECRETS, TTL_HOURS, RunningEdge, a_link, key_of, start_edge


def row(campaign: str, *, is_gone: bool = False, **fields: object) -> EdgeRow:
    """Return a change of one link."""
    link = a_link(campaign_slug=campaign, **fields)
    return EdgeRow(snapshot.LINK, key_of(link), None if is_gone else snapshot.encode(link))


class Catalog:
    """A catalog's feed: what changed at each revision."""

    def __init__(self) -> None:
        self.changes: dict[int, list[EdgeRow]] = {}
        self.asked: list[int] = []

    async def since(self, catalog: object, revision: int, lineage: str = "") -> AsyncIterator[EdgeChunk]:
        self.asked.append(revision)
        reached = max(self.changes)
        for changed in sorted(number for number in self.changes if number > revision):
            yield EdgeChunk(reached, not revision and changed == 1, self.changes[changed], "token")


@pytest.fixture
def feed(monkeypatch: pytest.MonkeyPatch) -> Catalog:
    """Return a feed in place of the catalog's."""
    given = Catalog()
    monkeypatch.setattr(edge_process, "changes_since", given.since)
    return given


def following(running: RunningEdge, copy: Copy) -> edge_process.Feed:
    return edge_process.Feed(None, running.edge, copy)  # type: ignore[arg-type]


async def poll(running: RunningEdge, copy: Copy) -> None:
    """Take over what changed, and wait until it is on disk."""
    polling = following(running, copy)
    await polling.poll()
    if polling._rewriting is not None:
        await polling._rewriting


def restored(path: Path) -> Snapshot:
    """Return what an edge would know that starts without a catalog."""
    known = Snapshot(ClickIdKeys(SECRETS, TTL_HOURS))
    copy = Copy(path)
    copy.load_into(known)
    copy.close()
    return known


def refuse_writes(copy: Copy) -> None:
    """Let the copy's disk be full."""
    copy._db.execute("pragma query_only = on")


async def test_the_copy_holds_what_was_taken_over(tmp_path: Path, feed: Catalog) -> None:
    path = tmp_path / "w0.sqlite"
    feed.changes = {1: [row("a"), row("b")], 2: [row("b", is_gone=True), row("c")]}
    async with start_edge(tmp_path, known=Snapshot(ClickIdKeys(SECRETS, TTL_HOURS))) as running:
        copy = Copy(path)
        await poll(running, copy)
        copy.close()
        known = restored(path)
        assert known.links == running.snapshot.links
        assert (known.revision, known.lineage) == (2, "token")
        assert path.stat().st_mode & 0o077 == 0  # it holds salts


def connection_row(identifier: str, status: str = "active") -> EdgeRow:
    """Return a change of one connection."""
    known = snapshot.Connection(identifier, "org_1", "stripe", "Main", b"still encrypted", status)
    return EdgeRow(snapshot.CONNECTION, identifier.encode(), snapshot.encode(known))


async def test_connections_are_known_kept_and_forgotten_as_everything_else(tmp_path: Path, feed: Catalog) -> None:
    feed.changes = {1: [connection_row("con_1"), connection_row("con_2")], 2: [connection_row("con_2", "disconnected")]}
    async with start_edge(tmp_path, known=Snapshot(ClickIdKeys(SECRETS, TTL_HOURS))) as running:
        copy = Copy(tmp_path / "w0.sqlite")
        await poll(running, copy)
        known = running.snapshot.connections
        assert {name: each.status for name, each in known.items()} == {"con_1": "active", "con_2": "disconnected"}
        assert known["con_1"].hook_secrets == b"still encrypted"
        assert restored(tmp_path / "w0.sqlite").connections == known
        before = known["con_1"]
        feed.changes[3] = [EdgeRow("invention", b"x", b"y"), EdgeRow(snapshot.CONNECTION, b"con_2", None)]
        await poll(running, copy)
        assert running.snapshot.connections == {"con_1": before}
        assert running.snapshot.connections["con_1"] is before, "what did not change is the same object"
        running.snapshot.revision = 0  # the next answer is a full one
        feed.changes = {1: [connection_row("con_3")]}
        await poll(running, copy)
        assert set(running.snapshot.connections) == {"con_3"} == set(restored(tmp_path / "w0.sqlite").connections)
        copy.close()


async def test_a_full_answer_goes_to_disk_behind_the_edge_and_behind_nothing_newer(
    tmp_path: Path, feed: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(edge_process, "COPY_ROWS", 1)
    path = tmp_path / "w0.sqlite"
    feed.changes = {1: [row(f"c{number}") for number in range(20)]}
    async with start_edge(tmp_path, known=Snapshot(ClickIdKeys(SECRETS, TTL_HOURS))) as running:
        copy = Copy(path)
        polling = following(running, copy)
        await polling.poll()
        assert (await running.get("/c/emma/c19")).status == 302
        assert copy._db.execute("select count(*) from meta").fetchone() == (0,)
        feed.changes[2] = [row("c19", status="paused"), row("c18", is_gone=True), row("new")]
        await polling.poll()
        assert copy._db.execute("select count(*) from meta").fetchone() == (0,)  # it is not complete yet
        assert polling._rewriting is not None
        await polling._rewriting
        assert restored(path).links == running.snapshot.links
        assert restored(path).revision == 2
        copy.close()


async def test_a_disk_that_refuses_leaves_the_copy_as_it_was_and_is_made_up_for(
    tmp_path: Path, feed: Catalog, caplog: pytest.LogCaptureFixture
) -> None:
    """A copy that said revision 3 without the changes of revision 2 would redirect a paused link for ever."""
    path = tmp_path / "w0.sqlite"
    feed.changes = {1: [row("a"), row("b")]}
    async with start_edge(tmp_path, known=Snapshot(ClickIdKeys(SECRETS, TTL_HOURS))) as running:
        copy = Copy(path)
        await poll(running, copy)
        refuse_writes(copy)
        feed.changes[2] = [row("a", status="paused"), row("b", is_gone=True)]
        await poll(running, copy)
        assert "snapshot_not_kept" in caplog.text
        assert (await running.get("/c/emma/a")).status == 410
        assert running.snapshot.revision == 2
        assert restored(path).revision == 1
        feed.changes[3] = [row("c")]
        await poll(running, copy)
        assert restored(path).revision == 1
        copy._db.execute("pragma query_only = off")
        feed.changes[4] = [row("a", status="archived")]
        await poll(running, copy)
        assert restored(path).links == running.snapshot.links
        assert restored(path).revision == 4
        copy.close()
    assert feed.asked == [0, 1, 2, 3]  # nothing was asked for twice


async def test_what_the_disk_refused_is_written_although_nothing_else_changes(tmp_path: Path, feed: Catalog) -> None:
    path = tmp_path / "w0.sqlite"
    feed.changes = {1: [row("a")]}
    async with start_edge(tmp_path, known=Snapshot(ClickIdKeys(SECRETS, TTL_HOURS))) as running:
        copy = Copy(path)
        refuse_writes(copy)
        await poll(running, copy)
        assert copy.is_behind
        copy._db.execute("pragma query_only = off")
        await poll(running, copy)
        assert restored(path).revision == 1
        copy.close()


def test_a_revision_that_the_disk_refused_to_note_is_noted_later(tmp_path: Path) -> None:
    copy = Copy(tmp_path / "w0.sqlite")
    copy.write([row("a")], None)
    refuse_writes(copy)
    with pytest.raises(sqlite3.Error):
        copy.write([], 7, "token")
    behind = [copy.is_behind]
    copy._db.execute("pragma query_only = off")
    copy.write([], 7, "token")
    behind.append(copy.is_behind)
    assert behind == [True, False]
    copy.close()
    assert restored(tmp_path / "w0.sqlite").revision == 7


@pytest.mark.parametrize("damage", [b"this is no database at all" * 200, b"SQLite format 3\0" + bytes(4080), b""])
def test_a_damaged_copy_is_replaced(tmp_path: Path, damage: bytes, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "w0.sqlite"
    path.write_bytes(damage)
    known = restored(path)
    assert (known.revision, known.links) == (0, {})
    copy = Copy(path)
    copy.write([row("a")], 7, "token")
    copy.close()
    assert restored(path).revision == 7


def test_a_copy_with_pages_lost_or_records_nobody_can_read_is_replaced(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "w0.sqlite"
    for is_page_lost in (True, False):
        copy = Copy(path)
        copy.write([row(f"c{number}") for number in range(2000)], 7, "token")
        copy.write([EdgeRow(snapshot.KEY, b"k", b"\xc1")] if not is_page_lost else [], 7, "token")
        copy.close()
        if is_page_lost:
            raw = bytearray(path.read_bytes())
            raw[len(raw) // 2 : len(raw) // 2 + 30_000] = b"\xff" * 30_000
            path.write_bytes(raw)
        known = restored(path)
        assert (known.revision, known.links, known.keys) == (0, {}, {})
        assert caplog.records[-1].levelno == logging.ERROR
        assert restored(path).revision == 0


def test_a_copy_that_is_locked_is_not_taken_for_damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "w0.sqlite"
    copy = Copy(path)
    copy.write([row("a")], 7, "token")
    copy._db.execute("begin exclusive")
    real: Any = sqlite3.connect

    def impatient(*given: Any, **more: Any) -> Any:
        return real(*given, timeout=0, **more)

    monkeypatch.setattr(sqlite3, "connect", impatient)
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        restored(path)
    copy._db.execute("rollback")
    assert restored(path).revision == 7
    copy.close()


async def test_closing_waits_for_what_is_being_written(tmp_path: Path) -> None:
    copy = Copy(tmp_path / "w0.sqlite")
    writing = asyncio.create_task(asyncio.to_thread(copy.write, [row(f"c{n}") for n in range(20_000)], 7, "token"))
    await asyncio.sleep(0.005)
    writing.cancel()
    await asyncio.to_thread(copy.close)
    await asyncio.gather(writing, return_exceptions=True)
    assert restored(tmp_path / "w0.sqlite").revision in (0, 7)


def test_a_full_answer_forgets_what_it_does_not_name() -> None:
    known = Snapshot(ClickIdKeys(SECRETS, TTL_HOURS))
    for changed in (row("a"), row("b")):
        known.apply_one(changed)
    known.begin()
    known.apply(EdgeChunk(9, True, [row("b"), row("c")], "other"))
    assert len(known.links) == 3  # not before the answer is complete
    gone = known.finish(9, "other")
    assert gone == [row("a", is_gone=True)]
    assert known.links.keys() == {row("b").key, row("c").key}


def test_an_answer_that_was_cut_off_forgets_nothing() -> None:
    known = Snapshot(ClickIdKeys(SECRETS, TTL_HOURS))
    known.apply_one(row("a"))
    known.begin()
    known.apply(EdgeChunk(9, True, [row("b")]))
    known.begin()
    known.apply(EdgeChunk(3, False, [row("c")]))
    assert known.finish(3) == []
    assert len(known.links) == 3


async def test_endless_spellings_of_one_link_do_not_fill_the_memory(running: RunningEdge) -> None:
    for number in range(1, 40):
        assert (await running.get("/c/emma/summer" + "." * number * 50)).status == 302
    assert all(len(asked) <= MAX_REMEMBERED_LENGTH + 1 for asked in running.snapshot.paths)
    assert len(running.snapshot.paths) < 10
