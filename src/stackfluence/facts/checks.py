"""Checks of what a run is about to publish, by `checks.sql`: whether its own rows contradict each other."""

from __future__ import annotations

from datetime import date
from pathlib import Path

from stackfluence.errors import ChecksFailed
from stackfluence.events.statements import read_statements
from stackfluence.events.store import Session

SQL = read_statements(Path(__file__).with_name("checks.sql"))


def check(session: Session, subject: str, day: date) -> list[str]:
    """Run the checks of a subject, `clicks` or `orders`, on the day at hand; returns its warnings.

    A warning names its check, the day, how many rows it is about and one of them. Raises ChecksFailed, StoreError.
    """
    warnings: list[str] = []
    for name, statement in SQL.items():
        grade, about, _ = name.split("_", 2)
        if about != subject:
            continue
        row = session.row(statement)
        if not row["broken"]:
            continue
        said = f"{name.removeprefix(grade + '_')} on {day}: {row['broken']}, as {row['place']}"
        if grade == "fail":
            raise ChecksFailed(f"{said}.")
        warnings.append(said)
    return warnings
