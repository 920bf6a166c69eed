"""Distributions: what was counted, and how Prometheus wants it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mcsd.core.figures import Distribution

BOUNDS = (0.1, 1.0, 5.0)


def test_a_value_counts_up_to_its_bound_and_the_bound_is_part_of_it() -> None:
    found = Distribution.over(BOUNDS)
    for value in (0.0, 0.1, 0.2, 5.0, 5.1):
        found = found.with_value(value)
    assert found.counts == (2, 1, 1, 1)
    assert found.cumulative() == (("0.1", 2), ("1.0", 3), ("5.0", 4), ("+Inf", 5))


@given(st.lists(st.floats(0, 10)))
def test_each_bound_has_all_that_are_no_larger(values: list[float]) -> None:
    found = Distribution.over(BOUNDS)
    for value in values:
        found = found.with_value(value)
    for bound, count in found.cumulative():
        assert count == sum(value <= float(bound) for value in values)
    assert abs(found.total - sum(values)) < 1e-6
