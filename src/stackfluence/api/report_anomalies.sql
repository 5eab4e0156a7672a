-- name: find_anomalies
-- Days of creators that are far from what is usual for them: the lower median of the 28 days before. `periods` are days
-- in a row, of which the first 28 are only compared with; a day says what is too low once it is `settled`, and nothing
-- where what is usual isn't known: no clicks or orders on more than half of the days before. Latest day first, those
-- behind a place.
with

clicked as (
    select
        any(creator_id) as clicked_creator,
        roundDown(toInt64(toUnixTimestamp(counted_at)), {periods:Array(Int64)}) as period_s,
        sum(clicks) as day_clicks,
        sumIf(clicks, invalid_reason = '') as day_valid
    from click_rollups
    where
        organization_id = {organization_id:String}
        and counted_by = 'all'
        and counted_at >= fromUnixTimestamp64Milli({from_ms:Int64}, 'UTC')
        and counted_at < fromUnixTimestamp64Milli({to_ms:Int64}, 'UTC')
        and run_id = {click_runs:Array(UInt64)}[toInt32(toDate(counted_at)) - {first_day:Int32} + 1]
        and is_test = {is_test:Bool}
        and ({link_id:String} = '' or link_id = {link_id:String})
        and ({creator_id:String} = '' or creator_id = {creator_id:String})
        and ({campaign_id:String} = '' or campaign_id = {campaign_id:String})
    group by cityHash64(creator_id), period_s
),

ordered as (
    select
        creator_id as ordered_creator,
        roundDown(toInt64(toUnixTimestamp({moment:Identifier})), {periods:Array(Int64)}) as period_s,
        conversion_id
    from order_shares
    where
        organization_id = {organization_id:String}
        and model = {model:String}
        and occurred_at >= fromUnixTimestamp64Milli({scan_from_ms:Int64}, 'UTC')
        and occurred_at < fromUnixTimestamp64Milli({scan_to_ms:Int64}, 'UTC')
        and run_id = {order_runs:Array(UInt64)}[toInt32(toDate(occurred_at)) - {first_day:Int32} + 1]
        and {moment:Identifier} >= fromUnixTimestamp64Milli({from_ms:Int64}, 'UTC')
        and {moment:Identifier} < fromUnixTimestamp64Milli({to_ms:Int64}, 'UTC')
        and if({is_test:Bool}, is_test, left_out_reason = '')
        and ({link_id:String} = '' or link_id = {link_id:String})
        and ({creator_id:String} = '' or creator_id = {creator_id:String})
        and ({campaign_id:String} = '' or campaign_id = {campaign_id:String})
),

daily as (
    select
        clicked_creator as daily_creator,
        period_s,
        day_clicks,
        day_valid,
        toUInt64(0) as day_orders
    from clicked

    union all

    select
        ordered_creator as daily_creator,
        period_s,
        toUInt64(0) as day_clicks,
        toUInt64(0) as day_valid,
        uniqExact(conversion_id) as day_orders
    from ordered
    group by daily_creator, period_s
),

-- one row per creator who is large enough, days without anything filled in
series as (
    select
        daily_creator,
        groupArrayInsertAt(clicks_of_day, place) as series_clicks,
        groupArrayInsertAt(valid_of_day, place) as series_valid,
        groupArrayInsertAt(orders_of_day, place) as series_orders
    from (
        select
            daily_creator,
            toUInt32(indexOf({periods:Array(Int64)}, period_s) - 1) as place,
            sum(day_clicks) as clicks_of_day,
            sum(day_valid) as valid_of_day,
            sum(day_orders) as orders_of_day
        from daily
        where daily_creator != ''
        group by daily_creator, place
    ) as by_place
    group by daily_creator
    having max(clicks_of_day) > {outlier_clicks:UInt64} or max(orders_of_day) >= {code_orders:UInt64}
),

filled as (
    select
        daily_creator,
        place,
        one_day.1 as clicks,
        one_day.2 as valid,
        one_day.3 as orders
    from series
    array join
        arrayZip(
            arrayResize(series_clicks, length({periods:Array(Int64)})),
            arrayResize(series_valid, length({periods:Array(Int64)})),
            arrayResize(series_orders, length({periods:Array(Int64)}))
        ) as one_day,
        arrayEnumerate({periods:Array(Int64)}) as place
),

beside as (
    select
        daily_creator,
        place,
        clicks,
        valid,
        orders,
        groupArray((clicks, valid, orders)) over (
            partition by daily_creator
            order by place
            rows between 28 preceding and 1 preceding
        ) as earlier
    from filled
),

-- of an even number the lower of the two in the middle is taken
usual as (
    select
        daily_creator,
        {periods:Array(Int64)}[place] as day_s,
        {settled:Array(Bool)}[place] as is_settled,
        clicks,
        valid,
        orders,
        arraySort(arrayMap(each -> each.1, earlier))[14] as usual_clicks,
        arraySort(arrayMap(each -> each.3, earlier))[14] as usual_orders,
        arraySort(
            arrayMap(each -> intDiv(each.2 * 1000, each.1), arrayFilter(each -> each.1 > 0, earlier))
        ) as shares,
        if(length(shares) >= 14, shares[intDiv(length(shares) + 1, 2)], 0) as usual_permille,
        if(clicks = 0, 0, intDiv(valid * 1000, clicks)) as valid_permille
    from beside
    where place > 28
),

found as (
    select
        daily_creator,
        day_s,
        clicks,
        valid_permille,
        orders,
        usual_clicks,
        usual_permille,
        usual_orders,
        arrayJoin(arrayFilter(word -> word != '', [
            if(
                usual_clicks > 0
                and clicks > {outlier_clicks:UInt64}
                and clicks > {outlier_times:UInt64} * usual_clicks,
                'clicks_high', ''
            ),
            if(
                is_settled
                and usual_clicks > {outlier_clicks:UInt64}
                and clicks * {outlier_times:UInt64} < usual_clicks,
                'clicks_low', ''
            ),
            if(
                usual_orders > 0 and orders >= {code_orders:UInt64} and orders >= {code_times:UInt64} * usual_orders,
                'conversions_high', ''
            ),
            if(
                is_settled
                and usual_orders >= {code_orders:UInt64}
                and orders * {code_times:UInt64} <= usual_orders,
                'conversions_low', ''
            ),
            if(
                is_settled
                and usual_permille > 0
                and clicks > {outlier_clicks:UInt64}
                and (
                    valid_permille * 1000 <= {outlier_permille:UInt64} * usual_permille
                    or (
                        1000 - valid_permille >= {outlier_permille:UInt64}
                        and 1000 - valid_permille > {outlier_times:UInt64} * (1000 - usual_permille)
                    )
                ),
                'valid_share_low', ''
            )
        ])) as kind
    from usual
)

select
    daily_creator as creator_id,
    day_s,
    kind,
    clicks,
    valid_permille,
    orders,
    usual_clicks,
    usual_permille,
    usual_orders
from found
where
    day_s < {after_s:Int64}
    or (day_s = {after_s:Int64} and (daily_creator, kind) > ({after_creator:String}, {after_kind:String}))
order by day_s desc, creator_id asc, kind asc
limit {limit:UInt32};
