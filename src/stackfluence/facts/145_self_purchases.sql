-- Self-purchases: which orders were placed by a creator's own customer.
--
-- Grain:     one row per row of an order of the day and creator whose own customer it was.
-- Reads:     order_rows, day_orders, events_personal, own_customers
-- Writes:    self_purchases
-- Rule:      The hash of the order's customer, or of the mail address, is one that the organization had named as the
--            creator's own when the order was placed. What was found once is kept in places alone, so an erasure gives
--            nobody a commission.
-- Lookback:  none
-- Lookahead: none

-- name: find_self_purchases
-- Note which rows of the day's orders are of a creator's own customer.
insert into self_purchases (run_id, organization_id, node, seq, creator_id)
with

own as (
    select
        node,
        seq,
        arrayJoin(arrayFilter(word -> word != '', [customer_hash, email_hash])) as customer
    from events_personal
    where
        organization_id = {organization_id:String}
        and (customer_hash in (select customer_hash from own_customers) or email_hash in (
            select customer_hash from own_customers
        ))
        and (node, seq) in (
            select
                node,
                seq
            from order_rows
            where event_type = 'conversion'
        )
)

select distinct
    {run_id:UInt64} as run_id,
    {organization_id:String} as organization_id,
    own.node as node,
    own.seq as seq,
    own_customers.creator_id as creator_id
from own
inner join own_customers on own.customer = own_customers.customer_hash
inner join order_rows on own.node = order_rows.node and own.seq = order_rows.seq
inner join day_orders on order_rows.order_place = day_orders.order_place
where
    own_customers.from_ms <= toUnixTimestamp64Milli(day_orders.occurred_at)
    and toUnixTimestamp64Milli(day_orders.occurred_at) < own_customers.to_ms
    and (own.node, own.seq, own_customers.creator_id) not in (
        select
            node,
            seq,
            creator_id
        from self_purchases
        where organization_id = {organization_id:String}
    );
