"""The snapshot: every link, key, host and salt an edge needs, in memory, and on its disk for when the catalog is away.

Links are kept as packed bytes (one million take about 400 MB) and unpacked when they are clicked.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Iterable
from datetime import date
from pathlib import Path
from urllib.parse import unquote_to_bytes

import msgspec

from stackfluence import snapshot
from stackfluence.click.click_id import ClickIdKeys
from stackfluence.click.destination import Destination
from stackfluence.names import link_key
from stackfluence.snapshot import Connection, EdgeChunk, EdgeRow, Host, Key, Organization

MAX_REMEMBERED = 200_000  # request paths whose key is known, and links kept unpacked; about 100 MB when full
MAX_REMEMBERED_LENGTH = 400  # bytes of host and path: of one link there are endless spellings, however long
PREFIX = b"/c/"
log = logging.getLogger(__name__)
_EPOCH = date(1970, 1, 1).toordinal()
_SCHEMA = """
create table if not exists entries (
    space text not null, key blob not null, value blob not null, primary key (space, key)
) without rowid;
create table if not exists meta (name text primary key, value text not null) without rowid;
"""


class Snapshot:
    """What an edge knows. One event loop changes and reads it; `Copy` keeps it on disk."""

    def __init__(self, click_ids: ClickIdKeys) -> None:
        self.revision = 0
        self.lineage = ""  # the catalog's token of that revision
        self.taken_over = 0  # chunks of changes so far
        self.click_ids = click_ids
        self.links: dict[bytes, bytes] = {}
        self.keys: dict[bytes, Key] = {}
        self.organizations: dict[str, Organization] = {}
        self.hosts: dict[str, Host] = {}
        self.connections: dict[str, Connection] = {}
        self.salts: dict[int, bytes] = {}  # by day since 1970
        self.unusable = 0  # links whose destination can't be redirected to
        self.paths: dict[bytes, Destination] = {}  # by `path host`, as requested last
        self._ready: dict[bytes, Destination] = {}
        self._unnamed: dict[str, set[bytes]] | None = None  # while a full answer comes in: what it has not named yet

    def at(self, host: bytes, path: bytes) -> Destination | None:
        """Return the link that answers at a request's Host and raw path, remembering it for the next time."""
        asked = b"%b %b" % (path, host)  # a path has no blank
        ready = self.paths.get(asked)
        if ready is not None and not ready.is_stale:
            return ready
        key = self.key_of(host, path)
        ready = self.find(key) if key is not None else None
        if ready is not None and len(host) + len(path) <= MAX_REMEMBERED_LENGTH:
            if len(self.paths) >= MAX_REMEMBERED:
                self.paths.clear()
            self.paths[asked] = ready
        return ready

    def find(self, key: bytes) -> Destination | None:
        """Return the link under a key, ready to redirect to."""
        ready = self._ready.get(key)
        if ready is None:
            packed = self.links.get(key)
            if packed is None:
                return None
            try:
                link = snapshot.decode_link(packed)
                ready = Destination(link, self.click_ids.mint_for(link.organization_id, link.id))
            except ValueError:
                self.unusable += 1
                return None
            if len(self._ready) >= MAX_REMEMBERED:
                self._ready.clear()
                self.paths.clear()  # they would not hear of a change
            self._ready[key] = ready
        return ready

    def clear(self) -> None:
        """Forget everything."""
        for known in (self.links, self.keys, self.organizations, self.hosts, self.connections, self.salts):
            known.clear()
        self._ready.clear()
        self.paths.clear()
        self.revision, self.lineage = 0, ""

    def begin(self) -> None:
        """Begin an answer: what an earlier one left unfinished is asked for again."""
        self._unnamed = None

    def apply(self, chunk: EdgeChunk) -> None:
        """Take over some changes between `begin` and `finish`."""
        self.taken_over += 1
        if chunk.is_reset:
            self._unnamed = {space: set(self._keys_in(space)) for space in snapshot.SPACES}
        for row in chunk.rows:
            if self._unnamed is not None and row.space in self._unnamed:
                self._unnamed[row.space].discard(row.key)
            self.apply_one(row)

    def finish(self, revision: int, lineage: str = "") -> list[EdgeRow]:
        """End an answer, the snapshot now being at `revision`; returns what a full answer no longer named."""
        gone = [EdgeRow(space, key, None) for space, keys in (self._unnamed or {}).items() for key in keys]
        for row in gone:
            self.apply_one(row)
        self._unnamed = None
        self.taken_over += 1
        self.revision = revision
        self.lineage = lineage
        return gone

    def key_of(self, host: bytes, path: bytes) -> bytes | None:
        """Return the link key of a request's Host and raw path, None when the path can be no link's."""
        parts = path[len(PREFIX) :].rstrip(b"/").split(b"/")
        if not 2 <= len(parts) <= 3:
            return None
        try:
            creator, campaign, *asset = (unquote_to_bytes(part).decode() for part in parts)
        except UnicodeDecodeError:
            return None
        return link_key(self.host_of(host), creator, campaign, *asset)

    def host_of(self, host: bytes) -> str:
        """Return the name under which a Host header's links are kept, empty for the default host or an unknown one."""
        text = host.decode("latin-1").lower()
        name, _, port = text.rpartition(":")
        known = self.hosts.get((name if name and (port.isdigit() or not port) else text).rstrip("."))
        return "" if known is None or known.is_default else known.hostname

    def _keys_in(self, space: str) -> Iterable[bytes]:
        if space == snapshot.LINK:
            return self.links
        if space == snapshot.KEY:
            return self.keys
        if space == snapshot.SALT:
            return [date.fromordinal(_EPOCH + day).isoformat().encode() for day in self.salts]
        named: dict[str, Iterable[str]] = {
            snapshot.ORGANIZATION: self.organizations,
            snapshot.HOST: self.hosts,
            snapshot.CONNECTION: self.connections,
        }
        return [name.encode() for name in named[space]]

    def apply_one(self, row: EdgeRow) -> None:
        """Take over one change; a space that only newer versions know, as their cores tell of, means nothing here."""
        space, key, value = row
        if space == snapshot.LINK:
            outdated = self._ready.pop(key, None)
            if outdated is not None:
                outdated.is_stale = True
            if value is None:
                self.links.pop(key, None)
            else:
                self.links[key] = value
        elif space == snapshot.KEY:
            if value is None:
                self.keys.pop(key, None)
            else:
                self.keys[key] = snapshot.decode_key(value)
        elif space == snapshot.ORGANIZATION:
            if value is None:
                self.organizations.pop(key.decode(), None)
            else:
                self.organizations[key.decode()] = snapshot.decode_organization(value)
        elif space == snapshot.HOST:
            self.paths.clear()
            if value is None:
                self.hosts.pop(key.decode(), None)
            else:
                self.hosts[key.decode()] = snapshot.decode_host(value)
        elif space == snapshot.CONNECTION:
            if value is None:
                self.connections.pop(key.decode(), None)
            else:
                self.connections[key.decode()] = snapshot.decode_connection(value)
        elif space == snapshot.SALT and value is None:
            self.salts.pop(date.fromisoformat(key.decode()).toordinal() - _EPOCH, None)
        elif space == snapshot.SALT and value is not None:
            self.salts[date.fromisoformat(key.decode()).toordinal() - _EPOCH] = value


