"""Histories: what was told of clicks and orders, each under names of its own, so that an organization takes many.

A history is a list of tellings, which can be told again under another number, shuffled, twice, or in part. Names in it
end in `~`, behind which its number comes; events and clicks are numbered, `e3`, and become UUIDs of the history.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from stackfluence.clock import rfc3339
from stackfluence.facts import CodePeriod, OwnCustomerPeriod
from tests.facts.days import DAY_START_MS, Days

SECOND, MINUTE, HOUR, DAY = 1000, 60_000, 3_600_000, 86_400_000


@dataclass(frozen=True)
class Telling:
    """One event as somebody tells it, `at_ms` after the day's beginning; its time of receipt comes `later_ms` after."""

    event_type: str
    at_ms: int
    later_ms: int
    fields: dict[str, Any]

    def __str__(self) -> str:
        told = {name: value for name, value in self.fields.items() if value not in ("", None, False, [], ())}
        return f"{self.event_type} {_clock(self.at_ms)} received {self.later_ms:+d} ms {told}"


@dataclass(frozen=True)
class History:
    """What was told, and whose codes and customers were whose; bounds count from the day's beginning."""

    tellings: tuple[Telling, ...]
    codes: tuple[CodePeriod, ...] = ()
    own_customers: tuple[OwnCustomerPeriod, ...] = ()

    def __str__(self) -> str:
        return "\n".join(map(str, (*self.tellings, *self.codes, *self.own_customers)))

    def events(self, number: int) -> Iterator[tuple[str, int, dict[str, Any]]]:
        """Give its events under a number: type, milliseconds after the day's beginning, fields."""
        clicked = {each.fields["event_id"]: each.at_ms for each in self.tellings if each.event_type == "click"}
        for telling in self.tellings:
            fields = numbered(telling.fields, number)
            for name in ("event_id", "click_id"):
                if fields.get(name):
                    fields[name] = event_uuid(number, fields[name], clicked.get(fields[name], 0))
            fields["received_at"] = rfc3339(DAY_START_MS + telling.at_ms + telling.later_ms)
            if (revised_ms := fields.pop("revised_at", None)) is not None:
                fields["revised_at"] = rfc3339(DAY_START_MS + revised_ms)
            yield telling.event_type, telling.at_ms, fields

    def code_periods(self, number: int) -> list[CodePeriod]:
        """Return its codes under a number."""
        return [
            period._replace(
                code_key=numbered(period.code_key, number),
                creator_id=numbered(period.creator_id, number),
                from_ms=max(DAY_START_MS + period.from_ms, 0),
                to_ms=DAY_START_MS + period.to_ms,
            )
            for period in self.codes
        ]

    def own_periods(self, number: int) -> list[OwnCustomerPeriod]:
        """Return its own customers under a number."""
        return [
            own._replace(
                creator_id=numbered(own.creator_id, number),
                customer_hash=numbered(own.customer_hash, number),
                from_ms=max(DAY_START_MS + own.from_ms, 0),
                to_ms=DAY_START_MS + own.to_ms,
            )
            for own in self.own_customers
        ]


def numbered(value: Any, number: int) -> Any:
    """Return a value with the history's number behind each `~`."""
    if isinstance(value, str):
        return value.replace("~", f"~{number}")
    if isinstance(value, dict):
        return {name: numbered(inner, number) for name, inner in value.items()}
    if isinstance(value, list):
        return [numbered(inner, number) for inner in value]
    return value


def event_uuid(number: int, name: str, at_ms: int = 0) -> str:
    """Return the UUID (version 7) of an event, `e3` or `x3`, of a history; a click's has the time of the click."""
    low = 2 << 62 | number << 24 | ord(name[0]) << 16 | int(name[1:])
    return str(UUID(int=DAY_START_MS + at_ms << 80 | 7 << 76 | low))


def without(told: History, places: set[int]) -> History:
    """Return a history without some of its lines: tellings, codes and own customers, counted in this order."""
    kept = [line for place, line in enumerate(_lines(told)) if place not in places]
    return History(
        tuple(line for line in kept if isinstance(line, Telling)),
        tuple(line for line in kept if isinstance(line, CodePeriod)),
        tuple(line for line in kept if isinstance(line, OwnCustomerPeriod)),
    )


def _lines(told: History) -> tuple[Telling | CodePeriod | OwnCustomerPeriod, ...]:
    return (*told.tellings, *told.codes, *told.own_customers)


def lines_of(told: History) -> int:
    """Return how many lines a history has."""
    return len(_lines(told))


def tell_all(days: Days, histories: Iterable[tuple[int, History]]) -> None:
    """Write histories under their numbers."""
    for number, told in histories:
        for event_type, at_ms, fields in told.events(number):
            days.event(event_type, at_ms, **fields)


def _clock(at_ms: int) -> str:
    day, rest = divmod(at_ms, DAY)
    seconds, milliseconds = divmod(rest, SECOND)
    return f"{day:+d}d {seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}.{milliseconds:03d}"
