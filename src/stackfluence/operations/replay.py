"""Rebuild an event store from exported raw events: the inverse of `export events` and `export seals`.

Each line's leaf goes through the loader's own statements, so a replayed store answers as the one it came from. Lines
may come in any order and more than once; another content under the same (node, seq) stops the replay. A seal whose
leaves are all here is checked against them; one of which every organization's part is given is stored, and proves
again.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from stackfluence.catalog import CatalogNumbers
from stackfluence.errors import JournalDiverged, OperationRefused, SchemaTooNew
from stackfluence.events import turn as turns
from stackfluence.events.event import NOTHING, half_hash, read_leaf
from stackfluence.events.seal import Opening, Seal, check_view, hash_public, root
from stackfluence.events.seal_book import SealBook
from stackfluence.events.segment_file import sync_directory
from stackfluence.events.staging import memory, stage_lines
from stackfluence.events.statements import read_statements
from stackfluence.events.store import LOADER_SETTINGS, Session
from stackfluence.events.turn import RETENTION_DAYS, Desk, Turn
from stackfluence.names import new_id
from stackfluence.operations.site import Site, Tell, open_site, told
from stackfluence.processes import UNFINISHED
from stackfluence.settings import read_settings

SQL = read_statements(Path(__file__).with_name("replay.sql"))
BATCH_LINES = 20_000
BATCH_BYTES = 24 << 20


class _Exported(msgspec.Struct):
    """A line of an export: an event's, or a seal's."""

    leaf: str = ""
    kept: str = ""
    expiring: str = ""
    expiring_hash: str = ""
    seal: dict[str, Any] | None = None
    seal_hash: str = ""
    own: dict[str, Any] | None = None


@dataclass(slots=True)
class _Given:
    """What was read: seals by hash with whatever organizations' parts are opened, and lines that came again."""

    publics: dict[str, dict[str, Any]] = field(default_factory=dict)
    openings: dict[str, dict[str, Opening]] = field(default_factory=dict)
    repeated: int = 0


def replay(files: list[Path], tell: Tell) -> dict[str, Any]:
    """Rebuild the store in the empty data directory of the environment, and return counts.

    Raises OperationRefused for a directory that isn't empty and a line that can't be what was exported, JournalDiverged
    for leaves that contradict each other or their seal, StoreError, OSError. After an error the directory is of no use.
    """
    settings = read_settings()
    missing = [str(path) for path in files if not path.is_file()]
    if missing:
        raise OperationRefused(f"There is no file {missing[0]}.")
    data_path = settings.data_path
    if data_path.exists() and any(data_path.iterdir()):
        raise OperationRefused(f"{data_path} is not empty; events are replayed into an empty data directory.")
    data_path.mkdir(mode=0o700, parents=True, exist_ok=True)

    async def rebuild() -> dict[str, Any]:
        async with open_site(settings) as site:
            numbers = CatalogNumbers(site.catalog, asyncio.get_running_loop(), new_id("ldr_"), is_sole=True)
            os.close(os.open(data_path / UNFINISHED, os.O_WRONLY | os.O_CREAT, 0o600))
            return await asyncio.to_thread(_rebuild, site, numbers, files, tell)

    result = asyncio.run(rebuild())
    (data_path / UNFINISHED).unlink()
    sync_directory(data_path)
    return result


def _rebuild(site: Site, numbers: turns.LoadNumbers, files: list[Path], tell: Tell) -> dict[str, Any]:
    session = site.store.open_session(LOADER_SETTINGS)
    try:
        if sum(session.row(SQL["count_all"]).values()):
            raise OperationRefused("The event store is not empty; events are replayed into a new one.")
        desk = Desk(session, numbers, site.store.is_embedded, RETENTION_DAYS, 0)
        given = _Given()
        for node, lines in _batches(files, given, tell):
            _load(desk, SealBook(site.journals / "replay"), node, lines, given)
        counts = session.row(SQL["count_all"])
        judged = _judge(desk, given, tell)
    finally:
        session.close()
    lines_sealed = judged.pop("lines")
    unsealed = max(0, counts["events"] + counts["quarantined"] - lines_sealed)
    return {**counts, "repeated": given.repeated, **judged, "unsealed": unsealed}


def _batches(files: list[Path], given: _Given, tell: Tell) -> Iterator[tuple[str, dict[int, bytes]]]:
    """Yield journal lines by node and seq, some thousand at a time, and note the seals in passing."""
    decode = msgspec.json.Decoder(_Exported).decode
    batches: dict[str, dict[int, bytes]] = {}
    sizes: dict[str, int] = {}
    total, done = sum(path.stat().st_size for path in files), 0
    for path in files:
        with path.open("rb") as file:
            for number, text in enumerate(file, 1):
                done += len(text)
                try:
                    exported = decode(text)
                    if exported.seal is not None:
                        _note_seal(given, exported)
                        continue
                    node, seq, line = _line(exported)
                except (msgspec.MsgspecError, KeyError, ValueError, TypeError) as error:
                    raise OperationRefused(f"{path.name}, line {number}: {error}.") from None
                batch = batches.setdefault(node, {})
                if seq in batch:
                    _refuse_other(batch[seq], line, node, seq)
                    given.repeated += 1
                batch[seq] = line
                sizes[node] = sizes.get(node, 0) + len(line)
                if len(batch) >= BATCH_LINES or sizes[node] >= BATCH_BYTES:
                    tell(told("events", done, total))
                    yield node, batch
                    batches[node], sizes[node] = {}, 0
    yield from ((node, batch) for node, batch in batches.items() if batch)


