"""Lines are taken apart in two ways, by SQL and by compiled code; both give the same rows, whatever the lines are."""

from __future__ import annotations

import os
import random
import re
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stackfluence import native
from stackfluence.events import staging
from stackfluence.events.event import Leaf, Line
from stackfluence.events.seal import leaf_hash, root
from stackfluence.events.staging import SQL, memory, stage_lines
from stackfluence.events.store import LOADER_SETTINGS, Session, StatementFailed, Store
from tests.edge.compiled import needs_compiled
from tests.events.journals import BRAND, NODE, OTHER_BRAND, Writer
from tests.events.test_schema import STRANGE

Written = tuple[dict[str, Any], list[tuple[bytes, bytes]]]  # a leaf's fields, and what is replaced in its line
TRAFFIC = ("click", "session", "pageview", "identify")
POSITION = ("organization_id", "seq")
EDGE_ONLY = {  # a leaf's fields that no traffic has, or that have no column
    "revised_at", "conversion_type", "order_id", "payment_id", "shop", "customer_type", "is_renewal", "currency",
    "revenue_cents", "presentment_currency", "presentment_revenue_cents", "subtotal_cents", "discount_cents",
    "tax_cents", "shipping_cents", "gift_card_cents", "lines", "coupon_codes", "original_order_id",
    "refund_amount_cents", "reason", "quarantine_reason", "quarantine_detail",
}  # fmt: skip

texts = st.one_of(
    st.sampled_from(
        ["", "a", "instagram", "grüße/größe", "\U0001f600", STRANGE, "x" * 300, '"', "\\", "\x7f", "\u2028"]
    ),
    st.text(max_size=20),
)
times = st.sampled_from(
    [
        "2026-11-22T13:00:00.000Z", "2024-02-29T23:59:59.999Z", "1970-01-01T00:00:00.000Z", "1970-01-01T00:00:00.001Z",
        "2099-12-31T23:59:59.999Z", "2000-02-29T00:00:00.000Z", "2000-03-01T00:00:00.000Z", "2200-01-01T00:00:00.000Z",
    ]
)  # fmt: skip
leaves = st.fixed_dictionaries(
    {"event_type": st.sampled_from([*TRAFFIC, *TRAFFIC, "conversion", "refund", "later", ""])},
    optional={
        "organization_id": st.sampled_from([BRAND, OTHER_BRAND, "org_ü", "a"]),
        "occurred_at": times,
        "received_at": times,
        "click_id": st.sampled_from(
            ["", "01a20320-a27b-7abc-8def-0123456789ab", "FFFFFFFF-ffff-7fff-bfff-FFFFFFFFFFFE"]
        ),
        "click_id_status": st.sampled_from(["valid", "unknown_click"]),
        "signed_click_id": texts,
        "link_id": texts,
        "session_id": texts,
        "visitor_hash": st.text(alphabet="0123456789abcdef", max_size=32),
        "page_path": texts,
        "referrer_host": texts,
        "landing_params": st.dictionaries(texts, texts, max_size=3),
        "engaged_ms": st.one_of(st.integers(-5, 5), st.sampled_from([2**63 - 1, -(2**63), 10**17, 10**18, 10**19])),
        "bot_score": st.integers(0, 300),
        "bot_reasons": st.lists(texts, max_size=3),
        "list_versions": st.dictionaries(texts, texts, max_size=2),
        "ua_family": texts,
        "country": st.sampled_from(["DE", "FR"]),
        "asn": st.sampled_from([1, 2**32 - 1, 2**32]),
        "is_test": st.booleans(),
        "is_clamped": st.booleans(),
        "revenue_cents": st.integers(-(2**63), 2**63 - 1),
        "lines": st.lists(st.builds(Line, line_id=texts, quantity=st.integers(0, 3)), max_size=2),
        "coupon_codes": st.lists(texts, max_size=2),
        "quarantine_reason": st.sampled_from(["", "wrong_type"]),
        "kept": st.fixed_dictionaries({"customer_hash": texts}),
        "expiring": st.one_of(st.none(), st.fixed_dictionaries({"user_agent": texts})),
    },
)
# what stands in a line and what takes its place: most of it makes the line one that no edge writes
CHANGES = [
    (b'"seq":', b'"seq": '), (b'"event_id"', b'"event_id" '), (b":", b": "), (b'"seq":', b'"seq":0'),
    (b'"seq":', b'"seq":-'), (b"01a2", b"01A2"), (b"-7", b"-g"), (b"-", b""), (b"T13", b"T24"), (b"T13", b" 13"),
    (b".000Z", b"Z"), (b".000Z", b".0000Z"), (b"2026-11-22", b"2026-02-29"), (b"2026-11-22", b"2026-13-22"),
    (b"2026", b"1969"), (b"2026", b"2200"), (b":1,", b":1.0,"), (b":1,", b":1e0,"), (b":1,", b":01,"),
    (b":1,", b":-0,"), (b":1,", b':"1",'), (b":1,", b":null,"), (b":true", b':"true"'), (b":true", b":1"),
    (b"true", b"tru"), (b'"DE"', b"1"), (b'"DE"', b"null"), (b'"DE"', b'["DE"]'), (b"DE", b"D\xff"),
    (b"DE", b"\xed\xa0\x80"), (b"DE", b"\xc0\x80"), (b"DE", b"\xf4\x90\x80\x80"), (b"DE", b"\xe2\x82"),
    (b"DE", b"\\u0044E"), (b"DE", b"\\n"), (b"DE", b"\x01"), (b"DE", b"D\tE"), (b"}\t", b"},\t"), (b"}\t", b"}}\t"),
    (b"}\t", b"} \t"), (b"}\t", b',"later":[{"a":{"b":[1,2]}}]}\t'), (b"}\t", b',"country":"FR"}\t'),
    (b"}\t", b"\t"), (b"\t", b""), (b"\t{", b"\t\t{"), (b"}", b""), (b"{", b"{{"), (b'"country"', b'"Country"'),
    (b'"country"', b'"country_code"'), (b'schema_version":1', b'schema_version":2'), (b'"node":"', b'"node":"n'),
    (b'schema_version":1', b'schema_version":"1"'), (b'organization_id":"', b'organization_id":"\\u0041'),
    (b'organization_id":"org_0000001"', b'organization_id":""'), (b'_type":"click"', b'_type":"cl\\u0069ck"'),
    (b"{}", b"[]"), (b"[]", b"{}"), (b"landing_params", b"landing_param"), (b'"engaged_ms":', b'"engaged_ms":00'),
]  # fmt: skip
given_lines = st.lists(st.tuples(leaves, st.lists(st.sampled_from(CHANGES), max_size=1)), min_size=1, max_size=60)


