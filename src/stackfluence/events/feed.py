"""Reading: one organization's events after a cursor, one event with its proof, and counts that add up.

Every function takes the horizon, the last finished load number, read from the catalog before the query: rows up to it
are all there and never change, so a reader that follows the cursor sees each once.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

import msgspec

from stackfluence.errors import StoreError
from stackfluence.events.event import read_leaf
from stackfluence.events.seal import inclusion_proof, read_seal, root
from stackfluence.events.statements import read_statements
from stackfluence.events.store import Row, Store

SQL = read_statements(Path(__file__).with_name("feed.sql"))
MAX_LIMIT = 1000
LATEST_MS = 10_413_791_999_999  # 2299-12-31, the last day that DateTime64(3) has


class Cursor(NamedTuple):
    """A place in the feed: behind this row."""

    load_number: int = 0
    node: str = ""
    seq: int = 0

    def text(self) -> str:
        """Return the cursor as the API gives it out."""
        return f"{self.load_number}.{self.seq}.{self.node}"


def read_cursor(text: str) -> Cursor:
    """Return a cursor from its text, the beginning for none; raises ValueError."""
    if not text:
        return Cursor()
    load_number, seq, node = text.split(".")
    if not (
        load_number.isascii() and load_number.isdigit() and seq.isascii() and seq.isdigit() and node.isidentifier()
    ):
        raise ValueError(f"{text!r} is no cursor")
    if max(len(load_number), len(seq)) > 19 or len(node) > 32:
        raise ValueError(f"{text!r} is no cursor")
    return Cursor(int(load_number), node, int(seq))


@dataclass(frozen=True, slots=True)
class Filters:
    """Which events are asked for; what is unset doesn't matter. Times are `occurred_at`, `to_ms` exclusive."""

    event_type: str = ""
    from_ms: int = 0
    to_ms: int = LATEST_MS
    click_id: str = ""
    link_id: str = ""
    creator_id: str = ""
    campaign_id: str = ""
    is_test: bool | None = None

    def parameters(self) -> dict[str, Any]:
        """Return the statements' parameters; raises ValueError for a click_id that is no UUID."""
        return {
            "event_type": self.event_type,
            "click_id": str(UUID(self.click_id)) if self.click_id else None,
            **self.subject(),
        }

    def subject(self) -> dict[str, Any]:
        """Return the parameters that counts have, too."""
        return {
            "from_ms": max(0, self.from_ms),
            "to_ms": min(self.to_ms, LATEST_MS),
            "link_id": self.link_id,
            "creator_id": self.creator_id,
            "campaign_id": self.campaign_id,
            "is_test": self.is_test,
        }


ANY = Filters()


@dataclass(frozen=True, slots=True)
class Page:
    """Some events, and where the next page begins; `is_last` when there was no more to read."""

    items: list[dict[str, Any]]
    next_cursor: Cursor
    is_last: bool


async def page_of_events(
    store: Store,
    organization_id: str,
    horizon: int,
    *,
    after: Cursor = Cursor(),
    limit: int = 100,
    filters: Filters = ANY,
    is_quarantined: bool = False,
) -> Page:
    """Return up to `limit` events after a cursor, fewer where rows of the same event supersede others.

    With `is_quarantined` those that can't be used, with their reasons. Raises StoreError, and ValueError for a filter
    that can't be meant.
    """
    limit = max(1, min(limit, MAX_LIMIT))
    rows = await store.read(
        SQL["page_of_quarantined" if is_quarantined else "page_of_events"],
        organization_id=organization_id,
        horizon=horizon,
        after_load=after.load_number,
        after_node=after.node,
        after_seq=after.seq,
        limit=limit,
        **filters.parameters(),
    )
    superseded: set[tuple[str, int]] = set()
    if rows and not is_quarantined:
        found = await store.read(
            SQL["superseded_rows"],
            organization_id=organization_id,
            horizon=horizon,
            event_ids=[str(row["event_id"]) for row in rows],
        )
        superseded = {(row["node"], row["seq"]) for row in found}
    last = rows[-1] if rows else None
    return Page(
        items=[_item(row) for row in rows if (row["node"], row["seq"]) not in superseded],
        next_cursor=Cursor(last["load_number"], last["node"], last["seq"]) if last else after,
        is_last=len(rows) < limit,
    )


def _item(row: Row) -> dict[str, Any]:
    item = {"load_number": row["load_number"], "stored_at": _rfc3339(row["stored_at"])}
    if row["line"]:
        return item | read_leaf(row["line"].encode())
    return item | {"node": row["node"], "seq": row["seq"], "quarantine_reason": row["quarantine_reason"]}


def _rfc3339(moment: Any) -> str:
    return str(moment.isoformat(timespec="milliseconds")).replace("+00:00", "Z")


@dataclass(frozen=True, slots=True)
class Proof:
    """That a leaf was sealed: `seal.is_included(leaf, index, leaves, path, root)` and `seal.check_view(view)`."""

    view: dict[str, Any]
    index: int
    leaves: int
    root: bytes
    path: list[bytes]


