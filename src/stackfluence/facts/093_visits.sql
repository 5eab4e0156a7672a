-- Visits: what pages told of the visits that the day's clicks led to.
--
-- Grain:     one row per click of one day (UTC) of one organization that a session or pageview carried on.
-- Reads:     arrivals, day_events, superseded
-- Writes:    visits (of this connection)
-- Rule:      What belongs to a click is as in 040. Only what a tier told counts whose word the click's policy takes.
--            A visit began with the first that was told in a session; who objected to being measured has none. The
--            longest engaged time counts; a browser can't have been longer on the page than the time from the click to
--            the moment that it was told, and one that says so is not believed.
-- Lookback:  none beyond that of what it reads
-- Lookahead: none beyond that of what it reads

-- name: derive_visits
-- Put the visits of one day's clicks into `visits`.
insert into visits (
    click_id, told, trusted, session_id, session_ids, visited_at, pageviews, engaged_ms, is_implausible
)
with

told as (
    select
        following.click_id as click_id,
        following.event_type as event_type,
        following.session_id as session_id,
        following.occurred_at as occurred_at,
        following.engaged_ms as engaged_ms,
        arrayLastIndex(
            from_ms -> from_ms <= toUnixTimestamp64Milli(arrivals.occurred_at), {policy_from:Array(Int64)}
        ) as policy,
        has({policy_session_tiers:Array(Array(String))}[policy], toString(following.trust_tier)) as is_trusted,
        is_trusted and following.session_id != '' as is_in_session,
        following.trust_tier = 'browser'
        and following.engaged_ms
        > toUnixTimestamp64Milli(following.received_at) - toUnixTimestamp64Milli(arrivals.occurred_at) as is_too_long
    from day_events as following
    inner join arrivals on following.click_id = arrivals.click_id
    where
        following.event_type in ('session', 'pageview')
        and toUnixTimestamp64Milli(following.occurred_at) - toUnixTimestamp64Milli(arrivals.occurred_at) <= 86400000
        and following.is_test = arrivals.is_test
        and (following.node, following.seq) not in (
            select
                node,
                seq
            from superseded
        )
)

select
    told.click_id as click_id,
    toUInt32(count()) as told_events,
    toUInt32(countIf(told.is_trusted)) as trusted,
    argMinIf(told.session_id, (told.occurred_at, told.session_id), told.is_in_session) as session_id,
    arraySort(groupUniqArrayIf(told.session_id, told.is_in_session)) as session_ids,
    minIf(told.occurred_at, told.is_in_session) as visited_at,
    toUInt32(countIf(told.is_in_session and told.event_type = 'pageview')) as pageviews,
    maxIf(told.engaged_ms, told.is_in_session and not told.is_too_long) as engaged_ms,
    countIf(told.is_in_session and told.is_too_long) > 0 as is_implausible
from told
group by click_id;
