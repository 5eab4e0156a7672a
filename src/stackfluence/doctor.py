"""`stackfluence doctor`: what is wrong with this installation, and what to do about it."""

from __future__ import annotations

import asyncio
import shutil
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from stackfluence import lists, native
from stackfluence.catalog import open_catalog
from stackfluence.catalog.hook_secrets import count_hook_secrets
from stackfluence.catalog.policies import longest_windows
from stackfluence.click.geo import Places
from stackfluence.click.rules.versions import CAPTURED_ON, GOOD_FOR_DAYS, NEWEST
from stackfluence.clock import now_ms
from stackfluence.errors import ListsUnusable, StackfluenceError
from stackfluence.events.journal import segments
from stackfluence.migrate import is_current
from stackfluence.processes import core_socket
from stackfluence.settings import Settings
from stackfluence.vault import HookVault

MIN_FREE_BYTES = 2 << 30  # an hour of a busy edge's journal
LAG_SECONDS = 60.0  # segments are loaded within a second or two; a minute means that nobody loads them
GEOIP_DAYS = 45  # MaxMind publishes twice a week; older than this, networks have moved
CATALOG_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Finding:
    """One check's result; `advice` says what to do, or what could be better when all is well."""

    check: str
    is_well: bool
    detail: str
    advice: str = ""


def examine(settings: Settings) -> list[Finding]:
    """Run every check; none of them changes anything."""
    return [_guarded(name, check, settings) for name, check in _CHECKS.items()]


def _guarded(name: str, check: Callable[[Settings], Finding], settings: Settings) -> Finding:
    try:
        return check(settings)
    except Exception as error:  # a check that can't be made is a finding, not a crash
        detail = f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
        return Finding(name, False, detail, "Mend what the message names, then run doctor again.")


def _settings(settings: Settings) -> Finding:
    try:
        settings.check()
    except StackfluenceError as error:
        return Finding("settings", False, str(error), "Correct the environment; .env.example explains each setting.")
    return Finding("settings", True, "every setting can be used")


def _data_directory(settings: Settings) -> Finding:
    path = settings.data_path
    if not path.is_dir():
        advice = "Run `stackfluence init --org NAME`, or set SF_DATA_DIR."
        return Finding("data directory", False, f"{path} is missing", advice)
    probe = path / ".doctor"
    probe.write_bytes(b"")
    probe.unlink()
    if path.stat().st_mode & 0o077:
        return Finding("data directory", False, f"{path} can be read by others", f"Run chmod 700 {path}.")
    return Finding("data directory", True, str(path))


def _disk(settings: Settings) -> Finding:
    place = next(p for p in (settings.data_path, *settings.data_path.parents) if p.exists())
    free = shutil.disk_usage(place).free
    detail = f"{free / 2**30:.1f} GiB free"
    if free < MIN_FREE_BYTES:
        return Finding("disk", False, detail, "Free or add space: a full disk makes clicks unrecorded and unpaid.")
    return Finding("disk", True, detail)


def _clock(settings: Settings) -> Finding:
    newest = max((p.stat().st_mtime for p in segments_of(settings)), default=0.0)
    ahead = newest - time.time()
    if ahead > 1:
        advice = "Set the clock, and keep it set with chrony or systemd-timesyncd."
        return Finding("clock", False, f"{ahead:.0f} s behind the last journal segment", advice)
    return Finding("clock", True, time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()))


def _catalog(settings: Settings) -> Finding:
    current = asyncio.run(asyncio.wait_for(is_current(settings.catalog_url), CATALOG_SECONDS))
    if not current:
        return Finding("catalog", False, "its tables are of another version", "Run `stackfluence migrate`.")
    return Finding("catalog", True, "reachable and current")


def _hook_secrets(settings: Settings) -> Finding:
    async def count() -> tuple[int, int, int]:
        catalog = open_catalog(settings.catalog_url)
        try:
            return await count_hook_secrets(catalog, HookVault(settings.click_id_secrets))
        finally:
            await catalog.close()

    total, outdated, lost = asyncio.run(asyncio.wait_for(count(), CATALOG_SECONDS))
    if lost:
        advice = (
            "Put the secret that SF_CLICK_ID_SECRET had back behind the first, or give the connections theirs anew."
        )
        return Finding("hook secrets", False, f"{lost} of {total} connections' secrets don't open", advice)
    if outdated:
        advice = "Start a core, which encrypts them anew, before that secret is removed."
        return Finding("hook secrets", True, f"{outdated} of {total} are encrypted with an older secret", advice)
    return Finding("hook secrets", True, f"all {total} open")


