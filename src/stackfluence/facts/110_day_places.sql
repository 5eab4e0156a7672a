-- Day places: where everything stands that belongs to an order of the day.
--
-- Grain:     one row per stored row of an order that has a conversion on one day (UTC) of one organization, and of the
--            events that these are rows of.
-- Reads:     events, order_places
-- Writes:    day_names, refund_orders, day_places (of this connection)
-- Rule:      Purchases are one per shop and order id, for ever; any other conversion is one by itself. A refund that
--            names a payment is of the order which that payment paid, whatever either is called: they name the same
--            payment, or a vendor said that the one paid the invoice which the other names. Of several such orders it
--            is of the one that it names itself, else of the first by name; without any, of the one that it names.
--            Which of these orders are the day's is decided in 130: their first conversion may be of another day.
-- Lookback:  whatever was stored of these orders, found by their names in order_places
-- Lookahead: whatever was stored of these orders

-- name: find_day_names
-- Put what is told of on the day into `day_names`.
insert into day_names (order_place)
select order_place
from events
where
    organization_id = {organization_id:String}
    and event_type = 'conversion'
    and load_number <= {as_of:UInt64}
    and occurred_at >= fromUnixTimestamp64Milli({day_ms:Int64}, 'UTC')
    and occurred_at < fromUnixTimestamp64Milli({day_ms:Int64} + 86400000, 'UTC')
group by order_place;

-- name: find_refund_orders
-- Put the refunds that name a payment and may be of these orders into `refund_orders`, with the order that each is of.
insert into refund_orders (event_id, order_place)
with

paid as (
    select distinct arrayJoin(payments) as payment
    from order_places
    where
        organization_id = {organization_id:String}
        and load_number <= {as_of:UInt64}
        and event_type = 'conversion'
        and place in (select order_place from day_names)
),

invoiced as (
    select distinct arrayJoin(payments) as payment
    from order_places
    where
        organization_id = {organization_id:String}
        and load_number <= {as_of:UInt64}
        and event_type = 'payment'
        and place in (select payment from paid)
),

refunds as (
    select distinct
        event_id,
        order_place,
        arrayJoin(payments) as payment
    from order_places
    where
        organization_id = {organization_id:String}
        and load_number <= {as_of:UInt64}
        and event_type = 'refund'
        and place in (
            select order_place as place from day_names
            union distinct
            select payment as place from paid
            union distinct
            select payment as place from invoiced
        )
),

invoices as (
    select distinct
        place as payment,
        arrayJoin(payments) as invoice
    from order_places
    where
        organization_id = {organization_id:String}
        and load_number <= {as_of:UInt64}
        and event_type = 'payment'
        and place in (select payment from refunds)
),

paid_by as (
    select
        event_id,
        order_place,
        payment as paid_name
    from refunds
    union distinct
    select
        refunds.event_id as event_id,
        refunds.order_place as order_place,
        invoices.invoice as paid_name
    from refunds
    inner join invoices on refunds.payment = invoices.payment
),

orders as (
    select distinct
        place as paid_name,
        order_place
    from order_places
    where
        organization_id = {organization_id:String}
        and load_number <= {as_of:UInt64}
        and event_type = 'conversion'
        and place in (select paid_name from paid_by)
)

select
    paid_by.event_id as event_id,
    argMin(orders.order_place, (orders.order_place != paid_by.order_place, orders.order_place)) as order_place
from paid_by
inner join orders on paid_by.paid_name = orders.paid_name
group by event_id;

-- name: find_day_places
-- Put the places of one day's orders into `day_places`.
insert into day_places (order_place, event_id, occurred_at, node, seq)
with

own_events as (
    select concat('event ', toString(event_id)) as event_place
    from order_places
    where
        organization_id = {organization_id:String}
        and load_number <= {as_of:UInt64}
        and place in (select order_place from day_names)
        and event_id not in (select event_id from refund_orders)
    group by event_place
    union distinct
    select concat('event ', toString(event_id)) as event_place
    from refund_orders
    where order_place in (select order_place from day_names)
)

select
    if(refund_orders.order_place = '', order_places.order_place, refund_orders.order_place) as own_place,
    order_places.event_id as event_id,
    order_places.occurred_at as occurred_at,
    order_places.node as node,
    order_places.seq as seq
from order_places
left join refund_orders on order_places.event_id = refund_orders.event_id
where
    order_places.organization_id = {organization_id:String}
    and order_places.load_number <= {as_of:UInt64}
    and order_places.place in (select event_place from own_events)
group by own_place, event_id, occurred_at, node, seq;
