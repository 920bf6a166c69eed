"""The index of levels finds what a scan would, whatever came and went. Promise 1."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mcsd.core.labels import Level
from mcsd.core.lattice import LevelIndex
from mcsd.core.separation import Separation
from tests.properties.lattices import levels

near = levels(0, 7, most=6)


def bare(level: Level) -> bool:
    return not level.categories


@given(st.sets(near, max_size=60), st.sets(near, max_size=30), near)
def test_an_index_answers_as_a_scan_would(held: set[Level], gone: set[Level], asked: Level) -> None:
    index = LevelIndex()
    for level in held | gone:
        index.add(level)
    for level in gone - held:
        index.remove(level)
    counted = {level for level in held if not bare(level)} if not bare(asked) else set()
    assert len(index) == sum(not bare(level) for level in held)
    assert set(index.dominated_by(asked)) == {one for one in counted if asked.dominates(one)}
    assert set(index.dominating(asked)) == {one for one in counted if one.dominates(asked)}
    assert set(index.comparable_to(asked)) == {one for one in counted if one.is_comparable_to(asked)}


@given(st.sets(near, max_size=40))
def test_an_index_that_is_emptied_is_empty(held: set[Level]) -> None:
    index = LevelIndex()
    for level in held:
        index.add(level)
        index.add(level)
    for level in held:
        index.remove(level)
    assert len(index) == 0
    assert vars(index) == vars(LevelIndex())


@given(st.lists(st.tuples(st.integers(0, 9), st.none() | near), max_size=60), near)
def test_holders_are_found_as_a_scan_would(moves: list[tuple[int, Level | None]], asked: Level) -> None:
    separation: Separation[int] = Separation()
    model: dict[int, Level] = {}
    for holder, level in moves:
        if level is None:
            separation.drop(holder)
            model.pop(holder, None)
        else:
            separation.put(holder, level)
            model[holder] = level
    near_by = {} if bare(asked) else {key: level for key, level in model.items() if not bare(level)}
    assert len(separation) == len(model)
    assert separation.equal_to(asked) == {key for key, level in model.items() if level == asked}
    assert separation.dominated_by(asked) == {key for key, one in near_by.items() if asked.dominates(one)}
    assert separation.dominating(asked) == {key for key, one in near_by.items() if one.dominates(asked)}
    assert separation.comparable_to(asked) == {
        key for key, one in near_by.items() if one.is_comparable_to(asked)
    }
    for holder in model:
        separation.drop(holder)
    assert len(separation) == 0 and separation.comparable_to(asked) == frozenset()
