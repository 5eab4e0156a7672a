-- name: days_with_orders
-- The days of a time span that have conversions, or had when they were derived.
select distinct day
from (
    select toDate(occurred_at) as day
    from events
    where
        organization_id = {organization_id:String}
        and event_type = 'conversion'
        and load_number <= {as_of:UInt64}
        and occurred_at >= fromUnixTimestamp64Milli({from_ms:Int64}, 'UTC')
        and occurred_at < fromUnixTimestamp64Milli({to_ms:Int64}, 'UTC')
    union all
    select day
    from derived_order_days
    where
        organization_id = {organization_id:String}
        and day >= toDate(fromUnixTimestamp64Milli({from_ms:Int64}, 'UTC'))
        and day < toDate(fromUnixTimestamp64Milli({to_ms:Int64}, 'UTC'))
) as days
order by day;

-- name: any_payment
-- A row when anything that an organization told of names a payment.
select 1 as found
from order_places
where organization_id = {organization_id:String} and load_number <= {as_of:UInt64} and notEmpty(payments)
order by organization_id
limit 1;

-- name: words_of_day
-- The codes as they are written on the orders of a day, and on those of the week before.
select distinct code
from (
    select arrayJoin(coupon_codes) as code
    from order_rows
    where event_type = 'conversion'
    union all
    select arrayJoin(coupon_codes) as code
    from events
    where
        organization_id = {organization_id:String}
        and event_type = 'conversion'
        and load_number <= {as_of:UInt64}
        and occurred_at >= fromUnixTimestamp64Milli({day_ms:Int64} - 604800000, 'UTC')
        and occurred_at < fromUnixTimestamp64Milli({day_ms:Int64} + 86400000, 'UTC')
) as written
order by code;

-- name: keys_of_day
-- The codes on the day's own orders.
select distinct code_words.code_key as code_key
from order_rows
array join order_rows.coupon_codes as code
inner join code_words on code = code_words.code
where
    order_rows.event_type = 'conversion'
    and order_rows.order_place in (select order_place from day_orders)
order by code_key;

-- name: count_day_conversions
-- What the day at hand came to. The hash is over every column of every row, in whatever order they are.
select
    count() as conversions,
    lower(hex(groupBitXor(reinterpretAsUInt128(sipHash128(
        occurred_at, conversion_id, shop, order_id, event_id, amounts_event_id, events, received_at,
        toString(conversion_type), toString(customer_type), is_renewal, is_test, toString(trust_tier),
        toString(currency), toString(tuple(
            revenue_cents, subtotal_cents, discount_cents, tax_cents, shipping_cents, gift_card_cents,
            presentment_currency, presentment_revenue_cents
        )), is_cancelled, toString(found_tier), refunds, unconfirmed_refunds, other_currency_refunds, refunded_cents,
        cast(refunded_by_reason as Map(String, Int64)), toString(tuple(net_revenue_cents)), coupon_codes,
        toString(found_by), creator_id, campaign_id, link_id, click_id, matched_code, toString(candidates),
        unknown_clicks, policy_version, toString(tuple(commission_base_cents, net_base_micros)),
        toString(unattributed_reason), toString(non_billable_reason), is_provisional,
        cast(reasons as Array(String)), cast(evidence as Map(String, Int64))
    ))))) as facts_hash
from day_conversions;

