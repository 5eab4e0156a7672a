-- Customer rows: what else carried a click's ID for the customer of an order.
--
-- Grain:     one row per order of the day and event of its customer that carried a valid click's ID.
-- Reads:     events, events_personal, order_places, order_rows, day_orders, same_customers
-- Writes:    same_customers; customer_rows (of this connection)
-- Rule:      A customer is the same when the hash of the customer's id, or of the mail address, is: identifies and
--            conversions of other orders count, up to 30 days before the order and less than a day after. What was
--            found once is kept in places alone, so an erasure takes nothing away. Of several rows of one event the
--            same one counts as in 120. Both ends have to be believed: the weaker tier of the two is the tier of what
--            was found.
-- Lookback:  30 days, for a customer's earlier visits; further rows of their events wherever
-- Lookahead: 1 day, for an account that is made after the order

-- name: find_same_customers
-- Note which rows are of the customers of the day's orders.
insert into same_customers (run_id, organization_id, node, seq, other_node, other_seq, other_event_id)
with

carried as (
    select
        node,
        seq,
        event_id
    from events
    where
        organization_id = {organization_id:String}
        and event_type in ('identify', 'conversion')
        and load_number <= {as_of:UInt64}
        and click_id_status = 'valid'
        and occurred_at >= fromUnixTimestamp64Milli({day_ms:Int64} - 2592000000, 'UTC')
        and occurred_at < fromUnixTimestamp64Milli({day_ms:Int64} + 172800000, 'UTC')
),

own as (
    select
        node,
        seq,
        arrayJoin(arrayFilter(word -> word != '', [customer_hash, email_hash])) as customer
    from events_personal
    where
        organization_id = {organization_id:String}
        and (node, seq) in (
            select
                node,
                seq
            from order_rows
            where event_type = 'conversion' and order_place in (select order_place from day_orders)
        )
),

others as (
    select
        node,
        seq,
        event_id,
        arrayJoin(arrayFilter(word -> word != '', [customer_hash, email_hash])) as customer
    from events_personal
    where
        organization_id = {organization_id:String}
        and (node, seq) in (
            select
                node,
                seq
            from carried
        )
        and (customer_hash in (select customer from own) or email_hash in (select customer from own))
),

pairs as (
    select distinct
        own.node as node,
        own.seq as seq,
        others.node as other_node,
        others.seq as other_seq,
        others.event_id as other_event_id
    from own
    inner join others on own.customer = others.customer
    where (own.node, own.seq) != (others.node, others.seq)
)

select
    {run_id:UInt64} as run_id,
    {organization_id:String} as organization_id,
    node,
    seq,
    other_node,
    other_seq,
    other_event_id
from pairs
where (node, seq, other_node, other_seq) not in (
    select
        node,
        seq,
        other_node,
        other_seq
    from same_customers
    where
        organization_id = {organization_id:String}
        and (node, seq) in (
            select
                node,
                seq
            from order_rows
        )
);

-- name: gather_customer_rows
-- Put what carried a click's ID for these customers into `customer_rows`.
insert into customer_rows (order_place, event_id, occurred_at, trust_tier, tier, click_id)
with

own as (
    select
        node,
        seq
    from order_rows
),

own_events as (
    select
        order_place,
        event_id
    from order_rows
),

pairs as (
    select
        order_rows.order_place as order_place,
        same_customers.other_node as node,
        same_customers.other_seq as seq,
        same_customers.other_event_id as event_id,
        min(order_rows.tier) as own_tier,
        argMin(order_rows.trust_tier, order_rows.tier) as own_trust_tier
    from same_customers
    inner join order_rows on same_customers.node = order_rows.node and same_customers.seq = order_rows.seq
    where
        same_customers.organization_id = {organization_id:String}
        and (same_customers.node, same_customers.seq) in (
            select
                node,
                seq
            from own
        )
    group by order_place, node, seq, event_id
),

places as (
    select
        node,
        seq,
        occurred_at
    from order_places
    where
        organization_id = {organization_id:String}
        and load_number <= {as_of:UInt64}
        and place in (select concat('event ', toString(event_id)) as event_place from pairs)
),

stored as (
    select
        node,
        seq,
        event_id,
        occurred_at,
        trust_tier,
        click_id,
        click_id_status,
        tier,
        row_number() over (partition by event_id order by tier, occurred_at, received_at, leaf_hash) as place
    from events
    where
        organization_id = {organization_id:String}
        and event_type in ('identify', 'conversion')
        and load_number <= {as_of:UInt64}
        and occurred_at in (select occurred_at from places)
        and (node, seq) in (
            select
                node,
                seq
            from places
        )
)

select
    pairs.order_place as order_place,
    stored.event_id as event_id,
    stored.occurred_at as occurred_at,
    if(pairs.own_tier > stored.tier, pairs.own_trust_tier, stored.trust_tier) as trust_tier,
    greatest(pairs.own_tier, stored.tier) as tier,
    stored.click_id as click_id
from pairs
inner join stored on pairs.node = stored.node and pairs.seq = stored.seq
inner join day_orders on pairs.order_place = day_orders.order_place
where
    stored.place = 1
    and stored.click_id_status = 'valid'
    and stored.occurred_at >= day_orders.occurred_at - toIntervalDay(30)
    and stored.occurred_at < day_orders.occurred_at + toIntervalDay(1)
    and (pairs.order_place, stored.event_id) not in (
        select
            order_place,
            event_id
        from own_events
    );
