"""Where orders come from, and whom they name: connections and codes."""

import sqlalchemy as sa
from alembic import op

revision = "v0003"
down_revision = "v0002"


def upgrade() -> None:
    op.create_table(
        "connections",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("organization_id", sa.Text(), nullable=False),
        sa.Column("vendor", sa.Text(), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("client_id", sa.Text(), nullable=False),
        sa.Column("settings", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("hook_secrets", sa.LargeBinary(), nullable=False),
        sa.Column("credentials", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("vendor in ('shopify', 'stripe')", name=op.f("ck_connections_vendor")),
        sa.CheckConstraint("status in ('pending', 'active', 'disconnected')", name=op.f("ck_connections_status")),
        sa.ForeignKeyConstraint(["organization_id"], ["organizations.id"], name="fk_connections_organization_id"),
        sa.PrimaryKeyConstraint("id", name="pk_connections"),
        sa.UniqueConstraint(
            "organization_id", "vendor", "account", name="uq_connections_organization_id_vendor_account"
        ),
    )
    op.create_index("ix_connections_revision", "connections", ["revision"])
    op.create_table(
        "codes",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("organization_id", sa.Text(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("code_key", sa.Text(), nullable=False),
        sa.Column("creator_id", sa.Text(), nullable=False),
        sa.Column("campaign_id", sa.Text(), nullable=True),
        sa.Column("starts_at", sa.BigInteger(), nullable=True),
        sa.Column("ends_at", sa.BigInteger(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("ends_at is null or starts_at is null or ends_at > starts_at", name=op.f("ck_codes_period")),
        sa.ForeignKeyConstraint(["organization_id"], ["organizations.id"], name="fk_codes_organization_id"),
        sa.ForeignKeyConstraint(
            ["organization_id", "creator_id"],
            ["creators.organization_id", "creators.id"],
            name="fk_codes_organization_id_creator_id",
        ),
        sa.ForeignKeyConstraint(
            ["organization_id", "campaign_id"],
            ["campaigns.organization_id", "campaigns.id"],
            name="fk_codes_organization_id_campaign_id",
        ),
        sa.PrimaryKeyConstraint("id", name="pk_codes"),
    )
    op.create_index("ix_codes_organization_id_code_key", "codes", ["organization_id", "code_key"])
    op.create_index("ix_codes_organization_id_created_at_id", "codes", ["organization_id", "created_at", "id"])
    op.create_index("ix_codes_creator_id", "codes", ["creator_id"])
    op.create_index("ix_codes_campaign_id", "codes", ["campaign_id"])
