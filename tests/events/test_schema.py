"""The tables hold every field of an event, as it was written, up to its limits."""

from __future__ import annotations

import asyncio
import re
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID
from zlib import crc32

import pytest

from stackfluence.clock import uuid_text
from stackfluence.errors import StoreError
from stackfluence.events import turn
from stackfluence.events.event import Expiring, Kept, Leaf, Line, half_hash, read_leaf
from stackfluence.events.load import Loader
from stackfluence.events.seal import leaf_hash
from stackfluence.events.statements import Statement
from stackfluence.events.store import SCHEMA, Store
from tests.events.journals import BRAND, Numbers, Writer, drain, rows, value

POSITION = ["schema_version", "organization_id", "node", "seq"]
ONLY_QUARANTINED = {"quarantine_reason", "quarantine_detail"}
ORDER_FIELDS = {
    "conversion_type", "order_id", "shop", "customer_type", "is_renewal", "currency", "revenue_cents", "subtotal_cents",
    "discount_cents", "tax_cents", "shipping_cents", "gift_card_cents", "lines", "coupon_codes", "original_order_id",
    "refund_amount_cents", "reason",
}  # fmt: skip
LOWEST, HIGHEST = -(2**63), 2**63 - 1
STRANGE = "\u0000\t\n\r\"'\\ {}[]`–ü\U0001f600\u2028 null \\N"


def columns(store: Store, table: str) -> set[str]:
    sql = "select name from system.columns where database = {database:String} and table = {table:String}"
    return {row["name"] for row in rows(store, sql, database=store.database, table=table)}


def test_every_field_of_a_leaf_is_a_column(any_store: Store) -> None:
    fields = set(Leaf.__struct_fields__) | set(POSITION)
    assert columns(any_store, "events") == fields - ONLY_QUARANTINED | {
        "load_number", "stored_at", "line", "leaf_hash", "tier", "order_place"
    }  # fmt: skip
    assert columns(any_store, "quarantined_events") >= ONLY_QUARANTINED
    assert columns(any_store, "events_personal") == {*Kept.__struct_fields__, *Expiring.__struct_fields__} | {
        "node", "seq", "organization_id", "event_id", "expires_at", "kept", "expiring", "expiring_hash"
    }  # fmt: skip


def test_every_field_of_a_leaf_is_loaded() -> None:
    """What traffic has is parsed once for all lines, what orders have besides only for these."""
    parsed = set(re.findall(r"^ {12}(\w+) ", turn.SQL["stage_lines"].sql, re.MULTILINE)) - {"schema_version"}
    read_from_line = {
        "signed_click_id", "list_versions", "personal_commitment", "quarantine_detail", "presentment_currency",
        "presentment_revenue_cents", "revised_at", "payment_id",
    }  # fmt: skip
    assert parsed == {*Leaf.__struct_fields__, *POSITION[1:]} - ORDER_FIELDS - read_from_line
    sale = set(re.findall(r"^ {12}(\w+) [A-Z]", turn.SQL["load_orders"].sql, re.MULTILINE))
    assert sale == ORDER_FIELDS
    parts = set(re.findall(r"^ {16}(\w+) ", turn.SQL["load_orders"].sql, re.MULTILINE))
    assert parts >= set(Line.__struct_fields__)


def test_creating_the_schema_again_is_harmless(any_store: Store) -> None:
    any_store.create_schema()
    tables = {
        row["name"] for row in rows(any_store, "select name from system.tables where database = currentDatabase()")
    }
    assert tables == {name.removeprefix("create_") for name in SCHEMA if name.startswith("create_")}


def test_a_store_of_an_earlier_version_gets_what_came_since(store: Store) -> None:
    with store.session() as session:
        for sql in (
            "alter table events_personal drop index by_email",
            "alter table events_personal drop column email_hash",
            "alter table events drop column presentment_currency",
            "alter table events drop column presentment_revenue_cents",
            "alter table events drop column revised_at",
            "alter table events drop column payment_id",
            "alter table events drop column tier",
            "alter table events drop column order_place",
        ):
            session._client.command(sql)
    assert "email_hash" not in columns(store, "events_personal")
    store.create_schema()
    assert "email_hash" in columns(store, "events_personal")
    added = {"presentment_currency", "presentment_revenue_cents", "revised_at", "payment_id", "tier", "order_place"}
    assert added <= columns(store, "events")
    indexes = rows(store, "select name from system.data_skipping_indices where table = 'events_personal'")
    assert "by_email" in {row["name"] for row in indexes}


