-- Creator hours: an hour's clicks beside the same creator's other hours of a week.
--
-- Grain:     one row per campaign, creator and hour of the day (UTC) with clicks.
-- Reads:     arrivals, week_clicks
-- Writes:    creator_hours (of this connection)
-- Rule:      Usual is the lower median of the clicks in the creator's other hours that had any, of this day and the
--            seven before: hours without clicks would make every post an outlier. Test clicks and those that their
--            edge took for robots are left out.
-- Lookback:  7 days, for what is usual.
-- Lookahead: none

-- name: derive_creator_hours
-- Put one day's hours of each creator into `creator_hours`.
insert into creator_hours (campaign_id, creator_id, hour, clicks, other_hours, usual_clicks, comparable, seen)
with

hours as (
    select
        campaign_id,
        creator_id,
        hour,
        sum(week_clicks.clicks) as clicks
    from week_clicks
    where
        day >= toDate(toUInt16(intDiv({day_ms:Int64}, 86400000) - 7))
        and day <= toDate(toUInt16(intDiv({day_ms:Int64}, 86400000)))
    group by campaign_id, creator_id, hour
    having clicks > 0
),

weeks as (
    select
        campaign_id,
        creator_id,
        arraySort(groupArray((clicks, hour))) as week
    from hours
    group by campaign_id, creator_id
),

days as (
    select
        campaign_id,
        creator_id,
        arrayMap(other -> other.1, week) as sorted,
        arrayJoin(arrayFilter(other -> other.2 >= fromUnixTimestamp64Milli({day_ms:Int64}, 'UTC'), week)) as own
    from weeks
),

-- the list without one element of this hour's size: equal numbers are the same, whichever is taken out
others as (
    select
        campaign_id,
        creator_id,
        own.2 as hour,
        own.1 as clicks,
        arrayConcat(
            arraySlice(sorted, 1, indexOf(sorted, clicks) - 1), arraySlice(sorted, indexOf(sorted, clicks) + 1)
        ) as other_clicks
    from days
),

seen_hours as (
    select
        campaign_id,
        creator_id,
        toStartOfHour(occurred_at) as hour,
        countIf(is_comparable) as comparable,
        countIf(is_comparable and not is_unseen) as seen
    from arrivals
    where not is_test
    group by campaign_id, creator_id, hour
)

select
    others.campaign_id as campaign_id,
    others.creator_id as creator_id,
    others.hour as hour,
    others.clicks as clicks,
    length(others.other_clicks) as other_hours,
    others.other_clicks[intDiv(other_hours + 1, 2)] as usual_clicks,
    seen_hours.comparable as comparable,
    seen_hours.seen as seen
from others
left join seen_hours
    on
        others.campaign_id = seen_hours.campaign_id
        and others.creator_id = seen_hours.creator_id
        and others.hour = seen_hours.hour;
