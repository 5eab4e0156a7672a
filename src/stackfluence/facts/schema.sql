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

-- name: create_click_rollups
-- Clicks of a derivation run, counted, by quarters of an hour, in which the days of all time zones add up: `counted_by`
-- `all` that reports tell them apart by. And the same added up by one thing alone: a `quarter` of an hour, or for a day
-- (UTC) as a whole `link`, `country`, `device` or `in_app_browser`; `counted_at` is where the quarter or the day begins.
-- All clicks are in each of the six. Written with the verdicts, read through the same pointer, and gone when they are.
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
-- clicks were read, which says without reading them whether more have come since.
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
