-- name: last_order_run
-- The newest run whose conversions may be read; 0 before the first. A reader asks for it first and reads no run beyond
-- it.
select coalesce(max(run_id), 0) as last_run
from derived_order_days
where organization_id = {organization_id:String} and toUnixTimestamp(expires_at) * 1000 > {now_ms:Int64};

-- name: page_of_conversions
-- Conversions of an organization, latest first, those behind a place. Each day is read as of its newest run up to
-- {last_run}.
with

pointers as (
    select
        day,
        max(run_id) as newest_run
    from derived_order_days
    where
        organization_id = {organization_id:String}
        and run_id <= {last_run:UInt64}
        and toUnixTimestamp(expires_at) * 1000 > {now_ms:Int64}
    group by day
)

select
    * except (organization_id, expires_at, candidates, unknown_clicks), -- noqa: AM04
    toUnixTimestamp64Milli(occurred_at) as occurred_ms,
    toUnixTimestamp64Milli(received_at) as received_ms
from conversions
where
    organization_id = {organization_id:String}
    and (toDate(occurred_at), run_id) in (
        select
            day,
            newest_run
        from pointers
    )
    and occurred_at >= fromUnixTimestamp64Milli({from_ms:Int64}, 'UTC')
    and occurred_at < fromUnixTimestamp64Milli({to_ms:Int64}, 'UTC')
    and ({link_id:String} = '' or link_id = {link_id:String})
    and ({creator_id:String} = '' or creator_id = {creator_id:String})
    and ({campaign_id:String} = '' or campaign_id = {campaign_id:String})
    and ({found_by:String} = '' or found_by = {found_by:String})
    and ({shop:String} = '' or shop = {shop:String})
    and ({order_id:String} = '' or order_id = {order_id:String})
    and ({is_test:Nullable(Bool)} is null or is_test = {is_test:Nullable(Bool)})
    and occurred_at <= fromUnixTimestamp64Milli({after_ms:Int64}, 'UTC')
    and (
        occurred_at < fromUnixTimestamp64Milli({after_ms:Int64}, 'UTC')
        or conversion_id < {after_id:UUID}
    )
order by occurred_at desc, conversion_id desc
limit {limit:UInt32};

-- name: conversion_of_id
-- One conversion with every candidate, and the run that it is of.
with

pointers as (
    select
        day,
        max(run_id) as newest_run
    from derived_order_days
    where
        organization_id = {organization_id:String}
        and run_id <= {last_run:UInt64}
        and toUnixTimestamp(expires_at) * 1000 > {now_ms:Int64}
    group by day
),

runs as (
    select
        run_id,
        derived_at,
        as_of,
        code_version
    from order_runs
    where organization_id = {organization_id:String}
    order by run_id
    limit 1 by run_id
)

select
    conversions.* except (organization_id, expires_at, unknown_clicks), -- noqa: AM04
    toUnixTimestamp64Milli(conversions.occurred_at) as occurred_ms,
    toUnixTimestamp64Milli(conversions.received_at) as received_ms,
    toUnixTimestamp64Milli(runs.derived_at) as derived_ms,
    runs.as_of as as_of,
    runs.code_version as code_version
from conversions
inner join runs on conversions.run_id = runs.run_id
where
    conversions.organization_id = {organization_id:String}
    and conversions.conversion_id = {conversion_id:UUID}
    and (toDate(conversions.occurred_at), conversions.run_id) in (
        select
            day,
            newest_run
        from pointers
    )
order by run_id desc
limit 1;

-- name: unclaimed_codes
-- Codes on an organization's orders that belong to nobody, those on most orders first, those behind a place. How a code
-- is written differs; the first form in the alphabet is told.
with

pointers as (
    select
        day,
        max(run_id) as newest_run
    from derived_order_days
    where
        organization_id = {organization_id:String}
        and run_id <= {last_run:UInt64}
        and toUnixTimestamp(expires_at) * 1000 > {now_ms:Int64}
    group by day
),

written as (
    select
        conversion_id,
        occurred_at,
        found_by,
        toString(currency) as currency,
        coalesce(revenue_cents, 0) as cents,
        candidate.code as code,
        candidate.code_key as code_key
    from conversions
    array join candidates as candidate
    where
        organization_id = {organization_id:String}
        and (toDate(occurred_at), run_id) in (
            select
                day,
                newest_run
            from pointers
        )
        and occurred_at >= fromUnixTimestamp64Milli({from_ms:Int64}, 'UTC')
        and occurred_at < fromUnixTimestamp64Milli({to_ms:Int64}, 'UTC')
        and ({is_test:Nullable(Bool)} is null or is_test = {is_test:Nullable(Bool)})
        and candidate.outcome = 'unclaimed_code'
)

select
    code_key,
    min(code) as code,
    uniqExact(conversion_id) as orders,
    uniqExactIf(conversion_id, found_by = 'none') as unnamed_orders,
    sumMap(map(currency, toInt128(cents))) as revenue_cents,
    toUnixTimestamp64Milli(min(occurred_at)) as first_ms,
    toUnixTimestamp64Milli(max(occurred_at)) as last_ms
from written
group by code_key
having orders < {after_orders:UInt64} or (orders = {after_orders:UInt64} and code_key > {after_key:String})
order by orders desc, code_key asc
limit {limit:UInt32};
