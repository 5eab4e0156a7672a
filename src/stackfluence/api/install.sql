-- name: first_load
-- The first load that can hold what was received since {since_ms}: what was stored in the day before, too, in case the
-- store's clock is behind an edge's. Loads are indexed, times of receipt aren't.
select if(count() = 0, {horizon:UInt64}, min(load_number)) as first_load
from seals
where stored_at >= fromUnixTimestamp64Milli({since_ms:Int64}, 'UTC') - interval 1 day;

-- name: arrivals
-- What one organization's pages and servers told since {since_ms}, each event once, by everything that may be missing
-- or wrong in it. `host` is that of the page, empty where none is kept: servers have no page, and without consent its
-- address isn't stored. `connected` are those that can name a creator: by click, code or customer.
with

recent as (
    select
        node,
        seq,
        event_id,
        toString(event_type) as event_type,
        toString(conversion_type) as conversion_type,
        toString(trust_tier) as trust_tier,
        shop,
        toString(consent) as consent,
        toString(click_id_status) as click_id_status,
        is_test,
        notEmpty(coupon_codes) as has_code,
        received_at
    from events
    where
        organization_id = {organization_id:String}
        and load_number between {first_load:UInt64} and {horizon:UInt64}
        and received_at >= fromUnixTimestamp64Milli({since_ms:Int64}, 'UTC')
),

people as (
    select
        node,
        seq,
        lower(domain(page_url)) as host,
        customer_hash != '' or email_hash != '' as has_customer
    from events_personal
    where
        organization_id = {organization_id:String}
        and (node, seq) in (
            select
                node,
                seq
            from recent
            where event_type != 'click'
        )
)

select
    recent.event_type as event_type,
    recent.conversion_type as conversion_type,
    recent.trust_tier as trust_tier,
    recent.shop as shop,
    people.host as host,
    recent.consent as consent,
    recent.click_id_status as click_id_status,
    recent.is_test as is_test,
    uniqExact(recent.event_id) as events,
    uniqExactIf(
        recent.event_id, recent.click_id_status = 'valid' or recent.has_code or people.has_customer
    ) as connected,
    toUnixTimestamp64Milli(max(recent.received_at)) as last_ms
from recent
left join people on recent.node = people.node and recent.seq = people.seq
group by event_type, conversion_type, trust_tier, shop, host, consent, click_id_status, is_test
order by
    last_ms desc, event_type asc, conversion_type asc, trust_tier asc, shop asc, host asc, consent asc,
    click_id_status asc, is_test asc
limit {limit:UInt32};

-- name: pages
-- The pages that told of something since {since_ms}, those heard of last first; without queries, which may be personal.
with

recent as (
    select
        node,
        seq,
        event_id,
        toString(event_type) as event_type,
        page_path,
        received_at
    from events
    where
        organization_id = {organization_id:String}
        and load_number between {first_load:UInt64} and {horizon:UInt64}
        and received_at >= fromUnixTimestamp64Milli({since_ms:Int64}, 'UTC')
        and event_type != 'click'
        and page_path != ''
),

hosts as (
    select
        node,
        seq,
        lower(domain(page_url)) as host
    from events_personal
    where
        organization_id = {organization_id:String}
        and (node, seq) in (
            select
                node,
                seq
            from recent
        )
)

select
    hosts.host as host,
    recent.page_path as page_path,
    recent.event_type as event_type,
    uniqExact(recent.event_id) as events,
    toUnixTimestamp64Milli(max(recent.received_at)) as last_ms
from recent
left join hosts on recent.node = hosts.node and recent.seq = hosts.seq
where {host:String} = '' or hosts.host in ('', {host:String})
group by host, page_path, event_type
order by
    hosts.host = {host:String} and recent.page_path = {path:String} desc, last_ms desc, host asc, page_path asc,
    event_type asc
limit {limit:UInt32};

-- name: quarantined
-- What was received since {since_ms} and can't be used, by why.
select
    toString(event_type) as event_type,
    toString(trust_tier) as trust_tier,
    toString(quarantine_reason) as reason,
    quarantine_detail as detail,
    uniqExact(event_id) as events,
    toUnixTimestamp64Milli(max(received_at)) as last_ms
from quarantined_events
where
    organization_id = {organization_id:String}
    and load_number between {first_load:UInt64} and {horizon:UInt64}
    and received_at >= fromUnixTimestamp64Milli({since_ms:Int64}, 'UTC')
group by event_type, trust_tier, reason, detail
order by last_ms desc, event_type asc, trust_tier asc, reason asc, detail asc
limit {limit:UInt32};