@pytest.fixture(scope="module")
def session(engine_url: str) -> Iterator[Session]:
    """Give a loader's connection to an empty store."""
    store = Store(engine_url, "staging")
    store.create_schema()
    opened = store.open_session(LOADER_SETTINGS)
    yield opened
    opened.close()
    store.close()


def changed(line: bytes, replaced: list[tuple[bytes, bytes]], *, is_whole: bool = True) -> bytes:
    """Return a line with some bytes replaced and its checksum made right again."""
    content = line[9:-1]
    for old, new in replaced:
        content = content.replace(old, new)
    return b"%08x\t%b\n" % (zlib.crc32(content) ^ (not is_whole), content)


def filled(content: bytes) -> BinaryIO:
    """Return a file without a name that has some bytes."""
    file = memory()
    file.write(content)
    file.flush()
    return file


def staged(session: Session, files: dict[str, bytes], node: str = NODE) -> list[Any]:
    """Return the rows that the files' lines make, each as one text."""
    with ExitStack() as stack:
        opened = [(name, stack.enter_context(filled(content))) for name, content in files.items()]
        stage_lines(session, node, opened, is_embedded=True)
    found = session._client.query("select hex(formatRow('RowBinary', *)) as row from staged order by row").result_rows
    return [row for (row,) in found]


def both_ways(session: Session, files: dict[str, bytes], node: str = NODE) -> list[Any]:
    """Return the rows, which must be the same with and without compiled code."""
    compiled = staged(session, files, node)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(staging, "take_apart", native.twins["take_apart"])
        assert compiled == staged(session, files, node)
    return compiled


def written(node: str, lines: list[Written]) -> Iterator[bytes]:
    """Yield lines of leaves and of what is changed in them."""
    writer = Writer(Path(), node)
    for fields, replaced in lines:
        writer.event(**fields)
        yield changed(writer.waiting.pop(), replaced)


def odd_lines(files: dict[str, bytes], node: str = NODE) -> bytes:
    """Return what compiled code leaves to SQL, as it writes it; its rows are thrown away."""
    with ExitStack() as stack:
        odd, nothing = stack.enter_context(memory()), stack.enter_context(open(os.devnull, "wb"))
        opened = [(name, stack.enter_context(filled(content))) for name, content in files.items()]
        named = tuple((name.encode(), file.fileno()) for name, file in opened)
        native.counterpart("take_apart")(node.encode(), 1, named, nothing.fileno(), odd.fileno())
        odd.seek(0)
        return odd.read()


