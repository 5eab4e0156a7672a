-- name: count_rows_by_load
-- How many rows of an export each load has; a load that is finished gets no more.
select
    load_number,
    count() as row_count
from (
    select load_number
    from events
    where
        organization_id = {organization_id:String}
        and load_number >= {first_load:UInt64} and load_number <= {to_load:UInt64}
        and occurred_at >= fromUnixTimestamp64Milli({from_ms:Int64}, 'UTC')
        and occurred_at < fromUnixTimestamp64Milli({to_ms:Int64}, 'UTC')
        and ({event_type:String} = '' or event_type = {event_type:String})
        and ({click_id:Nullable(UUID)} is null or click_id = {click_id:Nullable(UUID)})
        and ({link_id:String} = '' or link_id = {link_id:String})
        and ({creator_id:String} = '' or creator_id = {creator_id:String})
        and ({campaign_id:String} = '' or campaign_id = {campaign_id:String})
        and ({is_test:Nullable(Bool)} is null or is_test = {is_test:Nullable(Bool)})
    union all
    select load_number
    from quarantined_events
    where
        organization_id = {organization_id:String}
        and load_number >= {first_load:UInt64} and load_number <= {to_load:UInt64}
        and received_at >= fromUnixTimestamp64Milli({from_ms:Int64}, 'UTC')
        and received_at < fromUnixTimestamp64Milli({to_ms:Int64}, 'UTC')
        and ({event_type:String} = '' or event_type = {event_type:String})
        and ({click_id:Nullable(UUID)} is null or click_id = {click_id:Nullable(UUID)})
        and ({link_id:String} = '' or link_id = {link_id:String})
        and ({creator_id:String} = '' or creator_id = {creator_id:String})
        and ({campaign_id:String} = '' or campaign_id = {campaign_id:String})
        and ({is_test:Nullable(Bool)} is null or is_test = {is_test:Nullable(Bool)})
        and line != ''
) as exported
group by load_number
order by load_number;

-- name: page_of_rows
-- The rows of an export after a place, in the order in which loads made them readable: every row, so that the roots of
-- the seals can be computed again from them.
select
    load_number,
    node,
    seq,
    is_quarantined,
    line
from (
    select
        load_number,
        node,
        seq,
        false as is_quarantined,
        line
    from events
    where
        organization_id = {organization_id:String}
        and load_number >= {first_load:UInt64} and load_number <= {to_load:UInt64}
        and occurred_at >= fromUnixTimestamp64Milli({from_ms:Int64}, 'UTC')
        and occurred_at < fromUnixTimestamp64Milli({to_ms:Int64}, 'UTC')
        and ({event_type:String} = '' or event_type = {event_type:String})
        and ({click_id:Nullable(UUID)} is null or click_id = {click_id:Nullable(UUID)})
        and ({link_id:String} = '' or link_id = {link_id:String})
        and ({creator_id:String} = '' or creator_id = {creator_id:String})
        and ({campaign_id:String} = '' or campaign_id = {campaign_id:String})
        and ({is_test:Nullable(Bool)} is null or is_test = {is_test:Nullable(Bool)})
        and (load_number, node, seq) > ({after_load:UInt64}, {after_node:String}, {after_seq:UInt64})
    union all
    select
        load_number,
        node,
        seq,
        true as is_quarantined,
        line
    from quarantined_events
    where
        organization_id = {organization_id:String}
        and load_number >= {first_load:UInt64} and load_number <= {to_load:UInt64}
        and received_at >= fromUnixTimestamp64Milli({from_ms:Int64}, 'UTC')
        and received_at < fromUnixTimestamp64Milli({to_ms:Int64}, 'UTC')
        and ({event_type:String} = '' or event_type = {event_type:String})
        and ({click_id:Nullable(UUID)} is null or click_id = {click_id:Nullable(UUID)})
        and ({link_id:String} = '' or link_id = {link_id:String})
        and ({creator_id:String} = '' or creator_id = {creator_id:String})
        and ({campaign_id:String} = '' or campaign_id = {campaign_id:String})
        and ({is_test:Nullable(Bool)} is null or is_test = {is_test:Nullable(Bool)})
        and line != ''
        and (load_number, node, seq) > ({after_load:UInt64}, {after_node:String}, {after_seq:UInt64})
) as exported
order by load_number, node, seq
limit {limit:UInt32};

-- name: personal_of_rows
-- What is still kept about people beside the rows of a range of a node; what has expired is not given.
select
    seq,
    kept,
    if(expires_at > now(), expiring, '') as expiring,
    lower(hex(expiring_hash)) as expiring_hash
from events_personal
where
    organization_id = {organization_id:String}
    and node = {node:String}
    and seq between {first_seq:UInt64} and {last_seq:UInt64};

-- name: page_of_seals
-- The seals of a range of loads, of all nodes: an organization follows their chain, and sees only its own entry opened.
select
    load_number,
    node,
    first_seq,
    line
from seals
where
    load_number between {first_load:UInt64} and {to_load:UInt64}
    and (load_number, node, first_seq) > ({after_load:UInt64}, {after_node:String}, {after_seq:UInt64})
order by load_number, node, first_seq
limit {limit:UInt32};

