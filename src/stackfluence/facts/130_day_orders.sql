-- Day orders: when an order was, what it comes to, and what came back of it.
--
-- Grain:     one row per order whose first conversion is of one day (UTC) of one organization.
-- Reads:     order_rows
-- Writes:    day_orders (of this connection)
-- Rule:      What a server or connector tells of an order is believed before what a browser tells: who knows its number
--            could say anything. Of what is believed the conversion that was received first fixes time and terms, for
--            ever: none can move the order later. All amounts are those of the highest trust tier's latest version.
--            Refunds count that a server or connector tells of; of what shops give back, of what of that failed, of
--            what banks take, and of what banks give back, those of the highest tier that tells of any such: a second
--            one tells of the same money. A cancellation is of what shops give back. What is told in the currency that
--            the shopper paid in is converted as the order itself was, half a cent up; any other one is kept apart. A
--            bank gives back what a bank took, never what a shop gave; of that fails no more than was given. No more
--            comes back than the order was worth, and of a cancelled one everything: a shop's own hook says so; of a
--            server's word the amount has to cover what other refunds left, 0 being none, and a smaller one is a
--            refund; refunds that failed call no order back. A click can have led to the order when it was made up to 5
--            minutes after it, for clocks that differ; where a browser alone tells, its receipt is the time.
-- Lookback:  none beyond that of what it reads
-- Lookahead: none beyond that of what it reads

-- name: derive_day_orders
-- Put one day's orders into `day_orders`.
insert into day_orders (
    order_place, conversion_id, occurred_at, before_ms, shop, order_id, event_id, amounts_event_id, events, received_at,
    conversion_type, customer_type, is_renewal, is_test, trust_tier, trust_tiers, tier, currency, revenue_cents,
    subtotal_cents, discount_cents, tax_cents, shipping_cents, gift_card_cents, presentment_currency,
    presentment_revenue_cents, gift_card_sales_cents, refunds, unconfirmed_refunds, is_cancelled,
    other_currency_refunds, refunded_cents, refunded_by_reason, coupon_codes
)
with

orders as (
    select
        order_place,
        lower(hex(SHA256(concat({organization_id:String}, '\0', order_place)))) as digest,
        argMin(event_id, (tier > 2, received_at, occurred_at, event_id)) as first_id,
        argMax(event_id, (-toInt8(tier), version_at, received_at, occurred_at, event_id)) as amounts_id,
        count() as events,
        min(tier) as best_tier,
        arraySort(groupUniqArray(toString(trust_tier))) as trust_tiers
    from order_rows
    where event_type = 'conversion'
    group by order_place
),

codes as (
    select
        order_rows.order_place as order_place,
        arraySort(groupUniqArrayArray(order_rows.coupon_codes)) as coupon_codes
    from order_rows
    inner join orders on order_rows.order_place = orders.order_place
    where order_rows.event_type = 'conversion' and (order_rows.tier < 3 or orders.best_tier = 3)
    group by order_place
),

chosen as (
    select
        orders.order_place as order_place,
        if(
            startsWith(orders.order_place, 'event '),
            first_row.event_id,
            -- a UUIDv8 (RFC 9562, 5.8) that the order stands for, whichever of its events came first
            toUUID(arrayStringConcat([
                substring(orders.digest, 1, 8),
                substring(orders.digest, 9, 4),
                concat('8', substring(orders.digest, 14, 3)),
                concat('8', substring(orders.digest, 18, 3)),
                substring(orders.digest, 21, 12)
            ], '-'))
        ) as conversion_id,
        first_row.occurred_at as occurred_at,
        toUnixTimestamp64Milli(if(first_row.tier = 3, first_row.received_at, first_row.occurred_at)) + 300000
            as before_ms,
        first_row.shop as shop,
        first_row.order_id as order_id,
        first_row.event_id as event_id,
        latest.event_id as amounts_event_id,
        orders.events as events,
        first_row.received_at as received_at,
        first_row.conversion_type as conversion_type,
        latest.customer_type as customer_type,
        first_row.is_renewal as is_renewal,
        latest.is_test as is_test,
        latest.trust_tier as trust_tier,
        orders.trust_tiers as trust_tiers,
        latest.tier as tier,
        latest.currency as currency,
        latest.revenue_cents as revenue_cents,
        latest.subtotal_cents as subtotal_cents,
        latest.discount_cents as discount_cents,
        latest.tax_cents as tax_cents,
        latest.shipping_cents as shipping_cents,
        latest.gift_card_cents as gift_card_cents,
        latest.presentment_currency as presentment_currency,
        latest.presentment_revenue_cents as presentment_revenue_cents,
        latest.gift_card_sales_cents as gift_card_sales_cents
    from orders
    inner join order_rows as first_row on orders.first_id = first_row.event_id
    inner join order_rows as latest on orders.amounts_id = latest.event_id
    where
        first_row.occurred_at >= fromUnixTimestamp64Milli({day_ms:Int64}, 'UTC')
        and first_row.occurred_at < fromUnixTimestamp64Milli({day_ms:Int64} + 86400000, 'UTC')
),

