-- Superseded: rows of an event that another row of the same event precedes.
--
-- Grain:     one row per stored row that doesn't count.
-- Reads:     day_events, events
-- Writes:    superseded (of this connection)
-- Rule:      Of several rows of one event the one of the highest trust tier counts, then the earliest, then the one
--            with the smallest leaf hash: the same in whatever order they arrived.
-- Lookback:  1 day
-- Lookahead: 1 day

-- name: find_superseded
-- Put the rows that don't count into `superseded`.
insert into superseded (node, seq)
with

repeated as (
    select event_id
    from day_events
    group by event_id
    having count() > 1
),

places as (
    select
        node,
        seq,
        row_number() over (
            partition by event_id
            order by
                transform(toString(trust_tier), ['server', 'connector', 'browser'], [1, 2, 3], 4),
                occurred_at,
                leaf_hash
        ) as place
    from events
    where
        organization_id = {organization_id:String}
        and event_type in ('click', 'session', 'pageview', 'conversion')
        and load_number <= {as_of:UInt64}
        and occurred_at >= fromUnixTimestamp64Milli({day_ms:Int64} - 86400000, 'UTC')
        and occurred_at < fromUnixTimestamp64Milli({day_ms:Int64} + 172800000, 'UTC')
        and event_id in (select event_id from repeated)
)

select
    node,
    seq
from places
where place > 1;
