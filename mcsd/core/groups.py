"""Groups: containers that share a volume which nobody else can read, by means of categories.

A group has a pair G = {g, h}, and its volumes carry `s0:g,h`. A member has a pair of its own, O = {a, b},
and runs at M = O ∪ G: four categories. Then, by dominance alone:

- M dominates G, so each member can read and write the group's volumes: the only relation that is wanted;
- a pair that is not part of M dominates neither G nor M, so no other container can reach either;
- two members have different pairs of their own, disjoint from G, so neither M contains the other. A member's
  private volumes carry its M, so the other members cannot read them;
- a member of two groups runs at O ∪ G ∪ H, six categories, and the same holds.

M dominates more than intended: its six pairs {a,b} {a,g} {a,h} {b,g} {b,h} {g,h}, and its four single
categories. Another container at {a,g} could reach neither M's files nor G's, but the member could read all of
that container's; and a container at {g,h} would in effect be a member. So while M is held, none of its pairs
is granted (`Allocator.take` blocks what is comparable), and a pair becomes an O only if nobody holds any part
of the resulting M (`Allocator.choose_member`). Pairs that are blocked but not held do no harm: two members
{a,b,g,h} and {a,c,g,h} both contain {a,g}, and nobody has it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from mcsd.core.labels import CategoryPair, Level

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}", re.ASCII)
"""What a group may be called, and a reservation."""


def joint_level(pairs: Iterable[CategoryPair]) -> Level:
    """Return the level with all these pairs' categories, the least that a member of the groups needs."""
    return Level.of(*(category for pair in pairs for category in (pair.low, pair.high)))


def member_level(own: CategoryPair, groups: Iterable[CategoryPair]) -> Level:
    """Return the level of a member with the pair `own`; it dominates each group's level."""
    return joint_level((own, *groups))