@needs_compiled
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(given_lines, st.integers(1, 3))
def test_any_lines_make_the_same_rows_in_both_ways(session: Session, lines: list[Any], files: int) -> None:
    whole = list(written(NODE, lines))
    parts = {f"{place:016d}.segment": b"".join(whole[place::files]) for place in range(files)}
    assert len(both_ways(session, parts)) == len(lines)


@needs_compiled
def test_each_change_makes_the_same_rows_in_both_ways(session: Session) -> None:
    fields = {"organization_id": BRAND, "country": "DE", "bot_score": 1, "is_test": True, "landing_params": {"a": ""}}
    for event_type in ("click", "conversion"):
        lines = [({"event_type": event_type, **fields}, [change]) for change in CHANGES]
        assert len(both_ways(session, {"a": b"".join(written(NODE, lines))})) == len(CHANGES)


@needs_compiled
@pytest.mark.parametrize("seed", range(3))
def test_damaged_bytes_make_the_same_rows_in_both_ways(session: Session, seed: int) -> None:
    chance = random.Random(seed)
    kinds: list[dict[str, Any]] = [{"landing_params": {"utm_source": "ä"}}, {"event_type": "pageview", "engaged_ms": 5}]
    lines = []
    for line in written(NODE, [(chance.choice(kinds), []) for _ in range(2_000)]):
        content, cuts = bytearray(line[9:-1]), chance.randrange(3)
        for _ in range(cuts):
            content[chance.randrange(len(content))] = chance.choice(b'\t"\\{}[]:,0aZ\x00\x1f\x7f\x80\xc3\xff')
        if chance.random() < 0.1:
            del content[chance.randrange(len(content)) :]
        lines.append(b"%08x\t%b\n" % (zlib.crc32(content), bytes(content)))
    both_ways(session, {"a": b"".join(lines[:900]), "b": b"\n\n" + b"".join(lines[900:])[:-1], "c": b"", "d": b"\n"})


@needs_compiled
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.binary(max_size=60), max_size=20), st.sampled_from([NODE, 'n"', "n\\", "nö", ""]))
def test_what_are_no_lines_at_all_is_staged_the_same_in_both_ways(
    session: Session, rubbish: list[bytes], node: str
) -> None:
    whole = list(written(NODE, [({}, []), ({"event_type": "session"}, [])]))
    both_ways(session, {"a": b"".join(rubbish), "b": b"\n".join(rubbish) + b"\n" + b"".join(whole)}, node)


@needs_compiled
def test_a_wrong_checksum_is_seen_in_both_ways(session: Session) -> None:
    line = next(written(NODE, [({}, [])]))
    content = line[9:-1]
    spoilt = [
        changed(line, [], is_whole=False),
        b"%08X\t%b\n" % (0xABCDEF01, content),
        line.replace(b"\t", b" ", 1),
        line[1:],
        b"%x\t%b\n" % (zlib.crc32(content), content[:-1]),
    ]
    staged_rows = both_ways(session, {"a": b"".join(spoilt)})
    assert len(staged_rows) == len(spoilt)
    assert session.rows(SQL["staged_segments"])[0]["good"] == 0


@needs_compiled
def test_what_edges_write_of_traffic_is_left_to_no_sql() -> None:
    """Each field as its type allows, but for escapes; a new field of traffic is one for `leaf.h`."""
    text, names = "größe", [name for name in Leaf.__struct_fields__ if name not in EDGE_ONLY]
    values: dict[str, Any] = {
        "int": 7,
        "bool": True,
        "str": text,
        "list[str]": [text, ""],
        "dict[str, str]": {text: ""},
    }
    given_ = {"event_id", "event_type", "occurred_at", "received_at", "click_id", "personal_commitment"}
    full = {name: values[str(Leaf.__annotations__[name])] for name in names if name not in given_}
    lines: list[Written] = [({"event_type": name, **fields}, []) for name in TRAFFIC for fields in ({}, full)]
    whole = b"".join(written(NODE, lines))
    assert odd_lines({"a": whole}) == b""
    order = b"".join(written(NODE, [({"event_type": "conversion"}, [])]))
    assert odd_lines({"a": whole, "b": order}).endswith(order[:-1])


def test_the_fields_of_compiled_code_are_those_of_a_leaf_in_their_order() -> None:
    source = (native.PLACE / "leaf.h").read_text()
    read = re.findall(r"FIELD\((\w+),", source[source.index("FIELDS[] =") :])
    assert read == [name for name in Leaf.__struct_fields__ if name not in EDGE_ONLY]


