-- sqlfluff:ignore:parsing
-- (column aliases, skip indexes and TTLs are ClickHouse's own; its dialect in sqlfluff doesn't know them)

-- name: create_order_places
-- Where the rows of an order stand in `events`, and those of an event: what finds an old order's day, and everything of
-- an order, without reading history. A row of `events` stands here under its order, its event and its `payments`, once
-- or, after an interruption, several times. A function of `events` alone.
create table if not exists order_places (
    organization_id LowCardinality(String),
    place String,
    order_place String,
    payments Array(String),
    event_type LowCardinality(String),
    event_id UUID,
    occurred_at DateTime64(3, 'UTC'),
    node LowCardinality(String),
    seq UInt64,
    load_number UInt64
) engine = MergeTree
order by (organization_id, place, occurred_at)
settings fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1;

-- name: add_payments
-- Stores made before payments were known get the column; their rows have none.
alter table order_places add column if not exists payments Array(String) after order_place;

-- name: create_placed_loads
-- Up to which load all rows have their places; written last.
create table if not exists placed_loads (
    load_number UInt64
) engine = MergeTree
order by load_number
settings fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1;

-- name: create_same_customers
-- That a row of an order and another row are of the same customer, in places alone: the hashes can be erased, what was
-- found stays. It rests on two rows that never change, so it is true in whatever order rows arrive.
create table if not exists same_customers (
    run_id UInt64,
    organization_id LowCardinality(String),
    node LowCardinality(String),
    seq UInt64,
    other_node LowCardinality(String),
    other_seq UInt64,
    other_event_id UUID
) engine = MergeTree
order by (organization_id, node, seq, other_node, other_seq)
settings fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1;

-- name: create_conversions
-- One row per order of a derivation run, or per event of one without an order id: when, how much, what came back, which
-- creator it names and how that was found, and every candidate. `derived_order_days` says which run is read. Rows
-- expire as those of click_verdicts do.
create table if not exists conversions (
    run_id UInt64,
    organization_id LowCardinality(String),
    occurred_at DateTime64(3, 'UTC'),
    conversion_id UUID,
    shop String,
    order_id String,
    event_id UUID,
    amounts_event_id UUID,
    events UInt32,
    received_at DateTime64(3, 'UTC'),
    conversion_type LowCardinality(String),
    customer_type LowCardinality(String),
    is_renewal Bool,
    is_test Bool,
    trust_tier LowCardinality(String),
    currency LowCardinality(String),
    revenue_cents Nullable(Int64),
    subtotal_cents Nullable(Int64),
    discount_cents Nullable(Int64),
    tax_cents Nullable(Int64),
    shipping_cents Nullable(Int64),
    gift_card_cents Nullable(Int64),
    presentment_currency LowCardinality(String),
    presentment_revenue_cents Nullable(Int64),
    refunds UInt32,
    unconfirmed_refunds UInt32,
    is_cancelled Bool,
    other_currency_refunds UInt32,
    refunded_cents Int64,
    refunded_by_reason Map(LowCardinality(String), Int64),
    net_revenue_cents Nullable(Int64),
    coupon_codes Array(String),
    found_by LowCardinality(String),
    found_tier LowCardinality(String),
    creator_id String,
    campaign_id String,
    link_id String,
    click_id UUID,
    matched_code String,
    candidates Array(Tuple(
        found_by LowCardinality(String),
        outcome LowCardinality(String),
        creator_id String,
        campaign_id String,
        link_id String,
        click_id UUID,
        clicked_ms Int64,
        code String,
        code_key String,
        trust_tier LowCardinality(String),
        event_id UUID
    )),
    unknown_clicks Array(UUID),
    policy_version UInt32,
    commission_base_cents Nullable(Int64),
    net_base_micros Nullable(Int64),
    unattributed_reason LowCardinality(String) default 'not_derived',
    non_billable_reason LowCardinality(String) default 'not_derived',
    is_provisional Bool,
    reasons Array(LowCardinality(String)),
    evidence Map(LowCardinality(String), Int64),
    expires_at DateTime('UTC') default toDateTime(4294967295, 'UTC'),
    index by_conversion_id conversion_id type bloom_filter(0.01) granularity 4,
    index by_order_id order_id type bloom_filter(0.01) granularity 4
) engine = MergeTree
partition by toYYYYMM(occurred_at)
order by (organization_id, occurred_at, conversion_id, run_id)
ttl expires_at delete
settings fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1;

-- name: add_attribution
-- Conversions derived before they were attributed say so: nothing of them is billed before their days are derived
-- again.
alter table conversions
add column if not exists policy_version UInt32 after unknown_clicks,
add column if not exists commission_base_cents Nullable(Int64) after policy_version,
add column if not exists net_base_micros Nullable(Int64) after commission_base_cents,
add column if not exists unattributed_reason LowCardinality(String) default 'not_derived' after net_base_micros,
add column if not exists non_billable_reason LowCardinality(String) default 'not_derived' after unattributed_reason,
add column if not exists is_provisional Bool after non_billable_reason;

