"""`stackfluence geoip update` against a server on loopback that answers as MaxMind's does."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import tarfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from typer.testing import CliRunner

from stackfluence import doctor
from stackfluence.cli import cli
from stackfluence.click.geo import Places
from stackfluence.errors import OperationRefused
from stackfluence.operations import geoip
from stackfluence.operations.geoip import update
from stackfluence.settings import Settings
from tests.geoip_files import write_asn, write_country

ACCOUNT, KEY = "123456", "an-invented-key"
ALLOWED = "Basic " + base64.b64encode(f"{ACCOUNT}:{KEY}".encode()).decode()
EDITIONS = ("GeoLite2-Country", "GeoLite2-ASN")


def packed(member: str, content: bytes) -> bytes:
    """Return a .tar.gz as MaxMind makes them: a folder with a licence and the database."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for name, raw in ((f"{Path(member).parent}/LICENSE.txt", b"terms"), (member, content)):
            entry = tarfile.TarInfo(name)
            entry.size = len(raw)
            tar.addfile(entry, io.BytesIO(raw))
    return out.getvalue()


@dataclass
class MaxMind:
    """What the server has, and what it was asked; `answers` are statuses given instead, per edition."""

    folder: Path
    archives: dict[str, bytes] = field(default_factory=dict)
    sums: dict[str, str] = field(default_factory=dict)
    modified: dict[str, str] = field(default_factory=dict)
    answers: dict[str, int] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    seen_elsewhere: list[str | None] = field(default_factory=list)
    origin: str = ""
    storage: str = ""

    def publish(self, built_on: str, code: str = "DE") -> None:
        for edition, path in (
            (EDITIONS[0], write_country(self.folder / "c.mmdb", code, built_on)),
            (EDITIONS[1], write_asn(self.folder / "a.mmdb", built_on=built_on)),
        ):
            self.offer(edition, packed(f"{edition}_{built_on}/{edition}.mmdb", path.read_bytes()))

    def offer(self, edition: str, archive: bytes) -> None:
        self.archives[edition] = archive
        self.sums[edition] = f"{hashlib.sha256(archive).hexdigest()}  {edition}.tar.gz\n"
        self.modified[edition] = formatdate(1_780_000_000 + len(self.asked), usegmt=True)


