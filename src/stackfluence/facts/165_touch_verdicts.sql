-- Touch verdicts: what the clicks that may be credited are worth as traffic, and where they were made.
--
-- Grain:     one row per click that an order of the day may name.
-- Reads:     order_candidates, order_clicks, click_verdicts, derived_days
-- Writes:    touch_verdicts (of this connection)
-- Rule:      A click has the verdict of its day's newest run before this one. Where there is none yet, it has what its
--            edge stamped on it, judged as in 090 by the policy in force at the click, and the order is provisional.
-- Lookback:  as long as a click ID lives
-- Lookahead: none

-- name: judge_touches
-- Put the verdicts of the clicks that the day's orders may name into `touch_verdicts`.
insert into touch_verdicts (
    click_id, clicked_on, invalid_reason, is_derived, is_final, country, device_class, in_app_browser
)
with

touches as (
    select distinct
        click_id,
        fromUnixTimestamp64Milli(clicked_ms, 'UTC') as clicked_at
    from order_candidates
    where found_by != 'code' and outcome in ('named', 'outranked')
),

pointers as (
    select
        day,
        max(run_id) as newest_run,
        argMax(is_final, run_id) as was_final
    from derived_days
    where
        organization_id = {organization_id:String}
        and run_id <= {run_id:UInt64}
        and toUnixTimestamp(expires_at) * 1000 > {derived_ms:Int64}
        and day in (select toDate(clicked_at) as day from touches)
    group by day
),

verdicts as (
    select
        click_id,
        toString(invalid_reason) as invalid_reason,
        true as is_derived
    from click_verdicts
    where
        organization_id = {organization_id:String}
        and occurred_at in (select clicked_at from touches)
        and click_id in (select click_id from touches)
        and (toDate(occurred_at), run_id) in (
            select
                day,
                newest_run
            from pointers
        )
),

stamped as (
    select
        touches.click_id as click_id,
        touches.clicked_at as clicked_at,
        order_clicks.country as country,
        order_clicks.device_class as device_class,
        order_clicks.in_app_browser as in_app_browser,
        arrayLastIndex(
            from_ms -> from_ms <= toUnixTimestamp64Milli(touches.clicked_at), {policy_from:Array(Int64)}
        ) as policy,
        arrayFilter(
            reason -> not has({policy_ignored_reasons:Array(Array(String))}[policy], reason),
            arrayDistinct(cast(order_clicks.bot_reasons as Array(String)))
        ) as counting,
        arraySum(
            reason -> transform(reason, {reason_names:Array(String)}, {reason_weights:Array(Int32)}, 0), counting
        ) >= {policy_flagged_from:Array(UInt8)}[policy] as is_flagged,
        arraySort(
            reason -> (
                -transform(reason, {reason_names:Array(String)}, {reason_weights:Array(Int32)}, 0),
                transform(reason, {reason_names:Array(String)}, {reason_classes:Array(String)}, ''),
                reason
            ),
            counting
        )[1] as heaviest,
        transform(heaviest, {reason_names:Array(String)}, {reason_classes:Array(String)}, '') as heaviest_class,
        is_flagged and has({policy_excluded_classes:Array(Array(String))}[policy], heaviest_class) as is_invalid
    from touches
    inner join order_clicks on touches.click_id = order_clicks.click_id
)

select
    stamped.click_id as click_id,
    toDate(stamped.clicked_at) as clicked_on,
    multiIf(verdicts.is_derived, verdicts.invalid_reason, stamped.is_invalid, stamped.heaviest, '') as invalid_reason,
    verdicts.is_derived as is_derived,
    verdicts.is_derived and pointers.was_final as is_final,
    stamped.country as country,
    stamped.device_class as device_class,
    stamped.in_app_browser as in_app_browser
from stamped
left join verdicts on stamped.click_id = verdicts.click_id
left join pointers on toDate(stamped.clicked_at) = pointers.day;
