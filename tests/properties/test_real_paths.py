"""Property: a path leads where `os.path.realpath` says, whatever links, dots and loops are in it."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from mcsd.core.volumes import Identity
from mcsd.relabel.real_paths import RealPaths, upwards

NAMES = ("a", "b", "c")
PARTS = st.lists(st.sampled_from((*NAMES, ".", "..", "")), min_size=1, max_size=5)
TARGETS = st.tuples(st.booleans(), PARTS)
ENTRIES = st.lists(
    st.tuples(st.lists(st.sampled_from(NAMES), min_size=1, max_size=3), st.none() | TARGETS), max_size=8
)


def _build(root: Path, entries: list[tuple[list[str], tuple[bool, list[str]] | None]]) -> None:
    """Make directories, and links with absolute or relative targets; what does not fit is left out."""
    for parts, target in entries:
        path = root.joinpath(*parts)
        with suppress(OSError):
            if target is None:
                path.mkdir(parents=True)
            else:
                is_absolute, names = target
                path.parent.mkdir(parents=True, exist_ok=True)
                path.symlink_to(f"{root}/{'/'.join(names)}" if is_absolute else "/".join(names) or ".")


@settings(max_examples=150, deadline=None)
@given(ENTRIES, st.lists(PARTS, min_size=1, max_size=6))
def test_a_path_leads_where_realpath_says(
    entries: list[tuple[list[str], tuple[bool, list[str]] | None]], asked: list[list[str]]
) -> None:
    """All paths are asked of one object, so that what it remembers of one must be right for the others."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(os.path.realpath(name))
        _build(root, entries)
        paths = RealPaths()
        for parts in asked:
            path = f"{root}/{'/'.join(parts)}"
            expected = os.path.realpath(path).replace("//", "/")  # a link to `//x` is kept so
            assert paths.of(path) == expected
            found = paths.identity(expected)
            assert (found is not None) == os.path.lexists(expected)
            if found is not None:
                stat = os.lstat(expected)
                assert found == Identity(stat.st_dev, stat.st_ino)
            assert list(upwards(expected)) == [expected, *map(str, Path(expected).parents)]


def test_a_path_of_very_many_components_is_found(tmp_path: Path) -> None:
    """More components than Python may call functions within each other."""
    path = f"{tmp_path}/" + "./" * 1900
    assert RealPaths().of(path) == os.path.realpath(tmp_path)


def test_a_loop_of_links_ends(tmp_path: Path) -> None:
    """It leads where `os.path.realpath` says, and does not hang."""
    (tmp_path / "one").symlink_to("two")
    (tmp_path / "two").symlink_to("one/x")
    path = f"{tmp_path}/one/y"
    assert RealPaths().of(path) == os.path.realpath(path)
