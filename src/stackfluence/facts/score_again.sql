-- sqlfluff:ignore:parsing
-- (temporary tables with an engine are ClickHouse's own; its dialect in sqlfluff doesn't know them)

-- name: create_day_clicks
-- Where one day's clicks stand in their journals, to be walked through in that order.
create or replace temporary table day_clicks (
    node LowCardinality(String),
    seq UInt64,
    click_id UUID,
    occurred_at DateTime64(3, 'UTC')
) engine = MergeTree
order by (node, seq);

-- name: find_day_clicks
-- Put one day's clicks there, each once.
insert into day_clicks (node, seq, click_id, occurred_at)
select
    node,
    seq,
    event_id as click_id,
    occurred_at
from events
where
    organization_id = {organization_id:String}
    and event_type = 'click'
    and load_number <= {as_of:UInt64}
    and occurred_at >= fromUnixTimestamp64Milli({day_ms:Int64}, 'UTC')
    and occurred_at < fromUnixTimestamp64Milli({day_ms:Int64} + 86400000, 'UTC')
order by node, seq
limit 1 by event_id;

-- name: page_of_signals
-- The next clicks with their header evidence, empty where none is kept. What has expired isn't read, even before it is
-- merged away.
with

page as (
    select
        node,
        seq,
        click_id,
        occurred_at
    from day_clicks
    where (node, seq) > ({after_node:String}, {after_seq:UInt64})
    order by node, seq
    limit {limit:UInt32}
),

kept as (
    select
        node,
        seq,
        JSONExtractString(expiring, 'signals') as signals
    from events_personal
    where
        organization_id = {organization_id:String}
        and (node, seq) in (
            select
                node,
                seq
            from page
        )
        and toUnixTimestamp(expires_at) * 1000 > {derived_ms:Int64}
)

select
    page.node as node,
    page.seq as seq,
    page.click_id as click_id,
    page.occurred_at as occurred_at,
    kept.signals as signals
from page
left join kept on page.node = kept.node and page.seq = kept.seq
order by node, seq;
