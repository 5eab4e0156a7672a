"""The books the catalog keeps by itself: paths, removals, revisions, salts, loads, answers, and the audit log."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, Integer
from sqlalchemy.orm import Mapped, mapped_column

from stackfluence.catalog.tables import Base

_COUNTER = BigInteger().with_variant(Integer, "sqlite")  # only an INTEGER primary key counts by itself there


class LinkPath(Base):
    """Where a link answers: one row for each handle of its creator, kept by `paths.py`, never written elsewhere.

    Its primary key is what makes links unique per (host, creator, campaign, asset), old handles included.
    """

    __tablename__ = "link_paths"
    __table_args__ = ({"sqlite_with_rowid": False},)  # the table is its primary key's index: half the size

    host: Mapped[str] = mapped_column(primary_key=True)
    creator_handle: Mapped[str] = mapped_column(primary_key=True)
    campaign_slug: Mapped[str] = mapped_column(primary_key=True)
    asset_slug: Mapped[str] = mapped_column(primary_key=True)
    link_id: Mapped[str] = mapped_column(ForeignKey("links.id"), index=True)


class EdgeRemoval(Base):
    """Tells edges what is gone. `key` is the snapshot's; a link's has `/` for NUL, which PostgreSQL can't store."""

    __tablename__ = "edge_removals"

    id: Mapped[int] = mapped_column(_COUNTER, primary_key=True)
    space: Mapped[str]
    key: Mapped[str]
    revision: Mapped[int] = mapped_column(index=True)


class VisitorSalt(Base):
    """What visitor hashes of one UTC day, YYYY-MM-DD, are salted with: 32 random bytes, deleted 48 h after it."""

    __tablename__ = "visitor_salts"
    EDGE_COLUMNS = frozenset({"salt"})

    day: Mapped[str] = mapped_column(primary_key=True)
    salt: Mapped[bytes]
    revision: Mapped[int] = mapped_column(index=True)


class Load(Base):
    """A load into the event store, by the loader `holder`. Numbers rise in the order in which they are taken."""

    __tablename__ = "loads"
    __table_args__ = (
        CheckConstraint("state in ('taken', 'done', 'abandoned')", "state"),
        Index(None, "state", "load_number"),
    )

    load_number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    holder: Mapped[str]
    state: Mapped[str]
    taken_at: Mapped[int]
    finished_at: Mapped[int | None]


class Derivation(Base):
    """A derivation run's number, and the load up to which it reads: a later run never reads less.

    Its organization need not be in the catalog: a replayed event store has more than that.
    """

    __tablename__ = "derivations"

    run_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    organization_id: Mapped[str]
    as_of: Mapped[int]
    taken_at: Mapped[int]


class IdempotencyKey(Base):
    """The answer a request got, kept for ever under the key its sender chose; a repetition gets it again."""

    __tablename__ = "idempotency_keys"

    organization_id: Mapped[str] = mapped_column(ForeignKey("organizations.id"), primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    request_hash: Mapped[str]
    status: Mapped[int]
    body: Mapped[bytes]
    created_at: Mapped[int]


class AuditEntry(Base):
    """One change of one row: who, when, what, from what to what. Triggers refuse to change or delete it.

    `before` is empty for a creation and `after` for a deletion; a change names only the columns that differ.
    """

    __tablename__ = "audit_log"
    __table_args__ = (Index(None, "organization_id", "id"), Index(None, "subject_id"))

    id: Mapped[int] = mapped_column(_COUNTER, primary_key=True)
    organization_id: Mapped[str | None]
    at: Mapped[int]
    actor: Mapped[str]
    action: Mapped[str]
    subject_type: Mapped[str]
    subject_id: Mapped[str]
    before: Mapped[dict[str, Any] | None]
    after: Mapped[dict[str, Any] | None]


class CatalogLineage(Base):
    """A random token for every writing transaction: an edge that saw another one at a revision saw another history."""

    __tablename__ = "catalog_lineage"

    revision: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    token: Mapped[str]


class CatalogRevision(Base):
    """One row: the number of the last writing transaction. Its row lock makes commit order revision order."""

    __tablename__ = "catalog_revision"
    __table_args__ = (CheckConstraint("id = 1", "one_row"),)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    revision: Mapped[int]
