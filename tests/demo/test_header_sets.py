"""The header sets: complete, said to be what they are, and sent in their own order and case."""

from __future__ import annotations

import asyncio
import gzip
import json
import re
from pathlib import Path
from random import Random
from typing import Any

import pytest

from stackfluence.demo import header_sets
from stackfluence.demo.header_sets import HeaderSet, HeaderSets, Kind, fill
from stackfluence.demo.visitor import Traffic, Visitor
from stackfluence.demo.wire import Address
from stackfluence.errors import SettingsError
from tests.demo.recording import Recorded, record, response
from tests.demo.samples import SAMPLE

DOCUMENT: dict[str, Any] = json.loads(Path(header_sets.__file__).with_name("headers.json").read_bytes())
VISITS: dict[str, dict[str, Any]] = DOCUMENT["visits"]
FORMS = [(engine, form) for engine, forms in DOCUMENT["reports"].items() for form in forms if type(forms[form]) is list]
FILLED_IN = {"host", "referer", "origin", "key", "length"}


def found(_: Recorded) -> bytes:
    return response("302 Found", b"", "Location: https://shop.brand.example/")


def pattern_of(value: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\\\{\w+\\\}", ".+", re.escape(value)))


@pytest.mark.parametrize("name", VISITS)
def test_a_set_says_where_it_comes_from_and_names_only_what_can_be_filled_in(name: str) -> None:
    entry = VISITS[name]
    assert entry["status"] in ("captured", "composed")
    assert entry["source"]
    names = [header.lower() for header, _ in entry["headers"]]
    assert names.count("host") == 1
    assert len(names) == len(set(names))
    used = set(re.findall(r"\{(\w+)\}", "".join(value for _, value in entry["headers"])))
    assert used - FILLED_IN == set(entry.get("choices", {}))
    if entry["kind"] in ("person", "in_app", "prefetch"):
        assert entry["engine"] in DOCUMENT["reports"]


def test_people_programs_and_apps_are_all_there() -> None:
    kinds = {entry["kind"] for entry in VISITS.values()}
    assert kinds == set(Kind)
    captured = [name for name, entry in VISITS.items() if entry["status"] == "captured"]
    assert len(captured) >= 15
    apps = {app for entry in VISITS.values() if entry["kind"] == "in_app" for app in entry["apps"]}
    assert {"instagram", "facebook", "tiktok", "snapchat", "pinterest", "youtube", "x", "line", "wechat"} <= apps


@pytest.mark.parametrize("name", VISITS)
async def test_headers_go_over_the_wire_in_the_order_and_case_of_the_file(name: str) -> None:
    async with record(found) as server:
        traffic = Traffic(Address.of(server.base_url), SAMPLE, HeaderSets(), seed="1")
        visitor = Visitor(traffic, "v")
        await visitor.visit("/c/emma/night-serum", traffic.header_sets.named(name), "https://feed.example/")
        await visitor.close()
    (request,) = server.requests
    assert request.method == VISITS[name].get("method", "GET")
    assert [header for header, _ in request.headers] == [header for header, _ in VISITS[name]["headers"]]
    for (_, sent), (_, written) in zip(request.headers, VISITS[name]["headers"], strict=True):
        assert pattern_of(written).fullmatch(sent)
    assert request.get("host") == server.base_url.removeprefix("http://")


@pytest.mark.parametrize(("engine", "form"), FORMS)
def test_reports_repeat_what_the_same_visitor_sent_before(engine: str, form: str) -> None:
    template = DOCUMENT["reports"][engine][form]
    seen = [("User-Agent", "a phone"), ("Accept-Language", "de"), ("sec-ch-ua-mobile", "?1")]
    names = {"host": "go.brand.example", "origin": "https://shop.brand.example", "key": "sf_pub_x", "length": "7"}
    headers = HeaderSets().report(engine, form, seen, names)
    before = {name.lower() for name, _ in seen}
    assert [n for n, _ in headers] == [n for n, v in template if v != "=" or n.lower() in before]
    values = {name.lower(): value for name, value in headers}
    assert values["host"] == "go.brand.example"
    if form != "server":
        assert values["user-agent"] == "a phone"
        assert values["origin"] == "https://shop.brand.example"
    if form != "preflight":
        assert values["content-length"] == "7"
    assert "{" not in "".join(values.values())


def test_an_empty_referer_is_not_sent() -> None:
    assert fill([("Host", "{host}"), ("Referer", "{referer}")], {"host": "h", "referer": ""}) == [("Host", "h")]


def test_people_come_with_the_app_of_the_platform_they_come_from() -> None:
    sets = HeaderSets()
    picked = {sets.pick(Random(seed), [Kind.in_app], "tiktok").name for seed in range(50)}
    assert picked == {"tiktok-android", "tiktok-iphone"}


def corpus_row(**fields: Any) -> bytes:
    row = {"label": "human", "kind": "browser", "http": "1.1", "source": "somebody"}
    return json.dumps(row | fields).encode() + b"\n"


def test_a_corpus_shares_in_the_traffic_with_its_sendable_sets(tmp_path: Path) -> None:
    headers = [["uSer-Agent", "Mozilla/5.0 Gecko/20100101 Firefox/150.0"], ["X-Odd", "1"]]
    rows = [
        corpus_row(headers=headers),
        corpus_row(headers=headers, partial=True),
        corpus_row(headers=headers, http="1.0"),
        corpus_row(headers=[["User-Agent", "a {brace}"]]),
        corpus_row(headers=[["Content-Length", "3"]]),
        corpus_row(headers=[["User-Agent", "bot"]], label="bot"),
    ]
    with gzip.open(tmp_path / header_sets.CORPUS_FILE, "wb") as file:
        file.writelines(rows)
    sets = HeaderSets(tmp_path)
    people = [sets.pick(Random(seed), [Kind.person]) for seed in range(100)]
    from_corpus = [known for known in people if known.status == "corpus"]
    assert 20 < len(from_corpus) < 80
    assert {known.name for known in from_corpus} == {"corpus-1"}
    assert from_corpus[0].engine == "firefox"
    assert from_corpus[0].headers == (("Host", "{host}"), *(tuple(pair) for pair in headers))
    scripts = {sets.pick(Random(seed), [Kind.script]).name for seed in range(200)}
    assert "corpus-6" in scripts


def test_a_corpus_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="can't be read"):
        HeaderSets(tmp_path)
    (tmp_path / header_sets.CORPUS_FILE).write_bytes(b"no gzip")
    with pytest.raises(SettingsError, match="can't be read"):
        HeaderSets(tmp_path)


