"""Which events are asked for: the filters that lists, streams, reports and exports share."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from stackfluence.api.fields import GivenTime, Id, Text, check_span
from stackfluence.errors import Invalid
from stackfluence.events.feed import LATEST_MS, Cursor, Filters, read_cursor
from stackfluence.vocabulary import EventType


def _is_uuid(text: str) -> str:
    try:
        return str(UUID(text)) if text else ""
    except ValueError:
        raise ValueError("must be a UUID, the event_id of a click") from None


ClickId = Annotated[Text, Field(max_length=40, description="The click's event_id."), AfterValidator(_is_uuid)]


class Subject(BaseModel):
    """Whose events."""

    model_config = ConfigDict(extra="forbid")

    link_id: Id = ""
    creator_id: Id = ""
    campaign_id: Id = ""
    is_test: bool | None = Field(default=None, description="Without it, test events and others.")


class EventFilter(Subject):
    """Which events. Times are occurred_at; of quarantined events received_at, since nothing they state is believed."""

    event_type: EventType | None = None
    click_id: ClickId = ""
    from_: GivenTime | None = Field(default=None, alias="from")
    to: GivenTime | None = Field(default=None, description="Exclusive.")

    def filters(self) -> Filters:
        """Return them as the event store takes them; raises Invalid for a span that has no moment."""
        check_span(self.from_, self.to)
        return Filters(
            event_type=self.event_type.value if self.event_type else "",
            from_ms=0 if self.from_ is None else self.from_,
            to_ms=LATEST_MS if self.to is None else self.to,
            click_id=self.click_id,
            link_id=self.link_id,
            creator_id=self.creator_id,
            campaign_id=self.campaign_id,
            is_test=self.is_test,
        )


def place_after(text: str) -> Cursor:
    """Return the place a cursor names; raises Invalid for what is none."""
    try:
        return read_cursor(text)
    except ValueError:
        raise Invalid("cursor: this is no cursor of events.", field="cursor") from None