-- name: parquet_of_rows
-- The same rows with the columns a warehouse asks for; `line` has everything, byte for byte as it was sealed.
select
    load_number,
    toString(node) as node,
    seq,
    is_quarantined,
    toString(event_type) as event_type,
    event_id_text as event_id,
    occurred_at,
    received_at,
    click_id_text as click_id,
    toString(click_id_status) as click_id_status,
    link_id,
    creator_id,
    campaign_id,
    asset_slug,
    session_id,
    visitor_hash,
    page_path,
    referrer_host,
    engaged_ms,
    toString(conversion_type) as conversion_type,
    order_id,
    shop,
    toString(customer_type) as customer_type,
    is_renewal,
    toString(currency) as currency,
    revenue_cents,
    subtotal_cents,
    discount_cents,
    tax_cents,
    shipping_cents,
    gift_card_cents,
    original_order_id,
    refund_amount_cents,
    reason,
    bot_score,
    toString(ua_family) as ua_family,
    toString(os_family) as os_family,
    toString(device_class) as device_class,
    toString(in_app_browser) as in_app_browser,
    toString(country) as country,
    asn,
    toString(trust_tier) as trust_tier,
    toString(consent) as consent,
    is_test,
    is_clamped,
    toString(quarantine_reason) as quarantine_reason,
    line
from (
    select
        load_number,
        node,
        seq,
        false as is_quarantined,
        event_type,
        toString(event_id) as event_id_text,
        occurred_at,
        received_at,
        toString(click_id) as click_id_text,
        click_id_status,
        link_id,
        creator_id,
        campaign_id,
        asset_slug,
        session_id,
        visitor_hash,
        page_path,
        referrer_host,
        engaged_ms,
        conversion_type,
        order_id,
        shop,
        customer_type,
        is_renewal,
        currency,
        revenue_cents,
        subtotal_cents,
        discount_cents,
        tax_cents,
        shipping_cents,
        gift_card_cents,
        original_order_id,
        refund_amount_cents,
        reason,
        bot_score,
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
        '' as quarantine_reason,
        line
    from events
    where
        organization_id = {organization_id:String}
        and load_number >= {first_load:UInt64} and load_number <= {to_load:UInt64}
        and occurred_at >= fromUnixTimestamp64Milli({from_ms:Int64}, 'UTC')
        and occurred_at < fromUnixTimestamp64Milli({to_ms:Int64}, 'UTC')
        and ({event_type:String} = '' or event_type = {event_type:String})
        and ({click_id:Nullable(UUID)} is null or click_id = {click_id:Nullable(UUID)})
        and ({link_id:String} = '' or link_id = {link_id:String})
        and ({creator_id:String} = '' or creator_id = {creator_id:String})
        and ({campaign_id:String} = '' or campaign_id = {campaign_id:String})
        and ({is_test:Nullable(Bool)} is null or is_test = {is_test:Nullable(Bool)})
    union all
    select
        load_number,
        node,
        seq,
        true as is_quarantined,
        event_type,
        toString(event_id) as event_id_text,
        occurred_at,
        received_at,
        toString(click_id) as click_id_text,
        '' as click_id_status,
        link_id,
        creator_id,
        campaign_id,
        '' as asset_slug,
        session_id,
        visitor_hash,
        '' as page_path,
        '' as referrer_host,
        toInt64(0) as engaged_ms,
        '' as conversion_type,
        '' as order_id,
        '' as shop,
        '' as customer_type,
        false as is_renewal,
        '' as currency,
        cast(null as Nullable(Int64)) as revenue_cents,
        cast(null as Nullable(Int64)) as subtotal_cents,
        cast(null as Nullable(Int64)) as discount_cents,
        cast(null as Nullable(Int64)) as tax_cents,
        cast(null as Nullable(Int64)) as shipping_cents,
        cast(null as Nullable(Int64)) as gift_card_cents,
        '' as original_order_id,
        cast(null as Nullable(Int64)) as refund_amount_cents,
        '' as reason,
        toUInt8(0) as bot_score,
        '' as ua_family,
        '' as os_family,
        '' as device_class,
        '' as in_app_browser,
        '' as country,
        toUInt32(0) as asn,
        trust_tier,
        '' as consent,
        is_test,
        false as is_clamped,
        quarantine_reason,
        line
    from quarantined_events
    where
        organization_id = {organization_id:String}
        and load_number >= {first_load:UInt64} and load_number <= {to_load:UInt64}
        and received_at >= fromUnixTimestamp64Milli({from_ms:Int64}, 'UTC')
        and received_at < fromUnixTimestamp64Milli({to_ms:Int64}, 'UTC')
        and ({event_type:String} = '' or event_type = {event_type:String})
        and ({click_id:Nullable(UUID)} is null or click_id = {click_id:Nullable(UUID)})
        and ({link_id:String} = '' or link_id = {link_id:String})
        and ({creator_id:String} = '' or creator_id = {creator_id:String})
        and ({campaign_id:String} = '' or campaign_id = {campaign_id:String})
        and ({is_test:Nullable(Bool)} is null or is_test = {is_test:Nullable(Bool)})
        and line != ''
) as exported
order by load_number, node, seq;
