-- name: billable_events
-- What an organization may be charged for, or why not, latest first, those behind a place: every click as a valid click
-- and, where a visit followed, as a qualified session; every order, once for each touch that is paid for it, or once
-- without any. Each day is read as of its newest run up to {last_run} and {last_order_run}.
with

click_pointers as (
    select
        day,
        max(run_id) as newest_run,
        argMax(is_final, run_id) as was_final
    from derived_days
    where
        organization_id = {organization_id:String}
        and run_id <= {last_run:UInt64}
        and toUnixTimestamp(expires_at) * 1000 > {now_ms:Int64}
    group by day
),

order_pointers as (
    select
        day,
        max(run_id) as newest_run,
        argMax(is_final, run_id) as was_final
    from derived_order_days
    where
        organization_id = {organization_id:String}
        and run_id <= {last_order_run:UInt64}
        and toUnixTimestamp(expires_at) * 1000 > {now_ms:Int64}
    group by day
),

clicks as (
    select
        charge_type,
        click_verdicts.occurred_at as occurred_at,
        click_verdicts.click_id as source_id,
        toUInt32(0) as place,
        creator_id,
        campaign_id,
        link_id,
        click_verdicts.click_id as click_id,
        toUInt32(1000000) as credits,
        '' as conversion_type,
        '' as customer_type,
        false as is_renewal,
        '' as currency,
        cast(null as Nullable(Int64)) as commission_base_cents,
        cast(null as Nullable(Int64)) as net_base_micros,
        multiIf(
            is_test, 'test',
            unqualified_reason = 'not_derived', 'not_derived',
            invalid_reason != '', 'invalid_traffic',
            charge_type = 'qualified_session' and unqualified_reason != '', 'unqualified',
            charge_type = 'valid_click' and is_duplicate_click, 'duplicate_click',
            ''
        ) as non_billable_reason,
        if(charge_type = 'qualified_session', toString(unqualified_reason), toString(invalid_reason)) as detail,
        not click_pointers.was_final as is_provisional,
        policy_version,
        run_id
    from click_verdicts
    array join ['valid_click', 'qualified_session'] as charge_type
    inner join click_pointers on toDate(click_verdicts.occurred_at) = click_pointers.day
    where
        organization_id = {organization_id:String}
        and run_id = click_pointers.newest_run
        and click_verdicts.occurred_at >= fromUnixTimestamp64Milli({from_ms:Int64}, 'UTC')
        and click_verdicts.occurred_at < fromUnixTimestamp64Milli({to_ms:Int64}, 'UTC')
        and click_verdicts.occurred_at <= fromUnixTimestamp64Milli({after_ms:Int64}, 'UTC')
        and (charge_type = 'valid_click' or sessions > 0)
        and {charge_type:String} in ('', charge_type)
),

credited as (
    select
        attributions.conversion_id as conversion_id,
        attributions.run_id as run_id,
        attributions.place as place,
        attributions.creator_id as creator_id,
        attributions.campaign_id as campaign_id,
        attributions.link_id as link_id,
        attributions.click_id as click_id,
        attributions.paid_credits as credits
    from attributions
    where
        organization_id = {organization_id:String}
        and occurred_at >= fromUnixTimestamp64Milli({from_ms:Int64}, 'UTC')
        and occurred_at < fromUnixTimestamp64Milli({to_ms:Int64}, 'UTC')
        and occurred_at <= fromUnixTimestamp64Milli({after_ms:Int64}, 'UTC')
        and paid_credits > 0
        and {charge_type:String} in ('', 'conversion')
),

orders as (
    select
        'conversion' as charge_type,
        conversions.occurred_at as occurred_at,
        conversions.conversion_id as source_id,
        credited.place as place,
        credited.creator_id as creator_id,
        credited.campaign_id as campaign_id,
        credited.link_id as link_id,
        credited.click_id as click_id,
        credited.credits as credits,
        toString(conversions.conversion_type) as conversion_type,
        toString(conversions.customer_type) as customer_type,
        conversions.is_renewal as is_renewal,
        toString(conversions.currency) as currency,
        conversions.commission_base_cents as commission_base_cents,
        conversions.net_base_micros as net_base_micros,
        toString(conversions.non_billable_reason) as non_billable_reason,
        toString(conversions.unattributed_reason) as detail,
        conversions.is_provisional or not order_pointers.was_final as is_provisional,
        conversions.policy_version as policy_version,
        conversions.run_id as run_id
    from conversions
    inner join order_pointers on toDate(conversions.occurred_at) = order_pointers.day
    left join credited
        on conversions.conversion_id = credited.conversion_id and conversions.run_id = credited.run_id
    where
        conversions.organization_id = {organization_id:String}
        and conversions.run_id = order_pointers.newest_run
        and conversions.occurred_at >= fromUnixTimestamp64Milli({from_ms:Int64}, 'UTC')
        and conversions.occurred_at < fromUnixTimestamp64Milli({to_ms:Int64}, 'UTC')
        and conversions.occurred_at <= fromUnixTimestamp64Milli({after_ms:Int64}, 'UTC')
        and {charge_type:String} in ('', 'conversion')
),

everything as (
    select * from clicks
    union all
    select * from orders
)

select
    *,
    toUnixTimestamp64Milli(occurred_at) as occurred_ms
from everything
where
    ({creator_id:String} = '' or creator_id = {creator_id:String})
    and ({campaign_id:String} = '' or campaign_id = {campaign_id:String})
    and ({link_id:String} = '' or link_id = {link_id:String})
    and ({is_billable:Nullable(Bool)} is null or (non_billable_reason = '') = {is_billable:Nullable(Bool)})
    and (
        occurred_at < fromUnixTimestamp64Milli({after_ms:Int64}, 'UTC')
        or (toString(source_id), charge_type, place)
        < ({after_id:String}, {after_type:String}, {after_place:UInt32})
    )
order by occurred_at desc, toString(source_id) desc, charge_type desc, place desc
limit {limit:UInt32};
