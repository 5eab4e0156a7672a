-- Conversions: an order, the creator it names, how that was found, and what of it a creator can be paid for.
--
-- Grain:     one row per order of one day (UTC) of one organization.
-- Reads:     day_orders, order_candidates, code_pace, day_attributions
-- Writes:    day_conversions (of this connection), which `derive_orders` copies into conversions
-- Rule:      The first candidate is named. An order that a code named has the campaign of the code or, where it has
--            none, that of the creator's click, and that click itself where there is one. Net is what is left when
--            everything that came back is subtracted, at least nothing. An order by a code is part of a spike when it
--            has no click of the creator, at least {code_orders} orders of the day have the code, {code_times} times
--            as many as usual, and the creator's clicks are fewer than these. Clicks conflict when browsers tell of
--            clicks of several creators for one order. The commission base is merchandise after discounts, without
--            tax, shipping and gift cards that were sold; where the parts aren't told, revenue without tax and
--            shipping. What comes back takes the same share of it as of the revenue. A test, an order that nobody
--            told of whose word the policy takes, and one that no touch is credited with can't be billed.
-- Lookback:  none beyond that of what it reads
-- Lookahead: none beyond that of what it reads

-- name: derive_conversions
-- Put one day's conversions into `day_conversions`.
insert into day_conversions (
    occurred_at, conversion_id, shop, order_id, event_id, amounts_event_id, events, received_at, conversion_type,
    customer_type, is_renewal, is_test, trust_tier, currency, revenue_cents, subtotal_cents, discount_cents, tax_cents,
    shipping_cents, gift_card_cents, presentment_currency, presentment_revenue_cents, refunds, unconfirmed_refunds,
    is_cancelled, other_currency_refunds, refunded_cents, refunded_by_reason, net_revenue_cents, coupon_codes, found_by,
    found_tier, creator_id, campaign_id, link_id, click_id, matched_code, candidates, unknown_clicks, policy_version,
    commission_base_cents, net_base_micros, unattributed_reason, non_billable_reason, is_provisional, reasons, evidence
)
with

named as (
    select
        order_place,
        found_by,
        trust_tier,
        creator_id,
        campaign_id,
        link_id,
        click_id,
        code,
        code_key
    from order_candidates
    where outcome = 'named'
),

-- the first click of the creator whose code it is
own_clicks as (
    select
        order_candidates.order_place as order_place,
        argMin(
            (order_candidates.campaign_id, order_candidates.link_id, order_candidates.click_id), order_candidates.place
        ) as own,
        true as has_click
    from order_candidates
    inner join named
        on order_candidates.order_place = named.order_place and order_candidates.creator_id = named.creator_id
    where order_candidates.found_by != 'code' and order_candidates.outcome in ('named', 'outranked')
    group by order_place
),

everyone as (
    select
        order_place,
        arraySort(groupArray((
            place, found_by, outcome, creator_id, campaign_id, link_id, click_id, clicked_ms, code, code_key,
            trust_tier, event_id
        ))) as ranked,
        arraySort(groupUniqArrayIf(click_id, outcome = 'unknown_click')) as unknown_clicks,
        uniqExactIf(
            creator_id, found_by = 'click_id' and trust_tier = 'browser' and outcome in ('named', 'outranked')
        ) as browser_creators
    from order_candidates
    group by order_place
),

paced as (
    select
        named.order_place as order_place,
        code_pace.orders as code_orders,
        code_pace.usual_orders as usual_orders,
        code_pace.clicks as code_clicks,
        named.found_by = 'code'
        and code_orders >= {code_orders:UInt32}
        and code_orders >= {code_times:UInt32} * usual_orders
        and code_clicks < code_orders as is_spike
    from named
    inner join code_pace on named.code_key = code_pace.code_key and named.creator_id = code_pace.creator_id
),

priced as (
    select
        order_place,
        arrayLastIndex(
            from_ms -> from_ms <= least(toUnixTimestamp64Milli(occurred_at), toUnixTimestamp64Milli(received_at)),
            {policy_from:Array(Int64)}
        ) as policy,
        multiIf(
            subtotal_cents is not null,
            coalesce(subtotal_cents, 0) - coalesce(discount_cents, 0) - gift_card_sales_cents,
            revenue_cents is not null,
            coalesce(revenue_cents, 0)
            - coalesce(tax_cents, 0)
            - coalesce(shipping_cents, 0)
            - gift_card_sales_cents,
            null
        ) as parts_cents,
        if(parts_cents is null, null, greatest(0, coalesce(parts_cents, 0))) as base_cents,
        toInt128(coalesce(base_cents, 0)) * 1000000 as base_micros,
        toInt128(greatest(1, coalesce(revenue_cents, 0))) as whole_cents,
        toInt64(if(
            is_cancelled,
            toInt128(0),
            base_micros - if(coalesce(revenue_cents, 0) > 0, intDiv(base_micros * refunded_cents, whole_cents), 0)
        )) as left_micros,
        if(base_cents is null, null, left_micros) as net_micros
    from day_orders
),

