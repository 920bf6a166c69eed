"""Plans for hosts without a server: disjoint ranges, the same wherever they are made."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcsd.core.fleet.ranges import FEWEST_PAIRS, MOST_HOSTS, HostRange, plan_ranges
from mcsd.core.labels import Level
from mcsd.core.pairs import PairRun
from mcsd.errors import RequestError

NAMES = st.sets(st.text("abcxyz0123456789.-", min_size=1, max_size=6), min_size=1, max_size=MOST_HOSTS)


@given(NAMES)
def test_no_two_hosts_can_have_comparable_levels(names: set[str]) -> None:
    """Promise 1, across hosts."""
    ranges = plan_ranges(names).values()
    for one, other in combinations(ranges, 2):
        assert one.high < other.low or other.high < one.low
    for one in ranges:
        assert PairRun(one.low, one.high).total == one.pairs >= FEWEST_PAIRS
        assert one.has(Level.of(one.low, one.high)) and not one.has(Level.of(one.low, one.high + 1))
        assert one.high < 1022, "Docker and Podman use c1022 and c1023 for unconfined containers"


@given(NAMES, st.randoms())
def test_every_host_works_out_the_same_plan(names: set[str], random: object) -> None:
    shuffled = sorted(names, reverse=True)
    assert plan_ranges([*shuffled, *shuffled]) == plan_ranges(names)


@given(NAMES)
def test_shares_are_equal(names: set[str]) -> None:
    sizes = {one.high - one.low for one in plan_ranges(names).values()}
    assert max(sizes) - min(sizes) <= 1


def test_too_many_hosts_are_refused_with_the_most_that_there_can_be() -> None:
    assert len(plan_ranges(map(str, range(MOST_HOSTS)))) == MOST_HOSTS == 68
    with pytest.raises(RequestError, match=r"69 hosts are too many.* at most 68") as refused:
        plan_ranges(map(str, range(MOST_HOSTS + 1)))
    assert refused.value.hint
    with pytest.raises(RequestError, match="no host"):
        plan_ranges([])


def test_a_range_reads_as_the_configuration_has_it() -> None:
    assert str(HostRange("alpha", 0, 340)) == "c0.c340"