def _line(exported: _Exported) -> tuple[str, int, bytes]:
    """Return an exported event as node, seq and the journal line it came from; raises ValueError."""
    leaf, kept, expiring = exported.leaf.encode(), exported.kept.encode(), exported.expiring.encode()
    fields = read_leaf(leaf)
    if b"\t" in leaf + kept + expiring or b"\n" in leaf + kept + expiring:
        raise ValueError("a tab or line feed outside of JSON")
    if kept or expiring:
        rest = half_hash(expiring) if expiring else bytes.fromhex(exported.expiring_hash) or NOTHING
        committed = _hash_halves(half_hash(kept), rest)
        if committed != fields.get("personal_commitment", ""):
            raise ValueError("the personal part is not the one that the event committed to")
    content = b"\t".join((leaf, kept, expiring))
    return str(fields["node"]), int(fields["seq"]), b"%08x\t%b\n" % (zlib.crc32(content), content)


def _hash_halves(kept_hash: bytes, expiring_hash: bytes) -> str:
    """Return the commitment to two halves, of which one may be known by its hash alone, hex."""
    return hashlib.sha256(kept_hash + expiring_hash).hexdigest()


def _refuse_other(before: bytes, line: bytes, node: str, seq: int) -> None:
    if before.split(b"\t")[1] != line.split(b"\t")[1]:
        raise JournalDiverged(f"Line {seq} of {node} is given with two contents.")


def _note_seal(given: _Given, exported: _Exported) -> None:
    view = {"seal": exported.seal, "seal_hash": exported.seal_hash, "own": exported.own}
    if exported.seal is None or not check_view(view):
        raise ValueError("the seal was changed")
    given.publics[exported.seal_hash] = exported.seal
    if exported.own is not None:
        opening = Opening(exported.own["leaves"], exported.own["root"])
        given.openings.setdefault(exported.seal_hash, {})[exported.own["organization_id"]] = opening


def _load(desk: Desk, book: SealBook, node: str, lines: dict[int, bytes], given: _Given) -> None:
    """Load some lines of a node with the loader's statements; those that are in the store already are left."""
    ordered = [lines[seq] for seq in sorted(lines)]
    with memory() as file:
        file.writelines(ordered)
        file.flush()
        stage_lines(desk.session, node, [("replay", file)], is_embedded=desk.is_embedded)
    staged = desk.session.row(turns.SQL["staged_segments"])
    if staged["too_new"]:
        raise SchemaTooNew(f"Lines of {node}.")
    if staged["good"] != len(lines):
        raise OperationRefused(f"{len(lines) - staged['good']} lines of {node} are no events.")
    turn = Turn(book, node, [])
    turn.first_seq, turn.last_seq = min(lines), max(lines)
    turn.first_received_ms = staged["first_received_ms"]
    turn.quarantined, turn.orders = staged["quarantined"], staged["orders"]
    turns.find_present(desk, turn)
    if desk.session.rows(turns.SQL["find_diverged"]):
        raise JournalDiverged(f"Lines of {node} between {turn.first_seq} and {turn.last_seq} have two contents.")
    given.repeated += len(lines) - desk.session.row(turns.SQL["find_absent"])["absent"]
    turns.take_number(desk, turn)
    for step in (turns.keep_erased, turns.load_personal, turns.load_quarantined, turns.load_events):
        step(desk, turn)
    turns.find_present(desk, turn)
    absent = desk.session.row(turns.SQL["find_absent"])["absent"]
    if absent:
        raise OperationRefused(f"The event store didn't take {absent} lines of {node}.")
    turns.finish_number(desk, turn)
    desk.session.run(turns.SQL["forget_lines"])


def _judge(desk: Desk, given: _Given, tell: Tell) -> dict[str, int]:
    """Check the seals against the leaves, store those that are opened completely, and count.

    `proven` seals agree with all leaves of the organizations that are given, `partial` ones cover leaves that are not
    here; `lines` are those under either.
    """
    result = {"proven": 0, "partial": 0, "lines": 0}
    number = desk.highest_number
    for place, (seal_hash, public) in enumerate(given.publics.items()):
        if place % 100 == 0:
            tell(told("seals", place, len(given.publics)))
        openings = given.openings.get(seal_hash, {})
        found = {name: _hashes(desk.session, name, public) for name in openings}
        result["lines"] += sum(len(hashes) for hashes in found.values())
        for name, hashes in found.items():
            if len(hashes) == openings[name].leaves and root(hashes).hex() != openings[name].root:
                raise JournalDiverged(f"The events of {name} are not those of seal {seal_hash}: something was changed.")
            if len(hashes) > openings[name].leaves:
                raise JournalDiverged(f"{name} has more events than seal {seal_hash} covers.")
        is_whole = all(len(found[name]) == opening.leaves for name, opening in openings.items())
        result["proven" if is_whole else "partial"] += 1
        seal = Seal(
            node=public["node"],
            first_seq=public["first_seq"],
            last_seq=public["last_seq"],
            previous=public["previous"],
            organizations=openings,
        )
        if is_whole and hash_public(seal.public()) == seal_hash:
            _store_seal(desk, seal, number)
    return result


def _hashes(session: Session, organization_id: str, public: dict[str, Any]) -> list[bytes]:
    rows: Iterable[dict[str, Any]] = session.rows(
        SQL["leaf_hashes"],
        organization_id=organization_id,
        node=public["node"],
        first_seq=public["first_seq"],
        last_seq=public["last_seq"],
    )
    return [bytes.fromhex(row["leaf_hash"]) for row in rows]


def _store_seal(desk: Desk, seal: Seal, number: int) -> None:
    desk.session.run(
        turns.SQL["load_seal"],
        load_number=number,
        node=seal.node,
        first_seq=seal.first_seq,
        last_seq=seal.last_seq,
        seal_hash=seal.seal_hash,
        previous=seal.previous,
        organizations=sorted(seal.organizations),
        line=seal.line().decode(),
    )