-- name: publish_conversions
-- Copy the day at hand into conversions; nobody reads it there before the run's pointer.
insert into conversions (
    run_id, organization_id, occurred_at, conversion_id, shop, order_id, event_id, amounts_event_id, events,
    received_at, conversion_type, customer_type, is_renewal, is_test, trust_tier, currency, revenue_cents,
    subtotal_cents, discount_cents, tax_cents, shipping_cents, gift_card_cents, presentment_currency,
    presentment_revenue_cents, refunds, unconfirmed_refunds, is_cancelled, other_currency_refunds, refunded_cents,
    refunded_by_reason, net_revenue_cents, coupon_codes, found_by, found_tier, creator_id, campaign_id, link_id,
    click_id, matched_code, candidates, unknown_clicks, policy_version, commission_base_cents, net_base_micros,
    unattributed_reason, non_billable_reason, is_provisional, reasons, evidence, expires_at
)
select
    {run_id:UInt64} as run_id,
    {organization_id:String} as organization_id,
    occurred_at,
    conversion_id,
    shop,
    order_id,
    event_id,
    amounts_event_id,
    events,
    received_at,
    conversion_type,
    customer_type,
    is_renewal,
    is_test,
    trust_tier,
    currency,
    revenue_cents,
    subtotal_cents,
    discount_cents,
    tax_cents,
    shipping_cents,
    gift_card_cents,
    presentment_currency,
    presentment_revenue_cents,
    refunds,
    unconfirmed_refunds,
    is_cancelled,
    other_currency_refunds,
    refunded_cents,
    refunded_by_reason,
    net_revenue_cents,
    coupon_codes,
    found_by,
    found_tier,
    creator_id,
    campaign_id,
    link_id,
    click_id,
    matched_code,
    candidates,
    unknown_clicks,
    policy_version,
    commission_base_cents,
    net_base_micros,
    unattributed_reason,
    non_billable_reason,
    is_provisional,
    reasons,
    evidence,
    toDateTime({expires_s:UInt32}, 'UTC') as expires_at
from day_conversions;

-- name: hash_day_attributions
-- The hash of the day's attributions, as that of its conversions.
select
    lower(hex(groupBitXor(reinterpretAsUInt128(sipHash128(
        occurred_at, conversion_id, place, toString(found_by), toString(trust_tier), creator_id, campaign_id, link_id,
        click_id, code, touched_at, toString(country), toString(device_class), toString(in_app_browser),
        toString(outcome), toString(invalid_reason), is_provisional, policy_version,
        paid_credits, last_touch_credits, first_touch_credits, linear_credits, position_based_credits,
        time_decay_credits
    ))))) as facts_hash
from day_attributions;

-- name: touches_of_day
-- On which days the clicks of the day's touches were, what they are worth, and whether that can still change.
select
    arraySort(groupUniqArray(clicked_on)) as click_days,
    lower(hex(groupBitXor(reinterpretAsUInt128(sipHash128(
        click_id, toString(invalid_reason), is_derived
    ))))) as verdicts_hash,
    countIf(not is_final) = 0 as is_final
from touch_verdicts;

-- name: publish_attributions
-- Copy the day's attributions; nobody reads them there before the run's pointer.
insert into attributions (
    run_id, organization_id, occurred_at, conversion_id, place, found_by, trust_tier, creator_id, campaign_id, link_id,
    click_id, code, touched_at, country, device_class, in_app_browser, outcome, invalid_reason, is_provisional,
    policy_version, paid_credits, last_touch_credits, first_touch_credits, linear_credits, position_based_credits,
    time_decay_credits, expires_at
)
select
    {run_id:UInt64} as run_id,
    {organization_id:String} as organization_id,
    occurred_at,
    conversion_id,
    place,
    found_by,
    trust_tier,
    creator_id,
    campaign_id,
    link_id,
    click_id,
    code,
    touched_at,
    country,
    device_class,
    in_app_browser,
    outcome,
    invalid_reason,
    is_provisional,
    policy_version,
    paid_credits,
    last_touch_credits,
    first_touch_credits,
    linear_credits,
    position_based_credits,
    time_decay_credits,
    toDateTime({expires_s:UInt32}, 'UTC') as expires_at
from day_attributions;