attributed as (
    select
        conversion_id,
        sum(paid_credits) as paid,
        argMin(toString(outcome), place) as first_outcome,
        max(is_provisional) as was_provisional
    from day_attributions
    group by conversion_id
)

select
    day_orders.occurred_at as occurred_at,
    day_orders.conversion_id as conversion_id,
    day_orders.shop as shop,
    day_orders.order_id as order_id,
    day_orders.event_id as event_id,
    day_orders.amounts_event_id as amounts_event_id,
    day_orders.events as events,
    day_orders.received_at as received_at,
    day_orders.conversion_type as conversion_type,
    day_orders.customer_type as customer_type,
    day_orders.is_renewal as is_renewal,
    day_orders.is_test as is_test,
    day_orders.trust_tier as trust_tier,
    day_orders.currency as currency,
    day_orders.revenue_cents as revenue_cents,
    day_orders.subtotal_cents as subtotal_cents,
    day_orders.discount_cents as discount_cents,
    day_orders.tax_cents as tax_cents,
    day_orders.shipping_cents as shipping_cents,
    day_orders.gift_card_cents as gift_card_cents,
    day_orders.presentment_currency as presentment_currency,
    day_orders.presentment_revenue_cents as presentment_revenue_cents,
    day_orders.refunds as refunds,
    day_orders.unconfirmed_refunds as unconfirmed_refunds,
    day_orders.is_cancelled as is_cancelled,
    day_orders.other_currency_refunds as other_currency_refunds,
    day_orders.refunded_cents as refunded_cents,
    day_orders.refunded_by_reason as refunded_by_reason,
    if(
        day_orders.revenue_cents is null,
        null,
        greatest(0, coalesce(day_orders.revenue_cents, 0) - day_orders.refunded_cents)
    ) as net_revenue_cents,
    day_orders.coupon_codes as coupon_codes,
    if(named.order_place = '', 'none', toString(named.found_by)) as found_by,
    named.trust_tier as found_tier,
    named.creator_id as creator_id,
    if(named.found_by = 'code' and named.campaign_id = '', own_clicks.own.1, named.campaign_id) as campaign_id,
    if(named.found_by = 'code', own_clicks.own.2, named.link_id) as link_id,
    if(named.found_by = 'code', own_clicks.own.3, named.click_id) as click_id,
    named.code as matched_code,
    arrayMap(
        ranked -> (
            ranked.2, ranked.3, ranked.4, ranked.5, ranked.6, ranked.7, ranked.8, ranked.9, ranked.10, ranked.11,
            ranked.12
        ),
        everyone.ranked
    ) as candidates,
    everyone.unknown_clicks as unknown_clicks,
    {policy_versions:Array(UInt32)}[priced.policy] as policy_version,
    priced.base_cents as commission_base_cents,
    priced.net_micros as net_base_micros,
    multiIf(
        attributed.paid > 0, '',
        attributed.first_outcome = '', 'no_touch',
        attributed.first_outcome
    ) as unattributed_reason,
    multiIf(
        day_orders.is_test, 'test',
        not hasAny({policy_conversion_tiers:Array(Array(String))}[priced.policy], day_orders.trust_tiers),
        'unconfirmed',
        unattributed_reason != '', 'unattributed',
        ''
    ) as non_billable_reason,
    attributed.was_provisional as is_provisional,
    arrayFilter(reason -> reason != '', [
        if(paced.is_spike and not own_clicks.has_click, 'code_spike', ''),
        if(everyone.browser_creators > 1, 'conflicting_clicks', '')
    ]) as reasons,
    cast(arrayConcat(
        if(
            has(reasons, 'conflicting_clicks'),
            [('browser_creators', toInt64(everyone.browser_creators))],
            []
        ),
        if(
            has(reasons, 'code_spike'),
            [
                ('code_clicks', toInt64(paced.code_clicks)),
                ('code_orders', toInt64(paced.code_orders)),
                ('usual_code_orders', toInt64(paced.usual_orders))
            ],
            []
        )
    ) as Map(String, Int64)) as evidence
from day_orders
left join named on day_orders.order_place = named.order_place
left join own_clicks on day_orders.order_place = own_clicks.order_place
left join everyone on day_orders.order_place = everyone.order_place
left join paced on day_orders.order_place = paced.order_place
left join attributed on day_orders.conversion_id = attributed.conversion_id
left join priced on day_orders.order_place = priced.order_place;
