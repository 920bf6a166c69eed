"""Both kinds of index against a plain dictionary, and the list of inodes against what it was made of."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mcsd.core.walks import RawLabel
from mcsd.relabel.index import Index, Intervals, decode_inodes, encode_inodes
from mcsd.relabel.native import HAS_NATIVE, new_index

INODES = st.lists(
    st.one_of(st.integers(0, 200), st.integers(0, (1 << 64) - 2), st.sampled_from([1, 2, 3, 1 << 32])),
    max_size=40,
)
LABELS = st.one_of(st.none(), st.binary(max_size=20))
RECORDS = st.lists(st.tuples(INODES, st.integers(0, 1 << 62), LABELS), max_size=12)
Record = tuple[list[int], int, RawLabel]


def kinds() -> list[Index]:
    return [Intervals(), *([new_index()] if HAS_NATIVE else [])]


@given(INODES)
def test_inodes_come_back_as_they_were(inodes: list[int]) -> None:
    spans = decode_inodes(encode_inodes(sorted(inodes)))
    assert {one for first, end in spans for one in range(first, end)} == set(inodes)
    assert all(one[1] < other[0] for one, other in pairwise(spans))


@given(RECORDS)
def test_the_latest_record_counts(records: list[Record]) -> None:
    model: dict[int, tuple[int, RawLabel]] = {}
    indexes = kinds()
    for inodes, time, label in records:
        model.update(dict.fromkeys(inodes, (time, label)))
        for index in indexes:
            index.add(encode_inodes(sorted(inodes)), time, label)
    near = {one + step for one in model for step in (-1, 0, 1) if 0 <= one + step < 1 << 64}
    for index in indexes:
        assert {one: index.find(one) for one in near} == {one: model.get(one) for one in near}


@given(RECORDS)
def test_an_index_can_be_written_down_and_made_again(records: list[Record]) -> None:
    for index, again in zip(kinds(), kinds(), strict=True):
        for inodes, time, label in records:
            index.add(encode_inodes(sorted(inodes)), time, label)
        for time, label, encoded in index.groups():
            again.add(encoded, time, label)
        every = {one for inodes, _, _ in records for one in inodes}
        assert {one: index.find(one) for one in every} == {one: again.find(one) for one in every}


@given(st.binary(max_size=60))
@example(b"\x00\x01" * 4)
def test_whatever_is_on_disk_is_read_or_refused_by_both_alike(data: bytes) -> None:
    outcomes: list[list[tuple[int, RawLabel, bytes]] | None] = []
    for index in kinds():
        try:
            index.add(data, 1, None)
        except ValueError:
            outcomes.append(None)
        else:
            outcomes.append(index.groups())
    assert all(outcome == outcomes[0] for outcome in outcomes)


@pytest.mark.skipif(not HAS_NATIVE, reason="the C extension is not built")
def test_the_extension_s_index_is_what_is_used_where_it_is_there() -> None:
    assert not isinstance(new_index(), Intervals)
