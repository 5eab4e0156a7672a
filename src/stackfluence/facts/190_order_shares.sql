-- Shares: whose an order is by each model, and which part of its amounts, as reports count it.
--
-- Grain:     one row per order of one day (UTC) of one organization, model, and touch that is credited by it; one of
--            nobody for each model where no touch is credited.
-- Reads:     day_conversions, day_attributions
-- Writes:    day_shares (of this connection), which `derive_orders` copies into order_shares
-- Rule:      By every model an order's credits add up to 1,000,000, nobody's included. The net base is shared by them:
--            what a touch gets is what it and all before it get, less what these get, each rounded down once, so that
--            the shares add up to the order's. A conversion without amounts has no currency. One that no touch is
--            credited with can't be billed, and is counted.
-- Lookback:  none beyond that of what it reads
-- Lookahead: none

-- name: derive_order_shares
-- Put the shares in one day's orders into `day_shares`.
insert into day_shares (
    model, occurred_at, touched_at, conversion_id, place, creator_id, campaign_id, link_id, has_click, country,
    device_class, in_app_browser, conversion_type, customer_type, is_test, currency, uncredited_reason, left_out_reason,
    credits, revenue_cents, refunded_cents, net_revenue_cents, commission_base_cents, net_base_micros
)
with

credited as (
    select
        conversion_id,
        place,
        creator_id,
        campaign_id,
        link_id,
        click_id != toUUID('00000000-0000-0000-0000-000000000000') as has_click,
        touched_at,
        country,
        device_class,
        in_app_browser,
        share.1 as model,
        share.2 as credits
    from day_attributions
    array join
        [
            ('paid', paid_credits), ('last_touch', last_touch_credits), ('first_touch', first_touch_credits),
            ('linear', linear_credits), ('position_based', position_based_credits), ('time_decay', time_decay_credits)
        ] as share
    where share.2 > 0
),

-- that of nobody has the place 0
shares as (
    select
        orders.*,
        credited.place as place,
        if(place = 0, orders.occurred_at, credited.touched_at) as touched_at,
        credited.creator_id as touch_creator,
        credited.campaign_id as touch_campaign,
        credited.link_id as touch_link,
        credited.has_click as has_click,
        credited.country as country,
        credited.device_class as device_class,
        credited.in_app_browser as in_app_browser,
        if(
            place = 0,
            ['paid', 'last_touch', 'first_touch', 'linear', 'position_based', 'time_decay'],
            [credited.model]
        ) as models,
        if(place = 0, toUInt32(1000000), credited.credits) as credits,
        toInt128(coalesce(orders.net_base_micros, 0)) as net
    from day_conversions as orders
    left join credited on orders.conversion_id = credited.conversion_id
),

summed as (
    select
        *,
        model,
        sum(credits) over (partition by conversion_id, model order by place) as so_far
    from shares
    array join models as model
)

select
    model,
    occurred_at,
    touched_at,
    conversion_id,
    place,
    touch_creator as creator_id,
    touch_campaign as campaign_id,
    touch_link as link_id,
    has_click,
    country,
    device_class,
    in_app_browser,
    conversion_type,
    customer_type,
    is_test,
    if(summed.revenue_cents is null and summed.commission_base_cents is null, '', toString(currency)) as currency,
    if(place = 0, toString(unattributed_reason), '') as uncredited_reason,
    if(non_billable_reason = 'unattributed', '', toString(non_billable_reason)) as left_out_reason,
    credits,
    coalesce(summed.revenue_cents, 0) as revenue_cents,
    if(summed.revenue_cents is null, 0, summed.refunded_cents) as refunded_cents,
    coalesce(summed.net_revenue_cents, 0) as net_revenue_cents,
    coalesce(summed.commission_base_cents, 0) as commission_base_cents,
    toInt64(intDiv(net * so_far, 1000000) - intDiv(net * (so_far - credits), 1000000)) as net_base_micros
from summed;
