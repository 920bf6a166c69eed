"""The pairs of a run of categories, numbered, and which of them are free.

The pairs of *n* categories are numbered without gaps: {i < j}, counted from the run's first category, has
rank j(j-1)/2 + i. `FreePairs` counts for each rank how many levels block it, a byte for most. While a quarter
or more are free, one is drawn by trying: four tries at most on average. When fewer are, the free ones are
listed, so that a draw takes one step however few are left. Half a megabyte for 1024 categories, and two and a
half more for the list.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from itertools import combinations
from math import isqrt
from typing import Protocol

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


class Randomness(Protocol):
    """`random.SystemRandom` in production, a seeded `random.Random` in tests."""

    def randrange(self, stop: int, /) -> int:
        """Draw from `0 … stop - 1`, each as likely."""
        ...


_MANY = 255
"""What stands for a count that does not fit in a byte."""

_TRIES = 200
"""Draws before the next free rank is looked for; with a quarter free, one draw in 10^24 comes to that."""


class FreePairs:
    """Which ranks are free, and how many levels block each of the others."""

    def __init__(self, total: int) -> None:
        self._blocks = bytearray(total)
        self._many: dict[int, int] = {}
        self._count = total
        self._list: _FreeList | None = None

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[int]:
        return (rank for rank, blocks in enumerate(self._blocks) if not blocks)

    def draw(self, random: Randomness) -> int:
        """Draw a free rank, each as likely; there must be one."""
        assert self._count, "none is free"
        if self._list is not None:
            return self._list.draw(random)
        for _ in range(_TRIES):
            rank = random.randrange(len(self._blocks))
            if not self._blocks[rank]:
                return rank
        at = self._blocks.find(0, rank)
        return at if at >= 0 else self._blocks.find(0)

    def blocks_on(self, rank: int) -> int:
        """How many levels block a rank; 0 for a free one."""
        blocks = self._blocks[rank]
        return blocks if blocks < _MANY else self._many[rank]

    def block(self, rank: int) -> None:
        """Count one more level that blocks a rank."""
        blocks = self.blocks_on(rank)
        self._put(rank, blocks + 1)
        if blocks:
            return
        self._count -= 1
        if self._list is not None:
            self._list.remove(rank)
        elif self._count < len(self._blocks) // 4:
            self._list = _FreeList(self, len(self._blocks))

    def unblock(self, rank: int) -> None:
        """Count one level less; the last one frees the rank. It must be blocked."""
        blocks = self.blocks_on(rank)
        assert blocks, f"the pair of rank {rank} is free already"
        self._put(rank, blocks - 1)
        if blocks > 1:
            return
        self._count += 1
        if self._list is not None:
            self._list.add(rank)
            if self._count > len(self._blocks) // 2:
                self._list = None

    def _put(self, rank: int, blocks: int) -> None:
        self._blocks[rank] = min(blocks, _MANY)
        if blocks >= _MANY:
            self._many[rank] = blocks
        elif blocks == _MANY - 1:
            self._many.pop(rank, None)


class _FreeList:
    """The free ranks in no order, and where each stands: one is taken out by moving the last one there."""

    def __init__(self, free: Iterable[int], total: int) -> None:
        self._ranks = array("I", free)
        self._standing = array("I", bytes(4 * total))
        for position, rank in enumerate(self._ranks):
            self._standing[rank] = position

    def draw(self, random: Randomness) -> int:
        return self._ranks[random.randrange(len(self._ranks))]

    def add(self, rank: int) -> None:
        self._standing[rank] = len(self._ranks)
        self._ranks.append(rank)

    def remove(self, rank: int) -> None:
        last = self._ranks.pop()
        if last != rank:
            position = self._standing[rank]
            self._ranks[position] = last
            self._standing[last] = position
