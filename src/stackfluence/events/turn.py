"""One turn of the loader: a range of one node's lines, from its segments into the store, as named steps.

Each step may be the last before the power fails: the turn is then repeated from the start, and what it did already is
found and not done again. Nothing is inserted that is in the store, by (node, seq), for ever; a seal in the store means
that its range is complete.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from stackfluence.errors import JournalDiverged, SchemaTooNew, StoreError
from stackfluence.events.seal import HASH_BYTES, Opening, Seal, root_of
from stackfluence.events.seal_book import SealBook
from stackfluence.events.segments import Unreadable, archive, blank_personal, find_unreadable, first_seq, seq_of
from stackfluence.events.staging import SQL as STAGE
from stackfluence.events.staging import stage_lines
from stackfluence.events.statements import Statement, read_statements
from stackfluence.events.store import Session, StatementFailed

SQL = {**STAGE, **read_statements(Path(__file__).with_name("load.sql"))}
RETENTION_DAYS = 90

# what ClickHouse says of values, not of itself: parse and conversion errors, and too many partitions for one insert
_ROW_ERRORS = {6, 26, 27, 38, 41, 53, 69, 70, 72, 117, 131, 252, 321, 349, 376, 407, 467}
_TOO_MANY_PARTS = 252
_UNREADABLE_AT_ONCE = 200  # parameters travel in the address of a request


class LoadNumbers(Protocol):
    """Who counts loads; the catalog, for all loaders together. One load is under way at a time."""

    def take(self, minimum: int) -> int | None:
        """Return a number never given before, at least `minimum`; None while another loader loads."""

    def finish(self, number: int) -> None:
        """All rows of the load are in the store: readers may go up to it. Again is harmless."""

    def horizon(self) -> int:
        """Return the last finished number, up to which readers may read; 0 before the first."""


class AnotherLoads(StoreError):
    """Another loader is at work."""


@dataclass(slots=True)
class Turn:
    """What is to be loaded and what is known of it so far."""

    book: SealBook
    node: str
    segments: list[Path]
    next_segment: Path | None = None
    pending: Seal | None = None  # made in an earlier attempt, not in the store yet
    is_again: bool = False  # these lines were sealed before: a copy, or an archive put back
    first_seq: int = 0
    last_seq: int = 0
    first_received_ms: int = 0
    quarantined: int = 0
    orders: int = 0
    unreadable: list[Unreadable] = field(default_factory=list)
    present: int = 0  # lines of the range that the store had before
    is_known: bool = False  # and these were all
    load_number: int = 0
    stored: int = 0  # rows in `events` afterwards

    @property
    def lines(self) -> int:
        """The number of lines of the range, unreadable ones included."""
        return self.last_seq - self.first_seq + 1


@dataclass(slots=True)
class Desk:
    """What a turn works with."""

    session: Session
    numbers: LoadNumbers
    is_embedded: bool
    retention_days: int
    highest_number: int  # that any row in the store carries

    def insert(self, turn: Turn, statement: Statement, low: int, high: int) -> None:
        """Insert the turn's lines from `low` to `high`; a line that the store refuses is quarantined instead."""
        parameters: dict[str, int] = {"low": low, "high": high}
        if statement.name == "load_personal":
            parameters["retention_seconds"] = self.retention_days * 86_400
        else:
            parameters["load_number"] = turn.load_number
        try:
            self.session.run(statement, node=turn.node, **parameters)
            return
        except StatementFailed as error:
            if not _is_about_rows(error):
                raise
        find_present(self, turn)  # an insert of several parts may have left some
        if low == high:
            _quarantine_refused(self, turn, low)
            return
        middle = (low + high) // 2
        self.insert(turn, statement, low, middle)
        self.insert(turn, statement, middle + 1, high)


Step = Callable[[Desk, Turn], None]


def stage(desk: Desk, turn: Turn) -> None:
    """Read the segments into the store's memory and take their lines apart."""
    with ExitStack() as opened:
        segments = [(path.name, opened.enter_context(path.open("rb"))) for path in turn.segments]
        stage_lines(desk.session, turn.node, segments, is_embedded=desk.is_embedded)