def at_its_limits() -> dict[str, Any]:
    """Return a value for every field of a leaf, as far out as the field allows."""
    special: dict[str, Any] = {
        "click_id": "ffffffff-ffff-7fff-bfff-fffffffffffe",
        "occurred_at": "1970-01-01T00:00:00.001Z",
        "received_at": "2099-12-31T23:59:59.999Z",
        "lines": [
            Line(),
            Line(line_id=STRANGE, product_id="", variant_id=STRANGE, sku="-", quantity=0, subtotal_cents=LOWEST),
            Line(quantity=HIGHEST, subtotal_cents=HIGHEST, discount_cents=LOWEST, tax_cents=-1, is_gift_card=True),
        ],
        "landing_params": {"utm_source": STRANGE, STRANGE: "", "": "x"},
        "list_versions": {"bots": STRANGE},
        "coupon_codes": ["", STRANGE, "A"],
        "bot_reasons": ["datacenter", STRANGE],
        "bot_score": 100,
        "asn": 2**32 - 1,
        "quarantine_reason": "",
        "quarantine_detail": "",
    }
    found: dict[str, Any] = {}
    for name, kind in Leaf.__annotations__.items():
        if name in ("event_id", "event_type", "personal_commitment", "trust_tier"):
            continue
        default = {"str": STRANGE, "int": HIGHEST, "int | None": LOWEST, "bool": True}.get(str(kind))
        found[name] = special.get(name, default)
    return found


def as_written(column: str, stored: Any) -> Any:
    """Return a column's value as the leaf has it."""
    if isinstance(stored, UUID):
        return "" if not stored.int else str(stored)
    if isinstance(stored, datetime):
        return stored.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    if column == "lines":
        return [Line(**part) for part in stored]
    return stored


@pytest.mark.parametrize("kind", ["bare", "limits"])
def test_every_value_comes_back_as_it_was_written(kind: str, store: Store, tmp_path: Path) -> None:
    writer = Writer(tmp_path / "journal" / "w0")
    leaves = []
    for event_type in ("click", "session", "pageview", "identify", "conversion", "refund", "new_type"):
        fields = at_its_limits() if kind == "limits" else {}
        if event_type in ("click", "session", "pageview", "identify"):
            fields = {name: value for name, value in fields.items() if name not in ORDER_FIELDS}
        leaves.append(writer.event(event_type, **fields))
    lines = [line.split(b"\t")[1] for line in writer.waiting]
    writer.finish()
    loader = Loader(tmp_path / "journal", store, Numbers())
    drain(loader)
    loader.close()
    names = [*POSITION, *(name for name in Leaf.__struct_fields__ if name not in ONLY_QUARANTINED)]
    stored = rows(store, f"select {', '.join(names)}, line, leaf_hash from events order by seq")
    assert len(stored) == len(leaves)
    for row, leaf, line in zip(stored, leaves, lines, strict=True):
        found = {name: as_written(name, row[name]) for name in names if name not in POSITION}
        assert found == {name: getattr(leaf, name) for name in found}
        assert {name: row[name] for name in POSITION} == {name: read_leaf(line)[name] for name in POSITION}
        assert (row["organization_id"], row["schema_version"]) == (BRAND, 1)
        assert row["line"].encode() == line
        assert row["leaf_hash"] == leaf_hash(line)


def test_personal_halves_come_back_as_they_were_written(store: Store, tmp_path: Path) -> None:
    kept = {"customer_hash": "c" * 64, "properties": f'{{"note": "{STRANGE}"}}'}
    expiring = {name: STRANGE for name in Expiring.__struct_fields__ if name not in ("salt", "ad_click_ids")}
    writer = Writer(tmp_path / "journal" / "w0")
    writer.event("conversion", kept=kept, expiring=expiring | {"ad_click_ids": {"gclid": STRANGE}})
    writer.event("conversion", kept=kept, expiring=None)
    writer.event("conversion", kept=None, expiring={"user_agent": "x"})
    writer.event("conversion", kept=None, expiring=None)
    halves = [line[:-1].split(b"\t")[2:] for line in writer.waiting]
    writer.finish()
    loader = Loader(tmp_path / "journal", store, Numbers(), retention_days=30)
    drain(loader)
    loader.close()
    names = ", ".join({*Kept.__struct_fields__, *Expiring.__struct_fields__} | {"kept", "expiring", "expires_at"})
    found = rows(store, f"select {names}, lower(hex(expiring_hash)) as hashed from events_personal order by seq")
    assert [[row["kept"].encode(), row["expiring"].encode()] for row in found] == halves[:3]
    assert {name: found[0][name] for name in kept} == kept
    assert {name: found[0][name] for name in expiring} == expiring
    assert found[0]["ad_click_ids"] == {"gclid": STRANGE}
    # kept where another half must be checked without it
    assert [row["hashed"] for row in found] == [half_hash(halves[0][1]).hex(), "", ""]
    assert value(store, "select any(expires_at) from events_personal") == datetime.fromisoformat("2026-12-22T13:00:00Z")


