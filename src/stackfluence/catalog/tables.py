"""What people edit, as mapped classes; what the catalog writes by itself is in `books.py`.

`migrations/` creates the same tables, and a test compares the two.

Times are integer milliseconds since 1970 UTC. Ids are text, `lnk_` and so on, made by `names.new_id`. A class with
`revision` is seen by edges: a change of one of its `EDGE_COLUMNS` stamps the row with the revision of the writing
transaction. Lists in JSON columns are replaced, never edited in place: SQLAlchemy would not notice.
"""

from __future__ import annotations

import secrets
from typing import Any, ClassVar

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    LargeBinary,
    MetaData,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, validates

from stackfluence.catalog import checks
from stackfluence.vocabulary import KeyKind, LinkKind, LinkStatus

# SQLite then stores rows in the order of their primary key: streaming all links of a catalog that doesn't fit into the
# page cache takes 5 µs a row instead of 10.
_CLUSTERED = {"sqlite_with_rowid": False}
_HAS_POST = text("post_id is not null")  # most links have none


class Base(DeclarativeBase):
    """What all tables share: names of constraints, and how Python's types are stored."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        str: Text(),
        int: BigInteger(),
        bytes: LargeBinary(),
        list[str]: JSON(none_as_null=True),
        dict[str, Any]: JSON(none_as_null=True),
    }

    ID_PREFIX: ClassVar[str] = ""  # of ids made when a row is added without one
    EDGE_COLUMNS: ClassVar[frozenset[str]] = frozenset()
    AUDITED_AS: ClassVar[str] = ""  # what the audit log calls it; empty: not a decision of anybody, not in the log
    SECRET_COLUMNS: ClassVar[frozenset[str]] = frozenset()  # never copied into the audit log


class Organization(Base):
    """An advertiser. The time zone bounds its accounting days and never changes meaning afterwards."""

    __tablename__ = "organizations"
    ID_PREFIX = "org_"
    EDGE_COLUMNS = frozenset({"currency"})
    SECRET_COLUMNS = frozenset({"customer_key"})
    AUDITED_AS = "organization"

    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    currency: Mapped[str]
    accounting_time_zone: Mapped[str]
    # keys the pseudonyms of its customers; random, so that neither other organizations nor a leaked event help to guess
    customer_key: Mapped[bytes] = mapped_column(default=lambda: secrets.token_bytes(32))
    created_at: Mapped[int]
    revision: Mapped[int] = mapped_column(index=True)

    @property
    def organization_id(self) -> str:
        """Its own id, as every other class has it."""
        return self.id

    @validates("name")
    def _name(self, field: str, text: str) -> str:
        return checks.title(field, text)

    @validates("currency")
    def _currency(self, field: str, text: str) -> str:
        return checks.currency(field, text)

    @validates("accounting_time_zone")
    def _time_zone(self, field: str, text: str) -> str:
        return checks.time_zone(field, text)


class Key(Base):
    """What a browser or server proves itself with; only the SHA-256 of its text is stored, in hex."""

    __tablename__ = "keys"
    __table_args__ = (CheckConstraint("kind in ('publishable', 'secret')", "kind"),)
    ID_PREFIX = "key_"
    EDGE_COLUMNS = frozenset({"kind", "allowed_origins", "revoked_at"})
    AUDITED_AS = "key"
    SECRET_COLUMNS = frozenset({"key_hash"})

    id: Mapped[str] = mapped_column(primary_key=True)
    organization_id: Mapped[str] = mapped_column(ForeignKey("organizations.id"), index=True)
    kind: Mapped[str]
    name: Mapped[str]
    prefix: Mapped[str]
    last_four: Mapped[str]
    key_hash: Mapped[str] = mapped_column(unique=True)
    allowed_origins: Mapped[list[str]] = mapped_column(default=list)
    created_at: Mapped[int]
    revoked_at: Mapped[int | None]
    revision: Mapped[int] = mapped_column(index=True)

    @validates("name")
    def _name(self, field: str, text: str) -> str:
        return checks.title(field, text)

    @validates("kind")
    def _kind(self, field: str, text: str) -> str:
        return checks.one_of(field, text, KeyKind)

    @validates("allowed_origins")
    def _origins(self, field: str, texts: list[str]) -> list[str]:
        return checks.origins(field, texts)


class Host(Base):
    """A host name links are served on: an organization's own, or one of the shared default ones."""

    __tablename__ = "hosts"
    __table_args__ = (CheckConstraint("is_default = (organization_id is null)", "owner"),)
    ID_PREFIX = "hst_"
    EDGE_COLUMNS = frozenset({"hostname", "organization_id", "is_default"})
    AUDITED_AS = "host"

    id: Mapped[str] = mapped_column(primary_key=True)
    organization_id: Mapped[str | None] = mapped_column(ForeignKey("organizations.id"), index=True)
    hostname: Mapped[str] = mapped_column(unique=True)
    is_default: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[int]
    revision: Mapped[int] = mapped_column(index=True)

    @validates("hostname")
    def _hostname(self, field: str, text: str) -> str:
        return checks.hostname(field, text)


