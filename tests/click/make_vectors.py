"""Make docs/click-id-vectors.json: `python -m tests.click.make_vectors`. The same input gives the same bytes.

`keys` names the verification keys a stand-alone verifier holds in a case, `status` is what it has to answer. The
edge, which holds every organization's key, answers the same but where `edge_status` says otherwise.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

from stackfluence.click.click_id import TEST, UNRECORDED, ClickIdKeys, decode, read
from stackfluence.names import id_bytes
from stackfluence.vocabulary import ClickIdStatus

VECTORS = Path(__file__).parents[2] / "docs" / "click-id-vectors.json"
SECRETS = {1: "vectors-only-1-N0tARea1KeyN0tARea1Key", 2: "vectors-only-2-AlsoN0tARea1KeyAtA11"}
TTL_HOURS = 720
EMMAS_BRAND = "org_1m9tw0k"  # brand.example
OTHER_BRAND = "org_3zzzzzz"  # rival.example; all 32 bits set
LINK = "lnk_7q2x9v0c4t"
LAST_LINK = "lnk_7zzzzzzzzz"  # all 48 bits set
ISSUED_AT_MS = 1_795_348_800_123  # 2026-11-22T12:00:00.123Z
EXPIRES_AT_MS = ISSUED_AT_MS + TTL_HOURS * 3_600_000
EVENT = ISSUED_AT_MS.to_bytes(6, "big") + bytes.fromhex("7abc8def0123456789ab")
CHARACTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

Case = dict[str, Any]


def keys(kid: int, ttl_hours: int = TTL_HOURS) -> ClickIdKeys:
    """Return what an edge holds when `kid` signs and the other key id still verifies."""
    order = sorted(SECRETS, key=lambda one: one != kid)
    return ClickIdKeys({one: SECRETS[one].encode() for one in order}, ttl_hours)


def mint(
    kid: int = 1, organization_id: str = EMMAS_BRAND, link_id: str = LINK, flags: int = 0, ttl_hours: int = TTL_HOURS
) -> str:
    """Return a click ID of the vectors' one click."""
    return keys(kid, ttl_hours).mint_for(organization_id, link_id)(EVENT, flags).decode()


def with_byte(click_id: str, index: int, value: int) -> str:
    """Return a click ID with one of its 47 bytes replaced, not signed again."""
    raw = bytearray(base64.urlsafe_b64decode(click_id + "="))
    raw[index] = value
    return base64.urlsafe_b64encode(raw).decode()[:63]


def other_spelling(click_id: str) -> str:
    """Return the same 47 bytes with the lowest slack bit of the last character set."""
    return click_id[:-1] + CHARACTERS[CHARACTERS.index(click_id[-1]) | 1]


def case(name: str, click_id: str, status: str, **changes: Any) -> Case:
    """Return one case, judged for emma's brand at the time of issue unless `changes` say otherwise."""
    made: Case = {
        "name": name,
        "click_id": click_id,
        "keys": ["brand/1", "brand/2"],
        "organization_id": EMMAS_BRAND,
        "at_ms": ISSUED_AT_MS,
        "status": status,
        **changes,
    }
    if status in (ClickIdStatus.valid, ClickIdStatus.expired, ClickIdStatus.unrecorded):
        raw = decode(click_id)
        assert raw is not None, name
        made["click"] = read(raw)._asdict()
    return made


def good_cases() -> list[Case]:
    """Return the IDs that say something: valid, expired, unrecorded."""
    signed = mint()
    return [
        case("valid", signed, "valid"),
        case("valid, no organization asked for", signed, "valid", organization_id=None),
        case("valid, its click stored nowhere: unknown_click is judged in the facts", mint(flags=TEST), "valid"),
        case("valid, signed by the second key id", mint(kid=2), "valid"),
        case("valid, second key id, first key no longer held", mint(kid=2), "valid", keys=["brand/2"]),
        case(
            "valid, every bit of the organization and the link set",
            mint(1, OTHER_BRAND, LAST_LINK),
            "valid",
            keys=["rival/1"],
            organization_id=OTHER_BRAND,
        ),
        case("valid, longest lifetime", mint(ttl_hours=65_535), "valid", at_ms=ISSUED_AT_MS + 65_535 * 3_600_000 - 1),
        case("valid, a flag of the future is ignored", mint(flags=0b1000_0000), "valid"),
        case("valid before it was issued: clocks differ", signed, "valid", at_ms=ISSUED_AT_MS - 60_000),
        case("valid, in its last millisecond", signed, "valid", at_ms=EXPIRES_AT_MS - 1),
        case("expired, one millisecond later", signed, "expired", at_ms=EXPIRES_AT_MS),
        case("expired goes before unrecorded", mint(flags=UNRECORDED), "expired", at_ms=EXPIRES_AT_MS),
        case("unrecorded", mint(flags=UNRECORDED), "unrecorded"),
        case("unrecorded test", mint(flags=UNRECORDED | TEST), "unrecorded"),
    ]


