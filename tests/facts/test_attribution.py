"""Who is paid for an order under policies of one's own, and that nobody is for what they bought themselves."""

from __future__ import annotations

from typing import Any

from stackfluence.facts import CodeBook, OwnCustomerPeriod, PolicyBook, PolicyPeriod, Terms, derive_orders
from tests.facts.days import DAY, DAY_START_MS, Days
from tests.facts.order_cases import conversions

HOUR_MS = 3_600_000
SALE = {"conversion_type": "purchase", "revenue_cents": 4900, "currency": "EUR", "trust_tier": "server"}


def carried(click_id: str) -> dict[str, str]:
    return {"click_id": click_id, "click_id_status": "valid"}


def paid(order: dict[str, Any]) -> list[tuple[str, str, int]]:
    return [(touch["creator_id"], touch["outcome"], touch["paid_credits"]) for touch in order["touches"]]


def test_a_policy_decides_orders_from_its_first_millisecond_on(days: Days) -> None:
    click = {creator: days.click(hour * HOUR_MS, creator_id=creator) for hour, creator in ((1, "emma"), (2, "lena"))}
    noon = 12 * HOUR_MS
    for name, at_ms in (("before", noon - 1), ("after", noon)):
        kept = {"kept": {"customer_hash": name}}
        days.event("identify", 3 * HOUR_MS, trust_tier="server", **carried(click["emma"]), **kept)
        days.event("conversion", at_ms, order_id=name, **SALE, **kept, **carried(click["lena"]))
    days.event("conversion", noon, order_id="page", **{**SALE, "trust_tier": "browser"}, **carried(click["lena"]))
    days.event("conversion", noon, order_id="page", **SALE)
    days.event("conversion", noon, order_id="early clock", received_at="2026-11-22T11:00:00.000Z", **SALE)
    days.event(
        "conversion", noon, order_id="connector", **{**SALE, "trust_tier": "connector"}, **carried(click["lena"])
    )
    days.load()
    strict = PolicyPeriod(
        DAY_START_MS + noon,
        2,
        attribution_model="linear",
        touch_tiers=("server", "connector"),
        conversion_tiers=("server",),
    )
    policies = PolicyBook([PolicyPeriod(), strict])
    derive_orders(days.store, days.run(), [DAY], Terms(CodeBook(), policies))
    found = conversions(days)
    assert paid(found["before"]) == [("lena", "paid", 1_000_000), ("emma", "eligible", 0)]
    assert paid(found["after"]) == [("lena", "paid", 500_000), ("emma", "paid", 500_000)]
    assert paid(found["page"]) == [("lena", "unconfirmed_touch", 0)]
    assert (found["page"]["unattributed_reason"], found["page"]["non_billable_reason"]) == (
        "unconfirmed_touch",
        "unattributed",
    )
    assert found["connector"]["non_billable_reason"] == "unconfirmed"
    versions = {name: order["policy_version"] for name, order in found.items()}
    assert versions == {"before": 1, "after": 2, "page": 2, "early clock": 1, "connector": 2}


def test_nobody_is_paid_for_what_they_bought_themselves(days: Days) -> None:
    emmas, lenas = days.click(1 * HOUR_MS, creator_id="emma"), days.click(2 * HOUR_MS, creator_id="lena")
    own = {"kept": {"customer_hash": "emma at home"}}
    days.event("identify", 1 * HOUR_MS, trust_tier="server", **carried(lenas), **own)
    days.event("conversion", 9 * HOUR_MS, order_id="before", **SALE, **own, **carried(emmas))
    days.event("conversion", 10 * HOUR_MS, order_id="own", **SALE, **carried(emmas), kept={"email_hash": "emma's mail"})
    days.event("conversion", 10 * HOUR_MS, order_id="others", **SALE, **carried(emmas), kept={"customer_hash": "noa"})
    days.event("conversion", 11 * HOUR_MS, order_id="both", **SALE, **own, **carried(emmas))
    days.event("conversion", 13 * HOUR_MS, order_id="later", **SALE, **own, **carried(emmas))
    days.load()
    span = (DAY_START_MS + 10 * HOUR_MS, DAY_START_MS + 13 * HOUR_MS)
    terms = Terms(own_customers=[OwnCustomerPeriod("emma", name, *span) for name in ("emma at home", "emma's mail")])
    derive_orders(days.store, days.run(), [DAY], terms)
    found = conversions(days)
    assert paid(found["own"]) == [("emma", "self_purchase", 0)]
    assert (found["own"]["unattributed_reason"], found["own"]["non_billable_reason"]) == (
        "self_purchase",
        "unattributed",
    )
    assert paid(found["both"]) == [("lena", "paid", 1_000_000), ("emma", "self_purchase", 0)]
    for name in ("before", "others", "later"):
        assert ("emma", "self_purchase", 0) not in paid(found[name]), name
    first = derive_orders(days.store, days.run(), [DAY], terms)
    again = derive_orders(days.store, days.run(), [DAY], Terms())
    assert again.facts_hash == first.facts_hash, "what was found stays, as it does when the person is erased"
