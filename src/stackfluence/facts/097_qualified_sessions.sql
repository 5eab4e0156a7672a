-- Qualified sessions: whether a click led to a visit that is good enough to bill, or else why not.
--
-- Grain:     one row per click of one day (UTC) of one organization.
-- Reads:     verdicts, arrivals, visits, repeated
-- Writes:    day_verdicts (of this connection), which `derive` copies into click_verdicts
-- Rule:      A click qualifies when it is valid and one of its visits is engaged (093) and not repeated (095). The
--            first reason that holds is told; a visit that isn't engaged isn't repeated either. Not engaged, not
--            measured and no consent are kept apart: only the first says anything about the visitor. Nobody but those
--            whose word the policy takes can say that the visitor objected on the page. The session that is told is
--            the first that qualifies, else the first.
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
        visits.click_id as click_id,
        true as is_told,
        sum(visits.trusted) > 0 as is_trusted,
        max(visits.session_id != '' and visits.is_engaged) as is_engaged,
        max(visits.session_id != '' and visits.is_said_engaged) as is_said_engaged,
        max(visits.session_id != '' and visits.is_engaged and not repeated.is_repeated_visit) as is_qualified,
        argMinIf(
            (visits.session_id, visits.visited_at),
            (not visits.is_engaged or repeated.is_repeated_visit, visits.visited_at, visits.session_id),
            visits.session_id != ''
        ) as visit,
        max(repeated.is_duplicate_click) as is_duplicate_click
    from visits
    left join repeated on visits.click_id = repeated.click_id and visits.session_id = repeated.session_id
    group by click_id
),

unmeasured as (
    select click_id
    from arrivals
    where not is_measurable
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
    visited.visit.1 as session_id,
    visited.visit.2 as visited_at,
    multiIf(
        verdicts.invalid_reason != '', 'invalid_traffic',
        not visited.is_told and verdicts.click_id not in (select click_id from unmeasured), 'not_measured',
        not visited.is_told, 'no_consent',
        not visited.is_trusted, 'untrusted_visit',
        session_id = '', 'no_consent',
        visited.is_qualified, '',
        visited.is_engaged, 'repeated_visit',
        visited.is_said_engaged, 'implausible_engagement',
        'not_engaged'
    ) as unqualified_reason,
    visited.is_duplicate_click as is_duplicate_click
from verdicts
left join visited on verdicts.click_id = visited.click_id;
