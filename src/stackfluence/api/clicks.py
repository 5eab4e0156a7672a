"""Why a click counts or doesn't: its verdict, every reason with its points, and what earlier verdicts said."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar
from uuid import UUID

import msgspec
from fastapi import Query
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.ext.asyncio import AsyncSession

from stackfluence.api.access import Reading, Reads
from stackfluence.api.fields import Time, Told, read_time
from stackfluence.api.routes import MISSING, router
from stackfluence.catalog import load_horizon
from stackfluence.catalog.tables import Base, Campaign, Creator
from stackfluence.click.click_id import LENGTH
from stackfluence.clock import now_ms
from stackfluence.errors import NotFound
from stackfluence.events import feed
from stackfluence.events.event import read_leaf
from stackfluence.events.statements import read_statements
from stackfluence.events.store import Row
from stackfluence.facts import PolicyPeriod, read_policy_books
from stackfluence.lists import attributions
from stackfluence.reasons import REASONS, UNQUALIFIED_SENTENCES
from stackfluence.vocabulary import ArrivalStage, EventType, TrafficClass, TrafficReason, UnqualifiedReason

SQL = read_statements(Path(__file__).with_name("clicks.sql"))
MAX_HISTORY = 20

Named = TypeVar("Named", bound=Base)


class Verdict(Told):
    """What counts: the score is the sum of the reasons' weights, lifted ones left out, at most 100."""

    score: int = Field(ge=0, le=100)
    flagged_from: int = Field(description="The score from which on a click is invalid.")
    traffic_class: TrafficClass
    invalid_reason: str | None = Field(description="The reason that weighs most, of an invalid click.")
    is_valid: bool
    is_provisional: bool = Field(description="A session of this click would make it valid.")


class ReasonTold(Told):
    """One reason against a click, heaviest first. A lifted one was disproved by a session and weighs nothing."""

    reason: str
    weight: int = Field(description="Points, as this version weighs it.")
    traffic_class: TrafficClass
    stage: Literal["at_click", "after_click"]
    sentence: str
    is_lifted: bool


class Visit(Told):
    """Whether the click led to a visit that is billed, or else why not; judged by the policy in force at the click."""

    is_qualified: bool
    unqualified_reason: UnqualifiedReason | None
    sentence: str = Field(description="The reason for people; empty for a qualified visit.")
    visited_at: Time | None = Field(description="When the visit began, as the page told it.")
    is_duplicate_click: bool = Field(description="The same session had come through the same link before.")
    policy_version: int


class Derived(Told):
    """The derivation run that the verdict is of. `as_of` is the last load that it read."""

    run_id: int
    derived_at: Time
    as_of: int
    code_version: str
    is_scored_again: bool = Field(description="The reasons at the click are those of newer rules or lists.")


class Earlier(Told):
    """A verdict that a later run replaced by another one. Of runs that said the same it names the last."""

    run_id: int
    derived_at: Time
    score: int
    traffic_class: TrafficClass
    invalid_reason: str | None
    reasons: list[str]


class Signals(Told):
    """The request, as long as it is kept: all header names, and the values of those that rules read."""

    user_agent: str
    method: str
    transport: str
    headers: list[tuple[str, str]]


class Click(Told):
    """A click and what is held against it. Without `derived` it is what the edge said; the facts come later."""

    click_id: str
    occurred_at: Time
    link_id: str
    asset_slug: str | None
    page_path: str | None = Field(description="Where the link led, as //host/path.")
    creator_id: str
    creator_handle: str | None
    campaign_id: str
    campaign_slug: str | None
    is_test: bool
    verdict: Verdict
    reasons: list[ReasonTold]
    list_versions: dict[str, str] = Field(description="The lists and tables that were asked, by name.")
    list_attributions: list[str] = Field(description="What their licences want to be shown with country and network.")
    evidence: dict[str, int] = Field(description="The numbers that reasons found after the click rest on.")
    arrival_stage: ArrivalStage | None = Field(description="Null until it is derived, as are the three that follow.")
    sessions: int | None
    pageviews: int | None
    engaged_ms: int | None
    visit: Visit | None
    country: str
    asn: int = Field(description="The autonomous system, the network it came through; 0 when unknown.")
    in_app_browser: str = Field(description="The app that showed the page; empty for a browser.")
    ua_family: str
    os_family: str
    device_class: str
    derived: Derived | None
    history: list[Earlier] = Field(description="Newest first.", max_length=MAX_HISTORY)
    signals: Signals | None = Field(default=None, description="With `include=signals`, while they are kept.")


class ClickQuery(BaseModel):
    """What else is wanted."""

    model_config = ConfigDict(extra="forbid")

    include: Literal["", "signals"] = Field(default="", description="`signals`: user agent and headers; personal.")


class _Seen(msgspec.Struct):
    headers: list[tuple[str, str]] = []
    method: str = ""
    transport: str = ""


class _Half(msgspec.Struct):
    user_agent: str = ""
    signals: str = ""


routes = router("clicks")


