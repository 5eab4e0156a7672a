-- name: click_runs
-- Which run is read for each day of a time span (UTC, of the click): the newest up to {last_run} that hasn't expired.
-- Days of the form before {counted_from} were never counted as reports count, so they aren't derived. Every statement
-- of a report is bound to these runs, so that all are of one moment.
select
    day,
    max(run_id) as newest_run,
    argMax(is_final, run_id) as is_settled,
    argMax(click_rows, run_id) as read_rows,
    argMax(clicks, run_id) as day_clicks
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
group by day;

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
-- An organization's clicks of a time span by what they are grouped by, and once more all together (`is_total`), largest
-- gross first, those behind a place. `parts` add up to all that is told of a group: each click stands in one of them.
-- Days that a period's end cuts, {split_days}, are read from the counts by quarters of an hour, the others from what
-- these were added up to, {counted_by}; all days from the counts where that is empty. (The ifs are nested so that only
-- the column is read that is asked for.)
with

counts as (
    select
        counted_at as at,
        creator_id,
        campaign_id,
        link_id,
        country,
        device_class,
        in_app_browser,
        arrival_stage,
        invalid_reason,
        unqualified_reason,
        clicks,
        pageviews
    from click_rollups
    where
        organization_id = {organization_id:String}
        and counted_by = {counted_by:String}
        and counted_at >= fromUnixTimestamp64Milli({from_ms:Int64}, 'UTC')
        and counted_at < fromUnixTimestamp64Milli({to_ms:Int64}, 'UTC')
        and not has({split_days:Array(Date)}, toDate(counted_at))
        and run_id = {click_runs:Array(UInt64)}[toInt32(toDate(counted_at)) - {first_day:Int32} + 1]
        and is_test = {is_test:Bool}
        and ({link_id:String} = '' or link_id = {link_id:String})
        and ({creator_id:String} = '' or creator_id = {creator_id:String})
        and ({campaign_id:String} = '' or campaign_id = {campaign_id:String})

    union all

    select
        quarter_at as at,
        creator_id,
        campaign_id,
        link_id,
        country,
        device_class,
        in_app_browser,
        arrival_stage,
        invalid_reason,
        unqualified_reason,
        clicks,
        pageviews
    from click_counts
    where
        organization_id = {organization_id:String}
        and quarter_at >= fromUnixTimestamp64Milli({from_ms:Int64}, 'UTC')
        and quarter_at < fromUnixTimestamp64Milli({to_ms:Int64}, 'UTC')
        and ({counted_by:String} = '' or toDate(quarter_at) in {split_days:Array(Date)})
        and run_id = {click_runs:Array(UInt64)}[toInt32(toDate(quarter_at)) - {first_day:Int32} + 1]
        and is_test = {is_test:Bool}
        and ({link_id:String} = '' or link_id = {link_id:String})
        and ({creator_id:String} = '' or creator_id = {creator_id:String})
        and ({campaign_id:String} = '' or campaign_id = {campaign_id:String})
),

counted as (
    select
        if({group_by:String} = 'creator', creator_id, '') as by_creator,
        if({group_by:String} = 'campaign', campaign_id, by_creator) as by_campaign,
        if({group_by:String} in ('link', 'post', 'platform', 'kind'), link_id, by_campaign) as by_link,
        if({group_by:String} = 'in_app_browser', toString(in_app_browser), by_link) as by_app,
        if({group_by:String} = 'country', toString(country), by_app) as by_country,
        if({group_by:String} = 'device', toString(device_class), by_country) as by_device,
        if(invalid_reason = '', 'valid', toString(invalid_reason)) as verdict,
        if({group_by:String} = 'reason', verdict, by_device) as by_reason,
        roundDown(toInt64(toUnixTimestamp(at)), {periods:Array(Int64)}) as period_s,
        if({group_by:String} = 'period', toString(period_s), by_reason) as click_key,
        toUInt16(
            transform(invalid_reason, {reasons:Array(String)}, {reason_codes:Array(UInt16)}, {other_reason:UInt16})
        )
        + toUInt16(
            transform(
                unqualified_reason, {unqualified:Array(String)}, {unqualified_codes:Array(UInt16)},
                {other_unqualified:UInt16}
            )
        )
        + toUInt16(transform(arrival_stage, ['measured'], [0], 1)) as code,
        clicks,
        pageviews
    from counts
),

