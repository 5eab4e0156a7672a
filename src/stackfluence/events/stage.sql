-- name: create_staged
-- The lines of a turn, taken apart: the fields that traffic has, and what is made of the whole line.
create or replace temporary table staged (
    file LowCardinality(String),
    size UInt64,
    is_good Bool,
    is_too_new Bool,
    leaf String,
    kept String,
    expiring String,
    leaf_hash FixedString(32),
    organization_id LowCardinality(String),
    seq UInt64,
    event_id UUID,
    event_type LowCardinality(String),
    occurred_at DateTime64(3, 'UTC'),
    received_at DateTime64(3, 'UTC'),
    click_id UUID,
    click_id_status LowCardinality(String),
    link_id String,
    creator_id String,
    campaign_id String,
    asset_slug String,
    session_id String,
    visitor_hash String,
    visitor_hash_before String,
    page_path String,
    referrer_host String,
    landing_params Map(String, String),
    engaged_ms Int64,
    bot_score UInt8,
    bot_reasons Array(LowCardinality(String)),
    ua_family LowCardinality(String),
    os_family LowCardinality(String),
    device_class LowCardinality(String),
    in_app_browser LowCardinality(String),
    country LowCardinality(String),
    asn UInt32,
    trust_tier LowCardinality(String),
    consent LowCardinality(String),
    is_test Bool,
    is_clamped Bool,
    quarantine_reason String
) engine = Memory;

-- name: create_present
-- Which of them the store has: a line, its personal half alone, or a reason never to have that, its erasure.
create or replace temporary table present (
    seq UInt64,
    kind LowCardinality(String),
    stored_hash String
) engine = Memory;

-- name: read_staged
-- Fill it with what this process took apart, from memory that has a descriptor.
insert into staged
select * -- noqa: AM04
from file({path:String}, 'Native');

-- name: create_odd_lines
-- Lines that are still whole, and the segment that they are of; several may be one text.
create or replace temporary table odd_lines (name String, content String) engine = Memory;

-- name: read_odd_lines
-- Fill it, in the same way.
insert into odd_lines
select * -- noqa: AM04
from file({path:String}, 'Native');

-- name: stage_lines
-- Take apart whatever line there is: checksum, hash, fields.
insert into staged (
    file, size, is_good, is_too_new, leaf, kept, expiring, leaf_hash, organization_id, seq, event_id, event_type,
    occurred_at, received_at, click_id, click_id_status, link_id, creator_id, campaign_id, asset_slug, session_id,
    visitor_hash, visitor_hash_before, page_path, referrer_host, landing_params, engaged_ms, bot_score, bot_reasons,
    ua_family, os_family, device_class, in_app_browser, country, asn, trust_tier, consent, is_test, is_clamped,
    quarantine_reason
)
with

split as (
    select
        name,
        arrayJoin(splitByChar('\n', content)) as line
    from odd_lines
),

parts as (
    select
        name as file,
        length(line) as size,
        position(line, '\t', 10) as tab,
        substring(line, 10, tab - 10) as leaf,
        substring(line, tab + 1) as personal,
        position(personal, '\t') as middle,
        tab > 10
        and startsWith(line, concat(leftPad(lower(hex(CRC32(substring(line, 10)))), 8, '0'), '\t')) as is_whole
    from split
    where line != ''
),

parsed as (
    select
        file,
        size,
        leaf,
        substring(personal, 1, middle - 1) as kept,
        substring(personal, middle + 1) as expiring,
        is_whole,
        is_whole and middle > 0 as has_columns,
        JSONExtract(leaf, 'Tuple(
            schema_version UInt16,
            organization_id String,
            node String,
            seq UInt64,
            event_id UUID,
            event_type String,
            occurred_at DateTime64(3, ''UTC''),
            received_at DateTime64(3, ''UTC''),
            click_id UUID,
            click_id_status String,
            link_id String,
            creator_id String,
            campaign_id String,
            asset_slug String,
            session_id String,
            visitor_hash String,
            visitor_hash_before String,
            page_path String,
            referrer_host String,
            landing_params Map(String, String),
            engaged_ms Int64,
            bot_score UInt8,
            bot_reasons Array(String),
            ua_family String,
            os_family String,
            device_class String,
            in_app_browser String,
            country String,
            asn UInt32,
            trust_tier String,
            consent String,
            is_test Bool,
            is_clamped Bool,
            quarantine_reason String
        )') as event
    from parts
)

select
    file,
    size,
    has_columns
    and event.node = {node:String}
    and event.seq > 0
    and event.organization_id != ''
    and event.event_id != toUUID('00000000-0000-0000-0000-000000000000')
    and event.received_at > toDateTime64(0, 3, 'UTC') as is_good,
    is_whole and event.schema_version > {schema_version:UInt16} as is_too_new,
    leaf,
    kept,
    expiring,
    SHA256(concat('\x00', leaf)) as leaf_hash,
    event.organization_id,
    event.seq,
    event.event_id,
    event.event_type,
    event.occurred_at,
    event.received_at,
    event.click_id,
    event.click_id_status,
    event.link_id,
    event.creator_id,
    event.campaign_id,
    event.asset_slug,
    event.session_id,
    event.visitor_hash,
    event.visitor_hash_before,
    event.page_path,
    event.referrer_host,
    event.landing_params,
    event.engaged_ms,
    event.bot_score,
    event.bot_reasons,
    event.ua_family,
    event.os_family,
    event.device_class,
    event.in_app_browser,
    event.country,
    event.asn,
    event.trust_tier,
    event.consent,
    event.is_test,
    event.is_clamped,
    event.quarantine_reason
