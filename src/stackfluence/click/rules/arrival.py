"""How a request came: for its headers only, ahead of the person, or over a link that was tampered with.

Sources: RFC 9110, 9.3.2 (HEAD); WICG "Prefetch" and "Prerendering Revamped" (Sec-Purpose: `prefetch`,
`prefetch;prerender`, `prefetch;anonymous-client-ip`); Chromium until 2024 (Purpose: prefetch); Firefox (X-Moz:
prefetch, Bugzilla 1238157 moved it to Sec-Purpose); Safari and Facebook's app (X-Purpose: preview).

No referrer is called spam here: the kept lists of such hosts are in no registry, and a host that isn't on a list
says nothing of itself.
"""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

from stackfluence.click.destination import PARAMETER, lenient_name
from stackfluence.click.signals import Rule, Signals
from stackfluence.vocabulary import TrafficReason

AHEAD = ("sec-purpose", "purpose", "x-purpose", "x-moz")  # where browsers say it, the weightiest first
_AHEAD_WORD = re.compile("prefetch|preview", re.IGNORECASE)
# Parameters without any of these and without `select` hold nothing that is looked for: most clicks stop here.
_SUSPECT = re.compile(rb"[%<'$/:\x00-\x1f\x7f]")
_CUT_OFF = re.compile(rb"%[0-9A-Fa-f]\Z")  # an escape; a stray % elsewhere, as in 50%off, is the link's own fault
_CONTROL = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")  # tab, newline and return are what people paste
# The beginnings of the injections in the OWASP Web Security Testing Guide, 4.7: script, path, lookup, SQL
_INJECTIONS = (b"<script", b"</script", b"javascript:", b"/etc/passwd", b"${jndi:")
# Each as far as it takes to be one: union and select are words, a quote is an apostrophe, and pages have relative
# addresses. A union selects columns, what is quoted is compared, and a path leads into a system.
_LONGER_INJECTIONS = re.compile(
    rb"\bunion +(?:all +)?select +(?:[^&]{0,200}?\bfrom\b|null\b|\d|[\w@'\"()*]+ *,|[@*(])"
    rb"|' *(?:or|and) +['\"(]{0,3}\w{0,40}['\")]{0,3} {0,3}(?:=|<|>|like\b|is\b)"
    rb"|(?:\.\./){2,4}(?:etc|proc|var|usr|root|bin|boot|windows|winnt)\b|(?:\.\./){5}"
)


def head_request(signals: Signals) -> TrafficReason | None:
    """HEAD: link checkers and previews; browsers navigate with GET."""
    return TrafficReason.head_request if signals.method == "HEAD" else None


def fetched_ahead(signals: Signals) -> TrafficReason | None:
    """A prefetch or prerender, as the browser says itself."""
    fields = signals.fields
    for name in AHEAD:
        value = fields.get(name)
        if value is not None:
            if "prerender" in value.lower():
                return TrafficReason.prerender
            if _AHEAD_WORD.search(value):
                return TrafficReason.prefetch
    return None


def self_referred(signals: Signals) -> TrafficReason | None:
    """A tracked link as the referrer: it answers with a redirect and shows no page, so nobody can come from it."""
    return TrafficReason.self_referred if signals.is_self_referred else None


def names_a_link(referrer: bytes, host: bytes) -> bool:
    """Whether a referrer is a tracked link on the host that was asked, whose answers are redirects and no pages."""
    address = referrer.partition(b"://")[2]
    return bool(host) and address.lower().startswith(host.lower() + b"/c/")


def parameter_reasons(query: bytes) -> tuple[TrafficReason, ...]:
    """Return what a link's parameters say; `query` as it came, without the question mark.

    Apart from the rules, since those who send the same headers bring other parameters.
    """
    if not query:
        return ()
    return tuple(reason for reason in (_replayed(query), _malformed(query)) if reason is not None)


def _replayed(query: bytes) -> TrafficReason | None:
    """Our own parameter on our own link: it is put on at the redirect, so the address was copied from behind one.

    However it is written, as long as the redirect takes it for ours and drops it.
    """
    if query.isascii() and b"%" not in query and b"click" not in query.lower():
        return None
    is_there = any(b"=" in pair and lenient_name(pair) == PARAMETER for pair in query.split(b"&"))
    return TrafficReason.replayed_click_id if is_there else None


def _malformed(query: bytes) -> TrafficReason | None:
    """Parameters that are cut off inside an escape, hold control characters, or carry an injection."""
    if _SUSPECT.search(query) is None and b"select" not in query.lower():
        return None
    read = unquote_to_bytes(query.lower().replace(b"+", b" "))
    is_malformed = (
        _CUT_OFF.search(query) is not None
        or _CONTROL.search(read) is not None
        or any(beginning in read for beginning in _INJECTIONS)
        or _LONGER_INJECTIONS.search(read) is not None
    )
    return TrafficReason.malformed_parameters if is_malformed else None


RULES: tuple[Rule, ...] = (head_request, fetched_ahead, self_referred)
