"""Ranks number the pairs of a run without gaps; free ranks are drawn, blocked and given back."""

from __future__ import annotations

import random
from collections import Counter
from itertools import combinations

import pytest

from mcsd.core.labels import CategoryPair, Level
from mcsd.core.pairs import FreePairs, PairRun
from mcsd.errors import LabelSyntaxError


def test_every_pair_of_1024_categories_has_one_rank() -> None:
    """All C(1024, 2) can be reached."""
    run = PairRun(0, 1023)
    assert run.total == 523_776
    seen = {(pair.low, pair.high) for pair in map(run.pair_at, range(run.total))}
    assert len(seen) == run.total


@pytest.mark.parametrize(("low", "high"), [(0, 1), (5, 9), (1000, 1023)])
def test_a_run_has_its_own_pairs_and_no_others(low: int, high: int) -> None:
    run = PairRun(low, high)
    expected = {CategoryPair(*pair) for pair in combinations(range(low, high + 1), 2)}
    assert {run.pair_at(rank) for rank in range(run.total)} == expected
    assert run.total == len(expected)
    assert str(run) == f"c{low}.c{high}"


@pytest.mark.parametrize(("low", "high"), [(3, 3), (4, 3), (-1, 5), (0, 1024)])
def test_a_run_needs_two_categories(low: int, high: int) -> None:
    with pytest.raises(LabelSyntaxError):
        PairRun(low, high)


@pytest.mark.parametrize(
    ("level", "blocked"),
    [
        ("s0", ""),
        ("s0:c4", ""),
        ("s0:c5", "5,6 5,7 5,8"),
        ("s0:c6", "5,6 6,7 6,8"),
        ("s0:c8", "5,8 6,8 7,8"),
        ("s0:c5,c8", "5,8"),
        ("s0:c4,c8", ""),
        ("s0:c5,c6,c8", "5,6 5,8 6,8"),
        ("s0:c1,c5,c6,c9", "5,6"),
        ("s0:c0.c1023", "5,6 5,7 5,8 6,7 6,8 7,8"),
        ("s1:c5", ""),
        ("s1:c5,c6", "5,6"),
    ],
)
def test_a_level_is_comparable_to_the_pairs_that_dominance_says(level: str, blocked: str) -> None:
    run, held = PairRun(5, 8), Level.parse(level)
    found = sorted(run.pair_at(rank) for rank in run.ranks_comparable_to(held))
    assert " ".join(f"{pair.low},{pair.high}" for pair in found) == blocked
    if held.categories:
        everyone = map(run.pair_at, range(run.total))
        assert found == sorted(pair for pair in everyone if pair.level.is_comparable_to(held))


def test_a_rank_is_free_again_when_nothing_blocks_it() -> None:
    free = FreePairs(4)
    for rank in (1, 1, 3):
        free.block(rank)
    assert sorted(free) == [0, 2] and len(free) == 2
    assert [free.blocks_on(rank) for rank in range(4)] == [0, 2, 0, 1]
    free.unblock(1)
    assert sorted(free) == [0, 2]
    free.unblock(1)
    free.unblock(3)
    assert sorted(free) == [0, 1, 2, 3]
    with pytest.raises(AssertionError, match="free already"):
        free.unblock(0)


def test_more_levels_than_fit_in_a_byte_may_block_a_rank() -> None:
    free = FreePairs(3)
    for _ in range(700):
        free.block(1)
    assert free.blocks_on(1) == 700
    for left in reversed(range(700)):
        free.unblock(1)
        assert free.blocks_on(1) == left
    assert sorted(free) == [0, 1, 2]


@pytest.mark.parametrize("total", [1, 6, 400])
def test_what_is_free_is_drawn_at_any_fill_on_the_way_up_and_down(total: int) -> None:
    """By chance, by looking for the next one, and from those that were given."""
    chance, free, taken = random.Random(total), FreePairs(total), []
    while len(free):
        taken.append(free.draw(chance))
        free.block(taken[-1])
        assert len(free) == total - len(taken)
    assert sorted(taken) == list(range(total))
    with pytest.raises(AssertionError, match="none is free"):
        free.draw(chance)
    chance.shuffle(taken)
    while taken:
        free.unblock(taken.pop())
        assert free.draw(chance) not in taken
    assert sorted(free) == list(range(total))


@pytest.mark.parametrize("fill", [0, 50, 74, 86])
def test_each_rank_that_was_never_given_is_drawn_as_often(fill: int) -> None:
    chance, free = random.Random(fill), FreePairs(100)
    for rank in chance.sample(range(100), fill):
        free.block(rank)
    drawn = Counter(free.draw(chance) for _ in range(400 * len(free)))
    assert drawn.keys() == set(free)
    assert all(250 < count < 550 for count in drawn.values())


def test_the_last_few_are_drawn_too() -> None:
    chance, free = random.Random(1), FreePairs(100)
    for rank in chance.sample(range(100), 95):
        free.block(rank)
    assert {free.draw(chance) for _ in range(500)} == set(free)


def test_what_was_never_given_comes_first_and_then_what_has_been_free_longest() -> None:
    chance, free = random.Random(2), FreePairs(5)
    for rank in (3, 1, 4):
        free.give(rank)
    assert {free.draw(chance) for _ in range(50)} == {0, 2}
    assert list(free.given_in_turn()) == [3, 1, 4] and free.never_given == 2
    for rank in (0, 2):
        free.block(rank)
        free.give(rank)
    assert free.draw(chance) == 3
    free.block(1)  # an engine chose it out of turn
    free.unblock(0)
    free.unblock(1)
    assert list(free.given_in_turn()) == [3, 4, 0, 1]
    free.give(3)  # what was given is given
    assert list(free.given_in_turn()) == [3, 4, 0, 1] and len(free) == 4
    free.unblock(2)
    assert len(free) == 5 and not any(map(free.is_fresh, range(5)))


def test_years_of_starts_take_no_more_room() -> None:
    """Four bytes for each that is free, and what was taken from the middle is not kept for ever."""
    chance, free = random.Random(3), FreePairs(1000)
    for rank in range(1000):
        free.give(rank)
    order = list(range(1000))
    for step in range(50_000):
        rank = free.draw(chance) if step % 3 else order[chance.randrange(len(order))]
        order.remove(rank)
        free.block(rank)
        free.unblock(rank)
        order.append(rank)
    assert list(free.given_in_turn()) == order
    assert len(free._waiting._places) < 3000


def test_a_draw_ends_whatever_chance_does() -> None:
    class Stuck:
        def randrange(self, stop: int, /) -> int:
            return stop - 1

    free = FreePairs(100)
    free.block(99)
    assert free.draw(Stuck()) == 0