@routes.get("/clicks/{click_id}", responses=MISSING, summary="Explain a click")
async def explain_click(click_id: str, asked: Annotated[ClickQuery, Query()], reading: Reads) -> Click:
    """Explain why a click counts or doesn't. `click_id` is its UUID or the signed ID, whose signature is checked.

    Before it is derived, the verdict is the edge's. Nothing personal is told, unless `include=signals` asks for it.
    """
    rows = await _rows_of(reading, click_id)
    leaf = read_leaf(rows[0]["line"].encode()) if rows else {}
    if leaf.get("event_type") != EventType.click:
        raise NotFound(f"There is no click {click_id!r}.")
    asked_of = _named(reading, leaf, rows)
    verdicts = await _verdicts_of(reading, asked_of)
    current = verdicts[0] if verdicts and verdicts[0]["run_id"] == verdicts[0]["newest_run"] else None
    earlier = [row for row in verdicts if row is not current][:MAX_HISTORY]
    creator = await _own(reading, Creator, leaf.get("creator_id", ""))
    campaign = await _own(reading, Campaign, leaf.get("campaign_id", ""))
    books = await read_policy_books(reading.core.catalog, reading.organization_id)
    policy = books[reading.organization_id].in_force(read_time(leaf["occurred_at"]))
    judged = _stamped(leaf, policy) if current is None else _derived(current, policy)
    if current and current["is_scored_again"]:
        again = await reading.core.events.read(SQL["lists_of_click"], **asked_of, last_run=current["run_id"])
        lists = again[0]["list_versions"] if again else {}
    else:
        lists = leaf.get("list_versions", {})
    return Click(
        click_id=leaf["event_id"],
        occurred_at=read_time(leaf["occurred_at"]),
        link_id=leaf.get("link_id", ""),
        asset_slug=leaf.get("asset_slug") or None,
        page_path=leaf.get("page_path") or None,
        creator_id=leaf.get("creator_id", ""),
        creator_handle=creator.handle if creator else None,
        campaign_id=leaf.get("campaign_id", ""),
        campaign_slug=campaign.slug if campaign else None,
        is_test=leaf.get("is_test", False),
        asn=leaf.get("asn", 0),
        ua_family=leaf.get("ua_family", ""),
        os_family=leaf.get("os_family", ""),
        device_class=leaf.get("device_class", ""),
        list_versions=dict(sorted(lists.items())),
        list_attributions=attributions(lists),
        history=[_earlier(row) for row in earlier],
        signals=await _signals_of(reading, rows[0]) if asked.include == "signals" else None,
        **judged,
    )


def event_id_of(reading: Reading, click_id: str) -> str | None:
    """Return the UUID that a click's ID names: itself, or a signed ID of the same organization. None for anything else.

    Its lifetime doesn't matter here: a click may be asked about for ever.
    """
    if len(click_id) == LENGTH:
        click = reading.core.click_ids.verify(click_id, reading.organization_id, at_ms=0).click
        return None if click is None else click.event_id
    try:
        return str(UUID(click_id))
    except ValueError:
        return None


async def _rows_of(reading: Reading, click_id: str) -> list[Row]:
    """Return all rows of the event, the one that counts first."""
    store, event_id = reading.core.events, event_id_of(reading, click_id)
    if event_id is None:
        return []
    horizon = await load_horizon(reading.core.catalog)
    asked = {"organization_id": reading.organization_id, "horizon": horizon, "event_id": event_id}
    return await store.read(feed.SQL["rows_of_event"], **asked)


def _named(reading: Reading, leaf: dict[str, Any], rows: list[Row]) -> dict[str, Any]:
    """Return what finds a click's verdicts quickly: whose it is, its id, and when it was by any of its rows."""
    moments = [read_time(read_leaf(row["line"].encode())["occurred_at"]) for row in rows]
    return {
        "organization_id": reading.organization_id,
        "click_id": leaf["event_id"],
        "first_ms": min(moments),
        "last_ms": max(moments),
    }


async def _verdicts_of(reading: Reading, asked_of: dict[str, Any]) -> list[Row]:
    """Return the verdicts on a click, newest first; what runs only repeated is there once."""
    store, moment = reading.core.events, now_ms()
    (last,) = await store.read(SQL["last_run"], organization_id=reading.organization_id, now_ms=moment)
    return await store.read(
        SQL["verdicts_of_click"], **asked_of, last_run=last["last_run"], now_ms=moment, limit=MAX_HISTORY + 1
    )


async def _signals_of(reading: Reading, row: Row) -> Signals | None:
    place = {"organization_id": reading.organization_id, "node": row["node"], "seq": row["seq"]}
    halves = await reading.core.events.read(feed.SQL["personal_of_event"], **place)
    if not halves or not halves[0]["expiring"]:
        return None
    half = msgspec.json.decode(halves[0]["expiring"].encode(), type=_Half)
    seen = msgspec.json.decode(half.signals.encode(), type=_Seen) if half.signals else _Seen()
    return Signals(user_agent=half.user_agent, method=seen.method, transport=seen.transport, headers=seen.headers)


