"""Headers that browsers send with every page, and those that no browser sends.

What is expected, by engine, and where that is public:

- Accept of a navigation: Chromium `content/public/common/content_constants.cc` (`kFrameAcceptHeaderValuePrefix`;
  `image/apng` since 59); Firefox `modules/libpref/init/StaticPrefList.yaml` (`network.http.accept`: `image/webp` alone
  in 66 to 91, behind `image/avif` until 131, no images since 132); WebKit `Source/WebCore/loader/cache/
  CachedResourceRequest.cpp` (`acceptHeaderValueFromType`: no image types, ever).
- Fetch metadata: W3C Fetch Metadata Request Headers, sent to https only. Chromium since 76 (all four since 80), Firefox
  since 90, Safari since 16.4; WebKit's `updateRequestFetchMetadataHeaders` sets Dest, Mode and Site, never User.
- Upgrade-Insecure-Requests: W3C Upgrade Insecure Requests, 3.2. WebKit leaves it out for https
  (`CachedResourceLoader.cpp`, bug 157885); Firefox and Chromium send it with every page.
- Order: Chromium `net/url_request/url_request_http_job.cc` adds Accept-Encoding and Accept-Language last; Firefox
  `netwerk/protocol/http/nsHttpHandler.cpp` (`AddStandardRequestHeaders`): User-Agent, Accept, Accept-Language,
  Accept-Encoding. WebKit's follows no fixed order.
- Accept-Language: RFC 9110, 12.5.4. Priority: RFC 9218; Firefox sends it with every page since 128.

Content codings are never judged: proxies, virus scanners and data savers rewrite Accept-Encoding. What a version always
sends is asked of the versions that `versions.py` knows, in browsers without habits of their own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from stackfluence.click.rules.arrival import fetched_ahead
from stackfluence.click.signals import Rule, Signals
from stackfluence.vocabulary import TrafficReason

_FETCHES_SINCE = {"blink": 80, "gecko": 91}  # major versions from which every page over https has fetch metadata
_APNG_SINCE = 64  # Chromium: image/apng since 59; forks of the years until then took parts of it
_AVIF_SINCE = 93  # Firefox: image/avif since 92
_HINTS_SINCE = 90  # Chromium: sec-ch-ua by default since 89
_PRIORITY_SINCE = 128  # Firefox
_IOS_VERSION = re.compile(r" OS (\d{1,3})_(\d{1,3})")
_SAFARI_FETCHES_SINCE = (16, 4)
_SMALL_BROWSER = re.compile(r"^(?:Lynx|E?Links|(?:Emacs-)?w3m|Dillo|NetSurf)[ /]|; Dillo \d|\) NetSurf/\d")
_PAGE_MODES = (None, "navigate", "nested-navigate")
_PAGE_DESTINATIONS = frozenset(("document", "iframe", "frame", "fencedframe", "object", "embed"))

# Headers of machines by name. RFC 9110, 10.1.2: "A robotic user agent SHOULD send a valid From header field"; Web Bot
# Auth (IETF draft-meunier-web-bot-auth-architecture): Signature-Agent; the others from their makers' documentation:
# Datadog and New Relic synthetic monitors, Zyte, Acunetix, Wallarm, Chromium's DevTools protocol.
OF_MACHINES = frozenset(
    (
        "from", "signature-agent", "sec-datadog", "x-abuse-info", "x-crawlera-profile", "x-crawlera-session",
        "acunetix-product", "acunetix-aspect", "x-wallarm-scanner-info", "x-scanner",
        "x-devtools-emulate-network-conditions-client-id",
    )
)  # fmt: skip

# In the order that the engine sends them; a header that is missing says nothing about order. Client hints have no
# place: Chromium sends them first, but behind Accept when it follows a redirect.
_ORDERS = {
    "blink": ("user-agent", "accept", "sec-fetch-site", "accept-encoding", "accept-language"),
    "gecko": (
        "user-agent", "accept", "accept-language", "accept-encoding",
        "sec-fetch-dest", "sec-fetch-mode", "sec-fetch-site",
    ),
}  # fmt: skip
_PLACES = {engine: {name: place for place, name in enumerate(names)} for engine, names in _ORDERS.items()}
_ALPHABETICAL_FROM = 7  # headers: a browser's own order agrees with the alphabet by chance in fewer


def no_accept_language(signals: Signals) -> TrafficReason | None:
    """No Accept-Language: browsers and the web views of apps take it from the device's settings.

    A set that is whole but for it is `missing_headers`: extensions for privacy can take it out. Browsers for text and
    small machines ask for a language when somebody set one up.
    """
    fields = signals.fields
    if fields.get("accept-language") or fields.get("sec-fetch-mode") == "navigate":
        return None
    if not signals.claim.engine and _SMALL_BROWSER.search(signals.user_agent):
        return None
    return TrafficReason.no_accept_language


def unlike_accept(signals: Signals) -> TrafficReason | None:
    """An Accept that this engine sends with no page."""
    claim = signals.claim
    engine = claim.engine
    if not engine:
        return None
    accept = signals.fields.get("accept", "")
    if not accept.startswith("text/html"):
        is_stock_android = engine == "webkit" and claim.platform not in ("ios", "macos")  # application/xml came first
        is_unlike = not is_stock_android or "text/html" not in accept
    elif engine == "webkit":
        is_unlike = "image/webp" in accept
    elif engine == "blink":
        is_unlike = claim.major >= _APNG_SINCE and "image/apng" not in accept
    else:
        is_unlike = "image/apng" in accept or (
            claim.major >= _AVIF_SINCE and "image/webp" in accept and "image/avif" not in accept
        )
    is_unlike = is_unlike and signals.is_held and not _is_ahead(signals)
    return TrafficReason.unlike_navigation if is_unlike else None


def unlike_destination(signals: Signals) -> TrafficReason | None:
    """Fetch metadata of something else than a page: a script's fetch, an image, a beacon."""
    fields = signals.fields
    mode, destination = fields.get("sec-fetch-mode"), fields.get("sec-fetch-dest")
    if mode in _PAGE_MODES and (destination is None or destination in _PAGE_DESTINATIONS):
        return None
    return None if _is_ahead(signals) else TrafficReason.unlike_navigation


