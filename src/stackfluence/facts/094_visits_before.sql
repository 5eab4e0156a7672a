-- Visits before: what came of clicks of the day before, whose sessions led to clicks of the day as well.
--
-- Grain:     one row per such click and session.
-- Reads:     visits, events
-- Writes:    pages_before, visits_before (of this connection)
-- Rule:      What belongs to a click is as in 040, a visit and when it is engaged as in 093, by the policy at that
--            click; of several rows of one event the same one counts as in 030. Whether a page was seen by a program,
--            or without a movement, is asked of all that the click's pages told, whatever session that was of and
--            whoever told it.
-- Lookback:  2 days: a policy's hours, at most 24, and a wrong clock; further rows of these events wherever
-- Lookahead: none

-- name: find_pages_before
-- Put what pages told of these clicks into `pages_before`.
insert into pages_before (
    click_id, event_type, session_id, occurred_at, received_at, trust_tier, is_test, engaged_ms, is_webdriver, is_idle
)
with

before as (
    select click_id
    from events
    where
        organization_id = {organization_id:String}
        and event_type in ('session', 'pageview')
        and load_number <= {as_of:UInt64}
        and occurred_at >= fromUnixTimestamp64Milli({day_ms:Int64} - 172800000, 'UTC')
        and occurred_at < fromUnixTimestamp64Milli({day_ms:Int64} + 86400000, 'UTC')
        and click_id_status = 'valid'
        and toInt64(bitShiftRight(toUInt128(click_id), 80)) >= {day_ms:Int64} - 86400000
        and toInt64(bitShiftRight(toUInt128(click_id), 80)) < {day_ms:Int64}
        and session_id != ''
        and session_id in (select session_id from visits)
    group by click_id
),

told as (
    select event_id
    from events
    where
        organization_id = {organization_id:String}
        and event_type in ('session', 'pageview')
        and load_number <= {as_of:UInt64}
        and occurred_at >= fromUnixTimestamp64Milli({day_ms:Int64} - 172800000, 'UTC')
        and occurred_at < fromUnixTimestamp64Milli({day_ms:Int64} + 86400000, 'UTC')
        and click_id_status = 'valid'
        and click_id in (select click_id from before)
    group by event_id
),

stored as (
    select
        click_id,
        click_id_status,
        event_type,
        session_id,
        occurred_at,
        received_at,
        trust_tier,
        is_test,
        engaged_ms,
        bot_reasons,
        row_number() over (partition by event_id order by tier, occurred_at, received_at, leaf_hash) as place
    from events
    where
        organization_id = {organization_id:String}
        and event_type != 'click'
        and load_number <= {as_of:UInt64}
        and event_id in (select event_id from told)
)

select
    click_id,
    event_type,
    session_id,
    occurred_at,
    received_at,
    trust_tier,
    is_test,
    engaged_ms,
    has(bot_reasons, 'webdriver') as is_webdriver,
    has(bot_reasons, 'no_interaction') as is_idle
from stored
where place = 1 and event_type in ('session', 'pageview') and click_id_status = 'valid';

-- name: find_visits_before
-- Put the visits of these clicks into `visits_before`.
insert into visits_before (
    click_id, session_id, is_engaged, was_webdriver, was_idle, link_id, creator_id, campaign_id, is_test, bot_reasons
)
with

clicks as (
    select
        event_id as click_id,
        toInt64(bitShiftRight(toUInt128(click_id), 80)) as clicked_ms,
        min((link_id, creator_id, campaign_id, is_test, bot_reasons)) as stamped
    from events
    where
        organization_id = {organization_id:String}
        and event_type = 'click'
        and load_number <= {as_of:UInt64}
        and occurred_at >= fromUnixTimestamp64Milli({day_ms:Int64} - 86400000, 'UTC')
        and occurred_at < fromUnixTimestamp64Milli({day_ms:Int64}, 'UTC')
        and event_id in (select click_id from pages_before)
    group by event_id
),

told as (
    select
        pages_before.click_id as click_id,
        pages_before.session_id as session_id,
        pages_before.event_type as event_type,
        pages_before.engaged_ms as engaged_ms,
        clicks.stamped as stamped,
        clicks.clicked_ms as clicked_ms,
        toUnixTimestamp64Milli(pages_before.occurred_at) - clicked_ms as after_ms,
        arrayLastIndex(from_ms -> from_ms <= clicked_ms, {policy_from:Array(Int64)}) as policy,
        pages_before.session_id != ''
        and has({policy_session_tiers:Array(Array(String))}[policy], toString(pages_before.trust_tier)) as is_visit,
        pages_before.trust_tier = 'browser'
        and pages_before.engaged_ms > toUnixTimestamp64Milli(pages_before.received_at) - clicked_ms as is_too_long,
        has(
            groupUniqArrayIf(pages_before.session_id, pages_before.is_webdriver) over (
                partition by pages_before.click_id
            ),
            argMin(pages_before.session_id, (after_ms, pages_before.session_id)) over (
                partition by pages_before.click_id
            )
        ) as said_webdriver,
        min(pages_before.is_idle) over (partition by pages_before.click_id) as said_idle,
        max(pages_before.engaged_ms) over (partition by pages_before.click_id) as longest_ms
    from pages_before
    inner join clicks on pages_before.click_id = clicks.click_id
    where pages_before.is_test = clicks.stamped.4 and after_ms between -86400000 and 86400000
)

select
    click_id,
    session_id,
    countIf(event_type = 'pageview') >= {policy_min_pageviews:Array(UInt32)}[min(policy)]
    or maxIf(engaged_ms, not is_too_long) >= {policy_min_engaged_ms:Array(Int64)}[min(policy)] as is_engaged,
    max(said_webdriver) as was_webdriver,
    max(said_idle and longest_ms > {idle_ms:Int64}) as was_idle,
    min(stamped.1) as link_id,
    min(stamped.2) as creator_id,
    min(stamped.3) as campaign_id,
    min(stamped.4) as is_test,
    min(stamped.5) as bot_reasons
from told
where is_visit
group by click_id, session_id;
