"""The signed click ID: 47 bytes, 63 URL-safe characters, one spelling. docs/click-id.md has the format.

    version 1 · key id 1 · flags 1 · lifetime in hours 2 · organization 4 · link 6 · UUIDv7 16 · signature 16

The signing key is derived per organization and key id, so an organization can be handed the one that verifies
its own IDs offline and nobody else's. The UUIDv7 is the click's `event_id`: its time is the time of issue.
"""

from __future__ import annotations

import binascii
import hashlib
import hmac
import re
import struct
from functools import partial
from typing import Any, NamedTuple, cast

from stackfluence.clock import uuid_text
from stackfluence.names import LINK_BYTES, ORGANIZATION_BYTES, id_bytes, id_text
from stackfluence.native import compiled
from stackfluence.vocabulary import ClickIdStatus

VERSION = 1
UNRECORDED = 0b01  # the click could not be put on disk within the deadline
TEST = 0b10  # the link is marked as a test
SIGNED_BYTES = 31
SIGNATURE_BYTES = 16  # 128 bits: 2^-128 a guess, and RFC 2104 allows truncation down to half the output
LENGTH = 63
_LAYOUT = struct.Struct(f">BBBH4s6s16s{SIGNATURE_BYTES}s")
_SALT = b"stackfluence/click-id/v1"
_BLOCK = 64  # SHA-256's block, RFC 2104
_INNER_PAD = bytes(b ^ 0x36 for b in range(256))
_OUTER_PAD = bytes(b ^ 0x5C for b in range(256))
_URL_SAFE = bytes.maketrans(b"+/", b"-_")
_STANDARD = bytes.maketrans(b"-_", b"+/")
_SPELLING = re.compile(r"[\w-]{62}[AEIMQUYcgkosw048]", re.ASCII)  # 376 of 378 bits: the last two are zero
_MAX_KEYS = 100_000  # about 30 MB; 70 MB in Python

Mint = partial[bytes]  # of `mint`: all but event and flags are given


class ClickId(NamedTuple):
    """What a click ID says. `issued_at_ms` and `expires_at_ms` are milliseconds since 1970 UTC."""

    event_id: str
    organization_id: str
    link_id: str
    issued_at_ms: int
    expires_at_ms: int
    is_unrecorded: bool
    is_test: bool
    kid: int


class Verdict(NamedTuple):
    """A click ID's status, and what it says when it is valid, expired or unrecorded; None otherwise."""

    status: ClickIdStatus
    click: ClickId | None


_MISSING, _MALFORMED = Verdict(ClickIdStatus.missing, None), Verdict(ClickIdStatus.malformed, None)
_BAD_SIGNATURE = Verdict(ClickIdStatus.bad_signature, None)
_WRONG_ORGANIZATION = Verdict(ClickIdStatus.wrong_organization, None)


def organization_key(secret: bytes, kid: int, organization: bytes) -> bytes:
    """Return the 32-byte key that signs one organization's IDs: HKDF-SHA256 (RFC 5869), one block."""
    extracted = hmac.digest(_SALT, secret, "sha256")
    return hmac.digest(extracted, bytes([kid]) + organization + b"\x01", "sha256")


PreparedKey = Any  # two hash objects in Python, bytes in C: made by `prepare_key`, understood by `sign` and `mint`


@compiled
def prepare_key(key: bytes) -> PreparedKey:
    """Return a key of at most 64 bytes with both pads of HMAC-SHA256 (RFC 2104) absorbed, once for all signatures."""
    padded = key.ljust(_BLOCK, b"\0")
    return hashlib.sha256(padded.translate(_INNER_PAD)), hashlib.sha256(padded.translate(_OUTER_PAD))


@compiled
def sign(key: PreparedKey, message: bytes) -> bytes:
    """Return the truncated signature of a message, 16 bytes."""
    inner = key[0].copy()
    inner.update(message)
    outer = key[1].copy()
    outer.update(inner.digest())
    return cast(bytes, outer.digest()[:SIGNATURE_BYTES])


@compiled
def mint(key: PreparedKey, head: bytes, middle: bytes, event: bytes, flags: int) -> bytes:
    """Return the signed click ID of a click whose UUIDv7 is `event` (16 bytes), as 63 ASCII bytes.

    `head` is version and key id, `middle` lifetime, organization and link.
    """
    message = b"%b%c%b%b" % (head, flags, middle, event)
    return binascii.b2a_base64(message + sign(key, message), newline=False).translate(_URL_SAFE, b"=")


