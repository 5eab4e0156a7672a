-- name: click_runs
-- Which run is read for each day of a time span (UTC, of the click): the newest up to {last_run} that hasn't expired.
-- Days of the form before {counted_from} were never counted as reports count, so they aren't derived. Every statement
-- of a report is bound to these runs, so that all are of one moment.
select
    day,
    max(run_id) as newest_run,
    argMax(is_final, run_id) as is_settled,
    argMax(click_rows, run_id) as read_rows
from derived_days
where
    organization_id = {organization_id:String}
    and day >= {from_day:Date}
    and day <= {to_day:Date}
    and run_id <= {last_run:UInt64}
    and toUnixTimestamp(expires_at) * 1000 > {now_ms:Int64}
group by day
having argMax(generation, run_id) >= {counted_from:UInt16};

-- name: order_runs
-- Which run is read for each day of a time span (UTC, of the order): the newest up to {last_run} that hasn't expired.
-- Days of the form before {shared_from} have no shares, so nothing of them is read.
select
    day,
    max(run_id) as newest_run
from derived_order_days
where
    organization_id = {organization_id:String}
    and day >= {from_day:Date}
    and day <= {to_day:Date}
    and run_id <= {last_run:UInt64}
    and toUnixTimestamp(expires_at) * 1000 > {now_ms:Int64}
group by day
having argMax(generation, run_id) >= {shared_from:UInt16};

-- name: create_link_groups
-- The groups that only the catalog knows links by: post, platform, organic or paid.
create or replace temporary table link_groups (
    link_id String,
    group_key String
) engine = Memory;

-- name: drop_link_groups
-- A connection goes back as it came.
drop temporary table if exists link_groups;

-- name: count_clicks
-- An organization's clicks of a time span by a column or one of the names at the top, largest gross first, those behind
-- a place. `parts` add up to all that is told of a group: each click stands in one of them. Days that a period's end
-- cuts, {split_days}, are read as they were counted by quarters of an hour, the others {counted_by} what tells apart
-- enough. (The engine looks only at the names that are used, and groups by numbers in half the time.)
with

links as (
    select arraySort(groupArray((link_id, group_key))) as pairs
    from link_groups
),

roundDown(toInt64(toUnixTimestamp(counted_at)), {periods:Array(Int64)}) as period,
if(invalid_reason = '', 'valid', toString(invalid_reason)) as reason,
transform( -- noqa: ST03
    link_id, (select pairs.1 as ids from links), (select pairs.2 as names from links),
    if(link_id = '', '', {other_group:String})
) as catalog_group,
'' as total,

counted as (
    select
        toString(any({group_by:Identifier})) as group_key,
        toString(any(invalid_reason)) as part_invalid,
        toString(any(unqualified_reason)) as part_unqualified,
        any(arrival_stage != 'measured') as has_arrived,
        sum(clicks) as part_clicks,
        sum(pageviews) as part_pageviews
    from click_rollups
    where
        organization_id = {organization_id:String}
        and (
            (counted_by = {counted_by:String} and toDate(counted_at) not in {split_days:Array(Date)})
            or (counted_by = 'all' and toDate(counted_at) in {split_days:Array(Date)})
        )
        and counted_at >= fromUnixTimestamp64Milli({from_ms:Int64}, 'UTC')
        and counted_at < fromUnixTimestamp64Milli({to_ms:Int64}, 'UTC')
        and run_id = {click_runs:Array(UInt64)}[toInt32(toDate(counted_at)) - {first_day:Int32} + 1]
        and is_test = {is_test:Bool}
        and ({link_id:String} = '' or link_id = {link_id:String})
        and ({creator_id:String} = '' or creator_id = {creator_id:String})
        and ({campaign_id:String} = '' or campaign_id = {campaign_id:String})
    group by
        cityHash64({group_by:Identifier}), cityHash64(invalid_reason), cityHash64(unqualified_reason),
        cityHash64(arrival_stage)
)

select
    group_key,
    sum(part_clicks) as gross,
    groupArray((part_invalid, part_unqualified, has_arrived, part_clicks, part_pageviews)) as parts
from counted
group by group_key
having
    gross < {after_gross:UInt64}
    or (gross = {after_gross:UInt64} and not {after_nobody:Bool} and group_key > {after_group:String})
order by gross desc, group_key asc
limit {limit:UInt32};

-- name: count_orders
-- An organization's orders of a time span by a column or one of the names at the top, and once more all together
-- (`is_total`). One stands in the group of each touch that is credited with it by the model, or with nobody; its
-- amounts are shared by credits, millionths of the order, so that they add up to the order's exactly.
with

links as (
    select arraySort(groupArray((link_id, group_key))) as pairs
    from link_groups
),

roundDown(toInt64(toUnixTimestamp({moment:Identifier})), {periods:Array(Int64)}) as period,
transform( -- noqa: ST03
    link_id, (select pairs.1 as ids from links), (select pairs.2 as names from links),
    if(link_id = '', '', {other_group:String})
) as catalog_group,
if(has_click, 'valid', '') as reason,
'' as total

select
    grouping(is_nobody) = 1 as is_total,
    {group_by:Identifier} as group_key,
    place = 0 as is_nobody,
    toString(conversion_type) as part_type,
    toString(currency) as part_currency,
    toString(uncredited_reason) as part_uncredited,
    if({is_test:Bool}, '', toString(left_out_reason)) as part_left_out,
    uniqExact(conversion_id) as part_orders,
    sum(credits) as part_credits,
    sum(toInt128(revenue_cents) * credits) as revenue_micros,
    sum(toInt128(refunded_cents) * credits) as refunded_micros,
    sum(toInt128(net_revenue_cents) * credits) as net_revenue_micros,
    sum(toInt128(commission_base_cents) * credits) as commission_base_micros,
    sum(toInt128(net_base_micros)) as part_net_base_micros
from order_shares
where
    organization_id = {organization_id:String}
    and model = {model:String}
    and occurred_at >= fromUnixTimestamp64Milli({scan_from_ms:Int64}, 'UTC')
    and occurred_at < fromUnixTimestamp64Milli({scan_to_ms:Int64}, 'UTC')
    and run_id = {order_runs:Array(UInt64)}[toInt32(toDate(occurred_at)) - {first_day:Int32} + 1]
    and {moment:Identifier} >= fromUnixTimestamp64Milli({from_ms:Int64}, 'UTC')
    and {moment:Identifier} < fromUnixTimestamp64Milli({to_ms:Int64}, 'UTC')
    and (not {is_test:Bool} or is_test)
    and ({link_id:String} = '' or link_id = {link_id:String})
    and ({creator_id:String} = '' or creator_id = {creator_id:String})
    and ({campaign_id:String} = '' or campaign_id = {campaign_id:String})
group by grouping sets (
    (group_key, is_nobody, part_type, part_currency, part_uncredited, part_left_out),
    (part_type, part_currency, part_uncredited, part_left_out)
);
