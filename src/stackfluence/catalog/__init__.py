"""The catalog: who links for whom to where. Small, edited, every change in an audit log.

connect    the database: `reading()`, and `writing()`, the one transaction through which every change goes
tables, sources  what is stored      checks  what is accepted
changes    what can be changed       recording, paths  what follows from each change by itself
codes      whom a code names when   hook_secrets  kept readable
policies   what counts from when on, and creators' own customers
find       look-ups                  feed    what edges are told
salts      visitor salts             loads   the order of segments in the event store
runs       the numbers of derivation runs
privacy    what people asked of their data, until it is done
"""

from stackfluence.catalog.changes import Change, NewOrganization, new_key
from stackfluence.catalog.connect import Catalog, open_catalog
from stackfluence.catalog.feed import changes_since, find_link
from stackfluence.catalog.find import find_key, find_one, key_hash, resolve_creator
from stackfluence.catalog.hook_secrets import renew_hook_secrets
from stackfluence.catalog.loads import CatalogNumbers, finish_load, load_horizon, take_load
from stackfluence.catalog.privacy import PrivacyRequest
from stackfluence.catalog.runs import TakenRun, take_run
from stackfluence.catalog.salts import ensure_salts

__all__ = [
    "Catalog",
    "CatalogNumbers",
    "Change",
    "NewOrganization",
    "PrivacyRequest",
    "TakenRun",
    "changes_since",
    "ensure_salts",
    "find_key",
    "find_link",
    "find_one",
    "finish_load",
    "key_hash",
    "load_horizon",
    "new_key",
    "open_catalog",
    "renew_hook_secrets",
    "resolve_creator",
    "take_load",
    "take_run",
]
