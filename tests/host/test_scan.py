"""Scanning real files for real labels: what is found, what is not followed, and going on where it was."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from mcsd.adapters.host.files import HostFiles
from mcsd.adapters.host.strays import StrayFile
from mcsd.core.labels import Level
from mcsd.core.strays import Catch, ScanState, Stray
from tests.host.relabel_trees import OTHER, TARGET, grow, mounted, put_label

pytestmark = pytest.mark.host


class Found:
    """What a scan has met."""

    def __init__(self) -> None:
        self.met: list[str] = []
        self.told: list[str] = []
        self.stopped = threading.Event()
        self.stop_after = 1 << 30

    def scan(self, top: Path, *, after: str = "", share: float = 1.0) -> bool:
        def met(path: str, label: str, level: Level) -> None:
            assert label in {TARGET, OTHER}
            self.met.append(path)
            if len(self.met) >= self.stop_after:
                self.stopped.set()

        def told(path: str, seen: int, unseen: int) -> None:
            self.told.append(path)

        return HostFiles().scan(str(top), after=after, share=share, told=told, met=met, stopped=self.stopped)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    grow(root)
    return root


def test_what_carries_somebody_s_level_is_found_and_nothing_else(tree: Path) -> None:
    put_label(tree, TARGET)
    put_label(tree / "d0", OTHER)
    put_label(tree / "d1" / "sub" / "f2", TARGET + "\0")
    put_label(tree / "link", TARGET)
    found = Found()
    assert found.scan(tree)
    assert sorted(found.met) == sorted(
        map(str, (tree, tree / "d0", tree / "d1" / "sub" / "f2", tree / "link"))
    )


def test_a_single_file_can_be_looked_at(tree: Path) -> None:
    put_label(tree / "d0" / "f1", TARGET)
    found = Found()
    assert found.scan(tree / "d0" / "f1")
    assert found.met == [str(tree / "d0" / "f1")]
    assert HostFiles().level_at(str(tree / "d0" / "f1")) == Level.parse("s0:c1,c2")
    assert HostFiles().level_at(str(tree / "d0" / "gone")) is None


def test_no_link_is_followed_and_no_mount_entered(tree: Path) -> None:
    outside = tree.parent / "outside"
    outside.mkdir()
    put_label(outside, TARGET)
    (tree / "way").symlink_to(outside)
    with mounted(tree / "d0", "-t", "tmpfs", "none"):
        (tree / "d0" / "x").touch()
        put_label(tree / "d0" / "x", TARGET)
        found = Found()
        assert found.scan(tree)
        assert found.met == []
        assert str(tree / "d0") in HostFiles().places(str(tree))
        assert found.scan(tree / "d0")
        assert found.met == [str(tree / "d0" / "x")]


def test_one_that_was_broken_off_goes_on_where_it_was(tree: Path) -> None:
    everything = [path for path in tree.rglob("*") if not path.is_symlink()]
    for path in everything:
        put_label(path, TARGET)
    first = Found()
    first.stop_after = len(everything) // 2
    assert not first.scan(tree)
    second = Found()
    assert second.scan(tree, after=first.told[-1])
    assert set(first.met) | set(second.met) == set(map(str, everything))
    assert len(second.met) < len(everything)


def test_what_is_known_survives(tmp_path: Path) -> None:
    store = StrayFile(tmp_path / "strays.json")
    assert store.load() == (Catch(), {})
    level = Level.parse("s0:c1,c2")
    odd = Stray(level, TARGET, 3, (os.fsdecode(b"/a\xff\n"),))
    catch = Catch({level: odd}, ScanState(1.0, "/a", None, ("/",), "/a/b", 5, 1), 0.5)
    store.save(catch, {level: odd})
    assert StrayFile(tmp_path / "strays.json").load() == (catch, {level: odd})


@pytest.mark.parametrize("text", ["", '{"format": 1, "strays": 7}', '{"format": 2}', "[]", "7", "\xff{"])
def test_what_cannot_be_read_is_not_taken_for_nothing(tmp_path: Path, text: str) -> None:
    """Promise 9: which levels are carried is not known then, and that is said until it is."""
    file = tmp_path / "strays.json"
    file.write_text(text, encoding="latin-1")
    store = StrayFile(file)
    catch, caught = store.load()
    assert catch.lost.startswith(f"{file} cannot be used: ")
    assert not (catch.strays or caught)
    store.save(catch, {})
    assert StrayFile(file).load() == (catch, {}), "what was lost is so until everything was scanned"


def test_what_may_not_be_read_is_not_taken_for_nothing(tmp_path: Path) -> None:
    (tmp_path / "strays.json").mkdir()
    catch, _ = StrayFile(tmp_path / "strays.json").load()
    assert catch.lost.endswith("is a directory")
