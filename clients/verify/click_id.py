"""Verify Stackfluence click IDs offline, with your organization's verification key.

    python click_id.py KEY_HEX[,KEY_HEX…] CLICK_ID [--organization org_…] [--at MILLISECONDS]

One file, standard library only, Python 3.9 or newer: copy it. It prints what the ID says as one line of JSON and
exits with 0 when the ID is valid, 1 when it is not, 2 when the arguments can't be used. The format is described in
docs/click-id.md; the test vectors beside it are what this file is tested with.

A valid ID was issued by the holder of the key and not altered. Whether its click is stored, and whether it counts,
is decided later, by Stackfluence: a valid ID is not yet a paid click.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import hmac
import json
import re
import sys
import time
import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from typing import NamedTuple

VERSION = 1
UNRECORDED = 0b01
TEST = 0b10
SIGNED_BYTES = 31
KEY_BYTES = 32
HOUR_MS = 3_600_000

# 63 characters are 378 bits, the ID has 376: the last character's two low bits are zero, so each ID has one spelling
SPELLING = re.compile(r"[A-Za-z0-9_-]{62}[AEIMQUYcgkosw048]")
CROCKFORD = "0123456789abcdefghjkmnpqrstvwxyz"


class ClickId(NamedTuple):
    """What a click ID says; times are milliseconds since 1970-01-01 UTC, flags are as signed."""

    event_id: str
    organization_id: str
    link_id: str
    issued_at_ms: int
    expires_at_ms: int
    is_unrecorded: bool
    is_test: bool
    kid: int


class Verdict(NamedTuple):
    """A status, and what the ID says when the status is valid, expired or unrecorded; None otherwise."""

    status: str
    click: ClickId | None


def verify(
    click_id: str | None,
    keys: Sequence[bytes],
    at_ms: int | None = None,
    organization_id: str | None = None,
) -> Verdict:
    """Judge a click ID as of `at_ms`, by default now.

    `keys` are 32-byte verification keys: several during a rotation, or those of several organizations. With
    `organization_id`, an ID that verifies but belongs to another organization is `wrong_organization`. The statuses,
    in order of judgement: missing, malformed, bad_signature, wrong_organization, expired, unrecorded, valid.
    """
    if not click_id:
        return Verdict("missing", None)
    raw = decode(click_id)
    if raw is None:
        return Verdict("malformed", None)
    signatures = [hmac.new(key, raw[:SIGNED_BYTES], hashlib.sha256).digest()[:16] for key in keys]
    if not any(hmac.compare_digest(signature, raw[SIGNED_BYTES:]) for signature in signatures):
        return Verdict("bad_signature", None)
    click = read(raw)
    if organization_id is not None and click.organization_id != organization_id:
        return Verdict("wrong_organization", None)
    if (time.time_ns() // 1_000_000 if at_ms is None else at_ms) >= click.expires_at_ms:
        return Verdict("expired", click)
    return Verdict("unrecorded" if click.is_unrecorded else "valid", click)


def decode(click_id: str) -> bytes | None:
    """Return the 47 bytes of a well-formed click ID of version 1, else None."""
    if SPELLING.fullmatch(click_id) is None:
        return None
    raw = base64.urlsafe_b64decode(click_id + "=")
    return raw if raw[0] == VERSION else None


def read(raw: bytes) -> ClickId:
    """Return what 47 decoded bytes say, unverified."""
    issued_at_ms = int.from_bytes(raw[15:21], "big")
    return ClickId(
        event_id=str(uuid.UUID(bytes=raw[15:31])),
        organization_id="org_" + _base32(raw[5:9]),
        link_id="lnk_" + _base32(raw[9:15]),
        issued_at_ms=issued_at_ms,
        expires_at_ms=issued_at_ms + int.from_bytes(raw[3:5], "big") * HOUR_MS,
        is_unrecorded=bool(raw[2] & UNRECORDED),
        is_test=bool(raw[2] & TEST),
        kid=raw[1],
    )


def read_keys(text: str) -> list[bytes]:
    """Return the keys of `KEY_HEX[,KEY_HEX…]`; raises ValueError when one is not 64 hexadecimal digits."""
    keys = []
    for part in text.split(","):
        if re.fullmatch(r"[0-9A-Fa-f]{64}", part) is None:
            raise ValueError(f"a verification key has {KEY_BYTES * 2} hexadecimal digits")
        keys.append(bytes.fromhex(part))
    return keys


def _base32(raw: bytes) -> str:
    value = int.from_bytes(raw, "big")
    length = -(-len(raw) * 8 // 5)
    return "".join(CROCKFORD[value >> shift & 31] for shift in range((length - 1) * 5, -1, -5))


def _rfc3339(at_ms: int) -> str | None:
    try:
        epoch = datetime(1970, 1, 1, tzinfo=timezone.utc)  # noqa: UP017 - datetime.UTC is newer than Python 3.9
        moment = epoch + timedelta(milliseconds=at_ms)
    except OverflowError:  # past the year 9999
        return None
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return its exit code."""
    summary = "Verify a Stackfluence click ID offline."
    parser = argparse.ArgumentParser(prog="click_id.py", description=summary)
    parser.add_argument("keys", metavar="KEY_HEX[,KEY_HEX…]", help="verification keys, 64 hexadecimal digits each")
    parser.add_argument("click_id", metavar="CLICK_ID", help="the value of inf_click_id")
    parser.add_argument("--organization", metavar="org_…", help="the organization it has to belong to")
    parser.add_argument("--at", metavar="MILLISECONDS", type=int, help="judge expiry at this time; default: now")
    options = parser.parse_args(arguments)
    try:
        keys = read_keys(options.keys)
    except ValueError as error:
        parser.error(str(error))
    status, click = verify(options.click_id, keys, options.at, options.organization)
    answer: dict[str, object] = {"status": status}
    if click is not None:
        answer.update(click._asdict())
        answer["issued_at"] = _rfc3339(click.issued_at_ms)
        answer["expires_at"] = _rfc3339(click.expires_at_ms)
    sys.stdout.write(json.dumps(answer) + "\n")
    return 0 if status == "valid" else 1


if __name__ == "__main__":
    sys.exit(main())
