"""Places come from files that may be replaced, damaged or overwritten at any moment."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from stackfluence import doctor, lists
from stackfluence.click import geo
from stackfluence.click.geo import UNKNOWN, GeoFileRefused, Place, Places, open_file
from stackfluence.errors import ListsUnusable, SettingsError
from stackfluence.settings import Settings
from stackfluence.vocabulary import NetworkClass
from tests.geoip_files import country, epoch, system, write_asn, write_country, write_file

ADDRESS = "192.0.2.7"
CORPUS = Path(__file__).parents[3] / "shared" / "data" / "bots" / "asn" / "maxmind-test"


def settings(directory: Path, *, is_configured: bool = True) -> Settings:
    if not is_configured:
        return Settings(data_dir=str(directory))
    return Settings(
        data_dir=str(directory),
        geoip_country_db=str(write_country(directory / "country.mmdb")),
        geoip_asn_db=str(write_asn(directory / "asn.mmdb")),
    )


@pytest.fixture
def places(tmp_path: Path) -> Places:
    return Places(settings(tmp_path))


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Give a copy of what set-up installed, in which a test may break something."""
    copy = tmp_path / "built"
    shutil.copytree(lists.BUILT, copy)
    monkeypatch.setattr(lists, "BUILT", copy)
    lists.manifest.cache_clear()
    yield copy
    lists.manifest.cache_clear()


@pytest.fixture
def nothing_installed(installed: Path) -> None:
    shutil.rmtree(installed)


@pytest.mark.parametrize("address", [ADDRESS, "2001:db8::1", f"::ffff:{ADDRESS}"])
def test_an_address_has_country_system_and_class(places: Places, address: str) -> None:
    assert places.find(address) == Place("DE", 64500, NetworkClass.residential)
    assert places.find(address) is places.find(address)


@pytest.mark.parametrize("address", ["198.51.100.1", "10.0.0.1", "", "here", "fe80::1%eth0", "192.0.2.7:443", "é"])
def test_what_no_file_knows_is_unknown(places: Places, address: str) -> None:
    assert places.find(address) == UNKNOWN


def test_ipv6_in_a_file_of_ipv4_is_unknown(tmp_path: Path) -> None:
    path = write_file(tmp_path / "v4.mmdb", {"192.0.2.0/24": country("DE")}, "GeoLite2-Country", "2026-06-02", 4)
    places = Places(Settings(data_dir=str(tmp_path), geoip_country_db=str(path)))
    assert (places.find(ADDRESS).country, places.find("2001:db8::1").country) == ("DE", "")


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        (country("fr"), "FR"),
        ({"country_code": "FR"}, "FR"),
        ({"country": "FR"}, "FR"),
        ({"country": {"names": {"en": "France"}}}, ""),
        ({"country_code": "France"}, ""),
        ({"registered_country": {"iso_code": "FR"}}, ""),
        ("FR", ""),
        (None, ""),
    ],
)
def test_countries_are_read_as_several_makers_write_them(record: object, expected: str) -> None:
    assert geo.country_of(record) == expected


@pytest.mark.parametrize(
    ("record", "number", "organization"),
    [
        (system(64500, "Example Telecom"), 64500, "Example Telecom"),
        ({"asn": 64500, "name": "Example Telecom"}, 64500, "Example Telecom"),
        ({"asn": "AS64500", "as_name": "Example Telecom"}, 64500, "Example Telecom"),
        ({"autonomous_system_number": 2**32, "organization": 5}, 0, ""),
        ({"asn": "ASx"}, 0, ""),
    ],
)
def test_systems_are_read_as_several_makers_write_them(
    record: dict[str, object], number: int, organization: str
) -> None:
    assert (geo.asn_of(record), geo.organization_of(record)) == (number, organization)


