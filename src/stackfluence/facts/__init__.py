"""What events mean: numbered SQL over the event store, its results replaceable, earlier ones kept.

thresholds  when what follows a click speaks against it
derive      a run: the numbered statements, day by day, then the pointer that readers follow
otherwise   other rules, as people write them
score_again today's rules and lists over headers that are still kept
back_test   what another threshold, weight or list would have changed, per creator, without writing anything
policies    what counts, and from when on        checks  what must hold before readers see a run
schedule    which days have to be derived again, found in the store itself
orders      a run over orders: one conversion each, the creator it names, how that was found
codes       whose a code is            order_places, order_schedule  which day an old order is of, and when again
schema.sql, order_schema.sql  the tables that are kept        work.sql, order_work.sql  those of one day of a run
"""

from stackfluence.facts.back_test import BackTest, Change, back_test
from stackfluence.facts.codes import CodeBook, CodePeriod, read_code_books
from stackfluence.facts.derive import Derived, DerivedDay, Run, create_tables, day_ms, derive, highest_run
from stackfluence.facts.orders import DerivedOrderDay, DerivedOrders, Terms, days_with_orders, derive_orders
from stackfluence.facts.policies import (
    DEFAULT_POLICIES,
    OwnCustomerPeriod,
    PolicyBook,
    PolicyPeriod,
    read_own_customers,
    read_policy_books,
)
from stackfluence.facts.thresholds import Rules, Thresholds

__all__ = [
    "DEFAULT_POLICIES",
    "BackTest",
    "Change",
    "CodeBook",
    "CodePeriod",
    "Derived",
    "DerivedDay",
    "DerivedOrderDay",
    "DerivedOrders",
    "OwnCustomerPeriod",
    "PolicyBook",
    "PolicyPeriod",
    "Rules",
    "Run",
    "Terms",
    "Thresholds",
    "back_test",
    "create_tables",
    "day_ms",
    "days_with_orders",
    "derive",
    "derive_orders",
    "highest_run",
    "read_code_books",
    "read_own_customers",
    "read_policy_books",
]
