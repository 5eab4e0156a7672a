-- Order clicks: the clicks whose IDs were carried.
--
-- Grain:     one row per click that is stored.
-- Reads:     events, order_rows, customer_rows
-- Writes:    order_clicks (of this connection)
-- Rule:      A click is stored at the millisecond that its ID names (RFC 9562, 5.7), so it is found by its time. An ID
--            whose click isn't stored is unknown: it may be loaded later. An edge writes a click once, and rows that
--            came twice are alike; were they not, the least would count. (To tell them apart as 030 does would read the
--            lines of weeks.)
-- Lookback:  as long as a click ID lives
-- Lookahead: none

-- name: find_order_clicks
-- Put the stored clicks into `order_clicks`.
insert into order_clicks (
    click_id, link_id, creator_id, campaign_id, is_test, bot_reasons, country, device_class, in_app_browser
)
with

carried as (
    select click_id
    from order_rows
    where event_type = 'conversion' and click_id_status = 'valid'
    union distinct
    select click_id
    from customer_rows
),

stored as (
    select
        event_id as click_id,
        min((
            link_id, creator_id, campaign_id, is_test, bot_reasons, country, device_class, in_app_browser
        )) as clicked
    from events
    where
        organization_id = {organization_id:String}
        and event_type = 'click'
        and load_number <= {as_of:UInt64}
        and occurred_at in (
            select fromUnixTimestamp64Milli(toInt64(bitShiftRight(toUInt128(click_id), 80)), 'UTC') as clicked_at
            from carried
        )
        and event_id in (select click_id from carried)
    group by event_id
)

select
    click_id,
    clicked.1 as link_id,
    clicked.2 as creator_id,
    clicked.3 as campaign_id,
    clicked.4 as is_test,
    clicked.5 as bot_reasons,
    clicked.6 as country,
    clicked.7 as device_class,
    clicked.8 as in_app_browser
from stored;
