-- name: count_traffic
-- One organization's clicks by what they are grouped by, each click once: gross is the sum of the valid ones and of
-- each reason's. A click has the verdict of its day's newest run up to {last_run} that hasn't expired; one that was
-- loaded after that run is counted by what its edge stamped on it. (A click's id is made by the edge for one line, so
-- its rows need be compared within the time asked for only.) Largest groups first, those behind {after_gross},
-- {after_group} alone.
with

pointers as (
    select
        day,
        max(run_id) as newest_run
    from derived_days
    where
        organization_id = {organization_id:String}
        and run_id <= {last_run:UInt64}
        and toUnixTimestamp(expires_at) * 1000 > {now_ms:Int64}
    group by day
),

horizons as (
    select
        pointers.day as day,
        max(runs.as_of) as last_load
    from pointers
    inner join derivation_runs as runs on pointers.newest_run = runs.run_id
    where runs.organization_id = {organization_id:String}
    group by day
),

late as (
    select
        events.node as node,
        events.seq as seq,
        events.event_id as click_id,
        events.occurred_at as occurred_at,
        events.link_id as link_id,
        events.creator_id as creator_id,
        events.campaign_id as campaign_id,
        toString(events.in_app_browser) as in_app_browser,
        toString(events.country) as country,
        events.bot_reasons as bot_reasons
    from events
    left join horizons on toDate(events.occurred_at) = horizons.day
    where
        events.organization_id = {organization_id:String}
        and events.event_type = 'click'
        and events.load_number <= {horizon:UInt64}
        and events.load_number > coalesce(horizons.last_load, 0)
        and events.occurred_at >= fromUnixTimestamp64Milli({from_ms:Int64}, 'UTC')
        and events.occurred_at < fromUnixTimestamp64Milli({to_ms:Int64}, 'UTC')
        and ({link_id:String} = '' or events.link_id = {link_id:String})
        and ({creator_id:String} = '' or events.creator_id = {creator_id:String})
        and ({campaign_id:String} = '' or events.campaign_id = {campaign_id:String})
        and ({is_test:Nullable(Bool)} is null or events.is_test = {is_test:Nullable(Bool)})
),

repeated as (
    select click_id
    from late
    group by click_id
    having count() > 1
),

superseded as (
    select
        node,
        seq
    from (
        select
            node,
            seq,
            row_number() over (
                partition by event_id
                order by
                    transform(toString(trust_tier), ['server', 'connector', 'browser'], [1, 2, 3], 4),
                    occurred_at,
                    leaf_hash
            ) as place
        from events
        where
            organization_id = {organization_id:String}
            and event_type = 'click'
            and load_number <= {horizon:UInt64}
            and event_id in (select click_id from repeated)
    ) as places
    where place > 1
),

verdicts as (
    select
        click_id,
        occurred_at,
        link_id,
        creator_id,
        campaign_id,
        toString(in_app_browser) as in_app_browser,
        toString(country) as country,
        toString(arrival_stage) as arrival_stage,
        has(bot_reasons, 'possible_duplicate') as is_possible_duplicate,
        score,
        toString(invalid_reason) as invalid_reason,
        toString(traffic_class) as traffic_class,
        true as is_derived
    from click_verdicts
    where
        organization_id = {organization_id:String}
        and (toDate(occurred_at), run_id) in (
            select
                day,
                newest_run
            from pointers
        )
        and occurred_at >= fromUnixTimestamp64Milli({from_ms:Int64}, 'UTC')
        and occurred_at < fromUnixTimestamp64Milli({to_ms:Int64}, 'UTC')
        and ({link_id:String} = '' or link_id = {link_id:String})
        and ({creator_id:String} = '' or creator_id = {creator_id:String})
        and ({campaign_id:String} = '' or campaign_id = {campaign_id:String})
        and ({is_test:Nullable(Bool)} is null or is_test = {is_test:Nullable(Bool)})
),

-- loaded again after the run that judged it
judged as (
    select click_id
    from verdicts
    where click_id in (select click_id from late)
),

stamped as (
    select
        click_id,
        occurred_at,
        link_id,
        creator_id,
        campaign_id,
        in_app_browser,
        country,
        '' as arrival_stage,
        has(bot_reasons, 'possible_duplicate') as is_possible_duplicate,
        arrayLastIndex(
            from_ms -> from_ms <= toUnixTimestamp64Milli(occurred_at), {policy_from:Array(Int64)}
        ) as policy,
        arrayFilter(
            word -> has(bot_reasons, word)
            and not has({policy_ignored_reasons:Array(Array(String))}[policy], word),
            {heaviest_first:Array(String)}
        ) as counting,
        toUInt8(least(100, arraySum(
            word -> transform(word, {heaviest_first:Array(String)}, {heaviest_weights:Array(Int32)}, 0), counting
        ))) as score,
        if(has({sophisticated:Array(String)}, counting[1]), 'sivt', 'givt') as worst_class,
        if(
            score >= {policy_flagged_from:Array(UInt8)}[policy]
            and has({policy_excluded_classes:Array(Array(String))}[policy], worst_class),
            counting[1],
            ''
        ) as invalid_reason,
        if(invalid_reason = '', 'valid', worst_class) as traffic_class,
        false as is_derived
    from late
    where
        (node, seq) not in (
            select
                node,
                seq
            from superseded
        )
        and click_id not in (select click_id from judged)
),

clicks as (
    select * from verdicts
    union all
    select * except (policy, counting, worst_class) from stamped
),

-- few rows, whatever a group's size: so the maps below cost nothing
alike as (
    select
        multiIf(
            {group_by:String} = 'creator', creator_id,
            {group_by:String} = 'campaign', campaign_id,
            {group_by:String} = 'link', link_id,
            {group_by:String} = 'day', toString(toDate(toTimeZone(occurred_at, {time_zone:String}))),
            {group_by:String} = 'in_app_browser', in_app_browser,
            {group_by:String} = 'country', country,
            ''
        ) as group_key,
        invalid_reason,
        traffic_class,
        arrival_stage,
        is_possible_duplicate,
        is_derived,
        toUInt8(least(intDiv(score, 10), 9)) as step,
        count() as clicks
    from clicks
    group by group_key, invalid_reason, traffic_class, arrival_stage, is_possible_duplicate, is_derived, step
)

select
    group_key,
    sum(alike.clicks) as gross,
    sumIf(alike.clicks, invalid_reason = '') as valid,
    sumMapIf(map(invalid_reason, alike.clicks), invalid_reason != '') as by_reason,
    sumIf(alike.clicks, invalid_reason != '' and traffic_class = 'givt') as givt,
    sumIf(alike.clicks, invalid_reason != '' and traffic_class != 'givt') as sivt,
    sumIf(alike.clicks, is_possible_duplicate) as possible_duplicates,
    sumIf(alike.clicks, not is_derived) as not_derived,
    -- who came further has been at every stage before
    sumIf(alike.clicks, is_derived) as measured,
    sumIf(alike.clicks, arrival_stage in ('received', 'resolved')) as received,
    sumIf(alike.clicks, arrival_stage = 'resolved') as resolved,
    sumIf(alike.clicks, is_derived and invalid_reason = '') as valid_derived,
    sumIf(alike.clicks, invalid_reason = '' and arrival_stage in ('received', 'resolved')) as valid_arrived,
    sumMap(map(step, alike.clicks)) as scores
from alike
group by group_key
having gross < {after_gross:UInt64} or (gross = {after_gross:UInt64} and group_key > {after_group:String})
order by gross desc, group_key asc
limit {limit:UInt32};