def test_one_visitor_keeps_to_one_choice() -> None:
    known = HeaderSet("n", Kind.person, "composed", (("A", "{n}"), ("B", "{n}")), choices={"n": ["1", "2"]})
    seen = {tuple(value for _, value in known.chosen(Random(seed))) for seed in range(20)}
    assert seen == {("1", "1"), ("2", "2")}


async def test_visitors_come_from_addresses_of_their_own() -> None:
    async with record(found) as server:
        traffic = Traffic(Address.of(server.base_url), SAMPLE, HeaderSets(), seed="1")
        visitors = [Visitor(traffic, str(number)) for number in range(10)]
        headers = traffic.header_sets.named("curl")
        await asyncio.gather(*(visitor.visit("/c/emma/night-serum", headers) for visitor in visitors))
        await asyncio.gather(*(visitor.close() for visitor in visitors))
        proxied = Visitor(Traffic(traffic.address, SAMPLE, traffic.header_sets, seed="1", is_proxied=True), "p")
        await proxied.visit("/c/emma/night-serum", headers)
        await proxied.close()
    *direct, last = server.requests
    assert len({request.peer for request in direct}) > 1
    assert all(request.peer.startswith("127.") for request in direct)
    assert last.peer == "127.0.0.1"
    assert [name for name, _ in last.headers[-2:]] == ["X-Forwarded-For", "X-Forwarded-Proto"]
