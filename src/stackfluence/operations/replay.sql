-- name: leaf_hashes
-- One organization's leaves in a range of a node, in order: what a seal's entry is the root of.
select
    seq,
    lower(leaf_hash) as leaf_hash
from (
    select
        seq,
        hex(leaf_hash) as leaf_hash
    from events
    where
        organization_id = {organization_id:String}
        and node = {node:String}
        and seq between {first_seq:UInt64} and {last_seq:UInt64}
    union all
    select
        seq,
        -- as text it lost the zero bytes at its end
        hex(toFixedString(quarantined_events.leaf_hash, 32)) as leaf_hash
    from quarantined_events
    where
        organization_id = {organization_id:String}
        and node = {node:String}
        and seq between {first_seq:UInt64} and {last_seq:UInt64}
        and quarantined_events.leaf_hash != ''
) as leaves
order by seq;

-- name: count_all
-- How many rows were rebuilt.
select
    (select count() as counted from events) as events,
    (select count() as counted from quarantined_events) as quarantined;