class Copy:
    """The snapshot on disk: an SQLite file of this edge alone, written from a thread, read once at the start."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._path = path
        self._lock = threading.Lock()
        self._unwritten: dict[tuple[str, bytes], EdgeRow] = {}  # what the disk refused, to be written with the next
        self._is_unfinished = False  # it refused to note the revision
        try:
            self._open()
        except sqlite3.DatabaseError as error:
            self._start_over(error)

    @property
    def is_behind(self) -> bool:
        """Whether the disk refused some changes."""
        return bool(self._unwritten) or self._is_unfinished

    def load_into(self, target: Snapshot) -> None:
        """Fill an empty snapshot; a copy that is damaged, or of another version of the records, is forgotten."""
        try:
            self._load_into(target)
        except (sqlite3.DatabaseError, msgspec.DecodeError) as error:
            self._start_over(error)
            target.clear()

    def _open(self) -> None:
        self._db = sqlite3.connect(self._path, check_same_thread=False, isolation_level=None)
        self._path.chmod(0o600)  # it holds salts
        self._db.executescript("pragma journal_mode = delete; pragma secure_delete = on; pragma synchronous = normal;")
        self._db.executescript(_SCHEMA)

    def _start_over(self, error: Exception) -> None:
        if isinstance(error, sqlite3.OperationalError):
            raise error  # locked, or the disk refuses: the file itself may be sound
        log.error("snapshot_damaged", extra={"path": str(self._path), "error": str(error)})
        self._db.close()
        self._path.unlink()
        self._path.with_name(self._path.name + "-journal").unlink(missing_ok=True)
        self._open()

    def _load_into(self, target: Snapshot) -> None:
        meta = dict(self._db.execute("select name, value from meta").fetchall())
        if meta.get("version") != str(snapshot.SNAPSHOT_VERSION):
            self._db.executescript("delete from entries; delete from meta;")
            return
        for space, key, value in self._db.execute("select space, key, value from entries"):
            target.apply_one(EdgeRow(space, key, value))
        target.finish(int(meta["revision"]), meta["lineage"])

    def write(self, rows: list[EdgeRow], revision: int | None, lineage: str = "") -> None:
        """Put changes on disk; `revision` ends an answer. Blocks: call it from a thread.

        Raises sqlite3.Error when the disk refuses; the changes are then written together with the next ones.
        """
        with self._lock:
            self._unwritten.update({(row.space, row.key): row for row in rows})
            try:
                self._write(list(self._unwritten.values()), revision, lineage)
            except sqlite3.Error:
                self._is_unfinished = self._is_unfinished or revision is not None
                if self._db.in_transaction:
                    self._db.execute("rollback")
                raise
            self._unwritten.clear()
            self._is_unfinished = self._is_unfinished and revision is None

    def _write(self, rows: list[EdgeRow], revision: int | None, lineage: str) -> None:
        self._db.execute("begin immediate")
        self._db.executemany(
            "delete from entries where space = ? and key = ?", [(r.space, r.key) for r in rows if r.value is None]
        )
        self._db.executemany(
            "insert or replace into entries values (?, ?, ?)", [r for r in rows if r.value is not None]
        )
        if revision is not None:
            values = [
                ("version", str(snapshot.SNAPSHOT_VERSION)),
                ("revision", str(revision)),
                ("lineage", lineage),
            ]
            self._db.executemany("insert or replace into meta values (?, ?)", values)
        self._db.execute("commit")

    def close(self) -> None:
        """Close the file, after what is being written."""
        with self._lock:
            self._db.close()
