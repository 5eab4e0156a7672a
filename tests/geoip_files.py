"""Small GeoIP files in MaxMind's format, as tests need them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mmdb_writer import MMDBWriter
from netaddr import IPSet


class _Dated(MMDBWriter):
    built_at = 0

    def _build_meta(self) -> dict[str, Any]:
        return {**super()._build_meta(), "build_epoch": self.built_at}


def epoch(day: str) -> int:
    """Return midnight UTC of a day as seconds since 1970."""
    return int(datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp())


def write_file(
    path: Path, networks: Mapping[str, Mapping[str, Any]], database_type: str, built_on: str, version: int = 6
) -> Path:
    """Write a file whose networks have these records, in the way that replaces it: beside, then by rename."""
    writer = _Dated(version, database_type, ipv4_compatible=version == 6, int_type="u32")
    writer.built_at = epoch(built_on)
    for network, record in networks.items():
        writer.insert_network(IPSet([network]), dict(record))
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".draft")
    writer.to_db_file(os.fspath(draft))
    draft.replace(path)
    return path


def country(code: str) -> dict[str, Any]:
    """Return a record as MaxMind writes it."""
    return {"country": {"iso_code": code, "names": {"en": "Somewhere"}}}


def system(number: int, organization: str) -> dict[str, Any]:
    """Return a record as MaxMind writes it."""
    return {"autonomous_system_number": number, "autonomous_system_organization": organization}


def write_country(path: Path, code: str = "DE", built_on: str = "2026-06-02") -> Path:
    """Write a country file in which 192.0.2.0/24 and 2001:db8::/32 are in one country."""
    networks = {"192.0.2.0/24": country(code), "2001:db8::/32": country(code)}
    return write_file(path, networks, "GeoLite2-Country", built_on)


def write_asn(path: Path, number: int = 64500, name: str = "Example Telecom", built_on: str = "2026-06-02") -> Path:
    """Write an ASN file in which 192.0.2.0/24 and 2001:db8::/32 are one system."""
    networks = {"192.0.2.0/24": system(number, name), "2001:db8::/32": system(number, name)}
    return write_file(path, networks, "GeoLite2-ASN", built_on)
