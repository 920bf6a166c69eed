"""Levels, pairs, ranges and contexts: what gets in, what is refused, and how it is printed."""

from __future__ import annotations

import pytest

from mcsd.core.labels import (
    CategoryPair,
    Context,
    Level,
    LevelRange,
    UnreadableLabel,
    category_mask,
    level_in,
    level_of,
    read_label,
    readable,
)
from mcsd.errors import LabelSyntaxError


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("s0", "s0"),
        ("s0:c5", "s0:c5"),
        ("s0:c2,c1", "s0:c1,c2"),
        ("s0:c1.c2", "s0:c1,c2"),
        ("s0:c0.c3", "s0:c0.c3"),
        ("s0:c0,c1,c2", "s0:c0.c2"),
        ("s0:c9,c0.c3,c2.c4", "s0:c0.c4,c9"),
        ("s0:c1,c1", "s0:c1"),
        ("s15:c0.c1023", "s15:c0.c1023"),
        ("s0:c1021.c1023,c5,c7,c8", "s0:c5,c7,c8,c1021.c1023"),
    ],
)
def test_a_level_is_a_set_printed_as_the_kernel_prints_it(text: str, canonical: str) -> None:
    assert str(Level.parse(text)) == canonical


@pytest.mark.parametrize(
    "text",
    [
        "",
        "s",
        "s0:",
        "s0:c",
        "c1,c2",
        "s0:c1024",
        "s0:c9999",
        "s0:c3.c1",
        "s0:c3.c3",
        "s0:c0.c3.c5",
        "s0:c01",
        "s00",
        "s0:c1,",
        "s0:,c1",
        "s0:c1 ,c2",
        " s0",
        "s0\n",
        "s0:c1,c2\n",
        "s0:c-1",
        "s-1",
        "s0-s0",
        "s0:c٣",
        "s0:C1",
        "s0:c1..c3",
        "s0:c99999999999999999999",
        "*",
    ],
)
def test_what_is_not_a_level_is_refused_with_the_text(text: str) -> None:
    with pytest.raises(LabelSyntaxError) as caught:
        Level.parse(text)
    assert repr(text) in caught.value.what


def test_a_level_out_of_bounds_cannot_be_built() -> None:
    for sensitivity, mask in [(-1, 0), (0, -1), (0, 1 << 1024)]:
        with pytest.raises(LabelSyntaxError):
            Level(sensitivity, mask)
    for category in (-1, 1024):
        with pytest.raises(LabelSyntaxError):
            category_mask([category])


@pytest.mark.parametrize(
    ("one", "other", "dominates"),
    [
        ("s0:c1,c2", "s0:c1,c2", True),
        ("s0:c1,c2", "s0:c1", True),
        ("s0:c1,c2", "s0", True),
        ("s0:c1", "s0:c1,c2", False),
        ("s0:c1,c2", "s0:c1,c3", False),
        ("s0:c1,c2,c30,c40", "s0:c30,c40", True),
        ("s1", "s0:c1", False),
        ("s1:c1", "s0:c1", True),
        ("s0:c1", "s1:c1", False),
        ("s0:c0.c1023", "s0:c17,c900", True),
    ],
)
def test_a_level_dominates_what_it_contains(one: str, other: str, dominates: bool) -> None:
    assert Level.parse(one).dominates(Level.parse(other)) is dominates


def test_levels_of_pairs_hash_apart() -> None:
    """Python's own hash of big integers would leave 61 × 61 values for half a million pairs."""
    hashes = {hash(Level.of(low, high)) for low in range(0, 1024, 7) for high in range(low + 1, 1024, 11)}
    count = sum(len(range(low + 1, 1024, 11)) for low in range(0, 1024, 7))
    assert len(hashes) == count


@pytest.mark.parametrize("text", ["c1", "c1,c1", "c1,c2,c3", "", "c5.c7", "1,2", "s0:c1,c2", "c1024,c2"])
def test_what_is_not_a_pair_is_refused(text: str) -> None:
    with pytest.raises(LabelSyntaxError):
        CategoryPair.parse(text)


def test_a_pair_is_low_first_however_it_is_spelled() -> None:
    assert str(CategoryPair.parse("c900,c12")) == "c12,c900"
    assert CategoryPair.parse("c4.c5") == CategoryPair(4, 5)
    for low, high in [(2, 1), (1, 1), (-1, 3), (3, 1024)]:
        with pytest.raises(LabelSyntaxError):
            CategoryPair(low, high)


@pytest.mark.parametrize("text", ["s0", "s0:c1", "s0:c1,c2,c3", "s1:c1,c2"])
def test_only_two_categories_at_s0_are_a_pair(text: str) -> None:
    assert CategoryPair.from_level(Level.parse(text)) is None


def test_a_range_has_two_ends_and_one_counts() -> None:
    text = "system_u:system_r:svirt_t:s0-s0:c0.c1023"
    context = Context.parse(text)
    assert str(context) == text
    assert context.level == Level.parse("s0:c0.c1023")
    assert str(LevelRange.parse("s0:c1-s0:c1")) == "s0:c1"
    with pytest.raises(LabelSyntaxError, match="ends below"):
        LevelRange.parse("s0:c1-s0:c2")


@pytest.mark.parametrize(
    "text",
    ["", "a", "a:b:c", "system_u:object_r::s0", "system_u:object_r:x t:s0", "u:r:t:", "u:r:t:s0\0", "<none>"],
)
def test_what_is_not_a_context_is_refused(text: str) -> None:
    with pytest.raises(LabelSyntaxError):
        Context.parse(text)


def test_a_context_moves_to_another_level() -> None:
    context = Context.parse("u:object_r:a_t:s0-s0:c1")
    assert str(context.at(Level.of(4, 5))) == "u:object_r:a_t:s0:c4,c5"


def test_a_label_that_is_no_context_is_kept_as_it_was_written() -> None:
    kinds = {"kernel": "", "": "", "u:r:t": "t", "u:r:t:nonsense": "t", "\udcff:\0:\n": "\n"}
    for text, kind in kinds.items():
        label = read_label(text)
        assert isinstance(label, UnreadableLabel)
        assert (str(label), f"{label}", label.type, level_of(label)) == (text, text, kind, None)
        with pytest.raises(LabelSyntaxError) as refused:
            Context.parse(text)
        with pytest.raises(LabelSyntaxError) as again:
            readable(label)
        assert (again.value.what, again.value.hint) == (refused.value.what, refused.value.hint)


def test_a_label_that_is_a_context_is_one() -> None:
    label = read_label("u:r:t:s0:c2,c1")
    assert label == readable(label) == Context.parse("u:r:t:s0:c1,c2")
    assert level_of(label) == level_in("u:r:t:s0:c1.c2") == Level.of(1, 2)
    assert level_of(None) is level_in(None) is level_in("kernel") is None
