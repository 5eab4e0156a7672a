-- Superseded: rows of an event that another row of the same event precedes.
--
-- Grain:     one row per stored row that doesn't count.
-- Reads:     day_events, events
-- Writes:    superseded (of this connection)
-- Rule:      Of several rows of one event the one of the highest trust tier counts, then the earliest, then the one
--            that was received first, then the one with the smallest leaf hash: the same in whatever order they were
--            loaded, and the first of those that differ in nothing but their receipt. All rows of the event are
--            compared, those too that carry no click ID, another one, or another day: one of these may be the one
--            that counts, and then none counts for the day's click. Clicks get their ids from their edge, one per line:
--            of them only the rows of the days around are compared. The conversions that 060 counts are compared, too.
-- Lookback:  whatever was stored of these events; 1 day for clicks
-- Lookahead: whatever was stored of these events; 1 day for clicks

-- name: find_superseded
-- Put the rows that don't count into `superseded`. (All of history is looked through for these events: by the last
-- bits of their ids, which takes a third of the time where there are many. Rows of other events that share these bits
-- may be among the result: they don't count for their own.)
insert into superseded (node, seq)
with

told as (
    select event_id
    from day_events
    where event_type != 'click'
    union all
    select event_id
    from events
    where
        organization_id = {organization_id:String}
        and event_type = 'conversion'
        and load_number <= {as_of:UInt64}
        and click_id_status = 'valid'
        and occurred_at >= fromUnixTimestamp64Milli({day_ms:Int64} - 518400000, 'UTC')
        and occurred_at < fromUnixTimestamp64Milli({day_ms:Int64} + 86400000, 'UTC')
),

repeated as (
    select event_id
    from (
        select event_id
        from day_events
        where event_type = 'click'
        union all
        select event_id
        from events
        where
            organization_id = {organization_id:String}
            and event_type != 'click'
            and load_number <= {as_of:UInt64}
            and toUInt32(toUInt128(event_id)) in (select toUInt32(toUInt128(event_id)) as last_bits from told)
    ) as stored
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
                received_at,
                leaf_hash
        ) as place
    from events
    where
        organization_id = {organization_id:String}
        and load_number <= {as_of:UInt64}
        and (
            event_type != 'click'
            or (
                occurred_at >= fromUnixTimestamp64Milli({day_ms:Int64} - 86400000, 'UTC')
                and occurred_at < fromUnixTimestamp64Milli({day_ms:Int64} + 172800000, 'UTC')
            )
        )
        and event_id in (select event_id from repeated)
)

select
    node,
    seq
from places
where place > 1;
