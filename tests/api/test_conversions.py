"""Each order once over the API, why it names whom it names, and the codes that nobody owns."""

from __future__ import annotations

from tests.api.brands import errors
from tests.api.ordered import Orders, listed


async def test_an_order_is_listed_once_with_what_it_comes_to(orders: Orders) -> None:
    link = await orders.journal.brand.link()
    click = orders.journal.event(
        link_id=link["id"], creator_id=link["creator_id"], campaign_id=link["campaign_id"], event_id=None
    )
    carried = {"click_id": click.event_id, "click_id_status": "valid", "link_id": link["id"]}
    orders.order("9007199254740993", 5000, shop="brand.example", trust_tier="browser", **carried)
    orders.order("9007199254740993", 4900, shop="brand.example", trust_tier="connector", tax_cents=782)
    orders.journal.event(
        "refund", original_order_id="9007199254740993", shop="brand.example", trust_tier="connector",
        refund_amount_cents=900, currency="EUR", reason="refund",
    )  # fmt: skip
    assert await listed(orders.journal.brand) == []
    await orders.derive()
    (told,) = await listed(orders.journal.brand)
    assert (told["order_id"], told["shop"], told["events"]) == ("9007199254740993", "brand.example", 2)
    assert (told["revenue_cents"], told["refunded_cents"], told["net_revenue_cents"]) == (4900, 900, 4000)
    assert (told["tax_cents"], told["shipping_cents"], told["refunded_by_reason"]) == (782, None, {"refund": 900})
    assert (told["found_by"], told["creator_id"], told["creator_handle"]) == ("click_id", link["creator_id"], "emma")
    assert (told["campaign_slug"], told["link_id"], told["click_id"]) == ("summer", link["id"], click.event_id)
    assert (told["trust_tier"], told["is_confirmed"], told["matched_code"]) == ("connector", True, None)
    assert "candidates" not in told
    again = {word: told[word] for word in told}
    explained = (await orders.journal.brand.get(f"/v1/conversions/{told['conversion_id']}")).json()
    assert {word: explained[word] for word in again} == again
    (candidate,) = explained["candidates"]
    assert (candidate["outcome"], candidate["creator_handle"], candidate["trust_tier"]) == ("named", "emma", "browser")
    assert candidate["clicked_at"] == click.occurred_at
    assert (explained["derived"]["run_id"], explained["derived"]["as_of"]) == (1, 1)


async def test_a_code_names_its_creator_and_one_that_nobody_owns_is_listed(orders: Orders) -> None:
    brand = orders.journal.brand
    await brand.make("codes", code="EMMA10", creator_handle="emma")
    orders.order("A1", coupon_codes=["emma10"])
    orders.order("A2", 1000, coupon_codes=["LENA10"])
    orders.order("A3", 2000, coupon_codes=["lena10"], currency="USD")
    orders.order("A4", 500, coupon_codes=["lena10", "EMMA10"])
    orders.order("A5", coupon_codes=["WELCOME"], is_test=True)
    await orders.derive()
    by_code = await listed(brand, found_by="code")
    assert {(each["order_id"], each["creator_handle"], each["matched_code"]) for each in by_code} == {
        ("A1", "emma", "emma10"), ("A4", "emma", "EMMA10"),
    }  # fmt: skip
    (code,) = await listed(brand, "/v1/codes/unclaimed")
    assert (code["code"], code["orders"], code["unnamed_orders"]) == ("LENA10", 3, 2)
    assert code["revenue_cents"] == {"EUR": 1500, "USD": 2000}
    assert [each["code"] for each in await listed(brand, "/v1/codes/unclaimed", is_test=True)] == ["WELCOME"]
    await brand.make("codes", code="lena10", creator_handle="lena")
    assert await listed(brand, "/v1/codes/unclaimed") == [], "it was given to somebody, though no run knows it yet"
    assert len(await listed(brand, found_by="none")) == 3
    await orders.derive()
    assert {each["order_id"] for each in await listed(brand, found_by="code")} == {"A1", "A2", "A3", "A4"}


async def test_parts_of_a_list_are_of_one_moment(orders: Orders) -> None:
    for place in range(7):
        orders.order(f"A{place}", coupon_codes=[f"CODE{place % 3}"])
    await orders.derive()
    brand = orders.journal.brand
    first = (await brand.get("/v1/conversions", params={"limit": 3})).json()
    orders.order("B1")
    await orders.derive()
    found, cursor = list(first["items"]), first["next_cursor"]
    while cursor:
        page = (await brand.get("/v1/conversions", params={"limit": 3, "cursor": cursor})).json()
        found, cursor = found + page["items"], page["next_cursor"]
    assert [each["order_id"] for each in found] == [f"A{place}" for place in range(6, -1, -1)]
    assert len(await listed(brand)) == 8
    codes = await brand.all("/v1/codes/unclaimed", limit=1)
    assert [(each["code"], each["orders"]) for each in codes] == [("CODE0", 3), ("CODE1", 2), ("CODE2", 2)]


async def test_filters_find_an_order_and_refuse_what_makes_no_sense(orders: Orders) -> None:
    orders.order("A1", shop="one.example")
    orders.order("A1", shop="two.example", is_test=True)
    await orders.derive()
    brand = orders.journal.brand
    assert len(await listed(brand, order_id="A1")) == 2
    assert len({each["conversion_id"] for each in await listed(brand)}) == 2
    assert [each["shop"] for each in await listed(brand, shop="two.example")] == ["two.example"]
    assert [each["shop"] for each in await listed(brand, is_test=False)] == ["one.example"]
    assert await listed(brand, **{"from": "2026-11-23"}) == []
    assert len(await listed(brand, **{"from": "2026-11-22", "to": "2026-11-23"})) == 2
    assert await listed(brand, creator_id="crt_0000000001") == []
    for path, query, field in (
        ("/v1/conversions", {"found_by": "magic"}, "found_by"),
        ("/v1/conversions", {"cursor": "bm90"}, "cursor"),
        ("/v1/conversions", {"cursor": "WzEsLTEsIngiXQ"}, "cursor"),
        ("/v1/conversions", {"from": "soon"}, "from"),
        ("/v1/codes/unclaimed", {"cursor": "WzEsMSwxXQ"}, "cursor"),
        ("/v1/codes/unclaimed", {"creator_id": "crt_0000000001"}, "creator_id"),
    ):
        response = await brand.get(path, params=query)
        assert (response.status_code, set(errors(response))) == (422, {field}), (path, query)
    for missing in ("01a20320-a27b-7abc-8def-0123456789ab", "A1"):
        assert (await brand.get(f"/v1/conversions/{missing}")).status_code == 404


async def test_nobody_sees_anothers_orders(orders: Orders) -> None:
    orders.order("A1", coupon_codes=["EMMA10"])
    await orders.derive()
    await orders.derive(orders.journal.other)
    (mine,) = await listed(orders.journal.brand)
    assert await listed(orders.journal.other) == []
    assert await listed(orders.journal.other, "/v1/codes/unclaimed") == []
    assert (await orders.journal.other.get(f"/v1/conversions/{mine['conversion_id']}")).status_code == 404
