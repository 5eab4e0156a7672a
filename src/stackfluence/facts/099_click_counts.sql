-- Click counts: the day's clicks by quarters of an hour, which all time zones in use cut days at.
--
-- Grain:     one row per quarter of an hour, link, and whatever else reports tell clicks apart by; and once more by
--            fewer of these, so that most reports read little.
-- Reads:     day_verdicts
-- Writes:    day_rollups (of this connection), which `derive` copies into click_rollups
-- Rule:      Each click is counted once in each way of counting, with the pages that it led to.
-- Lookback:  none beyond that of what it reads
-- Lookahead: none beyond that of what it reads

-- name: derive_click_counts
-- Put one day's clicks, counted by everything, into `day_rollups`.
insert into day_rollups (
    counted_by, counted_at, creator_id, campaign_id, link_id, country, device_class, in_app_browser, is_test,
    arrival_stage, invalid_reason, unqualified_reason, clicks, pageviews
)
select
    'all' as counted_by,
    toStartOfFifteenMinutes(toDateTime(occurred_at, 'UTC')) as counted_at,
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
    count() as clicks,
    sum(day_verdicts.pageviews) as counted_pageviews
from day_verdicts
group by
    counted_at, creator_id, campaign_id, link_id, country, device_class, in_app_browser, is_test, arrival_stage,
    invalid_reason, unqualified_reason;

-- name: derive_click_rollups
-- Put these counts, added up, beside them: by quarters of an hour alone, and for the day as a whole by link, country,
-- device and in-app browser, each without the others.
insert into day_rollups (
    counted_by, counted_at, creator_id, campaign_id, link_id, country, device_class, in_app_browser, is_test,
    arrival_stage, invalid_reason, unqualified_reason, clicks, pageviews
)
select
    multiIf(
        grouping(day_rollups.counted_at) = 0, 'quarter',
        grouping(link_id) = 0, 'link',
        grouping(country) = 0, 'country',
        grouping(device_class) = 0, 'device',
        'in_app_browser'
    ) as rolled_by,
    if(rolled_by = 'quarter', day_rollups.counted_at, toDateTime(intDiv({day_ms:Int64}, 1000), 'UTC')) as rolled_at,
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
from day_rollups
where counted_by = 'all'
group by grouping sets (
    (day_rollups.counted_at, is_test, arrival_stage, invalid_reason, unqualified_reason),
    (link_id, creator_id, campaign_id, is_test, arrival_stage, invalid_reason, unqualified_reason),
    (country, is_test, arrival_stage, invalid_reason, unqualified_reason),
    (device_class, is_test, arrival_stage, invalid_reason, unqualified_reason),
    (in_app_browser, is_test, arrival_stage, invalid_reason, unqualified_reason)
);