def answer(maxmind: MaxMind, is_storage: bool) -> type[BaseHTTPRequestHandler]:
    """Return the front, which checks the key and redirects, or the storage behind it, which must not see the key."""

    class Answer(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            edition, suffix = self.path.split("/")[3], self.path.partition("suffix=")[2]
            if is_storage:
                maxmind.seen_elsewhere.append(self.headers["Authorization"])
                is_sum = suffix == "tar.gz.sha256"
                body = maxmind.sums[edition].encode() if is_sum else maxmind.archives[edition]
                self.reply(200, body, {"Last-Modified": maxmind.modified[edition]})
                return
            maxmind.asked.append(f"{self.command} {edition} {suffix}")
            if self.headers["Authorization"] != ALLOWED:
                self.reply(401, b"no")
            elif edition in maxmind.answers:
                self.reply(maxmind.answers[edition], b"no")
            else:
                self.reply(302, b"", {"Location": f"{maxmind.storage}{self.path}"})

        def reply(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
            self.send_response(status)
            for name, value in {**(headers or {}), "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    return Answer


@pytest.fixture
def maxmind(tmp_path: Path) -> Iterator[MaxMind]:
    made = MaxMind(tmp_path / "published")
    servers = [ThreadingHTTPServer(("127.0.0.1", 0), answer(made, is_storage)) for is_storage in (False, True)]
    made.origin, made.storage = (f"http://127.0.0.1:{server.server_port}" for server in servers)
    made.publish("2026-06-02")
    threads = [threading.Thread(target=server.serve_forever, args=(0.01,)) for server in servers]
    for thread in threads:
        thread.start()
    yield made
    for server, thread in zip(servers, threads, strict=True):
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "data").mkdir()
    return Settings(data_dir=str(tmp_path / "data"), maxmind_account_id=ACCOUNT, maxmind_license_key=KEY)


def kept(settings: Settings) -> list[str]:
    return sorted(path.name for path in (settings.data_path / "geoip").iterdir())


def test_both_files_are_downloaded_and_used_from_then_on(settings: Settings, maxmind: MaxMind) -> None:
    places = Places(settings)
    assert places.versions()["country"].endswith(" demo")
    done = update(settings, origin=maxmind.origin)
    assert [(file["version"], file["is_changed"], file["is_used"]) for file in done["databases"]] == [
        ("GeoLite2-Country 2026-06-02", True, True),
        ("GeoLite2-ASN 2026-06-02", True, True),
    ]
    assert kept(settings) == ["GeoLite2-ASN.mmdb", "GeoLite2-Country.mmdb"], "nothing else is left behind"
    assert places.refresh()
    assert places.find("192.0.2.1")[:2] == ("DE", 64500)


def test_the_key_goes_to_maxmind_alone(settings: Settings, maxmind: MaxMind) -> None:
    update(settings, origin=maxmind.origin)
    assert maxmind.seen_elsewhere == [None] * 6


def test_an_unchanged_file_is_not_fetched_again(settings: Settings, maxmind: MaxMind) -> None:
    update(settings, origin=maxmind.origin)
    inodes = [path.stat().st_ino for path in (settings.data_path / "geoip").iterdir()]
    maxmind.asked.clear()
    done = update(settings, origin=maxmind.origin)
    assert [file["is_changed"] for file in done["databases"]] == [False, False]
    assert maxmind.asked == [f"HEAD {edition} tar.gz" for edition in EDITIONS]
    assert [path.stat().st_ino for path in (settings.data_path / "geoip").iterdir()] == inodes


def test_a_newer_file_replaces_the_one_in_place(settings: Settings, maxmind: MaxMind) -> None:
    update(settings, origin=maxmind.origin)
    maxmind.publish("2026-06-05", "FR")
    done = update(settings, origin=maxmind.origin)
    assert [file["version"] for file in done["databases"]] == ["GeoLite2-Country 2026-06-05", "GeoLite2-ASN 2026-06-05"]
    assert Places(settings).find("192.0.2.1").country == "FR"


def test_a_file_that_was_damaged_here_is_fetched_again(settings: Settings, maxmind: MaxMind) -> None:
    update(settings, origin=maxmind.origin)
    (settings.data_path / "geoip" / "GeoLite2-Country.mmdb").write_bytes(b"")
    assert [file["is_changed"] for file in update(settings, origin=maxmind.origin)["databases"]] == [True, False]


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (401, "doesn't accept SF_MAXMIND_ACCOUNT_ID"),
        (403, "doesn't let this account download"),
        (404, "no such database"),
        (429, "daily limit"),
        (503, "answered 503"),
    ],
)
def test_a_refusal_is_explained_and_what_is_in_place_stays(
    settings: Settings, maxmind: MaxMind, status: int, reason: str
) -> None:
    update(settings, origin=maxmind.origin)
    maxmind.publish("2026-06-05")
    maxmind.answers["GeoLite2-Country"] = status
    with pytest.raises(OperationRefused, match=f"GeoLite2-Country: .*{reason}") as refused:
        update(settings, origin=maxmind.origin)
    assert KEY not in str(refused.value)
    assert Places(settings).versions()["country"] == "GeoLite2-Country 2026-06-02"


def test_a_wrong_key_is_told(settings: Settings, maxmind: MaxMind) -> None:
    wrong = Settings(data_dir=settings.data_dir, maxmind_account_id=ACCOUNT, maxmind_license_key="another")
    with pytest.raises(OperationRefused, match="SF_MAXMIND_LICENSE_KEY"):
        update(wrong, origin=maxmind.origin)


def test_without_a_key_nothing_is_asked(settings: Settings, maxmind: MaxMind) -> None:
    with pytest.raises(OperationRefused, match="Set SF_MAXMIND_ACCOUNT_ID"):
        update(Settings(data_dir=settings.data_dir), origin=maxmind.origin)
    assert maxmind.asked == []


def test_a_server_that_is_away_is_told(settings: Settings) -> None:
    with pytest.raises(OperationRefused, match="can't be reached: ConnectError"):
        update(settings, origin="http://127.0.0.1:1")


def other_sum(maxmind: MaxMind) -> None:
    maxmind.sums["GeoLite2-Country"] = "0" * 64


def no_sum(maxmind: MaxMind) -> None:
    maxmind.sums["GeoLite2-Country"] = "<html>sign in</html>"


def no_archive(maxmind: MaxMind) -> None:
    maxmind.offer("GeoLite2-Country", b"<html>sign in</html>")


