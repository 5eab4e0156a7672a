"""Country and network of an address, from files on this machine; nothing is ever asked over the network.

Each file is copied into memory that has no name and mapped from there. Whoever overwrites, truncates or removes the
file can't make the process read what is no longer there, which would end it with SIGBUS. A file that was replaced is
taken over by `refresh` when it is good: readable, of the right kind, no older than the one in use. Else that one stays.
"""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import maxminddb
from maxminddb import InvalidDatabaseError, Reader

from stackfluence import lists
from stackfluence.click.networks import classify
from stackfluence.errors import ListsUnusable, SettingsError
from stackfluence.settings import Settings
from stackfluence.vocabulary import NetworkClass

MAX_CACHED = 50_000  # addresses, about 8 MB
MAX_AHEAD_SECONDS = 2 * 86_400  # a build date may be ahead of this machine's clock by time zones and a day of mistakes
UPDATED = {"country": "GeoLite2-Country", "asn": "GeoLite2-ASN"}  # what `stackfluence geoip update` writes, by kind

_KINDS = {"country": ("country", "city", "enterprise"), "asn": ("asn", "isp", "enterprise")}  # words of database types
_PROBES = tuple(f"{first}.{second}.8.8" for first in range(1, 224) for second in (0, 64, 128, 192))
_ORGANIZATION_NAMES = ("autonomous_system_organization", "as_name", "organization", "name")
_RECORDS_READ = 200  # from the start of a file, so that one whose probes are all empty still shows its shape

log = logging.getLogger(__name__)


class Place(NamedTuple):
    """Where an address is: ISO 3166 alpha-2 country or empty, autonomous system or 0, what kind of network that is."""

    country: str
    asn: int
    network: NetworkClass


UNKNOWN = Place("", 0, NetworkClass.unknown)


class GeoFileRefused(ValueError):
    """A file can't be used; the message says why, without its name."""


@dataclass(frozen=True, slots=True)
class GeoFile:
    """A file in use. `built_at` is when its maker built it, in seconds since 1970; `is_demo`: installed by set-up.

    `attribution` is what its licence wants to be shown with it; of files of one's own the owner knows.
    """

    path: Path
    name: str
    built_at: int
    is_demo: bool
    attribution: str
    signature: tuple[int, int, int]
    reader: Reader

    @property
    def version(self) -> str:
        """Name and build date, `GeoLite2-Country 2026-06-02`, with ` demo` for what set-up installed."""
        return f"{self.name} {_day(self.built_at)}{' demo' if self.is_demo else ''}"


def country_of(record: Any) -> str:
    """Return the country of a record: MaxMind's `country.iso_code`, or a flat `country_code` or `country`."""
    if not isinstance(record, dict):
        return ""
    code = record.get("country_code") or record.get("country")
    if isinstance(code, dict):
        code = code.get("iso_code")
    return code.upper() if isinstance(code, str) and len(code) == 2 and code.isascii() and code.isalpha() else ""


def asn_of(record: Any) -> int:
    """Return the number of a record: MaxMind's `autonomous_system_number`, or a flat `asn`, 64500 or "AS64500"."""
    if not isinstance(record, dict):
        return 0
    number = record.get("autonomous_system_number") or record.get("asn")
    if isinstance(number, str):
        digits = number.upper().removeprefix("AS")
        number = int(digits) if digits.isascii() and digits.isdigit() else 0
    return number if isinstance(number, int) and 0 < number < 2**32 else 0


def organization_of(record: Any) -> str:
    """Return whose network a record says it is, empty for none, under the names that the makers of files use."""
    for name in _ORGANIZATION_NAMES:
        organization = record.get(name)
        if isinstance(organization, str):
            return organization
    return ""


def open_file(path: Path, kind: str, *, is_demo: bool = False, now: Callable[[], float] = time.time) -> GeoFile:
    """Copy, open and examine a file of kind `country` or `asn`. Raises GeoFileRefused."""
    try:
        with path.open("rb") as source:
            signature = _signature(os.fstat(source.fileno()))
            reader = _open_copy(source)
            if _signature(os.fstat(source.fileno())) != signature:
                raise GeoFileRefused("it was written to while it was read")
    except OSError as error:
        raise GeoFileRefused(error.strerror or str(error)) from None
    except (InvalidDatabaseError, UnicodeDecodeError, ValueError, MemoryError) as error:
        raise GeoFileRefused(str(error) if isinstance(error, GeoFileRefused) else "it is no whole MMDB file") from None
    built_at = _examine(reader, kind, now())
    if is_demo and kind == "asn" and reader.metadata().node_count < lists.LEAST_RANGES:  # a tree has a node for each
        raise GeoFileRefused(f"it has fewer than {lists.LEAST_RANGES:,} ranges")
    if not is_demo:
        return GeoFile(path, reader.metadata().database_type, built_at, False, "", signature, reader)
    return GeoFile(path, lists.manifest()[kind]["name"], built_at, True, lists.attribution(kind), signature, reader)


