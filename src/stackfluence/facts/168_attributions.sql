-- Attributions: who is credited with an order, by the rule that pays and by every model.
--
-- Grain:     one row per order of one day (UTC) of one organization and touch: a click or a code that may be credited.
-- Reads:     day_orders, order_candidates, touch_verdicts, order_rows, self_purchases
-- Writes:    day_attributions (of this connection), which `derive_orders` copies into attributions
-- Rule:      The policy in force when the order was placed, or received if that was earlier, decides. A touch is
--            eligible when its creator isn't the customer, somebody told of it whose word the policy takes, its click
--            is valid, and no more than the policy's window lies between click and order; a code has no window, it is
--            live or not. A creator's own live code takes all. Without one the policy's model pays: the last eligible
--            touch of 160's order unless it says otherwise. Every order's credits add up to 1,000,000 in each model:
--            first_touch gives all to the earliest; linear the same to each; position_based 400,000 to the first and
--            to the last and the rest to those between, halves where there are two; time_decay halves a touch's
--            weight for every 7 days before the order, in a straight line within them (Google Analytics' half-life).
--            What a division leaves over goes one by one to the last of those who share. Of two touches at the same
--            moment, two codes for instance, the one that goes first in 160's order is the earlier. In the models that
--            share, a code whose creator has an eligible click on the order is no touch beside it.
-- Lookback:  none beyond that of what it reads
-- Lookahead: none

-- name: derive_attributions
-- Put the touches of one day's orders with their credits into `day_attributions`.
insert into day_attributions (
    occurred_at, conversion_id, place, found_by, trust_tier, creator_id, campaign_id, link_id, click_id, code,
    touched_at, country, device_class, in_app_browser, outcome, invalid_reason, is_provisional, policy_version,
    paid_credits, last_touch_credits, first_touch_credits, linear_credits, position_based_credits, time_decay_credits
)
with

bought as (
    select
        node,
        seq,
        creator_id
    from self_purchases
    where organization_id = {organization_id:String}
),

own as (
    select distinct
        order_rows.order_place as order_place,
        bought.creator_id as creator_id,
        true as is_own
    from order_rows
    inner join bought on order_rows.node = bought.node and order_rows.seq = bought.seq
),

touches as (
    select
        day_orders.order_place as order_place,
        day_orders.conversion_id as conversion_id,
        day_orders.occurred_at as occurred_at,
        candidates.place as place,
        candidates.found_by as found_by,
        candidates.trust_tier as trust_tier,
        candidates.creator_id as creator_id,
        candidates.campaign_id as campaign_id,
        candidates.link_id as link_id,
        candidates.click_id as click_id,
        candidates.code as code,
        toUnixTimestamp64Milli(day_orders.occurred_at) as ordered_ms,
        candidates.found_by = 'code' as is_code,
        if(is_code, ordered_ms, candidates.clicked_ms) as touched_ms,
        arrayLastIndex(
            from_ms -> from_ms <= least(ordered_ms, toUnixTimestamp64Milli(day_orders.received_at)),
            {policy_from:Array(Int64)}
        ) as policy,
        verdicts.country as country,
        verdicts.device_class as device_class,
        verdicts.in_app_browser as in_app_browser,
        verdicts.invalid_reason as invalid_reason,
        not is_code and not verdicts.is_derived as is_provisional,
        multiIf(
            own.is_own, 'self_purchase',
            not has({policy_touch_tiers:Array(Array(String))}[policy], toString(candidates.trust_tier)),
            'unconfirmed_touch',
            touched_ms + {policy_window_ms:Array(Int64)}[policy] < ordered_ms, 'outside_window',
            verdicts.invalid_reason != '', 'invalid_traffic',
            ''
        ) as refusal
    from order_candidates as candidates
    inner join day_orders on candidates.order_place = day_orders.order_place
    left join touch_verdicts as verdicts on candidates.click_id = verdicts.click_id
    left join own on candidates.order_place = own.order_place and candidates.creator_id = own.creator_id
    where candidates.outcome in ('named', 'outranked')
),

beside as (
    select
        *,
        refusal = '' as is_eligible,
        countIf(is_eligible and not is_code) over (partition by order_place, creator_id) > 0 as has_own_click,
        countIf(is_eligible and is_code) over (partition by order_place) > 0 as has_code,
        minIf(place, is_eligible) over (partition by order_place) as first_place,
        is_eligible and not (is_code and has_own_click) as is_sharing
    from touches
),

-- one row per order: those who share, the earliest first, with the age of each
shared as (
    select
        order_place,
        min(ordered_ms) as placed_ms,
        arraySort(groupArray((touched_ms, place))) as sharing,
        length(sharing) as sharers,
        -- at least 1, since what is divided by it is computed for every order
        greatest(toInt64(sharers) - 2, 1) as between_them,
        arrayMap(touch -> toUInt64(greatest(toInt64(0), placed_ms - touch.1)), sharing) as ages,
        -- 2 ^ (30 - halvings), less by the part of the halving under way: whole numbers alone
        arrayMap(
            age -> intDiv(
                bitShiftLeft(toUInt64(1), 30 - toUInt8(intDiv(age, 604800000)))
                * (1209600000 - age % 604800000), 1209600000
            ),
            ages
        ) as weights,
        arraySum(weights) as weight,
        arrayMap(each -> intDiv(1000000 * each, weight), weights) as decayed
    from beside
    where is_sharing
    group by order_place
),

credited as (
    select
        order_place,
        number,
        tupleElement(arrayElement(sharing, number), 2) as place,
        if(number = 1, 1000000, 0) as first_touch,
        intDiv(1000000, sharers) + (number > toInt64(sharers) - 1000000 % sharers) as linear,
        multiIf(
            sharers = 1, 1000000,
            sharers = 2, 500000,
            number in (1, sharers), 400000,
            intDiv(200000, between_them) + (number > toInt64(sharers) - 1 - 200000 % between_them)
        ) as position_based,
        decayed[number] + (number > toInt64(sharers) - (1000000 - arraySum(decayed))) as time_decay
    from shared
    array join arrayEnumerate(sharing) as number
)

select
    beside.occurred_at as occurred_at,
    beside.conversion_id as conversion_id,
    beside.place as place,
    beside.found_by as found_by,
    beside.trust_tier as trust_tier,
    beside.creator_id as creator_id,
    beside.campaign_id as campaign_id,
    beside.link_id as link_id,
    beside.click_id as click_id,
    beside.code as code,
    fromUnixTimestamp64Milli(beside.touched_ms, 'UTC') as touched_at,
    beside.country as country,
    beside.device_class as device_class,
    beside.in_app_browser as in_app_browser,
    multiIf(beside.refusal != '', beside.refusal, paid_credits > 0, 'paid', 'eligible') as outcome,
    beside.invalid_reason as invalid_reason,
    beside.is_provisional as is_provisional,
    {policy_versions:Array(UInt32)}[beside.policy] as policy_version,
    toUInt32(multiIf(
        beside.has_code or ({policy_models:Array(String)}[beside.policy] as model) = 'last_touch', last_touch_credits,
        model = 'first_touch', credited.first_touch,
        model = 'linear', credited.linear,
        model = 'position_based', credited.position_based,
        credited.time_decay
    )) as paid_credits,
    toUInt32(if(beside.is_eligible and beside.place = beside.first_place, 1000000, 0)) as last_touch_credits,
    toUInt32(credited.first_touch) as first_touch_credits,
    toUInt32(credited.linear) as linear_credits,
    toUInt32(credited.position_based) as position_based_credits,
    toUInt32(credited.time_decay) as time_decay_credits
from beside
left join credited on beside.order_place = credited.order_place and beside.place = credited.place;
