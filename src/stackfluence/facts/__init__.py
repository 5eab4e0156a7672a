"""What events mean: numbered SQL over the event store, its results replaceable, earlier ones kept.

thresholds  when what follows a click speaks against it
derive      a run: the numbered statements, day by day, then the pointer that readers follow
score_again today's rules and lists over headers that are still kept
back_test   what another threshold, weight or list would have changed, per creator, without writing anything
schedule    which days have to be derived again, found in the store itself
schema.sql  the tables that are kept        work.sql  those of one day of a run
"""

from stackfluence.facts.back_test import BackTest, Change, back_test
from stackfluence.facts.derive import Derived, DerivedDay, Run, create_tables, derive, highest_run
from stackfluence.facts.thresholds import Rules, Thresholds

__all__ = [
    "BackTest",
    "Change",
    "Derived",
    "DerivedDay",
    "Rules",
    "Run",
    "Thresholds",
    "back_test",
    "create_tables",
    "derive",
    "highest_run",
]
