"""Files that are written as a whole."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mcsd.adapters.host.whole_file import put


def test_the_new_text_takes_the_old_ones_place(tmp_path: Path) -> None:
    file = tmp_path / "known.json"
    put(file, "old")
    put(file, "new")
    assert file.read_text() == "new"
    assert file.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [file]


def test_a_disk_that_fails_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "known.json"
    put(file, "old")

    def fails(descriptor: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", fails)
    with pytest.raises(OSError, match="Input/output"):
        put(file, "new")
    assert file.read_text() == "old"


def test_no_link_is_followed(tmp_path: Path) -> None:
    file, other = tmp_path / "known.json", tmp_path / "other"
    other.write_text("somebody's")
    (tmp_path / "known.json.new").symlink_to(other)
    with pytest.raises(OSError, match="symbolic"):
        put(file, "new")
    assert other.read_text() == "somebody's"