def inspect(desk: Desk, turn: Turn) -> None:
    """See that the numbers run on without a gap, and find what can't be read."""
    held = {row["file"]: row for row in desk.session.rows(SQL["staged_segments"])}
    if any(row["too_new"] for row in held.values()):
        raise SchemaTooNew(f"{turn.segments[0]} and what follows.")
    turn.first_seq = expected = first_seq(turn.segments[0])
    received: list[int] = []
    for path, following in zip(turn.segments, [*turn.segments[1:], turn.next_segment], strict=True):
        begins = first_seq(path)
        if begins != expected:
            raise JournalDiverged(f"{path} begins at {begins}, not at {expected}.")
        row = held.get(path.name)
        if row is None or not row["lines"]:
            continue  # an empty file
        last = row["last_seq"]
        is_whole = row["lines"] == row["good"] == row["distinct_seqs"] == last - begins + 1
        if not is_whole or row["first_seq"] != begins:
            good = {seq["seq"] for seq in desk.session.rows(SQL["staged_seqs"], file=path.name)}
            if len(good) != row["good"] or min(good, default=begins) < begins:
                raise JournalDiverged(f"{path} has numbers twice, or such from before {begins}.")
            last, unreadable = find_unreadable(path, good, None if following is None else first_seq(following))
            turn.unreadable += unreadable
        turn.quarantined += row["quarantined"]
        turn.orders += row["orders"]
        if row["good"]:
            received.append(row["first_received_ms"])
        expected = last + 1
    turn.last_seq = expected - 1
    turn.first_received_ms = min(received, default=0)


def compare(desk: Desk, turn: Turn) -> None:
    """See which lines the store has; another content under the same number stops the directory."""
    find_present(desk, turn)
    if not turn.present:
        return
    diverged = [row["seq"] for row in desk.session.rows(SQL["find_diverged"])]
    if diverged:
        raise JournalDiverged(f"{turn.segments[0].parent}: lines {diverged} differ from those in the store.")
    turn.is_known = turn.present >= turn.lines and not desk.session.row(SQL["find_absent"])["absent"]


def find_present(desk: Desk, turn: Turn) -> None:
    """Note, in the session, which lines of the range the store has."""
    known = _count_known(desk, turn)
    turn.present = known["events"] + known["quarantined"]
    if any(known.values()):
        desk.session.run(SQL["find_present"], node=turn.node, first_seq=turn.first_seq, last_seq=turn.last_seq)


def _count_known(desk: Desk, turn: Turn) -> dict[str, int]:
    rows = desk.session.rows(SQL["count_known"], node=turn.node, first_seq=turn.first_seq, last_seq=turn.last_seq)
    return {row["kind"]: row["many"] for row in rows}


def seal(desk: Desk, turn: Turn) -> None:
    """Commit to the leaves: the seal is on disk before anything is inserted, and always the same."""
    if turn.pending and (turn.pending.first_seq, turn.pending.last_seq) != (turn.first_seq, turn.last_seq):
        turn.pending, turn.is_again = None, True  # not what was sealed: some of an archive, put back
    if turn.is_again and turn.is_known:
        return
    hashes = b"".join(desk.session.stream(SQL["staged_hashes"], "RowBinary"))
    organizations, at = {}, 0
    for row in desk.session.rows(SQL["staged_organizations"]):
        end = at + HASH_BYTES * row["leaves"]
        organizations[row["organization_id"]] = Opening(row["leaves"], root_of(hashes[at:end]).hex())
        at = end
    previous = turn.pending.previous if turn.pending else turn.book.last.seal_hash if turn.book.last else ""
    made = Seal(
        node=turn.node,
        first_seq=turn.first_seq,
        last_seq=turn.last_seq,
        previous=previous,
        organizations=organizations,
    )
    if turn.pending is None:
        turn.book.append(made)
        turn.pending = made
    elif made.seal_hash != turn.pending.seal_hash:
        raise JournalDiverged(f"{turn.segments[0].parent}: the segments changed after seal {turn.pending.seal_hash}.")


def take_number(desk: Desk, turn: Turn) -> None:
    """Take a load number above all that are in the store; an interrupted turn takes another."""
    number = desk.numbers.take(desk.highest_number + 1)
    if number is None:
        raise AnotherLoads
    turn.load_number = desk.highest_number = number


