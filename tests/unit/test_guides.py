"""The guides in the tree name files, commands and names that there are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

TREE = Path(__file__).resolve().parents[2]
GUIDES = ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md")
TARGETS = set(re.findall(r"^([a-z][a-z-]*):", (TREE / "Makefile").read_text(encoding="utf-8"), re.M))
MADE = {"tests/vm/scripts/NAME.sh", "release-notes.md"}
"""What a guide names and no file of the tree is."""
ROOMS = (
    "",
    "packaging",
    "mcsd",
    "mcsd/core",
    "mcsd/control",
    "mcsd/api",
    "mcsd/relabel",
    "mcsd/runtime",
    "mcsd/relabel/native",
    "tests/vm",
)
"""Where a name may begin."""


def quoted(guide: str) -> list[str]:
    text = re.sub(r"^```.*?^```", "", (TREE / guide).read_text(encoding="utf-8"), flags=re.M | re.S)
    return re.findall(r"`([^`\n]+)`", text)


def named_files(guide: str) -> set[str]:
    """Return what looks like a file or folder of the tree."""
    words = {word.strip(",;()") for one in quoted(guide) for word in one.split() if "=" not in word}
    words |= {one.partition("=")[2] for one in quoted(guide) if one.startswith(("T=", "make t T="))}
    files = {one for one in words if re.fullmatch(r"[\w./-]+\.(py|sh|md|h|te|toml|spec|c|cil|yml)", one)}
    folders = {
        one for one in words if re.fullmatch(r"(mcsd|tests|packaging|selinux-policy|core|api)/[\w/.-]+", one)
    }
    return {one for one in files | folders if not one.startswith("/")} - MADE


def is_there(name: str) -> bool:
    return any((TREE / room / name).exists() for room in ROOMS) or (
        "/" not in name and any(True for top in ("mcsd", "tests") for _ in (TREE / top).rglob(name))
    )


@pytest.mark.parametrize("guide", GUIDES)
def test_named_files_are_there(guide: str) -> None:
    named = named_files(guide)
    assert guide == "README.md" or len(named) > 20  # this looks at something
    assert not {one for one in named if not is_there(one)}


@pytest.mark.parametrize("guide", GUIDES)
def test_named_targets_are_in_the_makefile(guide: str) -> None:
    called = {one for text in quoted(guide) for one in re.findall(r"^make ([a-z][a-z-]*)", text)}
    assert called <= TARGETS


def test_the_room_of_each_name_in_contributing_has_that_name() -> None:
    """`Name` of `mcsd/file.py`: the file defines it."""
    text = re.sub(r"\s+", " ", (TREE / "CONTRIBUTING.md").read_text(encoding="utf-8"))
    pairs = re.findall(r"`([A-Z]\w+)` (?:of|in) `(mcsd/[\w/]+\.py)`", text)
    assert len(pairs) >= 5
    for name, path in pairs:
        found = re.search(rf"^(class |    )?{name}\b", (TREE / path).read_text(encoding="utf-8"), re.M)
        assert found, (name, path)
