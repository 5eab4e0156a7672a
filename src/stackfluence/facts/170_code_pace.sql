-- Code pace: a day's orders by one code, beside the code's other days and its creator's clicks.
--
-- Grain:     one row per code by which orders of one day (UTC) of one organization name a creator.
-- Reads:     events, order_candidates, code_words
-- Writes:    code_pace (of this connection)
-- Rule:      Orders are counted that name the code, tests left out, each once. Usual is the lower median of the seven
--            days before on which there were any, 0 when there was none. Clicks are those of the creator on the day and
--            the one before, tests and those left out that their edge took for robots.
-- Lookback:  7 days, for what is usual
-- Lookahead: none

-- name: derive_code_pace
-- Put one day's codes into `code_pace`.
insert into code_pace (code_key, creator_id, orders, usual_orders, clicks)
with

named as (
    select
        code_key,
        creator_id
    from order_candidates
    where found_by = 'code' and outcome = 'named'
    group by code_key, creator_id
),

written as (
    select
        toDate(occurred_at) as day,
        shop,
        order_id,
        if(order_id = '', event_id, toUUID('00000000-0000-0000-0000-000000000000')) as own_id,
        arrayJoin(coupon_codes) as code
    from events
    where
        organization_id = {organization_id:String}
        and event_type = 'conversion'
        and load_number <= {as_of:UInt64}
        and not is_test
        and occurred_at >= fromUnixTimestamp64Milli({day_ms:Int64} - 604800000, 'UTC')
        and occurred_at < fromUnixTimestamp64Milli({day_ms:Int64} + 86400000, 'UTC')
),

days as (
    select
        code_words.code_key as code_key,
        written.day as day,
        uniqExact(written.shop, written.order_id, written.own_id) as orders
    from written
    inner join code_words on written.code = code_words.code
    where code_words.code_key in (select code_key from named)
    group by code_key, day
),

weeks as (
    select
        code_key,
        sumIf(orders, day = toDate(fromUnixTimestamp64Milli({day_ms:Int64}, 'UTC'))) as day_orders,
        arraySort(groupArrayIf(orders, day < toDate(fromUnixTimestamp64Milli({day_ms:Int64}, 'UTC')))) as other_orders,
        other_orders[intDiv(length(other_orders) + 1, 2)] as usual_orders
    from days
    group by code_key
),

clicked as (
    select
        creator_id,
        uniqExact(event_id) as clicks
    from events
    where
        organization_id = {organization_id:String}
        and event_type = 'click'
        and load_number <= {as_of:UInt64}
        and not is_test
        and bot_score < {comparable_below:UInt8}
        and occurred_at >= fromUnixTimestamp64Milli({day_ms:Int64} - 86400000, 'UTC')
        and occurred_at < fromUnixTimestamp64Milli({day_ms:Int64} + 86400000, 'UTC')
        and creator_id in (select creator_id from named)
    group by creator_id
)

select
    named.code_key as code_key,
    named.creator_id as creator_id,
    weeks.day_orders as orders,
    weeks.usual_orders as usual_orders,
    clicked.clicks as clicks
from named
left join weeks on named.code_key = weeks.code_key
left join clicked on named.creator_id = clicked.creator_id;