@dataclass(frozen=True, slots=True)
class Found:
    """One event: its fields, the leaf's bytes, how many rows it has, what is still kept of its person, its proof."""

    event: dict[str, Any]
    leaf: bytes
    rows: int
    is_quarantined: bool
    kept: bytes
    expiring: bytes
    expiring_hash: str
    proof: Proof | None


async def find_event(store: Store, organization_id: str, horizon: int, event_id: str) -> Found | None:
    """Return an event of the organization with its proof, or None. Raises StoreError, and ValueError for no UUID."""
    asked = {"organization_id": organization_id, "horizon": horizon, "event_id": str(UUID(event_id))}
    rows = await store.read(SQL["rows_of_event"], **asked)
    if not rows:
        rows = await store.read(SQL["rows_of_quarantined_event"], **asked)
    if not rows:
        return None
    row = rows[0]
    place = {"organization_id": organization_id, "node": row["node"], "seq": row["seq"]}
    halves = await store.read(SQL["personal_of_event"], **place)
    half = halves[0] if halves else {"kept": "", "expiring": "", "expiring_hash": ""}
    return Found(
        event=_item(row),
        leaf=row["line"].encode(),
        rows=len(rows),
        is_quarantined=bool(row["is_quarantined"]),
        kept=half["kept"].encode(),
        expiring=half["expiring"].encode(),
        expiring_hash=half["expiring_hash"],
        proof=await prove(store, organization_id, row["node"], row["seq"]),
    )


async def prove(store: Store, organization_id: str, node: str, seq: int) -> Proof | None:
    """Return the proof of one row's leaf, None while its range is not completely loaded. Raises StoreError."""
    lines = await store.read(SQL["seal_of_row"], organization_id=organization_id, node=node, seq=seq)
    if not lines:
        return None
    seal = read_seal(lines[0]["line"].encode())
    below = await store.read(
        SQL["leaves_of_seal"],
        organization_id=organization_id,
        node=node,
        first_seq=seal.first_seq,
        last_seq=seal.last_seq,
    )
    seqs = [row["seq"] for row in below]
    hashes = [bytes.fromhex(row["leaf_hash"]) for row in below]
    opening = seal.organizations[organization_id]
    if seq not in seqs or root(hashes).hex() != opening.root:
        raise StoreError(f"The leaves of {node} {seal.first_seq}-{seal.last_seq} are not those of its seal.")
    index = seqs.index(seq)
    return Proof(
        view=seal.view(organization_id),
        index=index,
        leaves=opening.leaves,
        root=bytes.fromhex(opening.root),
        path=inclusion_proof(hashes, index),
    )


class Day(msgspec.Struct):
    """What happened on one day of the organization's time zone: each event once."""

    clicks: int = 0
    sessions: int = 0
    pageviews: int = 0
    conversions: int = 0
    refunds: int = 0
    identifies: int = 0
    revenue_cents: dict[str, int] = {}  # by currency
    refunded_cents: dict[str, int] = {}


@dataclass(slots=True)
class Summary:
    """Counts of a time span. `received = stored + quarantined`; `duplicates` of `stored` are rows of an event again."""

    received: int = 0
    stored: int = 0
    duplicates: int = 0
    quarantined: int = 0
    quarantined_by_reason: dict[str, int] = field(default_factory=dict)
    total: Day = field(default_factory=Day)
    days: dict[str, Day] = field(default_factory=dict)  # by date, only those with events


_PLURALS = {"click": "clicks", "session": "sessions", "pageview": "pageviews", "refund": "refunds",
            "identify": "identifies"}  # fmt: skip


async def summary(store: Store, organization_id: str, horizon: int, time_zone: str, filters: Filters = ANY) -> Summary:
    """Return counts and amounts of a time span by day of a time zone (an IANA name). Raises StoreError."""
    asked = {"organization_id": organization_id, "horizon": horizon, "time_zone": time_zone, **filters.subject()}
    result = Summary()
    for row in await store.read(SQL["count_events"], **asked):
        result.stored += row["stored"]
        result.duplicates += row["duplicates"]
        for counts in (result.total, result.days.setdefault(row["day"], Day())):
            _add(counts, row)
    for row in await store.read(SQL["count_orders"], **asked):
        for counts in (result.total, result.days.setdefault(row["day"], Day())):
            counts.conversions += row["conversions"]
            _add_amount(counts.revenue_cents, row["currency"], row["revenue_cents"])
    reasons: Counter[str] = Counter()
    for row in await store.read(SQL["count_quarantined"], **asked):
        reasons[row["quarantine_reason"]] += row["quarantined"]
    result.quarantined_by_reason = dict(sorted(reasons.items()))
    result.quarantined = reasons.total()
    result.received = result.stored + result.quarantined
    return result


def _add(counts: Day, row: Row) -> None:
    plural = _PLURALS.get(row["event_type"])
    if plural is not None:
        setattr(counts, plural, getattr(counts, plural) + row["events"])
    _add_amount(counts.refunded_cents, row["currency"], row["refunded_cents"])


def _add_amount(amounts: dict[str, int], currency: str, cents: int) -> None:
    if cents:
        amounts[currency] = amounts.get(currency, 0) + int(cents)
