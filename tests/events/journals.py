"""Journals written as an edge writes them, with lines of one's choice."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stackfluence.clock import parse_rfc3339, rfc3339, uuid7
from stackfluence.events.event import (
    Expiring,
    Kept,
    Leaf,
    commitment,
    encode_leaf,
    encode_personal,
    fresh_salt,
    join_line,
)
from stackfluence.events.load import Loader, Report
from stackfluence.events.statements import Statement
from stackfluence.events.store import Store

BRAND, OTHER_BRAND = "org_0000001", "org_0000002"
NODE = "n_0000000000000001"
START_MS = parse_rfc3339("2026-11-22T13:00:00Z")


@dataclass
class Numbers:
    """Load numbers kept in memory, in place of the catalog's."""

    last: int = 0
    finished: int = 0
    is_taken: bool = False

    def take(self, minimum: int) -> int | None:
        if self.is_taken:
            return None
        self.last = max(self.last + 1, minimum)
        return self.last

    def finish(self, number: int) -> None:
        self.finished = max(self.finished, number)

    def horizon(self) -> int:
        return self.finished


@dataclass
class Writer:
    """Writes one node's segments."""

    directory: Path
    node: str = NODE
    seq: int = 0
    at_ms: int = START_MS
    waiting: list[bytes] = field(default_factory=list)

    def event(self, event_type: str = "click", organization_id: str = BRAND, **fields: Any) -> Leaf:
        """Add a line and return its leaf; `kept`, `expiring` are given as dictionaries."""
        self.at_ms += 10
        kept, expiring = fields.pop("kept", None), fields.pop("expiring", {"user_agent": "Mozilla/5.0 (emma's phone)"})
        halves = (
            encode_personal(None if kept is None else Kept(salt=fresh_salt(), **kept)),
            encode_personal(None if expiring is None else Expiring(salt=fresh_salt(), **expiring)),
        )
        event_id = fields.pop("event_id", None) or uuid7(self.at_ms)[1]
        at = {"occurred_at": rfc3339(self.at_ms), "received_at": rfc3339(self.at_ms)}
        if event_type == "click":
            fields.setdefault("click_id", event_id)
        fields = {"trust_tier": "server", **at, **fields, "personal_commitment": commitment(*halves)}
        leaf = Leaf(event_id=event_id, event_type=event_type, **fields)
        self.raw(encode_leaf(leaf), b"\t".join(halves), organization_id)
        return leaf

    def raw(self, body: bytes, personal: bytes = b"\t", organization_id: str = BRAND) -> None:
        """Add a line of bytes of one's choice."""
        self.seq += 1
        self.waiting.append(join_line(organization_id.encode(), self.node.encode(), self.seq, body, personal))

    def clicks(self, count: int, **fields: Any) -> list[Leaf]:
        return [self.event(link_id=f"lnk_{place:010d}", **fields) for place in range(count)]

    def finish(self) -> Path:
        """Write what was added as a segment."""
        path = self.directory / self.node / f"{self.seq - len(self.waiting) + 1:016d}.segment"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"".join(self.waiting))
        self.waiting = []
        return path


def poison(line: bytes) -> bytes:
    """Return a line whose checksum is right and whose leaf is no JSON."""
    content = line[9:-1].replace(b'"event_type"', b'event_type"', 1)
    return b"%08x\t%b\n" % (zlib.crc32(content), content)


def drain(loader: Loader) -> list[Report]:
    """Load until nothing is left; returns the turns that loaded."""
    reports = []
    while (report := loader.turn()).lines:
        reports.append(report)
    return reports


def rows(store: Store, sql: str, **parameters: Any) -> list[dict[str, Any]]:
    with store.session() as session:
        return session.rows(Statement("test", "", sql), **parameters)


def value(store: Store, sql: str, **parameters: Any) -> Any:
    (row,) = rows(store, sql, **parameters)
    (found,) = row.values()
    return found


def counts(store: Store) -> tuple[int, int, int]:
    """Return the rows of events, quarantined_events and events_personal."""
    tables = ("events", "quarantined_events", "events_personal")
    found = [value(store, f"select count() as rows from {table}") for table in tables]
    return found[0], found[1], found[2]
