"""Golden cases of orders: what was told of them in a few lines of YAML, and what each comes to.

Times are those of one day, UTC; `day` counts from it. An order that is `null` is no conversion of that day.

    cases:
      - story: Emma's code and lena's click.
        codes: [{code: EMMA10, creator: emma}]
        clicks: {by_lena: {creator: lena, at: "12:00"}}
        told:
          - {order: A1, at: "13:00", revenue: 4900, codes: [emma10], click: by_lena}
        conversions:
          A1: {by: code, creator: emma, candidates: [[code, named], [click_id, outranked]]}
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from uuid import UUID

import yaml

from stackfluence.clock import rfc3339, uuid7
from stackfluence.facts import CodePeriod
from stackfluence.names import code_key
from stackfluence.reasons import score_of
from stackfluence.vocabulary import TrafficReason
from tests.events.journals import rows
from tests.facts.days import DAY, DAY_START_MS, Days
from tests.facts.golden import FOLDER, clock_ms, milliseconds

_TOLD_WORDS = {
    "order", "refund", "identify", "at", "day", "received", "tier", "click", "status", "codes", "revenue", "currency",
    "amount", "reason", "shop", "type", "customer", "email", "test", "renewal", "id", "orders", "every", "amounts",
    "customer_type", "received_day", "revised", "paid", "payment", "invoice",
}  # fmt: skip
_CLICK_WORDS = {"creator", "campaign", "at", "day", "test", "clicks", "every", "reasons", "stored"}
_CODE_WORDS = {"code", "creator", "campaign", "from", "to"}
_CONVERSION_WORDS = {
    "by", "creator", "campaign", "link", "click", "code", "at", "day", "revenue", "net", "refunded", "refunds",
    "unconfirmed_refunds", "other_currency_refunds", "reasons", "evidence", "candidates", "tier", "events", "test",
    "type", "currency", "codes", "amounts", "is_cancelled", "found_tier", "returned", "renewal", "customer_type",
    "touches", "credits", "unattributed", "billable", "provisional", "base", "net_base",
}  # fmt: skip


def order_cases() -> Iterator[tuple[str, dict[str, Any]]]:
    """Give every case with the name of its file and its place there."""
    for path in sorted(FOLDER.glob("1*/*.yaml")):
        for place, case in enumerate(yaml.safe_load(path.read_text())["cases"], start=1):
            yield f"{path.parent.name}/{path.stem}/{place}", case


def tell_orders(days: Days, case: Mapping[str, Any], number: int = 0) -> dict[str, str]:
    """Write what a case tells and return the ids of its clicks by name.

    Its orders, creators, codes and customers end in `~` and its number, so that one organization has many cases.
    """
    assert set(case) <= {"story", "codes", "clicks", "told", "conversions"}, case
    clicks = {name: _click(days, told, number) for name, told in case.get("clicks", {}).items()}
    for told in case["told"]:
        assert set(told) <= _TOLD_WORDS, told
        for place in range(int(told.get("orders", 1))):
            _tell(days, told, clicks, place, number)
    return clicks


def code_periods(case: Mapping[str, Any], number: int = 0) -> list[CodePeriod]:
    """Return the codes of a case."""
    periods = []
    for told in case.get("codes", []):
        assert set(told) <= _CODE_WORDS, told
        bounds = {
            name: DAY_START_MS + milliseconds(told[word])
            for name, word in (("from_ms", "from"), ("to_ms", "to"))
            if word in told
        }
        campaign = f"cmp_{told['campaign']}" if "campaign" in told else ""
        periods.append(
            CodePeriod(code_key(f"{told['code']}~{number}"), f"crt_{told['creator']}~{number}", campaign, **bounds)
        )
    return periods


def conversions(days: Days) -> dict[str, dict[str, Any]]:
    """Return the conversions that are read, with their touches, by order id or, without one, by event id."""
    found = rows(
        days.store,
        """
        select * from conversions
        where organization_id = {organization_id:String} and (organization_id, toDate(occurred_at), run_id) in (
            select organization_id, day, max(run_id) from derived_order_days group by organization_id, day
        )
        """,
        organization_id=days.organization_id,
    )
    touches = rows(
        days.store,
        """
        select * from attributions
        where organization_id = {organization_id:String} and (organization_id, toDate(occurred_at), run_id) in (
            select organization_id, day, max(run_id) from derived_order_days group by organization_id, day
        )
        order by conversion_id, place
        """,
        organization_id=days.organization_id,
    )
    for row in found:
        row["touches"] = [touch for touch in touches if touch["conversion_id"] == row["conversion_id"]]
    keys = [row["order_id"] or str(row["event_id"]) for row in found]
    assert len(keys) == len(set(keys)), keys
    return dict(zip(keys, found, strict=True))


def _at_ms(told: Mapping[str, Any]) -> int:
    return clock_ms(told.get("at", "12:00")) + milliseconds(f"{told.get('day', 0)}d")


def _click(days: Days, told: Mapping[str, Any], number: int) -> str:
    assert set(told) <= _CLICK_WORDS, told
    creator, reasons = f"{told['creator']}~{number}", [TrafficReason(word) for word in told.get("reasons", [])]
    if not told.get("stored", True):
        return uuid7(DAY_START_MS + _at_ms(told))[1]
    written = [
        days.click(
            _at_ms(told) + place * milliseconds(told.get("every", "1s")),
            link_id=f"lnk_{creator}",
            creator_id=f"crt_{creator}",
            campaign_id=f"cmp_{told.get('campaign', 'spring')}",
            bot_reasons=[reason.value for reason in reasons],
            bot_score=score_of(reasons),
            is_test=bool(told.get("test")),
        )
        for place in range(int(told.get("clicks", 1)))
    ]
    return written[0]


def _tell(days: Days, told: Mapping[str, Any], clicks: Mapping[str, str], place: int, number: int) -> None:
    at_ms = _at_ms(told) + place * milliseconds(told.get("every", "1s"))
    fields: dict[str, Any] = {
        "trust_tier": told.get("tier", "server"),
        "is_test": bool(told.get("test")),
        "shop": told.get("shop", ""),
        **told.get("amounts", {}),
    }
    if "received" in told:
        received = {"at": told["received"], "day": told.get("received_day", told.get("day", 0))}
        fields["received_at"] = rfc3339(DAY_START_MS + _at_ms(received))
    if "revised" in told:
        fields["revised_at"] = rfc3339(DAY_START_MS + _at_ms({"at": told["revised"], "day": told.get("day", 0)}))
    if "paid" in told:
        fields["presentment_revenue_cents"], fields["presentment_currency"] = told["paid"].split()
        fields["presentment_revenue_cents"] = int(fields["presentment_revenue_cents"])
    if "click" in told:
        status = told.get("status", "valid")
        fields |= {"click_id": clicks[told["click"]], "click_id_status": status}
    if "id" in told:  # several rows of one event
        fields["event_id"] = str(UUID(int=(DAY_START_MS << 80) + number * 1000 + int(told["id"])))
    if "payment" in told:
        fields["payment_id"] = f"{told['payment']}~{number}"
    if "invoice" in told:
        days.event("payment", at_ms, order_id=f"{told['invoice']}~{number}", **fields)
        return
    words = (("customer_hash", "customer"), ("customer_hash", "identify"), ("email_hash", "email"))
    kept = {name: told[word] and f"{told[word]}~{number}" for name, word in words if word in told}
    if "identify" in told:
        days.event("identify", at_ms, kept=kept, **fields)
        return
    fields["currency"] = told.get("currency", "EUR")
    if "refund" in told:
        fields |= {"original_order_id": f"{told['refund']}~{number}", "refund_amount_cents": told["amount"]}
        days.event("refund", at_ms, reason=told.get("reason", ""), **fields)
        return
    days.event(
        "conversion",
        at_ms,
        order_id=f"{told['order']}{place if 'orders' in told else ''}~{number}",
        conversion_type=told.get("type", "purchase"),
        customer_type=told.get("customer_type", ""),
        is_renewal=bool(told.get("renewal")),
        revenue_cents=told.get("revenue"),
        coupon_codes=[f"{code}~{number}" for code in told.get("codes", [])],
        kept=kept or None,
        **fields,
    )


def conversion_told(row: Mapping[str, Any], expected: Mapping[str, Any], clicks: Mapping[str, str]) -> dict[str, Any]:
    """Return what a conversion says, in the words that the case uses."""
    assert set(expected) <= _CONVERSION_WORDS, expected
    names = {click: name for name, click in clicks.items()}
    said = {
        "by": row["found_by"],
        "creator": _bare(row["creator_id"].removeprefix("crt_")),
        "campaign": row["campaign_id"].removeprefix("cmp_"),
        "link": _bare(row["link_id"].removeprefix("lnk_")),
        "click": names.get(str(row["click_id"]), ""),
        "code": _bare(row["matched_code"]),
        "at": row["occurred_at"].strftime("%H:%M"),
        "day": (row["occurred_at"].date() - DAY).days,
        "revenue": row["revenue_cents"],
        "net": row["net_revenue_cents"],
        "refunded": row["refunded_cents"],
        "refunds": row["refunds"],
        "unconfirmed_refunds": row["unconfirmed_refunds"],
        "other_currency_refunds": row["other_currency_refunds"],
        "returned": dict(row["refunded_by_reason"]),
        "reasons": list(row["reasons"]),
        "evidence": dict(row["evidence"]),
        "candidates": [[each["found_by"], each["outcome"]] for each in row["candidates"]],
        "tier": row["trust_tier"],
        "found_tier": row["found_tier"],
        "is_cancelled": row["is_cancelled"],
        "events": row["events"],
        "test": row["is_test"],
        "renewal": row["is_renewal"],
        "type": row["conversion_type"],
        "customer_type": row["customer_type"],
        "currency": row["currency"],
        "codes": [_bare(code) for code in row["coupon_codes"]],
        "amounts": {name: row[name] for name in expected.get("amounts", {})},
        "base": row["commission_base_cents"],
        "net_base": row["net_base_micros"],
        "unattributed": row["unattributed_reason"],
        "billable": row["non_billable_reason"],
        "provisional": row["is_provisional"],
        "touches": [
            [each["found_by"], _bare(each["creator_id"].removeprefix("crt_")), each["outcome"], each["paid_credits"]]
            for each in row["touches"]
        ],
        "credits": {name: [each[f"{name}_credits"] for each in row["touches"]] for name in expected.get("credits", {})},
    }
    return {word: said[word] for word in expected}


def _bare(text: str) -> str:
    return text.partition("~")[0]
