-- sqlfluff:ignore:parsing
-- (column aliases and skip indexes are ClickHouse's own; its dialect in sqlfluff doesn't know them)

-- name: create_events
-- Every event as it was received, for ever: the leaf's bytes in `line`, its fields beside them. One row per journal
-- line; several rows of one event_id are told apart when they are read. An unset text is empty, an unset UUID zero.
create table if not exists events (
    load_number UInt64,
    stored_at DateTime64(3, 'UTC'),
    organization_id LowCardinality(String),
    node LowCardinality(String),
    seq UInt64,
    event_type LowCardinality(String),
    event_id UUID,
    occurred_at DateTime64(3, 'UTC'),
    received_at DateTime64(3, 'UTC'),
    click_id UUID,
    click_id_status LowCardinality(String),
    link_id String,
    creator_id String,
    campaign_id String,
    asset_slug String,
    session_id String,
    visitor_hash String,
    visitor_hash_before String,
    page_path String,
    referrer_host String,
    landing_params Map(String, String),
    engaged_ms Int64,
    conversion_type LowCardinality(String),
    order_id String,
    shop String,
    customer_type LowCardinality(String),
    is_renewal Bool,
    currency LowCardinality(String),
    revenue_cents Nullable(Int64),
    subtotal_cents Nullable(Int64),
    discount_cents Nullable(Int64),
    tax_cents Nullable(Int64),
    shipping_cents Nullable(Int64),
    gift_card_cents Nullable(Int64),
    lines Array(Tuple(
        line_id String,
        product_id String,
        variant_id String,
        sku String,
        quantity Int64,
        subtotal_cents Int64,
        discount_cents Int64,
        tax_cents Int64,
        is_gift_card Bool
    )),
    coupon_codes Array(String),
    original_order_id String,
    refund_amount_cents Nullable(Int64),
    reason String,
    bot_score UInt8,
    bot_reasons Array(LowCardinality(String)),
    ua_family LowCardinality(String),
    os_family LowCardinality(String),
    device_class LowCardinality(String),
    in_app_browser LowCardinality(String),
    country LowCardinality(String),
    asn UInt32,
    trust_tier LowCardinality(String),
    consent LowCardinality(String),
    is_test Bool,
    is_clamped Bool,
    line String,
    -- asked for rarely or for one event at a time: read from the line, which costs a load nothing
    schema_version UInt16 alias JSONExtractUInt(line, 'schema_version'),
    signed_click_id String alias JSONExtractString(line, 'signed_click_id'),
    revised_at String alias JSONExtractString(line, 'revised_at'),
    presentment_currency String alias JSONExtractString(line, 'presentment_currency'),
    presentment_revenue_cents Nullable(Int64) alias JSONExtract(line, 'presentment_revenue_cents', 'Nullable(Int64)'),
    payment_id String alias JSONExtractString(line, 'payment_id'),
    list_versions Map(String, String) alias JSONExtract(line, 'list_versions', 'Map(String, String)'),
    personal_commitment String alias JSONExtractString(line, 'personal_commitment'),
    leaf_hash FixedString(32) alias SHA256(concat('\x00', line)),
    -- 1 is the strongest; and what is told of one order, whoever tells it, has one place: purchases by shop and order id,
    -- any other conversion by itself
    tier UInt8 alias transform(toString(trust_tier), ['server', 'connector', 'browser'], [1, 2, 3], 4),
    order_place String alias multiIf(
        event_type = 'refund', concat('order ', shop, '\0', original_order_id),
        event_type != 'conversion', '',
        conversion_type = 'purchase' and order_id != '', concat('order ', shop, '\0', order_id),
        concat('event ', toString(event_id))
    ),
    index by_event_id event_id type bloom_filter(0.01) granularity 4,
    index by_click_id click_id type bloom_filter(0.01) granularity 4,
    index by_load load_number type minmax granularity 4,
    index by_node node type set(100) granularity 4,
    index by_seq seq type minmax granularity 4
) engine = MergeTree
-- by the edge's clock: what a sender states as occurred_at can't make a hundred partitions
partition by toYYYYMM(received_at)
order by (organization_id, event_type, occurred_at)
settings fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1,
min_bytes_for_wide_part = 268435456;

