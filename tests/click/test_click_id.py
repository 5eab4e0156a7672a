"""The signed click ID: nothing but the exact characters that were minted verifies, and only for its organization."""

from __future__ import annotations

import base64
import hashlib
import hmac

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from stackfluence.click import click_id as module
from stackfluence.click.click_id import (
    LENGTH,
    SIGNED_BYTES,
    TEST,
    UNRECORDED,
    ClickIdKeys,
    decode,
    organization_key,
    prepare_key,
    sign,
)
from stackfluence.clock import uuid_text
from stackfluence.names import ORGANIZATION_BYTES, id_text
from stackfluence.vocabulary import ClickIdStatus

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
SECRETS = {3: b"three-0123456789-abcdefghijklmnop", 7: b"seven-0123456789-abcdefghijklmnop"}
TTL_HOURS = 720
KEYS = ClickIdKeys(SECRETS, TTL_HOURS)
NOW_MS = 1_795_348_800_000
BRAND, RIVAL, LINK = "org_1m9tw0k", "org_3zzzzzz", "lnk_7q2x9v0c4t"
EVENT = NOW_MS.to_bytes(6, "big") + bytes.fromhex("7abc8def0123456789ab")
SIGNED = KEYS.mint_for(BRAND, LINK)(EVENT, 0).decode()
REFUSED = {ClickIdStatus.malformed, ClickIdStatus.bad_signature}

unhurried = settings(deadline=None)  # a busy machine is no flaw of the code
organizations = st.binary(min_size=4, max_size=4).map(lambda raw: id_text("org_", raw))
links = st.binary(min_size=6, max_size=6).map(lambda raw: id_text("lnk_", raw))
times = st.integers(0, 2**48 - 1)
events = st.tuples(times, st.binary(min_size=10, max_size=10)).map(lambda pair: pair[0].to_bytes(6, "big") + pair[1])
flags = st.sampled_from([0, UNRECORDED, TEST, UNRECORDED | TEST])


def mint(keys: ClickIdKeys, organization_id: str, link_id: str, event: bytes, flag: int = 0) -> str:
    return keys.mint_for(organization_id, link_id)(event, flag).decode()


def status(text: str, organization_id: str | None = BRAND, at_ms: int = NOW_MS) -> ClickIdStatus:
    return KEYS.verify(text, organization_id, at_ms).status


@unhurried
@given(organizations, links, events, flags, st.integers(1, 65_535), st.sampled_from(sorted(SECRETS)))
def test_what_was_minted_is_read_back(
    organization_id: str, link_id: str, event: bytes, flag: int, ttl_hours: int, kid: int
) -> None:
    ordered = {kid: SECRETS[kid], **SECRETS}
    keys = ClickIdKeys(ordered, ttl_hours)
    text = mint(keys, organization_id, link_id, event, flag)
    issued_at_ms = int.from_bytes(event[:6], "big")
    verdict = keys.verify(text, organization_id, issued_at_ms)
    assert verdict.status == ("unrecorded" if flag & UNRECORDED else "valid")
    assert verdict.click is not None
    assert verdict.click._asdict() == {
        "event_id": uuid_text(event),
        "organization_id": organization_id,
        "link_id": link_id,
        "issued_at_ms": issued_at_ms,
        "expires_at_ms": issued_at_ms + ttl_hours * 3_600_000,
        "is_unrecorded": bool(flag & UNRECORDED),
        "is_test": bool(flag & TEST),
        "kid": kid,
    }
    assert len(text) == LENGTH <= 64
    assert set(text) <= set(ALPHABET)


