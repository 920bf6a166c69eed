"""Trees at the edge: very deep, very wide, with few descriptors to be had (promise 5: bounded)."""

from __future__ import annotations

import os
import resource
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mcsd.relabel.passing import Effort
from tests.host.relabel_stages import stage as stage
from tests.host.relabel_trees import HOME, KEY, TARGET, Stage, put_label

pytestmark = pytest.mark.host

LEVELS = 10_000
FEW = 256


@contextmanager
def few_descriptors(limit: int) -> Iterator[None]:
    """Lower the soft limit for the time of the block."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def dig(root: Path, levels: int) -> None:
    """Make a directory in a directory, and so on, with a file at the bottom."""
    root.mkdir()
    put_label(root, HOME)
    current = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    for _ in range(levels):
        os.mkdir("deeper", dir_fd=current)
        following = os.open("deeper", os.O_RDONLY | os.O_DIRECTORY, dir_fd=current)
        os.close(current)
        current = following
    os.close(os.open("leaf", os.O_CREAT | os.O_WRONLY, dir_fd=current))
    os.close(current)


def depths(root: Path) -> list[bytes | None]:
    """Read the labels on the way down, the leaf's last."""
    found: list[bytes | None] = []
    current = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    while True:
        found.append(label_at(current))
        try:
            following = os.open("deeper", os.O_RDONLY | os.O_DIRECTORY, dir_fd=current)
        except FileNotFoundError:
            break
        os.close(current)
        current = following
    leaf = os.open("leaf", os.O_RDONLY, dir_fd=current)
    found.append(label_at(leaf))
    os.close(leaf)
    os.close(current)
    return found


def label_at(descriptor: int) -> bytes | None:
    try:
        return os.getxattr(descriptor, KEY)
    except OSError:
        return None


def test_ten_thousand_levels(stage: Stage) -> None:
    dig(stage.root, LEVELS)
    before = depths(stage.root)
    try:
        with few_descriptors(FEW):
            walk = stage.relabel()
            assert walk.complete
            assert walk.seen == LEVELS + 2
            assert set(depths(stage.root)) == {TARGET.encode() + b"\0"}
            assert stage.relabel().changed == 0
            assert stage.restore().complete
        assert depths(stage.root) == before
    finally:
        fill_in(stage.root)


def fill_in(root: Path) -> None:
    """Remove a deep tree; `rm` can, `shutil.rmtree` recurses."""
    import subprocess

    subprocess.run(["rm", "-rf", root], check=True)


def test_many_names_in_one_directory(stage: Stage) -> None:
    stage.effort = Effort(batch=64, most=4096, nice=0, io_priority=-1)
    stage.engine = stage.fresh()
    stage.root.mkdir()
    at = os.open(stage.root, os.O_RDONLY | os.O_DIRECTORY)
    for number in range(30_000):
        os.close(os.open(f"{number:x}" * 4, os.O_CREAT | os.O_WRONLY, dir_fd=at))
    os.close(at)
    with few_descriptors(FEW):
        walk = stage.relabel()
        assert (walk.complete, walk.changed) == (True, 30_001)
        assert stage.verify().complete
        back = stage.restore()
        assert (back.complete, back.changed) == (True, 30_001)
    shutil.rmtree(stage.root)


def test_many_large_directories_inside_each_other(stage: Stage) -> None:
    """Half-read listings are the descriptors that a walk cannot give up."""
    place = stage.root
    for number in range(150):
        place.mkdir()
        for one in range(12):
            (place / f"d{one}").mkdir()
        for one in range(30):
            (place / f"f{one}-{number}").touch()
        place = place / "d5/in"
    with few_descriptors(FEW):
        assert stage.relabel().complete
        assert stage.verify().complete
        assert stage.restore().complete
    fill_in(stage.root)