-- few rows, whatever a group's size; grouping by a number costs half of grouping by a text
alike as (
    select
        any(click_key) as alike_key,
        code,
        sum(clicks) as alike_clicks,
        sum(pageviews) as alike_pageviews
    from counted
    group by cityHash64(click_key), code
),

listed as (
    select
        if(alike.alike_key = '', '', {other_group:String}) as unlisted,
        if(link_groups.link_id != '', link_groups.group_key, unlisted) as by_catalog,
        if({is_folded:Bool}, by_catalog, alike.alike_key) as own_key,
        alike.code as code,
        alike.alike_clicks as clicks,
        alike.alike_pageviews as pageviews
    from alike
    left join link_groups on alike.alike_key = link_groups.link_id
),

clicked as (
    select
        is_total,
        if(is_total, '', own_key) as group_key,
        code,
        sum(clicks) as part_clicks,
        sum(pageviews) as part_pageviews
    from listed
    array join [true, false] as is_total
    group by is_total, group_key, code
)

select
    is_total,
    group_key,
    sum(part_clicks) as gross,
    groupArray((code, part_clicks, part_pageviews)) as parts
from clicked
group by is_total, group_key
having
    is_total
    or gross < {after_gross:UInt64}
    or (gross = {after_gross:UInt64} and not {after_nobody:Bool} and group_key > {after_group:String})
order by is_total desc, gross desc, group_key asc
limit {limit:UInt32};

-- name: count_orders
-- An organization's orders of a time span by what they are grouped by, and once more all together (`is_total`). One
-- stands in the group of each touch that is credited with it, or with nobody (`is_nobody`) when there is none; its
-- amounts are shared by credits, millionths of the order, so that they add up to the order's exactly.
with

