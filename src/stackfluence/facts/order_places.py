"""Places of orders: an index beside `events` that only grows, so that an old order's day is found without its history.

Whoever is interrupted between rows and note leaves rows that the next one writes again: readers take each place once.
"""

from __future__ import annotations

from pathlib import Path

from stackfluence.events.statements import read_statements
from stackfluence.events.store import Session

SQL = read_statements(Path(__file__).with_name("order_places.sql"))


def place_orders(session: Session, as_of: int) -> None:
    """Give everything of orders and identifies that was loaded up to `as_of` its places. Raises StoreError."""
    after_load = int(session.row(SQL["last_placed_load"])["load_number"])
    if after_load < as_of:
        session.run(SQL["place_rows"], after_load=after_load, as_of=as_of)
        session.run(SQL["note_placed"], as_of=as_of)
