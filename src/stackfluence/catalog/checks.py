"""What the catalog accepts as a URL, host, origin, currency, time zone or name. All raise `Invalid`."""

from __future__ import annotations

import re
import zoneinfo
from collections.abc import Sequence
from enum import StrEnum
from functools import cache
from urllib.parse import urlsplit

from stackfluence.currency import is_current
from stackfluence.errors import Invalid
from stackfluence.names import ascii_host, code_key, fold, is_name

MAX_URL_LENGTH = 2048  # what every browser, proxy and log accepts
MAX_TEXT_LENGTH = 200
MAX_TAGS = 50
MAX_CODE_LENGTH = 100

_HOST_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_SHOP_DOMAIN = re.compile(r"[a-z0-9][a-z0-9-]{0,62}\.myshopify\.com")
_UNSAFE_IN_URL = re.compile(r"[\x00-\x20\x7f\\]")


def name(field: str, text: str, *, may_be_empty: bool = False) -> str:
    """Return a handle, slug or asset folded; letters, digits, `.`, `_`, `-`, at most 100 characters."""
    folded = fold(text)
    if (folded or not may_be_empty) and not is_name(folded):
        raise Invalid(f"{field}: {text!r} must be 1 to 100 letters, digits, '.', '_' or '-'.", field=field)
    if text and not folded:
        raise Invalid(f"{field}: {text!r} is only punctuation.", field=field)
    return folded


def title(field: str, text: str) -> str:
    """Return a text for people, without outer spaces, at most 200 characters."""
    text = text.strip()
    if len(text) > MAX_TEXT_LENGTH or not text.isprintable():
        raise Invalid(f"{field}: at most {MAX_TEXT_LENGTH} printable characters.", field=field)
    return text


def code(field: str, text: str) -> str:
    """Return a discount code as it was written, without outer spaces, 1 to 100 printable characters."""
    text = text.strip()
    if not (0 < len(text) <= MAX_CODE_LENGTH and text.isprintable() and code_key(text)):
        raise Invalid(f"{field}: a code has 1 to {MAX_CODE_LENGTH} printable characters.", field=field)
    return text


def shop_domain(field: str, text: str) -> str:
    """Return a Shopify shop's own domain, `brand.myshopify.com`, in lower case.

    The form is that which Shopify has apps check before they send a shop's owner there.
    """
    domain = text.strip().lower()
    if not _SHOP_DOMAIN.fullmatch(domain):
        raise Invalid(f"{field}: {text!r} is no shop's domain; it ends in .myshopify.com.", field=field)
    return domain


def url(field: str, text: str, *, may_be_empty: bool = False) -> str:
    """Return an http or https URL with a host and no credentials, without outer spaces."""
    text = text.strip()
    if not text and may_be_empty:
        return text
    try:
        parts = urlsplit(text)
        parts.port  # noqa: B018 — reading it checks it
    except ValueError as error:
        raise Invalid(f"{field}: {error}.", field=field) from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise Invalid(f"{field}: must be an http or https URL with a host.", field=field)
    if "@" in parts.netloc:
        raise Invalid(f"{field}: must not carry a user name or password.", field=field)
    if len(text) > MAX_URL_LENGTH or _UNSAFE_IN_URL.search(text):
        raise Invalid(
            f"{field}: at most {MAX_URL_LENGTH} characters, no spaces, control characters or backslashes.", field=field
        )
    return text


def hostname(field: str, text: str) -> str:
    """Return a host name in lower case, international ones in their `xn--` form; no port, no trailing dot."""
    try:
        ascii_text = ascii_host(text.strip().rstrip(".")).lower()
    except UnicodeError as error:
        raise Invalid(f"{field}: {text!r} is no host name ({error}).", field=field) from None
    labels = ascii_text.split(".")
    if len(ascii_text) > 253 or not all(_HOST_LABEL.fullmatch(label) for label in labels):
        raise Invalid(f"{field}: {text!r} is no host name; give it without scheme, port or path.", field=field)
    return ascii_text


def origins(field: str, texts: list[str]) -> list[str]:
    """Return web origins (`https://shop.brand.example`, RFC 6454) in lower case, default ports left out, sorted."""
    found = set()
    for text in texts:
        parts = urlsplit(url(field, text.rstrip("/")))
        if parts.path or parts.query or parts.fragment:
            raise Invalid(f"{field}: {text!r} must be scheme, host and port only.", field=field)
        host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else hostname(field, parts.hostname or "")
        is_default_port = parts.port in (None, 443 if parts.scheme == "https" else 80)
        found.add(f"{parts.scheme}://{host}" + ("" if is_default_port else f":{parts.port}"))
    return sorted(found)


def tags(field: str, texts: list[str]) -> list[str]:
    """Return tags without repetition in the order given, at most 50 of 100 characters."""
    cleaned = list(dict.fromkeys(title(field, text) for text in texts))
    if len(cleaned) > MAX_TAGS or any(not 0 < len(tag) <= 100 for tag in cleaned):
        raise Invalid(f"{field}: at most {MAX_TAGS} tags of 1 to 100 characters.", field=field)
    return cleaned


def currency(field: str, text: str) -> str:
    """Return an ISO 4217 code in upper case."""
    code = text.strip().upper()
    if not is_current(code):
        raise Invalid(f"{field}: {text!r} is no ISO 4217 currency code.", field=field)
    return code


def time_zone(field: str, text: str) -> str:
    """Return an IANA time zone's name, `Europe/Berlin` or `UTC`."""
    if text not in _time_zones():
        raise Invalid(f"{field}: {text!r} is no IANA time zone.", field=field)
    return text


@cache
def _time_zones() -> frozenset[str]:
    return frozenset(zoneinfo.available_timezones() - {"localtime", "Factory"})


def one_of(field: str, text: str, allowed: type[StrEnum]) -> str:
    """Return a word of a closed vocabulary."""
    words = [str(word) for word in allowed]
    if text not in words:
        raise Invalid(f"{field}: must be one of {', '.join(words)}.", field=field)
    return str(text)


def words(field: str, texts: Sequence[str], allowed: Sequence[str], *, may_be_empty: bool = False) -> list[str]:
    """Return words of a closed vocabulary in its order, each once."""
    unknown = [text for text in texts if text not in allowed]
    if unknown:
        raise Invalid(f"{field}: {unknown[0]!r} is none of {', '.join(allowed)}.", field=field)
    if not texts and not may_be_empty:
        raise Invalid(f"{field}: name at least one of {', '.join(allowed)}.", field=field)
    return [word for word in allowed if word in texts]


def whole(field: str, number: int, least: int, most: int) -> int:
    """Return a whole number from `least` to `most`."""
    if type(number) is not int or not least <= number <= most:
        raise Invalid(f"{field}: must be a whole number from {least} to {most}.", field=field)
    return number


def period(field: str, start_ms: int | None, end_ms: int | None) -> None:
    """Refuse a period that ends before it starts."""
    if start_ms is not None and end_ms is not None and end_ms <= start_ms:
        raise Invalid(f"{field}: must end after it starts.", field=field)
