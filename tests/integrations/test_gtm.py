"""The Google Tag Manager template runs its own scenarios in a sandbox like Google's, and says what sf.js knows."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import iso4217
import pytest

from stackfluence.vocabulary import ConversionType
from tests.integrations.gtm import ROOT, TEMPLATE, Played, Template, play, read_template

# the order of sections in an exported template
SECTIONS = [
    "TERMS_OF_SERVICE", "INFO", "TEMPLATE_PARAMETERS", "SANDBOXED_JS_FOR_WEB_TEMPLATE", "WEB_PERMISSIONS", "TESTS",
    "NOTES",
]  # fmt: skip


@pytest.fixture(scope="module")
def template() -> Template:
    """Return the template."""
    return read_template(TEMPLATE.read_text())


@pytest.fixture(scope="module")
def played(template: Template, tmp_path_factory: pytest.TempPathFactory) -> Played:
    """Return what became of the template's scenarios."""
    tests = template.tests
    folder = tmp_path_factory.mktemp("gtm")
    return play(template.code, template.permissions, tests["scenarios"], tests["setup"], folder)


def names_in(parameters: list[dict[str, Any]]) -> set[str]:
    return {parameter["name"] for parameter in parameters}


def test_every_scenario_of_the_template_holds(template: Template, played: Played) -> None:
    assert len(played.results) == len(template.tests["scenarios"]) >= 10
    assert {name: error for name, error in played.results.items() if error} == {}


def test_the_sandbox_would_run_the_code(played: Played) -> None:
    if played.faults is None:
        pytest.skip("acorn comes with `npm ci` in tests/vendor")
    assert played.faults == []


def test_the_template_has_its_sections_in_order(template: Template) -> None:
    assert template.names == SECTIONS
    assert template.information["containerContexts"] == ["WEB"]


def test_each_api_is_permitted_and_no_permission_is_left_over(template: Template) -> None:
    apis = {
        "addConsentListener": "access_consent",
        "isConsentGranted": "access_consent",
        "copyFromDataLayer": "read_data_layer",
        "createArgumentsQueue": "access_globals",
        "injectScript": "inject_script",
        "logToConsole": "logging",
    }
    required = re.findall(r"= require\('(\w+)'\)", template.code)
    assert len(required) == template.code.count("require(") == len(set(required))
    wanted = {apis[name] for name in required if name in apis}
    assert {entry["instance"]["key"]["publicId"] for entry in template.permissions} == wanted
    assert set(required) - set(apis) == {"getType", "makeNumber", "makeString", "Math"}, "these need none"


def test_each_parameter_is_read_and_each_that_is_read_exists(template: Template) -> None:
    read = set(re.findall(r"\bdata\.(\w+)", template.code)) - {"gtmOnSuccess", "gtmOnFailure"}
    assert read == names_in(template.parameters)


def test_the_goals_are_those_the_intake_knows(template: Template) -> None:
    [goals] = [parameter for parameter in template.parameters if parameter["name"] == "eventType"]
    assert [item["value"] for item in goals["selectItems"]] == [goal.value for goal in ConversionType]


def test_currencies_have_the_digits_of_iso_4217(template: Template) -> None:
    table = template.code.partition("const DIGITS = {")[2].partition("}")[0]
    written = {code: int(digits) for code, digits in re.findall(r"([A-Z]{3}): (\d)", table)}
    known = {currency.code: currency.exponent for currency in iso4217.Currency if currency.exponent is not None}
    assert written == {code: digits for code, digits in known.items() if digits != 2}


def test_every_command_is_one_of_the_snippets(template: Template) -> None:
    source = ROOT / "snippet" / "src" / "main.ts"
    commands = source.read_text().partition("const commands")[2].partition("\n};")[0]
    known = set(re.findall(r"^  (\w+)\b", commands, re.MULTILINE))
    used = set(re.findall(r"\bsfq\('(\w+)'", template.code))
    assert used == {"config", "consent", "conversion", "refund", "identify"}
    assert used <= known


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("require('injectScript')('http://go.brand.example/sf.js')", "not permitted by inject_script"),
        ("require('createArgumentsQueue')('dataLayer', 'sfq.q')", "not permitted by access_globals"),
        ("require('copyFromDataLayer')('gtm.element')", "not permitted by read_data_layer"),
        ("require('isConsentGranted')('personalization_storage')", "not permitted by access_consent"),
        ("require('sendPixel')('https://x.example/')", "there is no API sendPixel here"),
        ("throw 'x'", "x"),
    ],
)
def test_the_harness_finds_what_is_not_permitted(template: Template, tmp_path: Path, code: str, error: str) -> None:
    scenarios = [{"name": "bad", "code": "runCode({});"}]
    found = play(code, template.permissions, scenarios, "", tmp_path).results["bad"]
    assert found is not None
    assert error in found


def test_the_harness_finds_a_scenario_that_does_not_hold(tmp_path: Path) -> None:
    claims = {
        "equal": "assertThat({a: [1]}).isEqualTo({a: [2]})",
        "called": "assertApi('gtmOnSuccess').wasCalled()",
        "with": "mock('injectScript', 1); runCode({}); assertApi('injectScript').wasCalledWith('b')",
        "right": "assertThat({a: [1]}).isEqualTo({a: [1]}); assertApi('gtmOnSuccess').wasNotCalled()",
    }
    scenarios = [{"name": name, "code": code} for name, code in claims.items()]
    results = play("", [], scenarios, "", tmp_path).results
    assert [name for name, error in results.items() if error] == ["equal", "called", "with"]


@pytest.mark.parametrize(
    ("code", "fault"),
    [
        ("const a = /x/;", "a regular expression"),
        ("new Date();", "new"),
        ("window.x = 1;", "the global window"),
        ("const b = [1].find((x) => x);", "the method find"),
        ("const c = `x`;", "a template literal"),
    ],
)
def test_the_harness_finds_what_the_sandbox_refuses(tmp_path: Path, code: str, fault: str) -> None:
    faults = play(code, [], [], "", tmp_path).faults
    if faults is None:
        pytest.skip("acorn comes with `npm ci` in tests/vendor")
    assert any(found.startswith(fault) for found in faults), json.dumps(faults)
