-- Creator places: which of a creator's clicks can be compared with those of others, and what both led to.
--
-- Grain:     one row per campaign, creator, page, country and hour (UTC) with clicks that can be compared; each has the
--            sums over all rows of its campaign and creator, and what 070 says of the hour.
-- Reads:     arrivals, creator_hours
-- Writes:    creator_places (of this connection)
-- Rule:      Clicks are compared with those of the campaign's other creators that lead to the same page and come from
--            the same country: pages differ in whether they have a snippet, countries in whether visitors are asked
--            first. Where a page told of visits on the day, the hours in which it told of none are left out: it may
--            have been down. A place counts where others have {peer_clicks} clicks, and what was seen of theirs where
--            that were {flood_seen}: nobody is judged by what a handful did. What is to be expected is each place's
--            share of the others, added up over the creator's own clicks there, in thousandths of a click and rounded
--            down.
-- Lookback:  none
-- Lookahead: none

-- name: derive_creator_places
-- Put one day's places of each creator into `creator_places`.
insert into creator_places (
    campaign_id, creator_id, page_path, country, hour,
    clicks, arrived, seen, peer_clicks, peer_seen, expected_arrived, expected_seen,
    hour_clicks, usual_clicks, other_hours, hour_comparable, hour_seen
)
with

hours as (
    select
        campaign_id,
        creator_id,
        page_path,
        country,
        toStartOfHour(occurred_at) as hour,
        countIf(is_comparable) as hour_clicks,
        countIf(is_comparable and sessions > 0) as hour_arrived,
        countIf(is_comparable and not is_unseen) as hour_seen
    from arrivals
    where not is_test
    group by campaign_id, creator_id, page_path, country, hour
),

told as (
    select
        *,
        sum(hour_arrived) over (partition by campaign_id, page_path) as page_arrived,
        sum(hour_arrived) over (partition by campaign_id, page_path, hour) as page_hour_arrived
    from hours
),

open_hours as (
    select *
    from told
    where hour_clicks > 0 and (page_arrived = 0 or page_hour_arrived > 0)
),

places as (
    select
        campaign_id,
        creator_id,
        page_path,
        country,
        sum(hour_clicks) as own_clicks,
        sum(hour_arrived) as own_arrived,
        sum(hour_seen) as own_seen
    from open_hours
    group by campaign_id, creator_id, page_path, country
),

beside as (
    select
        *,
        sum(own_clicks) over (partition by campaign_id, page_path, country) - own_clicks as other_clicks,
        sum(own_arrived) over (partition by campaign_id, page_path, country) - own_arrived as other_arrived,
        sum(own_seen) over (partition by campaign_id, page_path, country) - own_seen as other_seen
    from places
),

compared as (
    select
        campaign_id,
        creator_id,
        page_path,
        country,
        sum(own_clicks) over (partition by campaign_id, creator_id) as clicks,
        sum(own_arrived) over (partition by campaign_id, creator_id) as arrived,
        sum(own_seen) over (partition by campaign_id, creator_id) as seen,
        sum(other_clicks) over (partition by campaign_id, creator_id) as peer_clicks,
        sum(other_seen) over (partition by campaign_id, creator_id) as peer_seen,
        sum(intDiv(own_clicks * other_arrived * 1000, other_clicks)) over (
            partition by campaign_id, creator_id
        ) as expected_arrived,
        -- nothing is expected of what a handful of others' clicks did
        sum(if(other_seen >= {flood_seen:UInt32}, intDiv(own_clicks * other_seen * 1000, other_clicks), 0)) over (
            partition by campaign_id, creator_id
        ) as expected_seen
    from beside
    where other_clicks >= {peer_clicks:UInt32}
)

select
    open_hours.campaign_id as campaign_id,
    open_hours.creator_id as creator_id,
    open_hours.page_path as page_path,
    open_hours.country as country,
    open_hours.hour as hour,
    compared.clicks as clicks,
    compared.arrived as arrived,
    compared.seen as seen,
    compared.peer_clicks as peer_clicks,
    compared.peer_seen as peer_seen,
    compared.expected_arrived as expected_arrived,
    compared.expected_seen as expected_seen,
    creator_hours.clicks as hour_clicks,
    creator_hours.usual_clicks as usual_clicks,
    creator_hours.other_hours as other_hours,
    creator_hours.comparable as hour_comparable,
    creator_hours.seen as hour_seen
from open_hours
inner join compared
    on
        open_hours.campaign_id = compared.campaign_id
        and open_hours.creator_id = compared.creator_id
        and open_hours.page_path = compared.page_path
        and open_hours.country = compared.country
left join creator_hours
    on
        open_hours.campaign_id = creator_hours.campaign_id
        and open_hours.creator_id = creator_hours.creator_id
        and open_hours.hour = creator_hours.hour;
