"""Groups: containers that share a volume which nobody else can read, in the arithmetic of categories.

A group has a pair G = {g, h}, and its volumes carry `s0:g,h`. A member has a pair of its own, O = {a, b},
and runs at M = O ∪ G: four categories. Then, by dominance alone:

- M dominates G, so each member reads and writes the group's volumes: the one relation that is wanted;
- a pair that is not part of M neither dominates G nor M, so no container outside can reach either;
- two members have different pairs of their own, disjoint from G, so neither M contains the other, and
  what a member keeps for itself carries M: the others cannot read it;
- a member of two groups runs at O ∪ G ∪ H, six categories, and the same holds.

M dominates more than was meant: its six pairs {a,b} {a,g} {a,h} {b,g} {b,h} {g,h}, and its four single
categories. Somebody else at {a,g} could reach neither M's files nor G's; but the member would read all of
theirs, and somebody at {g,h} itself would be a member in all but name. So while M is held, none of its pairs
is given out (`Allocator.take` blocks what is comparable), and a pair becomes somebody's O only if nobody
holds any part of the M that it makes (`Allocator.choose_member`). Pairs that are blocked but not held do no
harm: two members {a,b,g,h} and {a,c,g,h} both contain {a,g}, and nobody has it.
"""

from __future__ import annotations

from collections.abc import Iterable

from mcsd.core.labels import CategoryPair, Level


def joint_level(pairs: Iterable[CategoryPair]) -> Level:
    """Return the level of all these pairs' categories: what a member of such groups cannot do without."""
    return Level.of(*(category for pair in pairs for category in (pair.low, pair.high)))


def member_level(own: CategoryPair, groups: Iterable[CategoryPair]) -> Level:
    """Return the level of a member with a pair of its own; dominates each group's."""
    return joint_level((own, *groups))
