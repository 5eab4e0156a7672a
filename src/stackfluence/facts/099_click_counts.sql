-- Click counts: the day's clicks by quarters of an hour, which all time zones in use cut days at.
--
-- Grain:     one row per quarter of an hour, link, and whatever else reports tell clicks apart by; and once more by
--            fewer of these, so that most reports read little.
-- Reads:     day_verdicts
-- Writes:    day_counts and day_rollups (of this connection), which `derive` copies into click_counts and click_rollups
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

-- name: derive_click_rollups
-- Put these counts, added up, into `day_rollups`: by quarters of an hour alone, and for the day as a whole by link,
-- country, device and in-app browser, each without the others.
insert into day_rollups (
    counted_by, counted_at, creator_id, campaign_id, link_id, country, device_class, in_app_browser, is_test,
    arrival_stage, invalid_reason, unqualified_reason, clicks, pageviews
)
select
    multiIf(
        grouping(quarter_at) = 0, 'quarter',
        grouping(link_id) = 0, 'link',
        grouping(country) = 0, 'country',
        grouping(device_class) = 0, 'device',
        'in_app_browser'
    ) as counted_by,
    if(counted_by = 'quarter', quarter_at, toDateTime(intDiv({day_ms:Int64}, 1000), 'UTC')) as counted_at,
    creator_id,
    campaign_id,
    link_id,
    country,
    device_class,
    in_app_browser,
    is_test,
    arrival_stage,
    invalid_reason,
    unqualified_reason,
    sum(clicks) as rolled_clicks,
    sum(pageviews) as rolled_pageviews
from day_counts
group by grouping sets (
    (quarter_at, is_test, arrival_stage, invalid_reason, unqualified_reason),
    (link_id, creator_id, campaign_id, is_test, arrival_stage, invalid_reason, unqualified_reason),
    (country, is_test, arrival_stage, invalid_reason, unqualified_reason),
    (device_class, is_test, arrival_stage, invalid_reason, unqualified_reason),
    (in_app_browser, is_test, arrival_stage, invalid_reason, unqualified_reason)
);