class Creator(Base):
    """An influencer as one organization knows them. `handle` is the present one; all are in `creator_aliases`."""

    __tablename__ = "creators"
    __table_args__ = (
        UniqueConstraint("organization_id", "handle"),
        UniqueConstraint("organization_id", "id"),
        _CLUSTERED,
    )
    ID_PREFIX = "crt_"
    EDGE_COLUMNS = frozenset({"handle"})
    AUDITED_AS = "creator"

    id: Mapped[str] = mapped_column(primary_key=True)
    organization_id: Mapped[str] = mapped_column(ForeignKey("organizations.id"))
    handle: Mapped[str]
    name: Mapped[str] = mapped_column(default="")
    created_at: Mapped[int]
    archived_at: Mapped[int | None]
    revision: Mapped[int] = mapped_column(index=True)

    @validates("handle")
    def _handle(self, field: str, text: str) -> str:
        return checks.name(field, text)

    @validates("name")
    def _name(self, field: str, text: str) -> str:
        return checks.title(field, text)


class CreatorAlias(Base):
    """A handle that resolves to a creator: the present one, each earlier one, each further one. Never deleted.

    One primary key over all of them is what keeps two creators of an organization from sharing any.
    """

    __tablename__ = "creator_aliases"
    __table_args__ = (
        ForeignKeyConstraint(["organization_id", "creator_id"], ["creators.organization_id", "creators.id"]),
    )
    AUDITED_AS = "creator_alias"

    organization_id: Mapped[str] = mapped_column(primary_key=True)
    handle: Mapped[str] = mapped_column(primary_key=True)
    creator_id: Mapped[str] = mapped_column(index=True)

    @validates("handle")
    def _handle(self, field: str, text: str) -> str:
        return checks.name(field, text)


class Campaign(Base):
    """A creator programme. Outside [starts_at, ends_at) its links fall back; archived ones are hidden in lists."""

    __tablename__ = "campaigns"
    __table_args__ = (
        UniqueConstraint("organization_id", "slug"),
        UniqueConstraint("organization_id", "id"),
        CheckConstraint("ends_at is null or starts_at is null or ends_at > starts_at", "period"),
        _CLUSTERED,
    )
    ID_PREFIX = "cmp_"
    EDGE_COLUMNS = frozenset({"slug", "starts_at", "ends_at", "fallback_url"})
    AUDITED_AS = "campaign"

    id: Mapped[str] = mapped_column(primary_key=True)
    organization_id: Mapped[str] = mapped_column(ForeignKey("organizations.id"))
    slug: Mapped[str]
    name: Mapped[str] = mapped_column(default="")
    starts_at: Mapped[int | None]
    ends_at: Mapped[int | None]
    fallback_url: Mapped[str] = mapped_column(default="")
    created_at: Mapped[int]
    archived_at: Mapped[int | None]
    revision: Mapped[int] = mapped_column(index=True)

    @validates("slug")
    def _slug(self, field: str, text: str) -> str:
        return checks.name(field, text)

    @validates("name")
    def _name(self, field: str, text: str) -> str:
        return checks.title(field, text)

    @validates("fallback_url")
    def _url(self, field: str, text: str) -> str:
        return checks.url(field, text, may_be_empty=True)


