"""How many requests a key may make, and what answers say of it."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from stackfluence.api import Core, create_api, rates
from stackfluence.api.rates import Rates
from stackfluence.catalog import Catalog, open_catalog
from stackfluence.click.click_id import ClickIdKeys
from stackfluence.errors import SettingsError
from stackfluence.operations.site import Site
from stackfluence.operations.watch import watch
from stackfluence.settings import Settings
from tests.api.brands import SECRET, Brand, add_brand
from tests.redis_server import RedisServer

MOST = 5
DAY = 86_400  # in memory, windows begin with the clock's minutes: a test must not run over the end of one
Serve = Callable[..., FastAPI]


@pytest.fixture
async def catalog(sqlite_url: str) -> AsyncIterator[Catalog]:
    """Open a catalog; which database it is in changes nothing here."""
    opened = open_catalog(sqlite_url)
    yield opened
    await opened.close()


@pytest.fixture
async def serve(catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Serve]:
    """Make APIs over one catalog that let a key make MOST requests."""
    monkeypatch.setattr(rates, "WINDOW_SECONDS", DAY)
    made = []

    def create(redis_url: str = "") -> FastAPI:
        settings = Settings(data_dir=str(tmp_path), api_rate=str(MOST), redis_url=redis_url)
        made.append(create_api(Core(settings, catalog, ClickIdKeys({1: SECRET}, 720))))
        return made[-1]

    yield create
    for api in made:
        await api.state.rates.close()


def left(response: httpx.Response) -> int:
    """Return what an answer says is left, having checked the form of its fields."""
    assert response.headers["ratelimit-policy"] == f'"default";q={MOST};w={DAY}'
    told = re.fullmatch(r'"default";r=(\d+);t=(\d+)', response.headers["ratelimit"])
    assert told
    assert 1 <= int(told[2]) <= DAY
    return int(told[1])


async def until_refused(client: Brand, path: str = "/v1/organization") -> list[httpx.Response]:
    """Ask until the key may not; return all answers."""
    answers = [await client.get(path)]
    while answers[-1].status_code != 429:
        assert len(answers) <= 2 * MOST
        answers.append(await client.get(path))
    return answers


@pytest.fixture(params=["memory", "redis"])
def redis_url(request: pytest.FixtureRequest) -> str:
    """Return the address of where is counted, which is empty for this process."""
    if request.param == "memory":
        return ""
    server: RedisServer = request.getfixturevalue("redis")
    return server.url


async def test_a_key_is_told_what_is_left_and_refused_when_nothing_is(
    serve: Serve, catalog: Catalog, redis_url: str
) -> None:
    api = serve(redis_url)
    async with await add_brand(api, catalog, "Brand") as brand:
        *answered, refused = await until_refused(brand)
        assert [answer.status_code for answer in answered] == [200] * MOST
        assert [left(answer) for answer in answered] == list(range(MOST - 1, -1, -1))
        assert refused.headers["content-type"] == "application/problem+json"
        assert refused.json()["type"] == "/problems/too-many-requests"
        assert left(refused) == 0
        assert refused.headers["ratelimit"].endswith(f";t={refused.headers['retry-after']}")
        assert all("retry-after" not in answer.headers for answer in answered)
        assert api.state.rates.failures == 0


async def test_after_the_time_that_was_told_a_request_is_answered(redis_url: str) -> None:
    limit = Rates(2, redis_url, window_seconds=1)
    try:
        for _ in range(20):
            told = await limit.count("key_1")
            if "Retry-After" in told:
                break
        assert told["Retry-After"] == "1"
        await asyncio.sleep(1)
        assert "Retry-After" not in await limit.count("key_1")
    finally:
        await limit.close()


async def test_a_key_may_make_six_hundred_requests_a_minute_unless_it_is_set() -> None:
    told = await Rates(Settings().requests_a_minute).count("key_1")
    assert told["RateLimit-Policy"] == '"default";q=600;w=60'
    assert told["RateLimit"].startswith('"default";r=599;t=')


async def test_each_key_has_its_own_also_of_one_organization(serve: Serve, catalog: Catalog) -> None:
    api = serve()
    async with await add_brand(api, catalog, "Brand") as brand, await add_brand(api, catalog, "Other") as other:
        second = await brand.make("keys", kind="secret", name="nightly job")
        await until_refused(brand)
        headers = {"Authorization": f"Bearer {second['key']}"}
        assert left(await brand.get("/v1/organization", headers=headers)) == MOST - 1
        assert left(await other.get("/v1/organization")) == MOST - 1


async def test_what_is_refused_for_another_reason_counts_and_tells_the_same(serve: Serve, catalog: Catalog) -> None:
    async with await add_brand(serve(), catalog, "Brand") as brand:
        answers = [
            await brand.get("/v1/unheard-of"),
            await brand.post("/v1/creators", json={"unknown": 1}),
            await brand.post("/v1/creators", content=b"x" * (1 << 20) + b"x"),
            await brand.get("/v1/events"),
        ]
        assert [answer.status_code for answer in answers] == [404, 422, 413, 503]
        assert [left(answer) for answer in answers] == [MOST - 1, MOST - 2, MOST - 3, MOST - 4]
        assert answers[3].headers.get_list("retry-after") == ["2"]


async def test_who_brings_no_key_is_neither_counted_nor_told(serve: Serve, catalog: Catalog) -> None:
    async with await add_brand(serve(), catalog, "Brand") as brand:
        for _ in range(2 * MOST):
            unknown = await brand.get("/v1/links", headers={"Authorization": "Bearer sf_sec_unknown"})
            assert (unknown.status_code, "ratelimit" in unknown.headers) == (401, False)
            publishable = {"Authorization": f"Bearer {brand.keys.publishable_key}"}
            assert (await brand.get("/v1/links", headers=publishable)).status_code == 403
            assert "ratelimit" not in (await brand.get("/problems/too-many-requests")).headers
        assert left(await brand.get("/v1/organization")) == MOST - 1


async def test_a_refused_request_changes_nothing(serve: Serve, catalog: Catalog) -> None:
    api = serve()
    async with await add_brand(api, catalog, "Brand") as brand:
        await until_refused(brand)
        assert (await brand.post("/v1/creators", json={"handle": "emma"})).status_code == 429
        second = serve()
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(second), base_url="https://api.brand.example", headers=brand.headers
        ) as again:
            assert (await again.get("/v1/creators")).json()["items"] == []


async def test_with_redis_all_cores_count_together(serve: Serve, catalog: Catalog, redis: RedisServer) -> None:
    first, second = serve(redis.url), serve(redis.url)
    async with await add_brand(first, catalog, "Brand") as brand:
        await until_refused(brand)
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(second), base_url="https://api.brand.example", headers=brand.headers
        ) as again:
            assert (await again.get("/v1/creators")).status_code == 429


async def test_while_redis_is_away_a_core_counts_alone_and_says_so_once(
    serve: Serve,
    catalog: Catalog,
    redis: RedisServer,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    caplog.set_level(logging.INFO, rates.__name__)
    monkeypatch.setattr(rates, "PAUSE_SECONDS", 0.0)
    api = serve(redis.url)
    async with await add_brand(api, catalog, "Brand") as brand:
        assert left(await brand.get("/v1/organization")) == MOST - 1
        redis.kill()
        *answered, refused = await until_refused(brand)
        assert [answer.status_code for answer in answered] == [200] * MOST
        assert left(refused) == 0
        assert api.state.rates.failures == MOST + 1
        redis.start()
        assert left(await brand.get("/v1/organization")) == MOST - 1
    assert [record.message for record in caplog.records if record.name == rates.__name__] == [
        "redis_away",
        "redis_back",
    ]


async def test_a_redis_that_was_restarted_is_asked_at_once(
    serve: Serve, catalog: Catalog, redis: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, rates.__name__)
    api = serve(redis.url)
    async with await add_brand(api, catalog, "Brand") as brand:
        await asyncio.gather(*(brand.get("/v1/organization") for _ in range(MOST - 1)))  # a connection each
        redis.kill()
        redis.start()
        began = time.monotonic()
        answers = [await brand.get("/v1/organization") for _ in range(MOST)]
        assert time.monotonic() - began < rates.PAUSE_SECONDS
        assert [left(answer) for answer in answers] == list(range(MOST - 1, -1, -1)), "counted by the new one"
        assert (api.state.rates.failures, api.state.rates.is_away) == (0, False)
    assert [record.message for record in caplog.records if record.name == rates.__name__] == []


async def test_requests_that_fail_together_say_so_once_and_wait_for_nobody(
    serve: Serve, catalog: Catalog, redis: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, rates.__name__)
    limit = serve(redis.url).state.rates
    await asyncio.gather(*(limit.count("key_1") for _ in range(MOST)))
    redis.pause()
    began = time.monotonic()
    await asyncio.gather(*(limit.count("key_1") for _ in range(MOST)))
    assert time.monotonic() - began < 15 * rates.PATIENCE_SECONDS
    assert (limit.failures, limit.is_away) == (MOST, True)
    redis.kill()
    await asyncio.gather(*(limit.count("key_1") for _ in range(MOST)))
    assert limit.failures == MOST, "nobody asks during the pause"
    assert [record.message for record in caplog.records if record.name == rates.__name__] == ["redis_away"]


async def test_after_the_pause_one_request_finds_out_for_all(
    serve: Serve, redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rates, "PAUSE_SECONDS", 0.3)
    limit = serve(redis.url).state.rates
    await limit.count("key_1")
    redis.pause()
    await limit.count("key_1")
    await asyncio.sleep(0.35)
    await asyncio.gather(*(limit.count("key_1") for _ in range(MOST)))
    assert limit.failures == 2
    redis.kill()
    redis.start()
    await asyncio.sleep(0.35)
    assert (await limit.count("key_1"))["RateLimit"].startswith(f'"default";r={MOST - 1};')
    assert not limit.is_away


async def test_operators_see_how_often_redis_could_not_be_asked(
    serve: Serve, catalog: Catalog, redis: RedisServer, tmp_path: Path
) -> None:
    api = serve(redis.url)
    site = Site(Settings(data_dir=str(tmp_path)), catalog, None, rates=api.state.rates)
    watching = FastAPI(openapi_url=None)
    watch(watching, site)

    async def metrics() -> dict[str, str]:
        transport = httpx.ASGITransport(watching)
        async with httpx.AsyncClient(transport=transport, base_url="http://core") as operator:
            return dict(line.split(" ") for line in (await operator.get("/metrics")).text.splitlines())

    names = ("stackfluence_api_rates_failures_total", "stackfluence_api_rates_is_alone")
    assert [(await metrics())[name] for name in names] == ["0", "0"]
    redis.kill()
    await api.state.rates.count("key_1")
    assert [(await metrics())[name] for name in names] == ["1", "1"]


async def test_redis_that_hangs_is_left_alone_for_a_while(serve: Serve, catalog: Catalog, redis: RedisServer) -> None:
    api = serve(redis.url)
    async with await add_brand(api, catalog, "Brand") as brand:
        await brand.get("/v1/organization")
        redis.pause()
        answers = [await brand.get("/v1/organization") for _ in range(MOST)]
        assert [answer.status_code for answer in answers] == [200] * MOST
        assert api.state.rates.failures == 1


@pytest.mark.parametrize("address", ["redis.brand.example:6379", "http://redis.brand.example"])
def test_an_address_that_is_no_redis_is_refused(address: str) -> None:
    settings = Settings(redis_url=address, click_id_secret="1:q9Zr4T-vN2kLw8Xc5Jb7Hs3Ga6Yd1Fm0Pe")
    with pytest.raises(SettingsError, match="SF_REDIS_URL"):
        settings.check()


@pytest.mark.parametrize("rate", ["0", "-1", "many", "1000001"])
def test_a_rate_that_makes_no_sense_is_refused(rate: str) -> None:
    with pytest.raises(SettingsError, match="SF_API_RATE"):
        _ = Settings(api_rate=rate).requests_a_minute
