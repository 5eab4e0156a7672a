-- name: last_event_of_connection
-- When the last order or refund of one account arrived, milliseconds since 1970; 0 for none since {since_ms}.
select coalesce(max(toUnixTimestamp64Milli(received_at)), 0) as received_ms
from events
where
    organization_id = {organization_id:String}
    and event_type in ('conversion', 'refund')
    and received_at >= fromUnixTimestamp64Milli({since_ms:Int64}, 'UTC')
    and trust_tier = 'connector'
    and shop = {shop:String}
