"""Whole events in one PostgreSQL table, as a plain design keeps them, with plain indexes or with one per question."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from datetime import date, timedelta
from typing import NamedTuple

import asyncpg

from bench.history import LARGEST, START
from bench.reports import LINKS
from stackfluence.events.statements import Statement
from stackfluence.events.store import Session, Store
from stackfluence.vocabulary import LinkKind

TELLING_DAYS = 105  # from the first click to the last refund
# by how a column's type begins in the store; in a row of PostgreSQL those of a fixed length stand first
TYPES = {
    "DateTime64": "timestamptz",
    "UInt64": "bigint",
    "UUID": "uuid",
    "Int64": "bigint",
    "UInt32": "bigint",
    "UInt8": "smallint",
    "Bool": "boolean",
    "LowCardinality": "text",
    "String": "text",
    "Nullable(Int64)": "bigint",
    "Array(String": "text[]",
    "Array(LowCardinality": "text[]",
    "Map": "jsonb",
    "Array(Tuple": "jsonb",
}
# what is unset in the store is null in PostgreSQL, where that takes no room
READ_AS = {
    "text": "nullIf(toString({0}), '')",
    "uuid": "nullIf({0}, toUUID('00000000-0000-0000-0000-000000000000'))",
    "text[]": (
        "if(empty({0}), null, concat('{{', arrayStringConcat(arrayMap(each -> toJSONString(each), {0}), ','), '}}'))"
    ),
    "jsonb": "if(empty({0}), null, toJSONString({0}))",
}
_CLICKS = "event_type = 'click' and not is_test"
_PAGES = "event_type in ('session', 'pageview') and click_id_status = 'valid' and not is_test"
_OF_A_CLICK = "occurred_at, link_id, country, in_app_browser, consent, bot_score, bot_reasons"
_OF_A_PAGE = "session_id, event_type, trust_tier, received_at, engaged_ms"
_OF_AN_ORDER = (
    "shop, order_id, event_id, click_id, conversion_type, customer_type, currency, trust_tier, received_at, "
    "revenue_cents, subtotal_cents, discount_cents, tax_cents, shipping_cents"
)
_OF_A_REFUND = "shop, original_order_id, refund_amount_cents, reason, trust_tier"
INDEXES = (
    "unique index on events (event_id)",
    "index on events (organization_id, event_type, occurred_at)",
    "index on events (organization_id, event_type, event_id)",  # ids of clicks are in order of time
    "index on events (organization_id, creator_id, event_id)",
    "index on events (organization_id, campaign_id, event_id)",
    "index on events (organization_id, click_id)",
    "index on events (organization_id, session_id)",
)
# these have all that a question reads, so that no row is looked up
COVERING_INDEXES = (
    f"index on events (organization_id, event_id) include (creator_id, campaign_id, {_OF_A_CLICK}) where {_CLICKS}",
    f"index on events (organization_id, creator_id, event_id) include (campaign_id, {_OF_A_CLICK}) where {_CLICKS}",
    f"index on events (organization_id, campaign_id, event_id) include (creator_id, {_OF_A_CLICK}) where {_CLICKS}",
    f"index on events (organization_id, click_id) include ({_OF_A_PAGE}) where {_PAGES}",
    f"index on events (organization_id, session_id) where {_PAGES}",
    f"index on events (organization_id, occurred_at) include ({_OF_AN_ORDER}) "
    "where event_type = 'conversion' and not is_test",
    f"index on events (organization_id, occurred_at) include ({_OF_A_REFUND}) "
    "where event_type = 'refund' and not is_test",
)


class Column(NamedTuple):
    """A column of the table: its type, and how the store tells of it."""

    name: str
    type: str
    read_as: str


async def fill(connection: asyncpg.Connection, store: Store) -> None:
    """Copy the events in the order of time, all of them.

    Raises ValueError when some weren't copied.
    """
    with store.session() as session:
        columns = _columns(session)
        await connection.execute(f"create unlogged table events ({', '.join(f'{c.name} {c.type}' for c in columns)})")
        for place in range(TELLING_DAYS):
            await _copy_day(connection, session, columns, START + timedelta(days=place))
        told = int(session.row(Statement("count", "", "select count() as events from events"))["events"])
    copied = await connection.fetchval("select count(*) from events")
    if copied != told:
        raise ValueError(f"{copied} of {told} events were copied.")
    await _add_links(connection)


async def index_by(connection: asyncpg.Connection, indexes: Sequence[str]) -> None:
    """Index the events, and let PostgreSQL learn what is in them."""
    for index in indexes:
        await connection.execute(f"create {index}")
    await connection.execute("vacuum analyze")


def _columns(session: Session) -> list[Column]:
    """Return every stored column but the line, which says the same once more."""
    rows = session.rows(
        Statement(
            "columns",
            "",
            """
            select name, type
            from system.columns
            where database = currentDatabase() and table = 'events' and default_kind = '' and name != 'line'
            order by position
            """,
        )
    )
    begins = list(TYPES)
    found = []
    for row in rows:
        begin = next(begin for begin in begins if row["type"].startswith(begin))
        read_as = READ_AS.get(TYPES[begin], "{0}").format(row["name"])
        found.append((begins.index(begin), Column(row["name"], TYPES[begin], read_as)))
    return [column for _, column in sorted(found, key=lambda each: each[0])]


async def _copy_day(connection: asyncpg.Connection, session: Session, columns: list[Column], day: date) -> None:
    picked = Statement(
        "pick_events",
        "",
        f"""
        select {", ".join(column.read_as for column in columns)}
        from events
        where
            occurred_at >= toDateTime64({{day:Date}}, 3, 'UTC')
            and occurred_at < toDateTime64({{day:Date}} + 1, 3, 'UTC')
        order by occurred_at
        """,
    )
    names = [column.name for column in columns]
    with tempfile.TemporaryFile() as file:
        file.write(session.raw(picked, "CSV", day=day))
        file.seek(0)
        await connection.copy_to_table("events", source=file, format="csv", null="\\N", columns=names)


async def _add_links(connection: asyncpg.Connection) -> None:
    """Add what the catalog knows of the links."""
    await connection.execute(
        "create table links (link_id text primary key, organization_id text, post_id text, kind text)"
    )
    kinds = (LinkKind.organic.value, LinkKind.paid.value)
    rows = [(f"lnk_{number:010d}", LARGEST, f"pst_{number:010d}", kinds[number % 2]) for number in range(LINKS)]
    await connection.copy_records_to_table("links", records=rows)