async def _own(reading: Reading, kind: type[Named], identifier: str) -> Named | None:
    """Return one of the organization's own, None when the catalog has no such thing."""
    session: AsyncSession = reading.session
    row = await session.get(kind, identifier) if identifier else None
    return row if getattr(row, "organization_id", None) == reading.organization_id else None


def _stamped(leaf: dict[str, Any], policy: PolicyPeriod) -> dict[str, Any]:
    """Return the members of a click that no run has judged yet: what its edge stamped on it."""
    found = known(leaf.get("bot_reasons", []))
    score, invalid_reason = policy.judge(found)
    verdict = Verdict(
        score=score,
        flagged_from=policy.flagged_from,
        traffic_class=REASONS[invalid_reason].traffic_class if invalid_reason else TrafficClass.valid,
        invalid_reason=invalid_reason,
        is_valid=invalid_reason is None,
        is_provisional=invalid_reason is not None and _is_provisional(found, policy),
    )
    return {
        "verdict": verdict,
        "reasons": tell_reasons(leaf.get("bot_reasons", []), [], []),
        "evidence": {},
        "arrival_stage": None,
        "sessions": None,
        "pageviews": None,
        "engaged_ms": None,
        "visit": None,
        "country": leaf.get("country", ""),
        "in_app_browser": leaf.get("in_app_browser", ""),
        "derived": None,
    }


def _derived(row: Row, policy: PolicyPeriod) -> dict[str, Any]:
    """Return the members of a click that a derivation run has judged."""
    counting = known({*row["bot_reasons"], *row["later_reasons"]} - set(row["lifted_reasons"]))
    is_valid = not row["invalid_reason"]
    verdict = Verdict(
        score=row["score"],
        flagged_from=row["flagged_from"],
        traffic_class=row["traffic_class"],
        invalid_reason=row["invalid_reason"] or None,
        is_valid=is_valid,
        is_provisional=not is_valid and _is_provisional(counting, policy),
    )
    return {
        "verdict": verdict,
        "reasons": tell_reasons(row["bot_reasons"], row["later_reasons"], row["lifted_reasons"]),
        "evidence": dict(sorted(row["evidence"].items())),
        "arrival_stage": row["arrival_stage"],
        "sessions": row["sessions"],
        "pageviews": row["pageviews"],
        "engaged_ms": row["engaged_ms"],
        "visit": _visit(row),
        "country": row["country"],
        "in_app_browser": row["in_app_browser"],
        "derived": Derived(
            run_id=row["run_id"],
            derived_at=_milliseconds(row["derived_at"]),
            as_of=row["as_of"],
            code_version=row["code_version"],
            is_scored_again=row["is_scored_again"],
        ),
    }


def _visit(row: Row) -> Visit | None:
    """Return what became of the visit; None of a run that didn't judge visits yet."""
    if row["unqualified_reason"] == UnqualifiedReason.not_derived:
        return None
    visited_ms = _milliseconds(row["visited_at"])
    return Visit(
        is_qualified=not row["unqualified_reason"],
        unqualified_reason=row["unqualified_reason"] or None,
        sentence=UNQUALIFIED_SENTENCES.get(row["unqualified_reason"], ""),
        visited_at=visited_ms or None,
        is_duplicate_click=row["is_duplicate_click"],
        policy_version=row["policy_version"],
    )


def _earlier(row: Row) -> Earlier:
    return Earlier(
        run_id=row["run_id"],
        derived_at=_milliseconds(row["derived_at"]),
        score=row["score"],
        traffic_class=row["traffic_class"],
        invalid_reason=row["invalid_reason"] or None,
        reasons=sorted({*row["bot_reasons"], *row["later_reasons"]} - set(row["lifted_reasons"])),
    )


def known(words: Any) -> list[TrafficReason]:
    """Return the reasons among words; one of another version is none of them."""
    return sorted(TrafficReason(word) for word in set(words) & set(TrafficReason))


def _is_provisional(found: list[TrafficReason], policy: PolicyPeriod) -> bool:
    _, invalid_reason = policy.judge(reason for reason in found if not REASONS[reason].is_provisional)
    return invalid_reason is None


def tell_reasons(at_click: list[str], after_click: list[str], lifted: list[str]) -> list[ReasonTold]:
    """Return every reason with its weight and sentence, those that count first, heaviest first.

    The weights of those that are not lifted add up to the score, which is never above 100. A word that this version
    doesn't know weighs nothing.
    """
    told = []
    for word in {*at_click, *after_click, *lifted}:
        row = REASONS[TrafficReason(word)] if word in REASONS else None
        told.append(
            ReasonTold(
                reason=word,
                weight=row.weight if row else 0,
                traffic_class=row.traffic_class if row else TrafficClass.valid,
                stage="after_click" if word in after_click else "at_click",
                sentence=row.sentence if row else "A reason of another version, which this one doesn't know.",
                is_lifted=word in lifted,
            )
        )
    return sorted(told, key=lambda each: (each.is_lifted, -each.weight, each.reason))


def _milliseconds(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)
