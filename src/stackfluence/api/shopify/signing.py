"""What proves who sent it: Shopify's query string, its session tokens, and our own OAuth state.

Sources: Shopify, "Verify a request" of the authorization code grant; Shopify, "Session tokens" (a JWT, RFC 7519).
The signature over a hook's body is `collect.shopify.is_signed`.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import msgspec

from stackfluence.vault import derive_key

QUERY_SECONDS = 90  # how old a signed query may be, and how far in the future: Shopify's own libraries' tolerance
SESSION_SECONDS = 10  # of clock skew in a session token, which lives for a minute
MAX_TOKEN = 4096


class Unsigned(Exception):
    """It isn't from whom it says; the text says what is wrong, without repeating any of it."""


class State(msgspec.Struct, frozen=True):
    """An install that was begun: by whom, for which connection, until when (ms since 1970), once."""

    organization_id: str
    connection_id: str
    actor: str
    nonce: str
    expires_at: int


class States:
    """Signs and reads states; `master_key` is the core's own, so every core reads what another signed."""

    def __init__(self, master_key: str) -> None:
        self._key = derive_key(master_key.encode(), b"shopify install state")

    def sign(self, state: State) -> str:
        """Return a state as the text that goes to Shopify and comes back."""
        payload = msgspec.json.encode(state)
        return f"{_text(payload)}.{_text(self._mac(payload))}"

    def read(self, text: str, now_ms: int) -> State:
        """Return the state of a text; raises Unsigned for another's, a changed or an expired one."""
        payload, mac = _parts(text, 2)
        if not hmac.compare_digest(mac, self._mac(payload)):
            raise Unsigned("The state was not made here.")
        try:
            state = msgspec.json.decode(payload, type=State)
        except msgspec.MsgspecError:
            raise Unsigned("The state was not made here.") from None
        if state.expires_at <= now_ms:
            raise Unsigned("The install took too long; begin it again.")
        return state

    def _mac(self, payload: bytes) -> bytes:
        return hmac.digest(self._key, payload, hashlib.sha256)


def check_query(pairs: Sequence[tuple[str, str]], secrets: Sequence[str], account: str, now_ms: int) -> dict[str, str]:
    """Return the parameters of a query that Shopify signed for a shop just now; raises Unsigned.

    `pairs` are decoded, in any order. A parameter that comes twice is refused: which one would count is nobody's guess.
    """
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Unsigned("A parameter comes twice.")
    given = found.pop("hmac", "")
    found.pop("signature", None)
    messages = _messages(sorted(found.items()))
    digests = [
        hmac.new(secret.encode(), message, hashlib.sha256).hexdigest() for secret in secrets for message in messages
    ]
    # every one is compared: how long it takes says nothing
    if not sum(hmac.compare_digest(digest.encode(), given.encode()) for digest in digests):
        raise Unsigned("The query is not signed with the app's client secret.")
    stamp = found.get("timestamp", "")
    if not (stamp.isascii() and stamp.isdigit() and abs(int(stamp[:12]) - now_ms // 1000) <= QUERY_SECONDS):
        raise Unsigned("The signed query is too old; open the app again.")
    if found.get("shop") != account:
        raise Unsigned("The query is of another shop than the connection.")
    return found


def _messages(pairs: list[tuple[str, str]]) -> tuple[bytes, bytes]:
    """Return both forms in which Shopify's own libraries sign pairs.

    Those for JavaScript and Ruby percent-encode everything, that for Python what would be ambiguous.
    """
    plain = "&".join(
        key.replace("%", "%25").replace("&", "%26").replace("=", "%3D")
        + "="
        + value.replace("%", "%25").replace("&", "%26")
        for key, value in pairs
    )
    return plain.encode(), urlencode(pairs, quote_via=quote, safe="").encode()


def check_session(token: str, client_id: str, secrets: Sequence[str], account: str, now_ms: int) -> None:
    """Raise Unsigned unless a session token was made by Shopify for this app and shop and is valid now."""
    if len(token) > MAX_TOKEN:
        raise Unsigned("It is no session token.")
    header, payload, mac = _parts(token, 3)
    if _claims(header).get("alg") != "HS256":  # never what the token itself would like
        raise Unsigned("It is not signed with HS256.")
    signed = token.rpartition(".")[0].encode()
    digests = [hmac.digest(secret.encode(), signed, hashlib.sha256) for secret in secrets]
    if not sum(hmac.compare_digest(digest, mac) for digest in digests):
        raise Unsigned("It is not signed with the app's client secret.")
    claims = _claims(payload)
    now = now_ms / 1000
    begins, ends = claims.get("nbf"), claims.get("exp")
    if type(begins) is not int or type(ends) is not int or not begins - SESSION_SECONDS <= now < ends + SESSION_SECONDS:
        raise Unsigned("It is expired or not valid yet; a session token lives for a minute.")
    if claims.get("aud") != client_id:
        raise Unsigned("It is for another app than the connection's.")
    if any(_host(claims.get(name)) != account for name in ("dest", "iss")):
        raise Unsigned("It is of another shop than the connection.")


def _claims(raw: bytes) -> dict[str, Any]:
    try:
        return msgspec.json.decode(raw, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise Unsigned("It is no session token.") from None


def _host(url: object) -> str:
    try:
        parts = urlsplit(url if isinstance(url, str) else "")
    except ValueError:
        return ""
    return parts.netloc if parts.scheme == "https" else ""


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _parts(text: str, count: int) -> list[bytes]:
    """Return the parts of a dotted text, each decoded from URL-safe base64; raises Unsigned."""
    parts = text.split(".")
    if len(parts) != count or not text.isascii():
        raise Unsigned("It is malformed.")
    try:
        return [base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)) for part in parts]
    except ValueError:
        raise Unsigned("It is malformed.") from None