def test_the_cache_is_bounded(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(geo, "MAX_CACHED", 10)
    found = [places.find(f"192.0.2.{number}") for number in range(30)]
    assert set(found) == {Place("DE", 64500, NetworkClass.residential)}
    assert len(places.cache) <= 10


def test_the_verdict_names_each_file_with_its_date(places: Places) -> None:
    assert places.versions() == {"country": "GeoLite2-Country 2026-06-02", "asn": "GeoLite2-ASN 2026-06-02"}


def test_without_files_of_ones_own_the_installed_ones_are_used_and_called_demo(tmp_path: Path) -> None:
    places = Places(settings(tmp_path, is_configured=False))
    versions = places.versions()
    assert set(versions) == {"country", "asn"}
    assert all(version.endswith(" demo") for version in versions.values())
    assert versions["country"] == f"dbip-country {lists.manifest()['country']['made_on']} demo"
    assert places.find("8.8.8.8") == Place("US", 15169, NetworkClass.hosting)


def test_who_made_the_installed_files_is_shown_with_them(tmp_path: Path) -> None:
    origins = [lists.manifest()[kind] for kind in ("country", "asn")]
    expected = [f"{origin['attribution']} (CC-BY-4.0)" for origin in origins]
    assert Places(settings(tmp_path, is_configured=False)).attributions == expected
    detail = doctor._geoip(settings(tmp_path, is_configured=False)).detail
    assert all(text in detail for text in expected)
    assert Places(settings(tmp_path)).attributions == [], "files of one's own are their owner's"


@pytest.mark.usefixtures("nothing_installed")
def test_with_no_file_at_all_every_place_is_unknown_and_that_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    places = Places(settings(tmp_path, is_configured=False))
    assert places.find("8.8.8.8") == UNKNOWN
    assert places.versions() == {}
    assert "make setup" in places.problems["country"]
    assert not places.refresh()
    assert [record.message for record in caplog.records] == ["geoip_absent", "geoip_absent"], "one for each kind"
    finding = doctor._geoip(settings(tmp_path, is_configured=False))
    assert (finding.is_well, "no file is installed" in finding.detail) == (False, True)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def altered(path: Path) -> None:
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)


@pytest.mark.parametrize("kind", ["country", "asn"])
@pytest.mark.parametrize("spoil", [cut, altered, os.unlink])
def test_a_file_that_set_up_installed_and_that_broke_refuses_to_start(
    tmp_path: Path, installed: Path, kind: str, spoil: object
) -> None:
    assert callable(spoil)
    spoil(installed / f"{kind}.mmdb")
    own = settings(tmp_path, is_configured=False)
    with pytest.raises(ListsUnusable, match=rf"run `make setup`.*{kind}\.mmdb"):
        Places(own)
    finding = doctor._geoip(own)
    assert (finding.is_well, finding.advice) == (False, "Run `make setup` anew.")
    assert f"{kind}.mmdb" in finding.detail
    assert Places(settings(tmp_path)).find(ADDRESS).country == "DE", "who has files of one's own needs none of set-up's"


def test_an_edge_that_is_restarted_goes_on_without_a_file_of_set_up_s_that_broke(
    tmp_path: Path, installed: Path
) -> None:
    cut(installed / "country.mmdb")
    places = Places(settings(tmp_path, is_configured=False), is_strict=False)
    assert places.find("8.8.8.8") == Place("", 15169, NetworkClass.hosting)
    assert "country.mmdb" in places.problems["country"]
    assert (places.refused, places.refresh()) == (1, False)


def test_a_table_of_networks_that_is_thin_is_refused_though_its_manifest_agrees(
    tmp_path: Path, installed: Path
) -> None:
    raw = write_asn(installed / "asn.mmdb").read_bytes()
    manifest = json.loads((installed / "manifest.json").read_bytes())
    manifest["files"]["asn"].update(size=len(raw), sha256=hashlib.sha256(raw).hexdigest())
    (installed / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ListsUnusable, match="fewer than 100,000 ranges"):
        Places(settings(tmp_path, is_configured=False))


