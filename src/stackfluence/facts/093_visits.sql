-- Visits: what pages told of the visits that the day's clicks led to.
--
-- Grain:     one row per click of one day (UTC) of one organization and session that a session or pageview carried on;
--            one without a session for all that was told outside of any, or by somebody whose word isn't taken.
-- Reads:     arrivals, day_events, superseded
-- Writes:    visits (of this connection)
-- Rule:      What belongs to a click is as in 040. Only what a tier told counts whose word the click's policy takes.
--            A visit is a session; who objected to being measured has none. It is engaged from the policy's pages or
--            time on. The longest time counts; a browser can't have been longer on the page than the time from the
--            click to the moment that it was told, and one that says so is not believed.
-- Lookback:  none beyond that of what it reads
-- Lookahead: none beyond that of what it reads

-- name: derive_visits
-- Put the visits of one day's clicks into `visits`.
insert into visits (click_id, session_id, trusted, visited_at, is_engaged, is_said_engaged)
with

told as (
    select
        following.click_id as click_id,
        following.event_type as event_type,
        following.occurred_at as occurred_at,
        following.engaged_ms as engaged_ms,
        toUnixTimestamp64Milli(arrivals.occurred_at) as clicked_ms,
        toUnixTimestamp64Milli(following.occurred_at) - clicked_ms as after_ms,
        arrayLastIndex(from_ms -> from_ms <= clicked_ms, {policy_from:Array(Int64)}) as policy,
        {policy_min_pageviews:Array(UInt32)}[policy] as enough_pages,
        {policy_min_engaged_ms:Array(Int64)}[policy] as enough_ms,
        has({policy_session_tiers:Array(Array(String))}[policy], toString(following.trust_tier)) as is_trusted,
        if(is_trusted, following.session_id, '') as visit,
        following.trust_tier = 'browser'
        and following.engaged_ms > toUnixTimestamp64Milli(following.received_at) - clicked_ms as is_too_long
    from day_events as following
    inner join arrivals on following.click_id = arrivals.click_id
    where
        following.event_type in ('session', 'pageview')
        and after_ms between -86400000 and 86400000
        and following.is_test = arrivals.is_test
        and (following.node, following.seq) not in (
            select
                node,
                seq
            from superseded
        )
)

select
    click_id,
    visit as session_id,
    toUInt32(countIf(is_trusted)) as trusted,
    min(occurred_at) as visited_at,
    countIf(event_type = 'pageview') >= min(enough_pages)
    or maxIf(engaged_ms, not is_too_long) >= min(enough_ms) as is_engaged,
    countIf(event_type = 'pageview') >= min(enough_pages) or max(engaged_ms) >= min(enough_ms) as is_said_engaged
from told
group by click_id, visit;
