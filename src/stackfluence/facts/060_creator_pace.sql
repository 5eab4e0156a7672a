-- Creator pace: how many of a creator's clicks of a day arrive, and how late its orders come, beside the campaign's.
--
-- Grain:     one row per campaign and creator with clicks on the day.
-- Reads:     arrivals, week_clicks, events, superseded
-- Writes:    creator_pace (of this connection)
-- Rule:      Of comparable clicks: how many arrived (a session). Of conversions of the last 7 days, renewals left out:
--            how many came later than 24 hours after their click. Peers are all other creators of the same campaign.
-- Lookback:  6 days, for conversions and for the links that they came from
-- Lookahead: none

-- name: derive_creator_pace
-- Put one day's creators into `creator_pace`.
insert into creator_pace (
    campaign_id, creator_id, clicks, arrived, peer_clicks, peer_arrived,
    conversions, late_conversions, peer_conversions, peer_late_conversions
)
with

own as (
    select
        campaign_id,
        creator_id,
        countIf(is_comparable) as clicks,
        countIf(is_comparable and sessions > 0) as arrived,
        toUInt64(0) as conversions,
        toUInt64(0) as late_conversions
    from arrivals
    where not is_test
    group by campaign_id, creator_id
),

links as (
    select
        link_id,
        campaign_id,
        creator_id
    from week_clicks
    where
        day > toDate(toUInt16(intDiv({day_ms:Int64}, 86400000) - 7))
        and day <= toDate(toUInt16(intDiv({day_ms:Int64}, 86400000)))
    group by link_id, campaign_id, creator_id
),

-- a conversion's time is that of the row that counts, and its click's is written in the click ID (RFC 9562, 5.7)
ordered as (
    select
        link_id,
        toUnixTimestamp64Milli(occurred_at) - toInt64(bitShiftRight(toUInt128(click_id), 80)) as after_ms
    from events
    where
        organization_id = {organization_id:String}
        and event_type = 'conversion'
        and load_number <= {as_of:UInt64}
        and click_id_status = 'valid'
        and not is_renewal
        and not is_test
        and occurred_at >= fromUnixTimestamp64Milli({day_ms:Int64} - 518400000, 'UTC')
        and occurred_at < fromUnixTimestamp64Milli({day_ms:Int64} + 86400000, 'UTC')
        and (node, seq) not in (
            select
                node,
                seq
            from superseded
        )
),

bought as (
    select
        links.campaign_id as campaign_id,
        links.creator_id as creator_id,
        toUInt64(0) as clicks,
        toUInt64(0) as arrived,
        count() as conversions,
        countIf(ordered.after_ms > 86400000) as late_conversions
    from ordered
    inner join links on ordered.link_id = links.link_id
    group by campaign_id, creator_id
),

everyone as (
    select
        campaign_id,
        creator_id,
        sum(clicks) as own_clicks,
        sum(arrived) as own_arrived,
        sum(conversions) as own_conversions,
        sum(late_conversions) as own_late_conversions
    from (
        select * from own
        union all
        select * from bought
    ) as counted
    group by campaign_id, creator_id
)

select
    campaign_id,
    creator_id,
    own_clicks as clicks,
    own_arrived as arrived,
    sum(own_clicks) over (partition by campaign_id) - own_clicks as peer_clicks,
    sum(own_arrived) over (partition by campaign_id) - own_arrived as peer_arrived,
    own_conversions as conversions,
    own_late_conversions as late_conversions,
    sum(own_conversions) over (partition by campaign_id) - own_conversions as peer_conversions,
    sum(own_late_conversions) over (partition by campaign_id) - own_late_conversions as peer_late_conversions
from everyone;
