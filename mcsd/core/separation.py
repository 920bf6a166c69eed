"""Who is not separate from whom: holders by name, and the levels that they hold.

Asking for everyone whose level is comparable to one takes about as many steps as that level has subsets
(three for a pair, fifteen for a group's member) plus the answers, however many holders there are.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Generic, TypeVar

from mcsd.core.labels import Level
from mcsd.core.lattice import LevelIndex

K = TypeVar("K", bound=Hashable)


class Separation(Generic[K]):
    """Holders, each at one level, of which those that are not separate from a level are found fast.

    A level without categories is held like any other, and comparable to none (see `mcsd.core.lattice`).
    """

    def __init__(self) -> None:
        self._levels: dict[K, Level] = {}
        self._holders: dict[Level, set[K]] = {}
        self._index = LevelIndex()

    def __len__(self) -> int:
        """How many holders there are."""
        return len(self._levels)

    def put(self, holder: K, level: Level) -> None:
        """Let a holder have this level, in place of what it had."""
        if self._levels.get(holder) == level:
            return
        self.drop(holder)
        self._levels[holder] = level
        if level not in self._holders:
            self._index.add(level)
        self._holders.setdefault(level, set()).add(holder)

    def drop(self, holder: K) -> None:
        """Forget a holder; it may be unknown."""
        level = self._levels.pop(holder, None)
        if level is None:
            return
        self._holders[level].remove(holder)
        if not self._holders[level]:
            del self._holders[level]
            self._index.remove(level)

    def equal_to(self, level: Level) -> frozenset[K]:
        """Everyone at exactly this level."""
        return self._at([level])

    def dominated_by(self, level: Level) -> frozenset[K]:
        """Everyone whose level this one dominates, those at it included."""
        return self._at(self._index.dominated_by(level))

    def dominating(self, level: Level) -> frozenset[K]:
        """Everyone whose level dominates this one, those at it included."""
        return self._at(self._index.dominating(level))

    def comparable_to(self, level: Level) -> frozenset[K]:
        """Everyone who is not separate from this level: at it, above it or below it."""
        return self._at(self._index.comparable_to(level))

    def _at(self, levels: Iterable[Level]) -> frozenset[K]:
        return frozenset(holder for level in levels for holder in self._holders.get(level, ()))
