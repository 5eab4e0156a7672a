-- name: load_personal
-- The personal halves of lines that are not in the store yet; an interrupted turn may have brought some of them.
insert into events_personal (
    node, seq, organization_id, event_id, expires_at, customer_hash, email_hash, kept, expiring, expiring_hash
)
select
    {node:String} as node,
    seq,
    organization_id,
    event_id,
    toDateTime(
        least(toUnixTimestamp(received_at) + {retention_seconds:UInt32}, 4294967295), 'UTC'
    ) as expires_at,
    if(kept != '', JSONExtractString(kept, 'customer_hash'), '') as customer_hash,
    if(kept != '', JSONExtractString(kept, 'email_hash'), '') as email_hash,
    kept,
    expiring,
    if(kept != '' and expiring != '', unhex(hex(SHA256(expiring))), '') as expiring_hash
from staged
where
    is_good
    and (kept != '' or expiring != '')
    and seq between {low:UInt64} and {high:UInt64}
    and seq not in (select seq from present)
settings materialize_skip_indexes_on_insert = 0;

-- name: load_quarantined
-- The lines that the intake could read but nothing may use.
insert into quarantined_events (
    load_number, stored_at, organization_id, node, seq, event_type, event_id, occurred_at, received_at,
    quarantine_reason, quarantine_detail, click_id, link_id, creator_id, campaign_id, session_id, visitor_hash,
    trust_tier, is_test, line, leaf_hash, bytes_hash, bytes_length
)
select
    {load_number:UInt64} as load_number,
    now64(3) as stored_at,
    organization_id,
    {node:String} as node,
    seq,
    event_type,
    event_id,
    occurred_at,
    received_at,
    quarantine_reason,
    JSONExtractString(leaf, 'quarantine_detail') as quarantine_detail,
    click_id,
    link_id,
    creator_id,
    campaign_id,
    session_id,
    visitor_hash,
    trust_tier,
    is_test,
    leaf as line,
    unhex(hex(staged.leaf_hash)) as leaf_hash,
    '' as bytes_hash,
    size as bytes_length
from staged
where
    is_good
    and quarantine_reason != ''
    and seq between {low:UInt64} and {high:UInt64}
    and seq not in (
        select seq from present
        where kind = 'line'
    );

-- name: load_unreadable
-- The place of each line that can't be read: counted, and provable by the bytes' hash while the archive has them.
insert into quarantined_events (
    load_number, stored_at, organization_id, node, seq, quarantine_reason, leaf_hash, bytes_hash, bytes_length
)
select
    {load_number:UInt64} as load_number,
    now64(3) as stored_at,
    bad.1 as organization_id,
    {node:String} as node,
    bad.2 as seq,
    'unreadable_line' as quarantine_reason,
    unhex(bad.3) as leaf_hash,
    bad.4 as bytes_hash,
    bad.5 as bytes_length
from (
    select arrayJoin(arrayZip(
        {organizations:Array(String)},
        {seqs:Array(UInt64)},
        {leaf_hashes:Array(String)},
        {bytes_hashes:Array(String)},
        {lengths:Array(UInt64)}
    )) as bad
) as refused
where bad.2 not in (
    select seq from present
    where kind = 'line'
);

-- name: load_traffic
-- Clicks, sessions, pageviews and identifications, which have none of the columns of an order.
insert into events (
    load_number, stored_at, organization_id, node, seq, event_type, event_id, occurred_at, received_at, click_id,
    click_id_status, link_id, creator_id, campaign_id, asset_slug, session_id, visitor_hash, visitor_hash_before,
    page_path, referrer_host, landing_params, engaged_ms, bot_score, bot_reasons, ua_family, os_family, device_class,
    in_app_browser, country, asn, trust_tier, consent, is_test, is_clamped, line
)
select
    {load_number:UInt64} as load_number,
    now64(3) as stored_at,
    organization_id,
    {node:String} as node,
    seq,
    event_type,
    event_id,
    occurred_at,
    received_at,
    click_id,
    click_id_status,
    link_id,
    creator_id,
    campaign_id,
    asset_slug,
    session_id,
    visitor_hash,
    visitor_hash_before,
    page_path,
    referrer_host,
    landing_params,
    engaged_ms,
    bot_score,
    bot_reasons,
    ua_family,
    os_family,
    device_class,
    in_app_browser,
    country,
    asn,
    trust_tier,
    consent,
    is_test,
    is_clamped,
    leaf
from staged
where
    is_good
    and quarantine_reason = ''
    and event_type in ('click', 'session', 'pageview', 'identify')
    and seq between {low:UInt64} and {high:UInt64}
    and seq not in (
        select seq from present
        where kind = 'line'
    )
