-- Click verdicts: every reason for and against a click, and the one that decides.
--
-- Grain:     one row per click of one day (UTC) of one organization.
-- Reads:     arrivals, creator_pace, creator_places, bursts, shared_prefix_clicks
-- Writes:    verdicts (of this connection)
-- Rule:      The policy in force at the click says which reasons count, from how many points on a click is flagged, and
--            which classes of traffic are excluded. Reasons are added up by their weights, at most 100; a flagged click
--            has the class of the reason that weighs most, general before sophisticated, then by name, and where that
--            class is excluded it is invalid for that reason. A session lifts what is provisional.
--            Whatever compares a click with others or says what didn't happen counts against unseen clicks alone: who
--            was seen on the site isn't judged by the neighbours. Each comparison asks for a sample large enough.
-- Lookback:  none beyond that of what it reads
-- Lookahead: none beyond that of what it reads

-- name: derive_click_verdicts
-- Put one day's verdicts into `verdicts`.
insert into verdicts (
    occurred_at, click_id, link_id, creator_id, campaign_id, is_test, arrival_stage, sessions, pageviews, engaged_ms,
    conversions, in_app_browser, device_class, country, stamped_score, is_scored_again, bot_reasons, later_reasons,
    lifted_reasons, evidence, score, traffic_class, invalid_reason, policy_version, flagged_from
)
with

prefixes as (
    select
        click_id,
        max(clicks) as clicks,
        max(links) as links,
        max(creators) as creators
    from shared_prefix_clicks
    where
        organization_id = {organization_id:String}
        and occurred_at >= fromUnixTimestamp64Milli({day_ms:Int64}, 'UTC')
        and occurred_at < fromUnixTimestamp64Milli({day_ms:Int64} + 86400000, 'UTC')
        and run_id <= {run_id:UInt64}
    group by click_id
),

-- shares are compared as products, so that no number is rounded
beside as (
    select
        arrivals.click_id as click_id,
        arrivals.occurred_at as occurred_at,
        arrivals.link_id as link_id,
        arrivals.creator_id as creator_id,
        arrivals.campaign_id as campaign_id,
        arrivals.is_test as is_test,
        arrivals.stamped_score as stamped_score,
        arrivals.is_scored_again as is_scored_again,
        arrivals.bot_reasons as bot_reasons,
        arrivals.in_app_browser as in_app_browser,
        arrivals.device_class as device_class,
        arrivals.country as country,
        arrivals.sessions as sessions,
        arrivals.pageviews as pageviews,
        arrivals.engaged_ms as engaged_ms,
        arrivals.is_webdriver as is_webdriver,
        arrivals.is_idle as is_idle,
        arrivals.conversions as conversions,
        arrivals.purchase_after_ms as purchase_after_ms,
        arrivals.goal_after_ms as goal_after_ms,
        places.clicks as creator_clicks,
        places.seen as creator_seen,
        places.peer_clicks as peer_clicks,
        places.peer_seen as peer_seen,
        places.expected_seen as expected_seen,
        pace.conversions as creator_conversions,
        pace.late_conversions as late_conversions,
        pace.peer_conversions as peer_conversions,
        pace.peer_late_conversions as peer_late_conversions,
        places.hour_clicks as hour_clicks,
        places.usual_clicks as usual_clicks,
        bursts.burst_clicks as burst_clicks,
        prefixes.clicks as prefix_clicks,
        prefixes.links as prefix_links,
        prefixes.creators as prefix_creators,
        -- what is expected is in thousandths; a place has peers' clicks enough, or isn't there
        arrivals.is_unseen
        and places.clicks >= {arrival_clicks:UInt32}
        and places.expected_arrived >= {measured_permille:UInt32} * places.clicks
        and places.arrived * 1000 <= {arrival_permille:UInt32} * places.clicks as is_no_session,
        arrivals.is_unseen
        and places.clicks >= {flood_clicks:UInt32}
        and places.expected_seen >= {flood_seen:UInt32} * 1000
        and places.seen * 1000000 <= {flood_permille:UInt32} * places.expected_seen as is_flooding,
        arrivals.is_unseen
        and pace.conversions >= {late_conversions:UInt32}
        and pace.peer_conversions >= {late_conversions:UInt32}
        and pace.late_conversions * 1000 > {late_permille:UInt32} * pace.conversions
        and pace.peer_late_conversions * 1000 < {late_peer_permille:UInt32} * pace.peer_conversions as is_late,
        arrivals.is_unseen
        and places.other_hours >= {outlier_hours:UInt32}
        and places.hour_clicks > {outlier_clicks:UInt32}
        and places.hour_clicks > {outlier_times:UInt32} * places.usual_clicks
        and places.peer_seen > 0
        and places.hour_seen * places.peer_clicks * 1000
        <= {outlier_permille:UInt32} * places.peer_seen * places.hour_comparable as is_outlier,
        -- others of the campaign, the creator's own among them: who is in the burst isn't
        arrivals.is_unseen
        and bursts.burst_clicks > 0
        and pace.clicks + pace.peer_clicks - bursts.burst_clicks >= {peer_clicks:UInt32}
        and (pace.arrived + pace.peer_arrived) * 1000
        >= {measured_permille:UInt32} * (pace.clicks + pace.peer_clicks - bursts.burst_clicks) as is_burst,
        arrivals.is_unseen
        and prefixes.clicks >= {prefix_clicks:UInt32}
        and prefixes.links >= {prefix_links:UInt32}
        and prefixes.creators >= {prefix_creators:UInt32} as is_shared,
        (arrivals.purchase_after_ms >= 0 and arrivals.purchase_after_ms < {purchase_ms:Int64})
        or (arrivals.goal_after_ms >= 0 and arrivals.goal_after_ms < {goal_ms:Int64}) as is_fast
    from arrivals
    left join creator_pace as pace
        on arrivals.campaign_id = pace.campaign_id and arrivals.creator_id = pace.creator_id
    left join creator_places as places
        on
            arrivals.campaign_id = places.campaign_id
            and arrivals.creator_id = places.creator_id
            and arrivals.page_path = places.page_path
            and arrivals.country = places.country
            and toStartOfHour(arrivals.occurred_at) = places.hour
    left join bursts on arrivals.click_id = bursts.click_id
    left join prefixes on arrivals.click_id = prefixes.click_id
),

