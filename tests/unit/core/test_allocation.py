"""The allocator, case by case; that its books always balance is a property. Promises 1 and 2."""

from __future__ import annotations

import random
from collections import Counter
from itertools import combinations, zip_longest

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mcsd.core.allocation import Allocator, Holder, HolderKind
from mcsd.core.fleet.blocks import BLOCK, block_of
from mcsd.core.groups import member_level
from mcsd.core.labels import CategoryPair, Level
from mcsd.core.pairs import EVERY_PAIR
from mcsd.errors import ConflictError, ExhaustedError, LabelSyntaxError

WEB = Holder(HolderKind.GRANT, "web")
DB = Holder(HolderKind.GRANT, "db")
GROUP = Holder(HolderKind.GROUP, "shop")
GONE = Holder(HolderKind.QUARANTINE, "gone")


def allocator(low: int = 0, high: int = 5, *, seed: int = 1) -> Allocator:
    return Allocator(low=low, high=high, random=random.Random(seed))


def free_pairs(of: Allocator, low: int = 0, high: int = 5) -> set[CategoryPair]:
    pairs = (CategoryPair(*pair) for pair in combinations(range(low, high + 1), 2))
    return {pair for pair in pairs if not of.why_not(pair.level)}


class Constant:
    """Randomness that always draws from one end."""

    def __init__(self, *, last: bool) -> None:
        self._last = last

    def randrange(self, stop: int, /) -> int:
        assert stop > 0
        return stop - 1 if self._last else 0


# --- choosing ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("last", [False, True])
def test_any_randomness_reaches_every_pair_and_then_it_ends(last: bool) -> None:
    """Certain to end: no draw is ever repeated, even by the worst of generators."""
    pairs = Allocator(low=0, high=63, random=Constant(last=last))
    pairs.take(Level.of(62, 63), Holder(HolderKind.CONFIGURED, "c62,c63"))
    seen = set()
    for _ in range(64 * 63 // 2 - 1):
        pair = pairs.choose()
        pairs.take(pair.level, WEB)
        seen.add(pair)
    assert seen == {CategoryPair(*pair) for pair in combinations(range(64), 2)} - {CategoryPair(62, 63)}
    with pytest.raises(ExhaustedError):
        pairs.choose()


def test_free_pairs_are_as_likely_as_each_other_however_few() -> None:
    pairs = allocator(seed=7)
    for low, high in [(0, 1), (2, 3), (0, 5), (1, 4)]:
        pairs.take(Level.of(low, high), WEB)
    drawn = Counter(pairs.choose() for _ in range(11_000))
    assert set(drawn) == free_pairs(pairs)
    expected = 11_000 / 11
    chi_square = sum((count - expected) ** 2 / expected for count in drawn.values())
    assert chi_square < 29.6, "one seed in a thousand would fail this, and the seed is fixed"


def test_choosing_takes_nothing() -> None:
    pairs = allocator()
    before = pairs.counts()
    for _ in range(100):
        pairs.choose()
    assert pairs.counts() == before


def test_exhaustion_says_exactly_who_has_them_and_what_to_do() -> None:
    pairs = allocator(0, 4)
    for levels, holder in [
        ("s0:c0,c1 s0:c0,c2 s0:c0,c3", WEB),
        ("s0:c0,c4 s0:c1,c2", Holder(HolderKind.RESERVATION, "blog")),
        ("s0:c1,c3", GONE),
        ("s0:c1,c4", GROUP),
        ("s0:c2,c3 s0:c2,c4", Holder(HolderKind.CONFIGURED, "x")),
    ]:
        for text in levels.split():
            pairs.take(Level.parse(text), holder)
    pairs.replace_processes({Level.of(3, 4): Holder(HolderKind.PROCESS, "process 9")})
    with pytest.raises(ExhaustedError) as caught:
        pairs.choose()
    assert caught.value.what == (
        "no pair is free in c0.c4: of 10 pairs 3 are granted, 2 reserved, 1 of groups, 1 in quarantine, "
        "1 carried by other processes, 2 set aside by the configuration, 0 free"
    )
    assert "mcsctl restore" in caught.value.hint
    pairs.give_back(Level.of(1, 3), GONE)
    assert pairs.choose() == CategoryPair(1, 3), "what was given back can be granted again"
    pairs.take(Level.of(1, 3), WEB)
    with pytest.raises(ExhaustedError, match="mcsctl release"):
        pairs.choose()


def test_a_run_that_is_only_granted_is_to_be_widened() -> None:
    pairs = allocator(0, 1)
    pairs.take(Level.of(0, 1), WEB)
    with pytest.raises(ExhaustedError, match=r"widen \[categories\] range"):
        pairs.choose()


def test_a_bad_run_is_refused() -> None:
    with pytest.raises(LabelSyntaxError):
        allocator(5, 5)


# --- who blocks what -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("level", "blocked"),
    [("s0", 0), ("s0:c3", 5), ("s0:c3,c4", 1), ("s0:c1,c3,c4", 3), ("s0:c1.c4", 6), ("s0:c9", 0)],
)
def test_a_held_level_blocks_every_pair_it_is_comparable_to(level: str, blocked: int) -> None:
    """Promise 1."""
    pairs = allocator()
    pairs.take(Level.parse(level), WEB)
    assert pairs.counts().granted == blocked == 15 - pairs.counts().free
    pairs.give_back(Level.parse(level), WEB)
    assert pairs.counts().free == 15


