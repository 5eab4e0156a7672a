-- sqlfluff:ignore:parsing
-- (temporary tables with an engine are ClickHouse's own; its dialect in sqlfluff doesn't know them)

-- name: create_scored_now
-- What clicks' headers say by the rules and lists of now; empty when that isn't asked for.
create or replace temporary table scored_now (
    click_id UUID,
    reasons Array(LowCardinality(String))
) engine = MergeTree
order by click_id;

-- name: create_later_now
-- What would be found after clicks under other thresholds; empty when none are tried.
create or replace temporary table later_now (
    day Date,
    click_id UUID,
    reasons Array(LowCardinality(String))
) engine = MergeTree
order by (day, click_id);

-- name: hide_shared_prefixes
-- A copy of what is known of shared prefixes, which the connection takes for the table itself: the numbered statement
-- that notes what it finds there so leaves the real one as it is.
create or replace temporary table shared_prefix_clicks engine = MergeTree
order by click_id as
select
    run_id,
    organization_id,
    occurred_at,
    click_id,
    clicks,
    links,
    creators
from shared_prefix_clicks
where
    organization_id = {organization_id:String}
    and occurred_at >= fromUnixTimestamp64Milli({from_ms:Int64}, 'UTC')
    and occurred_at < fromUnixTimestamp64Milli({to_ms:Int64}, 'UTC');

-- name: drop_week_clicks
-- Hours that were counted up to another load are none of the next day's.
drop temporary table if exists week_clicks;

-- name: keep_later_reasons
-- Note what was found after the clicks of the day at hand.
insert into later_now (day, click_id, reasons)
select
    toDate(occurred_at) as day,
    click_id,
    later_reasons as reasons
from verdicts;

-- name: runs_of_days
-- The run that is read for each day of a time span, with the load that it read up to and the moment it judged at.
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

runs as (
    select
        run_id,
        as_of,
        toUnixTimestamp64Milli(derived_at) as derived_ms
    from derivation_runs
    where organization_id = {organization_id:String}
    order by run_id
    limit 1 by run_id
)

select
    pointers.day as day,
    runs.run_id as run_id,
    runs.as_of as as_of,
    runs.derived_ms as derived_ms
from pointers
inner join runs on pointers.run_id = runs.run_id
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
-- after the click rests on counts and not on points, so it is the same under other points, and found again only under
-- other thresholds.
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
        toDate(occurred_at) as day,
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

found as (
    select
        day,
        click_id,
        cast(reasons as Array(String)) as reasons,
        true as is_found_again
    from later_now
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
                if(found.is_found_again, found.reasons, verdicts.later)
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
    left join found on verdicts.day = found.day and verdicts.click_id = found.click_id
)

select
    creator_id,
    reason_before,
    reason_after,
    count() as clicks
from reasoned
group by creator_id, reason_before, reason_after
order by creator_id, reason_before, reason_after;