def test_an_updated_file_comes_before_the_installed_one_and_is_found_while_running(tmp_path: Path) -> None:
    places = Places(settings(tmp_path, is_configured=False))
    write_country(tmp_path / "geoip" / "GeoLite2-Country.mmdb", built_on="2026-01-01")
    assert places.refresh()
    assert places.find(ADDRESS).country == "DE"
    assert places.versions()["country"] == "GeoLite2-Country 2026-01-01", "older than the demo's, but no demo"
    assert Places(settings(tmp_path, is_configured=False)).versions() == places.versions()


def test_an_updated_file_that_goes_away_stays_in_use(tmp_path: Path) -> None:
    path = write_country(tmp_path / "geoip" / "GeoLite2-Country.mmdb")
    places = Places(settings(tmp_path, is_configured=False))
    path.unlink()
    assert not places.refresh()
    assert places.find(ADDRESS).country == "DE"


def test_a_file_replaced_by_rename_is_taken_over_and_the_cache_forgotten(tmp_path: Path, places: Places) -> None:
    assert places.find(ADDRESS).country == "DE"
    assert not places.refresh(), "nothing changed"
    write_country(tmp_path / "country.mmdb", "FR", "2026-06-05")
    assert places.find(ADDRESS).country == "DE", "not before the refresh"
    assert places.refresh()
    assert places.find(ADDRESS) == Place("FR", 64500, NetworkClass.residential)
    assert places.versions()["country"] == "GeoLite2-Country 2026-06-05"
    assert (places.refused, places.problems) == (0, {})


def garbage(path: Path) -> None:
    path.write_bytes(os.urandom(20_000))


