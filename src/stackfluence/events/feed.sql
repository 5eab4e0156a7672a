-- name: page_of_events
-- One organization's rows after a cursor, in the order in which loads made them readable. The horizon is the last
-- finished load: below it nothing is added any more, so a page never changes.
select
    load_number,
    stored_at,
    node,
    seq,
    event_id,
    line
from events
where
    organization_id = {organization_id:String}
    and load_number between {after_load:UInt64} and {horizon:UInt64}
    and (load_number, node, seq) > ({after_load:UInt64}, {after_node:String}, {after_seq:UInt64})
    and occurred_at >= fromUnixTimestamp64Milli({from_ms:Int64}, 'UTC')
    and occurred_at < fromUnixTimestamp64Milli({to_ms:Int64}, 'UTC')
    and ({event_type:String} = '' or event_type = {event_type:String})
    and ({click_id:Nullable(UUID)} is null or click_id = {click_id:Nullable(UUID)})
    and ({link_id:String} = '' or link_id = {link_id:String})
    and ({creator_id:String} = '' or creator_id = {creator_id:String})
    and ({campaign_id:String} = '' or campaign_id = {campaign_id:String})
    and ({is_test:Nullable(Bool)} is null or is_test = {is_test:Nullable(Bool)})
order by load_number, node, seq
limit {limit:UInt32};

-- name: page_of_quarantined
-- The same of what was received but can't be used, with the reason.
select
    load_number,
    stored_at,
    node,
    seq,
    event_id,
    quarantine_reason,
    line
from quarantined_events
where
    organization_id = {organization_id:String}
    and load_number between {after_load:UInt64} and {horizon:UInt64}
    and (load_number, node, seq) > ({after_load:UInt64}, {after_node:String}, {after_seq:UInt64})
    and received_at >= fromUnixTimestamp64Milli({from_ms:Int64}, 'UTC')
    and received_at < fromUnixTimestamp64Milli({to_ms:Int64}, 'UTC')
    and ({event_type:String} = '' or event_type = {event_type:String})
    and ({click_id:Nullable(UUID)} is null or click_id = {click_id:Nullable(UUID)})
    and ({link_id:String} = '' or link_id = {link_id:String})
    and ({creator_id:String} = '' or creator_id = {creator_id:String})
    and ({campaign_id:String} = '' or campaign_id = {campaign_id:String})
    and ({is_test:Nullable(Bool)} is null or is_test = {is_test:Nullable(Bool)})
order by load_number, node, seq
limit {limit:UInt32};

-- name: superseded_rows
-- Of some events' rows, those that a better row of the same event precedes: of a higher trust tier, then earlier, then
-- with the smaller leaf hash, and readable no later. A row that is better but came later is one more row of the feed.
with

standings as (
    select
        event_id,
        node,
        seq,
        load_number,
        (tier, occurred_at, leaf_hash) as standing
    from events
    where
        organization_id = {organization_id:String}
        and event_id in {event_ids:Array(UUID)}
        and load_number <= {horizon:UInt64}
)

select distinct
    worse.node as node,
    worse.seq as seq
from standings as worse
inner join standings as better on worse.event_id = better.event_id
where better.load_number <= worse.load_number and better.standing < worse.standing;

-- name: rows_of_event
-- All rows of one event, the one that counts first.
select
    load_number,
    stored_at,
    node,
    seq,
    false as is_quarantined,
    line
from events
where
    organization_id = {organization_id:String}
    and event_id = {event_id:UUID}
    and load_number <= {horizon:UInt64}
order by tier, occurred_at, leaf_hash;

-- name: rows_of_quarantined_event
-- All rows of one event that can't be used.
select
    load_number,
    stored_at,
    node,
    seq,
    true as is_quarantined,
    line
from quarantined_events
where
    organization_id = {organization_id:String}
    and event_id = {event_id:UUID}
    and load_number <= {horizon:UInt64}
    and line != ''
order by load_number, node, seq;

-- name: personal_of_event
-- What is still kept about a person beside one row; what has expired is not given, even before it is merged away.
select
    kept,
    if(expires_at > now(), expiring, '') as expiring,
    lower(hex(expiring_hash)) as expiring_hash
from events_personal
where
    organization_id = {organization_id:String}
    and node = {node:String}
    and seq = {seq:UInt64};

