-- Repeated visits: clicks of somebody who had clicked before, as their own sessions say.
--
-- Grain:     one row per click of one day (UTC) of one organization that came second in one of its sessions.
-- Reads:     visits, events
-- Writes:    repeated (of this connection)
-- Rule:      Two clicks are of one person when pages told of both under one session id, which ends after 30 minutes
--            without activity; a visitor hash never says so. A visit is repeated when an earlier click on links of the
--            same creator and campaign led to an engaged one within the policy's hours before it; a click is a
--            duplicate when an earlier one of those was on the same link. An earlier click counts for this unless it
--            is flagged by what its edge stamped on it and its own pages told. Of two in one millisecond the one
--            whose id comes first in the alphabet is the earlier.
-- Lookback:  2 days: the policy's hours, at most 24, and a browser's wrong clock
-- Lookahead: 1 day, for what follows the day's last click

-- name: find_repeated_visits
-- Put the day's repeated visits and duplicate clicks into `repeated`.
insert into repeated (click_id, is_repeated_visit, is_duplicate_click)
with

told as (
    select
        session_id,
        click_id,
        event_type,
        event_id,
        is_test,
        engaged_ms,
        has(bot_reasons, 'webdriver') as is_webdriver,
        toInt64(bitShiftRight(toUInt128(click_id), 80)) as clicked_ms,
        arrayLastIndex(from_ms -> from_ms <= clicked_ms, {policy_from:Array(Int64)}) as policy,
        trust_tier = 'browser' and engaged_ms > toUnixTimestamp64Milli(received_at) - clicked_ms as is_too_long
    from events
    where
        organization_id = {organization_id:String}
        and event_type in ('session', 'pageview')
        and load_number <= {as_of:UInt64}
        and occurred_at >= fromUnixTimestamp64Milli({day_ms:Int64} - 172800000, 'UTC')
        and occurred_at < fromUnixTimestamp64Milli({day_ms:Int64} + 172800000, 'UTC')
        and click_id_status = 'valid'
        and clicked_ms >= {day_ms:Int64} - 86400000
        and clicked_ms < {day_ms:Int64} + 86400000
        and toUnixTimestamp64Milli(occurred_at) - clicked_ms <= 86400000
        and session_id in (select arrayJoin(session_ids) as session_id from visits)
        and has({policy_session_tiers:Array(Array(String))}[policy], toString(trust_tier))
),

visited as (
    select
        session_id,
        click_id,
        is_test,
        min(clicked_ms) as clicked_ms,
        min(policy) as policy,
        uniqExactIf(event_id, event_type = 'pageview') >= {policy_min_pageviews:Array(UInt32)}[policy]
        or maxIf(engaged_ms, not is_too_long) >= {policy_min_engaged_ms:Array(Int64)}[policy] as is_engaged,
        countIf(is_webdriver) > 0 as was_webdriver
    from told
    group by session_id, click_id, is_test
),

clicks as (
    select
        event_id as click_id,
        argMin((link_id, creator_id, campaign_id, is_test, cast(bot_reasons as Array(String))), leaf_hash) as click
    from events
    where
        organization_id = {organization_id:String}
        and event_type = 'click'
        and load_number <= {as_of:UInt64}
        and occurred_at >= fromUnixTimestamp64Milli({day_ms:Int64} - 86400000, 'UTC')
        and occurred_at < fromUnixTimestamp64Milli({day_ms:Int64} + 86400000, 'UTC')
        and event_id in (select click_id from visited)
    group by event_id
),

judged as (
    select
        visited.session_id as session_id,
        visited.click_id as click_id,
        visited.clicked_ms as clicked_ms,
        visited.is_test as is_test,
        clicks.click.1 as link_id,
        clicks.click.2 as creator_id,
        clicks.click.3 as campaign_id,
        visited.is_engaged as is_engaged,
        {policy_repeat_ms:Array(Int64)}[visited.policy] as repeat_ms,
        arraySum(
            reason -> transform(reason, {reason_names:Array(String)}, {reason_weights:Array(Int32)}, 0),
            arrayFilter(
                reason -> not has({provisional:Array(String)}, reason)
                and not has({policy_ignored_reasons:Array(Array(String))}[visited.policy], reason),
                arrayConcat(clicks.click.5, if(visited.was_webdriver, ['webdriver'], []))
            )
        ) < {policy_flagged_from:Array(UInt8)}[visited.policy] as is_counting
    from visited
    inner join clicks on visited.click_id = clicks.click_id
    where visited.is_test = clicks.click.4
),

beside as (
    select
        click_id,
        clicked_ms,
        repeat_ms,
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
    max(engaged_before_ms > 0 and clicked_ms - engaged_before_ms < repeat_ms) as is_repeated_visit,
    max(clicked_before_ms > 0 and clicked_ms - clicked_before_ms < repeat_ms) as is_duplicate_click
from beside
where clicked_ms >= {day_ms:Int64}
group by click_id
having is_repeated_visit or is_duplicate_click;
