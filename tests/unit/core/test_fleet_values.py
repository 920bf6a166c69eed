"""Values in the store and lines on the socket: read strictly, whoever wrote them."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcsd.core.fleet.blocks import BLOCK, BLOCKS, GROUP_PAIRS, HIGHEST, MOST_HELD, block_of, listed, ranks_of
from mcsd.core.fleet.messages import answer, answered, ask, asked, failure
from mcsd.core.fleet.trees import MOST_CHARACTERS, MOST_TREES, FleetTree, SharedPlace, TreeIndex, has_room
from mcsd.core.fleet.values import (
    Document,
    Fence,
    Fleet,
    FleetGroup,
    FleetRecord,
    FleetValueError,
    Operation,
    Reading,
    Swap,
)
from mcsd.core.labels import CategoryPair, Level
from mcsd.core.pairs import EVERY_PAIR

IDS = st.text("0123456789abcdef", min_size=32, max_size=32)
NAMES = st.text("abcXYZ019", min_size=1, max_size=8)
COUNTS = st.integers(0, 2**63 - 1)
BLOCKSETS = st.frozensets(st.integers(0, BLOCKS - 1), max_size=MOST_HELD)
GROUPS = st.builds(
    lambda name, low, high: FleetGroup(name, low, high), NAMES, st.integers(960, 990), st.integers(991, 1021)
)
PLACES = st.builds(
    SharedPlace, NAMES, NAMES | st.just(""), st.text(max_size=20).map(lambda text: f"/{text}"), COUNTS
)
LEVELS = st.sampled_from(["s0", "s0:c1,c2", "s0:c0.c3"]).map(Level.parse)
TREES = st.builds(FleetTree, PLACES, LEVELS, st.text(max_size=20).filter(str.isprintable))
DOCUMENTS = st.builds(
    Document,
    BLOCKSETS,
    st.text(max_size=40),
    st.frozensets(GROUPS, max_size=3),
    st.frozensets(TREES, max_size=3),
)
OPERATIONS = st.builds(Operation, IDS, COUNTS, COUNTS, DOCUMENTS)
CLUSTERS = st.integers(0, 2**64 - 1).map(str)
FLEETS = st.builds(Fleet, IDS, CLUSTERS, COUNTS, st.booleans(), st.dictionaries(NAMES, IDS, max_size=4), IDS)
FENCES = st.builds(Fence, IDS, COUNTS, IDS, COUNTS)
RECORDS = st.builds(
    FleetRecord,
    *(IDS, NAMES, IDS, IDS, st.text(max_size=40), COUNTS, CLUSTERS, COUNTS, IDS | st.just(""), DOCUMENTS),
    st.lists(OPERATIONS, max_size=3).map(tuple),
    COUNTS,
)
VALUES = st.one_of(FLEETS, FENCES, DOCUMENTS, RECORDS)


@given(VALUES)
def test_what_is_written_is_read(value: Fleet | Fence | Document | FleetRecord) -> None:
    text = value.text()
    assert type(value).parse(text) == value and text.isascii()


@given(VALUES, st.data())
def test_what_is_damaged_is_refused_and_nothing_else_happens(
    value: Fleet | Fence | Document | FleetRecord, data: st.DataObject
) -> None:
    text = value.text()
    at = data.draw(st.integers(0, len(text) - 1))
    changed = text[:at] + data.draw(st.text(max_size=3)) + text[at + data.draw(st.integers(0, 2)) :]
    for kind in (Fleet, Fence, Document, FleetRecord):
        try:
            read = kind.parse(changed)
        except FleetValueError:
            continue
        assert kind.parse(read.text()) == read


@pytest.mark.parametrize(
    "fields",
    [
        {"blocks": [BLOCKS]},
        {"blocks": [-1]},
        {"blocks": [True]},
        {"blocks": list(range(MOST_HELD + 1))},
        {"blocks": "0-3"},
        {"doubt": None},
        {"doubt": "half a character: \ud800"},
        {"trees": [["ceph", "", "/a", 1, "s0", "half a character: \ud800"]]},
        {"trees": [["ceph", "", "/a", 1, "s0", "a line\nand another"]]},
        {"groups": {}},
        {"groups": [["web", 959, 960]]},
        {"groups": [["web", 961, 960]]},
        {"groups": [["web", 960, 1022]]},
        {"groups": [["a b", 960, 961]]},
        {"groups": [["web", True, 961]]},
        {"trees": None},
        {"trees": [["ceph", "", "a", 1, "s0", "web"]]},
        {"trees": [["ceph", "", "/a", "1", "s0", "web"]]},
        {"trees": [["ceph", "", "/a", True, "s0", "web"]]},
        {"trees": [["ceph", "", "/a", 1, "s0:c2,c1", "web"]]},
        {"trees": [["ceph", "", "/a", 1, "web"]]},
        {"trees": [["ceph", "", f"/{number}", 1, "s0", "web"] for number in range(MOST_TREES + 1)]},
        {"trees": [["ceph", "", "/" + "a" * MOST_CHARACTERS, 1, "s0", "web"]]},
        {"claims": []},
    ],
)
def test_a_document_with_anything_else_is_refused(fields: dict[str, object]) -> None:
    """A newer mcsd's may hold what this one would not see."""
    whole: dict[str, object] = {"version": 1, "blocks": [], "doubt": "", "groups": [], "trees": []}
    Document.parse(json.dumps(whole))
    with pytest.raises(FleetValueError):
        Document.parse(json.dumps({**whole, **fields}))
    with pytest.raises(FleetValueError):
        Document.parse(json.dumps({**whole, "version": 2}))


