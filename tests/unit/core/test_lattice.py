"""The index of levels at its edges; that it answers as a scan would is a property."""

from __future__ import annotations

import pytest

from mcsd.core.labels import Level
from mcsd.core.lattice import CategorySets, LevelIndex


def index_of(*texts: str) -> LevelIndex:
    index = LevelIndex()
    for text in texts:
        index.add(Level.parse(text))
    return index


def test_the_bare_level_is_comparable_to_nobody() -> None:
    """Everybody dominates `s0`: as a holder it would make a conflict with everyone."""
    index = index_of("s0", "s0:c1,c2")
    assert len(index) == 1
    assert index.comparable_to(Level.parse("s0")) == ()
    assert index.dominated_by(Level.parse("s0:c1,c2")) == (Level.of(1, 2),)
    index.remove(Level.parse("s0"))


def test_levels_come_in_the_order_of_their_numbers() -> None:
    index = index_of("s0:c1,c9", "s0:c1,c2", "s0:c9", "s0:c2", "s0:c1", "s0:c1,c2,c9")
    found = [str(level) for level in index.comparable_to(Level.of(1, 2, 9))]
    assert found == ["s0:c1", "s0:c1,c2", "s0:c1,c2,c9", "s0:c1,c9", "s0:c2", "s0:c9"]
    assert [str(level) for level in index.dominating(Level.of(1, 2))] == ["s0:c1,c2", "s0:c1,c2,c9"]


def test_a_sensitivity_dominates_those_below_it() -> None:
    index = index_of("s0:c1", "s1:c1,c2", "s2:c1,c2,c3")
    assert [str(level) for level in index.dominated_by(Level.parse("s1:c1,c2"))] == ["s0:c1", "s1:c1,c2"]
    assert [str(level) for level in index.dominating(Level.parse("s1:c1,c2"))] == [
        "s1:c1,c2",
        "s2:c1.c3",
    ]


def test_an_overlord_finds_everyone_without_trying_its_subsets() -> None:
    index = index_of("s0:c1,c2", "s0:c7", "s0:c1000,c1001,c1002")
    assert len(index.comparable_to(Level.parse("s0:c0.c1023"))) == 3


def test_what_is_not_there_cannot_be_taken_out() -> None:
    with pytest.raises(KeyError):
        index_of("s0:c1").remove(Level.of(2))
    sets = CategorySets()
    with pytest.raises(KeyError):
        sets.remove(0b11)
