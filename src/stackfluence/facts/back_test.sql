-- sqlfluff:ignore:parsing
-- (temporary tables with an engine are ClickHouse's own; its dialect in sqlfluff doesn't know them)

-- name: create_scored_now
-- What clicks' headers say by the rules and lists of now; empty when that isn't asked for.
create or replace temporary table scored_now (
    click_id UUID,
    reasons Array(LowCardinality(String))
) engine = MergeTree
order by click_id;

-- name: read_days
-- The days of a time span that have verdicts.
select day
from derived_days
where
    organization_id = {organization_id:String}
    and day >= {from_day:Date}
    and day < {to_day:Date}
    and toUnixTimestamp(expires_at) * 1000 > {now_ms:Int64}
group by day
order by day;

-- name: missing_days
-- The days of a time span on which clicks were stored and which no run has judged.
select distinct toDate(occurred_at) as day
from events
where
    organization_id = {organization_id:String}
    and event_type = 'click'
    and load_number <= {as_of:UInt64}
    and occurred_at >= fromUnixTimestamp64Milli({from_ms:Int64}, 'UTC')
    and occurred_at < fromUnixTimestamp64Milli({to_ms:Int64}, 'UTC')
    and toDate(occurred_at) not in (
        select day
        from derived_days
        where organization_id = {organization_id:String} and toUnixTimestamp(expires_at) * 1000 > {now_ms:Int64}
    )
order by day;

-- name: compare_verdicts
-- Clicks by creator, by the reason that decides now (empty: valid) and by the one that would decide. What was found
-- after the click rests on counts and not on points, so it is the same under other points.
with

pointers as (
    select
        day,
        max(run_id) as run_id
    from derived_days
    where
        organization_id = {organization_id:String}
        and day >= {from_day:Date}
        and day < {to_day:Date}
        and toUnixTimestamp(expires_at) * 1000 > {now_ms:Int64}
    group by day
),

verdicts as (
    select
        click_id,
        creator_id,
        arrayLastIndex(
            from_ms -> from_ms <= toUnixTimestamp64Milli(occurred_at), {policy_from:Array(Int64)}
        ) as policy,
        sessions,
        cast(bot_reasons as Array(String)) as stamped,
        cast(later_reasons as Array(String)) as later,
        toString(invalid_reason) as reason_before
    from click_verdicts
    where
        organization_id = {organization_id:String}
        and not is_test
        and occurred_at >= fromUnixTimestamp64Milli({from_ms:Int64}, 'UTC')
        and occurred_at < fromUnixTimestamp64Milli({to_ms:Int64}, 'UTC')
        and (toDate(occurred_at), run_id) in (
            select
                day,
                run_id
            from pointers
        )
),

scored as (
    select
        click_id,
        cast(reasons as Array(String)) as reasons,
        true as is_scored_again
    from scored_now
),

reasoned as (
    select
        verdicts.creator_id as creator_id,
        verdicts.reason_before as reason_before,
        if(
            scored.is_scored_again,
            arrayConcat(
                arrayFilter(reason -> not has({recomputable:Array(String)}, reason), verdicts.stamped), scored.reasons
            ),
            verdicts.stamped
        ) as click_reasons,
        arrayFilter(
            reason -> not has({policy_ignored_reasons:Array(Array(String))}[verdicts.policy], reason),
            arrayDistinct(arrayConcat(
                arrayFilter(
                    reason -> verdicts.sessions = 0 or not has({provisional:Array(String)}, reason), click_reasons
                ),
                verdicts.later
            ))
        ) as counting,
        least({most:UInt8}, arraySum(
            reason -> transform(reason, {reason_names:Array(String)}, {reason_weights:Array(Int32)}, 0), counting
        )) as points,
        arraySort(
            reason -> (
                -transform(reason, {reason_names:Array(String)}, {reason_weights:Array(Int32)}, 0),
                transform(reason, {reason_names:Array(String)}, {reason_classes:Array(String)}, ''),
                reason
            ),
            counting
        )[1] as heaviest,
        if(
            points >= {policy_flagged_from:Array(UInt8)}[verdicts.policy]
            and has(
                {policy_excluded_classes:Array(Array(String))}[verdicts.policy],
                transform(heaviest, {reason_names:Array(String)}, {reason_classes:Array(String)}, '')
            ),
            heaviest,
            ''
        ) as reason_after
    from verdicts
    left join scored on verdicts.click_id = scored.click_id
)

select
    creator_id,
    reason_before,
    reason_after,
    count() as clicks
from reasoned
group by creator_id, reason_before, reason_after
order by creator_id, reason_before, reason_after;