class Post(Base):
    """An asset: what a creator published where and when, and when it was shown as paid advertising."""

    __tablename__ = "posts"
    __table_args__ = (
        UniqueConstraint("organization_id", "id"),
        UniqueConstraint("creator_id", "campaign_id", "asset_slug"),
        ForeignKeyConstraint(["organization_id", "creator_id"], ["creators.organization_id", "creators.id"]),
        ForeignKeyConstraint(["organization_id", "campaign_id"], ["campaigns.organization_id", "campaigns.id"]),
        CheckConstraint("boost_ends_at is null or boost_starts_at is null or boost_ends_at > boost_starts_at", "boost"),
        Index(None, "campaign_id"),
        _CLUSTERED,
    )
    ID_PREFIX = "pst_"
    EDGE_COLUMNS = frozenset({"platform"})
    AUDITED_AS = "post"

    id: Mapped[str] = mapped_column(primary_key=True)
    organization_id: Mapped[str] = mapped_column(ForeignKey("organizations.id"))
    creator_id: Mapped[str]
    campaign_id: Mapped[str]
    asset_slug: Mapped[str]
    url: Mapped[str] = mapped_column(default="")
    platform: Mapped[str] = mapped_column(default="")
    published_at: Mapped[int | None]
    boost_starts_at: Mapped[int | None]
    boost_ends_at: Mapped[int | None]
    created_at: Mapped[int]
    revision: Mapped[int] = mapped_column(index=True)

    @validates("asset_slug", "platform")
    def _slug(self, field: str, text: str) -> str:
        return checks.name(field, text, may_be_empty=field == "platform")

    @validates("url")
    def _url(self, field: str, text: str) -> str:
        return checks.url(field, text, may_be_empty=True)


class Link(Base):
    """A tracked link: creator × campaign × asset → destination. `host` and `asset_slug` are empty for none."""

    __tablename__ = "links"
    __table_args__ = (
        UniqueConstraint("host", "creator_id", "campaign_id", "asset_slug"),
        ForeignKeyConstraint(["organization_id", "creator_id"], ["creators.organization_id", "creators.id"]),
        ForeignKeyConstraint(["organization_id", "campaign_id"], ["campaigns.organization_id", "campaigns.id"]),
        ForeignKeyConstraint(["organization_id", "post_id"], ["posts.organization_id", "posts.id"]),
        CheckConstraint("status in ('active', 'paused', 'archived')", "status"),
        CheckConstraint("kind in ('organic', 'paid')", "kind"),
        Index(None, "organization_id", "created_at", "id"),  # lists, newest first
        Index(None, "post_id", sqlite_where=_HAS_POST, postgresql_where=_HAS_POST),
        _CLUSTERED,
    )
    ID_PREFIX = "lnk_"
    EDGE_COLUMNS = frozenset(
        {
            "host",
            "creator_id",
            "campaign_id",
            "post_id",
            "asset_slug",
            "destination_url",
            "status",
            "kind",
            "expires_at",
            "fallback_url",
            "is_test",
        }
    )
    AUDITED_AS = "link"

    id: Mapped[str] = mapped_column(primary_key=True)
    organization_id: Mapped[str] = mapped_column(ForeignKey("organizations.id"))
    host: Mapped[str] = mapped_column(default="")
    creator_id: Mapped[str] = mapped_column(index=True)
    campaign_id: Mapped[str] = mapped_column(index=True)
    post_id: Mapped[str | None]
    asset_slug: Mapped[str] = mapped_column(default="")
    destination_url: Mapped[str]
    status: Mapped[str] = mapped_column(default=LinkStatus.active.value)
    kind: Mapped[str] = mapped_column(default=LinkKind.organic.value)
    expires_at: Mapped[int | None]
    fallback_url: Mapped[str] = mapped_column(default="")
    tags: Mapped[list[str]] = mapped_column(default=list)
    is_test: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[int]
    updated_at: Mapped[int]
    revision: Mapped[int] = mapped_column(index=True)

    @validates("host")
    def _host(self, field: str, text: str) -> str:
        return checks.hostname(field, text) if text else ""

    @validates("asset_slug")
    def _slug(self, field: str, text: str) -> str:
        return checks.name(field, text, may_be_empty=True)

    @validates("destination_url", "fallback_url")
    def _url(self, field: str, text: str) -> str:
        return checks.url(field, text, may_be_empty=field == "fallback_url")

    @validates("status")
    def _status(self, field: str, text: str) -> str:
        return checks.one_of(field, text, LinkStatus)

    @validates("kind")
    def _kind(self, field: str, text: str) -> str:
        return checks.one_of(field, text, LinkKind)

    @validates("tags")
    def _tags(self, field: str, texts: list[str]) -> list[str]:
        return checks.tags(field, texts)
