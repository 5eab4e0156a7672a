"""What people asked of their data at a vendor, who passed it on: kept until it is done.

Mapped class as in `tables.py`, with its conventions.
"""

from __future__ import annotations

from sqlalchemy import CheckConstraint, ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from stackfluence.catalog.tables import Base

_IS_OPEN = text("done_at is null")  # most are done


class PrivacyRequest(Base):
    """A request to tell or erase what is known of a person, or to erase a whole shop.

    `person` is who, encrypted; it is emptied when nobody needs it any more. `request_key` is the same for repetitions
    of one request. `events` counts those that were found or erased.
    """

    __tablename__ = "privacy_requests"
    __table_args__ = (
        UniqueConstraint("connection_id", "request_key"),
        CheckConstraint("kind in ('data_request', 'customer_redact', 'shop_redact')", "kind"),
        Index(None, "organization_id", "received_at", "id"),  # lists, newest first
        Index("ix_privacy_requests_open", "received_at", sqlite_where=_IS_OPEN, postgresql_where=_IS_OPEN),
    )
    ID_PREFIX = "pvr_"

    id: Mapped[str] = mapped_column(primary_key=True)
    organization_id: Mapped[str] = mapped_column(ForeignKey("organizations.id"))
    connection_id: Mapped[str] = mapped_column(ForeignKey("connections.id"))
    kind: Mapped[str]
    request_key: Mapped[str]
    person: Mapped[bytes] = mapped_column(default=b"")
    received_at: Mapped[int]
    done_at: Mapped[int | None]
    events: Mapped[int | None]