def keep_erased(desk: Desk, turn: Turn) -> None:
    """See to it that what was erased doesn't come back, and is gone from the segments, too."""
    if not desk.session.row(SQL["count_erasures"], first_received_ms=turn.first_received_ms)["erasures"]:
        return
    desk.session.run(SQL["find_erased"], first_received_ms=turn.first_received_ms)
    erased = {row["seq"] for row in desk.session.rows(SQL["erased_seqs"])}
    if erased:
        for path in turn.segments:
            blank_personal(path, lambda leaf, _kept: seq_of(leaf) in erased)


def load_personal(desk: Desk, turn: Turn) -> None:
    """Insert the personal halves; first, so that an event in the store always has them."""
    if not turn.is_known:
        desk.insert(turn, SQL["load_personal"], turn.first_seq, turn.last_seq)


def load_quarantined(desk: Desk, turn: Turn) -> None:
    """Insert what can't be used or read."""
    if turn.is_known:
        return
    if turn.quarantined:
        desk.insert(turn, SQL["load_quarantined"], turn.first_seq, turn.last_seq)
    if turn.unreadable:
        load_unreadable(desk, turn, turn.unreadable)


def load_unreadable(desk: Desk, turn: Turn, unreadable: Sequence[Unreadable]) -> None:
    """Insert the places of lines that can't be read."""
    for start in range(0, len(unreadable), _UNREADABLE_AT_ONCE):
        some = unreadable[start : start + _UNREADABLE_AT_ONCE]
        desk.session.run(
            SQL["load_unreadable"],
            load_number=turn.load_number,
            node=turn.node,
            organizations=[line.organization_id for line in some],
            seqs=[line.seq for line in some],
            leaf_hashes=[line.leaf_hash for line in some],
            bytes_hashes=[line.bytes_hash for line in some],
            lengths=[line.length for line in some],
        )


def load_events(desk: Desk, turn: Turn) -> None:
    """Insert the events."""
    if turn.is_known:
        return
    if turn.orders < turn.lines:
        desk.insert(turn, SQL["load_traffic"], turn.first_seq, turn.last_seq)
    if turn.orders:
        desk.insert(turn, SQL["load_orders"], turn.first_seq, turn.last_seq)


def verify(desk: Desk, turn: Turn) -> None:
    """Count: an insert that reports success and stores nothing has been seen."""
    stored = _count_known(desk, turn)
    turn.stored = stored["events"]
    if turn.stored + stored["quarantined"] != turn.lines:
        raise StoreError(
            f"{turn.node} {turn.first_seq}-{turn.last_seq}: of {turn.lines} lines, {turn.stored} events and "
            f"{stored['quarantined']} quarantined are in the store."
        )


def load_seal(desk: Desk, turn: Turn) -> None:
    """Insert the seal: the range is complete."""
    if turn.pending is None:
        return
    desk.session.run(
        SQL["load_seal"],
        load_number=turn.load_number,
        node=turn.node,
        first_seq=turn.first_seq,
        last_seq=turn.last_seq,
        seal_hash=turn.pending.seal_hash,
        previous=turn.pending.previous,
        organizations=sorted(turn.pending.organizations),
        line=turn.pending.line().decode(),
    )


def finish_number(desk: Desk, turn: Turn) -> None:
    """Let readers see the load."""
    desk.numbers.finish(turn.load_number)


def put_away(desk: Desk, turn: Turn) -> None:
    """Move the segments to the archive."""
    desk.session.run(SQL["forget_lines"])
    archive(turn.segments)


STEPS: tuple[Step, ...] = (
    stage,
    inspect,
    compare,
    seal,
    take_number,
    keep_erased,
    load_personal,
    load_quarantined,
    load_events,
    verify,
    load_seal,
    finish_number,
    put_away,
)


def _is_about_rows(error: StatementFailed) -> bool:
    return error.code in _ROW_ERRORS and (error.code != _TOO_MANY_PARTS or "partitions" in error.message)


def _quarantine_refused(desk: Desk, turn: Turn, seq: int) -> None:
    """A single line that the store refuses: its leaf is sealed, its place is kept."""
    for row in desk.session.rows(SQL["staged_line"], seq=seq):
        refused = Unreadable(seq, row["bytes_hash"], row["size"], row["organization_id"], row["leaf_hash"])
        load_unreadable(desk, turn, [refused])