def bad_cases() -> list[Case]:
    """Return the IDs that say nothing."""
    signed = mint()
    foreign = mint(1, OTHER_BRAND)
    return [
        case("missing", "", "missing"),
        case("malformed, one character cut off", signed[:-1], "malformed"),
        case("malformed, cut in half", signed[:31], "malformed"),
        case("malformed, one character too many", signed + "A", "malformed"),
        case("malformed, padded", signed + "=", "malformed"),
        case("malformed, padding in place of the last character", signed[:-1] + "=", "malformed"),
        case("malformed, a line feed after it", signed + "\n", "malformed"),
        case("malformed, a space in it", signed[:20] + " " + signed[21:], "malformed"),
        case("malformed, not ASCII", signed[:20] + "é" + signed[21:], "malformed"),
        case("malformed, full-width digits", signed[:20] + "１" + signed[21:], "malformed"),
        case("malformed, the standard alphabet's plus", signed[:20] + "+" + signed[21:], "malformed"),
        case("malformed, second spelling of the same bytes", other_spelling(signed), "malformed"),
        case("malformed, version 2", with_byte(signed, 0, 2), "malformed"),
        case("bad signature, no key of that id", with_byte(signed, 1, 9), "bad_signature"),
        case("bad signature, the other key id claimed", with_byte(signed, 1, 2), "bad_signature"),
        case("bad signature, unrecorded flag set", with_byte(signed, 2, UNRECORDED), "bad_signature"),
        case("bad signature, longer lifetime", with_byte(signed, 3, 0xFF), "bad_signature"),
        case("bad signature, other organization claimed", with_byte(signed, 5, 0xFF), "bad_signature"),
        case("bad signature, other link claimed", with_byte(signed, 14, 0), "bad_signature"),
        case("bad signature, last byte changed", with_byte(signed, 46, 0), "bad_signature"),
        case("bad signature goes before expired", with_byte(signed, 46, 0), "bad_signature", at_ms=EXPIRES_AT_MS),
        case("bad signature, all zero but the version", with_byte("A" * 63, 0, 1), "bad_signature"),
        case(
            "bad signature, signed with the other brand's key",
            foreign,
            "bad_signature",
            edge_status="wrong_organization",
        ),
        case("wrong organization", foreign, "wrong_organization", keys=["brand/1", "rival/1"]),
        case(
            "wrong organization goes before expired",
            foreign,
            "wrong_organization",
            keys=["brand/1", "rival/1"],
            at_ms=EXPIRES_AT_MS,
        ),
    ]


def vectors() -> dict[str, Any]:
    """Return the whole document."""
    brands = (("brand", EMMAS_BRAND), ("rival", OTHER_BRAND))
    held = [(f"{name}/{kid}", organization_id, kid) for name, organization_id in brands for kid in SECRETS]
    return {
        "format": "inf_click_id version 1, see click-id.md",
        "secrets": {str(kid): secret for kid, secret in SECRETS.items()},
        "keys": [
            {
                "name": name,
                "kid": kid,
                "organization_id": organization_id,
                "organization_hex": id_bytes(organization_id).hex(),
                "key_hex": keys(kid).verification_key(organization_id)[kid],
            }
            for name, organization_id, kid in held
        ],
        "cases": good_cases() + bad_cases(),
    }


def text() -> str:
    """Return the document as the file has it: ASCII, so that no editor changes a case."""
    return json.dumps(vectors(), indent=2) + "\n"


if __name__ == "__main__":
    VECTORS.write_text(text())
