-- Bursts: one visitor who clicks one link again and again, and is never seen on the site.
--
-- Grain:     one row per click of such a burst.
-- Reads:     arrivals
-- Writes:    bursts (of this connection)
-- Rule:      Within 5 minutes a visitor hash made at least {burst_clicks} clicks on one link, and none of them was
--            seen on the site, for 24 hours each; clicks that couldn't be seen, of robots and of who objected, speak
--            for nobody. A hash may stand for many people behind one address of a carrier: of that many people
--            some arrive, where arriving is measured, so 090 asks for that. Bursts end at midnight, as visitor hashes
--            do.
-- Lookback:  none
-- Lookahead: none

-- name: find_bursts
-- Put one day's bursts into `bursts`.
insert into bursts (click_id, burst_clicks)
with

ends as (
    select
        click_id,
        link_id,
        visitor_hash,
        toUnixTimestamp64Milli(occurred_at) as at_ms,
        count() over (
            partition by link_id, visitor_hash
            order by toUnixTimestamp64Milli(occurred_at) asc
            range between 300000 preceding and current row
        ) as clicks,
        sum(toUInt64(was_seen or at_ms + 86400000 > {derived_ms:Int64})) over (
            partition by link_id, visitor_hash
            order by toUnixTimestamp64Milli(occurred_at) asc
            range between 300000 preceding and current row
        ) as seen
    from arrivals
    where visitor_hash != '' and not is_test
),

-- a click belongs to every 5 minutes that end in the 5 minutes behind it
bursting as (
    select
        click_id,
        max(if(seen = 0 and clicks >= {burst_clicks:UInt32}, clicks, 0)) over (
            partition by link_id, visitor_hash
            order by at_ms asc
            range between current row and 300000 following
        ) as burst_clicks
    from ends
)

select
    click_id,
    burst_clicks
from bursting
where burst_clicks > 0;
