"""The catalog: organizations, keys, hosts, creators, campaigns, posts, links, and the books kept about them."""

import sqlalchemy as sa
from alembic import op

revision = "v0001"
down_revision = None

_SQLITE_TRIGGERS = [
    f"CREATE TRIGGER audit_log_no_{name} BEFORE {when} BEGIN SELECT RAISE(ABORT, 'audit_log is append-only'); END"
    for name, when in (
        ("update", "UPDATE ON audit_log"),
        ("delete", "DELETE ON audit_log"),
        # REPLACE deletes without firing the delete trigger
        ("replace", "INSERT ON audit_log WHEN EXISTS (SELECT 1 FROM audit_log WHERE id = NEW.id)"),
    )
]
_POSTGRESQL_TRIGGERS = [
    "CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS "
    "$$ BEGIN RAISE EXCEPTION '% is append-only', TG_TABLE_NAME; END $$",
    "CREATE TRIGGER audit_log_no_change BEFORE UPDATE OR DELETE ON audit_log "
    "FOR EACH ROW EXECUTE FUNCTION refuse_change()",
    "CREATE TRIGGER audit_log_no_truncate BEFORE TRUNCATE ON audit_log "
    "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()",
]


def upgrade() -> None:
    _owners()
    _campaigns()
    _links()
    _bookkeeping()
    op.execute("INSERT INTO catalog_revision (id, revision) VALUES (1, 0)")
    for statement in _SQLITE_TRIGGERS if op.get_bind().dialect.name == "sqlite" else _POSTGRESQL_TRIGGERS:
        op.execute(statement)