@pytest.mark.parametrize("missing", ["blocks", "doubt", "groups", "trees"])
def test_a_document_that_lacks_something_is_refused(missing: str) -> None:
    whole: dict[str, object] = {"version": 1, "blocks": [], "doubt": "", "groups": [], "trees": []}
    del whole[missing]
    with pytest.raises(FleetValueError):
        Document.parse(json.dumps(whole))


@given(TREES, TREES)
def test_whether_two_exclude_each_other_is_the_same_seen_from_either(
    one: FleetTree, other: FleetTree
) -> None:
    assert one.excludes(other) == other.excludes(one)
    assert not one.excludes(replace(other, level=one.level))


def test_blocks_are_all_pairs_below_those_of_groups() -> None:
    assert BLOCKS * BLOCK == (HIGHEST + 1) * HIGHEST // 2
    for low, high in ((0, 1), (0, HIGHEST), (HIGHEST - 1, HIGHEST)):
        block = block_of(CategoryPair(low, high))
        assert block is not None and EVERY_PAIR.rank_of(CategoryPair(low, high)) in ranks_of(block)
    for low, high in ((0, HIGHEST + 1), (HIGHEST, HIGHEST + 1), (1022, 1023)):
        assert block_of(CategoryPair(low, high)) is None
    assert GROUP_PAIRS.bounds == CategoryPair(HIGHEST + 1, 1021)


@given(st.integers(0, BLOCKS - 1), st.integers(0, BLOCK - 1))
def test_each_pair_is_in_the_block_of_its_rank(block: int, place: int) -> None:
    pair = EVERY_PAIR.pair_at(ranks_of(block)[place])
    assert block_of(pair) == block and pair.high <= HIGHEST


@pytest.mark.parametrize(
    ("blocks", "text"), [((), ""), ((7,), "7"), ((3, 1, 2), "1-3"), ((0, 1, 5, 7, 8), "0-1,5,7-8")]
)
def test_blocks_are_listed_by_runs(blocks: tuple[int, ...], text: str) -> None:
    assert listed(blocks) == text


@given(RECORDS)
def test_only_what_is_held_whatever_was_done_is_granted_from(record: FleetRecord) -> None:
    for operation in record.pending:
        assert record.held <= replace(record, pending=(operation,)).held <= record.document.blocks
        assert record.held <= record.following(operation).held == operation.document.blocks


TEXTS = st.dictionaries(st.text(max_size=10), st.text(max_size=10), max_size=3)
SWAPS = st.builds(
    Swap, *[st.dictionaries(st.text(max_size=9), st.none() | st.text(max_size=9), max_size=3)] * 2
)


@given(st.none() | SWAPS)
def test_a_question_arrives_as_it_was_asked(swap: Swap | None) -> None:
    assert asked(ask(swap)) == swap


@given(st.booleans() | st.builds(Reading, CLUSTERS, COUNTS, TEXTS))
def test_an_answer_arrives_as_it_was_given(found: Reading | bool) -> None:
    assert answered(answer(found)) == found
    assert answered(failure("what", "hint")) == ("what", "hint")


@given(
    st.binary(max_size=60)
    | st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    ["do", "done", "error", "hint", "cluster", "revision", "values", "conditions", "writes"]
                ),
                inner,
                max_size=4,
            )
        ),
    ).map(lambda value: json.dumps(value).encode())
)
def test_nonsense_on_the_socket_is_refused_and_nothing_else_happens(line: bytes) -> None:
    for read in (asked, answered):
        try:
            read(line)
        except FleetValueError:
            continue


LONG = st.sampled_from(
    ["\x01", "\N{PILE OF POO}", "\N{CJK UNIFIED IDEOGRAPH-4E00}", "\\", '"', "x", "\udcff"]
)


@given(LONG, st.integers(1, 4090), st.integers(1, 1200), DOCUMENTS)
def test_what_a_host_has_room_for_everybody_can_read(
    one: str, length: int, count: int, rest: Document
) -> None:
    """Whatever paths a file system has: also the ledger, with operations whose answers were lost."""
    level = Level.parse("s0:c1,c2")
    places = [SharedPlace("nfs4", "", f"/{number}/{one * length}", number) for number in range(count)]
    trees = frozenset(FleetTree(place, level, "w" * 128) for place in places)
    if not has_room(trees):
        trees = frozenset(sorted(trees)[: 200_000 // (12 * length + 200)])
    assert has_room(trees)
    document = replace(rest, trees=trees)
    assert Document.parse(document.text()) == document
    pending = tuple(Operation("a" * 32, number, 1, document) for number in range(3))
    record = FleetRecord("f" * 32, "alpha", "a" * 32, "b" * 32, "m", 1, "7", 1, "c" * 32, document, pending)
    assert FleetRecord.parse(record.text()) == record


PARTS = st.lists(st.sampled_from(["a", "b", ".", "c"]), max_size=4)
NEAR = st.builds(
    FleetTree,
    st.builds(
        lambda kind, storage, parts, inode: SharedPlace(kind, storage, "/" + "/".join(parts), inode),
        st.sampled_from(["nfs4", "ceph"]),
        st.sampled_from(["", "one", "two"]),
        PARTS,
        st.integers(1, 4),
    ),
    LEVELS,
    st.just("web"),
)


@given(st.lists(st.tuples(NAMES, NEAR), max_size=12), NEAR)
def test_the_index_finds_what_comparing_with_each_finds(
    trees: list[tuple[str, FleetTree]], one: FleetTree
) -> None:
    assert set(TreeIndex(trees).excluding(one)) == {
        (host, other) for host, other in trees if one.excludes(other)
    }
