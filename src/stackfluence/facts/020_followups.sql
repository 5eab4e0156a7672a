-- Followups: whatever carried the signed ID of one of the day's clicks.
--
-- Grain:     one row per stored row of a session, pageview or conversion.
-- Reads:     events
-- Writes:    day_events (of this connection)
-- Rule:      The click ID was verified and is valid, and names a moment of the day (RFC 9562, 5.7): that of its click.
--            Times are judged in 040. A row that another row of the same event precedes is taken out by 030,
--            wherever that other one belongs.
-- Lookback:  1 day, for wrong clocks
-- Lookahead: 1 day, for what follows the day's last click.

-- name: gather_followups
-- Put what came of the day's clicks into `day_events`.
insert into day_events (
    event_type, event_id, node, seq, click_id, occurred_at, received_at, trust_tier, is_test, session_id, engaged_ms,
    conversion_type, is_renewal, is_webdriver, is_idle
)
select
    event_type,
    event_id,
    node,
    seq,
    click_id,
    occurred_at,
    received_at,
    trust_tier,
    is_test,
    session_id,
    engaged_ms,
    conversion_type,
    is_renewal,
    has(bot_reasons, 'webdriver') as is_webdriver,
    has(bot_reasons, 'no_interaction') as is_idle
from events
where
    organization_id = {organization_id:String}
    and event_type in ('session', 'pageview', 'conversion')
    and load_number <= {as_of:UInt64}
    and occurred_at >= fromUnixTimestamp64Milli({day_ms:Int64} - 86400000, 'UTC')
    and occurred_at < fromUnixTimestamp64Milli({day_ms:Int64} + 172800000, 'UTC')
    and click_id_status = 'valid'
    and toInt64(bitShiftRight(toUInt128(click_id), 80)) >= {day_ms:Int64}
    and toInt64(bitShiftRight(toUInt128(click_id), 80)) < {day_ms:Int64} + 86400000;