def _signature(status: os.stat_result) -> tuple[int, int, int]:
    return status.st_ino, status.st_mtime_ns, status.st_size


def _open_copy(source: BinaryIO) -> Reader:
    """Map a copy that has no name: in memory on Linux, which no disk error can reach, elsewhere a removed file."""
    if hasattr(os, "memfd_create"):
        with open(os.memfd_create("geoip"), "w+b") as copy:
            shutil.copyfileobj(source, copy, 1 << 20)
            copy.flush()
            return maxminddb.open_database(f"/proc/self/fd/{copy.fileno()}")
    descriptor, name = tempfile.mkstemp(prefix="geoip-")
    try:
        with open(descriptor, "w+b") as copy:
            shutil.copyfileobj(source, copy, 1 << 20)
        return maxminddb.open_database(name)
    finally:
        os.unlink(name)


def _examine(reader: Reader, kind: str, now: float) -> int:
    """Return the build time of a file that can be used; raises GeoFileRefused."""
    metadata = reader.metadata()
    database_type = str(metadata.database_type)
    if not any(word in database_type.lower() for word in _KINDS[kind]):
        raise GeoFileRefused(f"its type is {database_type!r}, not one of {kind} databases")
    if metadata.build_epoch > now + MAX_AHEAD_SECONDS:
        raise GeoFileRefused(f"it says that it was built on {_day(metadata.build_epoch)}, which is ahead of the clock")
    read: Callable[[Any], str | int] = country_of if kind == "country" else asn_of
    known = 0
    try:
        for address in _PROBES:
            known += bool(read(reader.get(address)))
        for _, record in islice(reader, _RECORDS_READ):
            known += bool(read(record))
    except (InvalidDatabaseError, UnicodeDecodeError, ValueError) as error:
        raise GeoFileRefused(f"it can't be read: {error}") from None
    if not known:
        raise GeoFileRefused(f"no record names {'a country' if kind == 'country' else 'an autonomous system'}")
    return int(metadata.build_epoch)


def _day(built_at: float) -> str:
    return datetime.fromtimestamp(built_at, UTC).date().isoformat() if built_at < 2**36 else "no day at all"


