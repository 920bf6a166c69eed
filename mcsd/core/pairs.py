"""The pairs of a run of categories, numbered, and which of them are free.

The pairs of *n* categories are numbered without gaps: {i < j}, counted from the run's first category, has
rank j(j-1)/2 + i. `FreePairs` keeps the free ranks in an array in no order, so that one is drawn at random
in constant time however few are left, and taken out by moving the last one into its place. A second array
says for each rank where it stands in the first or, below zero, how many levels block it. Both together are
8 bytes a pair: 4 MiB for 1024 categories, whatever is held.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from itertools import combinations
from math import isqrt

from mcsd.core.labels import CategoryPair, Level


class PairRun:
    """The pairs of all categories from `low` to `high`, both included, as ranks."""

    def __init__(self, low: int, high: int) -> None:
        """Raise `LabelSyntaxError` unless 0 ≤ low < high < 1024."""
        self.bounds = CategoryPair(low, high)
        count = high - low + 1
        self.total = count * (count - 1) // 2

    def __str__(self) -> str:
        return f"c{self.bounds.low}.c{self.bounds.high}"

    def pair_at(self, rank: int) -> CategoryPair:
        """Give the pair of a rank in `0 … total - 1`."""
        high = (1 + isqrt(8 * rank + 1)) // 2
        low = rank - high * (high - 1) // 2
        return CategoryPair(self.bounds.low + low, self.bounds.low + high)

    def ranks_comparable_to(self, level: Level) -> Iterator[int]:
        """Give the rank of every pair, at `s0`, that is comparable to a level, each once.

        One category is contained in all pairs that have it; two or more contain their own pairs; none at
        all says nothing about pairs (see `mcsd.core.lattice`). Above `s0` a level can dominate a pair but
        no pair dominates it. Categories outside the run count for the size and have no pairs here.
        """
        inside = [n - self.bounds.low for n in level.numbers() if self.bounds.low <= n <= self.bounds.high]
        if len(level) == 1 and inside and level.sensitivity == 0:
            return self._with(inside[0])
        return (high * (high - 1) // 2 + low for low, high in combinations(inside, 2))

    def _with(self, category: int) -> Iterator[int]:
        for low in range(category):
            yield category * (category - 1) // 2 + low
        for high in range(category + 1, self.bounds.high - self.bounds.low + 1):
            yield high * (high - 1) // 2 + category


class FreePairs:
    """Which ranks are free, and how many levels block each of the others."""

    def __init__(self, total: int) -> None:
        self._free = array("I", range(total))
        self._standing = array("i", range(total))

    def __len__(self) -> int:
        return len(self._free)

    def __getitem__(self, position: int) -> int:
        """Give the free rank at a position; positions mean nothing and change with every block."""
        return self._free[position]

    def __iter__(self) -> Iterator[int]:
        return iter(self._free)

    def blocks_on(self, rank: int) -> int:
        """How many levels block a rank; 0 for a free one."""
        return max(0, -self._standing[rank])

    def block(self, rank: int) -> None:
        """Count one more level that blocks a rank."""
        position = self._standing[rank]
        if position < 0:
            self._standing[rank] = position - 1
            return
        last = self._free.pop()
        if last != rank:
            self._free[position] = last
            self._standing[last] = position
        self._standing[rank] = -1

    def unblock(self, rank: int) -> None:
        """Count one level less; the last one frees the rank. It must be blocked."""
        blocks = -self._standing[rank]
        assert blocks > 0, f"the pair of rank {rank} is free already"
        if blocks > 1:
            self._standing[rank] = 1 - blocks
            return
        self._standing[rank] = len(self._free)
        self._free.append(rank)
