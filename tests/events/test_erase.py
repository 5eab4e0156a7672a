"""A person can be erased, and everything that was proved stays proved."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stackfluence.clock import now_ms
from stackfluence.errors import JournalLocked
from stackfluence.events import erase
from stackfluence.events.erase import PersonKind, erase_person, find_person
from stackfluence.events.event import Leaf, split_line
from stackfluence.events.feed import find_event, summary
from stackfluence.events.journal import lock
from stackfluence.events.load import Loader
from stackfluence.events.seal import broken_link, check_view, is_included
from stackfluence.events.seal_book import SealBook
from stackfluence.events.store import Store
from tests.events.journals import BRAND, NODE, OTHER_BRAND, Numbers, Writer, counts, drain, rows, value
from tests.stores import drop

EMMA, CLICK = "hash-of-emma", "019aaba6-6480-7663-8128-2d69f5af2110"
EMMAS_ADDRESS = "hash-of-emmas-address"
SECRET = "emma@shop.example"


@pytest.fixture
def journals(tmp_path: Path) -> Path:
    return tmp_path / "journal"


@pytest.fixture
def writer(journals: Path) -> Writer:
    return Writer(journals / "w0")


@pytest.fixture
def loader(store: Store, journals: Path) -> Iterator[Loader]:
    loader = Loader(journals, store, Numbers())
    yield loader
    loader.close()


def write(writer: Writer) -> tuple[list[Leaf], list[Leaf]]:
    """Write events of emma and of others; returns both."""
    kept = {"customer_hash": EMMA, "email_hash": EMMAS_ADDRESS, "properties": SECRET}
    told: dict[str, Any] = {"kept": kept, "expiring": {"user_agent": SECRET}}
    person = {"visitor_hash": "v1", "session_id": "s1", "click_id": CLICK, "order_id": "o1", "shop": "s.example"}
    emma = [
        writer.event("conversion", **told, **person),
        writer.event("conversion", **told, **person),
        writer.event("conversion", quarantine_reason="wrong_type", **told, **person),
    ]
    others = [
        writer.event("conversion", kept={"customer_hash": "another"}),
        writer.event("click"),
        writer.event("conversion", OTHER_BRAND, kept={"customer_hash": EMMA}, **person),
    ]
    return emma, others


def on_disk(journals: Path) -> bytes:
    return b"".join(path.read_bytes() for path in journals.rglob("*") if path.is_file())


@pytest.mark.parametrize(
    ("kind", "person"),
    [
        (PersonKind.customer_hash, EMMA),
        (PersonKind.email_hash, EMMAS_ADDRESS),
        (PersonKind.click_id, CLICK),
        (PersonKind.session_id, "s1"),
        (PersonKind.visitor_hash, "v1"),
        (PersonKind.order_id, "s.example/o1"),
        (PersonKind.shop, "s.example"),
    ],
)
async def test_a_person_is_gone_and_every_proof_and_count_stays(
    kind: PersonKind, person: str, store: Store, loader: Loader, writer: Writer, journals: Path
) -> None:
    emma, others = write(writer)
    writer.finish()
    drain(loader)
    before = await summary(store, BRAND, 1, "UTC")
    seals = SealBook(journals / "w0").seals()
    done = erase_person(store, journals, BRAND, kind, person)
    assert (done.events, done.rows, done.lines) == (3, 3, 3)
    assert counts(store) == (5, 1, 3)
    assert SECRET.encode() not in on_disk(journals)
    assert await summary(store, BRAND, 1, "UTC") == before
    assert SealBook(journals / "w0").seals() == seals
    assert broken_link(seals) is None
    for leaf in (*emma, *others[:2]):
        found = await find_event(store, BRAND, 1, leaf.event_id)
        assert found is not None
        assert found.proof is not None
        assert is_included(found.leaf, found.proof.index, found.proof.leaves, found.proof.path, found.proof.root)
        assert check_view(found.proof.view)
        assert (found.kept + found.expiring == b"") == (leaf in emma)
    other = await find_event(store, OTHER_BRAND, 1, others[2].event_id)
    assert other is not None
    assert other.kept, "another organization's knowledge of her is another matter"
    assert erase_person(store, journals, BRAND, kind, person).lines == 0, "again is harmless"


def test_a_person_is_erased_from_a_server_as_well(served_store: Store, writer: Writer, journals: Path) -> None:
    write(writer)
    writer.finish()
    loader = Loader(journals, served_store, Numbers())
    drain(loader)
    done = erase_person(served_store, journals, BRAND, PersonKind.customer_hash, EMMA)
    assert (done.events, done.rows, done.lines) == (3, 3, 3)
    late = Writer(journals / "w1")
    write(late)
    late.finish()
    drain(loader)
    loader.close()
    assert counts(served_store) == (5, 1, 3)
    assert loader.counts.held != {}, "the same numbers with other salts are another content"


def test_the_archives_lines_keep_their_leaves_and_their_checksums(
    store: Store, loader: Loader, writer: Writer, journals: Path
) -> None:
    write(writer)
    leaves = [line.split(b"\t")[1] for line in writer.waiting]
    writer.finish()
    drain(loader)
    erase_person(store, journals, BRAND, PersonKind.customer_hash, EMMA)
    (archive,) = journals.glob("w0/n_*/archive/*.lines")
    parts = [split_line(line) for line in archive.read_bytes().splitlines()]
    assert [part.leaf for part in parts if part] == leaves
    assert list(journals.rglob("*.blanked")) == []


def test_what_waits_on_the_disk_is_erased_before_it_is_loaded(
    store: Store, loader: Loader, writer: Writer, journals: Path
) -> None:
    write(writer)
    path = writer.finish()
    (path.parent / "0000000000000099.torn").write_bytes(b"half a line of " + EMMA.encode())
    done = erase_person(store, journals, BRAND, PersonKind.customer_hash, EMMA)
    assert (done.events, done.rows, done.lines) == (3, 0, 3)
    assert SECRET.encode() not in on_disk(journals)
    assert not list(journals.rglob("*.torn"))
    drain(loader)
    assert counts(store) == (5, 1, 3)


def test_lines_that_an_edge_was_still_writing_are_erased_when_they_are_loaded(
    store: Store, loader: Loader, writer: Writer, journals: Path
) -> None:
    write(writer)
    path = writer.finish()
    path.rename(path.with_suffix(".open"))
    held = lock(path.with_suffix(".open"))
    assert erase_person(store, journals, BRAND, PersonKind.session_id, "s1").lines == 0
    path.with_suffix(".open").rename(path)
    os.close(held)
    drain(loader)
    assert counts(store) == (5, 1, 3)
    assert SECRET.encode() not in on_disk(journals)


def test_what_the_person_does_afterwards_is_not_erased(store: Store, writer: Writer, journals: Path) -> None:
    erase_person(store, journals, BRAND, PersonKind.session_id, "s1")
    writer.at_ms = now_ms() + 1000
    write(writer)
    writer.finish()
    loader = Loader(journals, store, Numbers())
    drain(loader)
    loader.close()
    assert counts(store) == (5, 1, 6)


def test_an_archive_put_back_brings_nothing_back(store: Store, engine_url: str, writer: Writer, journals: Path) -> None:
    write(writer)
    path = writer.finish()
    content = path.read_bytes()
    loader = Loader(journals, store, Numbers())
    drain(loader)
    erase_person(store, journals, BRAND, PersonKind.customer_hash, EMMA)
    elsewhere = journals / "w5" / NODE
    elsewhere.mkdir(parents=True)
    (elsewhere / path.name).write_bytes(content)
    drain(loader)
    assert counts(store) == (5, 1, 3)
    assert SECRET.encode() not in on_disk(journals)
    loader.close()
    restored = Store(engine_url, "restored_after_erasure")
    restored.create_schema()
    with restored.session() as session:  # a restored store gets the erasures that it doesn't know
        for row in rows(store, "select * from erasures"):
            session._client.insert("erasures", [list(row.values())], column_names=list(row))
    path.write_bytes(content)
    loader = Loader(journals, restored, Numbers())
    drain(loader)
    loader.close()
    assert counts(restored) == (5, 1, 3)
    assert value(restored, "select count() from events_personal where customer_hash = 'hash-of-emma'") == 1
    assert SECRET.encode() not in on_disk(journals)
    drop(restored)


def test_an_erasure_waits_for_the_loaders_turn(
    store: Store, writer: Writer, journals: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(writer)
    writer.finish()
    monkeypatch.setattr(erase, "LOCK_SECONDS", 0.05)
    held = lock(journals / "w0" / "loader.lock", create=True)
    with pytest.raises(JournalLocked):
        erase_person(store, journals, BRAND, PersonKind.customer_hash, EMMA)
    os.close(held)
    assert erase_person(store, journals, BRAND, PersonKind.customer_hash, EMMA).events == 3


ORDERS = (
    {"order_id": "o1", "shop": "s.example"},
    {"original_order_id": "o2", "shop": "s.example"},
    {"order_id": "o3", "shop": "s.example"},
    {"order_id": "o1", "shop": "other.example"},
    {"original_order_id": "o2"},
    {"order_id": "s.example/o1"},
)


@pytest.mark.parametrize("where", ["loaded", "waiting", "being written"])
def test_orders_are_erased_in_the_shop_that_asks_many_at_once(
    where: str, store: Store, loader: Loader, writer: Writer, journals: Path
) -> None:
    for fields in ORDERS:
        told = next(name for name in fields if name != "shop")
        writer.event("refund" if told == "original_order_id" else "conversion", kept={"properties": "of"}, **fields)
    path = writer.finish()
    if where == "loaded":
        drain(loader)
    if where == "being written":
        path.rename(path.with_suffix(".open"))
        held = lock(path.with_suffix(".open"))
    asked = ["s.example/o1", "s.example/o2", "s.example/o9", "/o7"]
    found = find_person(store, journals, BRAND, PersonKind.order_id, *asked)
    done = erase_person(store, journals, BRAND, PersonKind.order_id, *asked)
    expected = 0 if where == "being written" else 2
    assert (found.events, done.events, done.lines) == (expected, expected, expected)
    if where == "being written":
        path.with_suffix(".open").rename(path)
        os.close(held)
    drain(loader)
    left = {
        (row["shop"], row["order_id"] + row["original_order_id"])
        for row in rows(store, "select * from events where (node, seq) in (select node, seq from events_personal)")
    }
    assert left == {("s.example", "o3"), ("other.example", "o1"), ("", "o2"), ("", "s.example/o1")}


def test_nobody_is_found_by_what_only_looks_alike(store: Store, writer: Writer, journals: Path) -> None:
    writer.event("conversion", kept={"properties": f'{{"x": "{EMMA}"}}'}, page_path=f"/{CLICK}")
    writer.finish()
    loader = Loader(journals, store, Numbers())
    drain(loader)
    loader.close()
    for kind, person in ((PersonKind.customer_hash, EMMA), (PersonKind.click_id, CLICK)):
        done = erase_person(store, journals, BRAND, kind, person)
        assert (done.events, done.rows, done.lines) == (0, 0, 0)
    assert counts(store) == (1, 0, 1)
