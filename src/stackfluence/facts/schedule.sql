-- name: touched_days
-- Which days (UTC, of the click) of which organizations rows of some loads touch, and with which load last. A session,
-- pageview or conversion touches its click's day, which is written in the click ID (RFC 9562, 5.7). What is usual and
-- what comes late is looked for in the days before, so a click or conversion touches a week of days behind it, too,
-- less urgently.
with

rows_of_loads as (
    select
        organization_id,
        load_number,
        event_type,
        toUnixTimestamp64Milli(occurred_at) as at_ms,
        if(event_type = 'click', at_ms, toInt64(bitShiftRight(toUInt128(click_id), 80))) as clicked_ms
    from events
    where
        load_number > {after_load:UInt64}
        and load_number <= {as_of:UInt64}
        and received_at >= fromUnixTimestamp64Milli({received_from_ms:Int64}, 'UTC')
        and (
            event_type = 'click'
            or (event_type in ('session', 'pageview', 'conversion') and click_id_status = 'valid')
        )
),

touched as (
    select
        organization_id,
        load_number,
        arrayJoin(arrayConcat(
            if(at_ms - clicked_ms <= 86400000, [(intDiv(clicked_ms, 86400000), true)], []),
            -- the next day's visits may be repeated ones of this
            if(event_type in ('session', 'pageview'), [(intDiv(clicked_ms, 86400000) + 1, false)], []),
            if(
                event_type in ('click', 'conversion'),
                arrayMap(later -> (intDiv(at_ms, 86400000) + later, false), range(if(event_type = 'click', 1, 0), 8)),
                []
            )
        )) as place
    from rows_of_loads
)

select
    toString(organization_id) as organization_id,
    toDate(toUInt16(place.1)) as day,
    maxIf(load_number, place.2) as touched_by,
    maxIf(load_number, not place.2) as neighbour_touched_by
from touched
where place.1 >= {first_day:Int64} and place.1 <= {last_day:Int64}
group by organization_id, day
order by organization_id, day;

-- name: last_runs
-- Up to which load, and at which moment, days were derived.
select
    toString(organization_id) as organization_id,
    day,
    max(as_of) as as_of,
    max(derived_at) as derived_at
from (
    select
        organization_id,
        as_of,
        derived_at,
        arrayJoin(range(
            toUInt32(intDiv(toUnixTimestamp64Milli(from_at), 86400000)),
            toUInt32(intDiv(toUnixTimestamp64Milli(to_at), 86400000))
        )) as day_number,
        toDate(toUInt16(day_number)) as day
    from derivation_runs
    where to_at > fromUnixTimestamp64Milli({from_ms:Int64}, 'UTC')
) as runs
where day_number >= {first_day:UInt32}
group by organization_id, day;

-- name: unfinished_days
-- Days whose newest pointer isn't final, however long ago they were: what it points to expires. And those whose facts
-- have an older form than this program's.
select
    toString(organization_id) as organization_id,
    day,
    argMax(generation, run_id) < {generation:UInt16} as is_outdated
from derived_days
group by organization_id, day
having not argMax(is_final, run_id) or is_outdated
order by organization_id, day;
