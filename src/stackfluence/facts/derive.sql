-- name: highest_run
-- The highest run that left anything in this store; a catalog that was restored continues behind it.
select greatest(
    (select coalesce(max(run_id), 0) as run_id from click_verdicts),
    (select coalesce(max(run_id), 0) as run_id from click_rollups),
    (select coalesce(max(run_id), 0) as run_id from derivation_runs),
    (select coalesce(max(run_id), 0) as run_id from derived_days),
    (select coalesce(max(run_id), 0) as run_id from scored_clicks),
    (select coalesce(max(run_id), 0) as run_id from conversions),
    (select coalesce(max(run_id), 0) as run_id from attributions),
    (select coalesce(max(run_id), 0) as run_id from order_shares),
    (select coalesce(max(run_id), 0) as run_id from self_purchases),
    (select coalesce(max(run_id), 0) as run_id from order_runs),
    (select coalesce(max(run_id), 0) as run_id from derived_order_days),
    (select coalesce(max(run_id), 0) as run_id from same_customers),
    (select coalesce(max(run_id), 0) as run_id from shared_prefix_clicks)
) as run_id;

-- name: count_day_verdicts
-- What the day at hand came to. The hash is over every column of every row, in whatever order they are. (Two hashes of
-- 64 bits: one SipHash of 128 takes five times as long over so many columns.)
with

facts as (
    select
        invalid_reason,
        unqualified_reason,
        (
            occurred_at, click_id, link_id, creator_id, campaign_id, is_test, toString(arrival_stage), sessions,
            pageviews, engaged_ms, conversions, toString(in_app_browser), toString(device_class), toString(country),
            stamped_score, is_scored_again,
            cast(bot_reasons as Array(String)), cast(later_reasons as Array(String)),
            cast(lifted_reasons as Array(String)), cast(evidence as Map(String, Int64)), score,
            toString(traffic_class), toString(invalid_reason), policy_version, flagged_from, session_id, visited_at,
            toString(unqualified_reason), is_duplicate_click
        ) as fact
    from day_verdicts
)

select
    count() as clicks,
    countIf(invalid_reason = '') as valid,
    countIf(unqualified_reason = '') as qualified,
    (select countIf(event_type = 'click') as click_rows from day_events) as click_rows,
    lower(hex(groupBitXor(bitShiftLeft(toUInt128(cityHash64(fact)), 64) + toUInt128(xxHash64(fact))))) as facts_hash
from facts;

-- name: hash_day_rollups
-- The hash of the day's counts, as that of its verdicts.
with

facts as (
    select (
        toString(counted_by), counted_at, creator_id, campaign_id, link_id, toString(country), toString(device_class),
        toString(in_app_browser), is_test, toString(arrival_stage), toString(invalid_reason),
        toString(unqualified_reason), clicks, pageviews
    ) as fact
    from day_rollups
)

select lower(hex(groupBitXor(bitShiftLeft(toUInt128(cityHash64(fact)), 64) + toUInt128(xxHash64(fact))))) as facts_hash
from facts;

-- name: publish_verdicts
-- Copy the day at hand into click_verdicts; nobody reads it there before the run's pointer.
insert into click_verdicts (
    run_id, organization_id, occurred_at, click_id, link_id, creator_id, campaign_id, is_test, arrival_stage, sessions,
    pageviews, engaged_ms, conversions, in_app_browser, device_class, country, stamped_score, is_scored_again,
    bot_reasons, later_reasons, lifted_reasons, evidence, score, traffic_class, invalid_reason, policy_version,
    flagged_from, session_id, visited_at, unqualified_reason, is_duplicate_click, expires_at
)
select
    {run_id:UInt64} as run_id,
    {organization_id:String} as organization_id,
    occurred_at,
    click_id,
    link_id,
    creator_id,
    campaign_id,
    is_test,
    arrival_stage,
    sessions,
    pageviews,
    engaged_ms,
    conversions,
    in_app_browser,
    device_class,
    country,
    stamped_score,
    is_scored_again,
    bot_reasons,
    later_reasons,
    lifted_reasons,
    evidence,
    score,
    traffic_class,
    invalid_reason,
    policy_version,
    flagged_from,
    session_id,
    visited_at,
    unqualified_reason,
    is_duplicate_click,
    toDateTime({expires_s:UInt32}, 'UTC') as expires_at