-- name: hash_day_shares
-- The hash of whose the day's orders are, as that of its conversions.
select
    lower(hex(groupBitXor(reinterpretAsUInt128(sipHash128(
        toString(model), occurred_at, touched_at, conversion_id, place, creator_id, campaign_id, link_id,
        has_click, toString(country), toString(device_class), toString(in_app_browser),
        toString(conversion_type), toString(customer_type), is_test, toString(currency), toString(uncredited_reason),
        toString(left_out_reason), credits, revenue_cents, refunded_cents, net_revenue_cents, commission_base_cents,
        net_base_micros
    ))))) as facts_hash
from day_shares;

-- name: publish_shares
-- Copy whose the day's orders are; nobody reads it there before the run's pointer.
insert into order_shares (
    run_id, organization_id, model, occurred_at, touched_at, conversion_id, place, creator_id, campaign_id, link_id,
    has_click, country, device_class, in_app_browser, conversion_type, customer_type, is_test, currency,
    uncredited_reason, left_out_reason, credits, revenue_cents, refunded_cents, net_revenue_cents,
    commission_base_cents, net_base_micros, expires_at
)
select
    {run_id:UInt64} as run_id,
    {organization_id:String} as organization_id,
    model,
    occurred_at,
    touched_at,
    conversion_id,
    place,
    creator_id,
    campaign_id,
    link_id,
    has_click,
    country,
    device_class,
    in_app_browser,
    conversion_type,
    customer_type,
    is_test,
    currency,
    uncredited_reason,
    left_out_reason,
    credits,
    revenue_cents,
    refunded_cents,
    net_revenue_cents,
    commission_base_cents,
    net_base_micros,
    toDateTime({expires_s:UInt32}, 'UTC') as expires_at
from day_shares;

-- name: last_order_pointer
-- What is read for a day at a moment.
select
    is_final,
    facts_hash,
    codes_hash,
    verdicts_hash,
    generation
from derived_order_days
where
    organization_id = {organization_id:String}
    and day = {day:Date}
    and toUnixTimestamp(expires_at) * 1000 > {now_ms:Int64}
order by run_id desc
limit 1;

-- name: note_order_run
-- Say that a run is complete.
insert into order_runs (
    run_id, derived_at, organization_id, days, as_of, code_version, policy_versions, conversions, facts_hash,
    table_hashes, warnings
)
select
    {run_id:UInt64} as run_id,
    fromUnixTimestamp64Milli({derived_ms:Int64}, 'UTC') as derived_at,
    {organization_id:String} as organization_id,
    {days:Array(Date)} as days,
    {as_of:UInt64} as as_of,
    {code_version:String} as code_version,
    {run_policies:Array(UInt32)} as policy_versions,
    {conversions:UInt64} as conversions,
    {facts_hash:String} as facts_hash,
    mapFromArrays({hashed_tables:Array(String)}, {table_hashes:Array(String)}) as table_hashes,
    {warnings:Array(String)} as warnings;

-- name: point_order_days
-- Let readers see a run's days, all at once: an order that moved from one to another is never seen twice.
insert into derived_order_days (
    organization_id, day, run_id, is_final, is_kept, conversions, facts_hash, code_keys, codes_hash, click_days,
    verdicts_hash, generation, expires_at
)
select
    {organization_id:String} as organization_id,
    written.1 as day,
    {run_id:UInt64} as run_id,
    written.2 as is_final,
    written.3 as is_kept,
    written.4 as conversions,
    written.5 as facts_hash,
    written.6 as code_keys,
    written.7 as codes_hash,
    written.8 as click_days,
    written.9 as verdicts_hash,
    {generation:UInt16} as generation,
    toDateTime(written.10, 'UTC') as expires_at
from (
    select arrayJoin(arrayZip(
        {days:Array(Date)},
        {finals:Array(Bool)},
        {kept:Array(Bool)},
        {day_conversions:Array(UInt64)},
        {hashes:Array(String)},
        {keys:Array(Array(String))},
        {code_hashes:Array(String)},
        {click_days:Array(Array(Date))},
        {verdict_hashes:Array(String)},
        {ends:Array(UInt32)}
    )) as written
) as days;