def copied_navigation(signals: Signals) -> TrafficReason | None:
    """Another browser's way to ask for a page under the name of Safari or Firefox: two marks of it at once.

    Safari: Upgrade-Insecure-Requests over https, and Sec-Fetch-User. Firefox: another order, and no
    Upgrade-Insecure-Requests or no Priority. One mark is left alone: a redirect from http, or a proxy, could make it.
    """
    claim = signals.claim
    fields = signals.fields
    if not signals.is_https:
        return None
    is_upgrading = "upgrade-insecure-requests" in fields
    if claim.engine == "webkit":
        is_copied = is_upgrading and "sec-fetch-user" in fields
    elif claim.engine == "gecko":
        is_prioritized = "priority" in fields or claim.major < _PRIORITY_SINCE
        is_copied = not (is_upgrading and is_prioritized) and unlike_header_order(signals) is not None
    else:
        return None
    is_copied = is_copied and signals.is_held and not _is_ahead(signals)
    return TrafficReason.unlike_navigation if is_copied else None


def no_fetch_metadata(signals: Signals) -> TrafficReason | None:
    """No Sec-Fetch-Mode over https from a version that sends it with every page."""
    if not signals.is_https or "sec-fetch-mode" in signals.fields:
        return None
    claim = signals.claim
    if claim.engine == "webkit":
        if claim.platform not in ("ios", "macos") or _webkit_version(signals) < _SAFARI_FETCHES_SINCE:
            return None
    elif claim.engine not in _FETCHES_SINCE or claim.major < _FETCHES_SINCE[claim.engine]:
        return None
    return TrafficReason.no_fetch_metadata if signals.is_held and not signals.has_own_habits else None


def missing_headers(signals: Signals) -> TrafficReason | None:
    """No content coding, no language, or no client hints over https from a Chromium that sends them.

    Weak, since proxies and extensions take each of them out.
    """
    claim = signals.claim
    if not claim.engine:
        return None
    fields = signals.fields
    is_whole = "accept-encoding" in fields and "accept-language" in fields
    has_hints = "sec-ch-ua" in fields or not signals.is_https or claim.engine != "blink" or claim.major < _HINTS_SINCE
    if (is_whole and has_hints) or signals.has_own_habits or not signals.is_held:
        return None
    return TrafficReason.missing_headers


def unlike_header_order(signals: Signals) -> TrafficReason | None:
    """Headers in an order, or with capitals, that this engine doesn't write; weak, and only where order is kept."""
    engine = signals.claim.engine
    if not engine or not signals.is_order_kept:
        return None
    fields = signals.fields  # in the order they came in
    if engine == "webkit":
        is_unlike = len(fields) >= _ALPHABETICAL_FROM and list(fields) == sorted(fields)
    else:
        places = _PLACES[engine]
        found = [places[name] for name in fields if name in places]
        is_unlike = found != sorted(found)
        if not is_unlike and engine == "blink" and "sec-ch-ua" in fields:
            # Chromium writes this one in lower case under HTTP/1.1 too
            is_unlike = "sec-ch-ua" not in [name for name, _ in signals.headers]
    is_unlike = is_unlike and signals.is_held and not signals.has_own_habits and not _is_ahead(signals)
    return TrafficReason.unlike_header_order if is_unlike else None


def automation_header(signals: Signals) -> TrafficReason | None:
    """A header that crawlers, monitors, scanners and automated browsers put in, and nobody else."""
    return None if OF_MACHINES.isdisjoint(signals.fields) else TrafficReason.automation_header


def _is_ahead(signals: Signals) -> bool:
    """Whether the page is fetched ahead: that isn't asked for as a page is, and judged by `arrival` alone."""
    return fetched_ahead(signals) is not None


def _webkit_version(signals: Signals) -> tuple[int, int]:
    """Return Safari's version, on iOS that of the system: all browsers there are made of its WebKit."""
    claim = signals.claim
    if claim.platform == "ios":
        found = _IOS_VERSION.search(signals.user_agent)
        return (int(found[1]), int(found[2])) if found else (0, 0)
    parts = claim.version.split(".")
    return claim.major, int(parts[1]) if len(parts) > 1 else 0


RULES: tuple[Rule, ...] = (
    no_accept_language,
    unlike_accept,
    unlike_destination,
    copied_navigation,
    no_fetch_metadata,
    missing_headers,
    unlike_header_order,
    automation_header,
)

# of which engines a rule knows what they send; the others are about all
_KNOWN = frozenset(("blink", "gecko", "webkit"))
ENGINES: Mapping[Rule, frozenset[str]] = {
    unlike_accept: _KNOWN,
    copied_navigation: frozenset(("gecko", "webkit")),
    no_fetch_metadata: _KNOWN,
    missing_headers: _KNOWN,
    unlike_header_order: _KNOWN,
}
OVER_HTTPS = (copied_navigation, no_fetch_metadata)  # about what is sent to https alone
