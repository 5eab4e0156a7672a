"""Keys: made, named, restricted to origins, revoked. The text of one is told once."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query, Response
from pydantic import Field
from sqlalchemy import select

from stackfluence.api.access import Posts, Reads, Writes
from stackfluence.api.fields import Given, Text, Time, Title, Told, change_columns
from stackfluence.api.paging import Page, PageQuery, read_page
from stackfluence.api.routes import BODY, MISSING, find, router
from stackfluence.catalog import tables
from stackfluence.errors import Conflict, Invalid
from stackfluence.vocabulary import KeyKind

Origins = Annotated[
    list[Annotated[Text, Field(max_length=300)]],
    Field(
        max_length=100,
        description="Web origins a publishable key may send from; none means every origin.",
        examples=[["https://shop.brand.example"]],
    ),
]


class NewKey(Given):
    """A key to be made."""

    kind: Annotated[KeyKind, Field(strict=False)]
    name: Title = ""
    allowed_origins: Origins = Field(default_factory=list)


class KeyPatch(Given):
    """What can be changed of a key."""

    name: Title = Field(default_factory=str)
    allowed_origins: Origins = Field(default_factory=list)


class Key(Told):
    """A key, without its text."""

    id: str
    kind: KeyKind
    name: str
    prefix: str
    last_four: str
    allowed_origins: list[str]
    created_at: Time
    revoked_at: Time | None


class MadeKey(Key):
    """A key that was just made."""

    key: str | None = Field(description="The key's text: only here, only now. Null in a repeated answer.")


class KeyPage(Page[Key]):
    """A part of the keys."""


class KeyQuery(PageQuery):
    """Which keys."""

    kind: KeyKind | None = None
    is_revoked: bool | None = None


routes = router("keys")


@routes.get("/keys", summary="List keys")
async def list_keys(asked: Annotated[KeyQuery, Query()], reading: Reads) -> KeyPage:
    """List keys, newest first."""
    kind = tables.Key
    query = select(kind).where(kind.organization_id == reading.organization_id)
    if asked.kind:
        query = query.where(kind.kind == asked.kind.value)
    if asked.is_revoked is not None:
        query = query.where(kind.revoked_at.is_not(None) if asked.is_revoked else kind.revoked_at.is_(None))
    rows, cursor = await read_page(reading.session, query, (kind.created_at, kind.id), asked)
    return KeyPage(items=[Key.model_validate(row) for (row,) in rows], next_cursor=cursor)


@routes.post("/keys", status_code=201, response_model=MadeKey, responses=BODY, summary="Make a key")
async def make_key(given: NewKey, writing: Posts) -> Response:
    """Make a key and tell its text, of which only a hash is kept."""
    if given.allowed_origins and given.kind is KeyKind.secret:
        raise Invalid("allowed_origins: a secret key never belongs into a browser.", field="allowed_origins")
    row, text = await writing.change.add_key(writing.organization_id, given.kind, given.name, given.allowed_origins)
    made = MadeKey(**dict(Key.model_validate(row)), key=text)
    return await writing.answer(made, remembered=made.model_copy(update={"key": None}))


@routes.get("/keys/{key_id}", responses=MISSING, summary="Get a key")
async def get_key(key_id: str, reading: Reads) -> Key:
    """Get one key, revoked ones too."""
    return Key.model_validate(await find(reading.session, tables.Key, reading.organization_id, key_id))


@routes.patch("/keys/{key_id}", responses=MISSING | BODY, summary="Change a key")
async def change_key(key_id: str, given: KeyPatch, writing: Writes) -> Key:
    """Change a key's name or origins; what is not given stays."""
    row = await find(writing.session, tables.Key, writing.organization_id, key_id)
    if given.allowed_origins and row.kind == KeyKind.secret:
        raise Invalid("allowed_origins: a secret key never belongs into a browser.", field="allowed_origins")
    change_columns(row, given, {})
    return Key.model_validate(row)


@routes.delete("/keys/{key_id}", status_code=204, responses=MISSING | BODY, summary="Revoke a key")
async def revoke_key(key_id: str, writing: Writes) -> None:
    """Refuse the key from now on, for ever. The key that asks can't revoke itself, so one always remains."""
    row = await find(writing.session, tables.Key, writing.organization_id, key_id)
    if row.id == writing.access.key_id:
        raise Conflict("This is the key you are using; revoke it with another secret key.")
    await writing.change.revoke_key(row)
