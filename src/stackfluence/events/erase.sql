-- name: add_erasure
-- What an erasure was asked for: it holds for all that was received until now, loaded or not.
insert into erasures (organization_id, kind, value, erased_at)
select
    {organization_id:String} as organization_id,
    {kind:String} as kind,
    arrayJoin({values:Array(String)}) as value,
    fromUnixTimestamp64Milli({erased_ms:Int64}, 'UTC') as erased_at;

-- name: find_events_of_person
-- The places of one organization's events that belong to a person, in whatever table.
with

found as (
    select
        node,
        seq,
        event_id
    from events
    where
        organization_id = {organization_id:String}
        and (
            ({kind:String} = 'click_id' and toString(click_id) in {values:Array(String)})
            or ({kind:String} = 'session_id' and session_id in {values:Array(String)})
            or (
                {kind:String} = 'order_id'
                and (
                    (order_id != '' and concat(shop, '/', order_id) in {values:Array(String)})
                    or (original_order_id != '' and concat(shop, '/', original_order_id) in {values:Array(String)})
                )
            )
            or ({kind:String} = 'shop' and shop in {values:Array(String)})
            or (
                {kind:String} = 'visitor_hash'
                and (visitor_hash in {values:Array(String)} or visitor_hash_before in {values:Array(String)})
            )
        )
    union distinct
    select
        node,
        seq,
        event_id
    from quarantined_events
    where
        organization_id = {organization_id:String}
        and (
            ({kind:String} = 'click_id' and toString(click_id) in {values:Array(String)})
            or ({kind:String} = 'session_id' and session_id in {values:Array(String)})
            or ({kind:String} = 'visitor_hash' and visitor_hash in {values:Array(String)})
        )
    union distinct
    select
        node,
        seq,
        event_id
    from events_personal
    where
        organization_id = {organization_id:String}
        and (
            ({kind:String} = 'customer_hash' and customer_hash in {values:Array(String)})
            or ({kind:String} = 'email_hash' and email_hash in {values:Array(String)})
        )
)

select distinct toString(event_id) as event_id
from found
where event_id != '00000000-0000-0000-0000-000000000000'
order by event_id;

-- name: add_erased_events
-- The events found, for ever: no load, restore or replay brings their personal halves back.
insert into erasures (organization_id, kind, value, erased_at)
select
    {organization_id:String} as organization_id,
    'event_id' as kind,
    arrayJoin({event_ids:Array(String)}) as value,
    fromUnixTimestamp64Milli({erased_ms:Int64}, 'UTC') as erased_at;

-- name: count_personal
-- How many personal rows some events have.
select count() as personal
from events_personal
where organization_id = {organization_id:String} and event_id in {event_ids:Array(UUID)};

-- name: delete_personal
-- Remove the personal halves of some events; the parts are written anew without them before this returns.
alter table events_personal delete
where organization_id = {organization_id:String} and event_id in {event_ids:Array(UUID)}
settings mutations_sync = 2;