@unhurried
@given(organizations, links, events, flags)
def test_no_flipped_bit_of_the_47_bytes_verifies(organization_id: str, link_id: str, event: bytes, flag: int) -> None:
    text = mint(KEYS, organization_id, link_id, event, flag)
    raw = bytearray(base64.urlsafe_b64decode(text + "="))
    at_ms = int.from_bytes(event[:6], "big")
    for bit in range(len(raw) * 8):
        raw[bit // 8] ^= 1 << bit % 8
        changed = base64.urlsafe_b64encode(raw).decode()[:LENGTH]
        assert KEYS.verify(changed, None, at_ms).status in REFUSED, bit
        raw[bit // 8] ^= 1 << bit % 8
    assert KEYS.verify(text, None, at_ms).click is not None


@unhurried
@given(organizations, links, events, flags)
def test_no_flipped_bit_of_the_63_characters_verifies(
    organization_id: str, link_id: str, event: bytes, flag: int
) -> None:
    text = mint(KEYS, organization_id, link_id, event, flag)
    at_ms = int.from_bytes(event[:6], "big")
    for position in range(LENGTH):
        for bit in range(8):
            other = chr(ord(text[position]) ^ 1 << bit)
            changed = text[:position] + other + text[position + 1 :]
            assert KEYS.verify(changed, None, at_ms).status in REFUSED, (position, bit)


def test_no_other_character_in_any_place_verifies() -> None:
    for position in range(LENGTH):
        for other in ALPHABET.replace(SIGNED[position], "") + "+/=. %\n\0é１":
            changed = SIGNED[:position] + other + SIGNED[position + 1 :]
            assert status(changed, None) in REFUSED, (position, other)


@pytest.mark.parametrize("value", range(1, 4))
def test_of_the_four_spellings_of_the_last_character_one_is_accepted(value: int) -> None:
    other = SIGNED[:-1] + ALPHABET[ALPHABET.index(SIGNED[-1]) | value]
    assert base64.urlsafe_b64decode(other + "=") == base64.urlsafe_b64decode(SIGNED + "=")
    assert status(other) == "malformed"
    assert status(SIGNED) == "valid"


@unhurried
@given(st.text(st.sampled_from(ALPHABET + "=+/ \n"), max_size=80) | st.text(max_size=80))
def test_text_that_was_not_minted_is_refused_and_never_raises(text: str) -> None:
    assert status(text) in (REFUSED if text else {ClickIdStatus.missing})
    raw = decode(text)
    if raw is not None:
        assert base64.urlsafe_b64encode(raw) == text.encode() + b"="


@pytest.mark.parametrize("text", [SIGNED[:-1] + "=", SIGNED[:-2] + "==", "=" * 63, "A" * 62 + "=", " " + SIGNED[1:]])
def test_padding_and_spaces_are_malformed_not_merely_unsigned(text: str) -> None:
    assert status(text) == "malformed"


def test_a_lone_surrogate_is_malformed() -> None:
    assert status(SIGNED[:-1] + "\ud800") == "malformed"


@given(organizations, organizations, links, events)
@settings(max_examples=200, deadline=None)
def test_another_organizations_key_never_verifies(one: str, other: str, link_id: str, event: bytes) -> None:
    assume(one != other)
    raw = decode(mint(KEYS, one, link_id, event))
    assert raw is not None
    for secret_kid, key in KEYS.verification_key(other).items():
        signature = hmac.digest(bytes.fromhex(key), raw[:SIGNED_BYTES], "sha256")[:16]
        assert signature != raw[SIGNED_BYTES:], secret_kid


def test_an_id_signed_with_anothers_key_verifies_as_nobodys() -> None:
    # the holder of the rival's key writes the brand's reference into an ID and signs it with what it has
    message = decode(SIGNED)
    assert message is not None
    for key in KEYS.verification_key(RIVAL).values():
        forged = message[:SIGNED_BYTES] + hmac.digest(bytes.fromhex(key), message[:SIGNED_BYTES], "sha256")[:16]
        text = base64.urlsafe_b64encode(forged).decode()[:LENGTH]
        assert status(text, None) == "bad_signature"


def test_the_verification_key_verifies_its_organizations_ids_and_no_other_key_id_has_it() -> None:
    raw = decode(SIGNED)
    assert raw is not None
    keys = {kid: bytes.fromhex(text) for kid, text in KEYS.verification_key(BRAND).items()}
    assert list(keys) == [3, 7]
    assert hmac.digest(keys[3], raw[:SIGNED_BYTES], "sha256")[:16] == raw[SIGNED_BYTES:]
    assert hmac.digest(keys[7], raw[:SIGNED_BYTES], "sha256")[:16] != raw[SIGNED_BYTES:]
    assert not any(secret in b"".join(keys.values()) for secret in SECRETS.values())


@unhurried
@given(st.binary(min_size=32, max_size=32), st.binary(max_size=200))
def test_the_signer_is_hmac(key: bytes, message: bytes) -> None:
    assert sign(prepare_key(key), message) == hmac.new(key, message, hashlib.sha256).digest()[:16]


@unhurried
@given(st.binary(min_size=32, max_size=64), st.integers(0, 255), st.binary(min_size=4, max_size=4))
def test_the_organization_key_is_the_hkdf_of_rfc_5869(secret: bytes, kid: int, organization: bytes) -> None:
    prk = hmac.new(b"stackfluence/click-id/v1", secret, hashlib.sha256).digest()  # section 2.2, extract
    okm = hmac.new(prk, bytes([kid]) + organization + b"\x01", hashlib.sha256).digest()  # section 2.3, T(1)
    assert organization_key(secret, kid, organization) == okm


def test_it_expires_to_the_millisecond() -> None:
    lifetime_ms = TTL_HOURS * 3_600_000
    assert status(SIGNED, at_ms=NOW_MS + lifetime_ms - 1) == "valid"
    assert status(SIGNED, at_ms=NOW_MS + lifetime_ms) == "expired"


@pytest.mark.parametrize(
    ("text", "organization_id", "at_ms", "expected"),
    [
        ("", BRAND, NOW_MS, "missing"),
        ("x", BRAND, NOW_MS, "malformed"),
        (SIGNED[:40] + ("A" if SIGNED[40] != "A" else "B") + SIGNED[41:], RIVAL, 2**60, "bad_signature"),
        (SIGNED, RIVAL, 2**60, "wrong_organization"),
        (mint(KEYS, BRAND, LINK, EVENT, UNRECORDED), BRAND, 2**60, "expired"),
        (mint(KEYS, BRAND, LINK, EVENT, UNRECORDED), BRAND, NOW_MS, "unrecorded"),
        (SIGNED, BRAND, NOW_MS, "valid"),
    ],
)
def test_the_first_status_that_applies_is_given(text: str, organization_id: str, at_ms: int, expected: str) -> None:
    assert status(text, organization_id, at_ms) == expected


def test_an_id_of_another_organization_reveals_nothing_of_it() -> None:
    assert KEYS.verify(SIGNED, RIVAL, NOW_MS).click is None


class TestRotation:
    """Verify-first: every edge learns the new key before any signs with it, and keeps the old one until it is idle."""

    before = ClickIdKeys({1: b"the old one"}, TTL_HOURS)
    learning = ClickIdKeys({1: b"the old one", 2: b"the new one"}, TTL_HOURS)
    signing = ClickIdKeys({2: b"the new one", 1: b"the old one"}, TTL_HOURS)
    after = ClickIdKeys({2: b"the new one"}, TTL_HOURS)

    @pytest.mark.parametrize(
        ("minting", "verifying"),
        [(before, learning), (learning, before), (learning, signing), (signing, learning), (signing, after)],
    )
    def test_neighbouring_stages_accept_each_other(self, minting: ClickIdKeys, verifying: ClickIdKeys) -> None:
        text = mint(minting, BRAND, LINK, EVENT)
        assert verifying.verify(text, BRAND, NOW_MS).status == "valid"

    def test_a_key_taken_away_too_early_is_a_bad_signature(self) -> None:
        text = mint(self.before, BRAND, LINK, EVENT)
        assert self.after.verify(text, BRAND, NOW_MS).status == "bad_signature"


@pytest.mark.parametrize(
    ("organization_id", "link_id"), [(LINK, LINK), (BRAND, BRAND), ("org_1", LINK), (BRAND, ""), (BRAND.upper(), LINK)]
)
def test_ids_that_are_none_of_their_kind_are_never_signed(organization_id: str, link_id: str) -> None:
    with pytest.raises(ValueError, match=r"no click ID|is no id"):
        KEYS.mint_for(organization_id, link_id)


def test_forged_organizations_take_no_memory_and_drive_no_real_one_out() -> None:
    keys = ClickIdKeys(SECRETS, TTL_HOURS)
    mint(keys, BRAND, LINK, EVENT)
    raw = bytearray(base64.urlsafe_b64decode(SIGNED + "="))
    for forged in range(1000):
        raw[5 : 5 + ORGANIZATION_BYTES] = forged.to_bytes(ORGANIZATION_BYTES, "big")
        assert keys.verify(base64.urlsafe_b64encode(raw).decode()[:LENGTH], None, NOW_MS).status == "bad_signature"
    assert list(keys._keys) == [bytes.fromhex("03689d7013")]


def test_the_keys_kept_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MAX_KEYS", 8)
    keys = ClickIdKeys(SECRETS, TTL_HOURS)
    for number in range(100):
        organization_id = id_text("org_", number.to_bytes(ORGANIZATION_BYTES, "big"))
        text = mint(keys, organization_id, LINK, EVENT)
        assert keys.verify(text, organization_id, NOW_MS).status == "valid"
        assert len(keys._keys) <= 8
