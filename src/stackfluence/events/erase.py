"""Erasing a person: the personal halves of their events go, from the store and from the journal's files; leaves stay.

A leaf holds a salted commitment to what is erased, so every seal, proof and count stays valid. The erasure itself is
kept for ever and holds for what was received until then: lines not loaded yet, archives put back, exports replayed.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from os import close
from pathlib import Path
from typing import Any

from stackfluence.clock import now_ms
from stackfluence.errors import JournalLocked
from stackfluence.events.event import read_leaf
from stackfluence.events.journal import lock
from stackfluence.events.segments import blank_personal
from stackfluence.events.statements import read_statements
from stackfluence.events.store import Session, Store

SQL = read_statements(Path(__file__).with_name("erase.sql"))
LOCK_SECONDS = 60.0  # a loader's turn takes less
CHUNK = 1000  # event ids in one statement


class PersonKind(StrEnum):
    """What a person is known by; an order, and a shop with everybody in it, are what a shop asks by.

    An order is `brand.myshopify.com/4711`, its shop and its id in that; `/4711` is one that was told without a shop.
    """

    customer_hash = "customer_hash"
    email_hash = "email_hash"
    click_id = "click_id"
    session_id = "session_id"
    visitor_hash = "visitor_hash"
    order_id = "order_id"
    shop = "shop"


_VISITOR = ("visitor_hash", "visitor_hash_before")
_ORDER_IDS = re.compile(rb'"(?:original_)?order_id":"([^"]*)"')


@dataclass(frozen=True, slots=True)
class Erasure:
    """What was erased: events of the person, rows removed from the store, lines blanked on the disk."""

    events: int
    rows: int
    lines: int
    erased_ms: int
    event_ids: frozenset[str]


@dataclass(frozen=True, slots=True)
class Findings:
    """What an erasure would find: events, their personal halves in the store, and events that wait or are archived."""

    events: int
    rows: int
    on_disk: int
    event_ids: frozenset[str]


def find_person(store: Store, journals: Path, organization_id: str, kind: PersonKind, *values: str) -> Findings:
    """Count what `erase_person` would erase now, changing nothing; raises StoreError, OSError."""
    with store.session() as session:
        asked = {"organization_id": organization_id, "kind": kind.value, "values": list(values)}
        event_ids = {row["event_id"] for row in session.rows(SQL["find_events_of_person"], **asked)}
        on_disk = _events_on_disk(journals, organization_id, kind, values)
        everything = sorted(event_ids | on_disk)
        personal = 0
        for start in range(0, len(everything), CHUNK):
            some = everything[start : start + CHUNK]
            row = session.row(SQL["count_personal"], organization_id=organization_id, event_ids=some)
            personal += row["personal"]
    return Findings(len(everything), personal, len(on_disk), frozenset(everything))


def erase_person(store: Store, journals: Path, organization_id: str, kind: PersonKind, *values: str) -> Erasure:
    """Erase one person of one organization, or several values of a kind at once; again is harmless.

    Raises JournalLocked when a loader doesn't end its turn within a minute, StoreError, OSError; it is to be repeated
    then, since the erasure is noted first and what is received until then stays erased.
    """
    erased_ms = now_ms()
    with store.session() as session:
        # noted before the locks are taken: a turn that begins after this finds it, one before is over when we have them
        asked = {"organization_id": organization_id, "kind": kind.value, "values": list(values)}
        session.run(SQL["add_erasure"], **asked, erased_ms=erased_ms)
        with loaders_at_rest(journals):
            event_ids = {row["event_id"] for row in session.rows(SQL["find_events_of_person"], **asked)}
            event_ids |= _events_on_disk(journals, organization_id, kind, values)
            lines = _blank_files(journals, organization_id, event_ids, kind, values)
        # many take a while, and nothing that is loaded meanwhile is theirs
        removed = _forget_events(session, organization_id, sorted(event_ids), erased_ms)
    return Erasure(len(event_ids), removed, lines, erased_ms, frozenset(event_ids))


def _forget_events(session: Session, organization_id: str, event_ids: list[str], erased_ms: int) -> int:
    removed = 0
    for start in range(0, len(event_ids), CHUNK):
        some = event_ids[start : start + CHUNK]
        session.run(SQL["add_erased_events"], organization_id=organization_id, event_ids=some, erased_ms=erased_ms)
        rows = session.row(SQL["count_personal"], organization_id=organization_id, event_ids=some)["personal"]
        if rows:
            session.run(SQL["delete_personal"], organization_id=organization_id, event_ids=some)
        removed += rows
    return removed


@contextmanager
def loaders_at_rest(journals: Path) -> Iterator[None]:
    """Hold every journal's loader lock."""
    held: list[int] = []
    patience = time.monotonic() + LOCK_SECONDS
    try:
        for directory in sorted(path for path in journals.glob("*") if path.is_dir()):
            while True:
                try:
                    held.append(lock(directory / "loader.lock", create=True))
                    break
                except JournalLocked:
                    if time.monotonic() > patience:
                        raise
                    time.sleep(0.02)
        yield
    finally:
        for descriptor in held:
            close(descriptor)


