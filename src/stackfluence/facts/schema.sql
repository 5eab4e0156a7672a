-- sqlfluff:ignore:parsing
-- (column aliases, skip indexes and TTLs are ClickHouse's own; its dialect in sqlfluff doesn't know them)

-- name: create_click_verdicts
-- One row per click of a derivation run: how far it got, every reason against it, and the one that decides. Rows of
-- earlier runs stay; `derived_days` says which run is read. `expires_at` is that of a scheduled run over a day that may
-- still change, and is replaced when it can't any more; every other row stays for ever. Rows go a day after their
-- pointer, so that no clock and no long question finds a pointer to what is gone.
create table if not exists click_verdicts (
    run_id UInt64,
    organization_id LowCardinality(String),
    occurred_at DateTime64(3, 'UTC'),
    click_id UUID,
    link_id String,
    creator_id String,
    campaign_id String,
    is_test Bool,
    arrival_stage LowCardinality(String),
    sessions UInt32,
    pageviews UInt32,
    engaged_ms Int64,
    conversions UInt32,
    in_app_browser LowCardinality(String),
    device_class LowCardinality(String),
    country LowCardinality(String),
    stamped_score UInt8,
    is_scored_again Bool,
    bot_reasons Array(LowCardinality(String)),
    later_reasons Array(LowCardinality(String)),
    lifted_reasons Array(LowCardinality(String)),
    evidence Map(LowCardinality(String), Int64),
    score UInt8,
    traffic_class LowCardinality(String),
    invalid_reason LowCardinality(String),
    policy_version UInt32,
    flagged_from UInt8 default 50,
    session_id String,
    visited_at DateTime64(3, 'UTC'),
    unqualified_reason LowCardinality(String) default 'not_derived',
    is_duplicate_click Bool,
    expires_at DateTime('UTC') default toDateTime(4294967295, 'UTC'),
    index by_click_id click_id type bloom_filter(0.01) granularity 4
) engine = MergeTree
partition by toYYYYMM(occurred_at)
order by (organization_id, occurred_at, click_id, run_id)
ttl expires_at delete
settings fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1;

-- name: add_sessions
-- Verdicts made before sessions were judged say so: nothing of them is billed before their days are derived again.
alter table click_verdicts
add column if not exists device_class LowCardinality(String) after in_app_browser,
add column if not exists policy_version UInt32 after invalid_reason,
add column if not exists flagged_from UInt8 default 50 after policy_version,
add column if not exists session_id String after flagged_from,
add column if not exists visited_at DateTime64(3, 'UTC') after session_id,
add column if not exists unqualified_reason LowCardinality(String) default 'not_derived' after visited_at,
add column if not exists is_duplicate_click Bool after unqualified_reason;

-- name: create_click_counts
-- The same clicks counted by quarters of an hour, so that reports in any time zone add up. Written with the verdicts,
-- read through the same pointer, and gone when they are.
create table if not exists click_counts (
    run_id UInt64,
    organization_id LowCardinality(String),
    quarter_at DateTime('UTC'),
    creator_id String,
    campaign_id String,
    link_id String,
    is_test Bool,
    country LowCardinality(String),
    device_class LowCardinality(String),
    in_app_browser LowCardinality(String),
    arrival_stage LowCardinality(String),
    traffic_class LowCardinality(String),
    invalid_reason LowCardinality(String),
    unqualified_reason LowCardinality(String),
    is_possible_duplicate Bool,
    clicks UInt64,
    sessions UInt64,
    pageviews UInt64,
    engaged_ms Int64,
    expires_at DateTime('UTC') default toDateTime(4294967295, 'UTC')
) engine = MergeTree
partition by toYYYYMM(quarter_at)
order by (organization_id, quarter_at, creator_id, link_id, run_id)
ttl expires_at delete
settings fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1;

