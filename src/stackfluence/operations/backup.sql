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
    (select count() as counted from erasures) as erasures,
    (select count() as counted from scored_clicks) as scored_clicks,
    (select count() as counted from shared_prefix_clicks) as shared_prefix_clicks,
    (
        select count() as counted from click_verdicts
        where
            expires_at = toDateTime(4294967295, 'UTC')
            and run_id in (
                select run_id from derived_days
                where is_kept
            )
    ) as click_verdicts,
    (
        select count() as counted from click_rollups
        where
            expires_at = toDateTime(4294967295, 'UTC')
            and run_id in (
                select run_id from derived_days
                where is_kept
            )
    ) as click_rollups,
    (
        select count() as counted from derivation_runs
        where
            run_id in (
                select run_id from derived_days
                where is_kept
            )
            or run_id in (select run_id from scored_clicks)
    ) as derivation_runs,
    (
        select count() as counted from derived_days
        where is_kept
    ) as derived_days,
    (select count() as counted from same_customers) as same_customers,
    (select count() as counted from self_purchases) as self_purchases,
    (
        select count() as counted from conversions
        where
            expires_at = toDateTime(4294967295, 'UTC')
            and run_id in (
                select run_id from derived_order_days
                where is_kept
            )
    ) as conversions,
    (
        select count() as counted from attributions
        where
            expires_at = toDateTime(4294967295, 'UTC')
            and run_id in (
                select run_id from derived_order_days
                where is_kept
            )
    ) as attributions,
    (
        select count() as counted from order_shares
        where
            expires_at = toDateTime(4294967295, 'UTC')
            and run_id in (
                select run_id from derived_order_days
                where is_kept
            )
    ) as order_shares,
    (
        select count() as counted from order_runs
        where
            run_id in (
                select run_id from derived_order_days
                where is_kept
            )
    ) as order_runs,
    (
        select count() as counted from derived_order_days
        where is_kept
    ) as derived_order_days;

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

-- name: all_scored_clicks
-- What lists of later days said of clicks.
select * -- noqa: AM04
from scored_clicks
where {horizon:UInt64} >= 0;

-- name: all_shared_prefix_clicks
-- What was found before its evidence expired.
select * -- noqa: AM04
from shared_prefix_clicks
where {horizon:UInt64} >= 0;

-- name: all_click_verdicts
-- Every verdict of a finished run that doesn't expire.
select * -- noqa: AM04
from click_verdicts
where
    {horizon:UInt64} >= 0
    and expires_at = toDateTime(4294967295, 'UTC')
    and run_id in (
        select run_id from derived_days
        where is_kept
    );

-- name: all_click_rollups
-- The same verdicts, counted.
select * -- noqa: AM04
from click_rollups
where
    {horizon:UInt64} >= 0
    and expires_at = toDateTime(4294967295, 'UTC')
    and run_id in (
        select run_id from derived_days
        where is_kept
    );

-- name: all_derivation_runs
-- The runs of these verdicts, and those that asked later lists: what they found counts because they were finished.
select * -- noqa: AM04
from derivation_runs
where
    {horizon:UInt64} >= 0
    and (
        run_id in (
            select run_id from derived_days
            where is_kept
        )
        or run_id in (select run_id from scored_clicks)
    );

-- name: all_derived_days
-- Their pointers.
select * -- noqa: AM04
from derived_days
where {horizon:UInt64} >= 0 and is_kept;

-- name: all_same_customers
-- What was found before its people were erased.
select * -- noqa: AM04
from same_customers
where {horizon:UInt64} >= 0;

-- name: all_self_purchases
-- The same of creators who bought from themselves.
select * -- noqa: AM04
from self_purchases
where {horizon:UInt64} >= 0;

-- name: all_conversions
-- Every conversion of a finished run that doesn't expire.
select * -- noqa: AM04
from conversions
where
    {horizon:UInt64} >= 0
    and expires_at = toDateTime(4294967295, 'UTC')
    and run_id in (
        select run_id from derived_order_days
        where is_kept
    );

-- name: all_attributions
-- Who is credited with these conversions.
select * -- noqa: AM04
from attributions
where
    {horizon:UInt64} >= 0
    and expires_at = toDateTime(4294967295, 'UTC')
    and run_id in (
        select run_id from derived_order_days
        where is_kept
    );

-- name: all_order_shares
-- Whose these conversions are, as reports count them.
select * -- noqa: AM04
from order_shares
where
    {horizon:UInt64} >= 0
    and expires_at = toDateTime(4294967295, 'UTC')
    and run_id in (
        select run_id from derived_order_days
        where is_kept
    );

-- name: all_order_runs
-- The runs of these conversions.
select * -- noqa: AM04
from order_runs
where
    {horizon:UInt64} >= 0
    and run_id in (
        select run_id from derived_order_days
        where is_kept
    );

-- name: all_derived_order_days
-- Their pointers.
select * -- noqa: AM04
from derived_order_days
where {horizon:UInt64} >= 0 and is_kept;
