"""Levels as sets: spelling does not matter, dominance is a partial order. Promise 1 rests on it."""

from __future__ import annotations

import random
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from mcsd.core.labels import CategoryPair, Context, Level, LevelRange
from mcsd.errors import LabelSyntaxError
from tests.properties.lattices import any_levels, levels, pairs

near = levels(0, 4)


def spelled_anyhow(level: Level, seed: int) -> str:
    """Spell a level in one of the ways that mean the same."""
    draw = random.Random(seed)
    parts = [f"c{n}" for n in level.numbers()]
    numbers = level.numbers()
    for low, high in pairwise(numbers):
        if high == low + 1 and draw.random() < 0.5:
            parts.append(f"c{low}.c{high}")
    draw.shuffle(parts)
    return f"s{level.sensitivity}" + (":" if parts else "") + ",".join(parts)


@given(any_levels)
def test_printing_and_parsing_are_inverse(level: Level) -> None:
    assert Level.parse(str(level)) == level


@given(any_levels, st.integers())
def test_every_spelling_of_a_set_is_one_level(level: Level, seed: int) -> None:
    again = Level.parse(spelled_anyhow(level, seed))
    assert again == level
    assert hash(again) == hash(level)
    assert str(again) == str(level)


@given(any_levels)
def test_numbers_rise_and_make_the_mask(level: Level) -> None:
    numbers = level.numbers()
    assert list(numbers) == sorted(set(numbers))
    assert Level(level.sensitivity, sum(1 << n for n in numbers)) == level
    assert len(level) == len(numbers)


@given(near, near, near)
def test_dominance_is_a_partial_order(a: Level, b: Level, c: Level) -> None:
    assert a.dominates(a)
    if a.dominates(b) and b.dominates(a):
        assert a == b
    if a.dominates(b) and b.dominates(c):
        assert a.dominates(c)


@given(near, near)
def test_dominance_is_containment(a: Level, b: Level) -> None:
    assert a.dominates(b) == (a.sensitivity >= b.sensitivity and set(a.numbers()) >= set(b.numbers()))
    assert a.is_comparable_to(b) == (a.dominates(b) or b.dominates(a))


@given(near, near)
def test_a_union_is_the_least_level_above_both(a: Level, b: Level) -> None:
    union = a.union(b)
    assert union.dominates(a) and union.dominates(b)
    assert set(union.numbers()) == set(a.numbers()) | set(b.numbers())


@given(pairs(0, 1023), pairs(0, 1023))
def test_pairs_are_separate_exactly_when_they_differ(a: CategoryPair, b: CategoryPair) -> None:
    """Promise 1, for what engines give: pairs form an antichain."""
    assert a.level.is_comparable_to(b.level) == (a == b)
    assert CategoryPair.parse(str(a)) == CategoryPair.from_level(a.level) == a


@given(near, near)
def test_a_range_rises(a: Level, b: Level) -> None:
    text = f"{a}-{b}"
    if b.dominates(a):
        assert LevelRange.parse(text) == LevelRange(a, b)
        assert LevelRange.parse(str(LevelRange(a, b))) == LevelRange(a, b)
    else:
        try:
            LevelRange.parse(text)
        except LabelSyntaxError as exc:
            assert str(a) in exc.what
        else:
            raise AssertionError(text)


@given(any_levels, near)
def test_a_context_keeps_everything_but_its_level(level: Level, other: Level) -> None:
    text = f"system_u:object_r:container_file_t:{level}"
    context = Context.parse(text)
    assert str(context) == text and context.level == level
    assert context.at(other) == Context.parse(f"system_u:object_r:container_file_t:{other}")


@given(st.text(alphabet="s0c12,.:-_ \n\x00٣", max_size=24))
def test_nothing_but_a_level_gets_in(text: str) -> None:
    """A parser that a label's writer can reach raises one error only, and keeps no second spelling."""
    try:
        level = Level.parse(text)
    except LabelSyntaxError:
        return
    assert text.isascii() and text == text.strip()
    assert Level.parse(str(level)) == level
