-- Order candidates: whoever an order of the day may name.
--
-- Grain:     one row per order and code on it, or click ID that it or its customer carried.
-- Reads:     day_orders, order_rows, customer_rows, order_clicks, code_words, code_periods
-- Writes:    order_candidates (of this connection)
-- Rule:      A creator's code that is live when the order is placed goes before a click. Of codes the one goes first
--            whose creator's click is there, too, then the one that stands first on the order, as the highest tier
--            tells it, then by the alphabet; it is spelled as there. Clicks that a server or connector tells of go
--            before those that a browser alone tells of: who knows an order's number could say so. Among these the last
--            one goes first, whether the order carries it or its customer carried it elsewhere within 30 days; a click
--            that both tell of is told by the more trusted of them. A code that nobody owns takes nothing from a click.
--            On an order that a server or connector tells of, a code that only a browser tells of isn't believed. What
--            can't be named is kept with the reason.
-- Lookback:  30 days between click and order, where the order doesn't carry the click's ID itself
-- Lookahead: none beyond that of what it reads

-- name: rank_candidates
-- Put everybody whom the day's orders may name into `order_candidates`, the one that is named first.
insert into order_candidates (
    order_place, place, found_by, outcome, creator_id, campaign_id, link_id, click_id, clicked_ms, code, code_key,
    trust_tier, event_id
)
with

carried as (
    select
        order_place,
        2 as way,
        click_id,
        tier,
        trust_tier,
        event_id
    from order_rows
    where event_type = 'conversion' and click_id_status = 'valid'
    union all
    select
        order_place,
        3 as way,
        click_id,
        tier,
        trust_tier,
        event_id
    from customer_rows
),

aged as (
    select
        carried.order_place as order_place,
        carried.way as way,
        carried.click_id as click_id,
        carried.tier as tier,
        carried.trust_tier as trust_tier,
        carried.event_id as event_id,
        carried.way = 3
        and toInt64(bitShiftRight(toUInt128(carried.click_id), 80)) + 2592000000
        < toUnixTimestamp64Milli(day_orders.occurred_at) as is_too_old
    from carried
    inner join day_orders on carried.order_place = day_orders.order_place
),

told as (
    select
        order_place,
        click_id,
        argMin((way, tier, trust_tier, event_id, is_too_old), (is_too_old, tier > 2, way, tier, event_id)) as best
    from aged
    group by order_place, click_id
),

clicks as (
    select
        told.order_place as order_place,
        told.best.1 as way,
        toInt64(bitShiftRight(toUInt128(told.click_id), 80)) as clicked_ms,
        multiIf(
            order_clicks.click_id != told.click_id, 'unknown_click',
            order_clicks.is_test != day_orders.is_test, 'test_click',
            clicked_ms > day_orders.before_ms, 'after_order',
            told.best.5, 'too_old',
            ''
        ) as refusal,
        order_clicks.creator_id as creator_id,
        order_clicks.campaign_id as campaign_id,
        order_clicks.link_id as link_id,
        told.click_id as click_id,
        '' as code,
        '' as code_key,
        toUInt32(0) as position,
        told.best.2 as tier,
        toString(told.best.3) as trust_tier,
        told.best.4 as event_id
    from told
    inner join day_orders on told.order_place = day_orders.order_place
    left join order_clicks on told.click_id = order_clicks.click_id
),

written as (
    select
        order_rows.order_place as order_place,
        order_rows.tier as tier,
        order_rows.trust_tier as trust_tier,
        order_rows.event_id as event_id,
        code,
        position
    from order_rows
    array join
        order_rows.coupon_codes as code,
        arrayEnumerate(order_rows.coupon_codes) as position
    where order_rows.event_type = 'conversion'
),

keyed as (
    select
        written.order_place as order_place,
        code_words.code_key as code_key,
        argMin(written.code, (written.tier, written.position, written.code)) as best_code,
        min((written.tier, written.position)) as first_place,
        argMin(written.trust_tier, (written.tier, written.event_id)) as best_trust_tier,
        argMin(written.event_id, (written.tier, written.event_id)) as best_event_id
    from written
    inner join code_words on written.code = code_words.code
    where code_words.code_key != ''
    group by order_place, code_key
),

-- of codes without a live owner, whom they belonged to last is told, too
owned as (
    select
        keyed.order_place as order_place,
        keyed.code_key as code_key,
        toUnixTimestamp64Milli(day_orders.occurred_at) as ordered_ms,
        countIf(code_periods.code_key != '') as periods,
        countIf(code_periods.code_key != '' and from_ms <= ordered_ms and ordered_ms < to_ms) as live_periods,
        argMax((code_periods.creator_id, code_periods.campaign_id), (
            from_ms <= ordered_ms and ordered_ms < to_ms, from_ms, code_periods.creator_id, code_periods.campaign_id
        )) as owner
    from keyed
    inner join day_orders on keyed.order_place = day_orders.order_place
    left join code_periods on keyed.code_key = code_periods.code_key
    group by order_place, code_key, ordered_ms
),

codes as (
    select
        keyed.order_place as order_place,
        1 as way,
        toInt64(0) as clicked_ms,
        multiIf(
            owned.periods = 0, 'unclaimed_code',
            owned.live_periods = 0, 'code_not_live',
            keyed.first_place.1 > 2 and day_orders.tier < 3, 'unconfirmed_code',
            ''
        ) as refusal,
        owned.owner.1 as creator_id,
        owned.owner.2 as campaign_id,
        '' as link_id,
        toUUID('00000000-0000-0000-0000-000000000000') as click_id,
        keyed.best_code as code,
        keyed.code_key as code_key,
        toUInt32(keyed.first_place.2) as position,
        toUInt8(keyed.first_place.1) as tier,
        toString(keyed.best_trust_tier) as trust_tier,
        keyed.best_event_id as event_id
    from keyed
    inner join owned on keyed.order_place = owned.order_place and keyed.code_key = owned.code_key
    inner join day_orders on keyed.order_place = day_orders.order_place
),

everyone as (
    select * from clicks
    union all
    select * from codes
),

beside as (
    select
        *,
        countIf(refusal = '' and way > 1) over (partition by order_place, creator_id) > 0 as has_click
    from everyone
),

ranked as (
    select
        *,
        row_number() over (
            partition by order_place
            order by
                refusal != '',
                way != 1,
                way = 1 and not has_click,
                if(way = 1, tier, toUInt8(tier > 2)),
                -clicked_ms,
                way,
                position,
                code_key,
                toString(click_id)
        ) as rank
    from beside
)

select
    order_place,
    toUInt32(rank) as place,
    transform(way, [1, 2, 3], ['code', 'click_id', 'customer'], '') as found_by,
    multiIf(refusal != '', refusal, rank = 1, 'named', 'outranked') as outcome,
    creator_id,
    campaign_id,
    link_id,
    click_id,
    clicked_ms,
    code,
    code_key,
    trust_tier,
    event_id
from ranked;
