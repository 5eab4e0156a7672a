-- name: touches_of_conversion
-- Every touch of one conversion as a run left it, the one that goes first by the order of 160 before the others.
select
    *, -- noqa: AM04
    toUnixTimestamp64Milli(touched_at) as touched_ms
from attributions
where
    organization_id = {organization_id:String}
    and conversion_id = {conversion_id:UUID}
    and run_id = {run_id:UInt64}
    and occurred_at = fromUnixTimestamp64Milli({occurred_ms:Int64}, 'UTC')
order by place
limit 1 by place;
