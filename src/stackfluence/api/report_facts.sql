-- name: click_runs
-- Which run is read for each day of a time span (UTC, of the click): the newest up to {last_run} that hasn't expired.
-- Every statement of a report is bound to these runs, so that all are of one moment.
select
    day,
    run_id,
    generation,
    click_rows
from derived_days
where
    organization_id = {organization_id:String}
    and day >= {from_day:Date}
    and day <= {to_day:Date}
    and run_id <= {last_run:UInt64}
    and toUnixTimestamp(expires_at) * 1000 > {now_ms:Int64}
order by run_id desc
limit 1 by day
settings max_threads = 1;

-- name: order_runs
-- Which run is read for each day of a time span (UTC, of the order): the newest up to {last_run} that hasn't expired.
select
    day,
    run_id,
    generation
from derived_order_days
where
    organization_id = {organization_id:String}
    and day >= {from_day:Date}
    and day <= {to_day:Date}
    and run_id <= {last_run:UInt64}
    and toUnixTimestamp(expires_at) * 1000 > {now_ms:Int64}
order by run_id desc
limit 1 by day
settings max_threads = 1;

-- name: count_click_rows
-- How many rows of clicks there are of whole days: the index alone says it. Where runs read as many, none is late.
select count() as click_rows
from events
where
    organization_id = {organization_id:String}
    and event_type = 'click'
    and occurred_at >= fromUnixTimestamp64Milli({from_ms:Int64}, 'UTC')
    and occurred_at < fromUnixTimestamp64Milli({to_ms:Int64}, 'UTC')
settings max_threads = 1;

-- name: read_click_counts
-- An organization's clicks by a column or one of the names at the top, slice by slice: each begins at one of {cuts},
-- seconds since 1970, and is read of the run beside it; of run 0 there is nothing. `part` says what came of clicks.
with

if(invalid_reason = '', 'valid', toString(invalid_reason)) as reason,
'' as nothing,
roundDown(toInt64(toUnixTimestamp(counted_at)), {cuts:Array(Int64)}) as begins_at_s

select
    begins_at_s,
    toLowCardinality(toString({key:Identifier})) as piece_key,
    toLowCardinality(toJSONString((
        toString(invalid_reason), toString(unqualified_reason), arrival_stage != 'measured'
    ))) as part,
    toInt64(sum(clicks)) as part_clicks,
    toInt64(sum(pageviews)) as part_pageviews
from click_rollups
where
    organization_id = {organization_id:String}
    and counted_by = {counted_by:String}
    and counted_at >= toDateTime({cuts:Array(Int64)}[1], 'UTC')
    and counted_at < toDateTime({end_s:Int64}, 'UTC')
    and run_id = transform(begins_at_s, {cuts:Array(Int64)}, {runs:Array(UInt64)}, toUInt64(0))
    and is_test = {is_test:Bool}
    and ({link_id:String} = '' or link_id = {link_id:String})
    and ({creator_id:String} = '' or creator_id = {creator_id:String})
    and ({campaign_id:String} = '' or campaign_id = {campaign_id:String})
group by begins_at_s, piece_key, part
order by begins_at_s
settings output_format_arrow_low_cardinality_as_dictionary = 1;

-- name: read_order_shares
-- An organization's orders in the same way: one row per touch that is credited by the model, or of nobody.
-- `order_place` tells the orders of a slice apart, `is_shared` those that have several rows. Amounts are shared by
-- credits, millionths of the order, so that they add up to the order's exactly; each comes as billions and the rest, as
-- 64 bits don't hold the sum of many. What reads it knows columns by their place.
with

if(has_click, 'valid', '') as reason,
'' as nothing,
roundDown(toInt64(toUnixTimestamp(occurred_at)), {cuts:Array(Int64)}) as begins_at_s,
[
    toInt128(revenue_cents) * credits,
    toInt128(refunded_cents) * credits,
    toInt128(net_revenue_cents) * credits,
    toInt128(commission_base_cents) * credits,
    toInt128(net_base_micros)
] as micros,
arrayMap(amount -> toInt64(intDiv(amount, 1000000000)), micros) as billions,
arrayMap(amount -> toInt64(amount % 1000000000), micros) as rests

select
    begins_at_s,
    toLowCardinality(toString({key:Identifier})) as piece_key,
    toLowCardinality(toJSONString((
        toString(conversion_type), toString(currency), toString(uncredited_reason),
        if({is_test:Bool}, '', toString(left_out_reason))
    ))) as part,
    toInt64(place = 0) as is_nobody,
    toUnixTimestamp64Milli({moment:Identifier}) as counted_at_ms,
    toInt64(dense_rank() over (partition by begins_at_s order by conversion_id asc)) as order_place,
    toInt64(count() over (partition by begins_at_s, conversion_id) > 1) as is_shared,
    toInt64(credits) as part_credits,
    billions[1] as revenue_billions,
    billions[2] as refunded_billions,
    billions[3] as net_revenue_billions,
    billions[4] as commission_base_billions,
    billions[5] as net_base_billions,
    rests[1] as revenue_rest,
    rests[2] as refunded_rest,
    rests[3] as net_revenue_rest,
    rests[4] as commission_base_rest,
    rests[5] as net_base_rest
from order_shares
where
    organization_id = {organization_id:String}
    and model = {model:String}
    and occurred_at >= toDateTime64({cuts:Array(Int64)}[1], 3, 'UTC')
    and occurred_at < toDateTime64({end_s:Int64}, 3, 'UTC')
    and run_id = transform(begins_at_s, {cuts:Array(Int64)}, {runs:Array(UInt64)}, toUInt64(0))
    and (not {is_test:Bool} or is_test)
    and ({link_id:String} = '' or link_id = {link_id:String})
    and ({creator_id:String} = '' or creator_id = {creator_id:String})
    and ({campaign_id:String} = '' or campaign_id = {campaign_id:String})
order by begins_at_s
settings output_format_arrow_low_cardinality_as_dictionary = 1;