def test_a_level_stays_taken_until_its_last_holder_gives_it_back() -> None:
    """Promise 2: sharing is counted by reference."""
    pairs, level = allocator(), Level.of(1, 2)
    for holder in (WEB, DB, WEB):
        pairs.take(level, holder)
    assert pairs.holders_of(level) == (WEB, DB, WEB)
    pairs.give_back(level, WEB)
    pairs.give_back(level, WEB)
    assert pairs.why_not(level) == (DB,)
    with pytest.raises(ValueError, match="does not hold"):
        pairs.give_back(level, WEB)
    pairs.give_back(level, DB)
    assert pairs.why_not(level) == () and pairs.counts().free == 15


def test_a_grant_that_ends_is_still_blocked_by_its_quarantine() -> None:
    """Promise 2: the new hold is taken before or after, and the pair is never free in between."""
    pairs, level = allocator(), Level.of(1, 2)
    pairs.take(level, WEB)
    pairs.take(level, GONE)
    pairs.give_back(level, WEB)
    assert (pairs.counts().granted, pairs.counts().quarantined) == (0, 1)
    assert pairs.why_not(level) == (GONE,)


def test_a_pair_is_counted_under_the_first_of_its_reasons() -> None:
    pairs = allocator()
    pairs.take(Level.of(1), GONE)
    pairs.take(Level.of(1, 2), WEB)
    assert (pairs.counts().granted, pairs.counts().quarantined) == (1, 4)
    pairs.give_back(Level.of(1, 2), WEB)
    assert (pairs.counts().granted, pairs.counts().quarantined) == (0, 5)


def test_a_scan_of_processes_replaces_the_last_one_only() -> None:
    """Promise 2: the ledger's own holds are not touched by what is seen."""
    pairs = allocator()
    pairs.take(Level.of(1, 2), WEB)
    vm, engine = Holder(HolderKind.PROCESS, "process 5"), Holder(HolderKind.PROCESS, "process 6")
    pairs.replace_processes({Level.of(1, 2): vm, Level.of(3, 4): vm})
    assert (pairs.counts().granted, pairs.counts().foreign) == (1, 1)
    pairs.replace_processes({Level.of(3, 4): engine, Level.of(0, 5): vm})
    assert pairs.why_not(Level.of(3, 4)) == (engine,) and pairs.counts().foreign == 2
    pairs.replace_processes({})
    assert pairs.counts().foreign == 0 and pairs.why_not(Level.of(1, 2)) == (WEB,)


def test_an_overlord_takes_nothing_unless_the_configuration_sets_it_aside() -> None:
    pairs, everything = allocator(), Level.parse("s0:c0.c1023")
    pairs.take(everything, WEB)
    assert pairs.counts().free == 15 and pairs.holders_of(everything) == ()
    pairs.give_back(everything, WEB)
    pairs.take(everything, Holder(HolderKind.CONFIGURED, "all"))
    assert pairs.counts().configured == 15
    sixteen = Level.parse("s0:c1.c16")
    pairs = allocator(0, 1023)
    pairs.take(sixteen, WEB)
    assert pairs.counts().granted == 120, "a member of seven groups is a container like others"


# --- groups --------------------------------------------------------------------------------------------


def test_a_member_is_separate_from_all_but_the_group() -> None:
    """Promise 1."""
    pairs, group = allocator(), CategoryPair(0, 1)
    pairs.take(group.level, GROUP)
    own = pairs.choose_member(group)
    level = member_level(own, [group])
    assert len(level) == 4 and pairs.why_not(level) == (GROUP,)
    pairs.take(level, WEB)
    assert pairs.counts().granted == 5, "the pairs that the level dominates are out of circulation"
    assert pairs.counts().grouped == 1
    assert all(not pair.level.is_comparable_to(level) for pair in free_pairs(pairs))


@pytest.mark.parametrize(
    "held",
    ["s0:c2", "s0:c0,c2", "s0:c1,c2", "s0:c0,c1,c2", "s0:c2,c3", "s0:c0,c2,c3", "s0:c0.c3", "s0:c0.c4"],
)
def test_a_pair_is_no_member_s_where_somebody_holds_part_of_its_level_or_all(held: str) -> None:
    """Promise 1: c2,c3 would be free or look free, and make c0.c3."""
    pairs, group = allocator(0, 3), CategoryPair(0, 1)
    pairs.take(group.level, GROUP)
    pairs.take(Level.parse(held), WEB)
    with pytest.raises(ExhaustedError, match="no pair is left for a member of the group at c0,c1"):
        pairs.choose_member(group)


