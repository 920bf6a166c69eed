"""Who is not separate from whom: holders by name, and the levels that they hold.

A lookup of all comparable holders takes about as many steps as the level has subsets (three for a pair,
fifteen for a group's member), plus the number of results, however many holders there are.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Generic, TypeVar

from mcsd.core.labels import Level
from mcsd.core.lattice import LevelIndex

K = TypeVar("K", bound=Hashable)


class Separation(Generic[K]):
    """Holders, each at one level, with fast lookup of those that are not separate from a level.

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
        """Set a holder's level."""
        if self._levels.get(holder) == level:
            return
        self.drop(holder)
        self._levels[holder] = level
        if level not in self._holders:
            self._index.add(level)
        self._holders.setdefault(level, set()).add(holder)

    def drop(self, holder: K) -> None:
        """Remove a holder; it may be unknown."""
        level = self._levels.pop(holder, None)
        if level is None:
            return
        self._holders[level].remove(holder)
        if not self._holders[level]:
            del self._holders[level]
            self._index.remove(level)

    def equal_to(self, level: Level) -> frozenset[K]:
        """Return the holders at exactly this level."""
        return self._at([level])

    def dominated_by(self, level: Level) -> frozenset[K]:
        """Return the holders whose level this one dominates, including those at it."""
        return self._at(self._index.dominated_by(level))

    def dominating(self, level: Level) -> frozenset[K]:
        """Return the holders whose level dominates this one, including those at it."""
        return self._at(self._index.dominating(level))

    def comparable_to(self, level: Level) -> frozenset[K]:
        """Return the holders that are not separate from this level: at it, above it or below it."""
        return self._at(self._index.any_comparable_to(level))

    def _at(self, levels: Iterable[Level]) -> frozenset[K]:
        return frozenset(holder for level in levels for holder in self._holders.get(level, ()))
