"""What the edge said of each kind of visitor, read back from the store."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from urllib.parse import urlencode

from stackfluence.clock import rfc3339
from stackfluence.demo.sample import Sample
from stackfluence.demo.wire import Address, Connection, Unanswered
from stackfluence.reasons import traffic_class_of
from stackfluence.vocabulary import TrafficClass, TrafficReason

REMEMBERED = 5_000  # clicks; of a longer demo the last ones
EVENTS = "/v1/events"
_PAGE = 1_000
_PAGES = 20

Verdicts = dict[str, Counter[TrafficClass]]  # by kind of visitor


async def fetch_judged(base_url: str, sample: Sample, clicked: Mapping[str, str]) -> Verdicts:
    """Return how many clicks of each kind of visitor got which class; `clicked` has the kind by the click's event_id.

    Empty when the core can't say.
    """
    if not clicked:
        return {}
    address = Address.of(base_url)
    headers = [("Host", address.host_header), ("Authorization", f"Bearer {sample.secret_key}")]
    oldest_ms = int(min(clicked).replace("-", "")[:12], 16)  # a UUIDv7 begins with its time
    found: Verdicts = {}
    cursor = ""
    connection = Connection(address)
    try:
        for _ in range(_PAGES):
            asked = {"event_type": "click", "limit": _PAGE, "from": rfc3339(oldest_ms), "cursor": cursor}
            answer = await connection.request("GET", f"{EVENTS}?{urlencode(asked)}", headers)
            if answer.status != 200:
                return {}
            page = json.loads(answer.body)
            count(found, clicked, page["items"])
            cursor = page["next_cursor"]
            if not cursor:
                break
    except Unanswered:
        return {}
    finally:
        await connection.close()
    return found


def count(found: Verdicts, clicked: Mapping[str, str], events: Iterable[Mapping[str, object]]) -> None:
    """Add the clicks among stored events to what was found, by the reasons that their edge wrote on them."""
    for event in events:
        kind = clicked.get(str(event.get("event_id")))
        if kind is not None:
            reasons = event.get("bot_reasons")
            words = set(reasons if isinstance(reasons, list) else []) & set(TrafficReason)
            found.setdefault(kind, Counter())[traffic_class_of(TrafficReason(word) for word in words)] += 1


def account(found: Verdicts) -> list[str]:
    """Return a table of the classes by kind of visitor, as lines; none when nothing was found."""
    if not found:
        return []
    total = sum(classes.total() for classes in found.values())
    lines = [f"{f'the last {total:,} clicks':20} " + " ".join(f"{word.value:>12}" for word in TrafficClass)]
    for kind in sorted(found, key=lambda kind: -found[kind].total()):
        lines.append(f"{kind:20} " + " ".join(f"{found[kind][word]:>12,}" for word in TrafficClass))
    return lines
