"""Disjoint ranges of categories for the hosts of a fleet: unique pairs without any server.

Two sets of categories that have none in common are never comparable. So hosts whose pairs come from disjoint
ranges cannot have the same level, nor one that dominates another's. A plan depends only on the set of names:
each host works out the same one.

c1022 and c1023 are in no range: Docker and Podman use them for unconfined containers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from mcsd.core.labels import CATEGORY_COUNT, Level
from mcsd.core.pairs import PairRun
from mcsd.errors import RequestError

HOST_NAME = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}"
"""What a host may be called, as a regular expression."""
USABLE = CATEGORY_COUNT - 2
"""Categories that are divided among hosts: c0 to c1021."""
FEWEST_PAIRS = 100
"""Pairs that each host gets at least: fewer do not last for a host's containers, and those in quarantine."""


@dataclass(frozen=True, slots=True)
class HostRange:
    """A host's categories, both ends included."""

    host: str
    low: int
    high: int

    def __str__(self) -> str:
        return f"c{self.low}.c{self.high}"

    @property
    def pairs(self) -> int:
        """How many pairs the range has."""
        return PairRun(self.low, self.high).total

    def has(self, level: Level) -> bool:
        """Tell whether all categories of a level are in the range."""
        return all(self.low <= number <= self.high for number in level.numbers())


def _fits(hosts: int) -> bool:
    count = USABLE // hosts
    return count * (count - 1) // 2 >= FEWEST_PAIRS


MOST_HOSTS = max(hosts for hosts in range(1, USABLE) if _fits(hosts))


def plan_ranges(hosts: Iterable[str]) -> Mapping[str, HostRange]:
    """Divide the categories among hosts, as equally as possible, in the order of their names.

    Raises `RequestError` if there are none or too many.
    """
    names = sorted(set(hosts))
    if not names:
        raise RequestError("no host was named", hint="name all hosts that mount the same labelled storage")
    if not _fits(len(names)):
        raise RequestError(
            f"{len(names)} hosts are too many: each would get fewer than {FEWEST_PAIRS} pairs, at most "
            f"{MOST_HOSTS} can share the categories",
            hint="give hosts that mount no storage in common plans of their own",
        )
    share, left = divmod(USABLE, len(names))
    ranges: dict[str, HostRange] = {}
    low = 0
    for number, name in enumerate(names):
        high = low + share + (number < left) - 1
        ranges[name] = HostRange(name, low, high)
        low = high + 1
    return ranges