def _files(journals: Path) -> list[Path]:
    """Return the finished files; what an edge is still writing is caught by the loader."""
    return sorted([*journals.glob("*/n_*/*.segment"), *journals.glob("*/n_*/archive/*.lines")])


def _events_on_disk(journals: Path, organization_id: str, kind: PersonKind, values: Sequence[str]) -> set[str]:
    """Return the ids of the person's events in segments that are not loaded yet, and in archives."""
    found: set[str] = set()
    names, belongs = _named_in(kind, values), _belongs(organization_id, kind, values)
    for path in _files(journals):
        content = path.read_bytes()
        if names(content):
            for line in content.split(b"\n"):
                columns = line.split(b"\t")
                if len(columns) == 4 and belongs(columns[1], columns[2]):
                    found.add(str(read_leaf(columns[1])["event_id"]))
    return found


def _named_in(kind: PersonKind, values: Sequence[str]) -> Callable[[bytes], bool]:
    """Return a cheap look: whether some bytes may name one of the values, before the exact one."""
    if kind is PersonKind.order_id:
        order_ids = {value.partition("/")[2].encode() for value in values}
        return lambda content: not order_ids.isdisjoint(_ORDER_IDS.findall(content))
    needles = [value.encode() for value in values]
    return lambda content: any(needle in content for needle in needles)


def _belongs(organization_id: str, kind: PersonKind, values: Sequence[str]) -> Callable[[bytes, bytes], bool]:
    wanted, owner, is_named = frozenset(values), organization_id.encode(), _named_in(kind, values)

    def belongs(leaf: bytes, kept: bytes) -> bool:
        if kind in (PersonKind.customer_hash, PersonKind.email_hash):
            return is_named(kept) and owner in leaf[:80] and read_leaf(kept).get(kind.value) in wanted
        if not is_named(leaf) or owner not in leaf[:80]:
            return False
        fields = read_leaf(leaf)
        return fields["organization_id"] == organization_id and not wanted.isdisjoint(_called(kind, fields))

    return belongs


def _called(kind: PersonKind, fields: dict[str, Any]) -> Iterator[str]:
    """Yield what a leaf has of a kind."""
    if kind is PersonKind.order_id:
        for name in ("order_id", "original_order_id"):
            if name in fields:
                yield f"{fields.get('shop', '')}/{fields[name]}"
        return
    for name in _VISITOR if kind is PersonKind.visitor_hash else (kind.value,):
        yield fields.get(name, "")


def _blank_files(
    journals: Path, organization_id: str, event_ids: set[str], kind: PersonKind, values: Sequence[str]
) -> int:
    ids = {event_id.encode() for event_id in event_ids}
    owner = organization_id.encode()
    names = _named_in(kind, values)

    def is_erased(leaf: bytes, _kept: bytes) -> bool:
        at = leaf.find(b'"event_id":"') + 12  # a cheap look before the exact one
        if leaf[at : at + 36] not in ids or owner not in leaf[:80]:
            return False
        return bool(read_leaf(leaf)["organization_id"] == organization_id)

    blanked = sum(blank_personal(path, is_erased) for path in _files(journals)) if ids else 0
    for path in journals.glob("*/n_*/*.torn"):
        content = path.read_bytes()
        if names(content) or any(event_id in content for event_id in ids):
            path.unlink()  # never answered, never loaded: nobody needs it
    return blanked