reasoned as (
    select
        *,
        arrayLastIndex(
            from_ms -> from_ms <= toUnixTimestamp64Milli(occurred_at), {policy_from:Array(Int64)}
        ) as policy,
        {policy_flagged_from:Array(UInt8)}[policy] as flagged_from,
        cast(bot_reasons as Array(String)) as click_reasons,
        arrayFilter(reason -> sessions > 0 and has({provisional:Array(String)}, reason), click_reasons) as lifted,
        arrayFilter(reason -> reason != '', [
            if(is_fast, 'conversion_too_fast', ''),
            if(is_late, 'conversion_too_late', ''),
            if(is_flooding, 'click_flooding', ''),
            if(is_outlier, 'hourly_outlier', ''),
            if(is_burst, 'hyper_engagement', ''),
            if(is_idle, 'no_interaction', ''),
            if(is_no_session, 'no_session', ''),
            if(is_shared, 'shared_prefix', ''),
            if(is_webdriver, 'webdriver', '')
        ]) as later,
        arrayFilter(
            reason -> not has({policy_ignored_reasons:Array(Array(String))}[policy], reason),
            arrayDistinct(arrayConcat(arrayFilter(reason -> not has(lifted, reason), click_reasons), later))
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
        transform(heaviest, {reason_names:Array(String)}, {reason_classes:Array(String)}, '') as heaviest_class,
        points >= flagged_from
        and has({policy_excluded_classes:Array(Array(String))}[policy], heaviest_class) as is_invalid
    from beside
)

select
    occurred_at,
    click_id,
    link_id,
    creator_id,
    campaign_id,
    is_test,
    multiIf(sessions = 0, 'measured', pageviews > 0 or engaged_ms > 0, 'resolved', 'received') as arrival_stage,
    sessions,
    pageviews,
    engaged_ms,
    conversions,
    in_app_browser,
    device_class,
    country,
    stamped_score,
    is_scored_again,
    click_reasons as bot_reasons,
    later as later_reasons,
    lifted as lifted_reasons,
    cast(arrayConcat(
        if(
            is_burst,
            [('burst_clicks', toInt64(burst_clicks))],
            []
        ),
        if(
            is_fast,
            [('conversion_after_ms', toInt64(if(
                purchase_after_ms < 0 or (goal_after_ms >= 0 and goal_after_ms < {goal_ms:Int64}),
                goal_after_ms,
                purchase_after_ms
            )))],
            []
        ),
        if(
            is_no_session or is_flooding or is_outlier,
            [
                ('creator_clicks', toInt64(creator_clicks)),
                ('creator_seen', toInt64(creator_seen)),
                ('expected_seen', toInt64(intDiv(expected_seen, 1000))),
                ('peer_clicks', toInt64(peer_clicks)),
                ('peer_seen', toInt64(peer_seen))
            ],
            []
        ),
        if(
            is_late,
            [
                ('conversions', toInt64(creator_conversions)),
                ('late_conversions', toInt64(late_conversions)),
                ('peer_conversions', toInt64(peer_conversions)),
                ('peer_late_conversions', toInt64(peer_late_conversions))
            ],
            []
        ),
        if(
            is_outlier,
            [('hour_clicks', toInt64(hour_clicks)), ('usual_hour_clicks', toInt64(usual_clicks))],
            []
        ),
        if(
            is_shared,
            [
                ('prefix_clicks', toInt64(prefix_clicks)),
                ('prefix_creators', toInt64(prefix_creators)),
                ('prefix_links', toInt64(prefix_links))
            ],
            []
        )
    ) as Map(String, Int64)) as evidence,
    toUInt8(points) as score,
    if(is_invalid, heaviest_class, 'valid') as traffic_class,
    if(is_invalid, heaviest, '') as invalid_reason,
    {policy_versions:Array(UInt32)}[policy] as policy_version,
    flagged_from
from reasoned;
