"""What a link is made of, as it is sent: alone, in bulk, or as a line of a file."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import quote

from pydantic import ConfigDict, Field

from stackfluence.api.fields import Given, GivenTime, Id, Name, Text, Url
from stackfluence.vocabulary import LinkKind, LinkStatus

Host = Annotated[Text, Field(max_length=253, examples=["go.brand.example"])]
AssetSlug = Annotated[Name, Field(examples=["story-1"])]
Tags = Annotated[list[Annotated[Text, Field(min_length=1, max_length=100)]], Field(max_length=50)]
Status = Annotated[LinkStatus, Field(strict=False)]
Kind = Annotated[LinkKind, Field(strict=False)]
Destination = Annotated[
    Url, Field(min_length=1, description="Where the click leads, http or https, UTM macros allowed.")
]


class NewLink(Given):
    """A link to be made. Name the creator by id or handle, the campaign by id or slug."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "creator_handle": "emma",
                    "campaign_slug": "winter-socks",
                    "asset_slug": "story-1",
                    "destination_url": "https://shop.brand.example/socks?colour=red",
                    "tags": ["story"],
                }
            ]
        }
    )

    destination_url: Destination
    creator_id: Id | None = None
    creator_handle: Name | None = Field(default=None, description="Added when nobody has or had it.")
    campaign_id: Id | None = None
    campaign_slug: Annotated[Name, Field(examples=["winter-socks"])] | None = Field(
        default=None, description="Added when new."
    )
    asset_slug: AssetSlug | None = None
    host: Host | None = Field(default=None, description="One of the organization's hosts; none is the shared one.")
    post_id: Id | None = None
    status: Status = LinkStatus.active
    kind: Kind = LinkKind.organic
    expires_at: GivenTime | None = None
    fallback_url: Url | None = Field(default=None, description="Where it leads when not open; else the campaign's.")
    tags: Tags = Field(default_factory=list)
    is_test: bool = Field(default=False, description="Its clicks are marked and bill nothing.")


class LinkPatch(Given):
    """What can be changed of a link; null empties."""

    destination_url: Destination = Field(default_factory=str)
    asset_slug: AssetSlug | None = Field(default_factory=lambda: None)
    host: Host | None = Field(default_factory=lambda: None)
    post_id: Id | None = Field(default_factory=lambda: None)
    status: Status = Field(default_factory=lambda: LinkStatus.active)
    kind: Kind = Field(default_factory=lambda: LinkKind.organic)
    expires_at: GivenTime | None = Field(default_factory=lambda: None)
    fallback_url: Url | None = Field(default_factory=lambda: None)
    tags: Tags = Field(default_factory=list)
    is_test: bool = Field(default_factory=bool)


def public_url(base: str, host: str, handle: str, slug: str, asset: str) -> str:
    """Return a link's address; `base` is that of the shared host, `https://go.brand.example`."""
    start = f"{base.partition(':')[0]}://{host}" if host else base
    return "/".join([start, "c", *(quote(part, safe="") for part in (handle, slug, asset) if part)])
