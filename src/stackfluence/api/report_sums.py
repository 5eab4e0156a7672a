"""Rows of many pieces, added up by group and part: whole numbers, exactly."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

import numpy as np

from stackfluence.api.report_pieces import Kept, Rows, Words

# a table of all pairs of group and part costs less than sorting those that there are, up to so many, and for each row
DENSE_CELLS, DENSE_SHARE = 1 << 22, 64


class Sums:
    """Numbers by group and part; `rows` begin with the numbers of both, in order of these."""

    def __init__(self, columns: int) -> None:
        self.groups = Words()
        self.rows: Rows = np.zeros((0, columns + 2), dtype=np.int64)
        self._parts = Words()

    def parts_of(self, kept: Kept, rows: Rows) -> Rows:
        """Return which part each row of kept pieces is of, in the numbers of these sums."""
        return self._parts.codes(kept.parts.all)[rows[:, 1]]

    def add(self, groups: Rows, parts: Rows, numbers: Rows) -> None:
        """Add rows: the group and the part of each, and its numbers."""
        more = np.column_stack([groups, parts, numbers])
        self.rows = _add_up(np.concatenate([self.rows, more]) if len(self.rows) else more)

    def whole(self) -> Sums:
        """Return all groups' as one group's, 0."""
        whole = Sums(self.rows.shape[1] - 2)
        whole.rows = _add_up(np.column_stack([np.zeros_like(self.rows[:, 0]), self.rows[:, 1:]]))
        whole._parts = self._parts
        return whole

    def by_group(self, column: int) -> Rows:
        """Return one of the numbers, added up over all parts of each group."""
        sums = np.zeros(len(self.groups.all), dtype=np.int64)
        np.add.at(sums, self.rows[:, 0], self.rows[:, column + 2])
        return sums

    def present(self) -> list[int]:
        """Return the groups that have rows, in order."""
        return [int(group) for group in np.unique(self.rows[:, 0])]

    def told(self, group: int) -> list[tuple[tuple[Any, ...], list[int]]]:
        """Return the parts of a group: what each stands for, and its numbers."""
        first, end = np.searchsorted(self.rows[:, 0], [group, group + 1])
        return [(_words(self._parts.all[part]), numbers) for _, part, *numbers in self.rows[first:end].tolist()]


@lru_cache(maxsize=10_000)
def _words(part: str) -> tuple[Any, ...]:
    """Return what a part stands for; there are as many as reasons go together."""
    return tuple(json.loads(part))


def _add_up(rows: Rows) -> Rows:
    """Return one row for each pair of the first two numbers, the others added up."""
    if not len(rows):
        return rows
    width = int(rows[:, 1].max()) + 1
    cells = rows[:, 0] * width + rows[:, 1]
    found, places = _places(cells)
    sums = np.zeros((len(found), rows.shape[1]), dtype=np.int64)
    sums[:, 0], sums[:, 1] = np.divmod(found, width)
    for column in range(2, rows.shape[1]):
        np.add.at(sums[:, column], places, rows[:, column])
    return sums


def _places(cells: Rows) -> tuple[Rows, Rows]:
    """Return the different numbers in order, and the place of each among them."""
    most = int(cells.max()) + 1
    if most > min(DENSE_CELLS, DENSE_SHARE * len(cells)):
        return np.unique(cells, return_inverse=True)
    table = np.zeros(most, dtype=np.int64)
    table[cells] = 1
    found = np.flatnonzero(table)
    table[found] = np.arange(len(found))
    return found, table[cells]


def once_each(groups: Rows, parts: Rows, orders: Rows, is_shared: Rows) -> Rows:
    """Return 1 for one row of each order in a group and part, 0 for its others; `is_shared` if an order has several."""
    ones = np.ones(len(groups), dtype=np.int64)
    shared = np.flatnonzero(is_shared)
    if len(shared):
        columns = orders[shared], parts[shared], groups[shared]
        order = np.lexsort(columns)
        is_again = np.logical_and.reduce([np.diff(column[order]) == 0 for column in columns])
        ones[shared[order[1:]][is_again]] = 0
    return ones
