-- Day places: where everything stands that belongs to an order of the day.
--
-- Grain:     one row per stored row of an order that has a conversion on one day (UTC) of one organization, and of the
--            events that these are rows of.
-- Reads:     events, order_places
-- Writes:    day_places (of this connection)
-- Rule:      Purchases are one per shop and order id, for ever; any other conversion is one by itself.
--            Which of these orders are the day's is decided in 130: their first conversion may be of another day.
-- Lookback:  whatever was stored of these orders, found by their names in order_places
-- Lookahead: whatever was stored of these orders

-- name: find_day_places
-- Put the places of one day's orders into `day_places`.
insert into day_places (order_place, event_id, occurred_at, node, seq)
with

named as (
    select order_place
    from events
    where
        organization_id = {organization_id:String}
        and event_type = 'conversion'
        and load_number <= {as_of:UInt64}
        and occurred_at >= fromUnixTimestamp64Milli({day_ms:Int64}, 'UTC')
        and occurred_at < fromUnixTimestamp64Milli({day_ms:Int64} + 86400000, 'UTC')
    group by order_place
),

own_events as (
    select concat('event ', toString(event_id)) as event_place
    from order_places
    where
        organization_id = {organization_id:String}
        and load_number <= {as_of:UInt64}
        and place in (select order_place from named)
    group by event_place
)

select
    order_place,
    event_id,
    occurred_at,
    node,
    seq
from order_places
where
    organization_id = {organization_id:String}
    and load_number <= {as_of:UInt64}
    and place in (select event_place from own_events)
group by order_place, event_id, occurred_at, node, seq;