-- name: create_events_personal
-- The personal halves of events: `expiring` goes by itself at expires_at, `kept` when the person is erased. The hash of
-- what expired stays where a kept half must still be checked against the leaf's commitment.
create table if not exists events_personal (
    node LowCardinality(String),
    seq UInt64,
    organization_id LowCardinality(String),
    event_id UUID,
    expires_at DateTime('UTC'),
    customer_hash String,
    email_hash String,
    kept String,
    expiring String ttl expires_at,
    expiring_hash String,
    salt String alias JSONExtractString(kept, 'salt'),
    properties String alias JSONExtractString(kept, 'properties'),
    user_agent String alias JSONExtractString(expiring, 'user_agent'),
    signals String alias JSONExtractString(expiring, 'signals'),
    ip_prefix String alias JSONExtractString(expiring, 'ip_prefix'),
    ad_click_ids Map(String, String) alias JSONExtract(expiring, 'ad_click_ids', 'Map(String, String)'),
    page_url String alias JSONExtractString(expiring, 'page_url'),
    referrer String alias JSONExtractString(expiring, 'referrer'),
    raw String alias JSONExtractString(expiring, 'raw'),
    index by_customer customer_hash type bloom_filter(0.01) granularity 4,
    index by_email email_hash type bloom_filter(0.01) granularity 4
) engine = MergeTree
partition by toYYYYMM(expires_at)
order by (organization_id, node, seq)
ttl expires_at delete where kept = ''
settings fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1,
min_bytes_for_wide_part = 268435456;

-- name: add_email_hash
-- Stores made before e-mail addresses had a pseudonym get the column; their rows have none.
alter table events_personal add column if not exists email_hash String after customer_hash;

-- name: add_email_index
-- The same for its index.
alter table events_personal
add index if not exists by_email email_hash type bloom_filter(0.01) granularity 4;

-- name: add_revised_at
-- And for what is read from the line: nothing is written.
alter table events
add column if not exists revised_at String alias JSONExtractString(line, 'revised_at');

-- name: add_presentment_currency
-- The currency in which the shopper saw the prices.
alter table events
add column if not exists presentment_currency String alias JSONExtractString(line, 'presentment_currency');

-- name: add_presentment_revenue
-- The same for the amount that the shopper saw.
alter table events
add column if not exists presentment_revenue_cents Nullable(Int64)
alias JSONExtract(line, 'presentment_revenue_cents', 'Nullable(Int64)');

-- name: add_payment_id
-- And for the payment that orders and refunds name.
alter table events
add column if not exists payment_id String alias JSONExtractString(line, 'payment_id');

-- name: add_tier
-- The rank of who tells of an event.
alter table events
add column if not exists tier UInt8
alias transform(toString(trust_tier), ['server', 'connector', 'browser'], [1, 2, 3], 4);

-- name: add_order_place
-- The order that an event is of.
alter table events
add column if not exists order_place String alias multiIf(
    event_type = 'refund', concat('order ', shop, '\0', original_order_id),
    event_type != 'conversion', '',
    conversion_type = 'purchase' and order_id != '', concat('order ', shop, '\0', order_id),
    concat('event ', toString(event_id))
);

-- name: create_quarantined_events
-- What was received but can't be used, with the reason. An unreadable line keeps its hash and length, never its bytes,
-- which may be personal; `leaf_hash` is empty when the line is in no organization's tree. (What SHA256 returns must be
-- written as unhex(hex(…)): as a String by any other conversion it would lose the zero bytes at its end.)
create table if not exists quarantined_events (
    load_number UInt64,
    stored_at DateTime64(3, 'UTC'),
    organization_id LowCardinality(String),
    node LowCardinality(String),
    seq UInt64,
    event_type LowCardinality(String),
    event_id UUID,
    occurred_at DateTime64(3, 'UTC'),
    received_at DateTime64(3, 'UTC'),
    quarantine_reason LowCardinality(String),
    quarantine_detail String,
    click_id UUID,
    link_id String,
    creator_id String,
    campaign_id String,
    session_id String,
    visitor_hash String,
    trust_tier LowCardinality(String),
    is_test Bool,
    line String,
    leaf_hash String,
    bytes_hash String,
    bytes_length UInt64,
    index by_event_id event_id type bloom_filter(0.01) granularity 4,
    index by_load load_number type minmax granularity 4,
    index by_node node type set(100) granularity 4,
    index by_seq seq type minmax granularity 4
) engine = MergeTree
partition by toYYYYMM(stored_at)
order by (organization_id, quarantine_reason, received_at)
settings fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1;

-- name: create_seals
-- One row per loaded range of a node, written last: a range with its seal here is loaded completely. `line` is the
-- line of seals.jsonl.
create table if not exists seals (
    load_number UInt64,
    stored_at DateTime64(3, 'UTC'),
    node LowCardinality(String),
    first_seq UInt64,
    last_seq UInt64,
    seal_hash String,
    previous String,
    organizations Array(LowCardinality(String)),
    line String
) engine = MergeTree
order by (node, first_seq, last_seq)
settings fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1;

-- name: create_erasures
-- Whose personal data must never come back: consulted by every load, restore and replay. An event id, or what an
-- erasure was asked for, which then holds for all that was received until erased_at.
create table if not exists erasures (
    organization_id LowCardinality(String),
    kind LowCardinality(String),
    value String,
    erased_at DateTime64(3, 'UTC')
) engine = MergeTree
order by (organization_id, kind, value)
settings fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1;