-- name: seal_of_row
-- The first seal over a row's place.
select line
from seals
where
    node = {node:String}
    and first_seq <= {seq:UInt64}
    and last_seq >= {seq:UInt64}
    and has(organizations, {organization_id:String})
order by load_number, first_seq, last_seq
limit 1;

-- name: leaves_of_seal
-- The hashes of one organization's leaves below a seal, in the order of the tree.
select
    seq,
    leaf_hash
from (
    select
        seq,
        lower(hex(leaf_hash)) as leaf_hash
    from events
    where
        organization_id = {organization_id:String}
        and node = {node:String}
        and seq between {first_seq:UInt64} and {last_seq:UInt64}
    union all
    select
        seq,
        lower(hex(leaf_hash)) as leaf_hash
    from quarantined_events
    where
        organization_id = {organization_id:String}
        and node = {node:String}
        and seq between {first_seq:UInt64} and {last_seq:UInt64}
        and leaf_hash != ''
) as below
order by seq;

-- name: count_events
-- One organization's rows by day, type and currency: `stored` counts rows, `duplicates` those of an event that has a
-- better one, `events` each event once (of sessions each visit), `refunded_cents` those events' amounts. A click's id
-- is made by the edge for one line, so its rows need be compared within the time asked for only; any other event may
-- have been sent again with another time.
with

repeated as (
    select event_id
    from events
    where
        organization_id = {organization_id:String}
        and load_number <= {horizon:UInt64}
        and (
            event_type != 'click'
            or (
                occurred_at >= fromUnixTimestamp64Milli({from_ms:Int64}, 'UTC')
                and occurred_at < fromUnixTimestamp64Milli({to_ms:Int64}, 'UTC')
            )
        )
    group by event_id
    having count() > 1
),

places as (
    select
        node,
        seq,
        row_number() over (partition by event_id order by tier, occurred_at, leaf_hash) as place
    from events
    where
        organization_id = {organization_id:String}
        and load_number <= {horizon:UInt64}
        and event_id in (select event_id from repeated)
),

superseded as (
    select
        node,
        seq
    from places
    where place > 1
),

counted as (
    select
        toDate(toTimeZone(occurred_at, {time_zone:String})) as day,
        event_type,
        session_id,
        currency,
        refund_amount_cents,
        (toString(node), seq) not in (select (toString(node), seq) from superseded) as is_best
    from events
    where
        organization_id = {organization_id:String}
        and load_number <= {horizon:UInt64}
        and occurred_at >= fromUnixTimestamp64Milli({from_ms:Int64}, 'UTC')
        and occurred_at < fromUnixTimestamp64Milli({to_ms:Int64}, 'UTC')
        and ({link_id:String} = '' or link_id = {link_id:String})
        and ({creator_id:String} = '' or creator_id = {creator_id:String})
        and ({campaign_id:String} = '' or campaign_id = {campaign_id:String})
        and ({is_test:Nullable(Bool)} is null or is_test = {is_test:Nullable(Bool)})
)

select
    toString(day) as day,
    toString(event_type) as event_type,
    toString(currency) as currency,
    count() as stored,
    countIf(not is_best) as duplicates,
    -- a visit is told again with the time it took
    if(
        event_type = 'session',
        uniqExactIf(session_id, is_best and session_id != '') + countIf(is_best and session_id = ''),
        countIf(is_best)
    ) as events,
    coalesce(sumIf(toInt128(refund_amount_cents), is_best), 0) as refunded_cents
from counted
group by day, event_type, currency
order by day, event_type, currency;

-- name: count_orders
-- One organization's conversions by day and currency, each order once, by the rule of facts/130_day_orders.sql: on the
-- day of its first conversion that a server or connector tells of, with the amounts of the latest version of the
-- highest trust tier. Its creator is that of the last click that a server or connector tells of, else a browser. Only
-- orders of which there are several rows are looked at closely.
with

named as (
    select order_place
    from events
    where
        organization_id = {organization_id:String}
        and event_type = 'conversion'
        and load_number <= {horizon:UInt64}
        and occurred_at >= fromUnixTimestamp64Milli({from_ms:Int64}, 'UTC')
        and occurred_at < fromUnixTimestamp64Milli({to_ms:Int64}, 'UTC')
),

