"""Finding comparable levels among many without a scan.

Levels form a lattice under dominance. The levels that are not separate from a given one contain its
categories or are contained in them. Both are found by the categories:

- a superset is among the levels with the rarest of the categories;
- a subset is one of 2^k - 1, which are few for k = 2 or 4.

Levels without categories are left out on both sides. Every holder dominates the bare `s0`, so it isolates
nobody; calling it comparable would make it a conflict with everyone. Its holders are reported as not isolated
instead.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain, combinations

from mcsd.core.labels import Level, category_numbers


class CategorySets:
    """A family of non-empty category sets, as bit masks, with fast lookup of subsets and supersets.

    Internally they are tuples of category numbers, which hash well; bit masks do not (see `Level.__hash__`).
    """

    def __init__(self) -> None:
        self._masks: dict[tuple[int, ...], int] = {}
        self._carrying: dict[int, set[tuple[int, ...]]] = {}

    def __len__(self) -> int:
        return len(self._masks)

    def add(self, mask: int) -> None:
        """Add a set; it may be there already."""
        numbers = category_numbers(mask)
        self._masks[numbers] = mask
        for category in numbers:
            self._carrying.setdefault(category, set()).add(numbers)

    def remove(self, mask: int) -> None:
        """Remove a set; raises `KeyError` if it is not there."""
        numbers = category_numbers(mask)
        del self._masks[numbers]
        for category in numbers:
            carrying = self._carrying[category]
            carrying.remove(numbers)
            if not carrying:
                del self._carrying[category]

    def subsets_of(self, mask: int) -> list[int]:
        """List the subsets of these categories."""
        if 1 << mask.bit_count() > len(self._masks):
            return [one for one in self._masks.values() if one & mask == one]
        numbers = category_numbers(mask)
        parts = chain.from_iterable(combinations(numbers, size) for size in range(1, len(numbers) + 1))
        return [self._masks[part] for part in parts if part in self._masks]

    def supersets_of(self, mask: int) -> list[int]:
        """List the supersets of these categories, of which there must be at least one."""
        nobody: set[tuple[int, ...]] = set()
        carrying = [self._carrying.get(category, nobody) for category in category_numbers(mask)]
        masks = (self._masks[numbers] for numbers in min(carrying, key=len))
        return [one for one in masks if one & mask == mask]


class LevelIndex:
    """Levels, with fast lookup of those that are comparable to a given one."""

    def __init__(self) -> None:
        self._by_sensitivity: dict[int, CategorySets] = {}

    def __len__(self) -> int:
        """How many levels with categories there are."""
        return sum(map(len, self._by_sensitivity.values()))

    def add(self, level: Level) -> None:
        """Add a level; one without categories is ignored."""
        if level.categories:
            self._by_sensitivity.setdefault(level.sensitivity, CategorySets()).add(level.categories)

    def remove(self, level: Level) -> None:
        """Remove a level; raises `KeyError` if it is not there."""
        if not level.categories:
            return
        sets = self._by_sensitivity[level.sensitivity]
        sets.remove(level.categories)
        if not sets:
            del self._by_sensitivity[level.sensitivity]

    def dominated_by(self, level: Level) -> tuple[Level, ...]:
        """List the levels that this one dominates, itself if present, in the order of `numbers`."""
        return _sorted(self._dominated_by(level))

    def dominating(self, level: Level) -> tuple[Level, ...]:
        """List the levels that dominate this one, itself if present, in the order of `numbers`."""
        return _sorted(self._dominating(level))

    def comparable_to(self, level: Level) -> tuple[Level, ...]:
        """List the levels that equal, dominate or are dominated by this one, in the order of `numbers`."""
        return _sorted(self.any_comparable_to(level))

    def any_comparable_to(self, level: Level) -> frozenset[Level]:
        """Return the same levels in no order, which takes half of the time."""
        return frozenset((*self._dominated_by(level), *self._dominating(level)))

    def _dominated_by(self, level: Level) -> Iterator[Level]:
        for sensitivity, sets in self._by_sensitivity.items():
            if sensitivity <= level.sensitivity and level.categories:
                yield from (Level(sensitivity, mask) for mask in sets.subsets_of(level.categories))

    def _dominating(self, level: Level) -> Iterator[Level]:
        for sensitivity, sets in self._by_sensitivity.items():
            if sensitivity >= level.sensitivity and level.categories:
                yield from (Level(sensitivity, mask) for mask in sets.supersets_of(level.categories))


def _sorted(levels: Iterable[Level]) -> tuple[Level, ...]:
    return tuple(sorted(levels, key=lambda one: (one.sensitivity, one.numbers())))
