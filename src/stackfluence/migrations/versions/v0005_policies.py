"""Policies, the first one of every organization, and creators' own customers."""

import secrets

import sqlalchemy as sa
from alembic import op

revision = "v0005"
down_revision = "v0004"

# What organizations start with, written out: a later version's defaults change nothing that was counted under these.
_DEFAULTS = {
    "version": 1,
    "effective_from": 0,
    "name": "Default",
    "flagged_from": 50,
    "ignored_reasons": [],
    "excluded_classes": ["givt", "sivt"],
    "min_engaged_seconds": 10,
    "min_pageviews": 2,
    "repeat_hours": 24,
    "session_tiers": ["server", "connector", "browser"],
    "conversion_tiers": ["server", "connector"],
    "touch_tiers": ["server", "connector", "browser"],
    "attribution_model": "last_touch",
    "attribution_window_days": 30,
}
_ID_CHARACTERS = "0123456789abcdefghjkmnpqrstvwxyz"


def upgrade() -> None:
    words = sa.JSON(none_as_null=True)
    policies = op.create_table(
        "policies",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("organization_id", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("effective_from", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("flagged_from", sa.BigInteger(), nullable=False),
        sa.Column("ignored_reasons", words, nullable=False),
        sa.Column("excluded_classes", words, nullable=False),
        sa.Column("min_engaged_seconds", sa.BigInteger(), nullable=False),
        sa.Column("min_pageviews", sa.BigInteger(), nullable=False),
        sa.Column("repeat_hours", sa.BigInteger(), nullable=False),
        sa.Column("session_tiers", words, nullable=False),
        sa.Column("conversion_tiers", words, nullable=False),
        sa.Column("touch_tiers", words, nullable=False),
        sa.Column("attribution_model", sa.Text(), nullable=False),
        sa.Column("attribution_window_days", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("version >= 1", name=op.f("ck_policies_version")),
        sa.CheckConstraint("effective_from >= 0", name=op.f("ck_policies_effective_from")),
        sa.ForeignKeyConstraint(["organization_id"], ["organizations.id"], name="fk_policies_organization_id"),
        sa.PrimaryKeyConstraint("id", name="pk_policies"),
        sa.UniqueConstraint("organization_id", "version", name="uq_policies_organization_id_version"),
        sa.UniqueConstraint("organization_id", "effective_from", name="uq_policies_organization_id_effective_from"),
    )
    op.create_table(
        "policy_versions",
        sa.Column("organization_id", sa.Text(), nullable=False),
        sa.Column("last_version", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["organization_id"], ["organizations.id"], name="fk_policy_versions_organization_id"),
        sa.PrimaryKeyConstraint("organization_id", name="pk_policy_versions"),
    )
    op.create_table(
        "own_customers",
        sa.Column("organization_id", sa.Text(), nullable=False),
        sa.Column("creator_id", sa.Text(), nullable=False),
        sa.Column("customer_hash", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("retracted_at", sa.BigInteger(), nullable=True),
        sa.CheckConstraint("retracted_at is null or retracted_at >= created_at", name=op.f("ck_own_customers_period")),
        sa.ForeignKeyConstraint(
            ["organization_id", "creator_id"],
            ["creators.organization_id", "creators.id"],
            name="fk_own_customers_organization_id",
        ),
        sa.PrimaryKeyConstraint(
            "organization_id", "creator_id", "customer_hash", "created_at", name="pk_own_customers"
        ),
    )
    organizations = sa.table("organizations", sa.column("id"), sa.column("created_at"))
    existing = op.get_bind().execute(sa.select(organizations.c.id, organizations.c.created_at)).all()
    if existing:
        op.bulk_insert(
            policies,
            [
                {"id": _new_id(), "organization_id": owner, "created_at": created_at, **_DEFAULTS}
                for owner, created_at in existing
            ],
        )


def _new_id() -> str:
    """48 random bits in ten characters, the first of three bits."""
    return "pol_" + secrets.choice(_ID_CHARACTERS[:8]) + "".join(secrets.choice(_ID_CHARACTERS) for _ in range(9))
