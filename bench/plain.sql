-- name: clicks
-- The clicks of an organization, $1, of a time span, with what came of each: rows of parts that add up to a report's.
-- A click's id is a UUIDv7, so that the lowest ids of two moments, $2 and $3, bound clicks and what carries their ids.
-- Whether a visit repeats another is looked up where it is engaged, and only there.
select
    {label}::text as key,
    invalid_reason,
    unqualified_reason,
    has_arrived,
    sum(clicks) as clicks,
    sum(pageviews) as pageviews
from (
    select
        {key} as key,
        invalid_reason,
        unqualified_reason,
        has_arrived,
        count(*) as clicks,
        sum(pageviews) as pageviews
    from (
        select
            clicked.occurred_at as clicked_at,
            clicked.link_id,
            clicked.creator_id,
            clicked.campaign_id,
            clicked.country,
            clicked.in_app_browser,
            case when clicked.bot_score >= 50 then clicked.bot_reasons[1] end as invalid_reason,
            visits.click_id is not null as has_arrived,
            visits.pageviews,
            case
                when clicked.bot_score >= 50 then 'invalid_traffic'
                when visits.click_id is null
                    then case when clicked.consent in ('denied', 'opted_out') then 'no_consent' else 'not_measured' end
                when visits.session_id is null then 'no_consent'
                when visits.pageviews >= 2 or visits.begun_at >= clicked.occurred_at
                    then case when exists (
                        select
                        from events as pages
                        inner join events as earlier on earlier.event_id = pages.click_id
                        where
                            pages.organization_id = $1
                            and pages.session_id = visits.session_id
                            and pages.event_type in ('session', 'pageview')
                            and pages.click_id_status = 'valid'
                            and not pages.is_test
                            and pages.click_id < clicked.event_id
                            and earlier.organization_id = $1
                            and earlier.event_type = 'click'
                            and not earlier.is_test
                            and earlier.creator_id = clicked.creator_id
                            and earlier.campaign_id = clicked.campaign_id
                            and earlier.bot_score < 50
                            and earlier.occurred_at > clicked.occurred_at - interval '24 hours'
                        group by earlier.event_id
                        having
                            count(*) filter (where pages.event_type = 'pageview') >= 2
                            or bool_or(
                                pages.engaged_ms >= 10000
                                and (
                                    pages.trust_tier != 'browser'
                                    or pages.received_at - pages.engaged_ms * interval '1 ms' >= earlier.occurred_at
                                )
                            )
                    ) then 'repeated_visit' end
                when visits.begun_at is not null then 'implausible_engagement'
                else 'not_engaged'
            end as unqualified_reason
        from events as clicked
        left join {lateral} (
            -- when a visit began that was long enough, by its own word; a browser's can't have begun before its click
            select
                click_id,
                min(session_id) as session_id,
                count(*) filter (where event_type = 'pageview') as pageviews,
                max(
                    case
                        when trust_tier = 'browser' then received_at - engaged_ms * interval '1 ms'
                        else 'infinity'
                    end
                ) filter (where engaged_ms >= 10000) as begun_at
            from events
            where
                organization_id = $1
                and event_type in ('session', 'pageview')
                and click_id_status = 'valid'
                and not is_test
                and {visits_of}
            group by click_id
        ) as visits on visits.click_id = clicked.event_id
        where
            clicked.organization_id = $1
            and clicked.event_type = 'click'
            and not clicked.is_test
            and clicked.event_id >= $2
            and clicked.event_id < $3
            and {clicks_of}
    ) as judged
    group by key, invalid_reason, unqualified_reason, has_arrived
) as parts
{links}
group by {label}, invalid_reason, unqualified_reason, has_arrived;

-- name: orders
-- The orders of a time span, from $2 up to $3, with the valid click that led to each at most 30 days before, and net of
-- what came back: rows of parts that add up to a report's. An order is told of once, by the first whose word counts.
-- Orders of a click's day are read from 5 minutes before the span, for clocks that differ, to 30 days behind it.
select
    {label}::text as key,
    conversion_type,
    currency,
    uncredited_reason,
    left_out_reason,
    sum(orders) as orders,
    sum(orders) * 1000000 as credits,
    sum(revenue_cents) * 1000000 as revenue_micros,
    sum(refunded_cents) * 1000000 as refunded_micros,
    sum(revenue_cents - refunded_cents) * 1000000 as net_revenue_micros,
    sum(base_cents) * 1000000 as commission_base_micros,
    sum(net_base_micros) as net_base_micros
from (
    select
        {key} as key,
        conversion_type,
        currency,
        uncredited_reason,
        left_out_reason,
        count(*) as orders,
        sum(revenue_cents) as revenue_cents,
        sum(refunded_cents) as refunded_cents,
        sum(base_cents) as base_cents,
        sum(base_cents * 1000000 - base_cents * 1000000 * refunded_cents / greatest(revenue_cents, 1))
            as net_base_micros
    from (
        select
            bought.occurred_at as ordered_at,
            named.occurred_at as clicked_at,
            bought.customer_type,
            bought.conversion_type,
            bought.currency,
            bought.revenue_cents,
            bought.base_cents,
            bought.left_out_reason,
            least(bought.revenue_cents, coalesce(returned.refunded_cents, 0)) as refunded_cents,
            named.link_id,
            named.creator_id,
            named.campaign_id,
            named.country,
            named.in_app_browser,
            null as invalid_reason,
            case
                when named.event_id is null then 'no_touch'
                when named.occurred_at < bought.occurred_at - interval '30 days' then 'outside_window'
                when named.bot_score >= 50 then 'invalid_traffic'
            end as uncredited_reason
        from (
            select distinct on (shop, order_id, single_id)
                shop,
                order_id,
                case when conversion_type != 'purchase' or order_id is null then event_id end as single_id,
                occurred_at,
                click_id,
                conversion_type,
                customer_type,
                currency,
                revenue_cents,
                greatest(
                    coalesce(
                        subtotal_cents - coalesce(discount_cents, 0),
                        revenue_cents - coalesce(tax_cents, 0) - coalesce(shipping_cents, 0)
                    ),
                    0
                ) as base_cents,
                case when trust_tier not in ('server', 'connector') then 'unconfirmed' end as left_out_reason
            from events
            where
                organization_id = $1
                and event_type = 'conversion'
                and not is_test
                and occurred_at >= {read_from}
                and occurred_at < {read_to}
            order by shop, order_id, single_id, left_out_reason nulls first, received_at
        ) as bought
        left join (
            select
                shop,
                original_order_id,
                sum(
                    case
                        when reason in ('refund_failed', 'chargeback_reversed') then -refund_amount_cents
                        else refund_amount_cents
                    end
                )::bigint as refunded_cents
            from events
            where
                organization_id = $1
                and event_type = 'refund'
                and not is_test
                and trust_tier in ('server', 'connector')
                and occurred_at >= {read_from}
            group by shop, original_order_id
        ) as returned on returned.shop = bought.shop and returned.original_order_id = bought.order_id
        left join events as named
            on
                named.organization_id = $1
                and named.event_type = 'click'
                and not named.is_test
                and named.event_id = bought.click_id
                and named.occurred_at <= bought.occurred_at + interval '5 minutes'
    ) as credited
    where {counted_at} >= $2 and {counted_at} < $3 and {orders_of}
    group by key, conversion_type, currency, uncredited_reason, left_out_reason
) as parts
{links}
group by {label}, conversion_type, currency, uncredited_reason, left_out_reason;