@needs_compiled
def test_rows_come_in_the_order_of_the_table(session: Session) -> None:
    chance = random.Random(5)
    lines: list[Written] = [
        (
            {
                "event_type": chance.choice(TRAFFIC),
                "organization_id": chance.choice(["b", "a", "ab", "org_0000001"]),
                "occurred_at": f"2026-11-22T13:{chance.randrange(60):02d}:00.000Z",
            },
            [],
        )
        for _ in range(500)
    ]
    staged(session, {"a": b"".join(written(NODE, lines))})
    order = "organization_id, event_type, occurred_at"
    found: list[Any] = list(session._client.query(f"select {order}, seq from staged").result_rows)
    assert len(found) == 500
    assert found == sorted(found)


@needs_compiled
def test_a_column_may_have_many_different_words(session: Session) -> None:
    """Places of LowCardinality are written in one, two and four bytes."""
    for many in (200, 300, 70_000):
        lines = written(NODE, [({"ua_family": f"agent {place}"}, []) for place in range(many)])
        staged(session, {"a": b"".join(lines)})
        (row,) = session._client.query("select uniqExact(ua_family), uniqExact(country) from staged").result_rows
        assert row == (many, 1)


@needs_compiled
def test_portable_code_does_the_same(session: Session) -> None:
    lines = written(NODE, [({"page_path": "/" + "x" * place}, []) for place in range(300)])
    files = {"a": b"".join(lines)}
    usual = staged(session, files)
    be_portable: Callable[[bool], None] = native.counterpart("be_portable")
    be_portable(True)
    try:
        assert staged(session, files) == usual
        assert native.counterpart("root_of")(bytes(range(96))) == native.twins["root_of"](bytes(range(96)))
    finally:
        be_portable(False)


@needs_compiled
@given(st.lists(st.binary(min_size=1, max_size=8), max_size=70))
def test_roots_are_the_same_in_both_ways(given_: list[bytes]) -> None:
    hashes = [leaf_hash(leaf) for leaf in given_]
    assert native.counterpart("root_of")(b"".join(hashes)) == root(hashes)
    assert native.twins["root_of"](b"".join(hashes)) == root(hashes)


@needs_compiled
def test_turns_at_the_same_time_have_memory_of_their_own() -> None:
    turns = [
        b"".join(written(NODE, [({"link_id": f"lnk_{turn}_{place}"}, []) for place in range(200 * turn)]))
        for turn in (1, 2, 3, 4)
    ]

    def taken(lines: bytes) -> bytes:
        with filled(lines) as segment, memory() as rows, memory() as odd:
            named = ((b"a", segment.fileno()),)
            native.counterpart("take_apart")(NODE.encode(), 1, named, rows.fileno(), odd.fileno())
            rows.seek(0)
            return rows.read()

    alone = [taken(lines) for lines in turns]
    assert all(b"lnk_%d_0" % turn in rows for turn, rows in enumerate(alone, start=1))
    with ThreadPoolExecutor(4) as threads:
        for _ in range(5):
            assert list(threads.map(taken, turns)) == alone


@needs_compiled
def test_a_file_that_cannot_be_read_or_written_is_an_error_of_the_system() -> None:
    take_apart = native.counterpart("take_apart")
    line = next(written(NODE, [({}, [])]))
    with filled(line) as segment, memory() as odd, open(os.devnull, "rb") as nothing:
        gone = memory()
        gone.close()
        with pytest.raises(OSError, match="Bad file descriptor"):
            take_apart(NODE.encode(), 1, ((b"a", -1),), nothing.fileno(), odd.fileno())
        with pytest.raises(OSError, match="Bad file descriptor"):
            take_apart(NODE.encode(), 1, ((b"a", segment.fileno()),), nothing.fileno(), odd.fileno())


def test_a_store_that_fails_while_lines_come_is_what_is_told(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Session.run

    def fail(session: Session, statement: Any, **parameters: Any) -> None:
        if statement.name == "read_staged":
            raise StatementFailed(statement.name, 243, "not enough space")
        run(session, statement, **parameters)

    monkeypatch.setattr(Session, "run", fail)
    lines = b"".join(written(NODE, [({}, []) for _ in range(500)]))
    with pytest.raises(StatementFailed, match="not enough space"):
        staged(session, {"a": lines})


def test_a_disk_that_fails_while_lines_are_read_is_what_is_told(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(node: bytes, version: int, segments: Any, rows: int, odd: int) -> None:
        os.write(rows, b"\x02\x02\x01a\x05UInt8")
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(staging, "take_apart", fail)
    with pytest.raises(OSError, match="Input/output error"):
        staged(session, {"a": b"x\n"})
