-- name: tell_visits
-- Clicks and what follows them, numbers `from_visit` up to `to_visit`: to the first organization goes a fifth, to the
-- others the same each. Of a hundred clicks 55 arrive, 12 are flagged and 2 buy, up to a week later; one order in
-- twenty comes back in part. `line` is short: only what is asked of it is there.
insert into events (
    load_number, stored_at, organization_id, node, seq, event_type, event_id, occurred_at, received_at, click_id,
    click_id_status, link_id, creator_id, campaign_id, session_id, engaged_ms, conversion_type, order_id, shop,
    customer_type, currency, revenue_cents, subtotal_cents, tax_cents, original_order_id, refund_amount_cents,
    bot_score, bot_reasons, device_class, in_app_browser, country, trust_tier, consent, line
)
with

visits as (
    select
        number as visit,
        cityHash64(visit, 'who') as who,
        cityHash64(visit, 'when') as moment,
        cityHash64(visit, 'what') as what,
        if(who % 5 = 0, 0, 1 + bitShiftRight(who, 8) % ({organizations:UInt64} - 1)) as place,
        if({organizations:UInt64} = 1, 0, place) as organization,
        {start_ms:Int64} + toInt64(moment % ({days:UInt64} * 86400000)) as click_ms,
        toInt64(bitShiftRight(moment, 40) % 604800000) as decided_ms,
        reinterpret(
            bitOr(
                bitShiftLeft(toUInt128(bitOr(0x8000000000000000, visit)), 64),
                toUInt128(bitOr(bitShiftLeft(toUInt64(click_ms), 16), 0x7000))
            ),
            'UUID'
        ) as click,
        bitShiftRight(who, 16) % 200 as link,
        bitShiftRight(what, 8) % 100 as chance,
        what % 100 < 55 as is_arriving,
        bitShiftRight(what, 16) % 100 < 2 as is_buying,
        is_buying and bitShiftRight(what, 24) % 20 = 0 as is_returning,
        multiIf(chance < 8, ['declared_bot'], chance < 12, ['no_accept_language'], []) as reasons
    from numbers({from_visit:UInt64}, {to_visit:UInt64} - {from_visit:UInt64})
),

told as (
    select
        visits.*,
        arrayJoin(
            arrayFilter(
                word -> word != '',
                [
                    'click', if(is_arriving, 'session', ''), if(is_arriving, 'pageview', ''),
                    if(is_buying, 'conversion', ''), if(is_returning, 'refund', '')
                ]
            )
        ) as word
    from visits
)

select
    toUInt64(1) as load_number,
    now64(3) as stored_at,
    concat('org_', leftPad(toString(organization), 7, '0')) as organization_id,
    'n_0000000000000001' as node,
    visit * 8 + indexOf(['click', 'session', 'pageview', 'conversion', 'refund'], word) as seq,
    word as event_type,
    if(word = 'click', click, reinterpret(sipHash128(visit, word), 'UUID')) as event_id,
    fromUnixTimestamp64Milli(
        click_ms
        + multiIf(
            word = 'session', 1500, word = 'pageview', 1800, word = 'conversion', decided_ms,
            word = 'refund', decided_ms + 259200000, 0
        ),
        'UTC'
    ) as occurred_at,
    occurred_at as received_at,
    if(word = 'refund', toUUID('00000000-0000-0000-0000-000000000000'), click) as click_id,
    if(word = 'refund', 'missing', 'valid') as click_id_status,
    if(word = 'click', concat('lnk_', leftPad(toString(link), 10, '0')), '') as link_id,
    if(word = 'click', concat('crt_', leftPad(toString(link % 50), 10, '0')), '') as creator_id,
    if(word = 'click', concat('cmp_', leftPad(toString(link % 8), 10, '0')), '') as campaign_id,
    if(word in ('session', 'pageview'), hex(what), '') as session_id,
    if(word = 'session', toInt64(bitShiftRight(what, 32) % 40000), 0) as engaged_ms,
    if(word = 'conversion', 'purchase', '') as conversion_type,
    if(word = 'conversion', concat('A', toString(visit)), '') as order_id,
    if(word in ('conversion', 'refund'), 'shop.brand.example', '') as shop,
    if(word = 'conversion', if(what % 3 = 0, 'returning', 'new'), '') as customer_type,
    if(word in ('conversion', 'refund'), 'EUR', '') as currency,
    if(word = 'conversion', toInt64(1000 + what % 9000), null) as revenue_cents,
    if(word = 'conversion', toInt64(800 + what % 9000), null) as subtotal_cents,
    if(word = 'conversion', 150, null) as tax_cents,
    if(word = 'refund', concat('A', toString(visit)), '') as original_order_id,
    if(word = 'refund', 500, null) as refund_amount_cents,
    if(word = 'click', multiIf(chance < 8, 100, chance < 12, 60, 0), 0) as bot_score,
    if(word = 'click', reasons, []) as bot_reasons,
    if(word = 'click', ['phone', 'phone', 'phone', 'phone', 'desktop', 'tablet'][1 + who % 6], '') as device_class,
    if(word = 'click', ['instagram', 'instagram', 'tiktok', '', ''][1 + who % 5], '') as in_app_browser,
    if(word = 'click', ['DE', 'DE', 'DE', 'AT', 'CH', 'FR', 'NL', 'PL', 'IT', 'ES'][1 + moment % 10], '') as country,
    if(word in ('session', 'pageview'), 'browser', if(word = 'click', 'server', 'connector')) as trust_tier,
    if(word = 'session', 'granted', 'unknown') as consent,
    if(word in ('conversion', 'refund'), concat('{"order":"A', toString(visit), '"}'), '') as line
from told;

-- name: tell_customers
-- The hashes of who ordered: 200,000 in each organization.
insert into events_personal (node, seq, organization_id, event_id, expires_at, customer_hash, kept)
select
    node,
    seq,
    organization_id,
    event_id,
    toDateTime('2100-01-01 00:00:00', 'UTC') as expires_at,
    lower(hex(cityHash64(organization_id, cityHash64(event_id) % 200000))) as customer_hash,
    '{}' as kept
from events
where event_type = 'conversion';
