"""What an edge knows of the catalog: small records, each kept as MessagePack under a key in one of six spaces.

    space         key                                          value
    link          host NUL handle NUL campaign slug NUL asset  Link (names.link_key gives the key)
    key           SHA-256 of the key's text, 32 bytes          Key
                  or an organization's id as text              Key, publishable, with the origins of all its live keys
    organization  the organization's id as text                Organization
    host          host name, lower case                        Host
    connection    the connection's id as text                  Connection
    salt          day as YYYY-MM-DD                            32 random bytes, no MessagePack

The catalog writes these (`catalog/feed.py`), edges keep them in memory and on disk. Standard library and msgspec only.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

SNAPSHOT_VERSION = 3  # of the records below; an edge forgets a stored snapshot that has another

LINK, KEY, ORGANIZATION, HOST, SALT, CONNECTION = "link", "key", "organization", "host", "salt", "connection"
SPACES = (LINK, KEY, ORGANIZATION, HOST, SALT, CONNECTION)


class Link(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A tracked link as a redirect needs it.

    Times are milliseconds since 1970 UTC, None for no bound: `expires_at_ms` is the link's own, the other two its
    campaign's. `fallback_url` is the link's, else its campaign's, else empty. `platform` is its post's, or empty.
    """

    id: str
    organization_id: str
    creator_id: str
    campaign_id: str
    asset_slug: str
    destination_url: str
    status: str
    kind: str
    expires_at_ms: int | None
    starts_at_ms: int | None
    ends_at_ms: int | None
    fallback_url: str
    is_test: bool
    creator_handle: str
    campaign_slug: str
    platform: str


class Key(msgspec.Struct, array_like=True, frozen=True):
    """A key as the intake needs it; no allowed origin means that every origin may send."""

    id: str
    organization_id: str
    kind: str
    allowed_origins: list[str]
    revoked: bool


class Organization(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """An organization as the intake needs it; `currency` is that of amounts which name none.

    `customer_key` keys the pseudonyms of its customers; without one (empty) none are made.
    """

    id: str
    currency: str
    customer_key: bytes = b""


class Host(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A host name: links on a default host have an empty host in their key, those on another have its name."""

    hostname: str
    organization_id: str | None
    is_default: bool


class Connection(msgspec.Struct, array_like=True, frozen=True):
    """An organization's account at a vendor, as the intake of hooks needs it.

    `vendor` and `status` are words of ConnectionVendor and ConnectionStatus. `account` is how the vendor calls it, a
    Shopify shop's `brand.myshopify.com`. `hook_secrets` is still encrypted, for `vault.HookVault`; empty for none.
    """

    id: str
    organization_id: str
    vendor: str
    account: str
    hook_secrets: bytes
    status: str


class EdgeRow(NamedTuple):
    """One change: from now on `key` in `space` has this value; None says that it is gone."""

    space: str
    key: bytes
    value: bytes | None


class EdgeChunk(NamedTuple):
    """Up to 1,000 changes, to be applied in order.

    `revision` is the one reached when the last chunk of the same answer has been applied. `is_reset` on the first
    chunk says that the answer is everything there is: whatever it doesn't name must be forgotten. `lineage` is the
    token of that revision, to be named with it at the next question.
    """

    revision: int
    is_reset: bool
    rows: list[EdgeRow]
    lineage: str = ""


encode = msgspec.msgpack.Encoder().encode
decode_link = msgspec.msgpack.Decoder(Link).decode
decode_key = msgspec.msgpack.Decoder(Key).decode
decode_organization = msgspec.msgpack.Decoder(Organization).decode
decode_connection = msgspec.msgpack.Decoder(Connection).decode
decode_host = msgspec.msgpack.Decoder(Host).decode
