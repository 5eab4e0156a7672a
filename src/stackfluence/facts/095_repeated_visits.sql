-- Repeated visits: clicks of somebody who had clicked before, as their own sessions say.
--
-- Grain:     one row per click of one day (UTC) of one organization and session that an earlier click had led to, too.
-- Reads:     visits, visits_before, arrivals, day_events
-- Writes:    repeated (of this connection)
-- Rule:      Two clicks are of one person when those whose word the policy takes told of both under one session id,
--            which ends after 30 minutes without activity; a visitor hash never says so. A visit is repeated when an
--            earlier click on links of the same creator and campaign led to an engaged one within the hours before
--            that the later click's policy says; a click is a duplicate when an earlier one of those was on the same
--            link. An earlier click counts for this unless it is flagged by what its edge stamped on it and all its
--            own pages told (webdriver, no_interaction), by its own policy. Of two in one millisecond the one whose id
--            comes first in the alphabet is the earlier.
-- Lookback:  none beyond that of what it reads
-- Lookahead: none beyond that of what it reads

-- name: find_repeated_visits
-- Put the day's repeated visits and duplicate clicks into `repeated`.
insert into repeated (click_id, session_id, is_repeated_visit, is_duplicate_click)
with

-- who led to one click alone, as most sessions, repeats nothing
shared as (
    select session_id
    from (
        select session_id from visits_before
        union all
        select session_id from visits
    ) as sessions
    where session_id != ''
    group by session_id
    having count() > 1
),

today as (
    select
        click_id,
        session_id,
        is_engaged
    from visits
    where session_id in (select session_id from shared)
),

arrived as (
    select
        click_id,
        node,
        seq,
        is_webdriver,
        is_idle
    from arrivals
    where click_id in (select click_id from today)
),

clicks as (
    select
        click_id,
        node,
        seq,
        link_id,
        creator_id,
        campaign_id,
        is_test,
        bot_reasons
    from day_events
    where event_type = 'click' and click_id in (select click_id from today)
),

visited as (
    select
        click_id,
        session_id,
        is_engaged,
        was_webdriver,
        was_idle,
        link_id,
        creator_id,
        campaign_id,
        is_test,
        bot_reasons
    from visits_before
    where session_id in (select session_id from shared)
    union all
    select
        today.click_id as click_id,
        today.session_id as session_id,
        today.is_engaged as is_engaged,
        arrived.is_webdriver as was_webdriver,
        arrived.is_idle as was_idle,
        clicks.link_id as link_id,
        clicks.creator_id as creator_id,
        clicks.campaign_id as campaign_id,
        clicks.is_test as is_test,
        clicks.bot_reasons as bot_reasons
    from today
    inner join arrived on today.click_id = arrived.click_id
    inner join clicks
        on arrived.click_id = clicks.click_id and arrived.node = clicks.node and arrived.seq = clicks.seq
),

judged as (
    select
        *,
        toInt64(bitShiftRight(toUInt128(click_id), 80)) as clicked_ms,
        arrayLastIndex(from_ms -> from_ms <= clicked_ms, {policy_from:Array(Int64)}) as policy,
        arraySum(
            reason -> transform(reason, {reason_names:Array(String)}, {reason_weights:Array(Int32)}, 0),
            arrayFilter(
                reason -> not has({provisional:Array(String)}, reason)
                and not has({policy_ignored_reasons:Array(Array(String))}[policy], reason),
                arrayDistinct(arrayConcat(
                    cast(bot_reasons as Array(String)),
                    if(was_webdriver, ['webdriver'], []),
                    if(was_idle, ['no_interaction'], [])
                ))
            )
        ) < {policy_flagged_from:Array(UInt8)}[policy] as is_counting
    from visited
),

beside as (
    select
        click_id,
        session_id,
        clicked_ms,
        {policy_repeat_ms:Array(Int64)}[policy] as repeat_ms,
        max(if(is_counting and is_engaged, clicked_ms, 0)) over (
            partition by session_id, creator_id, campaign_id, is_test
            order by clicked_ms, toString(click_id)
            rows between unbounded preceding and 1 preceding
        ) as engaged_before_ms,
        max(if(is_counting, clicked_ms, 0)) over (
            partition by session_id, creator_id, campaign_id, link_id, is_test
            order by clicked_ms, toString(click_id)
            rows between unbounded preceding and 1 preceding
        ) as clicked_before_ms
    from judged
)

select
    click_id,
    session_id,
    engaged_before_ms > 0 and clicked_ms - engaged_before_ms < repeat_ms as is_repeated_visit,
    clicked_before_ms > 0 and clicked_ms - clicked_before_ms < repeat_ms as is_duplicate_click
from beside
where clicked_ms >= {day_ms:Int64} and (is_repeated_visit or is_duplicate_click);