-- name: create_attributions
-- Who is credited with a conversion: one row per touch, credits in millionths of it by the rule that pays and by every
-- model. Written with the conversions, read through the same pointer, and gone when they are.
create table if not exists attributions (
    run_id UInt64,
    organization_id LowCardinality(String),
    occurred_at DateTime64(3, 'UTC'),
    conversion_id UUID,
    place UInt32,
    found_by LowCardinality(String),
    trust_tier LowCardinality(String),
    creator_id String,
    campaign_id String,
    link_id String,
    click_id UUID,
    code String,
    touched_at DateTime64(3, 'UTC'),
    country LowCardinality(String),
    device_class LowCardinality(String),
    in_app_browser LowCardinality(String),
    outcome LowCardinality(String),
    invalid_reason LowCardinality(String),
    is_provisional Bool,
    policy_version UInt32,
    paid_credits UInt32,
    last_touch_credits UInt32,
    first_touch_credits UInt32,
    linear_credits UInt32,
    position_based_credits UInt32,
    time_decay_credits UInt32,
    expires_at DateTime('UTC') default toDateTime(4294967295, 'UTC')
) engine = MergeTree
partition by toYYYYMM(occurred_at)
order by (organization_id, occurred_at, conversion_id, place, run_id)
ttl expires_at delete
settings fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1;

-- name: add_places
-- Where a credited click was made. Attributions of an earlier version don't say it: their days are derived again.
alter table attributions
add column if not exists country LowCardinality(String) after touched_at,
add column if not exists device_class LowCardinality(String) after country,
add column if not exists in_app_browser LowCardinality(String) after device_class;

-- name: create_order_shares
-- Whose each order is by each model, with what reports tell of the order: one row per credited touch, or of nobody.
-- Written with the conversions, read through the same pointer, and gone when they are.
create table if not exists order_shares (
    run_id UInt64,
    organization_id LowCardinality(String),
    model LowCardinality(String),
    occurred_at DateTime64(3, 'UTC'),
    touched_at DateTime64(3, 'UTC'),
    conversion_id UUID,
    place UInt32,
    creator_id String,
    campaign_id String,
    link_id String,
    has_click Bool,
    country LowCardinality(String),
    device_class LowCardinality(String),
    in_app_browser LowCardinality(String),
    conversion_type LowCardinality(String),
    customer_type LowCardinality(String),
    is_test Bool,
    currency LowCardinality(String),
    uncredited_reason LowCardinality(String),
    left_out_reason LowCardinality(String),
    credits UInt32,
    revenue_cents Int64,
    refunded_cents Int64,
    net_revenue_cents Int64,
    commission_base_cents Int64,
    net_base_micros Int64,
    expires_at DateTime('UTC') default toDateTime(4294967295, 'UTC')
) engine = MergeTree
partition by toYYYYMM(occurred_at)
order by (organization_id, model, occurred_at, conversion_id, place, run_id)
ttl expires_at delete
settings fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1;

-- name: create_self_purchases
-- That a row of an order is of a creator's own customer, in places alone: the hashes can be erased, what was found
-- stays.
create table if not exists self_purchases (
    run_id UInt64,
    organization_id LowCardinality(String),
    node LowCardinality(String),
    seq UInt64,
    creator_id String
) engine = MergeTree
order by (organization_id, node, seq, creator_id)
settings fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1;

-- name: create_order_runs
-- One row per finished run over days of orders: what it read, and with which code and rules.
create table if not exists order_runs (
    run_id UInt64,
    derived_at DateTime64(3, 'UTC'),
    organization_id LowCardinality(String),
    days Array(Date),
    as_of UInt64,
    code_version String,
    policy_versions Array(UInt32),
    conversions UInt64,
    facts_hash String,
    table_hashes Map(String, String),
    warnings Array(String)
) engine = MergeTree
order by (organization_id, run_id)
settings fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1;

-- name: create_derived_order_days
-- Which run is read for a day (UTC, of the order) of an organization, as `derived_days` does for days of clicks.
-- `code_keys` are the codes on its orders, and `codes_hash` says to whom they belonged when it was derived.
create table if not exists derived_order_days (
    organization_id LowCardinality(String),
    day Date,
    run_id UInt64,
    is_final Bool,
    is_kept Bool,
    conversions UInt64,
    facts_hash String,
    code_keys Array(String),
    codes_hash String,
    click_days Array(Date),
    verdicts_hash String,
    generation UInt16 default 0,
    expires_at DateTime('UTC') default toDateTime(4294967295, 'UTC')
) engine = MergeTree
order by (organization_id, day, run_id)
settings fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1;

-- name: add_order_policies
-- Order runs made before policies decided have none, and earlier ones neither the hash of each table nor warnings.
alter table order_runs
add column if not exists policy_versions Array(UInt32) after code_version,
add column if not exists table_hashes Map(String, String) after facts_hash,
add column if not exists warnings Array(String) after table_hashes;

-- name: add_click_days
-- On which days the clicks of the touches were, and what these were worth when the day was derived.
alter table derived_order_days
add column if not exists click_days Array(Date) after codes_hash,
add column if not exists verdicts_hash String after click_days,
add column if not exists generation UInt16 default 0 after verdicts_hash;
