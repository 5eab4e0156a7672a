-- Click counts: the day's clicks by quarters of an hour, which all time zones in use cut days at.
--
-- Grain:     one row per quarter of an hour, link, and whatever else reports tell clicks apart by.
-- Reads:     day_verdicts
-- Writes:    day_counts (of this connection), which `derive` copies into click_counts
-- Rule:      Each click is counted once, with the visits, pages and time that it led to.
-- Lookback:  none beyond that of what it reads
-- Lookahead: none beyond that of what it reads

-- name: derive_click_counts
-- Put one day's clicks, counted, into `day_counts`.
insert into day_counts (
    quarter_at, creator_id, campaign_id, link_id, is_test, country, device_class, in_app_browser, arrival_stage,
    traffic_class, invalid_reason, unqualified_reason, is_possible_duplicate, clicks, sessions, pageviews, engaged_ms
)
select
    toStartOfFifteenMinutes(toDateTime(occurred_at, 'UTC')) as quarter_at,
    creator_id,
    campaign_id,
    link_id,
    is_test,
    country,
    device_class,
    in_app_browser,
    arrival_stage,
    traffic_class,
    invalid_reason,
    unqualified_reason,
    has(bot_reasons, 'possible_duplicate') as is_possible_duplicate,
    count() as counted_clicks,
    sum(day_verdicts.sessions) as counted_sessions,
    sum(day_verdicts.pageviews) as counted_pageviews,
    sum(day_verdicts.engaged_ms) as counted_engaged_ms
from day_verdicts
group by
    quarter_at, creator_id, campaign_id, link_id, is_test, country, device_class, in_app_browser, arrival_stage,
    traffic_class, invalid_reason, unqualified_reason, is_possible_duplicate;
