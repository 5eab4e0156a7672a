-- name: last_placed_load
-- Up to which load all rows have their places.
select max(load_number) as load_number
from placed_loads;

-- name: place_rows
-- Give rows of some loads their places: a conversion, refund, payment or identify stands under its event, what is of an
-- order under that, too, and what names a payment, or the invoice that one paid, under these.
insert into order_places (
    organization_id, place, order_place, payments, event_type, event_id, occurred_at, node, seq, load_number
)
with

named as (
    select
        organization_id,
        concat('event ', toString(event_id)) as event_place,
        order_place,
        arrayMap(
            word -> concat('payment ', word),
            arrayFilter(word -> word != '', [payment_id, if(event_type = 'payment', order_id, '')])
        ) as payments,
        event_type,
        event_id,
        occurred_at,
        node,
        seq,
        load_number
    from events
    where
        event_type in ('conversion', 'refund', 'payment', 'identify')
        and load_number > {after_load:UInt64}
        and load_number <= {as_of:UInt64}
)

select
    organization_id,
    arrayJoin(
        arrayFilter(word -> word != '', arrayDistinct(arrayConcat([event_place, order_place], payments)))
    ) as place,
    order_place,
    payments,
    event_type,
    event_id,
    occurred_at,
    node,
    seq,
    load_number
from named;

-- name: note_placed
-- Say that all rows up to a load have their places.
insert into placed_loads (load_number)
select {as_of:UInt64} as load_number;
