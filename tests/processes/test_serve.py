"""One port, two processes: neither takes the other along."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from stackfluence import lists
from tests.processes.serving import PROGRAM, Serving, environment, initialized, run, serving, wait_for
from tests.stores import serve_clickhouse


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Serving]:
    with serving(tmp_path) as running:
        yield running


def new_link(running: Serving, campaign: str) -> str:
    body = {"creator_handle": "emma", "campaign_slug": campaign, "destination_url": "https://brand.example/shop"}
    answer = httpx.post(f"{running.address}/v1/links", json=body, headers=running.secret, timeout=10)
    assert answer.status_code == 201, answer.text
    return f"{running.address}/c/emma/{campaign}"


def location(url: str) -> str:
    answer = httpx.get(url, timeout=5)
    assert answer.status_code == 302, answer.text
    return answer.headers["location"]


def test_a_core_that_dies_costs_no_redirect_and_no_event(installation: Serving) -> None:
    link = new_link(installation, "spring")
    assert "inf_click_id=" in location(link)
    installation.kill("core")
    for _ in range(50):
        assert "inf_click_id=" in location(link)
    event = {"order_id": "1", "revenue_cents": 100}
    answer = httpx.post(f"{installation.address}/v1/events/conversion", json=event, headers=installation.secret)
    assert answer.status_code == 202
    restarted = wait_for(lambda: httpx.get(f"{installation.address}/openapi.json").status_code == 200)
    assert restarted


def test_a_core_that_is_away_is_said_to_be_away(installation: Serving) -> None:
    installation.kill("core")
    answer = httpx.get(f"{installation.address}/v1/links", headers=installation.secret)
    assert answer.status_code in (200, 503)  # it may be back already
    if answer.status_code == 503:
        assert answer.json()["type"] == "/problems/core-unavailable"
        assert answer.headers["retry-after"]


def test_an_edge_that_dies_comes_back_and_connections_wait_for_it(installation: Serving) -> None:
    link = new_link(installation, "spring")
    location(link)
    before = installation.pid_of("edge-0")
    installation.kill("edge-0")
    wait_for(lambda: installation.pid_of("edge-0") != before, installation.log)
    assert "inf_click_id=" in httpx.get(link, timeout=30).headers["location"]


def test_a_new_link_redirects_at_once_and_a_paused_one_stops_within_a_second(installation: Serving) -> None:
    link = new_link(installation, "autumn")
    location(link)
    items = httpx.get(f"{installation.address}/v1/links", headers=installation.secret).json()["items"]
    paused = httpx.patch(
        f"{installation.address}/v1/links/{items[0]['id']}", json={"status": "paused"}, headers=installation.secret
    )
    assert paused.status_code == 200, paused.text
    started = time.monotonic()
    wait_for(lambda: httpx.get(link).status_code == 410, installation.log)
    assert time.monotonic() - started < 5  # the poll is every second; the rest is this machine's other work


def test_ending_drains_and_leaves_nothing_behind(installation: Serving) -> None:
    link = new_link(installation, "spring")
    location(link)
    installation.process.send_signal(signal.SIGTERM)
    assert installation.process.wait(30) == 0
    assert not list((installation.directory / "journal").glob("*/*/*.open"))


def test_a_supervisor_that_is_killed_takes_its_children_along(installation: Serving) -> None:
    pids = [installation.pid_of(name) for name in ("core", "edge-0")]
    installation.process.kill()
    installation.process.wait()
    wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids))


def test_a_port_in_use_is_said_in_one_line(installation: Serving, tmp_path: Path) -> None:
    port = installation.address.rpartition(":")[2]
    done = run(tmp_path / "other", "serve", "--port", port)
    assert done.returncode == 1
    assert f"Port {port} can't be used" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_second_core_in_one_directory_is_refused(installation: Serving) -> None:
    done = run(installation.directory, "core")
    assert done.returncode == 1
    assert "in use by another process" in done.stderr


def test_an_edge_boots_from_its_disk_when_the_catalog_is_gone(tmp_path: Path) -> None:
    with serving(tmp_path) as running:
        link = new_link(running, "spring")
        location(link)
        wait_for(lambda: b"emma" in b"".join(p.read_bytes() for p in (tmp_path / "edge").glob("w0.sqlite*")))
    (tmp_path / "catalog.sqlite").rename(tmp_path / "elsewhere.sqlite")
    for leftover in tmp_path.glob("catalog.sqlite-*"):
        leftover.unlink()
    edge = subprocess.Popen(
        [*PROGRAM, "edge", "--port", running.address.rpartition(":")[2]],
        env=environment(tmp_path),
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for(lambda: _is_up(running.address))
        assert "inf_click_id=" in location(link)
    finally:
        edge.terminate()
        edge.wait(30)


def _is_up(address: str) -> bool:
    try:
        return httpx.get(f"{address}/healthz", timeout=2).status_code == 200
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
            return httpx.get(f"{running.address}/v1/events", headers=running.secret, timeout=10)

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


def asked_of_core(running: Serving, path: str) -> httpx.Response:
    """Return what a core says to those who may read its data directory."""
    with httpx.Client(transport=httpx.HTTPTransport(uds=str(running.directory / "operator.sock"))) as client:
        return client.get(f"http://core{path}", timeout=10)


def test_doctor_finds_what_is_missing_and_what_is_well(tmp_path: Path) -> None:
    before = run(tmp_path / "none", "doctor")
    assert before.returncode == 3
    assert "stackfluence init" in before.stdout
    initialized(tmp_path)
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
    with serving(tmp_path, SF_GEOIP_COUNTRY_DB=str(file)) as installation:
        link = new_link(installation, "spring")
        file.write_bytes(b"no database any more")
        before = installation.pid_of("edge-0")
        installation.kill("edge-0")
        wait_for(lambda: installation.pid_of("edge-0") != before, installation.log)
        assert "inf_click_id=" in httpx.get(link, timeout=30).headers["location"]
        wait_for(lambda: "geoip_refused" in installation.log.read_text(), installation.log)
