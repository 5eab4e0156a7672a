"""One port, two processes: neither takes the other along."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from stackfluence import lists
from tests.processes.serving import HTTP, PROGRAM, Serving, environment, run, serving, wait_for
from tests.stores import serve_clickhouse


def new_link(running: Serving, campaign: str) -> str:
    body = {"creator_handle": "emma", "campaign_slug": campaign, "destination_url": "https://brand.example/shop"}
    answer = HTTP.post(f"{running.address}/v1/links", json=body, headers=running.secret, timeout=10)
    assert answer.status_code == 201, answer.text
    return f"{running.address}/c/emma/{campaign}"


def location(url: str) -> str:
    answer = HTTP.get(url, timeout=5)
    assert answer.status_code == 302, answer.text
    return answer.headers["location"]


def test_a_core_that_dies_costs_no_redirect_and_no_event(shared: Serving) -> None:
    link = new_link(shared, "spring")
    assert "inf_click_id=" in location(link)
    shared.kill("core")
    for _ in range(50):
        assert "inf_click_id=" in location(link)
    event = {"order_id": "1", "revenue_cents": 100}
    answer = HTTP.post(f"{shared.address}/v1/events/conversion", json=event, headers=shared.secret)
    assert answer.status_code == 202
    wait_for(shared.is_answering, shared.log)
    assert HTTP.get(f"{shared.address}/openapi.json", timeout=20).status_code == 200


def test_a_core_that_is_away_is_said_to_be_away(shared: Serving) -> None:
    shared.kill("core")
    answer = HTTP.get(f"{shared.address}/v1/links", headers=shared.secret)
    assert answer.status_code in (200, 503)  # it may be back already
    if answer.status_code == 503:
        assert answer.json()["type"] == "/problems/core-unavailable"
        assert answer.headers["retry-after"]


def test_an_edge_that_dies_comes_back_and_connections_wait_for_it(shared: Serving) -> None:
    link = new_link(shared, "summer-of-the-edge")
    location(link)
    before = shared.pid_of("edge-0")
    shared.kill("edge-0")
    wait_for(lambda: shared.pid_of("edge-0") != before, shared.log)
    assert "inf_click_id=" in HTTP.get(link, timeout=30).headers["location"]


def test_a_new_link_redirects_at_once_and_a_paused_one_stops_within_a_second(shared: Serving) -> None:
    link = new_link(shared, "autumn")
    location(link)
    items = HTTP.get(f"{shared.address}/v1/links", headers=shared.secret).json()["items"]
    paused = HTTP.patch(f"{shared.address}/v1/links/{items[0]['id']}", json={"status": "paused"}, headers=shared.secret)
    assert paused.status_code == 200, paused.text
    started = time.monotonic()
    wait_for(lambda: HTTP.get(link).status_code == 410, shared.log)
    assert time.monotonic() - started < 5  # the poll is every second; the rest is this machine's other work


@dataclass
class Ended:
    """An installation that served a click and was told to end."""

    directory: Path
    link: str
    status: int


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Ended:
    with serving(tmp_path_factory.mktemp("ended")) as running:
        link = new_link(running, "spring")
        location(link)
        copies = running.directory / "edge"
        wait_for(lambda: b"emma" in b"".join(path.read_bytes() for path in copies.glob("w0.sqlite*")), running.log)
        running.process.send_signal(signal.SIGTERM)
        return Ended(running.directory, link, running.process.wait(30))


def test_ending_drains_and_leaves_nothing_behind(ended: Ended) -> None:
    assert ended.status == 0
    assert list((ended.directory / "journal").glob("*/*"))
    assert not list((ended.directory / "journal").glob("*/*/*.open"))


def test_a_supervisor_that_is_killed_takes_its_children_along(tmp_path: Path) -> None:
    with serving(tmp_path) as running:
        pids = [running.pid_of(name) for name in ("core", "edge-0")]
        running.process.kill()
        running.process.wait()
        wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids))


def test_a_port_in_use_is_said_in_one_line(shared: Serving, tmp_path: Path) -> None:
    port = shared.address.rpartition(":")[2]
    done = run(tmp_path / "other", "serve", "--port", port)
    assert done.returncode == 1
    assert f"Port {port} can't be used" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_second_core_in_one_directory_is_refused(shared: Serving) -> None:
    done = run(shared.directory, "core")
    assert done.returncode == 1
    assert "in use by another process" in done.stderr


def test_an_edge_boots_from_its_disk_when_the_catalog_is_gone(ended: Ended, tmp_path: Path) -> None:
    for part in ("edge", "journal"):
        shutil.copytree(ended.directory / part, tmp_path / part, ignore=shutil.ignore_patterns("*.sock"))
    shutil.copy(ended.directory / "secrets.env", tmp_path / "secrets.env")
    address = ended.link.partition("/c/")[0]
    edge = subprocess.Popen(
        [*PROGRAM, "edge", "--port", address.rpartition(":")[2]],
        env=environment(tmp_path),
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for(lambda: _is_up(address))
        assert "inf_click_id=" in location(ended.link)
    finally:
        edge.terminate()
        edge.wait(30)


def _is_up(address: str) -> bool:
    try:
        return HTTP.get(f"{address}/healthz", timeout=2).status_code == 200
    except httpx.HTTPError:
        return False


def test_an_event_store_that_is_away_keeps_nothing_else_from_being_served(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    with serving(tmp_path / "here", SF_EVENT_STORE_URL=url) as running:
        location(new_link(running, "spring"))

        def events() -> httpx.Response:
            return HTTP.get(f"{running.address}/v1/events", headers=running.secret, timeout=10)

        assert asked_of_core(running, "/readyz").status_code == 503
        assert events().status_code == 503
        assert "can't be reached" in events().json()["detail"]
        refused = run(tmp_path / "here", "load", SF_EVENT_STORE_URL=url)
        assert refused.returncode == 1
        assert "can't reach the event store" in refused.stderr
        with serve_clickhouse(tmp_path / "there", port):
            wait_for(lambda: (found := events()).status_code == 200 and found.json()["items"], running.log)
            assert asked_of_core(running, "/readyz").json()["status"] == "ready"
            metrics = dict(line.split(" ") for line in asked_of_core(running, "/metrics").text.splitlines())
            assert metrics["stackfluence_event_store_is_open"] == "1"
            assert int(metrics["stackfluence_loader_lines_total"]) >= 1
            assert metrics["stackfluence_api_rates_failures_total"] == "0"


def asked_of_core(running: Serving, path: str) -> httpx.Response:
    """Return what a core says to those who may read its data directory."""
    with httpx.Client(transport=httpx.HTTPTransport(uds=str(running.directory / "operator.sock"))) as client:
        return client.get(f"http://core{path}", timeout=10)


def test_doctor_finds_what_is_missing_and_what_is_well(tmp_path: Path) -> None:
    before = run(tmp_path / "none", "doctor")
    assert before.returncode == 3
    assert "stackfluence init" in before.stdout
    made = run(tmp_path, "init", "--org", "Brand", "--json")
    assert made.returncode == 0, made.stderr
    assert {name: text[:4] for name, text in json.loads(made.stdout).items()} == {
        "organization_id": "org_",
        "secret_key": "sf_s",
        "publishable_key": "sf_p",
    }
    after = run(tmp_path, "doctor", "--json")
    assert after.returncode == 3  # no core runs
    assert '"check": "catalog", "is_well": true' in after.stdout


def test_a_weak_secret_refuses_to_start(tmp_path: Path) -> None:
    done = run(tmp_path, "serve", "--port", "0", SF_CLICK_ID_SECRET="1:short")
    assert done.returncode == 1
    assert "SF_CLICK_ID_SECRET" in done.stderr


def test_a_geoip_file_that_is_no_good_refuses_a_start_but_never_a_restart(tmp_path: Path) -> None:
    file = tmp_path / "country.mmdb"
    file.write_bytes(b"no database")
    refused = run(tmp_path / "refused", "serve", "--port", "0", SF_GEOIP_COUNTRY_DB=str(file))
    assert refused.returncode == 1
    assert f"GeoIP file {file}" in refused.stderr
    shutil.copyfile(lists.path("country"), file)
    with serving(tmp_path, SF_GEOIP_COUNTRY_DB=str(file)) as running:
        link = new_link(running, "spring")
        file.write_bytes(b"no database any more")
        before = running.pid_of("edge-0")
        running.kill("edge-0")
        wait_for(lambda: running.pid_of("edge-0") != before, running.log)
        assert "inf_click_id=" in HTTP.get(link, timeout=30).headers["location"]
        wait_for(lambda: "geoip_refused" in running.log.read_text(), running.log)