def truncated(path: Path) -> None:
    whole = write_country(path, "FR", "2026-06-05").read_bytes()
    path.write_bytes(whole[: len(whole) // 2])


def beheaded(path: Path) -> None:
    whole = write_country(path, "FR", "2026-06-05").read_bytes()
    path.write_bytes(whole[len(whole) // 2 :])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def older(path: Path) -> None:
    write_country(path, "FR", "2026-06-01")


def of_another_kind(path: Path) -> None:
    write_asn(path, built_on="2026-06-05")


def without_countries(path: Path) -> None:
    write_file(path, {"192.0.2.0/24": {"city": "Somewhere"}}, "GeoLite2-Country", "2026-06-05")


def from_the_future(path: Path) -> None:
    write_country(path, "FR", "2126-06-05")


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (garbage, "no whole MMDB file"),
        (truncated, "no whole MMDB file"),
        (beheaded, ""),
        (empty, "no whole MMDB file"),
        (older, "older than GeoLite2-Country 2026-06-02"),
        (of_another_kind, "its type is 'GeoLite2-ASN'"),
        (without_countries, "no record names a country"),
        (from_the_future, "ahead of the clock"),
    ],
)
def test_a_bad_file_is_refused_once_and_the_old_one_kept(
    tmp_path: Path, places: Places, caplog: pytest.LogCaptureFixture, spoil: object, reason: str
) -> None:
    assert callable(spoil)
    spoil(tmp_path / "country.mmdb")
    assert not places.refresh()
    assert not places.refresh(), "refused before, not read again"
    assert places.refused == 1
    assert [record.message for record in caplog.records] == ["geoip_refused"]
    assert str(tmp_path / "country.mmdb") in places.problems["country"]
    assert reason in places.problems["country"]
    assert places.find(ADDRESS).country == "DE"
    write_country(tmp_path / "country.mmdb", "FR", "2026-06-05")
    assert places.refresh(), "a good one heals it"
    assert places.find(ADDRESS).country == "FR"
    assert places.problems == {}


@pytest.mark.parametrize("spoil", [garbage, truncated, beheaded, empty, of_another_kind, from_the_future, os.unlink])
def test_a_configured_file_that_is_bad_refuses_to_start(tmp_path: Path, spoil: object) -> None:
    configured = settings(tmp_path)
    assert callable(spoil)
    spoil(tmp_path / "country.mmdb")
    with pytest.raises(SettingsError, match=r"country\.mmdb: \w+"):
        Places(configured)


def test_an_edge_that_is_restarted_goes_on_without_a_file_that_broke(tmp_path: Path) -> None:
    configured = settings(tmp_path)
    truncated(tmp_path / "country.mmdb")
    places = Places(configured, is_strict=False)
    assert places.find(ADDRESS) == Place("", 64500, NetworkClass.residential)
    assert "country.mmdb" in places.problems["country"]
    assert not places.refresh()
    assert places.refused == 1
    write_country(tmp_path / "country.mmdb", "FR", "2026-06-05")
    assert places.refresh()
    assert places.find(ADDRESS).country == "FR"


def test_an_older_file_is_fine_at_start(tmp_path: Path) -> None:
    configured = settings(tmp_path)
    older(tmp_path / "country.mmdb")
    assert Places(configured).versions()["country"] == "GeoLite2-Country 2026-06-01"


def test_a_build_date_may_be_a_day_ahead_of_the_clock(tmp_path: Path) -> None:
    path = write_country(tmp_path / "country.mmdb", built_on="2026-06-02")
    assert open_file(path, "country", now=lambda: epoch("2026-06-01")).built_at == epoch("2026-06-02")
    with pytest.raises(GeoFileRefused, match="2026-06-02, which is ahead"):
        open_file(path, "country", now=lambda: epoch("2026-05-30"))


LOOK_UP_ALL = """
import sys
import maxminddb
from stackfluence.click.geo import Places
from stackfluence.settings import Settings
folder, way = sys.argv[1:]
path = folder + "/country.mmdb"
if way == "copied":
    places = Places(Settings(data_dir=folder, geoip_country_db=path))
    look_up = lambda address: places.find(address).country
else:
    look_up = maxminddb.open_database(path, maxminddb.MODE_MMAP_EXT).get
print("mapped", flush=True)
sys.stdin.readline()
print(sum(look_up(f"10.{a}.{b}.1") == "DE" for a in range(100) for b in range(20)))
"""


@pytest.mark.parametrize(("way", "status"), [("copied", 0), ("mapped in place", -signal.SIGBUS)])
def test_a_file_overwritten_in_place_while_mapped_does_not_kill_the_process(
    tmp_path: Path, way: str, status: int
) -> None:
    networks = {f"10.{a}.{b}.0/24": country("DE") for a in range(100) for b in range(20)}
    path = write_file(tmp_path / "country.mmdb", networks, "GeoLite2-Country", "2026-06-02")
    command = [sys.executable, "-c", LOOK_UP_ALL, str(tmp_path), way]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "mapped\n"
        with path.open("r+b") as file:
            file.truncate(0)
        found, _ = process.communicate("go\n", timeout=60)
    assert process.returncode == status, "mapping the file itself is what must not be done"
    assert status or found == "2000\n"


@pytest.mark.skipif(not CORPUS.is_dir(), reason="MaxMind's own test files are not here")
@pytest.mark.parametrize(
    ("name", "kind", "address", "expected"),
    [
        ("GeoLite2-Country-Test.mmdb", "country", "2.125.160.216", "GB"),
        ("GeoLite2-City-Test.mmdb", "country", "2.125.160.216", "GB"),
        ("GeoLite2-ASN-Test.mmdb", "asn", "1.128.0.1", 1221),
        ("GeoIP2-ISP-Test.mmdb", "asn", "1.128.0.1", 1221),
    ],
)
def test_maxminds_own_files_are_read(name: str, kind: str, address: str, expected: object) -> None:
    record = open_file(CORPUS / name, kind).reader.get(address)
    assert (geo.country_of(record) if kind == "country" else geo.asn_of(record)) == expected
