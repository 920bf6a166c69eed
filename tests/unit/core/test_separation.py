"""Who is not separate from whom, by name; that the answers are a scan's is a property."""

from __future__ import annotations

from mcsd.core.labels import Level
from mcsd.core.separation import Separation


def test_holders_of_one_level_are_all_named_until_the_last_has_gone() -> None:
    separation: Separation[str] = Separation()
    for name in ("a", "b"):
        separation.put(name, Level.of(1, 2))
    separation.put("above", Level.of(1, 2, 3, 4))
    separation.put("below", Level.of(1))
    separation.put("apart", Level.of(1, 3))
    asked = Level.of(1, 2)
    assert separation.equal_to(asked) == {"a", "b"}
    assert separation.dominated_by(asked) == {"a", "b", "below"}
    assert separation.dominating(asked) == {"a", "b", "above"}
    assert separation.comparable_to(asked) == {"a", "b", "above", "below"}
    separation.drop("a")
    assert separation.equal_to(asked) == {"b"}
    separation.drop("b")
    separation.drop("b")
    assert separation.comparable_to(asked) == {"above", "below"}


def test_a_holder_that_moves_leaves_nothing_behind() -> None:
    separation: Separation[str] = Separation()
    separation.put("a", Level.of(1, 2))
    separation.put("a", Level.of(1, 2))
    separation.put("a", Level.of(3, 4))
    assert len(separation) == 1
    assert separation.comparable_to(Level.of(1, 2)) == frozenset()
    assert separation.comparable_to(Level.of(3, 4)) == {"a"}


def test_a_bare_level_is_held_and_comparable_to_nobody() -> None:
    separation: Separation[str] = Separation()
    separation.put("bare", Level(0, 0))
    separation.put("a", Level.of(1, 2))
    assert separation.equal_to(Level(0, 0)) == {"bare"}
    assert separation.comparable_to(Level(0, 0)) == frozenset()
    assert separation.comparable_to(Level.of(1, 2)) == {"a"}
    separation.drop("bare")
    assert len(separation) == 1
