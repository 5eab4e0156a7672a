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
    payment = "payment"
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


class RefundReason(StrEnum):
    """Why a shop's or a payment's money goes back, as connectors say it; senders may write any text.

    Two of them add: `chargeback_reversed`, a dispute was won and what the chargeback took away came back, and
    `refund_failed`, a refund never reached the shopper.
    """

    refund = "refund"
    refund_failed = "refund_failed"
    cancellation = "cancellation"
    chargeback = "chargeback"
    chargeback_reversed = "chargeback_reversed"


class HookStatus(StrEnum):
    """What a vendor's hook is answered when its signature was right."""

    accepted = "accepted"
    duplicate = "duplicate"
    quarantined = "quarantined"
    ignored = "ignored"


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


class ConnectionVendor(StrEnum):
    """Who sends us an organization's orders by hooks."""

    shopify = "shopify"
    stripe = "stripe"


class ConnectionStatus(StrEnum):
    """Whether hooks of a connection are taken: something is missing yet, they are, or no more."""

    pending = "pending"
    active = "active"
    disconnected = "disconnected"


class PrivacyKind(StrEnum):
    """What a shop passes on that a person, or the law, asks of us."""

    data_request = "data_request"
    customer_redact = "customer_redact"
    shop_redact = "shop_redact"


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


class TrafficReason(StrEnum):
    """Why a click may be nobody's: what each weighs, and what it says to people, is in `reasons.py`."""

    __hash__ = str.__hash__  # an enum's own is a Python function, and every click looks verdicts up by its reasons

    # seen at the click: who it says it is
    declared_bot = "declared_bot"
    ai_agent = "ai_agent"
    link_preview = "link_preview"
    mail_scanner = "mail_scanner"
    uptime_monitor = "uptime_monitor"
    http_library = "http_library"
    headless_browser = "headless_browser"
    attack = "attack"
    no_user_agent = "no_user_agent"
    listed_pattern = "listed_pattern"
    unlikely_user_agent = "unlikely_user_agent"
    impossible_user_agent = "impossible_user_agent"
    # seen at the click: how it asks
    head_request = "head_request"
    prefetch = "prefetch"
    prerender = "prerender"
    no_accept_language = "no_accept_language"
    unlike_navigation = "unlike_navigation"
    no_fetch_metadata = "no_fetch_metadata"
    contradicting_hints = "contradicting_hints"
    unlike_brands = "unlike_brands"
    unlike_header_order = "unlike_header_order"
    missing_headers = "missing_headers"
    automation_header = "automation_header"
    self_referred = "self_referred"
    replayed_click_id = "replayed_click_id"
    malformed_parameters = "malformed_parameters"
    # seen at the click: where it comes from, how often
    hosting_network = "hosting_network"
    vpn_network = "vpn_network"
    unlikely_language = "unlikely_language"
    possible_duplicate = "possible_duplicate"
    visitor_velocity = "visitor_velocity"
    prefix_velocity = "prefix_velocity"
    link_velocity = "link_velocity"
    organization_velocity = "organization_velocity"
    # seen after the click
    webdriver = "webdriver"
    no_session = "no_session"
    no_interaction = "no_interaction"
    conversion_too_fast = "conversion_too_fast"
    conversion_too_late = "conversion_too_late"
    click_flooding = "click_flooding"
    hyper_engagement = "hyper_engagement"
    hourly_outlier = "hourly_outlier"
    shared_prefix = "shared_prefix"


class NetworkClass(StrEnum):
    """What kind of network an address belongs to."""

    __hash__ = str.__hash__  # as above

    unknown = "unknown"
    residential = "residential"
    mobile = "mobile"
    hosting = "hosting"
    vpn = "vpn"
    relay = "relay"


class DeviceClass(StrEnum):
    """What a visitor holds, as its user agent says."""

    phone = "phone"
    tablet = "tablet"
    desktop = "desktop"
    television = "television"
    other = "other"


