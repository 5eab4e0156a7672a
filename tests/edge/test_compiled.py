"""What is compiled gives the bytes that Python gives, whatever comes in; and Python is enough."""

from __future__ import annotations

import asyncio
import hashlib
import ipaddress
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stackfluence import native
from stackfluence.click.destination import pack_texts, read_texts
from stackfluence.click.head import known_by
from stackfluence.click.request import Request
from stackfluence.click.velocity import Velocity
from stackfluence.click.visitor import LANDING
from stackfluence.clock import now_ms
from stackfluence.native import build as build_module
from stackfluence.snapshot import LINK, EdgeRow, Link
from tests.edge.compiled import Bench, in_python, needs_compiled
from tests.edge.edges import a_link, a_snapshot, start_edge

DAY_MS = 86_400_000
NOON_MS = now_ms() // DAY_MS * DAY_MS + DAY_MS // 2
MIDNIGHT_MS = now_ms() // DAY_MS * DAY_MS + 60_000
PHONE = b"User-Agent: Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15\r\n"
PROXIES = (ipaddress.ip_network("10.0.0.0/8"),)

members = st.text(alphabet=st.characters(blacklist_categories=["Cs"]), max_size=80)
headers = st.lists(
    st.one_of(
        st.sampled_from(
            [
                PHONE, b"Sec-GPC: 1\r\n", b"X-Forwarded-For: 203.0.113.9\r\n", b"x-forwarded-for: 2001:db8::7\r\n",
                b"X-Forwarded-For: 203.0.113.9, 10.1.1.1\r\n", b"X-Forwarded-For: odd\r\n", b"X-Forwarded-For: \r\n",
                "Referer: https://social.example/ä\r\n".encode(), b'Referer: https://s.example/"\\\r\n',
                b"Cookie: a\r\n", b"Cookie: b\r\n", b"X-Request-Id: \xe9\r\n", b"X-Request-Id:\t7 \r\n",
                b"Te: trailers\r\n", b"X-Request-Id: \x01\r\n", b"X-Request-Id: a\r\n b\r\n",
                b"Accept: a\r\n b\r\n", b"X-Odd\r\n",
            ]
        ),
        st.from_regex(rb"\A[A-Za-z-]{1,12}: ?[ -~\x80-\xff]{0,30}\r\n\Z"),
    ),
    max_size=5,
)  # fmt: skip
names = st.one_of(
    st.sampled_from([*LANDING, b"b", b"B", b"_b.", b"inf_click_id", b"INF_click_id", b"inf.click_id", b"select", b""]),
    st.from_regex(rb"\A[ -~]{0,6}\Z"),
)
values = st.one_of(
    st.from_regex(rb"\A[\w.~=-]{0,12}\Z"),
    st.sampled_from(
        [b"v" * 101, b"v" * 301, b"v" * 1_900, b"M%3D%3d", b"%", b"%3", b"%20", b"a+b", b"unSelected", b"\xe9"]
    ),
)
pairs = st.lists(st.one_of(st.builds(lambda name, value: name + b"=" + value, names, values), names), max_size=5)
targets = st.one_of(
    st.sampled_from(
        [b"/c/emma/summer", b"/c/emma/test", b"/c/emma/dated", b"/c/emma/gone", b"/c/emma/%C3%BC", b"/c/emma/none"]
    ),
    st.builds(
        lambda path, pairs: path + b"?" + b"&".join(pairs), st.sampled_from([b"/c/emma/summer", b"/c/emma/test"]), pairs
    ),
    st.from_regex(rb"\A/c/emma/summer[/?!-~\x80]{0,12}\Z"),
    st.binary(max_size=20),
)
requests = st.builds(lambda target, lines: (target, b"".join(lines)), targets, headers)


def links() -> list[Link]:
    """Return links of every kind."""
    return [
        a_link(),
        a_link(campaign_slug="test", is_test=True, destination_url="https://shop.brand.example/a?b=c&GClid=own#d"),
        a_link(campaign_slug="dated", expires_at_ms=NOON_MS * 2),
        a_link(campaign_slug="gone", status="paused", fallback_url="https://brand.example/"),
        a_link(campaign_slug="ü", asset_slug="", creator_id="crt_ü"),
    ]