def _owners() -> None:
    op.create_table(
        "organizations",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("accounting_time_zone", sa.Text(), nullable=False),
        sa.Column("customer_key", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_organizations"),
    )
    op.create_index("ix_organizations_revision", "organizations", ["revision"])
    op.create_table(
        "keys",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("organization_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("prefix", sa.Text(), nullable=False),
        sa.Column("last_four", sa.Text(), nullable=False),
        sa.Column("key_hash", sa.Text(), nullable=False),
        sa.Column("allowed_origins", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("revoked_at", sa.BigInteger(), nullable=True),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("kind in ('publishable', 'secret')", name=op.f("ck_keys_kind")),
        sa.ForeignKeyConstraint(["organization_id"], ["organizations.id"], name="fk_keys_organization_id"),
        sa.PrimaryKeyConstraint("id", name="pk_keys"),
        sa.UniqueConstraint("key_hash", name="uq_keys_key_hash"),
    )
    op.create_index("ix_keys_organization_id", "keys", ["organization_id"])
    op.create_index("ix_keys_revision", "keys", ["revision"])
    op.create_table(
        "hosts",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("organization_id", sa.Text(), nullable=True),
        sa.Column("hostname", sa.Text(), nullable=False),
        sa.Column("is_default", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("is_default = (organization_id is null)", name=op.f("ck_hosts_owner")),
        sa.ForeignKeyConstraint(["organization_id"], ["organizations.id"], name="fk_hosts_organization_id"),
        sa.PrimaryKeyConstraint("id", name="pk_hosts"),
        sa.UniqueConstraint("hostname", name="uq_hosts_hostname"),
    )
    op.create_index("ix_hosts_organization_id", "hosts", ["organization_id"])
    op.create_index("ix_hosts_revision", "hosts", ["revision"])


def _campaigns() -> None:
    op.create_table(
        "creators",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("organization_id", sa.Text(), nullable=False),
        sa.Column("handle", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("archived_at", sa.BigInteger(), nullable=True),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["organization_id"], ["organizations.id"], name="fk_creators_organization_id"),
        sa.PrimaryKeyConstraint("id", name="pk_creators"),
        sa.UniqueConstraint("organization_id", "handle", name="uq_creators_organization_id_handle"),
        sa.UniqueConstraint("organization_id", "id", name="uq_creators_organization_id_id"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_creators_revision", "creators", ["revision"])
    op.create_table(
        "creator_aliases",
        sa.Column("organization_id", sa.Text(), nullable=False),
        sa.Column("handle", sa.Text(), nullable=False),
        sa.Column("creator_id", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["organization_id", "creator_id"],
            ["creators.organization_id", "creators.id"],
            name="fk_creator_aliases_organization_id_creator_id",
        ),
        sa.PrimaryKeyConstraint("organization_id", "handle", name="pk_creator_aliases"),
    )
    op.create_index("ix_creator_aliases_creator_id", "creator_aliases", ["creator_id"])
    op.create_table(
        "campaigns",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("organization_id", sa.Text(), nullable=False),
        sa.Column("slug", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("starts_at", sa.BigInteger(), nullable=True),
        sa.Column("ends_at", sa.BigInteger(), nullable=True),
        sa.Column("fallback_url", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("archived_at", sa.BigInteger(), nullable=True),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "ends_at is null or starts_at is null or ends_at > starts_at", name=op.f("ck_campaigns_period")
        ),
        sa.ForeignKeyConstraint(["organization_id"], ["organizations.id"], name="fk_campaigns_organization_id"),
        sa.PrimaryKeyConstraint("id", name="pk_campaigns"),
        sa.UniqueConstraint("organization_id", "id", name="uq_campaigns_organization_id_id"),
        sa.UniqueConstraint("organization_id", "slug", name="uq_campaigns_organization_id_slug"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_campaigns_revision", "campaigns", ["revision"])
    op.create_table(
        "posts",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("organization_id", sa.Text(), nullable=False),
        sa.Column("creator_id", sa.Text(), nullable=False),
        sa.Column("campaign_id", sa.Text(), nullable=False),
        sa.Column("asset_slug", sa.Text(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("platform", sa.Text(), nullable=False),
        sa.Column("published_at", sa.BigInteger(), nullable=True),
        sa.Column("boost_starts_at", sa.BigInteger(), nullable=True),
        sa.Column("boost_ends_at", sa.BigInteger(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "boost_ends_at is null or boost_starts_at is null or boost_ends_at > boost_starts_at",
            name=op.f("ck_posts_boost"),
        ),
        sa.ForeignKeyConstraint(
            ["organization_id", "campaign_id"],
            ["campaigns.organization_id", "campaigns.id"],
            name="fk_posts_organization_id_campaign_id",
        ),
        sa.ForeignKeyConstraint(
            ["organization_id", "creator_id"],
            ["creators.organization_id", "creators.id"],
            name="fk_posts_organization_id_creator_id",
        ),
        sa.ForeignKeyConstraint(["organization_id"], ["organizations.id"], name="fk_posts_organization_id"),
        sa.PrimaryKeyConstraint("id", name="pk_posts"),
        sa.UniqueConstraint(
            "creator_id", "campaign_id", "asset_slug", name="uq_posts_creator_id_campaign_id_asset_slug"
        ),
        sa.UniqueConstraint("organization_id", "id", name="uq_posts_organization_id_id"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_posts_campaign_id", "posts", ["campaign_id"])
    op.create_index("ix_posts_revision", "posts", ["revision"])


def _links() -> None:
    op.create_table(
        "links",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("organization_id", sa.Text(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("creator_id", sa.Text(), nullable=False),
        sa.Column("campaign_id", sa.Text(), nullable=False),
        sa.Column("post_id", sa.Text(), nullable=True),
        sa.Column("asset_slug", sa.Text(), nullable=False),
        sa.Column("destination_url", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=True),
        sa.Column("fallback_url", sa.Text(), nullable=False),
        sa.Column("tags", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("is_test", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("kind in ('organic', 'paid')", name=op.f("ck_links_kind")),
        sa.CheckConstraint("status in ('active', 'paused', 'archived')", name=op.f("ck_links_status")),
        sa.ForeignKeyConstraint(
            ["organization_id", "campaign_id"],
            ["campaigns.organization_id", "campaigns.id"],
            name="fk_links_organization_id_campaign_id",
        ),
        sa.ForeignKeyConstraint(
            ["organization_id", "creator_id"],
            ["creators.organization_id", "creators.id"],
            name="fk_links_organization_id_creator_id",
        ),
        sa.ForeignKeyConstraint(
            ["organization_id", "post_id"],
            ["posts.organization_id", "posts.id"],
            name="fk_links_organization_id_post_id",
        ),
        sa.ForeignKeyConstraint(["organization_id"], ["organizations.id"], name="fk_links_organization_id"),
        sa.PrimaryKeyConstraint("id", name="pk_links"),
        sa.UniqueConstraint(
            "host", "creator_id", "campaign_id", "asset_slug", name="uq_links_host_creator_id_campaign_id_asset_slug"
        ),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_links_campaign_id", "links", ["campaign_id"])
    op.create_index("ix_links_creator_id", "links", ["creator_id"])
    op.create_index("ix_links_organization_id_created_at_id", "links", ["organization_id", "created_at", "id"])
    has_post = sa.text("post_id is not null")
    op.create_index("ix_links_post_id", "links", ["post_id"], sqlite_where=has_post, postgresql_where=has_post)
    op.create_index("ix_links_revision", "links", ["revision"])
    op.create_table(
        "link_paths",
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("creator_handle", sa.Text(), nullable=False),
        sa.Column("campaign_slug", sa.Text(), nullable=False),
        sa.Column("asset_slug", sa.Text(), nullable=False),
        sa.Column("link_id", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["link_id"], ["links.id"], name="fk_link_paths_link_id"),
        sa.PrimaryKeyConstraint("host", "creator_handle", "campaign_slug", "asset_slug", name="pk_link_paths"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_link_paths_link_id", "link_paths", ["link_id"])


def _bookkeeping() -> None:
    op.create_table(
        "catalog_revision",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_catalog_revision_one_row")),
        sa.PrimaryKeyConstraint("id", name="pk_catalog_revision"),
    )
    op.create_table(
        "catalog_lineage",
        sa.Column("revision", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("token", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("revision", name="pk_catalog_lineage"),
    )
    op.create_table(
        "edge_removals",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("space", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_edge_removals"),
    )
    op.create_index("ix_edge_removals_revision", "edge_removals", ["revision"])
    op.create_table(
        "visitor_salts",
        sa.Column("day", sa.Text(), nullable=False),
        sa.Column("salt", sa.LargeBinary(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("day", name="pk_visitor_salts"),
    )
    op.create_index("ix_visitor_salts_revision", "visitor_salts", ["revision"])
    op.create_table(
        "loads",
        sa.Column("load_number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("holder", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("taken_at", sa.BigInteger(), nullable=False),
        sa.Column("finished_at", sa.BigInteger(), nullable=True),
        sa.CheckConstraint("state in ('taken', 'done', 'abandoned')", name=op.f("ck_loads_state")),
        sa.PrimaryKeyConstraint("load_number", name="pk_loads"),
    )
    op.create_index("ix_loads_state_load_number", "loads", ["state", "load_number"])
    op.create_table(
        "idempotency_keys",
        sa.Column("organization_id", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("request_hash", sa.Text(), nullable=False),
        sa.Column("status", sa.BigInteger(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["organization_id"], ["organizations.id"], name="fk_idempotency_keys_organization_id"),
        sa.PrimaryKeyConstraint("organization_id", "key", name="pk_idempotency_keys"),
    )
    op.create_table(
        "audit_log",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("organization_id", sa.Text(), nullable=True),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("subject_type", sa.Text(), nullable=False),
        sa.Column("subject_id", sa.Text(), nullable=False),
        sa.Column("before", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("after", sa.JSON(none_as_null=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_audit_log"),
    )
    op.create_index("ix_audit_log_organization_id_id", "audit_log", ["organization_id", "id"])
    op.create_index("ix_audit_log_subject_id", "audit_log", ["subject_id"])
