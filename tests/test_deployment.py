"""docker-compose.yml holds together: no container engine runs in the tests, so what can be read is checked."""

from __future__ import annotations

import inspect
import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml

from stackfluence.cli import cli
from stackfluence.settings import Settings

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docker-compose.yml").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if service["image"] == "stackfluence"}


def test_every_process_is_there() -> None:
    assert {"caddy", "edge", "core", "loader", "postgres", "redis", "clickhouse"} <= set(SERVICES)
    assert {"edge", "core", "loader", "migrate"} == set(OURS)


@pytest.mark.parametrize("service", OURS.values(), ids=OURS)
def test_its_command_is_one_the_command_line_knows(service: dict[str, Any]) -> None:
    program, name, *options = service["command"]
    assert program == "stackfluence"
    functions = [command.callback for command in cli.registered_commands if command.callback is not None]
    known = next(function for function in functions if function.__name__ == name)
    parameters = inspect.signature(known).parameters
    given = [option.removeprefix("--").replace("-", "_") for option in options if option.startswith("--")]
    assert set(given) <= set(parameters)


def test_the_loader_sits_beside_the_edge_on_the_same_journal() -> None:
    assert SERVICES["loader"]["command"] == ["stackfluence", "load", "--follow"]
    assert SERVICES["loader"]["volumes"] == SERVICES["edge"]["volumes"] == ["data:/var/lib/stackfluence"]


def test_what_serves_requests_is_watched() -> None:
    assert [name for name in SERVICES if "healthcheck" not in SERVICES[name]] == ["loader", "migrate"]


def test_the_edge_has_neither_the_master_key_nor_the_event_store() -> None:
    assert {"SF_MASTER_KEY", "SF_EVENT_STORE_URL"}.isdisjoint(SERVICES["edge"]["environment"])
    assert "SF_MASTER_KEY" not in SERVICES["loader"]["environment"]


def test_every_variable_is_a_setting_or_in_the_example_environment() -> None:
    settings = {f"SF_{setting.name.upper()}" for setting in fields(Settings)}
    example = set(re.findall(r"^(\w+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))
    given = {name for service in OURS.values() for name in service["environment"]}
    assert given <= settings
    assert set(re.findall(r"\$\{(\w+)", TEXT)) <= example


def test_no_secret_has_a_default() -> None:
    for name in ("SF_CLICK_ID_SECRET", "SF_MASTER_KEY", "POSTGRES_PASSWORD", "CLICKHOUSE_PASSWORD"):
        assert set(re.findall(r"\$\{" + name + r"([^}]*)\}", TEXT)) == {":?set it in .env"}


def test_only_the_front_has_ports() -> None:
    assert [name for name, service in SERVICES.items() if "ports" in service] == ["caddy"]


@pytest.mark.parametrize("service", SERVICES.values(), ids=SERVICES)
def test_what_a_service_refers_to_exists(service: dict[str, Any]) -> None:
    assert set(service.get("depends_on", [])) <= set(SERVICES)
    for volume in service.get("volumes", []):
        source = volume.split(":")[0]
        assert (ROOT / source).exists() if source.startswith(".") else source in COMPOSE["volumes"]


def test_the_image_does_not_run_as_root_and_installs_by_hash_only_what_is_pinned() -> None:
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    assert [line for line in lines if line.startswith("USER ")] == ["USER stackfluence"]
    installs = [line for line in lines if "pip install" in line]
    assert installs
    assert all("--require-hashes" in line or "--no-deps" in line for line in installs)
    copied = [
        name for line in lines if line.startswith("COPY ") and "--from" not in line for name in line.split()[1:-1]
    ]
    sent = (ROOT / ".dockerignore").read_text().splitlines()
    assert [name for name in copied if not (ROOT / name).exists() or f"!{name}" not in sent] == []
