"""The same request with the same key is done once, for ever, however often and however parallel it comes."""

from __future__ import annotations

import asyncio

from sqlalchemy import select

from stackfluence.catalog import Catalog
from stackfluence.catalog.books import IdempotencyKey
from tests.api.brands import SHOP, Brand, errors

LINK = {"creator_handle": "emma", "campaign_slug": "summer", "destination_url": SHOP}


async def test_a_repeated_request_gets_the_first_answer_and_does_nothing(brand: Brand) -> None:
    headers = {"Idempotency-Key": "order-1/attempt"}
    first = await brand.post("/v1/links", json=LINK, headers=headers)
    assert first.status_code == 201
    assert "idempotent-replay" not in first.headers
    await brand.patch(f"/v1/links/{first.json()['id']}", json={"status": "paused"})
    again = await brand.post("/v1/links", json=LINK, headers=headers)
    assert (again.status_code, again.content) == (201, first.content)
    assert again.headers["idempotent-replay"] == "true"
    assert again.headers["content-type"] == first.headers["content-type"]
    assert len(await brand.all("/v1/links")) == 1


async def test_another_request_under_the_same_key_is_refused(brand: Brand, other: Brand) -> None:
    headers = {"Idempotency-Key": "k"}
    await brand.post("/v1/creators", json={"handle": "emma"}, headers=headers)
    for path, body in (
        ("/v1/creators", {"handle": "noah"}),
        ("/v1/creators?x=1", {"handle": "emma"}),
        ("/v1/hosts", {"hostname": "go.brand.example"}),
        ("/v1/links/bulk", {"links": [LINK]}),
    ):
        response = await brand.post(path, json=body, headers=headers)
        assert (response.status_code, errors(response)) == (409, {})
    assert (await other.post("/v1/creators", json={"handle": "noah"}, headers=headers)).status_code == 201


async def test_a_request_that_failed_may_be_tried_again_under_its_key(brand: Brand) -> None:
    headers = {"Idempotency-Key": "k"}
    body = {"hostname": "go.brand.example"}
    blocking = await brand.make("hosts", hostname="go.brand.example")
    assert (await brand.post("/v1/hosts", json=body, headers=headers)).status_code == 409
    await brand.delete(f"/v1/hosts/{blocking['id']}")
    assert (await brand.post("/v1/hosts", json=body, headers=headers)).status_code == 201


async def test_parallel_repetitions_make_one_thing_and_get_one_answer(brand: Brand) -> None:
    headers = {"Idempotency-Key": "k"}
    for path, body, collection in (
        ("/v1/links", LINK, "/v1/links"),
        ("/v1/links/bulk", {"links": [LINK | {"asset_slug": f"a{n}"} for n in range(1100)]}, "/v1/links"),
        ("/v1/keys", {"kind": "secret"}, "/v1/keys"),
    ):
        before = len(await brand.all(collection))
        headers = {"Idempotency-Key": path}
        answers = await asyncio.gather(*(brand.post(path, json=body, headers=headers) for _ in range(4)))
        assert {answer.status_code for answer in answers} <= {200, 201}
        replays = [answer for answer in answers if "idempotent-replay" in answer.headers]
        assert len(replays) == 3
        if path != "/v1/keys":
            assert len({answer.content for answer in answers}) == 1
        made = 1100 if "bulk" in path else 1
        assert len(await brand.all(collection, limit=200)) == before + made


async def test_a_secret_is_never_kept_in_the_answer(brand: Brand, catalog: Catalog) -> None:
    headers = {"Idempotency-Key": "k"}
    first = (await brand.post("/v1/keys", json={"kind": "secret"}, headers=headers)).json()
    again = (await brand.post("/v1/keys", json={"kind": "secret"}, headers=headers)).json()
    assert again == first | {"key": None}
    headers = {"Idempotency-Key": "v"}
    told = (await brand.post("/v1/organization/click-id-verification-key", headers=headers)).json()
    assert (await brand.post("/v1/organization/click-id-verification-key", headers=headers)).json()["keys"] is None
    async with catalog.reading() as session:
        kept = b"".join(await session.scalars(select(IdempotencyKey.body)))
    assert first["key"].encode() not in kept
    assert told["keys"]["1"].encode() not in kept


async def test_a_key_is_short_and_visible(brand: Brand) -> None:
    for key in ("", "a b", "x" * 256, "é"):
        response = await brand.post(
            "/v1/creators", json={"handle": "emma"}, headers=[(b"Idempotency-Key", key.encode())]
        )
        assert response.status_code == 422
        assert set(errors(response)) == {"Idempotency-Key"}
    assert await brand.all("/v1/creators") == []
