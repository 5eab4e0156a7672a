-- name: read_segments
-- A turn's segments from this machine's disk, one row a file, without the last line feed.
create or replace temporary table staged_files engine = Memory as
select
    _file as name,
    substring(bytes, 1, length(bytes) - endsWith(bytes, '\n')) as content
from file({pattern:String}, 'RawBLOB', 'bytes String');

-- name: receive_segments
-- The same, to be filled by upload: a server can't read this machine's disk.
create or replace temporary table staged_files (name String, content String) engine = Memory;

-- name: stage_lines
-- Every line of a turn's segments, taken apart once: checksum, hash, and the fields that traffic has. Plain text: as
-- LowCardinality only in the table it costs a fifth less.
create or replace temporary table staged engine = Memory as
with

split as (
    select
        name,
        arrayJoin(splitByChar('\n', content)) as line
    from staged_files
),

parts as (
    select
        name,
        length(line) as size,
        position(line, '\t', 10) as tab,
        substring(line, 10, tab - 10) as leaf,
        substring(line, tab + 1) as personal,
        tab > 10
        and startsWith(line, concat(leftPad(lower(hex(CRC32(substring(line, 10)))), 8, '0'), '\t')) as is_whole
    from split
),

parsed as (
    select
        name as file,
        size,
        leaf,
        personal,
        is_whole,
        position(personal, '\t') as middle,
        SHA256(concat('\x00', leaf)) as leaf_hash,
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
    leaf,
    personal,
    middle,
    leaf_hash,
    event,
    is_whole and event.schema_version > {schema_version:UInt16} as is_too_new,
    is_whole
    and middle > 0
    and event.node = {node:String}
    and event.seq > 0
    and event.organization_id != ''
    and event.event_id != toUUID('00000000-0000-0000-0000-000000000000')
    and event.received_at > toDateTime64(0, 3, 'UTC') as is_good
from parsed;

-- name: staged_segments
-- What each file of the turn holds.
select
    file,
    countIf(size > 0) as lines,
    countIf(is_good) as good,
    countIf(is_too_new) as too_new,
    uniqExactIf(event.seq, is_good) as distinct_seqs,
    minIf(event.seq, is_good) as first_seq,
    maxIf(event.seq, is_good) as last_seq,
    toUnixTimestamp64Milli(minIf(event.received_at, is_good)) as first_received_ms,
    countIf(is_good and event.quarantine_reason != '') as quarantined,
    countIf(is_good and event.event_type not in ('click', 'session', 'pageview', 'identify')) as orders
from staged
group by file
order by file;

-- name: staged_seqs
-- The readable sequence numbers of one file.
select event.seq as seq
from staged
where is_good and file = {file:String}
order by seq;

-- name: staged_trees
-- Each organization's leaves and, for each whole 64 of them in order of seq, the root over these: six levels of the
-- tree are folded here, the few above by `seal.root`. A last one without a neighbour rises unchanged.
with

hashes as (
    select
        organization_id,
        groupArray(leaf_hash) as level
    from (
        select
            event.organization_id as organization_id,
            leaf_hash
        from staged
        where is_good
        order by event.seq
    ) as ordered
    group by organization_id
)

select
    organization_id,
    length(level) as leaves,
    arrayStringConcat(arrayMap(node -> hex(node), arrayFold(
        (below, _) -> arrayMap(
            (own, sibling) -> if(sibling = toFixedString('', 32), own, SHA256(concat('\x01', own, sibling))),
            arrayFilter((_, place) -> place % 2 = 1, below, arrayEnumerate(below)),
            arrayResize(
                arrayFilter((_, place) -> place % 2 = 0, below, arrayEnumerate(below)),
                intDiv(length(below) + 1, 2),
                toFixedString('', 32)
            )
        ),
        range(6),
        level
    ))) as roots
from hashes
order by organization_id;

-- name: find_present
-- The lines of a range of a node that the store has, by whichever load.
create or replace temporary table present engine = Memory as
select
    seq,
    unhex(hex(leaf_hash)) as stored_hash
from events
where node = {node:String} and seq between {first_seq:UInt64} and {last_seq:UInt64}
union all
select
    seq,
    leaf_hash as stored_hash
from quarantined_events
where node = {node:String} and seq between {first_seq:UInt64} and {last_seq:UInt64};

-- name: count_present
-- How many lines of the turn's range the store has.
select count() as present from present;

-- name: find_diverged
-- Lines that are in the store with another content: somebody else wrote under this node's name.
select present.seq as seq
from present
inner join staged on present.seq = staged.event.seq
where staged.is_good and present.stored_hash != '' and present.stored_hash != unhex(hex(staged.leaf_hash))
order by seq
limit 5;

-- name: find_absent
-- Readable lines of the turn that the store doesn't have.
select count() as absent
from staged
where is_good and event.seq not in (select seq from present);

-- name: count_erasures
-- Whether anything was erased after the first line of the turn was received; mostly not, and find_erased is spared.
select count() as erasures
from erasures
where erased_at >= fromUnixTimestamp64Milli({first_received_ms:Int64}, 'UTC');

-- name: forget_erased
-- Nothing of this turn is erased.
create or replace temporary table erased (seq UInt64) engine = Memory;

-- name: find_erased
-- Lines whose personal halves were erased, or belong to whom an erasure was asked for after they were received.
create or replace temporary table erased engine = Memory as
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
        event.organization_id as organization_id,
        event.seq as seq,
        event.received_at as received_at,
        arrayJoin([
            ('event_id', toString(event.event_id)),
            ('click_id', toString(event.click_id)),
            ('session_id', event.session_id),
            ('visitor_hash', event.visitor_hash),
            ('visitor_hash', event.visitor_hash_before),
            ('order_id', JSONExtractString(leaf, 'order_id')),
            ('order_id', JSONExtractString(leaf, 'original_order_id')),
            ('shop', JSONExtractString(leaf, 'shop')),
            ('customer_hash', JSONExtractString(substring(personal, 1, middle - 1), 'customer_hash')),
            ('email_hash', JSONExtractString(substring(personal, 1, middle - 1), 'email_hash'))
        ]) as key
    from staged
    where is_good and personal != '\t'
)

select distinct keys.seq as seq
from keys
inner join asked
    on keys.organization_id = asked.organization_id and keys.key.1 = asked.kind and keys.key.2 = asked.value
where keys.received_at <= asked.erased_at;

-- name: erased_seqs
-- The sequence numbers that find_erased found.
select seq from erased
order by seq;

-- name: staged_line
-- What is kept of a staged line that the store refuses.
select
    event.organization_id as organization_id,
    lower(hex(leaf_hash)) as leaf_hash,
    lower(hex(SHA256(concat(leaf, '\t', personal)))) as bytes_hash,
    size
from staged
where is_good and event.seq = {seq:UInt64};

-- name: forget_lines
-- Free what a turn staged; it is personal and large.
drop temporary table if exists staged;

-- name: forget_segments
-- The same for the files' bytes.
drop temporary table if exists staged_files;
