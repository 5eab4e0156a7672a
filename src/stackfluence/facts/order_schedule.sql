-- sqlfluff:ignore:parsing
-- (temporary tables with an engine are ClickHouse's own; its dialect in sqlfluff doesn't know them)

-- name: find_told
-- Every row of the events of which rows came with some loads: of what order, and with which load they came last.
create or replace temporary table told engine = Memory as
with

news as (
    select
        organization_id,
        concat('event ', toString(event_id)) as place,
        max(load_number) as touched_by
    from events
    where
        load_number > {after_load:UInt64}
        and load_number <= {as_of:UInt64}
        and received_at >= fromUnixTimestamp64Milli({received_from_ms:Int64}, 'UTC')
        and event_type in ('conversion', 'refund', 'payment', 'identify')
    group by organization_id, place
),

new_places as (
    select
        organization_id,
        place
    from news
)

select
    order_places.organization_id as organization_id,
    order_places.order_place as order_place,
    order_places.payments as payments,
    order_places.node as node,
    order_places.seq as seq,
    order_places.occurred_at as occurred_at,
    news.touched_by as touched_by
from order_places
inner join news on order_places.organization_id = news.organization_id and order_places.place = news.place
where
    order_places.load_number <= {as_of:UInt64}
    and (order_places.organization_id, order_places.place) in (
        select
            organization_id,
            place
        from new_places
    );

-- name: find_told_payments
-- The payments that these rows name, and what each is called otherwise: the invoice that it paid.
create or replace temporary table told_payments engine = Memory as
with

told_names as (
    select
        organization_id,
        arrayJoin(payments) as payment,
        max(touched_by) as touched_by
    from told
    group by organization_id, payment
)

select * from told_names
union all
select
    order_places.organization_id as organization_id,
    arrayJoin(order_places.payments) as payment,
    named.touched_by as touched_by
from order_places
inner join told_names as named
    on order_places.organization_id = named.organization_id and order_places.place = named.payment
where
    order_places.load_number <= {as_of:UInt64}
    and order_places.event_type = 'payment'
    and (order_places.organization_id, order_places.place) in (
        select
            organization_id,
            payment
        from told_names
    );

-- name: find_customers
-- Whose they are.
create or replace temporary table told_customers engine = Memory as
with

told_rows as (
    select
        organization_id,
        node,
        seq
    from told
)

select
    personal.organization_id as organization_id,
    arrayJoin(arrayFilter(word -> word != '', [personal.customer_hash, personal.email_hash])) as customer,
    min(told.occurred_at) as first_at,
    max(told.occurred_at) as last_at,
    max(told.touched_by) as touched_by
from events_personal as personal
inner join told
    on
        personal.organization_id = told.organization_id
        and personal.node = told.node
        and personal.seq = told.seq
where
    (personal.organization_id, personal.node, personal.seq) in (
        select
            organization_id,
            node,
            seq
        from told_rows
    )
    and (personal.customer_hash != '' or personal.email_hash != '')
group by organization_id, customer;

-- name: find_ordered
-- Orders that these customers may have placed: those of a day before what was told, and of 31 days behind it.
create or replace temporary table ordered engine = Memory as
select
    organization_id,
    node,
    seq,
    order_place,
    occurred_at
from events
where
    organization_id in (select organization_id from told_customers)
    and event_type = 'conversion'
    and load_number <= {as_of:UInt64}
    and occurred_at >= (select min(first_at) as first_at from told_customers) - toIntervalDay(1)
    and occurred_at <= (select max(last_at) as last_at from told_customers) + toIntervalDay(31);

-- name: find_touched_orders
-- The orders that the rows are of, those of the same payments, and those that the same customers placed.
create or replace temporary table touched_orders engine = Memory as
with

ordered_rows as (
    select
        organization_id,
        node,
        seq
    from ordered
),

customers as (
    select customer
    from told_customers
),

bought as (
    select
        organization_id,
        node,
        seq,
        arrayJoin(arrayFilter(word -> word != '', [customer_hash, email_hash])) as customer
    from events_personal
    where
        (organization_id, node, seq) in (
            select
                organization_id,
                node,
                seq
            from ordered_rows
        )
        and (customer_hash in (select customer from customers) or email_hash in (select customer from customers))
)

select
    organization_id,
    order_place,
    max(touched_by) as touched_by
from (
    select
        organization_id,
        order_place,
        touched_by
    from told
    where order_place != ''
    union all
    select
        order_places.organization_id as organization_id,
        order_places.order_place as order_place,
        named.touched_by as touched_by
    from order_places
    inner join told_payments as named
        on order_places.organization_id = named.organization_id and order_places.place = named.payment
    where
        order_places.load_number <= {as_of:UInt64}
        and order_places.event_type in ('conversion', 'refund')
        and (order_places.organization_id, order_places.place) in (
            select
                organization_id,
                payment
            from told_payments
        )
    union all
    select
        ordered.organization_id as organization_id,
        ordered.order_place as order_place,
        told_customers.touched_by as touched_by
    from bought
    inner join told_customers
        on bought.organization_id = told_customers.organization_id and bought.customer = told_customers.customer
    inner join ordered
        on
            bought.organization_id = ordered.organization_id
            and bought.node = ordered.node
            and bought.seq = ordered.seq
    where
        ordered.occurred_at >= told_customers.first_at - toIntervalDay(1)
        and ordered.occurred_at <= told_customers.last_at + toIntervalDay(31)
) as touched
group by organization_id, order_place;