def test_what_expired_goes_by_itself_and_the_kept_half_stays(store: Store, tmp_path: Path) -> None:
    writer = Writer(tmp_path / "journal" / "w0", at_ms=1_600_000_000_000)
    writer.event("conversion", kept={"customer_hash": "c"})
    expiring = writer.waiting[0][:-1].split(b"\t")[3]
    writer.event("click")
    writer.finish()
    loader = Loader(tmp_path / "journal", store, Numbers())
    drain(loader)
    loader.close()
    with store.session() as session:  # what a background merge does, now
        session._client.command("optimize table events_personal final")
    found = rows(store, "select customer_hash, expiring, lower(hex(expiring_hash)) as hashed from events_personal")
    assert found == [{"customer_hash": "c", "expiring": "", "hashed": half_hash(expiring).hex()}]


def test_hashes_that_end_in_zero_bytes_keep_them(store: Store, tmp_path: Path) -> None:
    """One in 256 does, and ClickHouse drops them from a FixedString that becomes a String."""
    writer = Writer(tmp_path / "journal" / "w0")
    for _ in range(1500):
        writer.event("conversion", kept={"customer_hash": "c"}, quarantine_reason="wrong_type")
    parts = [line[:-1].split(b"\t")[1:] for line in writer.waiting]
    writer.finish()
    loader = Loader(tmp_path / "journal", store, Numbers())
    drain(loader)
    found = rows(store, "select lower(hex(leaf_hash)) as hashed from quarantined_events order by seq")
    assert [row["hashed"] for row in found] == [leaf_hash(leaf).hex() for leaf, _, _ in parts]
    found = rows(store, "select lower(hex(expiring_hash)) as hashed from events_personal order by seq")
    assert [row["hashed"] for row in found] == [half_hash(expiring).hex() for _, _, expiring in parts]
    copied = Writer(tmp_path / "journal" / "w1")
    copied.waiting = [b"%08x\t%b\n" % (crc32(b"\t".join(part)), b"\t".join(part)) for part in parts]
    copied.seq = len(parts)
    copied.finish()
    (report,) = drain(loader)
    loader.close()
    assert (report.known, loader.counts.held) == (1500, {}), "what is the same is known to be"


def test_a_clicks_event_id_is_read_in_any_spelling_of_uuid(store: Store) -> None:
    assert value(store, "select JSONExtract({json:String}, 'Tuple(a UUID)').1", json='{"a":"x"}') == UUID(int=0)
    assert uuid_text(bytes(16)) == str(UUID(int=0))


@pytest.mark.parametrize("url", ["sqlite:///x", "chdb", "ftp://x/y"])
def test_an_address_of_something_else_is_refused(url: str) -> None:
    with pytest.raises(StoreError):
        Store(url)


def test_a_database_name_that_is_sql_is_refused(engine_url: str) -> None:
    with pytest.raises(StoreError):
        Store(engine_url, "x; drop database y")


def test_a_second_directory_in_one_process_is_refused(store: Store, tmp_path: Path) -> None:
    with pytest.raises(StoreError):
        Store(f"chdb://{tmp_path}/other")


def test_a_store_is_not_used_after_a_fork(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.getpid", lambda: -1)
    with pytest.raises(StoreError, match="fork"):
        store.open_session()


def test_a_server_that_is_away_is_a_store_error() -> None:
    with pytest.raises(StoreError):
        Store("http://127.0.0.1:9")


async def test_reads_run_beside_each_other(any_store: Store) -> None:
    statement = Statement("test", "", "select {number:UInt8} as number")
    found = await asyncio.gather(*(any_store.read(statement, number=number) for number in range(20)))
    assert [row[0]["number"] for row in found] == list(range(20))


def test_personal_halves_of_an_earlier_version_are_put_back(store: Store, tmp_path: Path) -> None:
    """A backup has the columns that there were; the new ones are empty, or read from the line."""
    writer = Writer(tmp_path / "journal" / "w0")
    writer.event("conversion", kept={"customer_hash": "c"})
    writer.finish()
    loader = Loader(tmp_path / "journal", store, Numbers())
    drain(loader)
    loader.close()
    earlier = Statement(
        "earlier",
        "As a backup had it.",
        "select node, seq, organization_id, event_id, expires_at, customer_hash, kept, expiring, expiring_hash"
        " from events_personal",
    )
    with store.session() as session:
        pieces = list(session.stream(earlier, "Native"))
        session._client.command("truncate table events_personal")
        session.put_back("events_personal", pieces)
    assert rows(store, "select customer_hash, email_hash from events_personal") == [
        {"customer_hash": "c", "email_hash": ""}
    ]
