"""Groups by dominance alone: who reads what, for members, strangers and the group's volume. Promise 1."""

from __future__ import annotations

import random
from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from mcsd.core.allocation import Allocator, Holder, HolderKind
from mcsd.core.groups import member_level
from mcsd.core.labels import Level
from mcsd.errors import ConflictError, ExhaustedError

Wish = tuple[int, ...]
"""Which groups the next container wants to be in; none for one that keeps to itself."""

wishes = st.lists(st.sets(st.integers(0, 2), max_size=2).map(lambda s: tuple(sorted(s))), max_size=40)


@given(wishes, st.integers(0, 2**32), st.integers(8, 24))
def test_containers_and_groups_of_any_number_form_an_antichain(
    wanted: list[Wish], seed: int, count: int
) -> None:
    """Promise 1: members of one group share its volumes, and nothing else is shared with anyone."""
    allocator = Allocator(low=0, high=count - 1, random=random.Random(seed))
    groups = []
    for number in range(3):
        pair = allocator.choose()
        allocator.take(pair.level, Holder(HolderKind.GROUP, str(number)))
        groups.append(pair)
    containers: list[tuple[Level, Wish]] = []
    for wish in wanted:
        mine = [groups[number] for number in wish]
        try:
            level = member_level(allocator.choose_member(*mine), mine) if mine else allocator.choose().level
        except (ConflictError, ExhaustedError):  # the third group's pair may be part of two others' together
            continue
        allocator.take(level, Holder(HolderKind.GRANT, str(len(containers))))
        containers.append((level, wish))
    for (one, _), (other, _) in combinations(containers, 2):
        assert not one.is_comparable_to(other)
    for level, wish in containers:
        for number, pair in enumerate(groups):
            assert level.dominates(pair.level) == (number in wish)
            assert not pair.level.dominates(level)


@given(wishes, st.integers(0, 2**32))
def test_whatever_leaves_gives_everything_back(wanted: list[Wish], seed: int) -> None:
    allocator = Allocator(low=0, high=15, random=random.Random(seed))
    before = allocator.counts()
    group = allocator.choose()
    taken = [(group.level, Holder(HolderKind.GROUP, "g"))]
    allocator.take(*taken[0])
    for wish in wanted:
        try:
            level = (
                member_level(allocator.choose_member(group), [group]) if wish else allocator.choose().level
            )
        except ExhaustedError:
            continue
        taken.append((level, Holder(HolderKind.GRANT, "c")))
        allocator.take(*taken[-1])
    random.Random(seed).shuffle(taken)
    for level, holder in taken:
        allocator.give_back(level, holder)
    assert allocator.counts() == before