class ClickIdKeys:
    """The secrets by key id, the first of which signs, and the keys prepared from them so far."""

    __slots__ = ("_head", "_keys", "_secrets", "_ttl", "kid")

    def __init__(self, secrets: dict[int, bytes], ttl_hours: int) -> None:
        self._secrets = secrets
        self._keys: dict[bytes, PreparedKey] = {}
        self._ttl = ttl_hours.to_bytes(2, "big")
        self.kid = next(iter(secrets))
        self._head = bytes([VERSION, self.kid])  # one object for all links: what a click reads is to stay in caches

    def mint_for(self, organization_id: str, link_id: str) -> Mint:
        """Return what mints the click IDs of one link: `mint(event, flags)`, `event` being a UUIDv7's 16 bytes.

        Raises ValueError when an id is none of its kind: shifted fields would be signed for ever.
        """
        organization, link = id_bytes(organization_id), id_bytes(link_id)
        if (len(organization), len(link)) != (ORGANIZATION_BYTES, LINK_BYTES):
            raise ValueError(f"no click ID for {link_id!r} of {organization_id!r}")
        return partial(mint, self._key(self.kid, organization), self._head, self._ttl + organization + link)

    def verify(self, text: str, organization_id: str | None, at_ms: int) -> Verdict:
        """Judge a click ID as of `at_ms`; `organization_id` None accepts every organization's.

        Order of judgement: missing, malformed, bad_signature (an unknown key id too), wrong_organization,
        expired, unrecorded, valid.
        """
        if not text:
            return _MISSING
        parts = opened(self._keys, text)
        if parts is None:
            raw = decode(text)
            if raw is None:
                return _MALFORMED
            if not self._is_signed(raw):
                return _BAD_SIGNATURE
            click = read(raw)
        else:
            click = ClickId._make(parts)
        if organization_id is not None and click.organization_id != organization_id:
            return _WRONG_ORGANIZATION
        if at_ms >= click.expires_at_ms:
            return Verdict(ClickIdStatus.expired, click)
        return Verdict(ClickIdStatus.unrecorded if click.is_unrecorded else ClickIdStatus.valid, click)

    def verification_key(self, organization_id: str) -> dict[int, str]:
        """Return key id → hex key that verifies one organization's IDs, and nobody else's, offline."""
        organization = id_bytes(organization_id)
        return {kid: organization_key(secret, kid, organization).hex() for kid, secret in self._secrets.items()}

    def _is_signed(self, raw: bytes) -> bool:
        """Whether a click ID is ours; the key of one that is will be known from then on."""
        kid, organization = raw[1], raw[5:9]
        if kid not in self._secrets:
            return False
        key = prepare_key(organization_key(self._secrets[kid], kid, organization))
        if not hmac.compare_digest(sign(key, raw[:SIGNED_BYTES]), raw[SIGNED_BYTES:]):
            return False  # and not kept: forgeries must neither fill the memory nor drive out real ones
        self._keep(kid, organization, key)
        return True

    def _key(self, kid: int, organization: bytes) -> PreparedKey:
        key = self._keys.get(bytes([kid]) + organization)
        if key is None:
            key = prepare_key(organization_key(self._secrets[kid], kid, organization))
            self._keep(kid, organization, key)
        return key

    def _keep(self, kid: int, organization: bytes, key: PreparedKey) -> None:
        if len(self._keys) >= _MAX_KEYS:
            self._keys.clear()
        self._keys[bytes([kid]) + organization] = key


@compiled
def opened(keys: dict[bytes, PreparedKey], text: str) -> tuple[str, str, str, int, int, bool, bool, int] | None:
    """Return what a click ID says that one of the keys, by key id and organization, signed; else None."""
    raw = decode(text)
    key = None if raw is None else keys.get(raw[1:2] + raw[5:9])
    if raw is None or key is None or not hmac.compare_digest(sign(key, raw[:SIGNED_BYTES]), raw[SIGNED_BYTES:]):
        return None
    return (*read(raw),)


def decode(text: str) -> bytes | None:
    """Return the 47 bytes of a well-formed click ID of this version, else None; each has one spelling."""
    if _SPELLING.fullmatch(text) is None:
        return None
    raw = binascii.a2b_base64(text.encode().translate(_STANDARD) + b"=")
    return raw if raw[0] == VERSION else None


def read(raw: bytes) -> ClickId:
    """Return what 47 decoded bytes say, unverified."""
    _, kid, flags, hours, organization, link, event, _ = _LAYOUT.unpack(raw)
    issued_at_ms = int.from_bytes(event[:6], "big")
    return ClickId(
        uuid_text(event),
        id_text("org_", organization),
        id_text("lnk_", link),
        issued_at_ms,
        issued_at_ms + hours * 3_600_000,
        flags & UNRECORDED > 0,
        flags & TEST > 0,
        kid,
    )