def _policies(settings: Settings) -> Finding:
    async def windows() -> dict[str, int]:
        catalog = open_catalog(settings.catalog_url)
        try:
            async with catalog.reading() as session:
                return await longest_windows(session, now_ms())
        finally:
            await catalog.close()

    days = settings.click_id_ttl_hours // 24
    found = asyncio.run(asyncio.wait_for(windows(), CATALOG_SECONDS))
    longest = max(found.values(), default=0)
    if longest > days:
        owners = sum(window > days for window in found.values())
        detail = f"{owners} of {len(found)} organizations look back up to {longest} days, click IDs live for {days}"
        advice = f"Set SF_CLICK_ID_TTL_DAYS to {longest}: orders whose click ID has expired are credited to nobody."
        return Finding("policies", False, detail, advice)
    return Finding("policies", True, f"click IDs live for {days} days, no organization looks back further")


def _core(settings: Settings) -> Finding:
    path = core_socket(settings)
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(2)
        try:
            probe.connect(str(path))
        except OSError:
            advice = "Start it with `stackfluence serve` (or `core`); links and event intake work without it."
            return Finding("core", False, "no core answers in this data directory", advice)
    return Finding("core", True, "answers")


def _journal(settings: Settings) -> Finding:
    waiting = segments_of(settings)
    if not waiting:
        return Finding("journal", True, "everything is loaded")
    age = time.time() - min(p.stat().st_mtime for p in waiting)
    detail = f"{len(waiting)} segments wait to be loaded, the oldest for {age:.0f} s"
    if age > LAG_SECONDS:
        advice = "Nothing is lost. Start a core, or `stackfluence load`, and read its log."
        return Finding("journal", False, detail, advice)
    return Finding("journal", True, detail)


def _geoip(settings: Settings) -> Finding:
    try:
        places = Places(settings)
    except StackfluenceError as error:
        is_setups = isinstance(error, ListsUnusable)
        advice = "Run `make setup` anew." if is_setups else "Replace the file, or run `stackfluence geoip update`."
        return Finding("geoip", False, str(error), advice)
    ages = {file.version: int(time.time() - file.built_at) // 86_400 for file in places.files.values()}
    detail = "; ".join([*(f"{version}, {age} days old" for version, age in ages.items()), *places.attributions])
    if places.problems:
        reasons = "; ".join(f"{kind} unknown: {reason}" for kind, reason in places.problems.items())
        advice = "Run `make setup`, or `stackfluence geoip update` with a MaxMind licence key."
        return Finding("geoip", False, f"{detail}; {reasons}" if detail else reasons, advice)
    old = [file.version for file in places.files.values() if not file.is_demo and ages[file.version] > GEOIP_DAYS]
    if old:
        return Finding("geoip", False, detail, "Run `stackfluence geoip update`, best twice a week from cron.")
    if any(file.is_demo for file in places.files.values()):
        advice = "Demo data is dated and partly wrong: for real traffic set MaxMind's key and run `geoip update`."
        return Finding("geoip", True, detail, advice)
    return Finding("geoip", True, detail)


def _lists(settings: Settings) -> Finding:
    try:
        lists.check()
    except ListsUnusable as error:
        return Finding("lists", False, str(error), "Run `make setup` anew.")
    names = [f"{origin['name']} {origin['version']}" for origin in lists.manifest().values()]
    return Finding("lists", True, ", ".join(names))


def _browsers(settings: Settings) -> Finding:
    names = ", ".join(f"{known.browser} {known.newest} (held to it until {known.last})" for known in NEWEST.values())
    detail = f"headers are known up to {names}, as of {CAPTURED_ON}"
    if today() > CAPTURED_ON + timedelta(days=GOOD_FOR_DAYS):
        advice = "Install a newer version of Stackfluence: copies of newer browsers' headers go unfound by now."
        return Finding("browsers", False, detail, advice)
    return Finding("browsers", True, detail)


def _compiled(settings: Settings) -> Finding:
    if native.is_compiled():
        return Finding("compiled code", True, "clicks are taken by compiled code")
    advice = "Install a C compiler and Python's headers (python3-dev), run `make setup` again, and restart the edges."
    return Finding("compiled code", True, f"clicks are taken by Python, at twice the cost: {native.why_not}", advice)


def today() -> date:
    """Return the day, in UTC."""
    return datetime.fromtimestamp(time.time(), UTC).date()


def segments_of(settings: Settings) -> list[Path]:
    """Return the segments of every journal of this data directory that wait to be loaded."""
    return [path for worker in (settings.data_path / "journal").glob("w*") for path in segments(worker)]


_CHECKS: dict[str, Callable[[Settings], Finding]] = {
    "settings": _settings,
    "data directory": _data_directory,
    "disk": _disk,
    "clock": _clock,
    "catalog": _catalog,
    "hook secrets": _hook_secrets,
    "policies": _policies,
    "core": _core,
    "journal": _journal,
    "geoip": _geoip,
    "lists": _lists,
    "browsers": _browsers,
    "compiled code": _compiled,
}
