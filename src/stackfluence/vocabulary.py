"""Every status and reason, once. SQL, API, docs and dashboard use these words and no others."""

from __future__ import annotations

from enum import StrEnum


class EventType(StrEnum):
    """What an event tells."""

    click = "click"
    session = "session"
    pageview = "pageview"
    conversion = "conversion"
    refund = "refund"
    identify = "identify"


class ClickIdStatus(StrEnum):
    """The result of verifying a signed click ID; `unknown_click` is judged later, in the facts."""

    valid = "valid"
    expired = "expired"
    bad_signature = "bad_signature"
    malformed = "malformed"
    missing = "missing"
    wrong_organization = "wrong_organization"
    unrecorded = "unrecorded"
    unknown_click = "unknown_click"


class TrustTier(StrEnum):
    """Who vouches for an event, strongest first."""

    server = "server"
    connector = "connector"
    browser = "browser"


class Consent(StrEnum):
    """What the visitor said about being measured; `opted_out` is Global Privacy Control."""

    unknown = "unknown"
    granted = "granted"
    denied = "denied"
    opted_out = "opted_out"


class ConversionType(StrEnum):
    """What was achieved."""

    purchase = "purchase"
    signup = "signup"
    lead = "lead"
    add_to_cart = "add_to_cart"
    custom = "custom"


class CustomerType(StrEnum):
    """Whether the shopper bought here before."""

    new = "new"
    returning = "returning"


class QuarantineReason(StrEnum):
    """Why an event that could be read is stored apart and used by nothing."""

    wrong_type = "wrong_type"
    missing_field = "missing_field"
    unknown_value = "unknown_value"
    amount_out_of_range = "amount_out_of_range"
    time_out_of_range = "time_out_of_range"
    text_too_long = "text_too_long"
    unreadable_line = "unreadable_line"


class IntakeStatus(StrEnum):
    """What the intake answers for each event."""

    accepted = "accepted"
    duplicate = "duplicate"
    quarantined = "quarantined"


class LinkStatus(StrEnum):
    """Whether a link redirects."""

    active = "active"
    paused = "paused"
    archived = "archived"


class LinkKind(StrEnum):
    """Whether the post behind a link was paid to be shown."""

    organic = "organic"
    paid = "paid"


class KeyKind(StrEnum):
    """Who may hold a key: a browser (write only) or a server."""

    publishable = "publishable"
    secret = "secret"


class RedirectOutcome(StrEnum):
    """How a request for a link ended; the edge counts every one."""

    recorded = "recorded"
    unrecorded = "unrecorded"
    head = "head"
    unknown_link = "unknown_link"
    undecided_link = "undecided_link"
    inactive_link = "inactive_link"
    fallback = "fallback"


class TrafficClass(StrEnum):
    """MRC's classes of traffic: valid, general invalid, sophisticated invalid."""

    valid = "valid"
    givt = "givt"
    sivt = "sivt"


class LineOutcome(StrEnum):
    """What became of one line of an import."""

    created = "created"
    existing = "existing"
    refused = "refused"


class LineRefusal(StrEnum):
    """Why a line of an import made no link."""

    unreadable_line = "unreadable_line"
    invalid_field = "invalid_field"
    repeated_path = "repeated_path"
    path_taken = "path_taken"
