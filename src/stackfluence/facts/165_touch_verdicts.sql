-- Touch verdicts: what the clicks that may be credited are worth as traffic.
--
-- Grain:     one row per click that an order of the day may name.
-- Reads:     order_candidates, order_clicks, click_verdicts, derived_days
-- Writes:    touch_verdicts (of this connection)
-- Rule:      A click has the verdict of its day's newest run before this one. Where there is none yet, it has what its
--            edge stamped on it, by the policy in force at the click, and the order is provisional.
-- Lookback:  as long as a click ID lives
-- Lookahead: none

-- name: judge_touches
-- Put the verdicts of the clicks that the day's orders may name into `touch_verdicts`.
insert into touch_verdicts (click_id, clicked_on, invalid_reason, is_derived, is_final)
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
)

select
    touches.click_id as click_id,
    toDate(touches.clicked_at) as clicked_on,
    if(
        verdicts.is_derived,
        verdicts.invalid_reason,
        if(
            order_clicks.bot_score >= {policy_flagged_from:Array(UInt8)}[arrayLastIndex(
                from_ms -> from_ms <= toUnixTimestamp64Milli(touches.clicked_at), {policy_from:Array(Int64)}
            )],
            arraySort(
                reason -> (-transform(reason, {reason_names:Array(String)}, {reason_weights:Array(Int32)}, 0), reason),
                cast(order_clicks.bot_reasons as Array(String))
            )[1],
            ''
        )
    ) as invalid_reason,
    verdicts.is_derived as is_derived,
    verdicts.is_derived and pointers.was_final as is_final
from touches
inner join order_clicks on touches.click_id = order_clicks.click_id
left join verdicts on touches.click_id = verdicts.click_id
left join pointers on toDate(touches.clicked_at) = pointers.day;
