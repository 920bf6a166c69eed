"""The pairs of a run of categories by rank, which of them are free, and in which order they are used.

The pairs of *n* categories are numbered without gaps: {i < j}, counted from the run's first category, has
rank j(j-1)/2 + i. `FreePairs` counts for each rank how many levels block it, in one byte for most, and knows
which were used before. Unknown files may still carry those. So pairs that were never used come first, drawn
at random, and then those that have been free for the longest time.

Takes a megabyte for 1024 categories, and four more bytes for each free pair that was used before.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterator
from itertools import combinations
from math import isqrt
from typing import Protocol

from mcsd.core.labels import CATEGORY_COUNT, CategoryPair, Level


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
        """Return the pair of a rank in `0 … total - 1`."""
        high = (1 + isqrt(8 * rank + 1)) // 2
        low = rank - high * (high - 1) // 2
        return CategoryPair(self.bounds.low + low, self.bounds.low + high)

    def rank_of(self, pair: CategoryPair) -> int | None:
        """Return a pair's rank, None if it is not in this run."""
        if pair.low < self.bounds.low or pair.high > self.bounds.high:
            return None
        high = pair.high - self.bounds.low
        return high * (high - 1) // 2 + pair.low - self.bounds.low

    def ranks_comparable_to(self, level: Level) -> Iterator[int]:
        """Return the rank of every pair, at `s0`, that is comparable to a level, each once.

        A level with one category is comparable to all pairs with it, one with more to the pairs that it
        contains, one without to none (see `mcsd.core.lattice`). A level above `s0` can dominate a pair, but
        no pair dominates it. Categories outside the run count for the size, but have no pairs here.
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


EVERY_PAIR = PairRun(0, CATEGORY_COUNT - 1)
"""All pairs: the ledger stores their ranks in this run, whatever run is configured."""


class Randomness(Protocol):
    """`random.SystemRandom` in production, a seeded `random.Random` in tests."""

    def randrange(self, stop: int, /) -> int:
        """Return one of `0 … stop - 1`, uniformly distributed."""
        ...


_MANY = 255
"""Stands for a count that does not fit into a byte."""

_RARE = 8
"""If fewer than one in so many is left, search for the next one from a random start instead of drawing."""

_TRIES = 200
"""Draws before searching anyway, which happens once in 10^11."""

_GIVEN, _FRESH, _TAKEN_FRESH = 0, 1, 2
"""A rank that was used before; one that was never used and is free; one that was never used and is
blocked."""


class FreePairs:
    """Which ranks are free, how many levels block each of the others, and which one is next."""

    def __init__(self, total: int) -> None:
        self._blocks = bytearray(total)
        self._many: dict[int, int] = {}
        self._kinds = bytearray([_FRESH]) * total
        self._fresh = total
        self._waiting = _Queue()

    def __len__(self) -> int:
        return self._fresh + len(self._waiting)

    def __iter__(self) -> Iterator[int]:
        return (rank for rank, blocks in enumerate(self._blocks) if not blocks)

    @property
    def never_given(self) -> int:
        """How many free ranks were never used."""
        return self._fresh

    def draw(self, random: Randomness) -> int:
        """Return the next free rank; there must be one.

        Ranks that were never used are drawn uniformly as long as at least one in `_RARE` is left.
        """
        assert len(self), "none is free"
        if self._fresh:
            return self._draw_fresh(random)
        return next(iter(self._waiting))

    def _draw_fresh(self, random: Randomness) -> int:
        total = len(self._kinds)
        rank = random.randrange(total)
        for _ in range(_TRIES if self._fresh * _RARE >= total else 0):
            if self._kinds[rank] == _FRESH:
                return rank
            rank = random.randrange(total)
        at = self._kinds.find(_FRESH, rank)
        return at if at >= 0 else self._kinds.find(_FRESH)

    def given_in_turn(self) -> Iterator[int]:
        """Return the free ranks that were used before, the one that has been free longest first."""
        return iter(self._waiting)

    def is_fresh(self, rank: int) -> bool:
        """Tell whether a rank was never used."""
        return self._kinds[rank] != _GIVEN

    def give(self, rank: int) -> None:
        """Record that a rank is or was used: it comes after all that never were."""
        if self._kinds[rank] == _FRESH:
            self._fresh -= 1
            self._waiting.append(rank)
        self._kinds[rank] = _GIVEN

    def blocks_on(self, rank: int) -> int:
        """Return how many levels block a rank; 0 for a free one."""
        blocks = self._blocks[rank]
        return blocks if blocks < _MANY else self._many[rank]

    def block(self, rank: int) -> None:
        """Count one more level that blocks a rank."""
        blocks = self.blocks_on(rank)
        self._put(rank, blocks + 1)
        if blocks:
            return
        if self._kinds[rank] == _FRESH:
            self._kinds[rank] = _TAKEN_FRESH
            self._fresh -= 1
        else:
            self._waiting.remove(rank)

    def unblock(self, rank: int) -> None:
        """Count one level less; the last one frees the rank. It must be blocked."""
        blocks = self.blocks_on(rank)
        assert blocks, f"the pair of rank {rank} is free already"
        self._put(rank, blocks - 1)
        if blocks > 1:
            return
        if self._kinds[rank] == _TAKEN_FRESH:
            self._kinds[rank] = _FRESH
            self._fresh += 1
        else:
            self._waiting.append(rank)

    def _put(self, rank: int, blocks: int) -> None:
        self._blocks[rank] = min(blocks, _MANY)
        if blocks >= _MANY:
            self._many[rank] = blocks
        elif blocks == _MANY - 1:
            self._many.pop(rank, None)


class _Queue:
    """Ranks in the order of their arrival, each once, in four bytes each.

    What is removed from the middle stays until the front reaches it: a rank's entries that have to be skipped
    are always its first ones.
    """

    def __init__(self) -> None:
        self._places = array("I")
        self._front = 0
        self._left: Counter[int] = Counter()
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[int]:
        """Iterate from the front, dropping removed entries. Do not change the queue meanwhile."""
        while self._front < len(self._places) and self._left[self._places[self._front]]:
            self._forget(self._places[self._front])
            self._front += 1
        passed: Counter[int] = Counter()
        for place in range(self._front, len(self._places)):
            rank = self._places[place]
            if passed[rank] < self._left[rank]:
                passed[rank] += 1
            else:
                yield rank

    def append(self, rank: int) -> None:
        self._places.append(rank)
        self._count += 1

    def remove(self, rank: int) -> None:
        """Remove a rank that is in the queue."""
        self._count -= 1
        if self._front < len(self._places) and self._places[self._front] == rank and not self._left[rank]:
            self._front += 1
        else:
            self._left[rank] += 1
        if len(self._places) > 2 * self._count + 64:
            self._close_up()

    def _forget(self, rank: int) -> None:
        self._left[rank] -= 1
        if not self._left[rank]:
            del self._left[rank]

    def _close_up(self) -> None:
        """Compact the queue once more entries are removed than left."""
        self._places = array("I", self)
        self._front = 0
        self._left.clear()
