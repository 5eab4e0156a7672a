"""The vectors of docs/click-id-vectors.json hold for the edge, for both stand-alone verifiers, and for HKDF itself."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from stackfluence.click.click_id import ClickIdKeys
from stackfluence.names import id_bytes
from stackfluence.vocabulary import ClickIdStatus
from tests.click.make_vectors import SECRETS, TTL_HOURS, VECTORS, text

VERIFIERS = Path(__file__).parents[2] / "clients" / "verify"
PYTHON_VERIFIER = VERIFIERS / "click_id.py"
JAVASCRIPT_VERIFIER = VERIFIERS / "click-id.mjs"
DOCUMENT: dict[str, Any] = json.loads(VECTORS.read_text())
CASES: list[dict[str, Any]] = DOCUMENT["cases"]
KEYS: dict[str, str] = {key["name"]: key["key_hex"] for key in DOCUMENT["keys"]}
by_name = pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])

# answers every case in one process: starting Node costs more than all the cases together
ANSWER_ALL = """
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";
const [vectors, verifier] = process.argv.slice(-2);
const { verify } = await import(pathToFileURL(verifier));
const { keys, cases } = JSON.parse(readFileSync(vectors, "utf8"));
const held = Object.fromEntries(keys.map((key) => [key.name, key.key_hex]));
const answers = [];
for (const { click_id, keys, at_ms: atMs, organization_id: organizationId } of cases) {
  answers.push(await verify(click_id, keys.map((name) => held[name]), { atMs, organizationId }));
}
process.stdout.write(JSON.stringify(answers));
"""


def node() -> str:
    found = shutil.which("node")
    if found is None:
        pytest.fail("Node >= 20 is required to test clients/verify/click-id.mjs, and there is no `node` on the PATH.")
    return found


@pytest.fixture(scope="module")
def python_verifier() -> ModuleType:
    spec = importlib.util.spec_from_file_location("stand_alone_click_id", PYTHON_VERIFIER)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_the_committed_vectors_are_what_the_script_makes() -> None:
    assert VECTORS.read_text() == text(), "run `python -m tests.click.make_vectors` and look at what changed"


def test_the_vectors_cover_every_status_both_flags_and_two_key_ids() -> None:
    clicks = [case["click"] for case in CASES if "click" in case]
    assert {case["status"] for case in CASES} == set(ClickIdStatus) - {ClickIdStatus.unknown_click}
    assert {click["kid"] for click in clicks} == {1, 2}
    assert {(click["is_unrecorded"], click["is_test"]) for click in clicks} >= {
        (True, True),
        (True, False),
        (False, True),
    }
    assert len(CASES) >= 20
    assert len({case["name"] for case in CASES}) == len(CASES)


@pytest.mark.parametrize("key", DOCUMENT["keys"], ids=lambda key: key["name"])
def test_the_verification_keys_are_hkdf_as_another_implementation_computes_it(key: dict[str, Any]) -> None:
    # WebCrypto's HKDF shares no code with ours
    script = """
        const [secret, kid, organization] = process.argv.slice(-3);
        const bytes = (text) => new TextEncoder().encode(text);
        const info = Uint8Array.of(Number(kid), ...Buffer.from(organization, "hex"));
        const ikm = await crypto.subtle.importKey("raw", bytes(secret), "HKDF", false, ["deriveBits"]);
        const algorithm = { name: "HKDF", hash: "SHA-256", salt: bytes("stackfluence/click-id/v1"), info };
        process.stdout.write(Buffer.from(await crypto.subtle.deriveBits(algorithm, ikm, 256)).toString("hex"));
    """
    arguments = [SECRETS[key["kid"]], str(key["kid"]), key["organization_hex"]]
    run = subprocess.run(
        [node(), "--input-type=module", "-e", script, "--", *arguments], capture_output=True, text=True, check=True
    )
    assert run.stdout == key["key_hex"]
    assert id_bytes(key["organization_id"]).hex() == key["organization_hex"]


@by_name
def test_the_edge_gives_the_status_of_the_vectors(case: dict[str, Any]) -> None:
    edge = ClickIdKeys({kid: secret.encode() for kid, secret in SECRETS.items()}, TTL_HOURS)
    verdict = edge.verify(case["click_id"], case["organization_id"], case["at_ms"])
    assert verdict.status == case.get("edge_status", case["status"])
    assert (verdict.click and verdict.click._asdict()) == case.get("click")


@by_name
def test_the_stand_alone_python_verifier_gives_the_status_of_the_vectors(
    case: dict[str, Any], python_verifier: ModuleType
) -> None:
    keys = [bytes.fromhex(KEYS[name]) for name in case["keys"]]
    verdict = python_verifier.verify(case["click_id"], keys, case["at_ms"], case["organization_id"])
    assert verdict.status == case["status"]
    assert (verdict.click and verdict.click._asdict()) == case.get("click")


def test_the_stand_alone_javascript_verifier_gives_the_status_of_the_vectors() -> None:
    run = subprocess.run(
        [node(), "--input-type=module", "-e", ANSWER_ALL, "--", str(VECTORS), str(JAVASCRIPT_VERIFIER)],
        capture_output=True,
        text=True,
        check=True,
    )
    answers = json.loads(run.stdout)
    assert len(answers) == len(CASES)
    for case, answer in zip(CASES, answers, strict=True):
        assert answer == {"status": case["status"], "click": case.get("click")}, case["name"]


def test_the_javascript_verifier_needs_nothing_of_node() -> None:
    script = """
        import { pathToFileURL } from "node:url";
        const [id, key, verifier] = process.argv.slice(-3);
        const { stdout } = process;
        delete globalThis.process; // as in a browser
        delete globalThis.Buffer;
        const { verify } = await import(pathToFileURL(verifier));
        stdout.write((await verify(id, [key], { atMs: 0 })).status);
    """
    run = subprocess.run(
        [
            node(),
            "--input-type=module",
            "-e",
            script,
            "--",
            CASES[0]["click_id"],
            KEYS["brand/1"],
            str(JAVASCRIPT_VERIFIER),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout == "valid"
    assert not re.search(r"^import\b", JAVASCRIPT_VERIFIER.read_text(), re.MULTILINE)


def run_command(verifier: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    program = [node()] if verifier == JAVASCRIPT_VERIFIER else [sys.executable, "-I"]  # -I: nothing but the file
    return subprocess.run([*program, str(verifier), *arguments], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("verifier", [PYTHON_VERIFIER, JAVASCRIPT_VERIFIER], ids=lambda path: path.suffix)
class TestCommandLine:
    """Both verifiers are the same command in two languages."""

    def test_a_valid_id_is_explained_and_exits_with_0(self, verifier: Path) -> None:
        case = CASES[0]
        run = run_command(verifier, KEYS["brand/1"], case["click_id"], "--at", str(case["at_ms"]))
        assert run.returncode == 0
        times = {"issued_at": "2026-11-22T12:00:00.123Z", "expires_at": "2026-12-22T12:00:00.123Z"}
        assert json.loads(run.stdout) == {"status": "valid", **case["click"], **times}

    def test_either_of_two_keys_will_do(self, verifier: Path) -> None:
        case = CASES[0]
        keys = f"{KEYS['brand/2']},{KEYS['brand/1'].upper()}"
        run = run_command(verifier, keys, case["click_id"], "--at", str(case["at_ms"]))
        assert (run.returncode, json.loads(run.stdout)["status"]) == (0, "valid")

    def test_another_brands_key_is_a_bad_signature_and_exits_with_1(self, verifier: Path) -> None:
        run = run_command(verifier, KEYS["rival/1"], CASES[0]["click_id"])
        assert (run.returncode, json.loads(run.stdout)) == (1, {"status": "bad_signature"})

    def test_an_organization_may_be_asked_for(self, verifier: Path) -> None:
        case = CASES[0]
        run = run_command(
            verifier, KEYS["brand/1"], case["click_id"], "--at", str(case["at_ms"]), "--organization", "org_3zzzzzz"
        )
        assert (run.returncode, json.loads(run.stdout)) == (1, {"status": "wrong_organization"})

    def test_expiry_is_judged_now_unless_a_time_is_given(self, verifier: Path) -> None:
        run = run_command(verifier, KEYS["brand/1"], CASES[0]["click_id"], "--at", str(1 << 41))
        assert (run.returncode, json.loads(run.stdout)["status"]) == (1, "expired")

    @pytest.mark.parametrize("key", ["", "abc", "g" * 64, "a" * 63, "a" * 65])
    def test_a_key_that_is_none_exits_with_2_and_says_so(self, verifier: Path, key: str) -> None:
        run = run_command(verifier, key, CASES[0]["click_id"])
        assert run.returncode == 2
        assert "64 hexadecimal digits" in run.stderr
        assert run.stdout == ""
