"""The OpenAPI document says what is true: whatever is sent, answers have a documented status, type and schema."""

from __future__ import annotations

import asyncio
import re
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import schemathesis
import uvicorn
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from stackfluence.api import Core, create_api
from stackfluence.api.problems import all_problems
from stackfluence.catalog import NewOrganization, open_catalog
from stackfluence.click.click_id import ClickIdKeys
from stackfluence.events.store import Store
from stackfluence.facts.derive import create_tables
from stackfluence.settings import Settings
from tests.api.brands import SECRET, SETTINGS, Brand

ROOT = Path(__file__).parents[2]
SECONDS = 20.0  # about; after it, each operation is still sent a few
EXAMPLES = 10
FEWEST = 3
REFUSAL = re.compile(r"(?:refuse|end)\(\s*(?:request,\s*)?(\d{3}),\s*\"([a-z-]+)\"")
CHECKS: list[Any] = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


class Served:
    """An API behind a real HTTP server, on an event loop of its own."""

    def __init__(self, url: str, directory: Path, store: Store) -> None:
        self._catalog_url = url
        self._directory = directory
        self._store = store
        self._socket = socket.socket()
        self._socket.bind(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self.keys: NewOrganization | None = None
        self.server: uvicorn.Server | None = None
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))

    async def _serve(self) -> None:
        catalog = open_catalog(self._catalog_url)
        async with catalog.writing("cli") as change:
            self.keys = await change.add_organization("Brand", "EUR", "Europe/Berlin")
        settings = Settings(data_dir=str(self._directory), api_rate="1000000", **SETTINGS)  # all is sent with one key
        api = create_api(Core(settings, catalog, ClickIdKeys({1: SECRET}, 720), self._store))
        self.server = uvicorn.Server(uvicorn.Config(api, log_config=None, lifespan="off"))
        await self.server.serve(sockets=[self._socket])
        await catalog.close()

    def __enter__(self) -> Served:
        self._thread.start()
        while self.server is None or not self.server.started:
            assert self._thread.is_alive()
            time.sleep(0.01)
        return self

    def __exit__(self, *_exception: object) -> None:
        assert self.server
        self.server.should_exit = True
        self._thread.join()
        self._socket.close()


@pytest.fixture
def served(sqlite_url: str, tmp_path: Path, store: Store) -> Iterator[Served]:
    """Serve the API over a fresh SQLite catalog and event store on a free port."""
    create_tables(store)
    with Served(sqlite_url, tmp_path, store) as server:
        yield server


def probe(operation: Any, client: requests.Session, until: float) -> int:
    """Send an operation whatever its schema allows and forbids, and return how often."""
    calls = 0

    cases = given(case=st.one_of(*(operation.as_strategy(generation_mode=mode) for mode in GenerationMode)))

    def call(case: Any) -> None:
        nonlocal calls
        response = case.call(session=client, timeout=10)
        case.validate_response(response, checks=CHECKS)
        calls += 1

    began = time.monotonic()
    given_examples(FEWEST)(cases(call))()
    now = time.monotonic()
    more = int((until - now) / (now - began) * FEWEST)  # making up an example that isn't sent takes as long as sending
    if more > 0:
        given_examples(min(more, EXAMPLES - FEWEST))(cases(call))()
    return calls


def given_examples(count: int) -> settings:
    """Return Hypothesis's settings for so many examples."""
    return settings(
        max_examples=count,
        deadline=None,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )


@pytest.mark.filterwarnings("ignore")  # of the generator's own libraries
def test_whatever_is_sent_is_answered_as_documented(served: Served) -> None:
    assert served.keys
    headers = {"Authorization": f"Bearer {served.keys.secret_key}"}
    with requests.Session() as client:
        client.headers.update(headers)
        links = [
            {"creator_handle": "emma", "campaign_slug": f"c{n}", "destination_url": "https://x.example"}
            for n in range(3)
        ]
        assert client.post(f"{served.address}/v1/links/bulk", json={"links": links}).status_code == 200
        schema = schemathesis.openapi.from_url(f"{served.address}/openapi.json", headers=headers)
        operations = [found.ok() for found in schema.get_all_operations() if isinstance(found, Ok)]
        operations = [operation for operation in operations if operation.path != "/v1/events/stream"]  # it has no end
        assert len(operations) >= 30
        calls = 0
        deadline = time.monotonic() + SECONDS
        for number, operation in enumerate(operations):
            share = (deadline - time.monotonic()) / (len(operations) - number)
            calls += probe(operation, client, time.monotonic() + share)
        assert calls >= len(operations) * FEWEST


async def test_every_operation_names_itself_its_purpose_and_its_refusals(brand: Brand) -> None:
    document = (await brand.get("/openapi.json")).json()
    names = []
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            names.append(operation["operationId"])
            where = f"{method} {path}"
            assert operation["summary"], where
            assert operation["description"], where
            assert operation["security"], where
            assert {"401", "403", "413", "422", "429", "500", "503"} <= operation["responses"].keys(), where
            assert ("404" in operation["responses"]) == ("_id}" in path), where
            assert ("409" in operation["responses"]) >= (method == "post"), where
            for status, response in operation["responses"].items():
                assert ("application/problem+json" in response.get("content", {})) == (status >= "400"), where
    assert len(names) == len(set(names))
    assert document["components"]["securitySchemes"]["secret_key"]["scheme"] == "bearer"
    references = set(re.findall(r"#/components/schemas/(\w+)", str(document)))
    assert references <= document["components"]["schemas"].keys()


def test_the_page_on_http_explains_every_problem_and_no_other() -> None:
    page = (ROOT / "docs" / "http.md").read_text()
    section = page.partition("\n## Problems\n")[2].partition("\n## ")[0]
    explained = dict(re.findall(r"^### ([a-z-]+)\n\n(\d{3}) ", section, re.MULTILINE))
    known = {problem.type: str(problem.status) for problem in all_problems()}
    source = ROOT / "src" / "stackfluence"
    edge = "".join(
        path.read_text() for folder in ("click", "collect") for path in sorted((source / folder).glob("*.py"))
    )
    told_by_edge = {kind: status for status, kind in re.findall(REFUSAL, edge)}
    assert explained == told_by_edge | known


def test_the_page_on_http_names_every_route() -> None:
    page = (ROOT / "docs" / "http.md").read_text()
    nothing: Any = None  # is asked of it
    api = create_api(Core(Settings(), nothing, nothing))
    routes = {f"{method.upper()} {path}" for path, methods in api.openapi()["paths"].items() for method in methods}
    assert {route for route in routes if f"`{route}`" not in page} == set()
