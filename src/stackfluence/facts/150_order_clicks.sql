-- Order clicks: the clicks whose IDs were carried.
--
-- Grain:     one row per click that is stored.
-- Reads:     events, order_rows, customer_rows
-- Writes:    order_clicks (of this connection)
-- Rule:      A click is stored at the millisecond that its ID names (RFC 9562, 5.7), so it is found by its time. An ID
--            whose click isn't stored is unknown: it may be loaded later.
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
)

select
    event_id as click_id,
    argMin(link_id, leaf_hash) as link_id,
    argMin(creator_id, leaf_hash) as creator_id,
    argMin(campaign_id, leaf_hash) as campaign_id,
    argMin(is_test, leaf_hash) as is_test,
    argMin(bot_reasons, leaf_hash) as bot_reasons,
    argMin(country, leaf_hash) as country,
    argMin(device_class, leaf_hash) as device_class,
    argMin(in_app_browser, leaf_hash) as in_app_browser
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
group by event_id;
