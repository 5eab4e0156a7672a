-- sqlfluff:ignore:parsing
-- (temporary tables with an engine are ClickHouse's own; its dialect in sqlfluff doesn't know them)

-- name: create_day_names
-- What is told of as an order of the day; written by 110.
create or replace temporary table day_names (
    order_place String
) engine = MergeTree
order by order_place;

-- name: create_refund_orders
-- Whose refunds are that name a payment; written by 110.
create or replace temporary table refund_orders (
    event_id UUID,
    order_place String
) engine = MergeTree
order by event_id;

-- name: create_day_places
-- Where the rows of a day's orders stand, and other rows of the same events; written by 110.
create or replace temporary table day_places (
    order_place String,
    event_id UUID,
    occurred_at DateTime64(3, 'UTC'),
    node LowCardinality(String),
    seq UInt64
) engine = MergeTree
order by (node, seq);

-- name: create_order_rows
-- The rows that count of these events; written by 120. `tier` is 1 for a server, 2 for a connector, 3 for a browser.
create or replace temporary table order_rows (
    order_place String,
    event_type LowCardinality(String),
    event_id UUID,
    node LowCardinality(String),
    seq UInt64,
    occurred_at DateTime64(3, 'UTC'),
    received_at DateTime64(3, 'UTC'),
    version_at DateTime64(3, 'UTC'),
    trust_tier LowCardinality(String),
    tier UInt8,
    click_id UUID,
    click_id_status LowCardinality(String),
    conversion_type LowCardinality(String),
    shop String,
    order_id String,
    customer_type LowCardinality(String),
    is_renewal Bool,
    is_test Bool,
    currency LowCardinality(String),
    revenue_cents Nullable(Int64),
    subtotal_cents Nullable(Int64),
    discount_cents Nullable(Int64),
    tax_cents Nullable(Int64),
    shipping_cents Nullable(Int64),
    gift_card_cents Nullable(Int64),
    presentment_currency LowCardinality(String),
    presentment_revenue_cents Nullable(Int64),
    gift_card_sales_cents Int64,
    coupon_codes Array(String),
    refund_amount_cents Nullable(Int64),
    reason String
) engine = MergeTree
order by (order_place, node, seq);

-- name: create_day_orders
-- The orders of the day, when they were and what they come to; written by 130. `before_ms` is the last moment at which
-- a click of theirs can have been made.
create or replace temporary table day_orders (
    order_place String,
    conversion_id UUID,
    occurred_at DateTime64(3, 'UTC'),
    before_ms Int64,
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
    trust_tiers Array(String),
    tier UInt8,
    currency LowCardinality(String),
    revenue_cents Nullable(Int64),
    subtotal_cents Nullable(Int64),
    discount_cents Nullable(Int64),
    tax_cents Nullable(Int64),
    shipping_cents Nullable(Int64),
    gift_card_cents Nullable(Int64),
    presentment_currency LowCardinality(String),
    presentment_revenue_cents Nullable(Int64),
    gift_card_sales_cents Int64,
    refunds UInt32,
    unconfirmed_refunds UInt32,
    is_cancelled Bool,
    other_currency_refunds UInt32,
    refunded_cents Int64,
    refunded_by_reason Map(LowCardinality(String), Int64),
    coupon_codes Array(String)
) engine = MergeTree
order by order_place;

-- name: create_customer_rows
-- Rows of the customers of the day's orders that carry a click's ID; written by 140.
create or replace temporary table customer_rows (
    order_place String,
    event_id UUID,
    occurred_at DateTime64(3, 'UTC'),
    trust_tier LowCardinality(String),
    tier UInt8,
    click_id UUID
) engine = MergeTree
order by (order_place, event_id);

-- name: create_code_words
-- How codes are written on orders, and as what they are compared; filled from the rule in `names.py`.
create or replace temporary table code_words (
    code String,
    code_key String
) engine = MergeTree
order by code;

-- name: create_code_periods
-- Whose these codes are, and when; filled from the catalog.
create or replace temporary table code_periods (
    code_key String,
    creator_id String,
    campaign_id String,
    from_ms Int64,
    to_ms Int64
) engine = MergeTree
order by (code_key, from_ms);

-- name: create_order_clicks
-- The stored clicks whose IDs were carried; written by 150.
create or replace temporary table order_clicks (
    click_id UUID,
    link_id String,
    creator_id String,
    campaign_id String,
    is_test Bool,
    bot_reasons Array(LowCardinality(String)),
    country LowCardinality(String),
    device_class LowCardinality(String),
    in_app_browser LowCardinality(String)
) engine = MergeTree
order by click_id;

-- name: create_order_candidates
-- Whoever an order may name; written by 160. `place` is 1 for the one that it names.
create or replace temporary table order_candidates (
    order_place String,
    place UInt32,
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
) engine = MergeTree
order by (order_place, place);

-- name: create_own_customers
-- Which customers are creators' own, and when; filled from the catalog.
create or replace temporary table own_customers (
    creator_id String,
    customer_hash String,
    from_ms Int64,
    to_ms Int64
) engine = MergeTree
order by customer_hash;

-- name: create_touch_verdicts
-- What the clicks that may be credited are worth as traffic; written by 165.
create or replace temporary table touch_verdicts (
    click_id UUID,
    clicked_on Date,
    invalid_reason LowCardinality(String),
    is_derived Bool,
    is_final Bool,
    country LowCardinality(String),
    device_class LowCardinality(String),
    in_app_browser LowCardinality(String)
) engine = MergeTree
order by click_id;

-- name: create_day_attributions
-- One day's attributions before they are published; written by 168.
create or replace temporary table day_attributions engine = MergeTree order by (conversion_id, place) empty as
select * except (run_id, organization_id, expires_at) -- noqa: AM04
from attributions;

-- name: create_code_pace
-- Orders of the day by the code that they name, beside those of the week before and the creator's clicks; written by
-- 170.
create or replace temporary table code_pace (
    code_key String,
    creator_id String,
    orders UInt64,
    usual_orders UInt64,
    clicks UInt64
) engine = Memory;

-- name: create_day_conversions
-- One day's conversions before they are published; written by 180.
create or replace temporary table day_conversions engine = MergeTree order by conversion_id empty as
select * except (run_id, organization_id, expires_at) -- noqa: AM04
from conversions;

-- name: create_day_shares
-- Whose one day's orders are before it is published; written by 190.
create or replace temporary table day_shares engine = MergeTree order by (model, conversion_id, place) empty as
select * except (run_id, organization_id, expires_at) -- noqa: AM04
from order_shares;