from parsed;

-- name: forget_odd_lines
-- Free what was taken apart.
drop temporary table if exists odd_lines;

-- name: staged_segments
-- What each file of the turn holds.
select
    file,
    countIf(size > 0) as lines,
    countIf(is_good) as good,
    countIf(is_too_new) as too_new,
    uniqExactIf(seq, is_good) as distinct_seqs,
    minIf(seq, is_good) as first_seq,
    maxIf(seq, is_good) as last_seq,
    toUnixTimestamp64Milli(minIf(received_at, is_good)) as first_received_ms,
    countIf(is_good and quarantine_reason != '') as quarantined,
    countIf(is_good and event_type not in ('click', 'session', 'pageview', 'identify')) as orders
from staged
group by file
order by file;

-- name: staged_seqs
-- The readable sequence numbers of one file.
select seq
from staged
where is_good and file = {file:String}
order by seq;

-- name: staged_organizations
-- How many leaves each organization has.
select
    organization_id,
    count() as leaves
from staged
where is_good
group by organization_id
order by organization_id;

-- name: staged_hashes
-- The leaves' hashes, those of an organization in order of seq.
select leaf_hash
from staged
where is_good
order by organization_id, seq;

-- name: count_known
-- How many lines of a range of a node the store has, by whichever load, and how many personal halves.
select
    'events' as kind,
    count() as many
from events
where node = {node:String} and seq between {first_seq:UInt64} and {last_seq:UInt64}
union all
select
    'quarantined' as kind,
    count() as many
from quarantined_events
where node = {node:String} and seq between {first_seq:UInt64} and {last_seq:UInt64}
union all
select
    'halves' as kind,
    count() as many
from events_personal
where
    organization_id in (select organization_id from staged)
    and node = {node:String}
    and seq between {first_seq:UInt64} and {last_seq:UInt64};

-- name: find_present
-- These, for `load.sql` to leave out.
insert into present (seq, kind, stored_hash)
select
    seq,
    'line' as kind,
    unhex(hex(leaf_hash)) as stored_hash
from events
where node = {node:String} and seq between {first_seq:UInt64} and {last_seq:UInt64}
union all
select
    seq,
    'line' as kind,
    leaf_hash as stored_hash
from quarantined_events
where node = {node:String} and seq between {first_seq:UInt64} and {last_seq:UInt64}
union all
select
    seq,
    'half' as kind,
    '' as stored_hash
from events_personal
where
    organization_id in (select organization_id from staged)
    and node = {node:String}
    and seq between {first_seq:UInt64} and {last_seq:UInt64};

-- name: find_diverged
-- Lines that are in the store with another content: somebody else wrote under this node's name.
select present.seq as seq
from present
inner join staged on present.seq = staged.seq
where staged.is_good and present.stored_hash != '' and present.stored_hash != unhex(hex(staged.leaf_hash))
order by seq
limit 5;

-- name: find_absent
-- Readable lines of the turn that the store doesn't have.
select count() as absent
from staged
where is_good and seq not in (
    select seq from present
    where kind = 'line'
);

-- name: count_erasures
-- Whether anything was erased after the first line of the turn was received; mostly not, and find_erased is spared.
select count() as erasures
from erasures
where erased_at >= fromUnixTimestamp64Milli({first_received_ms:Int64}, 'UTC');

-- name: find_erased
-- Lines whose personal halves were erased, or belong to whom an erasure was asked for after they were received.
insert into present (seq, kind)
with

asked as (
    select
        organization_id,
        kind,
        value,
        erased_at
    from erasures
    where erased_at >= fromUnixTimestamp64Milli({first_received_ms:Int64}, 'UTC')
),

keys as (
    select
        organization_id,
        seq,
        received_at,
        arrayJoin([
            ('event_id', toString(event_id)),
            ('click_id', toString(click_id)),
            ('session_id', session_id),
            ('visitor_hash', visitor_hash),
            ('visitor_hash', visitor_hash_before),
            ('order_id', concat(JSONExtractString(leaf, 'shop'), '/', JSONExtractString(leaf, 'order_id'))),
            ('order_id', concat(JSONExtractString(leaf, 'shop'), '/', JSONExtractString(leaf, 'original_order_id'))),
            ('shop', JSONExtractString(leaf, 'shop')),
            ('customer_hash', JSONExtractString(kept, 'customer_hash')),
            ('email_hash', JSONExtractString(kept, 'email_hash'))
        ]) as key
    from staged
    where is_good and (kept != '' or expiring != '')
)

select distinct
    keys.seq as seq,
    'erased' as kind
from keys
inner join asked
    on keys.organization_id = asked.organization_id and keys.key.1 = asked.kind and keys.key.2 = asked.value
where keys.received_at <= asked.erased_at;

-- name: erased_seqs
-- The sequence numbers that find_erased found.
select seq from present
where kind = 'erased'
order by seq;

-- name: staged_line
-- What is kept of a staged line that the store refuses.
select
    organization_id,
    lower(hex(leaf_hash)) as leaf_hash,
    lower(hex(SHA256(concat(leaf, '\t', kept, '\t', expiring)))) as bytes_hash,
    size
from staged
where is_good and seq = {seq:UInt64};

-- name: forget_lines
-- Free what a turn staged; it is personal and large.
drop temporary table if exists staged;