-- name: find_unknown_clicks
-- Clicks that orders named when they weren't stored.
create or replace temporary table unknown_clicks_of_days engine = Memory as
select
    organization_id,
    toDate(occurred_at) as day,
    arrayJoin(unknown_clicks) as click_id
from conversions
where
    notEmpty(unknown_clicks)
    and occurred_at >= fromUnixTimestamp64Milli({received_from_ms:Int64}, 'UTC')
group by organization_id, day, click_id;

-- name: touched_days
-- Which days (UTC, of the order) of which organizations rows of some loads touch, and with which load last: every day
-- on which an order has a conversion that a row is of; those of orders of the same customer, 30 days ahead and one
-- back; those of orders that named a click which wasn't stored. Less urgently, a code touches the week of days behind
-- it, for which it is what is usual, and a click its own day and the next.
with

touched_places as (
    select
        organization_id,
        order_place
    from touched_orders
),

order_days as (
    select
        order_places.organization_id as organization_id,
        toDate(order_places.occurred_at) as day,
        max(touched_orders.touched_by) as touched_by,
        toUInt64(0) as neighbour_touched_by
    from order_places
    inner join touched_orders
        on
            order_places.organization_id = touched_orders.organization_id
            and order_places.place = touched_orders.order_place
    where
        order_places.event_type = 'conversion'
        and order_places.load_number <= {as_of:UInt64}
        and (order_places.organization_id, order_places.place) in (
            select
                organization_id,
                order_place
            from touched_places
        )
    group by organization_id, day
),

unknown_ids as (
    select click_id
    from unknown_clicks_of_days
),

late_clicks as (
    select
        unknown.organization_id as organization_id,
        unknown.day as day,
        max(events.load_number) as touched_by,
        toUInt64(0) as neighbour_touched_by
    from events
    inner join unknown_clicks_of_days as unknown
        on events.organization_id = unknown.organization_id and events.event_id = unknown.click_id
    where
        events.event_type = 'click'
        and events.load_number > {after_load:UInt64}
        and events.load_number <= {as_of:UInt64}
        and events.event_id in (select click_id from unknown_ids)
    group by organization_id, day
),

neighbours as (
    select
        organization_id,
        arrayJoin(arrayMap(
            later -> toDate(occurred_at) + later,
            if(event_type = 'click', [0, 1], arrayMap(place -> toUInt8(place), range(1, 8)))
        )) as day,
        toUInt64(0) as touched_by,
        max(load_number) as neighbour_touched_by
    from events
    where
        load_number > {after_load:UInt64}
        and load_number <= {as_of:UInt64}
        and received_at >= fromUnixTimestamp64Milli({received_from_ms:Int64}, 'UTC')
        and (event_type = 'click' or (event_type = 'conversion' and notEmpty(coupon_codes)))
    group by organization_id, day
),

everything as (
    select * from order_days
    union all
    select * from late_clicks
    union all
    select * from neighbours
)

select
    toString(everything.organization_id) as organization_id,
    everything.day as day,
    max(everything.touched_by) as touched_by,
    max(everything.neighbour_touched_by) as neighbour_touched_by
from everything
group by organization_id, day
order by organization_id, day;

-- name: shared_days
-- Which days orders that rows of some loads touch have conversions of, where those are several.
with

touched_places as (
    select
        organization_id,
        order_place
    from touched_orders
),

orders as (
    select
        organization_id,
        arraySort(groupUniqArray(toDate(occurred_at))) as days
    from order_places
    where
        event_type = 'conversion'
        and load_number <= {as_of:UInt64}
        and (organization_id, place) in (
            select
                organization_id,
                order_place
            from touched_places
        )
    group by organization_id, place
    having length(days) > 1
)

select distinct
    toString(orders.organization_id) as organization_id,
    orders.days as days
from orders
order by organization_id, days;

-- name: last_runs
-- Up to which load, and at which moment, days were derived, however long ago they were.
select
    toString(organization_id) as organization_id,
    arrayJoin(days) as day,
    max(as_of) as as_of,
    max(derived_at) as derived_at
from order_runs
group by organization_id, day;

-- name: unfinished_days
-- Days whose newest pointer isn't final, however long ago they were: what it points to expires. And those whose facts
-- have an older form than this program's.
select
    toString(organization_id) as organization_id,
    day,
    argMax(generation, run_id) < {generation:UInt16} as is_outdated
from derived_order_days
group by organization_id, day
having not argMax(is_final, run_id) or is_outdated
order by organization_id, day;

-- name: codes_of_days
-- The codes on the orders of each day, and what they said when it was derived.
select
    toString(organization_id) as organization_id,
    day,
    argMax(code_keys, run_id) as code_keys,
    argMax(codes_hash, run_id) as codes_hash
from derived_order_days
where toUnixTimestamp(expires_at) * 1000 > {now_ms:Int64}
group by organization_id, day
having notEmpty(code_keys)
order by organization_id, day;
