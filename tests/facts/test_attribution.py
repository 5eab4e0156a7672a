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


def test_a_click_without_a_verdict_is_judged_by_its_stamp_under_the_policy_at_the_click(days: Days) -> None:
    stamps = {
        "ignored": ["no_accept_language"],  # 60 points that weigh nothing
        "less": ["listed_pattern", "no_accept_language"],  # 120 less 60
        "general": ["declared_bot"],  # givt, which is taken
        "sophisticated": ["impossible_user_agent"],
    }
    for hour, (name, reasons) in enumerate(stamps.items()):
        click = days.click(hour * HOUR_MS, creator_id="emma", bot_reasons=reasons, bot_score=100)
        days.event("conversion", 12 * HOUR_MS, order_id=name, **SALE, **carried(click))
    days.load()
    policy = PolicyPeriod(flagged_from=61, ignored_reasons=("no_accept_language",), excluded_classes=("sivt",))
    derive_orders(days.store, days.run(), [DAY], Terms(policies=PolicyBook([policy])))
    (touches,) = zip(*(order["touches"] for order in conversions(days).values()), strict=True)
    assert all(touch["is_provisional"] for touch in touches)
    assert {name: order["touches"][0]["invalid_reason"] for name, order in conversions(days).items()} == {
        "ignored": "",
        "less": "",
        "general": "",
        "sophisticated": "impossible_user_agent",
    }


def test_an_order_needs_the_word_of_one_of_those_whom_the_policy_takes(days: Days) -> None:
    click = days.click(1 * HOUR_MS, creator_id="emma")
    for name, tiers in (("both", ("connector", "server")), ("server", ("server",)), ("connector", ("connector",))):
        for tier in tiers:
            told = {**SALE, "trust_tier": tier, **carried(click)}
            days.event("conversion", 12 * HOUR_MS, order_id=name, **told)
    days.load()
    policies = PolicyBook([PolicyPeriod(conversion_tiers=("connector",))])
    derive_orders(days.store, days.run(), [DAY], Terms(policies=policies))
    billable = {name: order["non_billable_reason"] for name, order in conversions(days).items()}
    assert billable == {"both": "", "server": "unconfirmed", "connector": ""}
