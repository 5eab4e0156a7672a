"""What a code is made of, as it is sent and told."""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field

from stackfluence.api.fields import Given, GivenTime, Id, Name, Text, Time, Told

CodeText = Annotated[
    Text,
    Field(
        min_length=1,
        max_length=200,
        description="As shoppers type it, at most 100 characters; compared without regard to case and outer spaces.",
        examples=["EMMA15"],
    ),
]


class NewCode(Given):
    """A code to be added. Name the creator by id or handle, the campaign, if any, by id or slug."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"code": "EMMA15", "creator_handle": "emma", "starts_at": "2026-11-01T00:00:00Z", "ends_at": None}
            ]
        }
    )

    code: CodeText
    creator_id: Id | None = None
    creator_handle: Name | None = Field(default=None, description="Added when nobody has or had it.")
    campaign_id: Id | None = None
    campaign_slug: Annotated[Name, Field(examples=["winter-socks"])] | None = Field(
        default=None, description="Added when new."
    )
    starts_at: GivenTime | None = Field(default=None, description="Null: it always named this creator.")
    ends_at: GivenTime | None = Field(default=None, description="From then on it names nobody; null: never.")


class CodePatch(Given):
    """What can be changed of a code."""

    ends_at: GivenTime | None = Field(default_factory=lambda: None, description="Now or later; null: never.")


class Code(Told):
    """A discount code that names a creator in [starts_at, ends_at); null is no bound."""

    id: str
    code: str
    creator_id: str
    creator_handle: str
    campaign_id: str | None
    campaign_slug: str | None
    starts_at: Time | None
    ends_at: Time | None
    created_at: Time
