"""An outbox: orders and refunds are told to Stackfluence if, and only if, the shop's own database has them.

The shop writes what is to be told in the transaction that marks the order as paid; a job sends it later, as often as it
takes. A crash in between loses nothing and doubles nothing: the id of the shop's own row is the idempotency key.

    python outbox.py shop.sqlite    # what a cron job runs every minute; STACKFLUENCE_… are in its environment

SQLite stands for whatever database the shop has.
"""

import json
import sqlite3
import sys
from typing import Any, cast

from stackfluence.client import Client, Event, Refused

TABLE = """
create table if not exists stackfluence_outbox (
    idempotency_key text primary key,
    event text not null,
    told_at text,
    answer text
)
"""


def remember(database: sqlite3.Connection, key: str, event: dict[str, Any]) -> None:
    """Put down what is to be told, inside the transaction of the order; again is harmless."""
    database.execute(
        "insert into stackfluence_outbox (idempotency_key, event) values (?, ?) on conflict do nothing",
        (key, json.dumps({**event, "idempotency_key": key})),
    )


def tell(database: sqlite3.Connection, client: Client, most: int = 1_000) -> int:
    """Send what waits, oldest first, note each answer, and return how much was sent.

    Raises Unreached when Stackfluence is away: the rows wait for the next run. A quarantined event is told, too; its
    reason stands in `answer` for a person to read.
    """
    rows = database.execute(
        "select idempotency_key, event from stackfluence_outbox where told_at is null order by rowid limit ?", (most,)
    ).fetchall()
    receipts = client.batch(cast(Event, json.loads(event)) for _, event in rows)
    with database:
        database.executemany(
            "update stackfluence_outbox set told_at = datetime('now'), answer = ? where idempotency_key = ?",
            [
                (f"{receipt.status} {receipt.reason} {receipt.detail}".strip(), key)
                for receipt, (key, _) in zip(receipts, rows, strict=True)
            ],
        )
    return len(rows)


def main() -> int:
    """Send all that waits; returns 1 when the key is refused."""
    database = sqlite3.connect(sys.argv[1])
    database.execute(TABLE)
    with Client() as client:
        try:
            while tell(database, client):
                pass
        except Refused as refused:
            sys.stderr.write(f"{refused}\n")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