returns as (
    select
        order_rows.order_place as order_place,
        order_rows.tier as tier,
        multiIf(
            order_rows.reason in ('refund_failed', 'cancellation', 'chargeback', 'chargeback_reversed'),
            order_rows.reason,
            'refund'
        ) as told_kind,
        toInt128(coalesce(order_rows.refund_amount_cents, 0)) as told_cents,
        toInt128(coalesce(chosen.presentment_revenue_cents, 0)) as paid_cents,
        toInt128(coalesce(chosen.revenue_cents, 0)) as revenue,
        multiIf(
            order_rows.currency = chosen.currency, told_cents,
            order_rows.currency = chosen.presentment_currency and paid_cents > 0,
            intDiv(2 * told_cents * revenue + paid_cents, 2 * paid_cents),
            null
        ) as cents,
        min(order_rows.tier) over (
            partition by order_rows.order_place, if(told_kind = 'cancellation', 'refund', told_kind)
        ) as best_tier
    from order_rows
    inner join chosen on order_rows.order_place = chosen.order_place
    where order_rows.event_type = 'refund' and order_rows.is_test = chosen.is_test
),

judged as (
    select
        order_place,
        cents,
        tier = best_tier and tier < 3 as is_best,
        sumIf(coalesce(cents, 0), is_best and told_kind = 'refund') over (partition by order_place) as given_back,
        told_kind = 'cancellation'
        and tier < 3
        and (tier > 1 or coalesce(cents, 0) = 0 or cents + given_back >= revenue) as is_cancelling,
        if(told_kind = 'cancellation' and not is_cancelling, 'refund', told_kind) as kind,
        is_best and kind != 'cancellation' as is_believed,
        tier > 2 and best_tier > 2 as is_unconfirmed
    from returns
),

returned as (
    select
        order_place,
        countIf(is_believed and cents is not null) as refunds,
        countIf(is_unconfirmed) as unconfirmed_refunds,
        countIf(is_cancelling) > 0 as is_cancelled,
        countIf(is_believed and cents is null) as other_currency_refunds,
        sumMapIf(map(kind, coalesce(cents, 0)), is_believed and cents is not null) as by_reason,
        greatest(toInt128(0), by_reason['refund'] - by_reason['refund_failed'])
        + greatest(toInt128(0), by_reason['chargeback'] - by_reason['chargeback_reversed']) as total_cents
    from judged
    group by order_place
)

select
    chosen.order_place as order_place,
    chosen.conversion_id as conversion_id,
    chosen.occurred_at as occurred_at,
    chosen.before_ms as before_ms,
    chosen.shop as shop,
    chosen.order_id as order_id,
    chosen.event_id as event_id,
    chosen.amounts_event_id as amounts_event_id,
    toUInt32(chosen.events) as events,
    chosen.received_at as received_at,
    chosen.conversion_type as conversion_type,
    chosen.customer_type as customer_type,
    chosen.is_renewal as is_renewal,
    chosen.is_test as is_test,
    chosen.trust_tier as trust_tier,
    chosen.trust_tiers as trust_tiers,
    chosen.tier as tier,
    chosen.currency as currency,
    chosen.revenue_cents as revenue_cents,
    chosen.subtotal_cents as subtotal_cents,
    chosen.discount_cents as discount_cents,
    chosen.tax_cents as tax_cents,
    chosen.shipping_cents as shipping_cents,
    chosen.gift_card_cents as gift_card_cents,
    chosen.presentment_currency as presentment_currency,
    chosen.presentment_revenue_cents as presentment_revenue_cents,
    chosen.gift_card_sales_cents as gift_card_sales_cents,
    toUInt32(returned.refunds) as refunds,
    toUInt32(returned.unconfirmed_refunds) as unconfirmed_refunds,
    returned.is_cancelled as is_cancelled,
    toUInt32(returned.other_currency_refunds) as other_currency_refunds,
    toInt64(if(
        returned.is_cancelled,
        toInt128(coalesce(chosen.revenue_cents, 0)),
        least(toInt128(coalesce(chosen.revenue_cents, 0)), returned.total_cents)
    )) as refunded_cents,
    cast(returned.by_reason as Map(String, Int64)) as refunded_by_reason,
    codes.coupon_codes as coupon_codes
from chosen
left join returned on chosen.order_place = returned.order_place
left join codes on chosen.order_place = codes.order_place;
