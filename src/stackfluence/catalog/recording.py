"""What happens to every row on its way into the catalog: an id, a time, a revision, an entry in the audit log.

It hangs on the session's flush, so that no function that changes a row can forget it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import event, insert, inspect, select
from sqlalchemy.orm import Session

from stackfluence.catalog import paths
from stackfluence.catalog.books import AuditEntry, EdgeRemoval, VisitorSalt
from stackfluence.catalog.tables import Base, Campaign, Creator, CreatorAlias, Host, Link
from stackfluence.errors import Invalid
from stackfluence.names import LINK_BYTES, ORGANIZATION_BYTES, new_id
from stackfluence.snapshot import HOST, SALT

_BATCH = 1000
_NOT_AUDITED = frozenset({"revision", "created_at", "updated_at"})  # the entry's own `at` says the same
_COLUMNS = {
    mapper.class_: tuple(attribute.key for attribute in mapper.column_attrs) for mapper in Base.registry.mappers
}
_PATH_COLUMNS = {
    Link: frozenset({"host", "creator_id", "campaign_id", "asset_slug"}),
    Creator: frozenset({"handle"}),
    Campaign: frozenset({"slug"}),
}


@dataclass(frozen=True, slots=True)
class Transaction:
    """Who writes, when (milliseconds since 1970 UTC), and the revision their changes get."""

    actor: str
    at_ms: int
    revision: int


class RecordingSession(Session):
    """A session whose `info["transaction"]` is a Transaction; each flush records as this module says."""


@event.listens_for(RecordingSession, "before_flush")
def _prepare(session: Session, _context: Any, _instances: Any) -> None:
    transaction: Transaction = session.info["transaction"]
    new = [row for row in session.new if isinstance(row, Base)]
    changed = {row: columns for row in session.dirty if isinstance(row, Base) and (columns := _changed(row))}
    _give_ids(session, new)
    for row in new:
        _stamp(row, transaction, created=True)
        if isinstance(row, CreatorAlias) and (creator := session.get(Creator, row.creator_id)):
            creator.revision = transaction.revision  # each of the creator's links has one more path
    for row, columns in changed.items():
        if columns.keys() & row.EDGE_COLUMNS:
            _stamp(row, transaction, created=False)
        if isinstance(row, Link):
            row.updated_at = transaction.at_ms
    _check_hosts(session, [*new, *(row for row, columns in changed.items() if "host" in columns)])
    removed = _removed(session.deleted, changed)
    if removed:
        session.connection().execute(
            insert(EdgeRemoval), [{**row, "revision": transaction.revision} for row in removed]
        )
    links = [row.id for row in session.deleted if isinstance(row, Link)]
    paths.forget(session.connection(), transaction.revision, links)


@event.listens_for(RecordingSession, "after_flush")
def _record(session: Session, _context: Any) -> None:
    transaction: Transaction = session.info["transaction"]
    entries: list[dict[str, Any]] = []
    changed: dict[type[Base], set[str]] = {Link: set(), Creator: set(), Campaign: set()}
    for row in session.new:
        entries += _entry(row, "created", transaction, None, _values(row))
        if isinstance(row, CreatorAlias):
            changed[Creator].add(row.creator_id)
    for row in session.dirty:
        columns = _changed(row)
        before = {key: old for key, (old, _) in columns.items()}
        after = {key: value for key, (_, value) in columns.items()}
        entries += _entry(row, "changed", transaction, before, after)
        if columns.keys() & _PATH_COLUMNS.get(type(row), frozenset()):
            changed[type(row)].add(row.id)
    for row in session.deleted:
        entries += _entry(row, "deleted", transaction, _values(row), None)
    if entries:
        session.connection().execute(insert(AuditEntry), entries)
    paths.follow(
        session.connection(),
        transaction.revision,
        added=[row.id for row in session.new if isinstance(row, Link)],
        changed=changed[Link],
        creators=changed[Creator],
        campaigns=changed[Campaign],
    )


def _stamp(row: Any, transaction: Transaction, *, created: bool) -> None:
    if row.EDGE_COLUMNS:
        row.revision = transaction.revision
    if created and "created_at" in _COLUMNS[type(row)] and row.created_at is None:
        row.created_at = transaction.at_ms
    if created and isinstance(row, Link):
        row.updated_at = transaction.at_ms


def _give_ids(session: Session, rows: list[Base]) -> None:
    """Give each row that has none a fresh id; 32 bits of an organization's can collide, so the table is asked."""
    by_class: dict[Any, list[Any]] = {}
    for row in rows:
        if row.ID_PREFIX and getattr(row, "id", None) is None:
            by_class.setdefault(type(row), []).append(row)
    for kind, nameless in by_class.items():
        size = ORGANIZATION_BYTES if kind.ID_PREFIX == "org_" else LINK_BYTES
        while nameless:
            fresh = {new_id(kind.ID_PREFIX, size) for _ in nameless[:_BATCH]}
            known = session.connection().execute(select(kind.id).where(kind.id.in_(fresh))).scalars()
            fresh -= set(known)
            for row, identifier in zip(nameless, fresh, strict=False):
                row.id = identifier
            nameless = nameless[len(fresh) :]


def _check_hosts(session: Session, rows: Iterable[Base]) -> None:
    """Refuse a link on a host that isn't its organization's own; the empty host is everybody's."""
    wanted = {(row.organization_id, row.host) for row in rows if isinstance(row, Link) and row.host}
    for organization_id, host in wanted:
        owner = session.connection().execute(select(Host.organization_id).where(Host.hostname == host)).scalar()
        if owner != organization_id:
            raise Invalid(f"host: {host!r} is not one of the organization's hosts.", field="host")


def _removed(deleted: Iterable[Any], changed: dict[Base, dict[str, tuple[Any, Any]]]) -> list[dict[str, str]]:
    keys = [(HOST, row.hostname) for row in deleted if isinstance(row, Host)]
    keys += [(SALT, row.day) for row in deleted if isinstance(row, VisitorSalt)]
    keys += [
        (HOST, columns["hostname"][0])
        for row, columns in changed.items()
        if isinstance(row, Host) and "hostname" in columns
    ]
    return [{"space": space, "key": key} for space, key in keys]


def _entry(
    row: Any, verb: str, transaction: Transaction, before: dict[str, Any] | None, after: dict[str, Any] | None
) -> list[dict[str, Any]]:
    if not row.AUDITED_AS:
        return []
    hidden = _NOT_AUDITED | row.SECRET_COLUMNS
    told = [
        None if values is None else {k: v for k, v in values.items() if k not in hidden} for values in (before, after)
    ]
    if not any(told):
        return []
    return [
        {
            "organization_id": row.organization_id,
            "at": transaction.at_ms,
            "actor": transaction.actor,
            "action": f"{row.AUDITED_AS}.{verb}",
            "subject_type": row.AUDITED_AS,
            "subject_id": row.creator_id if isinstance(row, CreatorAlias) else row.id,
            "before": told[0],
            "after": told[1],
        }
    ]


def _values(row: Any) -> dict[str, Any]:
    """Return a row's columns, those that are empty left out."""
    return {key: value for key in _COLUMNS[type(row)] if (value := getattr(row, key)) or type(value) is int}


def _changed(row: Any) -> dict[str, tuple[Any, Any]]:
    """Return column → (before, after) of those that differ."""
    attributes = inspect(row).attrs
    found = {}
    for key in _COLUMNS[type(row)]:
        history = attributes[key].history
        if history.has_changes():
            before = history.deleted[0] if history.deleted else None
            if before != getattr(row, key):
                found[key] = (before, getattr(row, key))
    return found
