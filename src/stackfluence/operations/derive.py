"""Derive facts anew for days that somebody asks for, and look ahead at what other rules would change."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import Any

from sqlalchemy import select

from stackfluence import facts
from stackfluence.catalog import load_horizon, take_run
from stackfluence.catalog.tables import Creator, Organization
from stackfluence.clock import now_ms
from stackfluence.errors import WrongUsage
from stackfluence.facts import Derived, DerivedOrders, Rules, Run
from stackfluence.facts.otherwise import read_thresholds, read_weights
from stackfluence.operations.site import Arguments, Site, Tell, finished, told

MAX_DAYS = 3_700  # ten years


async def derive(site: Site, arguments: Arguments, tell: Tell) -> dict[str, Any]:
    """Derive the days [from, to), UTC, of one organization or of all: clicks and orders, each under a run of its own.

    `score_again` asks today's lists about headers that are still kept. Raises WrongUsage for days that can't be
    meant and an organization that isn't there, StoreError.
    """
    from_day, to_day = _days(arguments)
    tomorrow = datetime.fromtimestamp(now_ms() / 1000, UTC).date() + timedelta(days=1)
    if to_day > tomorrow:
        raise WrongUsage(f"Days up to {to_day} haven't come yet: --to is {tomorrow} (UTC) at the latest, exclusive.")
    organizations = await _organizations(site, arguments.get("organization_id"))
    minimum = await finished(lambda: facts.highest_run(site.store)) + 1
    runs: list[dict[str, Any]] = []
    for organization_id in organizations:

        def progress(done: int, total: int, organization_id: str = organization_id) -> None:
            tell(told(f"deriving {organization_id}", done, total))

        async with site.deriving:
            done = await derive_days(
                site,
                organization_id,
                from_day,
                to_day,
                minimum,
                scores_again=bool(arguments.get("score_again")),
                tell=progress,
            )

            def ordering(done: int, total: int, organization_id: str = organization_id) -> None:
                tell(told(f"deriving orders of {organization_id}", done, total))

            horizon = await load_horizon(site.catalog)
            days = await finished(
                partial(facts.days_with_orders, site.store, organization_id, horizon, from_day, to_day)
            )
            orders = await derive_order_days(site, organization_id, days, minimum, tell=ordering)
        runs.append({"organization_id": organization_id, **_shown(done), "orders": _shown_orders(orders)})
    return {
        "from": from_day.isoformat(),
        "to": to_day.isoformat(),
        "clicks": sum(run["clicks"] for run in runs),
        "valid": sum(run["valid"] for run in runs),
        "qualified": sum(run["qualified"] for run in runs),
        "scored_again": sum(run["scored_again"] for run in runs),
        "conversions": sum(run["orders"]["conversions"] for run in runs),
        "runs": runs,
    }


async def derive_days(
    site: Site,
    organization_id: str,
    from_day: date,
    to_day: date,
    minimum: int,
    *,
    scores_again: bool = False,
    is_scheduled: bool = False,
    tell: Callable[[int, int], None] = lambda _done, _total: None,
) -> Derived:
    """Take a run and derive days of an organization; one that was begun is finished. Raises StoreError."""
    taken = await take_run(site.catalog, organization_id, minimum)
    policies = (await facts.read_policy_books(site.catalog, organization_id))[organization_id]
    run = Run(taken.run_id, organization_id, taken.as_of, now_ms())
    return await finished(
        lambda: facts.derive(
            site.store,
            run,
            from_day,
            to_day,
            policies=policies,
            scores_again=scores_again,
            is_scheduled=is_scheduled,
            tell=tell,
        )
    )


async def derive_order_days(
    site: Site,
    organization_id: str,
    days: Sequence[date],
    minimum: int,
    *,
    is_scheduled: bool = False,
    tell: Callable[[int, int], None] = lambda _done, _total: None,
) -> DerivedOrders:
    """Take a run and derive the orders of some days of an organization, by its codes and policies of now.

    Raises StoreError.
    """
    taken = await take_run(site.catalog, organization_id, minimum)
    codes = await facts.read_code_books(site.catalog, organization_id)
    policies = await facts.read_policy_books(site.catalog, organization_id)
    terms = facts.Terms(
        codes.get(organization_id, facts.CodeBook()),
        policies[organization_id],
        await facts.read_own_customers(site.catalog, organization_id),
    )
    run = Run(taken.run_id, organization_id, taken.as_of, now_ms())
    return await finished(
        lambda: facts.derive_orders(site.store, run, days, terms, is_scheduled=is_scheduled, tell=tell)
    )


async def back_test(site: Site, arguments: Arguments, tell: Tell) -> dict[str, Any]:
    """Tell what other rules would change on the last `days` days; nothing is written.

    `flagged_from`, `weights` (`reason=points`), `without` (reasons), `thresholds` (`name=number`) and `score_again`
    change the rules of now. Raises WrongUsage for what can't be meant, StoreError.
    """
    rules = _rules(arguments)
    count = int(arguments["days"])
    if not 1 <= count <= MAX_DAYS:
        raise WrongUsage(f"{count} days can't be looked at; 1 to {MAX_DAYS} can.")
    at_ms = now_ms()
    to_day = datetime.fromtimestamp(at_ms / 1000, UTC).date() + timedelta(days=1)
    as_of = await load_horizon(site.catalog)
    results = []
    organizations = await _organizations(site, arguments.get("organization_id"))
    books = await facts.read_policy_books(site.catalog)
    for place, organization_id in enumerate(organizations):
        tell(told("comparing", place, len(organizations)))

        def compare(organization_id: str = organization_id) -> facts.BackTest:
            return facts.back_test(
                site.store,
                organization_id,
                to_day - timedelta(days=count),
                to_day,
                rules,
                books[organization_id],
                as_of=as_of,
                now_ms=at_ms,
                scores_again=bool(arguments.get("score_again")),
            )

        # days that are derived anew take a store's memory as a derivation does: one at a time
        async with site.deriving if rules.other_thresholds() else contextlib.nullcontext():
            compared = _compared(await finished(compare))
        handles = await _handles(site, organization_id)
        for creator_id, change in compared["creators"].items():
            change["creator_handle"] = handles.get(creator_id, "")
        results.append({"organization_id": organization_id, **compared})
    return {"flagged_from": rules.flagged_from, "thresholds": rules.other_thresholds(), "organizations": results}


def _days(arguments: Arguments) -> tuple[date, date]:
    try:
        from_day, to_day = (date.fromisoformat(str(arguments[name])) for name in ("from", "to"))
    except ValueError:
        raise WrongUsage("Days are written as 2026-11-22.") from None
    if not 0 < (to_day - from_day).days <= MAX_DAYS or not 2000 <= from_day.year < 2100:
        raise WrongUsage(f"From {from_day} to {to_day} are not 1 to {MAX_DAYS} days.")
    return from_day, to_day


async def _organizations(site: Site, asked: str | None) -> list[str]:
    async with site.catalog.reading() as session:
        found = list(await session.scalars(select(Organization.id).order_by(Organization.id)))
    if asked and asked not in found:
        raise WrongUsage(f"There is no organization {asked}.")
    return [asked] if asked else found


async def _handles(site: Site, organization_id: str) -> dict[str, str]:
    async with site.catalog.reading() as session:
        found = select(Creator.id, Creator.handle).where(Creator.organization_id == organization_id)
        return {row.id: row.handle for row in await session.execute(found)}


def _rules(arguments: Arguments) -> Rules:
    given = arguments.get("flagged_from")
    try:
        thresholds = read_thresholds(arguments.get("thresholds") or (), "=")
        weights = read_weights(arguments.get("weights") or (), arguments.get("without") or (), "=")
        return Rules(None if given is None else int(given), thresholds, weights)
    except ValueError as error:
        raise WrongUsage(str(error)) from None


def _shown(done: Derived) -> dict[str, Any]:
    days = [{**asdict(day), "day": day.day.isoformat()} for day in done.days]
    return {**asdict(done), "days": days}


def _shown_orders(done: DerivedOrders) -> dict[str, Any]:
    days = [
        {
            **asdict(day),
            "day": day.day.isoformat(),
            "code_keys": list(day.code_keys),
            "click_days": [clicked.isoformat() for clicked in day.click_days],
        }
        for day in done.days
    ]
    return {**asdict(done), "days": days}


def _compared(found: facts.BackTest) -> dict[str, Any]:
    return {
        "from": found.from_day.isoformat(),
        "to": found.to_day.isoformat(),
        "days": len(found.days),
        "missing_days": [day.isoformat() for day in found.missing_days],
        "scored_again": found.scored_again,
        "total": asdict(found.total),
        "creators": {creator: asdict(change) for creator, change in found.creators.items()},
        "freed": dict(found.freed),
        "condemned": dict(found.condemned),
    }
