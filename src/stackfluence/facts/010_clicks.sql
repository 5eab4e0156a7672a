-- Clicks: every row of the day's clicks.
--
-- Grain:     one row per stored row of a click of one day (UTC) of one organization.
-- Reads:     events
-- Writes:    day_events (of this connection)
-- Rule:      What was readable up to the run's load.
-- Lookback:  none
-- Lookahead: none

-- name: gather_clicks
-- Put one day's clicks into `day_events`.
insert into day_events (
    event_type, event_id, node, seq, click_id, occurred_at, link_id, creator_id, campaign_id, is_test, visitor_hash,
    bot_score, bot_reasons, in_app_browser, device_class, country, page_path, is_measurable
)
select
    event_type,
    event_id,
    node,
    seq,
    event_id as click_id,
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
    consent not in ('denied', 'opted_out') as is_measurable
from events
where
    organization_id = {organization_id:String}
    and event_type = 'click'
    and load_number <= {as_of:UInt64}
    and occurred_at >= fromUnixTimestamp64Milli({day_ms:Int64}, 'UTC')
    and occurred_at < fromUnixTimestamp64Milli({day_ms:Int64} + 86400000, 'UTC');
