"""Strategies for levels that are close enough together to be comparable often."""

from __future__ import annotations

from hypothesis import strategies as st

from mcsd.core.labels import CATEGORY_COUNT, CategoryPair, Level

categories = st.integers(0, CATEGORY_COUNT - 1)
any_levels = st.builds(
    lambda sensitivity, numbers: Level(sensitivity, sum(1 << n for n in numbers)),
    st.integers(0, 15),
    st.sets(categories, max_size=40),
)


def levels(low: int, high: int, *, most: int = 5) -> st.SearchStrategy[Level]:
    """Levels with up to `most` categories between two; most at `s0`, as everywhere outside MLS."""
    return st.builds(
        lambda sensitivity, numbers: Level(sensitivity, sum(1 << n for n in numbers)),
        st.sampled_from([0, 0, 0, 0, 1]),
        st.sets(st.integers(low, high), max_size=most),
    )


def pairs(low: int, high: int) -> st.SearchStrategy[CategoryPair]:
    """Pairs of categories between two."""
    return st.builds(
        lambda numbers: CategoryPair(*sorted(numbers)),
        st.sets(st.integers(low, high), min_size=2, max_size=2),
    )