async def said(asked: list[tuple[bytes, bytes]], peer: str, at_ms: int, **fields: Any) -> tuple[Any, ...]:
    """Return what an edge answers, writes and counts; every request comes three times, so that it is known."""
    with pytest.MonkeyPatch.context() as patch:
        if fields.pop("is_python", False):
            in_python(patch)
        known = a_snapshot(links())
        if fields.pop("has_no_salts", False):
            known.salts.clear()
        bench = Bench(known, patch, at_ms, fields.pop("proxies", ()))
        sent = []
        for number in range(3):
            connection, wire = bench.connect(peer)
            for target, lines in asked:
                connection.data_received(b"GET %b HTTP/1.1\r\nHost: h\r\n%b\r\n" % (target, lines))
            for _ in range(8):
                await asyncio.sleep(0)  # the catalog is asked for links that nobody knows
            bench.settle(is_recorded=number != 1)
            sent.append(wire.sent)
        return sent, bench.lines, bench.state()


@needs_compiled
@pytest.mark.parametrize("at_ms", [NOON_MS, MIDNIGHT_MS])
@pytest.mark.parametrize("peer", ["198.51.100.7", "2001:db8:5::1", "10.0.0.1", ""])
async def test_an_edge_says_and_writes_the_same_in_both_ways(peer: str, at_ms: int) -> None:
    asked = [
        (b"/c/emma/summer", b""),
        (b"/c/emma/test", PHONE),
        (b"/c/emma/%C3%BC", "Referer: https://ü.example/\r\n".encode()),
    ]
    asked += [(b"/c/emma/summer?utm_source=a&gclid=1", PHONE), (b"/c/emma/dated", PHONE), (b"/c/emma/gone", PHONE)]
    asked += [(b"/c/emma/summer", b"Sec-GPC: 1\r\n"), (b"/c/emma/summer", b"X-Forwarded-For: 203.0.113.9\r\n")]
    for fields in ({}, {"proxies": PROXIES}, {"has_no_salts": True}):
        compiled = await said(asked, peer, at_ms, **fields)
        assert len(compiled[1]) == 21
        assert compiled == await said(asked, peer, at_ms, is_python=True, **fields)


@needs_compiled
@settings(max_examples=60, deadline=None)
@given(st.lists(requests, max_size=6), st.sampled_from(["198.51.100.7", "10.0.0.1", "2001:db8::1"]), st.booleans())
def test_hostile_bytes_are_read_the_same_in_both_ways(
    asked: list[tuple[bytes, bytes]], peer: str, is_night: bool
) -> None:
    at_ms = MIDNIGHT_MS if is_night else NOON_MS

    async def both() -> None:
        compiled = await said(asked, peer, at_ms, proxies=PROXIES)
        assert compiled == await said(asked, peer, at_ms, proxies=PROXIES, is_python=True)

    asyncio.run(both())


async def changing(seed: int, *, is_python: bool) -> tuple[int, Any]:
    """Return how many clicks were taken whole; and what an edge says, writes and counts while its tables change."""
    chance, taken = random.Random(seed), 0
    with pytest.MonkeyPatch.context() as patch:
        if is_python:
            in_python(patch)
        bench = Bench(a_snapshot(links()), patch, chance.choice((NOON_MS, MIDNIGHT_MS)))
        known, judge, (connection, wire) = bench.edge.snapshot, bench.edge.judge, bench.connect()
        velocity, salts, packed = judge.velocity, dict(known.salts), dict(known.links)
        paths = chance.sample((b"summer", b"test", b"summer?a=b", b"%C3%BC"), 2)

        def replace() -> None:
            for key, value in packed.items():
                known.apply_one(EdgeRow(LINK, key, value))

        def restart() -> None:
            known.clear()
            replace()

        def fill() -> None:
            for counts in velocity.organizations.values():
                counts.most = chance.choice((1, 1_000))

        def turn() -> None:
            for counts in velocity.organizations.values():
                for window in counts.windows:
                    velocity.litter += window.turn(window.bucket + 1)

        changes: list[Callable[[], object]] = [
            replace,
            restart,
            fill,
            turn,
            judge.forget,
            lambda: judge.places.cache.clear(),
            lambda: known.salts.update(salts),
            lambda: known.salts.clear(),
            lambda: setattr(velocity, "clicks", [] if velocity.clicks is None else None),
            velocity.organizations.clear,
        ]
        for _ in range(300):
            connection.data_received(b"GET /c/emma/%b HTTP/1.1\r\nHost: h\r\n\r\n" % chance.choice(paths))
            taken += not isinstance(bench.journal._waiting[-1][4][0], Request)  # else `usual_click` took it
            bench.settle(is_recorded=chance.random() < 0.9)
            if chance.random() < 0.1:
                chance.choice(changes)()
        return taken, (wire.sent, bench.lines, bench.state(), velocity.clicks, velocity.overflow)


