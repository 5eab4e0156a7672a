-- name: last_run
-- The newest derivation run whose verdicts may be read; 0 before the first. A reader asks for it first and reads no run
-- beyond it: what a pointer names is there completely, until it expires.
select coalesce(max(run_id), 0) as last_run
from derived_days
where organization_id = {organization_id:String} and toUnixTimestamp(expires_at) * 1000 > {now_ms:Int64};

-- name: verdicts_of_click
-- The verdicts on one click, newest first: of runs one after the other that say the same, only the last. `newest_run`
-- is the run that is read for its day: a verdict of another one is history. Runs that never finished have no pointer
-- and are left out.
with

finished as (
    select distinct
        day,
        run_id,
        max(run_id) over (partition by day) as newest_run
    from derived_days
    where
        organization_id = {organization_id:String}
        and run_id <= {last_run:UInt64}
        and toUnixTimestamp(expires_at) * 1000 > {now_ms:Int64}
),

runs as (
    select
        run_id,
        derived_at,
        as_of,
        code_version
    from derivation_runs
    where organization_id = {organization_id:String}
    order by run_id
    limit 1 by run_id
),

verdicts as (
    select
        *,
        toDate(occurred_at) as day
    from click_verdicts
    where
        organization_id = {organization_id:String}
        and click_id = {click_id:UUID}
        and occurred_at >= fromUnixTimestamp64Milli({first_ms:Int64}, 'UTC')
        and occurred_at <= fromUnixTimestamp64Milli({last_ms:Int64}, 'UTC')
    order by run_id
    limit 1 by run_id
),

finished_verdicts as (
    select
        verdicts.run_id as run_id,
        finished.newest_run as newest_run,
        runs.derived_at as derived_at,
        runs.as_of as as_of,
        runs.code_version as code_version,
        verdicts.policy_version as policy_version,
        verdicts.flagged_from as flagged_from,
        verdicts.is_scored_again as is_scored_again,
        toString(verdicts.arrival_stage) as arrival_stage,
        verdicts.sessions as sessions,
        verdicts.pageviews as pageviews,
        verdicts.engaged_ms as engaged_ms,
        toString(verdicts.in_app_browser) as in_app_browser,
        toString(verdicts.country) as country,
        verdicts.bot_reasons as bot_reasons,
        verdicts.later_reasons as later_reasons,
        verdicts.lifted_reasons as lifted_reasons,
        verdicts.evidence as evidence,
        verdicts.score as score,
        toString(verdicts.traffic_class) as traffic_class,
        toString(verdicts.invalid_reason) as invalid_reason,
        toString(verdicts.unqualified_reason) as unqualified_reason,
        verdicts.visited_at as visited_at,
        verdicts.is_duplicate_click as is_duplicate_click,
        tuple(
            score,
            traffic_class,
            invalid_reason,
            arraySort(arrayDistinct(arrayFilter(
                reason -> not has(lifted_reasons, reason), arrayConcat(bot_reasons, later_reasons)
            )))
        ) as said
    from verdicts
    inner join finished on verdicts.day = finished.day and verdicts.run_id = finished.run_id
    inner join runs on verdicts.run_id = runs.run_id
),

followed as (
    select
        *,
        row_number() over (order by run_id desc) as place,
        lagInFrame(said) over (order by run_id desc rows between 1 preceding and current row) as said_next
    from finished_verdicts
)

select * except (said, said_next, place)
from followed
where place = 1 or said != said_next
order by run_id desc
limit {limit:UInt32};

-- name: lists_of_click
-- The lists by which a click's headers were scored again, as a run saw it: those of the latest finished one up
-- to it.
select list_versions
from scored_clicks
where
    organization_id = {organization_id:String}
    and click_id = {click_id:UUID}
    and occurred_at >= fromUnixTimestamp64Milli({first_ms:Int64}, 'UTC')
    and occurred_at <= fromUnixTimestamp64Milli({last_ms:Int64}, 'UTC')
    and run_id <= {last_run:UInt64}
    and run_id in (
        select run_id
        from derivation_runs
        where organization_id = {organization_id:String}
    )
order by run_id desc
limit 1;
