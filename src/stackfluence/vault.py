"""Secrets at rest: what a vendor gave us is stored encrypted, with AES-256-GCM (NIST SP 800-38D), never in the clear.

A blob is a version byte, which key, a random nonce and the sealed text. Its associated data says to which row and
column it belongs, so that one copied into another row does not open. Keys are derived by HKDF-SHA256 (RFC 5869), one
for each purpose: whoever holds an edge's secrets reads the hooks' secrets, which edges need, and no credentials.

    hook secrets   from the click-ID secrets, which edges have; the first encrypts, the others still decrypt
    credentials    from the master key, which the core alone has
"""

from __future__ import annotations

import secrets as randomness
from typing import Any

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from stackfluence.errors import SettingsError, Undecryptable

KEY_BYTES = 32
NONCE_BYTES = 12  # as SP 800-38D section 8.2 recommends; random ones are good for 2^32 texts under one key
_VERSION = b"\x01"
_SALT = b"stackfluence vault"


def derive_key(secret: bytes, purpose: bytes) -> bytes:
    """Return the 32-byte key that serves one purpose: HKDF-SHA256 of a secret."""
    return HKDF(SHA256(), KEY_BYTES, _SALT, purpose).derive(secret)


def encrypt(key: bytes, text: bytes, context: str) -> bytes:
    """Return a text encrypted under a 32-byte key, bound to its place: `connections/con_…/credentials`."""
    nonce = randomness.token_bytes(NONCE_BYTES)
    return _VERSION + nonce + AESGCM(key).encrypt(nonce, text, context.encode())


def decrypt(key: bytes, blob: bytes, context: str) -> bytes:
    """Return the text that `encrypt` was given; raises Undecryptable for another key, place or a damaged blob."""
    if blob[:1] != _VERSION:
        raise Undecryptable(f"{context} has a version that is not known here.")
    nonce, sealed = blob[1 : 1 + NONCE_BYTES], blob[1 + NONCE_BYTES :]
    try:
        return AESGCM(key).decrypt(nonce, sealed, context.encode())
    except (InvalidTag, ValueError):  # ValueError: too short to hold a nonce
        raise Undecryptable(f"{context} was encrypted with another key, or is damaged.") from None


class HookVault:
    """Encrypts what hooks are signed with. `secrets` are `settings.click_id_secrets`, by key id."""

    def __init__(self, secrets: dict[int, bytes]) -> None:
        self._keys = {kid: derive_key(secret, b"hook secrets") for kid, secret in secrets.items()}
        self._kid = next(iter(secrets))

    def is_current(self, blob: bytes) -> bool:
        """Whether a blob is empty, or encrypted with the first secret."""
        return not blob or blob[0] == self._kid

    def encrypt(self, texts: list[str], connection_id: str) -> bytes:
        """Return the secrets of one connection as a blob, its key id in front."""
        packed = msgspec.json.encode(texts)
        return bytes([self._kid]) + encrypt(self._keys[self._kid], packed, _place(connection_id, "hook_secrets"))

    def decrypt(self, blob: bytes, connection_id: str) -> list[str]:
        """Return the secrets of one connection, in their order, none of an empty blob; raises Undecryptable."""
        if not blob:
            return []
        key = self._keys.get(blob[0])
        place = _place(connection_id, "hook_secrets")
        if key is None:
            raise Undecryptable(f"{place} needs the secret with key id {blob[0]}, which SF_CLICK_ID_SECRET has not.")
        return msgspec.json.decode(decrypt(key, blob[1:], place), type=list[str])


class CredentialVault:
    """Encrypts what we identify ourselves with at a vendor. `master_key` is `settings.master_key`; core only.

    Raises SettingsError for an empty one: it would hide nothing.
    """

    def __init__(self, master_key: str) -> None:
        if not master_key:
            raise SettingsError("SF_MASTER_KEY is empty; run `stackfluence init`, or set it.")
        self._key = derive_key(master_key.encode(), b"credentials")

    def encrypt(self, credentials: dict[str, Any], connection_id: str) -> bytes:
        """Return the credentials of one connection, any JSON object, as a blob."""
        return encrypt(self._key, msgspec.json.encode(credentials), _place(connection_id, "credentials"))

    def decrypt(self, blob: bytes, connection_id: str) -> dict[str, Any]:
        """Return the credentials of one connection, an empty dict of an empty blob; raises Undecryptable."""
        if not blob:
            return {}
        return msgspec.json.decode(decrypt(self._key, blob, _place(connection_id, "credentials")), type=dict[str, Any])


def _place(connection_id: str, column: str) -> str:
    return f"connections/{connection_id}/{column}"
