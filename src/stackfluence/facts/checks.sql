-- What must hold of the rows at hand before anybody reads them. Each statement gives how many rows break it and one
-- place to look at; `fail_` withholds the run, `warn_` is told with it.

-- name: fail_clicks_each_click_once
-- Every stored click of the day has one verdict.
select
    count() - uniqExact(click_id) + toInt64(abs(toInt64(uniqExact(click_id)) - toInt64((
        select uniqExact(click_id) as clicks
        from day_events
        where event_type = 'click' and (node, seq) not in (
            select
                node,
                seq
            from superseded
        )
    )))) as broken,
    toString(max(click_id)) as place
from day_verdicts;

-- name: fail_clicks_reason_for_invalid
-- A click is invalid for a reason that counted, from the policy's points on, and valid without one.
select
    countIf((invalid_reason = '') != (traffic_class = 'valid') or (invalid_reason != '' and score < flagged_from))
        as broken,
    toString(maxIf(click_id, (invalid_reason = '') != (traffic_class = 'valid'))) as place
from day_verdicts;

-- name: fail_clicks_qualified_are_valid_visits
-- What is billed as a qualified session is a visit, in a session, of a valid click.
select
    countIf(unqualified_reason = '' and (invalid_reason != '' or session_id = '' or visited_at = toDateTime64(0, 3)))
        as broken,
    toString(maxIf(click_id, unqualified_reason = '' and (invalid_reason != '' or session_id = ''))) as place
from day_verdicts;

-- name: fail_clicks_counts_are_the_verdicts
-- Counts by quarters of an hour add up to the day's clicks, valid and invalid, and their pages.
with

counts as (
    select
        sum(clicks) as clicks,
        sumIf(day_rollups.clicks, invalid_reason = '') as valid,
        sum(day_rollups.pageviews) as pageviews
    from day_rollups
    where counted_by = 'all'
),

verdicts as (
    select
        count() as clicks,
        countIf(invalid_reason = '') as valid,
        sum(day_verdicts.pageviews) as pageviews
    from day_verdicts
)

select
    counts.clicks != verdicts.clicks
    or counts.valid != verdicts.valid
    or counts.pageviews != verdicts.pageviews as broken,
    '' as place
from counts
cross join verdicts;

-- name: fail_clicks_rollups_are_the_counts
-- Each of the six ways of counting has all of the day's clicks and pages, with the same reasons.
with

sums as (
    select
        (is_test, arrival_stage, invalid_reason, unqualified_reason) as part,
        counted_by,
        (sum(clicks), sum(pageviews)) as part_sums
    from day_rollups
    group by part, counted_by
),

compared as (
    select
        part,
        count() = 6 and uniqExact(part_sums) = 1 as is_same
    from sums
    group by part
)

select
    countIf(not is_same) as broken,
    toString(maxIf(part, not is_same)) as place
from compared;

-- name: warn_clicks_nothing_measured
-- A hundred valid clicks of a campaign and no visit: the snippet may be missing from its pages.
select
    count() as broken,
    min(campaign_id) as place
from (
    select campaign_id
    from day_verdicts
    where not is_test and invalid_reason = ''
    group by campaign_id
    having count() >= 100 and sum(sessions) = 0
) as campaigns;

-- name: fail_orders_each_order_once
-- An order is one conversion.
select
    count() - uniqExact(conversion_id) as broken,
    toString(max(conversion_id)) as place
from day_conversions;

-- name: fail_orders_credits_add_up
-- In every model an order's credits add up to 1,000,000, or nobody has any.
select
    countIf(
        paid not in (0, 1000000)
        or arrayExists(credits -> credits not in (0, 1000000), models)
        or arrayExists(credits -> credits != paid, models)
    ) as broken,
    toString(maxIf(conversion_id, paid not in (0, 1000000))) as place
from (
    select
        conversion_id,
        sum(paid_credits) as paid,
        [
            sum(last_touch_credits), sum(first_touch_credits), sum(linear_credits), sum(position_based_credits),
            sum(time_decay_credits)
        ] as models
    from day_attributions
    group by conversion_id
) as credited;

-- name: fail_orders_net_within_gross
-- No more comes back than there was, and what can be billed is attributed, confirmed and no test.
select
    countIf(
        net_revenue_cents > revenue_cents
        or net_base_micros > toInt128(commission_base_cents) * 1000000
        or net_base_micros < 0
        or (non_billable_reason = '' and (unattributed_reason != '' or is_test))
    ) as broken,
    toString(max(conversion_id)) as place
from day_conversions;

-- name: fail_orders_shares_are_the_orders
-- By every model each order is shared as a whole, its net base to the millionth, and nothing else is; every share has
-- the order's amounts and says the same of it.
with

orders as (
    select
        conversion_id,
        arrayJoin(['paid', 'last_touch', 'first_touch', 'linear', 'position_based', 'time_decay']) as model,
        coalesce(net_base_micros, 0) as net,
        (
            coalesce(revenue_cents, 0), if(revenue_cents is null, 0, refunded_cents), coalesce(net_revenue_cents, 0),
            coalesce(commission_base_cents, 0), toString(conversion_type), toString(customer_type), is_test
        ) as told
    from day_conversions
),

shared as (
    select
        conversion_id,
        model,
        sum(credits) as credits,
        sum(net_base_micros) as net,
        groupUniqArray((
            revenue_cents, refunded_cents, net_revenue_cents, commission_base_cents, toString(conversion_type),
            toString(customer_type), is_test
        )) as told
    from day_shares
    group by conversion_id, model
)

select
    countIf(
        orders.conversion_id != shared.conversion_id
        or shared.credits != 1000000
        or shared.net != orders.net
        or shared.told != [orders.told]
    ) as broken,
    toString(max(greatest(orders.conversion_id, shared.conversion_id))) as place
from orders
full join shared on orders.conversion_id = shared.conversion_id and orders.model = shared.model;