class Places:
    """Finds places. `find` belongs to one thread; `refresh` may run in another.

    `refused` counts files that were not taken over, for the metrics; `problems` holds the latest per kind.
    """

    def __init__(self, settings: Settings, now: Callable[[], float] = time.time, *, is_strict: bool = True) -> None:
        """Open what is configured, else what `stackfluence geoip update` wrote, else what set-up installed.

        Raises SettingsError, with file and reason, for one of the first two that can't be used, and ListsUnusable for
        one that set-up installed and that broke; when not `is_strict`, that is a problem as any other. Without any
        file every place is unknown.
        """
        self.refused = 0
        self.problems: dict[str, str] = {}
        self._now = now
        self._configured = {"country": settings.geoip_country_db, "asn": settings.geoip_asn_db}
        self._folder = settings.data_path / "geoip"
        self._refused_signatures: dict[str, tuple[int, int, int]] = {}
        self._files: dict[str, GeoFile] = {}
        self.cache: dict[str, Place] = {}
        self._known: dict[tuple[str, int], Place] = {}
        for kind in _KINDS:
            self._open_first(kind, is_strict)
        self._known = _acquaint(self._files)

    def find(self, address: str) -> Place:
        """Return where an address is; UNKNOWN for what is no address or in no file."""
        place = self.cache.get(address)
        return self._look_up(address) if place is None else place

    @property
    def files(self) -> Mapping[str, GeoFile]:
        """The files in use, by kind."""
        return self._files

    def versions(self) -> dict[str, str]:
        """Return name and date of each file in use, for the verdict: {"country": "GeoLite2-Country 2026-06-02"}."""
        return {kind: file.version for kind, file in self._files.items()}

    @property
    def attributions(self) -> list[str]:
        """What must be shown with results of the files in use, each once."""
        return list(dict.fromkeys(file.attribution for file in self._files.values() if file.attribution))

    def refresh(self) -> bool:
        """Take over the files that were replaced since; whether there was one. Blocks for the copying: some 20 ms."""
        taken = [self._replace(kind) for kind in _KINDS]
        return any(taken)

    def _source(self, kind: str) -> tuple[Path, bool] | None:
        """Return the path to read now and whether it is set-up's. Raises ListsUnusable for a broken one of set-up's."""
        if self._configured[kind]:
            return Path(self._configured[kind]), False
        updated = self._folder / f"{UPDATED[kind]}.mmdb"
        try:
            updated.stat()
        except FileNotFoundError:
            pass
        except OSError as error:  # another account's folder, for one: what set-up installed is better than nothing
            self.problems[kind] = f"{updated}: {error.strerror or error}"
        else:
            return updated, False
        return (lists.path(kind), True) if lists.is_installed(kind) else None

    def _open_first(self, kind: str, is_strict: bool) -> None:
        path, is_demo = lists.BUILT, True
        try:
            source = self._source(kind)
            if source is None:
                self.problems[kind] = "no file is installed; run `make setup` or `stackfluence geoip update`"
                log.warning("geoip_absent", extra={"kind": kind})
                return
            path, is_demo = source
            if is_demo:
                lists.whole(kind)
            self._files[kind] = open_file(path, kind, is_demo=is_demo, now=self._now)
        except ListsUnusable as unusable:
            if is_strict:
                raise
            self._refuse(kind, path, str(unusable))
        except GeoFileRefused as refusal:
            if is_strict and is_demo:
                raise ListsUnusable(f"{path}: {refusal}.") from None
            if is_strict:
                raise SettingsError(f"GeoIP file {path}: {refusal}.") from None
            with suppress(OSError):
                self._refused_signatures[kind] = _signature(path.stat())
            self._refuse(kind, path, str(refusal))

    def _replace(self, kind: str) -> bool:
        """Open a file that isn't the one in use and wasn't refused before; the one in use stays when it is no good."""
        current = self._files.get(kind)
        try:
            source = self._source(kind)
        except ListsUnusable:
            return False  # set-up writes them anew, or they broke: what is in use stays, and doctor says so
        if source is None:
            return False
        path, is_demo = source
        if current is not None and is_demo and not current.is_demo:
            return False  # the updated file is gone; better that one, as long as this process lives, than the sample
        try:
            signature = _signature(path.stat())
        except OSError:
            return False  # between two files; if it stays away, doctor says so
        if signature == self._refused_signatures.get(kind) or (
            current is not None and (current.path, current.signature) == (path, signature)
        ):
            return False
        try:
            opened = open_file(path, kind, is_demo=is_demo, now=self._now)
            if current is not None and current.is_demo == is_demo and opened.built_at < current.built_at:
                raise GeoFileRefused(f"it is of {_day(opened.built_at)}, older than {current.version} in use")
        except GeoFileRefused as refusal:
            self._refused_signatures[kind] = signature
            self._refuse(kind, path, str(refusal))
            return False
        files = {**self._files, kind: opened}
        known = _acquaint(files)
        self._files = files
        self._known, self.cache = known, {}  # after the files: what is read from the old ones goes into the old cache
        self._refused_signatures.pop(kind, None)
        self.problems.pop(kind, None)
        log.info("geoip_replaced", extra={"kind": kind, "version": opened.version})
        return True

    def _refuse(self, kind: str, path: Path, reason: str) -> None:
        self.refused += 1
        self.problems[kind] = f"{path}: {reason}"
        log.error("geoip_refused", extra={"kind": kind, "path": str(path), "reason": reason})

    def _look_up(self, address: str) -> Place:
        cache, known, files = self.cache, self._known, self._files
        place = _place(files, known, address)
        if len(cache) >= MAX_CACHED:
            cache.clear()
        cache[address] = place
        return place


def _acquaint(files: Mapping[str, GeoFile]) -> dict[tuple[str, int], Place]:
    """Return the places of addresses all over the world: the large networks, before a click has to wait for them."""
    known: dict[tuple[str, int], Place] = {}
    for address in _PROBES:
        _place(files, known, address)
    return known


def _place(files: Mapping[str, GeoFile], known: dict[tuple[str, int], Place], address: str) -> Place:
    """Return where an address is; the class of a network is told once, from a name, which takes twice the look-up."""
    if address.startswith("::ffff:") and "." in address:
        address = address[7:]
    country = country_of(_record(files.get("country"), address))
    record = _record(files.get("asn"), address)
    asn = asn_of(record)
    place = known.get((country, asn))
    if place is None:
        place = known[country, asn] = Place(country, asn, classify(asn, organization_of(record) if asn else ""))
    return place


def _record(file: GeoFile | None, address: str) -> Any:
    """Return what a file has on an address; None for none, for no address and for IPv6 in a file of IPv4."""
    if file is None:
        return None
    try:
        return file.reader.get(address)
    except (ValueError, InvalidDatabaseError):
        return None
