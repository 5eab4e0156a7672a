-- name: count_rows
-- How many rows of each table a backup up to a load has; what an unfinished load brought is loaded again by itself.
select
    (
        select count() as counted from events
        where load_number <= {horizon:UInt64}
    ) as events,
    (select count() as counted from events_personal) as events_personal,
    (
        select count() as counted from quarantined_events
        where load_number <= {horizon:UInt64}
    ) as quarantined_events,
    (
        select count() as counted from seals
        where load_number <= {horizon:UInt64}
    ) as seals,
    (select count() as counted from erasures) as erasures;

-- name: all_events
-- Every event up to a load, every column: the tables of the backup's version are those of the restore's.
select * -- noqa: AM04
from events
where load_number <= {horizon:UInt64};

-- name: all_events_personal
-- Every personal half; one more than there are events for does no harm, its event finds it.
select * -- noqa: AM04
from events_personal
where {horizon:UInt64} >= 0;

-- name: all_quarantined_events
-- Everything up to a load that can't be used.
select * -- noqa: AM04
from quarantined_events
where load_number <= {horizon:UInt64};

-- name: all_seals
-- Every seal up to a load.
select * -- noqa: AM04
from seals
where load_number <= {horizon:UInt64};

-- name: all_erasures
-- Whoever must not come back.
select * -- noqa: AM04
from erasures
where {horizon:UInt64} >= 0;
