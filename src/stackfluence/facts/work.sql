-- sqlfluff:ignore:parsing
-- (temporary tables with an engine are ClickHouse's own; its dialect in sqlfluff doesn't know them. Wide parts have two
-- files a column, and to find inodes for those took a tenth of a day's time: these tables have all columns in one.)

-- name: create_day_events
-- One day's clicks and whatever carried their IDs, every row; written by 010 and 020.
create or replace temporary table day_events (
    event_type LowCardinality(String),
    event_id UUID,
    node LowCardinality(String),
    seq UInt64,
    click_id UUID,
    occurred_at DateTime64(3, 'UTC'),
    received_at DateTime64(3, 'UTC'),
    trust_tier LowCardinality(String),
    link_id String,
    creator_id String,
    campaign_id String,
    is_test Bool,
    visitor_hash String,
    bot_score UInt8,
    bot_reasons Array(LowCardinality(String)),
    in_app_browser LowCardinality(String),
    device_class LowCardinality(String),
    country LowCardinality(String),
    page_path String,
    is_measurable Bool,
    session_id String,
    engaged_ms Int64,
    conversion_type LowCardinality(String),
    is_renewal Bool,
    is_webdriver Bool,
    is_idle Bool
) engine = MergeTree
order by (event_type, click_id)
settings min_bytes_for_wide_part = 1000000000;

-- name: create_superseded
-- Those of these rows that don't count; written by 030.
create or replace temporary table superseded (
    node LowCardinality(String),
    seq UInt64
) engine = Memory;

-- name: create_arrivals
-- One day's clicks and what followed each within 24 hours; written by 040, read by everything behind it.
create or replace temporary table arrivals (
    click_id UUID,
    node LowCardinality(String),
    seq UInt64,
    occurred_at DateTime64(3, 'UTC'),
    link_id String,
    creator_id String,
    campaign_id String,
    is_test Bool,
    visitor_hash String,
    stamped_score UInt8,
    is_scored_again Bool,
    bot_reasons Array(LowCardinality(String)),
    in_app_browser LowCardinality(String),
    device_class LowCardinality(String),
    country LowCardinality(String),
    page_path String,
    is_measurable Bool,
    sessions UInt32,
    pageviews UInt32,
    engaged_ms Int64,
    is_webdriver Bool,
    is_idle Bool,
    conversions UInt32,
    purchase_after_ms Int64,
    goal_after_ms Int64,
    is_comparable Bool,
    was_seen Bool,
    is_unseen Bool
) engine = MergeTree
order by click_id
settings min_bytes_for_wide_part = 1000000000;

-- name: create_week_clicks
-- Clicks by hour and link of the days of a run and of the week before; written by 055. Days that were counted stay for
-- those that follow: what was readable up to the run's load doesn't change.
create temporary table if not exists week_clicks (
    day Date,
    hour DateTime('UTC'),
    link_id String,
    campaign_id String,
    creator_id String,
    clicks UInt64
) engine = MergeTree
order by (day, campaign_id, creator_id, hour)
settings min_bytes_for_wide_part = 1000000000;

-- name: create_creator_pace
-- Creators of a campaign on one day, beside the others of the same campaign; written by 060.
create or replace temporary table creator_pace (
    campaign_id String,
    creator_id String,
    clicks UInt64,
    arrived UInt64,
    peer_clicks UInt64,
    peer_arrived UInt64,
    conversions UInt64,
    late_conversions UInt64,
    peer_conversions UInt64,
    peer_late_conversions UInt64
) engine = Memory;

-- name: create_creator_hours
-- Hours of one day of a creator in a campaign, beside the hours of the week before; written by 070, read by 075.
create or replace temporary table creator_hours (
    campaign_id String,
    creator_id String,
    hour DateTime('UTC'),
    clicks UInt64,
    other_hours UInt64,
    usual_clicks UInt64,
    comparable UInt64,
    seen UInt64
) engine = Memory;

-- name: create_creator_places
-- What a creator's clicks of one day can be compared by, page, country and hour, with the sums over all of them beside
-- those of the campaign's others; written by 075.
create or replace temporary table creator_places (
    campaign_id String,
    creator_id String,
    page_path String,
    country LowCardinality(String),
    hour DateTime('UTC'),
    clicks UInt64,
    arrived UInt64,
    seen UInt64,
    peer_clicks UInt64,
    peer_seen UInt64,
    expected_arrived UInt64,
    expected_seen UInt64,
    hour_clicks UInt64,
    usual_clicks UInt64,
    other_hours UInt64,
    hour_comparable UInt64,
    hour_seen UInt64
) engine = Memory;

-- name: create_bursts
-- Clicks that are part of a burst of one visitor on one link; written by 080.
create or replace temporary table bursts (
    click_id UUID,
    burst_clicks UInt64
) engine = Memory;

-- name: create_verdicts
-- One day's clicks with what decides about their traffic; written by 090.
create or replace temporary table verdicts engine = MergeTree order by click_id
settings min_bytes_for_wide_part = 1000000000 empty as
select * except ( -- noqa: AM04
    run_id, organization_id, session_id, visited_at, unqualified_reason, is_duplicate_click, expires_at
)
from click_verdicts;

-- name: create_visits
-- What pages told of the visits that the day's clicks led to; written by 093.
create or replace temporary table visits (
    click_id UUID,
    session_id String,
    trusted UInt32,
    visited_at DateTime64(3, 'UTC'),
    is_engaged Bool,
    is_said_engaged Bool
) engine = MergeTree
order by (click_id, session_id)
settings min_bytes_for_wide_part = 1000000000;

-- name: create_pages_before
-- What pages told of clicks of the day before whose sessions led to the day's clicks, too; written by 094.
create or replace temporary table pages_before (
    click_id UUID,
    event_type LowCardinality(String),
    session_id String,
    occurred_at DateTime64(3, 'UTC'),
    received_at DateTime64(3, 'UTC'),
    trust_tier LowCardinality(String),
    is_test Bool,
    engaged_ms Int64,
    is_webdriver Bool,
    is_idle Bool
) engine = Memory;

-- name: create_visits_before
-- The visits that these clicks led to; written by 094.
create or replace temporary table visits_before (
    click_id UUID,
    session_id String,
    is_engaged Bool,
    was_webdriver Bool,
    was_idle Bool,
    link_id String,
    creator_id String,
    campaign_id String,
    is_test Bool,
    bot_reasons Array(LowCardinality(String))
) engine = Memory;

-- name: create_repeated
-- Sessions of the day's clicks that an earlier click had led to, too; written by 095.
create or replace temporary table repeated (
    click_id UUID,
    session_id String,
    is_repeated_visit Bool,
    is_duplicate_click Bool
) engine = MergeTree
order by (click_id, session_id)
settings min_bytes_for_wide_part = 1000000000;

-- name: create_day_verdicts
-- One day's verdicts before they are published; written by 097.
create or replace temporary table day_verdicts engine = MergeTree order by click_id
settings min_bytes_for_wide_part = 1000000000 empty as
select * except (run_id, organization_id, expires_at) -- noqa: AM04
from click_verdicts;

-- name: create_day_rollups
-- The same clicks, counted; written by 099.
create or replace temporary table day_rollups engine = Memory empty as
select * except (run_id, organization_id, expires_at) -- noqa: AM04
from click_rollups;