def test_the_only_pair_that_will_do_is_found_among_many() -> None:
    """Certain to end, and exact: luck decides which pair, never whether."""
    pairs, group = allocator(0, 200), CategoryPair(0, 1)
    pairs.take(group.level, GROUP)
    for category in range(2, 201):
        if category not in (77, 150):
            pairs.take(Level.of(0, category), WEB)
    assert pairs.counts().free > 19_000
    assert pairs.choose_member(group) == CategoryPair(77, 150)


@pytest.mark.parametrize("level", ["s0:c0", "s0:c0,c1"])
def test_who_holds_part_of_a_group_s_pair_stands_in_the_way(level: str) -> None:
    pairs, group = allocator(), CategoryPair(0, 1)
    pairs.take(group.level, GROUP)
    pairs.take(Level.parse(level), DB)
    with pytest.raises(ConflictError) as caught:
        pairs.choose_member(group)
    assert str(DB) in caught.value.what and caught.value.hint


def test_a_member_of_two_groups_has_a_pair_apart_from_both() -> None:
    pairs, groups = allocator(0, 9), [CategoryPair(0, 1), CategoryPair(2, 3)]
    for number, group in enumerate(groups):
        pairs.take(group.level, Holder(HolderKind.GROUP, str(number)))
    level = member_level(pairs.choose_member(*groups), groups)
    assert len(level) == 6
    pairs.take(level, WEB)
    other = member_level(pairs.choose_member(groups[0]), groups[:1])
    assert not other.is_comparable_to(level)


# --- blocks of a fleet ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def limited() -> Allocator:
    """All pairs, none of which may be chosen: making this takes a third of a second."""
    allocator = Allocator(low=0, high=1023, random=random.Random(1))
    allocator.take(Level.of(1022, 1023), Holder(HolderKind.CONFIGURED, "docker"))
    allocator.limit(frozenset())
    return allocator


def test_only_pairs_of_the_blocks_are_chosen_until_they_end(limited: Allocator) -> None:
    with pytest.raises(ExhaustedError, match="523775 not this host's") as refused:
        limited.choose()
    assert "mcsctl fleet status" in refused.value.hint
    limited.limit(frozenset({3, 900}))
    chosen = set()
    holder = Holder(HolderKind.GRANT, "web")
    for _ in range(2 * BLOCK):
        pair = limited.choose()
        chosen.add(pair)
        limited.take(pair.level, holder)
    assert {block_of(pair) for pair in chosen} == {3, 900} and len(chosen) == 2 * BLOCK
    with pytest.raises(ExhaustedError):
        limited.choose()
    for pair in chosen:
        limited.give_back(pair.level, holder)
    assert limited.counts().free == 2 * BLOCK
    limited.limit(frozenset())


def test_what_is_held_stays_taken_whatever_the_blocks_are(limited: Allocator) -> None:
    """Promise 2: a level that Docker chose, or that is in quarantine, may be in any host's block."""
    pair = EVERY_PAIR.pair_at(7 * BLOCK)
    holder = Holder(HolderKind.QUARANTINE, "old")
    limited.take(pair.level, holder)
    assert limited.counts().quarantined == 1 and limited.unused([6, 7, 8]) == {6, 8}
    limited.limit(frozenset({7}))
    assert limited.counts().free == BLOCK - 1 and limited.why_not(pair.level) == (holder,)
    assert limited.unused([7]) == frozenset()
    limited.limit(frozenset())
    limited.give_back(pair.level, holder)
    assert limited.counts().free == 0 and limited.unused([7]) == {7}
    limited.limit(frozenset({7}))
    assert limited.counts().free == BLOCK
    limited.limit(frozenset())


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.frozensets(st.integers(0, 5), max_size=4), max_size=6),
    st.lists(st.integers(0, 40), max_size=6),
)
def test_the_counts_are_those_of_the_last_blocks(
    limited: Allocator, blocks: list[frozenset[int]], held: list[int]
) -> None:
    holder = Holder(HolderKind.GRANT, "web")
    levels = [EVERY_PAIR.pair_at(rank * 60).level for rank in set(held)]
    for level, one in zip_longest(levels, blocks):
        if level is not None:
            limited.take(level, holder)
        if one is not None:
            limited.limit(one)
    last = blocks[-1] if blocks else frozenset()
    inside = sum(block_of(CategoryPair(*level.numbers())) in last for level in levels)
    assert limited.counts().free == BLOCK * len(last) - inside
    assert limited.counts().granted == len(levels)
    limited.limit(frozenset())
    for level in levels:
        limited.give_back(level, holder)
    assert limited.counts().elsewhere == EVERY_PAIR.total - 1
