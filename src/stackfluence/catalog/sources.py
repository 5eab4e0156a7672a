"""Where orders come from, and whom they name without a link: connections to vendors, and codes.

Mapped classes as in `tables.py`, with its conventions.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, ForeignKeyConstraint, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, validates

from stackfluence.catalog import checks
from stackfluence.catalog.tables import Base
from stackfluence.names import code_key
from stackfluence.vocabulary import ConnectionStatus, ConnectionVendor


class Connection(Base):
    """An organization's account at a vendor, whose hooks we take. Never deleted: its orders name it.

    `account` is a Shopify shop's `brand.myshopify.com` in lower case; of Stripe, what the organization calls it.
    `hook_secrets` and `credentials` are blobs of `vault.HookVault` and `vault.CredentialVault`, empty for none.
    """

    __tablename__ = "connections"
    __table_args__ = (
        UniqueConstraint("organization_id", "vendor", "account"),
        CheckConstraint("vendor in ('shopify', 'stripe')", "vendor"),
        CheckConstraint("status in ('pending', 'active', 'disconnected')", "status"),
    )
    ID_PREFIX = "con_"
    EDGE_COLUMNS = frozenset({"vendor", "account", "status", "hook_secrets"})
    SECRET_COLUMNS = frozenset({"hook_secrets", "credentials"})
    AUDITED_AS = "connection"

    id: Mapped[str] = mapped_column(primary_key=True)
    organization_id: Mapped[str] = mapped_column(ForeignKey("organizations.id"))
    vendor: Mapped[str]
    account: Mapped[str]
    status: Mapped[str] = mapped_column(default=ConnectionStatus.pending.value)
    client_id: Mapped[str] = mapped_column(default="")  # of the app by which we are known to the vendor; not secret
    settings: Mapped[dict[str, Any]] = mapped_column(default=dict)  # replaced, never edited in place
    hook_secrets: Mapped[bytes] = mapped_column(default=b"")
    credentials: Mapped[bytes] = mapped_column(default=b"")
    created_at: Mapped[int]
    revision: Mapped[int] = mapped_column(index=True)

    @validates("vendor")
    def _vendor(self, field: str, text: str) -> str:
        return checks.one_of(field, text, ConnectionVendor)

    @validates("status")
    def _status(self, field: str, text: str) -> str:
        return checks.one_of(field, text, ConnectionStatus)

    @validates("account", "client_id")
    def _title(self, field: str, text: str) -> str:
        return checks.title(field, text)


class Code(Base):
    """A discount code that names a creator in [starts_at, ends_at); None is no bound. `code` is as it was written.

    In an organization one `code_key` names one creator at any moment: `Change.add_code` sees to it. What a code named
    until now is never changed, because orders were matched by it: only `ends_at` moves, in the future.
    """

    __tablename__ = "codes"
    __table_args__ = (
        ForeignKeyConstraint(["organization_id", "creator_id"], ["creators.organization_id", "creators.id"]),
        ForeignKeyConstraint(["organization_id", "campaign_id"], ["campaigns.organization_id", "campaigns.id"]),
        CheckConstraint("ends_at is null or starts_at is null or ends_at > starts_at", "period"),
        Index(None, "organization_id", "code_key"),
        Index(None, "organization_id", "created_at", "id"),  # lists, newest first
        Index(None, "creator_id"),
        Index(None, "campaign_id"),
    )
    ID_PREFIX = "cod_"
    AUDITED_AS = "code"

    id: Mapped[str] = mapped_column(primary_key=True)
    organization_id: Mapped[str] = mapped_column(ForeignKey("organizations.id"))
    code: Mapped[str]
    code_key: Mapped[str]
    creator_id: Mapped[str]
    campaign_id: Mapped[str | None]
    starts_at: Mapped[int | None]
    ends_at: Mapped[int | None]
    created_at: Mapped[int]

    @validates("code")
    def _code(self, field: str, text: str) -> str:
        text = checks.code(field, text)
        self.code_key = code_key(text)
        return text
