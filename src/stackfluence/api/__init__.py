"""Where a link begins and where results are read: the core's HTTP API. docs/http.md is its page for people.

access     who asks, and the transaction each request works in     problems  every failure, RFC 9457
rates      how many requests a key may make
paging     lists by cursor                                         fields    how fields are read and written
keys hosts creators campaigns posts organization links codes connections policies   one module a resource
own_customers   whom a creator earns nothing by
owners     creators and campaigns by id or name, added when new     place, place_codes  put links and codes in
imports, code_imports  many at once                                 batches   a thousand lines a transaction
lines      files of lines, CSV and JSON                             files     Dub's, Bitly's and our own files of links
qr         a link as a picture
events reports exports                                              what was measured
clicks traffic back_test                                            who is real: by click, counted, tried otherwise
conversions attribution unclaimed_codes                             whose an order is, why, and codes that are nobody's
billable                                                            what may be charged for, and what not
report_totals report_breakdown report_anomalies                     what it came to: report_query  of when and of whom,
                                                                    report_facts  what is counted, in rows that add up,
                                                                    report_late  and which clicks aren't judged yet
shopify/   connecting a shop                                       install, install_findings  what is missing
"""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import FastAPI

from stackfluence import __version__
from stackfluence.api import (
    access,
    attribution,
    back_test,
    billable,
    campaigns,
    clicks,
    code_imports,
    codes,
    connections,
    conversions,
    creators,
    events,
    exports,
    hosts,
    imports,
    install,
    keys,
    links,
    organization,
    own_customers,
    policies,
    posts,
    problems,
    qr,
    report_anomalies,
    report_breakdown,
    report_totals,
    reports,
    traffic,
    unclaimed_codes,
)
from stackfluence.api.core import Core
from stackfluence.api.rates import Rates
from stackfluence.api.shopify import arrivals as shopify_arrivals
from stackfluence.api.shopify import routes as shopify_routes
from stackfluence.api.shopify.keeping import Shops

__all__ = ["Core", "create_api"]

_ROUTERS = (
    imports.routes,  # before links: /links/export is no link's id
    qr.routes,
    links.routes,
    creators.routes,
    campaigns.routes,
    posts.routes,
    code_imports.routes,
    unclaimed_codes.routes,  # before codes: /codes/unclaimed is no code's id
    codes.routes,
    connections.routes,
    hosts.routes,
    keys.routes,
    organization.routes,
    policies.routes,
    own_customers.routes,
    events.routes,
    reports.routes,
    report_totals.routes,
    report_breakdown.routes,
    report_anomalies.routes,
    clicks.routes,
    attribution.routes,
    conversions.routes,
    billable.routes,
    traffic.routes,
    back_test.routes,
    exports.routes,
    install.routes,
    shopify_arrivals.routes,
    shopify_routes.routes,
)


def create_api(core: Core) -> FastAPI:
    """Return the core's HTTP API over an open catalog; it must run in the catalog's event loop."""
    api = _Api(
        title="Stackfluence",
        version=__version__,
        description="Influencer traffic, from link to proof. Every request brings a secret key, `sf_sec_…`, as bearer.",
        docs_url=None,  # their pages load scripts from elsewhere
        redoc_url=None,
        generate_unique_id_function=lambda route: route.name,
    )
    api.state.core = core
    api.state.closing = asyncio.Event()  # set it before the server stops: streams end by themselves then
    api.state.streams = {}  # open ones by organization
    api.state.shops = Shops(core)  # close it in the end
    problems.install(api)
    api.add_exception_handler(access.Repeated, access.on_repeated)
    api.state.rates = Rates(core.settings.requests_a_minute, core.settings.redis_url)  # close it in the end
    api.add_middleware(access.Gate, core=core, rates=api.state.rates)
    for routes in _ROUTERS:
        api.include_router(routes)
    return api


class _Api(FastAPI):
    """FastAPI, whose document has the schemas that no parameter brings in by itself.

    It is made when it is first asked for: making it takes longer than all the rest of the API's start.
    """

    def openapi(self) -> dict[str, Any]:
        document = super().openapi()
        schemas = document["components"]["schemas"]
        if "Problem" in schemas:
            return document
        schemas["Problem"] = problems.SCHEMA
        schemas |= events.event_schema()
        for name, body in (("Bulk", imports.Bulk), ("BulkCodes", code_imports.BulkCodes)):
            bulk = body.model_json_schema(ref_template="#/components/schemas/{model}")
            schemas[name] = {key: value for key, value in bulk.items() if key != "$defs"}
        return document
