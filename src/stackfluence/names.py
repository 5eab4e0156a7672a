"""Names: how ids are made and read, and how what people type becomes a link's key. Standard library only."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from stackfluence.clock import random_bytes

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base32, lower case: no i, l, o, u
_VALUES = {character: value for value, character in enumerate(_ALPHABET)}
ORGANIZATION_BYTES = 4
LINK_BYTES = 6
NAME_LENGTH = 100
_TRAILING_PUNCTUATION = ".,;:!?_-)]}>'\"*~…»”’"
_DEVIATIONS = frozenset("ßς\u200c\u200d")  # letters of which IDNA 2003, Python's own, made others; browsers don't
_NAME = re.compile(r"[\w.\-]+")


def base32(raw: bytes) -> str:
    """Return bytes as Crockford base32, big-endian, padded in front to whole characters."""
    value = int.from_bytes(raw, "big")
    length = -(-len(raw) * 8 // 5)
    return "".join(_ALPHABET[value >> shift & 31] for shift in range((length - 1) * 5, -1, -5))


def new_id(prefix: str, size: int = LINK_BYTES) -> str:
    """Return a fresh id, `prefix` and `size` random bytes: `lnk_` and 10 characters, `org_` (4 bytes) and 7."""
    return prefix + base32(random_bytes(size))


@lru_cache(maxsize=200_000)
def id_bytes(identifier: str) -> bytes:
    """Return the bytes behind an id, 4 of an organization's, 6 of any other; raises ValueError for what is no id."""
    prefix, _, text = identifier.partition("_")
    size = ORGANIZATION_BYTES if prefix == "org" else LINK_BYTES
    if len(text) != -(-size * 8 // 5):
        raise ValueError(f"{identifier!r} is no id")
    value = 0
    for character in text:
        if character not in _VALUES:
            raise ValueError(f"{identifier!r} is no id")
        value = value << 5 | _VALUES[character]
    if value >> size * 8:
        raise ValueError(f"{identifier!r} is no id")
    return value.to_bytes(size, "big")


@lru_cache(maxsize=10_000)
def id_text(prefix: str, raw: bytes) -> str:
    """Return the id of its bytes, the inverse of `id_bytes`."""
    return prefix + base32(raw)


def fold(text: str) -> str:
    """Return a handle, slug or asset as it is compared: NFKC, case-folded, without punctuation at its end.

    A link copied together with the sentence's full stop, or with a trailing underscore, is still the link.
    """
    folded = unicodedata.normalize("NFKC", text).casefold()
    return unicodedata.normalize("NFKC", folded).rstrip(_TRAILING_PUNCTUATION)  # folding can take letters apart


def code_key(text: str) -> str:
    """Return a discount code as it is compared: NFKC, case-folded, without outer spaces.

    Shops take a code in any case. Punctuation stays: `EMMA-` and `EMMA` are two codes.
    """
    folded = unicodedata.normalize("NFKC", text).casefold()
    return unicodedata.normalize("NFKC", folded).strip()


def ascii_host(name: str) -> str:
    """Return a host name with its international labels in their `xn--` form, as browsers write it.

    Raises UnicodeError for a label that has none, or is longer than 63 characters.
    """
    return ".".join(_ascii_label(label) for label in re.split("[.。．｡]", name))


def _ascii_label(label: str) -> str:
    if label.isascii() or _DEVIATIONS.isdisjoint(label.lower()):
        return label.encode("idna").decode() if label else ""
    return "xn--" + unicodedata.normalize("NFC", label.lower()).encode("punycode").decode()


def is_name(text: str) -> bool:
    """Whether a text can be a handle, slug or asset: letters, digits, `.`, `_`, `-`, as `fold` returns it, ≤ 100."""
    if not 0 < len(text) <= NAME_LENGTH or fold(text) != text:
        return False
    # marks are parts of letters in many scripts, Hindi for one, and not in \w
    return _NAME.fullmatch("".join(c for c in text if unicodedata.category(c)[0] != "M")) is not None


def is_link_key(key: bytes) -> bool:
    """Whether a link can be found under a key that `link_key` returned: all its parts are names."""
    _, *parts = key.decode().split("\0")
    return len(parts) == 3 and all(is_name(part) for part in (parts if parts[2] else parts[:2]))


def link_key(host: str, creator: str, campaign: str, asset: str = "") -> bytes:
    """Return the key under which an edge finds a link; each part is folded, the host is empty for the default one."""
    return "\0".join((host.lower(), fold(creator), fold(campaign), fold(asset))).encode()
