"""Secrets at rest: what goes in comes out under the right key and place, and under no other."""

from __future__ import annotations

import hmac

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from stackfluence.errors import SettingsError, Undecryptable
from stackfluence.vault import CredentialVault, HookVault, decrypt, derive_key, encrypt

OLD, NEW = b"Wn3xR8vQ1kZ6tM0yLb5CjF2hDs9PgKeU", b"q9Zr4TvK2mXw7Lc0HsBn5JpYd8EfGuAx"
KEY = derive_key(OLD, b"tests")


@given(st.binary(max_size=500), st.text(max_size=50))
def test_a_text_comes_back_in_its_place_and_opens_in_no_other(text: bytes, place: str) -> None:
    blob = encrypt(KEY, text, place)
    assert decrypt(KEY, blob, place) == text
    with pytest.raises(Undecryptable):
        decrypt(KEY, blob, place + "!")
    with pytest.raises(Undecryptable):
        decrypt(derive_key(NEW, b"tests"), blob, place)


@given(st.data())
def test_a_blob_of_which_one_bit_changed_does_not_open(draw: st.DataObject) -> None:
    blob = bytearray(encrypt(KEY, b"whsec_", "place"))
    bit = draw.draw(st.integers(0, len(blob) * 8 - 1))
    blob[bit // 8] ^= 1 << bit % 8
    with pytest.raises(Undecryptable):
        decrypt(KEY, bytes(blob), "place")


@pytest.mark.parametrize("length", [0, 1, 5, 13, 28])
def test_a_blob_that_was_cut_off_does_not_open(length: int) -> None:
    with pytest.raises(Undecryptable):
        decrypt(KEY, encrypt(KEY, b"", "place")[:length], "place")


def test_the_form_of_a_blob_is_version_nonce_and_aes_gcm() -> None:
    blob = encrypt(KEY, b"text", "place")
    assert blob[:1] == b"\x01"
    assert len(blob) == 1 + 12 + 4 + 16
    assert AESGCM(KEY).decrypt(blob[1:13], blob[13:], b"place") == b"text"
    assert len({encrypt(KEY, b"text", "place") for _ in range(100)}) == 100, "no nonce is used twice"


def test_a_derived_key_is_hkdf_sha256_of_secret_and_purpose() -> None:
    # RFC 5869 by hand: extract with the salt, expand one block
    extracted = hmac.digest(b"stackfluence vault", OLD, "sha256")
    assert derive_key(OLD, b"credentials") == hmac.digest(extracted, b"credentials\x01", "sha256")


def test_hook_secrets_are_encrypted_with_the_first_secret_and_read_with_all() -> None:
    before = HookVault({1: OLD})
    blob = before.encrypt(["whsec_one", "whsec_two"], "con_1")
    rotated = HookVault({2: NEW, 1: OLD})
    assert rotated.decrypt(blob, "con_1") == ["whsec_one", "whsec_two"]
    assert (before.is_current(blob), rotated.is_current(blob)) == (True, False)
    renewed = rotated.encrypt(["whsec_one"], "con_1")
    assert HookVault({2: NEW}).decrypt(renewed, "con_1") == ["whsec_one"]
    with pytest.raises(Undecryptable, match="key id 2"):
        before.decrypt(renewed, "con_1")
    with pytest.raises(Undecryptable, match="con_2"):
        rotated.decrypt(renewed, "con_2")


def test_nothing_stored_is_no_secret() -> None:
    assert HookVault({1: OLD}).decrypt(b"", "con_1") == []
    assert HookVault({1: OLD}).is_current(b"")
    assert CredentialVault(OLD.decode()).decrypt(b"", "con_1") == {}


def test_credentials_come_back_and_are_closed_to_whoever_has_the_hooks_secrets() -> None:
    credentials = {"client_secret": "s", "tokens": {"access_token": "t", "access_expires_at": 2**60}}
    blob = CredentialVault(OLD.decode()).encrypt(credentials, "con_1")
    assert CredentialVault(OLD.decode()).decrypt(blob, "con_1") == credentials
    assert b"client_secret" not in blob
    with pytest.raises(Undecryptable):
        CredentialVault(NEW.decode()).decrypt(blob, "con_1")
    with pytest.raises(Undecryptable):  # the same secret for both, and the other purpose and column
        HookVault({1: OLD}).decrypt(b"\x01" + blob, "con_1")


def test_an_empty_master_key_hides_nothing_and_is_refused() -> None:
    with pytest.raises(SettingsError, match="SF_MASTER_KEY"):
        CredentialVault("")
