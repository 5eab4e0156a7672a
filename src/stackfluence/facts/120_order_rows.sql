-- Order rows: what is told of each of these orders, each event once.
--
-- Grain:     one row per event.
-- Reads:     day_places, events
-- Writes:    order_rows (of this connection)
-- Rule:      Of several rows of one event the one of the highest trust tier counts, then the earliest, then the first
--            received, as in 030. It may name another order than a row that doesn't count. The event was
--            received when the first of that tier was: who sends it again makes it no newer. A version is as old
--            as its source says (revised_at), else as its receipt.
-- Lookback:  none beyond that of what it reads
-- Lookahead: none beyond that of what it reads

-- name: gather_order_rows
-- Put the rows that count into `order_rows`.
insert into order_rows (
    order_place, event_type, event_id, node, seq, occurred_at, received_at, version_at, trust_tier, tier, click_id,
    click_id_status, conversion_type, shop, order_id, customer_type, is_renewal, is_test, currency, revenue_cents,
    subtotal_cents, discount_cents, tax_cents, shipping_cents, gift_card_cents, presentment_currency,
    presentment_revenue_cents, gift_card_sales_cents, coupon_codes, refund_amount_cents, reason
)
with

stored as (
    select
        *,
        tier,
        presentment_currency,
        presentment_revenue_cents,
        min(received_at) over (partition by event_id, tier) as first_received_at,
        if(revised_at = '', first_received_at, parseDateTime64BestEffort(revised_at, 3, 'UTC')) as version_at,
        row_number() over (partition by event_id order by tier, occurred_at, received_at, leaf_hash) as place
    from events
    where
        organization_id = {organization_id:String}
        and event_type in ('conversion', 'refund')
        and load_number <= {as_of:UInt64}
        and occurred_at in (select occurred_at from day_places)
        and (node, seq) in (
            select
                node,
                seq
            from day_places
        )
)

select
    day_places.order_place as order_place,
    stored.event_type as event_type,
    stored.event_id as event_id,
    stored.node as node,
    stored.seq as seq,
    stored.occurred_at as occurred_at,
    stored.first_received_at as received_at,
    version_at,
    trust_tier,
    tier,
    click_id,
    click_id_status,
    conversion_type,
    shop,
    order_id,
    customer_type,
    is_renewal,
    is_test,
    currency,
    revenue_cents,
    subtotal_cents,
    discount_cents,
    tax_cents,
    shipping_cents,
    gift_card_cents,
    presentment_currency,
    presentment_revenue_cents,
    -- gift cards that were sold: payment for something later, no merchandise
    arraySum(
        sold -> tupleElement(sold, 'subtotal_cents') - tupleElement(sold, 'discount_cents'),
        arrayFilter(sold -> tupleElement(sold, 'is_gift_card'), lines)
    ) as gift_card_sales_cents,
    coupon_codes,
    refund_amount_cents,
    reason
from stored
inner join day_places on stored.node = day_places.node and stored.seq = day_places.seq
where stored.place = 1;