@needs_compiled
@pytest.mark.parametrize("seed", range(6))
async def test_clicks_are_the_same_while_tables_change(seed: int) -> None:
    taken, compiled = await changing(seed, is_python=False)
    assert taken > 30
    assert (0, compiled) == await changing(seed, is_python=True)


@needs_compiled
async def test_usual_clicks_are_taken_by_compiled_code(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(a_snapshot(links()), monkeypatch, NOON_MS)
    message = b"GET /c/emma/summer HTTP/1.1\r\nHost: h\r\n%b\r\n" % PHONE
    connection, _ = bench.connect()
    for _ in range(3):  # the block is learned, then the duplicate's verdict
        connection.data_received(message)
    assert connection._usual(message) is not None
    assert connection._usual(message.replace(b"summer", b"summer?a=b&fbclid=IwAR0-_x&igsh=M%3D%3D")) is not None
    for unusual in (
        b"a=%20",
        b"utm_source=a+b",
        b"a=<",
        b"utm_source=a&utm_source=b",
        b"inf_click_id=x",
        b"INF_CLICK_ID=x",
        b"_inf.click_id=x",
        b"fbclid=%3D",
    ):
        assert connection._usual(message.replace(b"summer", b"summer?" + unusual)) is None
    assert connection._usual(message.replace(b"Host: h", b"Host: other")) is None


@needs_compiled
@given(st.binary(max_size=400), st.booleans())
def test_sha256_is_that_of_the_standard(message: bytes, is_portable: bool) -> None:
    assert native.counterpart("sha256")(message, is_portable) == hashlib.sha256(message).digest()


@needs_compiled
@given(st.binary(max_size=64), st.binary(max_size=200), st.binary(min_size=16, max_size=16), st.integers(0, 255))
def test_signatures_and_click_ids_are_the_same(key: bytes, message: bytes, event: bytes, flags: int) -> None:
    in_c = {name: native.counterpart(name) for name in native.twins}
    with pytest.MonkeyPatch.context() as patch:
        in_python(patch)
        twins, state, plain = native.twins, in_c["prepare_key"](key), native.twins["prepare_key"](key)
        assert in_c["sign"](state, message) == twins["sign"](plain, message)
        parts = (b"\x01\x02", event[:12], event, flags)
        assert in_c["mint"](state, *parts) == twins["mint"](plain, *parts)
        texts = pack_texts(b"\x01\x02", event[:12], message[:9], message, key)
        assert read_texts(texts) == (b"\x01\x02", event[:12], message[:9], message, key)
        found = (message, key, event, flags)
        assert in_c["answer_found"](texts, state, *found) == twins["answer_found"](texts, plain, *found)
        for broken in (b"", texts[:27], texts[:-1], texts + b"x"):
            if broken != texts:
                with pytest.raises(ValueError, match="packed"):
                    in_c["answer_found"](broken, state, *found)


@needs_compiled
@given(
    st.lists(members, min_size=8, max_size=8),
    st.binary(min_size=26, max_size=26),
    st.integers(0, 2**48 - 1),
    st.booleans(),
)
def test_events_and_lines_are_the_same(texts: list[str], drawn: bytes, at_ms: int, is_opted_out: bool) -> None:
    at, *others = texts
    given_ = (at_ms, at, drawn, *others, is_opted_out)
    event, body, personal = native.twins["click_event"](*given_)
    assert native.counterpart("click_event")(*given_) == (event, body, personal)
    lines = (b"n_0", at_ms, [(b"org_a", body, personal), (event, b"", body, "what else is kept")])
    assert native.counterpart("join_lines")(*lines) == native.twins["join_lines"](*lines)
    said_of = (drawn, body, at, personal)
    assert native.counterpart("visitor_hash")(*said_of) == native.twins["visitor_hash"](*said_of)


@needs_compiled
@given(targets, headers, st.binary(max_size=8))
def test_known_blocks_are_found_alike(target: bytes, lines: list[bytes], odd: bytes) -> None:
    class Head:
        forwarded = b"of the head"

    message = b"GET %b HTTP/1.1\r\nHost: h\r\n%b\r\n" % (target, b"".join(lines))
    parts = known_by(message[message.find(b"\r\n") + 2 :])
    known: dict[bytes, Any] = {} if parts is None else {parts[0]: Head()}
    for sent in (message, message + odd, message[: len(odd) * 9], odd + message, message.replace(b"\r\n", odd, 1)):
        assert native.counterpart("find_head")(known, sent) == native.twins["find_head"](known, sent)


@needs_compiled
@pytest.mark.parametrize("seed", range(3))
def test_pace_is_counted_alike(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    chance, at_ms, clicks = random.Random(seed), NOON_MS, []
    for _ in range(20_000):
        at_ms += chance.choice((0, 1, 1, 2, 20 if seed else 3))
        crowd = chance.choice((1, 3, 400))
        visitor = chance.choice(("", f"v{chance.randrange(crowd)}"))
        clicks.append((b"org_1", b"l%d" % chance.randrange(5), visitor, chance.choice(("", "198.51.100.0/24")), at_ms))
    counted = Velocity()
    found = [counted.count(*click) for click in clicks]
    in_python(monkeypatch)
    alike = Velocity()
    assert found == [alike.count(*click) for click in clicks]
    assert len(set(found)) > 3
    for ours, theirs in zip(
        counted.organizations[b"org_1"].windows, alike.organizations[b"org_1"].windows, strict=True
    ):
        assert {name: getattr(ours, name) for name in type(ours).__slots__ if name != "kind"} == {
            name: getattr(theirs, name) for name in type(ours).__slots__ if name != "kind"
        }


@needs_compiled
def test_wrong_arguments_raise_and_nothing_worse() -> None:
    chance = random.Random(1)
    odd: list[Any] = [
        None,
        1,
        -1,
        2**70,
        b"",
        b"x" * 64,
        "",
        "ü",
        "\ud800",
        (),
        (1,) * 5,
        (None,) * 11,
        [],
        {},
        object(),
    ]
    odd += [({}, {}, {}, None, None, None, print, print, print, (), 26, {}, print), True]
    for name in (*native.twins, "sha256"):
        for _ in range(2_000):
            given_ = [chance.choice(odd) for _ in range(chance.choice((0, 1, 2, 3, 4, 5, 6, 9, 11)))]
            try:
                native.counterpart(name)(*given_)
            except (TypeError, ValueError, AttributeError, OverflowError):
                continue


async def test_an_edge_needs_no_compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if native.is_compiled():
        in_python(monkeypatch)
    async with start_edge(tmp_path) as running:
        client = await running.connect()
        assert [(await client.request("GET", "/c/emma/summer")).status for _ in range(3)] == [302] * 3
        assert len(running.events()) == 3


def test_a_machine_without_a_compiler_is_told_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CC", "no-such-compiler")
    monkeypatch.setattr(build_module, "is_compiled", lambda: False)
    build_module.main()
    assert "no C compiler" in capsys.readouterr().out


def test_an_installation_that_is_read_only_is_no_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(**_: object) -> str:
        raise PermissionError(13, "Permission denied", str(tmp_path))

    monkeypatch.setattr(build_module, "is_compiled", lambda: False)
    monkeypatch.setattr(build_module, "build", refused)
    build_module.main()
    assert "Permission denied" in capsys.readouterr().out


@needs_compiled
def test_what_was_built_of_other_sources_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    assert native._load()[0] is not None
    monkeypatch.setattr(native, "sources_digest", lambda module: f"of other sources than {module}'s")
    assert native._load() == (None, "built from other sources")


@needs_compiled
def test_set_up_compiles_into_the_folder_it_is_told(tmp_path: Path) -> None:
    assert build_module.build(tmp_path / "built") == ""
    made = sorted(module.name.partition(".")[0] for module in (tmp_path / "built").iterdir())
    assert made == sorted(native.MODULES)