-- skip indexes are made by background merges, small new parts are read without: a third fewer files to sync
settings materialize_skip_indexes_on_insert = 0;

-- name: load_orders
-- Conversions, refunds, and types that this version doesn't know: every column.
insert into events (
    load_number, stored_at, organization_id, node, seq, event_type, event_id, occurred_at, received_at, click_id,
    click_id_status, link_id, creator_id, campaign_id, asset_slug, session_id, visitor_hash, visitor_hash_before,
    page_path, referrer_host, landing_params, engaged_ms, conversion_type, order_id, shop, customer_type, is_renewal,
    currency, revenue_cents, subtotal_cents, discount_cents, tax_cents, shipping_cents, gift_card_cents, lines,
    coupon_codes, original_order_id, refund_amount_cents, reason, bot_score, bot_reasons, ua_family, os_family,
    device_class, in_app_browser, country, asn, trust_tier, consent, is_test, is_clamped, line
)
with

orders as (
    select
        *,
        JSONExtract(leaf, 'Tuple(
            conversion_type String,
            order_id String,
            shop String,
            customer_type String,
            is_renewal Bool,
            currency String,
            revenue_cents Nullable(Int64),
            subtotal_cents Nullable(Int64),
            discount_cents Nullable(Int64),
            tax_cents Nullable(Int64),
            shipping_cents Nullable(Int64),
            gift_card_cents Nullable(Int64),
            lines Array(Tuple(
                line_id String,
                product_id String,
                variant_id String,
                sku String,
                quantity Nullable(Int64),
                subtotal_cents Int64,
                discount_cents Int64,
                tax_cents Int64,
                is_gift_card Bool
            )),
            coupon_codes Array(String),
            original_order_id String,
            refund_amount_cents Nullable(Int64),
            reason String
        )') as sale
    from staged
    where
        is_good
        and quarantine_reason = ''
        and event_type not in ('click', 'session', 'pageview', 'identify')
        and seq between {low:UInt64} and {high:UInt64}
        and seq not in (
            select seq from present
            where kind = 'line'
        )
)

select
    {load_number:UInt64} as load_number,
    now64(3) as stored_at,
    organization_id,
    {node:String} as node,
    seq,
    event_type,
    event_id,
    occurred_at,
    received_at,
    click_id,
    click_id_status,
    link_id,
    creator_id,
    campaign_id,
    asset_slug,
    session_id,
    visitor_hash,
    visitor_hash_before,
    page_path,
    referrer_host,
    landing_params,
    engaged_ms,
    sale.conversion_type,
    sale.order_id,
    sale.shop,
    sale.customer_type,
    sale.is_renewal,
    sale.currency,
    sale.revenue_cents,
    sale.subtotal_cents,
    sale.discount_cents,
    sale.tax_cents,
    sale.shipping_cents,
    sale.gift_card_cents,
    -- a line's quantity is left out when it is 1
    arrayMap(
        part -> (
            part.line_id, part.product_id, part.variant_id, part.sku, coalesce(part.quantity, 1), part.subtotal_cents,
            part.discount_cents, part.tax_cents, part.is_gift_card
        ),
        sale.lines
    ) as lines,
    sale.coupon_codes,
    sale.original_order_id,
    sale.refund_amount_cents,
    sale.reason,
    bot_score,
    bot_reasons,
    ua_family,
    os_family,
    device_class,
    in_app_browser,
    country,
    asn,
    trust_tier,
    consent,
    is_test,
    is_clamped,
    leaf
from orders
settings materialize_skip_indexes_on_insert = 0;

-- name: load_seal
-- The seal of a loaded range, written last: with it, the range is complete.
insert into seals (load_number, stored_at, node, first_seq, last_seq, seal_hash, previous, organizations, line)
select
    {load_number:UInt64} as load_number,
    now64(3) as stored_at,
    {node:String} as node,
    {first_seq:UInt64} as first_seq,
    {last_seq:UInt64} as last_seq,
    {seal_hash:String} as seal_hash,
    {previous:String} as previous,
    {organizations:Array(String)} as organizations,
    {line:String} as line;

-- name: count_seals
-- Whether a seal is in the store.
select count() as seals
from seals
where node = {node:String} and first_seq = {first_seq:UInt64} and seal_hash = {seal_hash:String};

-- name: highest_load_number
-- The highest load number that any row carries.
select greatest(
    (select max(load_number) as highest from events),
    (select max(load_number) as highest from quarantined_events),
    (select max(load_number) as highest from seals)
) as load_number;
