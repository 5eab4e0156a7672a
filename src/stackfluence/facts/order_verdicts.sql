-- name: last_run
-- The newest run over days of clicks that readers see.
select coalesce(max(run_id), 0) as run_id
from derived_days;

-- name: verdicts_of_days
-- Days of orders with clicks of days that were derived after a run: what these clicks were worth when the orders were
-- derived, and what they are worth now.
with

judged as (
    select
        organization_id,
        day,
        max(run_id) as newest_run
    from derived_days
    where day >= toDate(toUInt16({first_day:Int64})) and toUnixTimestamp(expires_at) * 1000 > {now_ms:Int64}
    group by organization_id, day
),

rewritten as (
    select
        organization_id,
        groupUniqArray(day) as days
    from judged
    where newest_run > {after_run:UInt64}
    group by organization_id
),

orders as (
    select
        organization_id,
        day,
        max(run_id) as run_id,
        argMax(verdicts_hash, derived_order_days.run_id) as verdicts_hash,
        argMax(click_days, derived_order_days.run_id) as click_days
    from derived_order_days
    where toUnixTimestamp(expires_at) * 1000 > {now_ms:Int64}
    group by organization_id, day
),

chosen as (
    select
        orders.organization_id as organization_id,
        orders.day as day,
        orders.run_id as run_id,
        orders.verdicts_hash as verdicts_hash
    from orders
    inner join rewritten on orders.organization_id = rewritten.organization_id
    where hasAny(orders.click_days, rewritten.days)
),

touches as (
    select distinct
        organization_id,
        toDate(occurred_at) as day,
        click_id,
        touched_at,
        invalid_reason
    from attributions
    where
        found_by != 'code'
        and (organization_id, toDate(occurred_at), run_id) in (
            select
                organization_id,
                day,
                run_id
            from chosen
        )
),

verdicts as (
    select
        organization_id,
        click_id,
        invalid_reason,
        true as is_derived
    from click_verdicts
    where
        organization_id in (select organization_id from chosen)
        and occurred_at in (select touched_at from touches)
        and click_id in (select click_id from touches)
        and (organization_id, toDate(occurred_at), run_id) in (
            select
                organization_id,
                day,
                newest_run
            from judged
        )
),

-- without a verdict a click has what its edge stamped on it, which never changes
hashed as (
    select
        touches.organization_id as organization_id,
        touches.day as day,
        lower(hex(groupBitXor(reinterpretAsUInt128(sipHash128(
            touches.click_id,
            toString(if(verdicts.is_derived, verdicts.invalid_reason, touches.invalid_reason)),
            verdicts.is_derived
        ))))) as hash_of_now
    from touches
    left join verdicts
        on touches.organization_id = verdicts.organization_id and touches.click_id = verdicts.click_id
    group by organization_id, day
)

select
    toString(chosen.organization_id) as organization_id,
    chosen.day as day,
    chosen.verdicts_hash as verdicts_hash,
    hashed.hash_of_now as hash_of_now
from chosen
inner join hashed on chosen.organization_id = hashed.organization_id and chosen.day = hashed.day
order by organization_id, day;