from day_verdicts;

-- name: publish_rollups
-- Copy the day's counts into click_rollups; nobody reads them there before the run's pointer.
insert into click_rollups (
    run_id, organization_id, counted_by, counted_at, creator_id, campaign_id, link_id, country, device_class,
    in_app_browser, is_test, arrival_stage, invalid_reason, unqualified_reason, clicks, pageviews, expires_at
)
select
    {run_id:UInt64} as run_id,
    {organization_id:String} as organization_id,
    counted_by,
    counted_at,
    creator_id,
    campaign_id,
    link_id,
    country,
    device_class,
    in_app_browser,
    is_test,
    arrival_stage,
    invalid_reason,
    unqualified_reason,
    clicks,
    pageviews,
    toDateTime({expires_s:UInt32}, 'UTC') as expires_at
from day_rollups;

-- name: last_pointer
-- What is read for a day at a moment.
select
    is_final,
    facts_hash,
    generation,
    click_rows
from derived_days
where
    organization_id = {organization_id:String}
    and day = {day:Date}
    and toUnixTimestamp(expires_at) * 1000 > {now_ms:Int64}
order by run_id desc
limit 1;

-- name: list_versions
-- The lists by which clicks of the run's time span were scored again, by this run or one that was finished.
select distinct list_versions
from (
    select argMax(list_versions, run_id) as list_versions
    from scored_clicks
    where
        organization_id = {organization_id:String}
        and occurred_at >= fromUnixTimestamp64Milli({from_ms:Int64}, 'UTC')
        and occurred_at < fromUnixTimestamp64Milli({to_ms:Int64}, 'UTC')
        and run_id <= {run_id:UInt64}
        and (
            run_id = {run_id:UInt64}
            or run_id in (
                select run_id
                from derivation_runs
                where organization_id = {organization_id:String}
            )
        )
    group by click_id
) as scored;

-- name: note_run
-- Say that a run is complete.
insert into derivation_runs (
    run_id, derived_at, organization_id, from_at, to_at, as_of, code_version, list_versions, policy_versions, clicks,
    facts_hash, table_hashes, warnings
)
select
    {run_id:UInt64} as run_id,
    fromUnixTimestamp64Milli({derived_ms:Int64}, 'UTC') as derived_at,
    {organization_id:String} as organization_id,
    fromUnixTimestamp64Milli({from_ms:Int64}, 'UTC') as from_at,
    fromUnixTimestamp64Milli({to_ms:Int64}, 'UTC') as to_at,
    {as_of:UInt64} as as_of,
    {code_version:String} as code_version,
    mapFromArrays({list_names:Array(String)}, {list_values:Array(String)}) as list_versions,
    {run_policies:Array(UInt32)} as policy_versions,
    {clicks:UInt64} as clicks,
    {facts_hash:String} as facts_hash,
    mapFromArrays({hashed_tables:Array(String)}, {table_hashes:Array(String)}) as table_hashes,
    {warnings:Array(String)} as warnings;

-- name: point_days
-- Let readers see a run's days, all at once.
insert into derived_days (
    organization_id, day, run_id, is_final, is_kept, clicks, facts_hash, generation, click_rows, expires_at
)
select
    {organization_id:String} as organization_id,
    written.1 as day,
    {run_id:UInt64} as run_id,
    written.2 as is_final,
    written.3 as is_kept,
    written.4 as clicks,
    written.5 as facts_hash,
    {generation:UInt16} as generation,
    written.6 as click_rows,
    toDateTime(written.7, 'UTC') as expires_at
from (
    select arrayJoin(arrayZip(
        {days:Array(Date)},
        {finals:Array(Bool)},
        {kept:Array(Bool)},
        {day_clicks:Array(UInt64)},
        {hashes:Array(String)},
        {rows_read:Array(UInt64)},
        {ends:Array(UInt32)}
    )) as written
) as days;
