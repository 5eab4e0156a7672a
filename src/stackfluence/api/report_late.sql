-- name: last_loads
-- Up to which load runs read.
select
    run_id,
    max(as_of) as last_load
from derivation_runs
where
    organization_id = {organization_id:String}
    and run_id in {runs:Array(UInt64)}
group by run_id;

-- name: count_late
-- How many rows of clicks no run has read which is read; mostly none, and then there is nothing to look at closer.
select count() as late_rows
from events
where
    organization_id = {organization_id:String}
    and event_type = 'click'
    and load_number <= {horizon:UInt64}
    and occurred_at >= fromUnixTimestamp64Milli({from_ms:Int64}, 'UTC')
    and occurred_at < fromUnixTimestamp64Milli({to_ms:Int64}, 'UTC')
    and load_number > {last_loads:Array(UInt64)}[toInt32(toDate(occurred_at)) - {first_day:Int32} + 1];

-- name: count_not_derived
-- Clicks that are loaded and that no run has judged which is read, by the period that they are of; of more than a
-- million, the first million. (Most rows are told apart by their load's number alone; those that were loaded again
-- after the run that judged them aren't counted.)
with

late as (
    select
        event_id,
        occurred_at
    from events
    where
        organization_id = {organization_id:String}
        and event_type = 'click'
        and load_number <= {horizon:UInt64}
        and occurred_at >= fromUnixTimestamp64Milli({from_ms:Int64}, 'UTC')
        and occurred_at < fromUnixTimestamp64Milli({to_ms:Int64}, 'UTC')
        and load_number > {last_loads:Array(UInt64)}[toInt32(toDate(occurred_at)) - {first_day:Int32} + 1]
        and is_test = {is_test:Bool}
        and ({link_id:String} = '' or link_id = {link_id:String})
        and ({creator_id:String} = '' or creator_id = {creator_id:String})
        and ({campaign_id:String} = '' or campaign_id = {campaign_id:String})
    order by occurred_at, event_id
    limit 1000000
)

select
    roundDown(toInt64(toUnixTimestamp(occurred_at)), {periods:Array(Int64)}) as period_s,
    uniqExact(event_id) as clicks
from late
where (occurred_at, event_id) not in (
    select
        occurred_at,
        click_id
    from click_verdicts
    where
        organization_id = {organization_id:String}
        and occurred_at >= fromUnixTimestamp64Milli({from_ms:Int64}, 'UTC')
        and occurred_at < fromUnixTimestamp64Milli({to_ms:Int64}, 'UTC')
        and run_id = {click_runs:Array(UInt64)}[toInt32(toDate(occurred_at)) - {first_day:Int32} + 1]
        and (occurred_at, click_id) in (
            select
                occurred_at,
                event_id
            from late
        )
)
group by period_s;
