"""Keeps facts up to date beside a running core: what was loaded is derived within minutes, at a bounded cost."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from datetime import timedelta

from stackfluence import facts
from stackfluence.catalog import load_horizon
from stackfluence.clock import now_ms
from stackfluence.facts.order_schedule import OrderSchedule
from stackfluence.facts.schedule import DueDay, Schedule
from stackfluence.operations.derive import derive_days, derive_order_days
from stackfluence.operations.site import Site, finished

log = logging.getLogger(__name__)

FIRST_SECONDS = 5.0  # after the start: the loader goes first
ROUND_SECONDS = 60.0  # between rounds, at least
WORK_SECONDS = 30.0  # a round begins no further day after so long
DAYS_A_ROUND = 50


class Derivations:
    """Derives days that were touched, in rounds: of clicks one after the other, of orders an organization's together.

    An order that moves to another day is so never seen on both.
    """

    def __init__(self, site: Site) -> None:
        self._site = site
        self._schedule: Schedule | None = None
        self._orders: OrderSchedule | None = None
        self._codes_of = -1  # the catalog's revision at which codes were looked at last
        self._minimum = 0

    async def run(self) -> None:
        """Derive until cancelled; a round that fails is logged, and its days come again in the next."""
        await asyncio.sleep(FIRST_SECONDS)
        while True:
            try:
                await self.round()
            except Exception as error:  # the store's, or whatever the catalog's driver raises
                log.error("derivation_failed", extra={"error": repr(error)})
            await asyncio.sleep(ROUND_SECONDS)

    async def round(self) -> int:
        """Derive the days that are due, as long as a round may take; returns how many. Raises StoreError."""
        if self._site.opened is None:
            return 0
        if self._schedule is None:
            self._minimum = await finished(lambda: facts.highest_run(self._site.store)) + 1
            self._schedule = Schedule(self._site.store)
        schedule = self._schedule
        as_of = await load_horizon(self._site.catalog)
        await finished(lambda: schedule.look(as_of, now_ms()))
        began = time.monotonic()
        days = 0
        for due in schedule.due(now_ms(), DAYS_A_ROUND):
            if time.monotonic() - began > WORK_SECONDS:
                break
            days += await self._derive(schedule, due)
        return days + await self._round_of_orders(as_of)

    async def _round_of_orders(self, as_of: int) -> int:
        orders = self._orders = self._orders or OrderSchedule(self._site.store)
        await finished(lambda: orders.look(as_of, now_ms()))
        await finished(lambda: orders.look_at_verdicts(now_ms()))
        revision = await self._site.catalog.current_revision()
        if revision != self._codes_of:
            books = await facts.read_code_books(self._site.catalog)
            await finished(lambda: orders.look_at_codes(books, now_ms()))
            self._codes_of = revision
        together: dict[str, list[DueDay]] = {}
        for due in orders.due(now_ms(), DAYS_A_ROUND):
            together.setdefault(due.organization_id, []).append(due)
        began = time.monotonic()
        days = 0
        for dues in together.values():
            if time.monotonic() - began > WORK_SECONDS:
                break
            days += await self._derive_orders(orders, sorted(dues))
        return days

    async def _derive_orders(self, schedule: OrderSchedule, dues: Sequence[DueDay]) -> int:
        """Derive an organization's days of orders that are due; returns how many, none when that couldn't be done."""
        began = time.monotonic()
        organization_id = dues[0].organization_id
        try:
            async with self._site.deriving:
                done = await derive_order_days(
                    self._site, organization_id, [due.day for due in dues], self._minimum, is_scheduled=True
                )
        except Exception as error:  # as below
            if len(dues) > 1:  # one that can't be derived, whenever it is tried, would keep all others waiting for ever
                return sum([await self._derive_orders(schedule, [due]) for due in dues])
            schedule.failed(dues[0], now_ms())
            log.error("order_day_not_derived", extra={**_named(dues[0]), "error": repr(error)})
            return 0
        took_ms = int((time.monotonic() - began) * 1000) // len(dues)
        for due, day in zip(dues, done.days, strict=True):
            schedule.done(due, done.as_of, day.conversions, took_ms, now_ms(), is_final=day.is_final)
            if day.is_written:
                counts = {"run_id": done.run_id, "conversions": day.conversions, "took_ms": took_ms}
                log.info("order_day_derived", extra={**_named(due), **counts})
        return len(dues)

    async def _derive(self, schedule: Schedule, due: DueDay) -> bool:
        """Derive a day that is due; returns whether that could be done."""
        began = time.monotonic()
        try:
            async with self._site.deriving:
                next_day = due.day + timedelta(days=1)
                done = await derive_days(
                    self._site, due.organization_id, due.day, next_day, self._minimum, is_scheduled=True
                )
        except Exception as error:  # whatever one day fails by, those behind it are derived; cancelling goes through
            schedule.failed(due, now_ms())
            log.error("day_not_derived", extra={**_named(due), "error": repr(error)})
            return False
        took_ms = int((time.monotonic() - began) * 1000)
        is_final = done.days[0].is_final
        schedule.done(due, done.as_of, done.clicks, took_ms, now_ms(), is_final=is_final)
        if done.days[0].is_written:
            counts = {"run_id": done.run_id, "clicks": done.clicks, "valid": done.valid, "took_ms": took_ms}
            log.info("day_derived", extra={**_named(due), **counts})
        return True


def _named(due: DueDay) -> dict[str, str]:
    return {"organization_id": due.organization_id, "day": due.day.isoformat()}
