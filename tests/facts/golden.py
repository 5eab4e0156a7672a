"""Golden cases: traffic told in a few lines of YAML, and what it is worth.

A file has cases. A case tells of groups of clicks, each with a name, and gives for some of them the verdict that every
click of the group gets. Times are those of one day, UTC; `then` says what followed each click.

    cases:
      - story: Two of emma's clicks; one of them arrives.
        judged: 36h                       # after the day's beginning; without it, when all is final
        traffic:
          - {name: arrives, creator: emma, at: "13:00", clicks: 2, every: 5s, then: [{session: 3s, engaged: 12s}]}
        verdicts:
          arrives: {stage: resolved, score: 0, counts: true}
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from stackfluence.clock import rfc3339
from stackfluence.facts import PolicyBook, PolicyPeriod
from stackfluence.reasons import score_of
from stackfluence.vocabulary import TrafficReason
from tests.facts.days import DAY_START_MS, LATER_MS, Days

FOLDER = Path(__file__).parents[1] / "golden"
_UNITS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_CLICK_WORDS = {
    "name", "creator", "campaign", "link", "links", "at", "day", "clicks", "every", "visitor", "prefix", "reasons",
    "consent", "test", "then", "page", "country",
}  # fmt: skip
_EVENT_WORDS = {
    "session", "pageview", "conversion", "engaged", "says", "type", "tier", "renewal", "received", "status", "id",
    "test", "of", "in",
}  # fmt: skip
_VERDICT_WORDS = {"stage", "score", "class", "counts", "because", "stamped", "later", "lifted", "evidence", "sessions",
                  "pageviews", "conversions", "engaged", "unqualified", "duplicate", "policy"}  # fmt: skip
_POLICY_WORDS = {"from", *PolicyPeriod._fields} - {"from_ms"}


def golden_cases() -> Iterator[tuple[str, dict[str, Any]]]:
    """Give every case with the name of its file and its place there."""
    for path in sorted(FOLDER.glob("0*/*.yaml")):
        for place, case in enumerate(yaml.safe_load(path.read_text())["cases"], start=1):
            yield f"{path.parent.name}/{path.stem}/{place}", case


def milliseconds(text: str) -> int:
    """Return how long `5s`, `-2m`, `24h` or `1d` is."""
    found = re.fullmatch(r"(-?\d+)(ms|s|m|h|d)", text)
    assert found, f"{text!r} is no duration"
    return int(found[1]) * _UNITS[found[2]]


def clock_ms(text: str) -> int:
    """Return the time of day of `13:00` or `13:00:05`."""
    parts = [int(part) for part in text.split(":")]
    return sum(part * unit for part, unit in zip(parts, (3_600_000, 60_000, 1000), strict=False))


def tell(days: Days, case: Mapping[str, Any], number: int | None = None) -> dict[str, list[str]]:
    """Write a case's traffic, and return the clicks of each group.

    Creators, campaigns, links, visitors, prefixes and sessions of a case with a number end in `~` and the number, so
    that one organization has many cases and none is judged by another's clicks.
    """
    assert set(case) <= {"story", "judged", "policies", "traffic", "verdicts"}, case
    own = "" if number is None else f"~{number}"
    groups: dict[str, list[str]] = {}
    for group in case["traffic"]:
        assert set(group) <= _CLICK_WORDS, group
        groups[group.get("name", f"group {len(groups)}")] = list(_clicks(days, group, own))
    return groups


def judged_ms(case: Mapping[str, Any]) -> int:
    """Return the moment that a case is judged at."""
    return DAY_START_MS + milliseconds(case["judged"]) if "judged" in case else LATER_MS


def policies(case: Mapping[str, Any]) -> PolicyBook:
    """Return the policies of a case, by default those that an organization starts with."""
    periods = []
    for told_of in case.get("policies", [{}]):
        assert set(told_of) <= _POLICY_WORDS, told_of
        fields: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in told_of.items()
        }
        begins = fields.pop("from", None)
        at_ms = 0 if begins is None else DAY_START_MS + milliseconds(begins)
        periods.append(PolicyPeriod(from_ms=at_ms, **fields))
    return PolicyBook(periods)


def _clicks(days: Days, group: Mapping[str, Any], own: str) -> Iterator[str]:
    creator, campaign = group.get("creator", "emma"), group.get("campaign", "spring")
    links = int(group.get("links", 1))
    reasons = [TrafficReason(word) for word in group.get("reasons", [])]
    for place in range(int(group.get("clicks", 1))):
        at_ms = (
            clock_ms(group.get("at", "12:00"))
            + milliseconds(f"{group.get('day', 0)}d")
            + place * milliseconds(group.get("every", "1s"))
        )
        name = group.get("link", creator)
        link_id = f"lnk_{name}{place % links if links > 1 else ''}{own}"
        prefix = {"expiring": {"ip_prefix": group["prefix"] + own}} if "prefix" in group else {}
        click = days.click(
            at_ms,
            link_id=link_id,
            creator_id=f"crt_{creator}{own}",
            campaign_id=f"cmp_{campaign}{own}",
            visitor_hash=group["visitor"] + own if "visitor" in group else "",
            bot_reasons=[reason.value for reason in reasons],
            bot_score=score_of(reasons),
            consent=group.get("consent", "unknown"),
            is_test=bool(group.get("test")),
            page_path=group.get("page", ""),
            country=group.get("country", ""),
            **prefix,
        )
        for event in group.get("then", []):
            _follow(days, click, at_ms, event, own, link_id=link_id, is_test=bool(group.get("test")))
        yield click


def _follow(days: Days, click: str, at_ms: int, event: Mapping[str, Any], own: str, **common: Any) -> None:
    assert set(event) <= _EVENT_WORDS, event
    kind = next(name for name in ("session", "pageview", "conversion") if name in event)
    fields: dict[str, Any] = {
        "engaged_ms": milliseconds(event.get("engaged", "0s")),
        "bot_reasons": event.get("says", []),
        "trust_tier": event.get("tier", "browser"),
        "click_id_status": event.get("status", "valid"),
        "is_renewal": bool(event.get("renewal")),
        **common,
    }
    if event.get("test"):
        fields["is_test"] = True
    if kind == "conversion":
        fields["conversion_type"] = event.get("type", "purchase")
    if "id" in event:  # several rows of one event
        fields["event_id"] = f"{click[:19]}{8000 + event['id']}{click[23:]}"
    if "received" in event:
        fields["received_at"] = rfc3339(DAY_START_MS + at_ms + milliseconds(event["received"]))
    if "of" in event:
        fields["session_id"] = f"ses_{event['of']}_{click}"
    if "in" in event:  # one session of several clicks, or none
        fields["session_id"] = event["in"] and f"ses_{event['in']}{own}"
    days.after(click, kind, at_ms + milliseconds(event[kind]), **fields)


def told(row: Mapping[str, Any], expected: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a verdict says, in the words that the case uses."""
    assert set(expected) <= _VERDICT_WORDS, expected
    said = {
        "stage": row["arrival_stage"],
        "score": row["score"],
        "class": row["traffic_class"],
        "counts": row["invalid_reason"] == "",
        "because": row["invalid_reason"],
        "stamped": list(row["bot_reasons"]),
        "later": list(row["later_reasons"]),
        "lifted": list(row["lifted_reasons"]),
        "evidence": dict(row["evidence"]),
        "sessions": row["sessions"],
        "pageviews": row["pageviews"],
        "conversions": row["conversions"],
        "engaged": f"{row['engaged_ms']}ms",
        "unqualified": row["unqualified_reason"],
        "duplicate": row["is_duplicate_click"],
        "policy": row["policy_version"],
    }
    return {word: said[word] for word in expected}