def cut_archive(maxmind: MaxMind) -> None:
    maxmind.offer("GeoLite2-Country", maxmind.archives["GeoLite2-Country"][:-200])


def nothing_inside(maxmind: MaxMind) -> None:
    maxmind.offer("GeoLite2-Country", packed("folder/other.mmdb", b""))


def another_kind(maxmind: MaxMind) -> None:
    raw = write_asn(maxmind.folder / "other.mmdb", built_on="2026-06-05").read_bytes()
    maxmind.offer("GeoLite2-Country", packed("folder/GeoLite2-Country.mmdb", raw))


def garbage(maxmind: MaxMind) -> None:
    maxmind.offer("GeoLite2-Country", packed("folder/GeoLite2-Country.mmdb", b"garbage" * 1000))


def older(maxmind: MaxMind) -> None:
    maxmind.publish("2026-05-30")


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (other_sum, "another SHA-256"),
        (no_sum, "SHA-256 is none"),
        (no_archive, "archive can't be read"),
        (cut_archive, "archive can't be read"),
        (nothing_inside, "holds no GeoLite2-Country.mmdb"),
        (another_kind, "its type is 'GeoLite2-ASN'"),
        (garbage, "no whole MMDB file"),
        (older, "GeoLite2-Country 2026-05-30 is older"),
    ],
)
def test_what_is_not_as_it_should_be_never_gets_into_place(
    settings: Settings, maxmind: MaxMind, spoil: object, reason: str
) -> None:
    update(settings, origin=maxmind.origin)
    maxmind.publish("2026-06-05", "FR")
    assert callable(spoil)
    spoil(maxmind)
    with pytest.raises(OperationRefused, match=reason):
        update(settings, origin=maxmind.origin)
    assert kept(settings) == ["GeoLite2-ASN.mmdb", "GeoLite2-Country.mmdb"]
    assert Places(settings).find("192.0.2.1").country == "DE"


def test_the_command_prints_what_it_did_as_json(
    settings: Settings, maxmind: MaxMind, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(geoip, "DOWNLOADS", maxmind.origin)
    elsewhere = write_country(tmp_path / "mine.mmdb")
    environment = {
        "SF_DATA_DIR": settings.data_dir,
        "SF_MAXMIND_ACCOUNT_ID": ACCOUNT,
        "SF_MAXMIND_LICENSE_KEY": KEY,
        "SF_GEOIP_COUNTRY_DB": str(elsewhere),
    }
    done = CliRunner().invoke(cli, ["geoip", "update", "--json"], env=environment)
    assert done.exit_code == 0, done.output
    result = json.loads(done.stdout.splitlines()[-1])
    assert [(file["kind"], file["is_used"]) for file in result["databases"]] == [("country", False), ("asn", True)]
    again = CliRunner().invoke(cli, ["geoip", "update"], env=environment)
    assert "GeoLite2-Country 2026-06-02: unchanged" in again.stdout
    assert "SF_GEOIP_COUNTRY_DB names another file" in again.stdout
    assert KEY not in done.output + again.output


def finding(settings: Settings, name: str) -> doctor.Finding:
    return next(found for found in doctor.examine(settings) if found.check == name)


def test_doctor_tells_age_and_demo_of_the_files(settings: Settings) -> None:
    demo = finding(settings, "geoip")
    assert demo.is_well
    assert " demo, " in demo.detail
    assert "geoip update" in demo.advice
    folder = settings.data_path / "geoip"
    today, long_ago = (time.strftime("%Y-%m-%d", time.gmtime(time.time() - days * 86_400)) for days in (1, 60))
    write_country(folder / "GeoLite2-Country.mmdb", built_on=today)
    write_asn(folder / "GeoLite2-ASN.mmdb", built_on=today)
    fresh = finding(settings, "geoip")
    assert (fresh.is_well, fresh.advice) == (True, "")
    assert f"GeoLite2-Country {today}, 1 days old" in fresh.detail
    write_asn(folder / "GeoLite2-ASN.mmdb", built_on=long_ago)
    old = finding(settings, "geoip")
    assert not old.is_well
    assert "60 days old" in old.detail
    (folder / "GeoLite2-ASN.mmdb").write_bytes(b"")
    broken = finding(settings, "geoip")
    assert not broken.is_well
    assert "GeoLite2-ASN.mmdb" in broken.detail


def test_doctor_names_the_lists(settings: Settings) -> None:
    found = finding(settings, "lists")
    assert found.is_well
    assert "isbot" in found.detail