-- name: create_click_rollups
-- These counts added up by one thing alone: `counted_by` a `quarter` of an hour, or for a day (UTC) as a whole by `link`,
-- `country`, `device` or `in_app_browser`; `counted_at` is where the quarter or the day begins. All clicks are in each
-- of the five. Written with the counts, read through the same pointer, and gone when they are.
create table if not exists click_rollups (
    run_id UInt64,
    organization_id LowCardinality(String),
    counted_by LowCardinality(String),
    counted_at DateTime('UTC'),
    creator_id String,
    campaign_id String,
    link_id String,
    country LowCardinality(String),
    device_class LowCardinality(String),
    in_app_browser LowCardinality(String),
    is_test Bool,
    arrival_stage LowCardinality(String),
    invalid_reason LowCardinality(String),
    unqualified_reason LowCardinality(String),
    clicks UInt64,
    pageviews UInt64,
    expires_at DateTime('UTC') default toDateTime(4294967295, 'UTC')
) engine = MergeTree
partition by toYYYYMM(counted_at)
order by (organization_id, counted_by, counted_at, creator_id, link_id, run_id)
ttl expires_at delete
settings fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1;

-- name: create_derivation_runs
-- One row per finished run: what it read, by which code and lists, until when (`derived_at`), and what it came to.
create table if not exists derivation_runs (
    run_id UInt64,
    derived_at DateTime64(3, 'UTC'),
    organization_id LowCardinality(String),
    from_at DateTime64(3, 'UTC'),
    to_at DateTime64(3, 'UTC'),
    as_of UInt64,
    code_version String,
    list_versions Map(String, String),
    policy_versions Array(UInt32),
    clicks UInt64,
    facts_hash String,
    table_hashes Map(String, String),
    warnings Array(String)
) engine = MergeTree
order by (organization_id, run_id)
settings fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1;

-- name: add_policies
-- Runs made before policies decided have none, and earlier ones neither the hash of each table nor warnings.
alter table derivation_runs
add column if not exists policy_versions Array(UInt32) after list_versions,
add column if not exists table_hashes Map(String, String) after facts_hash,
add column if not exists warnings Array(String) after table_hashes;

-- name: create_derived_days
-- Which run is read for a day (UTC, of the click) of an organization: the highest. Written last. `is_final` says that
-- 24 hours had passed since the day's last click could have been made; `is_kept` that its verdicts don't expire. From
-- `expires_at` on a pointer is read no more: then the run before it is read, or the day's clicks are underived again.
create table if not exists derived_days (
    organization_id LowCardinality(String),
    day Date,
    run_id UInt64,
    is_final Bool,
    is_kept Bool,
    clicks UInt64,
    facts_hash String,
    generation UInt16 default 0,
    click_rows UInt64,
    expires_at DateTime('UTC') default toDateTime(4294967295, 'UTC')
) engine = MergeTree
order by (organization_id, day, run_id)
settings fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1;

-- name: add_generation
-- Which form of facts a day has: days of an older one are derived again, however old they are. And how many rows of
-- clicks were read, which says without reading them whether more have come since; 0 on days with clicks says that these
-- were derived before there were click_rollups.
alter table derived_days
add column if not exists generation UInt16 default 0 after facts_hash,
add column if not exists click_rows UInt64 after generation;

-- name: create_scored_clicks
-- What a click's stored headers say by rules and lists of a later day than the click's. It is part of the input: the row
-- of the highest finished run is used by every derivation from then on, also when the headers have expired.
create table if not exists scored_clicks (
    run_id UInt64,
    organization_id LowCardinality(String),
    occurred_at DateTime64(3, 'UTC'),
    click_id UUID,
    reasons Array(LowCardinality(String)),
    list_versions Map(LowCardinality(String), String)
) engine = MergeTree
partition by toYYYYMM(occurred_at)
order by (organization_id, occurred_at, click_id, run_id)
settings fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1;

-- name: create_shared_prefix_clicks
-- That a click came from a part of the network that clicked the links of many creators within an hour, in numbers alone:
-- the prefix itself expires, what was found doesn't. A later run adds rows, and the largest numbers are read.
create table if not exists shared_prefix_clicks (
    run_id UInt64,
    organization_id LowCardinality(String),
    occurred_at DateTime64(3, 'UTC'),
    click_id UUID,
    clicks UInt32,
    links UInt32,
    creators UInt32
) engine = MergeTree
partition by toYYYYMM(occurred_at)
order by (organization_id, occurred_at, click_id, run_id)
settings fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1;

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
-- creator it names and how that was found, and every candidate. `derived_order_days` says which run is read. Rows expire
-- as those of click_verdicts do.
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
