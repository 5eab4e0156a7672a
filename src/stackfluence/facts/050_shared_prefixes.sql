-- Shared prefixes: one part of the network that clicks the links of many creators.
--
-- Grain:     one row per click of such a part of the network in an hour, again when its numbers grew.
-- Reads:     arrivals, events_personal, shared_prefix_clicks
-- Writes:    shared_prefix_clicks
-- Rule:      Within one hour (UTC, and over by then) a prefix made at least {prefix_clicks} clicks on {prefix_links}
--            links of {prefix_creators} creators. The prefix is personal and expires; what was found is kept in
--            numbers, and numbers only grow as more clicks become known. A run that finds the prefixes gone therefore
--            adds nothing and takes nothing away: the verdict stays.
-- Lookback:  none
-- Lookahead: none

-- name: find_shared_prefixes
-- Note the clicks of one day that came from a part of the network which clicked everywhere.
insert into shared_prefix_clicks (run_id, organization_id, occurred_at, click_id, clicks, links, creators)
with

prefixes as (
    select distinct
        event_id as click_id,
        JSONExtractString(expiring, 'ip_prefix') as prefix
    from events_personal
    where
        organization_id = {organization_id:String}
        and (node, seq) in (
            select
                node,
                seq
            from arrivals
        )
        and toUnixTimestamp(expires_at) * 1000 > {derived_ms:Int64}
        and prefix != ''
),

placed as (
    select
        arrivals.click_id as click_id,
        arrivals.occurred_at as occurred_at,
        arrivals.link_id as link_id,
        arrivals.creator_id as creator_id,
        toStartOfHour(arrivals.occurred_at) as hour,
        prefixes.prefix as prefix
    from arrivals
    inner join prefixes on arrivals.click_id = prefixes.click_id
    where not arrivals.is_test and (toUnixTimestamp(hour) + 3600) * 1000 <= {derived_ms:Int64}
),

shared as (
    select
        hour,
        prefix,
        count() as clicks,
        uniqExact(link_id) as links,
        uniqExact(creator_id) as creators
    from placed
    group by hour, prefix
    having
        clicks >= {prefix_clicks:UInt32}
        and links >= {prefix_links:UInt32}
        and creators >= {prefix_creators:UInt32}
),

known as (
    select distinct
        click_id,
        clicks,
        links,
        creators
    from shared_prefix_clicks
    where
        organization_id = {organization_id:String}
        and occurred_at >= fromUnixTimestamp64Milli({day_ms:Int64}, 'UTC')
        and occurred_at < fromUnixTimestamp64Milli({day_ms:Int64} + 86400000, 'UTC')
        and run_id <= {run_id:UInt64}
)

select
    {run_id:UInt64} as run_id,
    {organization_id:String} as organization_id,
    placed.occurred_at as occurred_at,
    placed.click_id as click_id,
    toUInt32(shared.clicks) as clicks,
    toUInt32(shared.links) as links,
    toUInt32(shared.creators) as creators
from placed
inner join shared on placed.hour = shared.hour and placed.prefix = shared.prefix
where (click_id, clicks, links, creators) not in (
    select
        click_id,
        clicks,
        links,
        creators
    from known
);
