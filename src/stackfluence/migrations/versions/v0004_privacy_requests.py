"""What people asked of their data at a vendor, until it is done."""

import sqlalchemy as sa
from alembic import op

revision = "v0004"
down_revision = "v0003"


def upgrade() -> None:
    op.create_table(
        "privacy_requests",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("organization_id", sa.Text(), nullable=False),
        sa.Column("connection_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("request_key", sa.Text(), nullable=False),
        sa.Column("person", sa.LargeBinary(), nullable=False),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.Column("done_at", sa.BigInteger(), nullable=True),
        sa.Column("events", sa.BigInteger(), nullable=True),
        sa.CheckConstraint(
            "kind in ('data_request', 'customer_redact', 'shop_redact')", name=op.f("ck_privacy_requests_kind")
        ),
        sa.ForeignKeyConstraint(["organization_id"], ["organizations.id"], name="fk_privacy_requests_organization_id"),
        sa.ForeignKeyConstraint(["connection_id"], ["connections.id"], name="fk_privacy_requests_connection_id"),
        sa.PrimaryKeyConstraint("id", name="pk_privacy_requests"),
        sa.UniqueConstraint("connection_id", "request_key", name="uq_privacy_requests_connection_id_request_key"),
    )
    op.create_index(
        "ix_privacy_requests_organization_id_received_at_id",
        "privacy_requests",
        ["organization_id", "received_at", "id"],
    )
    is_open = sa.text("done_at is null")
    op.create_index(
        "ix_privacy_requests_open",
        "privacy_requests",
        ["received_at"],
        sqlite_where=is_open,
        postgresql_where=is_open,
    )
