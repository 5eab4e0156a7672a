-- Arrivals: how far each click got.
--
-- Grain:     one row per click of one day (UTC) of one organization.
-- Reads:     day_events, superseded, scored_clicks, derivation_runs
-- Writes:    arrivals (of this connection)
-- Rule:      A session, pageview or conversion belongs to a click when it carries that click's ID and is stated to have
--            happened at most 24 hours after it, or at most 24 hours before it: the ID exists from the click on, so
--            what is stated to be earlier has a wrong clock. A click is comparable when it could have been seen on the
--            site and 24 hours have passed: no test, no objection to being measured, and not taken for a robot by its
--            edge. It is unseen when it is comparable and neither session nor conversion came of it. It was seen when
--            one did, comparable or not. What lists of a later day said counts once the run that asked them was
--            finished.
-- Lookback:  none beyond that of what it reads
-- Lookahead: none beyond that of what it reads

-- name: derive_arrivals
-- Put one day's clicks with what followed them into `arrivals`.
insert into arrivals (
    click_id, node, seq, occurred_at, link_id, creator_id, campaign_id, is_test, visitor_hash, stamped_score,
    is_scored_again, bot_reasons, in_app_browser, device_class, country, page_path, is_measurable, sessions, pageviews,
    engaged_ms, is_webdriver, is_idle, conversions, purchase_after_ms, goal_after_ms, is_comparable, was_seen, is_unseen
)
with

clicks as (
    select
        click_id,
        node,
        seq,
        occurred_at,
        link_id,
        creator_id,
        campaign_id,
        is_test,
        visitor_hash,
        bot_score,
        bot_reasons,
        in_app_browser,
        device_class,
        country,
        page_path,
        is_measurable
    from day_events
    where event_type = 'click' and (node, seq) not in (
        select
            node,
            seq
        from superseded
    )
),

timed as (
    select
        event_type,
        click_id,
        is_test,
        session_id,
        engaged_ms,
        is_webdriver,
        is_idle,
        toUnixTimestamp64Milli(occurred_at) - toInt64(bitShiftRight(toUInt128(click_id), 80)) as after_ms,
        -- an order stated to be earlier than its click has a wrong clock, one heard of much later than it is stated to
        -- be may have one, and a renewal is placed by nobody
        after_ms >= 0
        and not is_renewal
        and toUnixTimestamp64Milli(received_at) - toUnixTimestamp64Milli(occurred_at) <= {prompt_ms:Int64} as is_timed,
        is_timed and conversion_type = 'purchase' as is_purchase,
        is_timed and conversion_type in ('signup', 'lead') as is_goal
    from day_events
    where
        event_type != 'click'
        and after_ms between -86400000 and 86400000
        and (node, seq) not in (
            select
                node,
                seq
            from superseded
        )
),

followed as (
    select
        click_id,
        is_test,
        -- who objected to being measured has no session id: that a page of the click was seen is one session
        greatest(
            uniqExactIf(session_id, event_type != 'conversion' and session_id != ''),
            toUInt64(countIf(event_type != 'conversion') > 0)
        ) as sessions,
        countIf(event_type = 'pageview') as pageviews,
        maxIf(engaged_ms, event_type != 'conversion') as longest_ms,
        sessions > 0
        and countIf(event_type != 'conversion' and not is_idle) = 0
        and longest_ms > {idle_ms:Int64} as was_idle,
        countIf(event_type = 'conversion') as conversions,
        -- -1 where there is none
        if(countIf(is_purchase) = 0, -1, minIf(after_ms, is_purchase)) as purchase_after_ms,
        if(countIf(is_goal) = 0, -1, minIf(after_ms, is_goal)) as goal_after_ms
    from timed
    group by click_id, is_test
),

-- by the visit that was first: the address that it left behind may be opened again by a program
driven as (
    select
        click_id,
        is_test
    from timed
    where
        event_type != 'conversion'
        and click_id in (
            select click_id
            from day_events
            where is_webdriver
        )
    group by click_id, is_test
    having has(groupUniqArrayIf(session_id, is_webdriver), argMin(session_id, (after_ms, session_id)))
),

scored as (
    select
        click_id,
        argMax(reasons, run_id) as reasons,
        true as is_scored_again
    from scored_clicks
    where
        organization_id = {organization_id:String}
        and occurred_at >= fromUnixTimestamp64Milli({day_ms:Int64}, 'UTC')
        and occurred_at < fromUnixTimestamp64Milli({day_ms:Int64} + 86400000, 'UTC')
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
)

select
    clicks.click_id as click_id,
    clicks.node as node,
    clicks.seq as seq,
    clicks.occurred_at as occurred_at,
    clicks.link_id as link_id,
    clicks.creator_id as creator_id,
    clicks.campaign_id as campaign_id,
    clicks.is_test as is_test,
    clicks.visitor_hash as visitor_hash,
    clicks.bot_score as stamped_score,
    scored.is_scored_again as is_scored_again,
    arraySort(arrayDistinct(if(
        scored.is_scored_again,
        arrayConcat(
            arrayFilter(
                reason -> not has({recomputable:Array(String)}, reason),
                cast(clicks.bot_reasons as Array(String))
            ),
            cast(scored.reasons as Array(String))
        ),
        cast(clicks.bot_reasons as Array(String))
    ))) as bot_reasons,
    clicks.in_app_browser as in_app_browser,
    clicks.device_class as device_class,
    clicks.country as country,
    clicks.page_path as page_path,
    clicks.is_measurable as is_measurable,
    followed.sessions as sessions,
    followed.pageviews as pageviews,
    followed.longest_ms as engaged_ms,
    (clicks.click_id, clicks.is_test) in (
        select
            click_id,
            is_test
        from driven
    ) as is_webdriver,
    followed.was_idle as is_idle,
    followed.conversions as conversions,
    -- a left join gives zeros for what isn't there
    if(followed.conversions = 0, -1, followed.purchase_after_ms) as purchase_after_ms,
    if(followed.conversions = 0, -1, followed.goal_after_ms) as goal_after_ms,
    not clicks.is_test
    and clicks.bot_score < {comparable_below:UInt8}
    and clicks.is_measurable
    and toUnixTimestamp64Milli(clicks.occurred_at) + 86400000 <= {derived_ms:Int64} as is_comparable,
    followed.sessions > 0 or followed.conversions > 0 as was_seen,
    is_comparable and not was_seen as is_unseen
from clicks
left join followed on clicks.click_id = followed.click_id and clicks.is_test = followed.is_test
left join scored on clicks.click_id = scored.click_id;