class FoundBy(StrEnum):
    """How the creator was found whom an order names, strongest first."""

    code = "code"
    click_id = "click_id"
    customer = "customer"
    none = "none"


class AttributionModel(StrEnum):
    """How the credit for an order is shared among the touches that led to it; an organization's policy names one."""

    last_touch = "last_touch"
    first_touch = "first_touch"
    linear = "linear"
    position_based = "position_based"
    time_decay = "time_decay"


class TouchOutcome(StrEnum):
    """What became of a creator's touch before an order: whether it earns, and if not, why."""

    paid = "paid"
    eligible = "eligible"
    invalid_traffic = "invalid_traffic"
    outside_window = "outside_window"
    unconfirmed_touch = "unconfirmed_touch"
    self_purchase = "self_purchase"


class UnqualifiedReason(StrEnum):
    """Why a click led to no visit that is good enough to bill; the first that holds."""

    invalid_traffic = "invalid_traffic"
    not_measured = "not_measured"
    no_consent = "no_consent"
    untrusted_visit = "untrusted_visit"
    implausible_engagement = "implausible_engagement"
    not_engaged = "not_engaged"
    repeated_visit = "repeated_visit"
    not_derived = "not_derived"


class UnattributedReason(StrEnum):
    """Why an order is credited to no creator."""

    no_touch = "no_touch"
    invalid_traffic = "invalid_traffic"
    outside_window = "outside_window"
    unconfirmed_touch = "unconfirmed_touch"
    self_purchase = "self_purchase"
    not_derived = "not_derived"


class ChargeType(StrEnum):
    """What may be charged for."""

    valid_click = "valid_click"
    qualified_session = "qualified_session"
    conversion = "conversion"


class NonBillableReason(StrEnum):
    """Why a click, session or order costs nothing; the first that holds."""

    test = "test"
    invalid_traffic = "invalid_traffic"
    duplicate_click = "duplicate_click"
    unqualified = "unqualified"
    unconfirmed = "unconfirmed"
    unattributed = "unattributed"
    not_derived = "not_derived"


class CandidateOutcome(StrEnum):
    """What became of a code or click that could have named a creator on an order."""

    named = "named"
    outranked = "outranked"
    unknown_click = "unknown_click"
    test_click = "test_click"
    after_order = "after_order"
    too_old = "too_old"
    unclaimed_code = "unclaimed_code"
    code_not_live = "code_not_live"
    unconfirmed_code = "unconfirmed_code"


class ConversionReason(StrEnum):
    """What is odd about an order; what it says to people is in `reasons.py`."""

    code_spike = "code_spike"
    conflicting_clicks = "conflicting_clicks"


class ArrivalStage(StrEnum):
    """How far a click got, after the IAB's click measurement guidelines."""

    measured = "measured"
    received = "received"
    resolved = "resolved"


class LineOutcome(StrEnum):
    """What became of one line of an import."""

    created = "created"
    existing = "existing"
    refused = "refused"


class LineRefusal(StrEnum):
    """Why a line of an import made nothing."""

    unreadable_line = "unreadable_line"
    invalid_field = "invalid_field"
    repeated_path = "repeated_path"
    path_taken = "path_taken"
    repeated_code = "repeated_code"
    code_taken = "code_taken"


class InstallFinding(StrEnum):
    """What the install check misses or finds wrong, in the order of a visitor's journey."""

    nothing_received = "nothing_received"
    refused = "refused"
    quarantined = "quarantined"
    other_hosts_only = "other_hosts_only"
    page_not_seen = "page_not_seen"
    no_visits = "no_visits"
    no_consent = "no_consent"
    no_click_ids = "no_click_ids"
    unusable_click_ids = "unusable_click_ids"
    no_orders = "no_orders"
    unconfirmed_orders = "unconfirmed_orders"
    unconnected_orders = "unconnected_orders"
    several_sources = "several_sources"
    test_only = "test_only"