credited as (
    select
        conversion_id,
        run_id,
        creator_id,
        campaign_id,
        link_id,
        click_id,
        touched_at,
        if({group_by:String} = 'device', toString(device_class), toString(in_app_browser)) as by_device,
        if({group_by:String} = 'country', toString(country), by_device) as by_country,
        if({group_by:String} in ('country', 'device', 'in_app_browser'), by_country, '') as click_place,
        if({model:String} = 'position_based', position_based_credits, time_decay_credits) as by_position,
        if({model:String} = 'linear', linear_credits, by_position) as by_linear,
        if({model:String} = 'first_touch', first_touch_credits, by_linear) as by_first,
        if({model:String} = 'last_touch', last_touch_credits, by_first) as by_last,
        if({model:String} = 'paid', paid_credits, by_last) as credits,
        -- up to and with this touch: differences of what is rounded once add up. (A day has one run, and this is the
        -- table's own order, so that nothing is sorted.)
        sum(credits) over (partition by occurred_at, conversion_id order by place) as credits_so_far
    from attributions
    where
        organization_id = {organization_id:String}
        and occurred_at >= fromUnixTimestamp64Milli({scan_from_ms:Int64}, 'UTC')
        and occurred_at < fromUnixTimestamp64Milli({scan_to_ms:Int64}, 'UTC')
        and run_id = {order_runs:Array(UInt64)}[toInt32(toDate(occurred_at)) - {first_day:Int32} + 1]
        and credits > 0
),

shares as (
    select
        conversions.conversion_id as conversion_id,
        credited.credits > 0 as is_credited,
        if(is_credited, toUInt64(credited.credits), 1000000) as credits,
        if(is_credited, credited.credits_so_far, 1000000) as credits_so_far,
        if(
            {by:String} = 'click_day' and is_credited, credited.touched_at, conversions.occurred_at
        ) as counted_at,
        {group_by:String} not in ('period', 'customer_type', 'total') and not is_credited as is_nobody,
        if(credited.click_id = toUUID('00000000-0000-0000-0000-000000000000'), '', 'valid') as verdict,
        if({group_by:String} = 'reason', verdict, credited.click_place) as by_click,
        if(credited.link_id = '', '', {other_group:String}) as unlisted,
        if(link_groups.link_id != '', link_groups.group_key, unlisted) as listed,
        if({is_folded:Bool}, listed, by_click) as by_catalog,
        if({group_by:String} = 'link', credited.link_id, by_catalog) as by_link,
        if({group_by:String} = 'campaign', credited.campaign_id, by_link) as by_campaign,
        if({group_by:String} = 'creator', credited.creator_id, by_campaign) as by_creator,
        if({group_by:String} = 'customer_type', toString(conversions.customer_type), by_creator) as by_customer,
        roundDown(toInt64(toUnixTimestamp(counted_at)), {periods:Array(Int64)}) as period_s,
        if({group_by:String} = 'period', toString(period_s), by_customer) as order_key,
        toString(conversions.conversion_type) as conversion_type,
        if(
            conversions.revenue_cents is null and conversions.commission_base_cents is null,
            '', toString(conversions.currency)
        ) as currency,
        if(is_credited, '', toString(conversions.unattributed_reason)) as uncredited_reason,
        if(
            {is_test:Bool} or conversions.non_billable_reason = 'unattributed',
            '', toString(conversions.non_billable_reason)
        ) as left_out_reason,
        toInt128(coalesce(conversions.revenue_cents, 0)) as revenue,
        toInt128(if(conversions.revenue_cents is null, 0, conversions.refunded_cents)) as refunded,
        toInt128(coalesce(conversions.net_revenue_cents, 0)) as net_revenue,
        toInt128(coalesce(conversions.commission_base_cents, 0)) as commission_base,
        toInt128(coalesce(conversions.net_base_micros, 0)) as net_base
    from conversions
    left join credited
        on conversions.conversion_id = credited.conversion_id and conversions.run_id = credited.run_id
    left join link_groups on credited.link_id = link_groups.link_id
    where
        conversions.organization_id = {organization_id:String}
        and conversions.occurred_at >= fromUnixTimestamp64Milli({scan_from_ms:Int64}, 'UTC')
        and conversions.occurred_at < fromUnixTimestamp64Milli({scan_to_ms:Int64}, 'UTC')
        and conversions.run_id
        = {order_runs:Array(UInt64)}[toInt32(toDate(conversions.occurred_at)) - {first_day:Int32} + 1]
        and (not {is_test:Bool} or conversions.is_test)
        and counted_at >= fromUnixTimestamp64Milli({from_ms:Int64}, 'UTC')
        and counted_at < fromUnixTimestamp64Milli({to_ms:Int64}, 'UTC')
        and ({link_id:String} = '' or credited.link_id = {link_id:String})
        and ({creator_id:String} = '' or credited.creator_id = {creator_id:String})
        and ({campaign_id:String} = '' or credited.campaign_id = {campaign_id:String})
),

-- what is told of all together is put together from the groups', so that each order is looked at once
grouped as (
    select
        is_nobody,
        order_key,
        conversion_type,
        currency,
        uncredited_reason,
        left_out_reason,
        uniqExactState(conversion_id) as group_orders,
        sum(credits) as group_credits,
        sum(revenue * credits) as group_revenue,
        sum(refunded * credits) as group_refunded,
        sum(net_revenue * credits) as group_net_revenue,
        sum(commission_base * credits) as group_commission_base,
        sum(
            intDiv(net_base * credits_so_far, 1000000) - intDiv(net_base * (credits_so_far - credits), 1000000)
        ) as group_net_base
    from shares
    group by is_nobody, order_key, conversion_type, currency, uncredited_reason, left_out_reason
),

ordered as (
    select
        is_total,
        not is_total and is_nobody as is_of_nobody,
        if(is_total, '', order_key) as group_key,
        conversion_type,
        currency,
        uncredited_reason,
        left_out_reason,
        uniqExactMerge(group_orders) as part_orders,
        sum(group_credits) as part_credits,
        sum(group_revenue) as revenue_micros,
        sum(group_refunded) as refunded_micros,
        sum(group_net_revenue) as net_revenue_micros,
        sum(group_commission_base) as commission_base_micros,
        sum(group_net_base) as net_base_micros
    from grouped
    array join [true, false] as is_total
    group by is_total, is_of_nobody, group_key, conversion_type, currency, uncredited_reason, left_out_reason
)

select
    is_total,
    is_of_nobody as is_nobody,
    group_key,
    groupArray((
        conversion_type, currency, uncredited_reason, left_out_reason, part_orders, part_credits, revenue_micros,
        refunded_micros, net_revenue_micros, commission_base_micros, net_base_micros
    )) as parts
from ordered
group by is_total, is_nobody, group_key;