own_events as (
    select event_id
    from events
    where
        organization_id = {organization_id:String}
        and event_type = 'conversion'
        and load_number <= {horizon:UInt64}
        and order_place in (select order_place from named)
),

-- a row of the same event may name another order
places as (
    select
        order_place,
        event_id,
        count() over (partition by event_id) as copies
    from events
    where
        organization_id = {organization_id:String}
        and event_type = 'conversion'
        and load_number <= {horizon:UInt64}
        and event_id in (select event_id from own_events)
),

repeated as (
    select
        order_place,
        groupArray(event_id) as event_ids
    from places
    group by order_place
    having count() > 1 or max(copies) > 1
),

told as (
    select
        order_place,
        event_id,
        tier,
        occurred_at,
        min(received_at) over (partition by event_id, tier) as first_received_at,
        if(revised_at = '', first_received_at, parseDateTime64BestEffort(revised_at, 3, 'UTC')) as version_at,
        toInt64(bitShiftRight(toUInt128(click_id), 80)) as clicked_ms,
        link_id,
        creator_id,
        campaign_id,
        is_test,
        currency,
        revenue_cents,
        row_number() over (partition by event_id order by tier, occurred_at, leaf_hash) as place
    from events
    where
        organization_id = {organization_id:String}
        and event_type = 'conversion'
        and load_number <= {horizon:UInt64}
        and event_id in (select arrayJoin(event_ids) as event_id from repeated)
),

orders as (
    select
        order_place,
        argMin(occurred_at, (tier > 2, first_received_at, occurred_at, event_id)) as at,
        argMin((link_id, creator_id, campaign_id), (creator_id = '', tier > 2, -clicked_ms, event_id)) as subject,
        argMax(
            (is_test, currency, revenue_cents),
            (-toInt8(tier), version_at, first_received_at, occurred_at, event_id)
        ) as latest
    from told
    where place = 1
    group by order_place
),

counted as (
    select
        occurred_at as at,
        link_id,
        creator_id,
        campaign_id,
        is_test,
        toString(currency) as currency,
        revenue_cents
    from events
    where
        organization_id = {organization_id:String}
        and event_type = 'conversion'
        and load_number <= {horizon:UInt64}
        and occurred_at >= fromUnixTimestamp64Milli({from_ms:Int64}, 'UTC')
        and occurred_at < fromUnixTimestamp64Milli({to_ms:Int64}, 'UTC')
        and order_place not in (select order_place from repeated)
    union all
    select
        at,
        subject.1 as link_id,
        subject.2 as creator_id,
        subject.3 as campaign_id,
        latest.1 as is_test,
        toString(latest.2) as currency,
        latest.3 as revenue_cents
    from orders
    where
        at >= fromUnixTimestamp64Milli({from_ms:Int64}, 'UTC')
        and at < fromUnixTimestamp64Milli({to_ms:Int64}, 'UTC')
)

select
    toString(toDate(toTimeZone(at, {time_zone:String}))) as day,
    currency,
    count() as conversions,
    coalesce(sum(toInt128(revenue_cents)), 0) as revenue_cents
from counted
where
    ({link_id:String} = '' or link_id = {link_id:String})
    and ({creator_id:String} = '' or creator_id = {creator_id:String})
    and ({campaign_id:String} = '' or campaign_id = {campaign_id:String})
    and ({is_test:Nullable(Bool)} is null or is_test = {is_test:Nullable(Bool)})
group by day, currency
order by day, currency;

-- name: count_quarantined
-- One organization's quarantined rows by day and reason.
select
    toString(toDate(toTimeZone(received_at, {time_zone:String}))) as day,
    toString(quarantine_reason) as quarantine_reason,
    count() as quarantined
from quarantined_events
where
    organization_id = {organization_id:String}
    and load_number <= {horizon:UInt64}
    and received_at >= fromUnixTimestamp64Milli({from_ms:Int64}, 'UTC')
    and received_at < fromUnixTimestamp64Milli({to_ms:Int64}, 'UTC')
    and ({link_id:String} = '' or link_id = {link_id:String})
    and ({creator_id:String} = '' or creator_id = {creator_id:String})
    and ({campaign_id:String} = '' or campaign_id = {campaign_id:String})
    and ({is_test:Nullable(Bool)} is null or is_test = {is_test:Nullable(Bool)})
group by day, quarantine_reason
order by day, quarantine_reason;
