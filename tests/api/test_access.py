"""Who is let in, and how everything else is refused."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from stackfluence.api import Core, create_api
from stackfluence.api.access import MAX_BODY, MAX_UPLOAD
from stackfluence.catalog import Catalog, open_catalog
from stackfluence.catalog.tables import Key
from stackfluence.click.click_id import ClickIdKeys
from stackfluence.errors import Conflict
from stackfluence.settings import Settings
from tests.api.brands import Brand, errors

AUTHORIZATIONS = ("", "Bearer", "Bearer  ", "Basic sf_sec_x", "Bearer sf_sec_unknown", "Bearer \xe9", "sf_sec_x")


async def test_without_a_known_key_nothing_is_told(nobody: httpx.AsyncClient) -> None:
    paths = ("/v1/links", "/v1/organization", "/v1/unheard-of")
    for path, authorization in itertools.product(paths, AUTHORIZATIONS):
        response = await nobody.get(path, headers=[(b"Authorization", authorization.encode("latin-1"))])
        assert response.status_code == 401
        assert response.json()["type"] == "/problems/unauthorized"
        assert response.headers["www-authenticate"].startswith("Bearer")
        assert errors(response) == {}


async def test_a_publishable_key_neither_reads_nor_manages(brand: Brand) -> None:
    headers = {"Authorization": f"bearer {brand.keys.publishable_key}"}
    for method, path in (("GET", "/v1/links"), ("POST", "/v1/creators"), ("GET", "/v1/organization")):
        response = await brand.request(method, path, headers=headers)
        assert response.status_code == 403
        assert response.json()["type"] == "/problems/forbidden"


async def test_a_key_is_refused_as_soon_as_it_is_revoked(brand: Brand) -> None:
    made = await brand.make("keys", kind="secret", name="nightly job")
    headers = {"Authorization": f"Bearer {made['key']}"}
    assert (await brand.get("/v1/keys", headers=headers)).status_code == 200
    assert (await brand.delete(f"/v1/keys/{made['id']}")).status_code == 204
    assert (await brand.get("/v1/keys", headers=headers)).status_code == 401


async def test_a_key_that_was_revoked_while_its_request_waited_changes_nothing(brand: Brand, catalog: Catalog) -> None:
    made = await brand.make("keys", kind="secret")
    headers = {"Authorization": f"Bearer {made['key']}"}
    async with catalog.writing("cli") as change:
        waiting = asyncio.create_task(brand.post("/v1/creators", json={"handle": "emma"}, headers=headers))
        await asyncio.sleep(0.1)
        await change.revoke_key(await change.session.get_one(Key, made["id"]))
    assert (await waiting).status_code == 401
    assert await brand.all("/v1/creators") == []


async def test_a_long_body_is_refused_before_it_is_read(brand: Brand) -> None:
    for path, most in (("/v1/creators", MAX_BODY), ("/v1/links/import", MAX_UPLOAD)):
        response = await brand.post(path, content=b"x" * (most + 1))
        assert response.status_code == 413
        assert errors(response) == {}


async def test_a_long_body_of_unknown_length_is_cut_off(brand: Brand) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 1 << 16
            yield b"x" * (1 << 16)

    response = await brand.post("/v1/creators", content=endless(), headers={"Content-Type": "application/json"})
    assert response.status_code == 413
    assert sent <= MAX_BODY + (2 << 16)


BODIES = [
    (b"{", 400),
    (b'{"handle": "\xff"}', 400),
    (b"[" * 100_000, 400),
    (b'{"handle": NaN}', 422),
    (b'{"handle": 1e999}', 422),
    (b'{"handle": "\\ud800"}', 422),
    (b'{"handle": "emma", "\\ud800": 1}', 422),
    (b'{"handle": "em\\u0000ma"}', 422),
    (b'{"handle": "emma", "unknown": 1}', 422),
    (b'{"handle": ["emma"]}', 422),
    (b'{"handle": "..."}', 422),
    (b"[]", 422),
    (b"null", 422),
    (b"", 422),
]


async def test_a_body_that_makes_no_sense_is_the_senders_fault(brand: Brand) -> None:
    for body, status in BODIES:
        response = await brand.post("/v1/creators", content=body, headers={"Content-Type": "application/json"})
        assert response.status_code == status, body[:100]
        assert bool(errors(response)) == (status == 422)


async def test_fields_that_are_wrong_are_named_one_by_one(brand: Brand) -> None:
    response = await brand.post("/v1/campaigns", json={"name": 5, "starts_at": 1795000000, "colour": "red"})
    assert set(errors(response)) == {"slug", "name", "starts_at", "colour"}
    response = await brand.post("/v1/links", json={"creator_handle": "emma", "destination_url": "ftp://x.example"})
    assert set(errors(response)) == {"campaign_slug"}
    response = await brand.get("/v1/links", params={"limit": 201, "colour": "red"})
    assert set(errors(response)) == {"limit", "colour"}


async def test_what_was_sent_is_not_repeated_in_a_refusal(brand: Brand) -> None:
    response = await brand.post("/v1/creators", json={"handle": "emma", "password": "sf_sec_leaked"})
    assert response.status_code == 422
    assert "sf_sec_leaked" not in response.text


async def test_unknown_paths_and_methods_are_problems_too(brand: Brand) -> None:
    missing = await brand.get("/v1/unheard-of")
    assert (missing.status_code, missing.json()["type"]) == (404, "/problems/not-found")
    wrong = await brand.put("/v1/links")
    assert (wrong.status_code, wrong.json()["type"]) == (405, "/problems/method-not-allowed")
    assert "GET" in wrong.headers["allow"]


async def test_every_problem_type_can_be_looked_up(nobody: httpx.AsyncClient) -> None:
    response = await nobody.get("/problems/conflict")
    assert response.status_code == 200
    assert (Conflict.__doc__ or "nothing") in response.text
    assert (await nobody.get("/problems/boredom")).status_code == 404


async def test_an_error_nobody_thought_of_is_logged_and_tells_nothing(
    api: FastAPI, brand: Brand, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail() -> None:
        raise ZeroDivisionError("the secret of life")

    api.add_api_route("/v1/fail", fail)
    with caplog.at_level(logging.ERROR):
        response = await brand.get("/v1/fail")
    assert response.status_code == 500
    assert response.json()["type"] == "/problems/unexpected"
    assert "secret" not in response.text
    assert "the secret of life" in caplog.text


async def test_a_catalog_that_is_away_is_a_503(tmp_path: Path) -> None:
    core_settings = Settings(data_dir=str(tmp_path))
    for url in (
        f"sqlite+aiosqlite:///{tmp_path}/gone/catalog.sqlite",
        "postgresql+asyncpg://postgres@127.0.0.1:9/gone",
    ):
        catalog = open_catalog(url)
        api = create_api(Core(core_settings, catalog, ClickIdKeys({1: b"x" * 32}, 720)))
        async with httpx.AsyncClient(transport=httpx.ASGITransport(api), base_url="https://x.example") as client:
            response = await client.get("/v1/links", headers={"Authorization": "Bearer sf_sec_x"})
        assert response.status_code == 503
        assert response.headers["retry-after"]
        assert errors(response) == {}
        await catalog.close()
