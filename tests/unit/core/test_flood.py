"""Floods: who goes through, and that everyone held back is counted exactly once."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcsd.core.flood import Flood, FloodDecision

YES = FloodDecision(True)
NO = FloodDecision(False)


def test_burst_goes_through_and_the_rest_waits_for_the_rate() -> None:
    flood: Flood[str] = Flood(burst=2, rate=1.0)
    assert [flood.admit("a", 100.0) for _ in range(4)] == [YES, YES, NO, NO]
    assert flood.admit("a", 100.9) == NO
    assert flood.admit("a", 101.0) == FloodDecision(True, held_back=3)
    assert flood.admit("a", 101.5) == NO


def test_kinds_do_not_hold_each_other_back() -> None:
    flood: Flood[str] = Flood(burst=1, rate=1.0)
    assert [flood.admit(key, 0.0) for key in "aab"] == [YES, NO, YES]


def test_bucket_holds_no_more_than_a_burst() -> None:
    flood: Flood[str] = Flood(burst=2, rate=10.0)
    flood.admit("a", 0.0)
    assert [flood.admit("a", 1e6) for _ in range(3)] == [YES, YES, NO]


def test_count_is_overdue_once_there_is_a_token_and_takes_it() -> None:
    flood: Flood[str] = Flood(burst=1, rate=1.0)
    for _ in range(3):
        flood.admit("a", 0.0)
    assert flood.is_holding()
    assert flood.overdue(0.9) == ()
    assert flood.overdue(1.0) == (("a", 2),)
    assert not flood.is_holding()
    assert flood.admit("a", 1.0) == NO
    assert flood.overdue(2.0) == (("a", 1),)
    assert flood.overdue(9.0) == ()


def test_clock_that_stands_still_or_goes_back_gives_nothing() -> None:
    flood: Flood[str] = Flood(burst=1, rate=1.0)
    assert [flood.admit("a", now) for now in (5.0, 5.0, 1.0, 5.5)] == [YES, NO, NO, NO]
    assert flood.admit("a", 6.0) == FloodDecision(True, held_back=3)


def test_drain_gives_every_count_at_the_end() -> None:
    flood: Flood[str] = Flood(burst=1, rate=0.001)
    for key in "aaabbc":
        flood.admit(key, 0.0)
    assert flood.drain() == (("a", 2), ("b", 1))
    assert flood.drain() == ()


@pytest.mark.parametrize(("burst", "rate"), [(0, 1.0), (1, 0.0), (1, -1.0)])
def test_what_would_hold_back_for_ever_is_refused(burst: int, rate: float) -> None:
    with pytest.raises(ValueError, match="for ever"):
        Flood(burst=burst, rate=rate)


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 3), st.booleans()), max_size=60),
    st.integers(1, 4),
    st.floats(0.1, 5),
)
def test_nobody_is_lost_and_nobody_is_counted_twice(
    steps: list[tuple[str, float, bool]], burst: int, rate: float
) -> None:
    flood: Flood[str] = Flood(burst=burst, rate=rate)
    now, through, told = 0.0, 0, 0
    for key, pause, looks in steps:
        now += pause
        admission = flood.admit(key, now)
        through += admission.admitted
        told += admission.held_back
        if looks:
            told += sum(count for _, count in flood.overdue(now))
    told += sum(count for _, count in flood.drain())
    assert through + told == len(steps)
    assert through <= 3 * burst + 3 * rate * now
