-- Qualified sessions: whether a click led to a visit that is good enough to bill, or else why not.
--
-- Grain:     one row per click of one day (UTC) of one organization.
-- Reads:     verdicts, arrivals, visits, repeated
-- Writes:    day_verdicts (of this connection), which `derive` copies into click_verdicts
-- Rule:      A visit qualifies when its click is valid, it was told by somebody whose word the policy takes, in a
--            session, and the visitor saw at least the policy's pages or stayed its time, and when it isn't repeated.
--            The first reason that holds is told. Not engaged, not measured and no consent are kept apart: only the
--            first says anything about the visitor.
-- Lookback:  none beyond that of what it reads
-- Lookahead: none beyond that of what it reads

-- name: derive_qualified_sessions
-- Put one day's verdicts with their visits into `day_verdicts`.
insert into day_verdicts (
    occurred_at, click_id, link_id, creator_id, campaign_id, is_test, arrival_stage, sessions, pageviews, engaged_ms,
    conversions, in_app_browser, device_class, country, stamped_score, is_scored_again, bot_reasons, later_reasons,
    lifted_reasons, evidence, score, traffic_class, invalid_reason, policy_version, flagged_from, session_id,
    visited_at, unqualified_reason, is_duplicate_click
)
with

visited as (
    select
        arrivals.click_id as click_id,
        arrivals.is_measurable as is_measurable,
        visits.told as told,
        visits.trusted as trusted,
        visits.session_id as session_id,
        visits.visited_at as visited_at,
        visits.is_implausible as is_implausible,
        arrayLastIndex(
            from_ms -> from_ms <= toUnixTimestamp64Milli(arrivals.occurred_at), {policy_from:Array(Int64)}
        ) as policy,
        visits.pageviews >= {policy_min_pageviews:Array(UInt32)}[policy]
        or visits.engaged_ms >= {policy_min_engaged_ms:Array(Int64)}[policy] as is_engaged,
        repeated.is_repeated_visit as is_repeated_visit,
        repeated.is_duplicate_click as is_duplicate_click
    from arrivals
    left join visits on arrivals.click_id = visits.click_id
    left join repeated on arrivals.click_id = repeated.click_id
)

select
    verdicts.occurred_at as occurred_at,
    verdicts.click_id as click_id,
    verdicts.link_id as link_id,
    verdicts.creator_id as creator_id,
    verdicts.campaign_id as campaign_id,
    verdicts.is_test as is_test,
    verdicts.arrival_stage as arrival_stage,
    verdicts.sessions as sessions,
    verdicts.pageviews as pageviews,
    verdicts.engaged_ms as engaged_ms,
    verdicts.conversions as conversions,
    verdicts.in_app_browser as in_app_browser,
    verdicts.device_class as device_class,
    verdicts.country as country,
    verdicts.stamped_score as stamped_score,
    verdicts.is_scored_again as is_scored_again,
    verdicts.bot_reasons as bot_reasons,
    verdicts.later_reasons as later_reasons,
    verdicts.lifted_reasons as lifted_reasons,
    verdicts.evidence as evidence,
    verdicts.score as score,
    verdicts.traffic_class as traffic_class,
    verdicts.invalid_reason as invalid_reason,
    verdicts.policy_version as policy_version,
    verdicts.flagged_from as flagged_from,
    visited.session_id as session_id,
    visited.visited_at as visited_at,
    multiIf(
        verdicts.invalid_reason != '', 'invalid_traffic',
        visited.told = 0 and visited.is_measurable, 'not_measured',
        visited.told = 0, 'no_consent',
        visited.trusted = 0, 'untrusted_visit',
        visited.session_id = '', 'no_consent',
        visited.is_engaged and visited.is_repeated_visit, 'repeated_visit',
        visited.is_engaged, '',
        visited.is_implausible, 'implausible_engagement',
        'not_engaged'
    ) as unqualified_reason,
    visited.is_duplicate_click as is_duplicate_click
from verdicts
inner join visited on verdicts.click_id = visited.click_id;
