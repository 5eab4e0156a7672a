-- Week clicks: the clicks of each link in each hour of the day and of the seven before.
--
-- Grain:     one row per hour (UTC), link, and creator and campaign of its clicks.
-- Reads:     events
-- Writes:    week_clicks (of this connection), which keeps what a run has counted for the days that follow
-- Rule:      Test clicks are left out, and not counted are those that their edge took for robots.
-- Lookback:  7 days
-- Lookahead: none

-- name: count_week_clicks
-- Put the days that aren't there yet into `week_clicks`.
insert into week_clicks (day, hour, link_id, campaign_id, creator_id, clicks)
select
    toDate(occurred_at) as day,
    toStartOfHour(occurred_at) as hour,
    link_id,
    campaign_id,
    creator_id,
    uniqExactIf(event_id, bot_score < {comparable_below:UInt8}) as clicks
from events
where
    organization_id = {organization_id:String}
    and event_type = 'click'
    and load_number <= {as_of:UInt64}
    and not is_test
    and occurred_at >= fromUnixTimestamp64Milli({day_ms:Int64} - 604800000, 'UTC')
    and occurred_at < fromUnixTimestamp64Milli({day_ms:Int64} + 86400000, 'UTC')
    and toDate(occurred_at) not in (select week_clicks.day from week_clicks)
group by day, hour, link_id, campaign_id, creator_id;
