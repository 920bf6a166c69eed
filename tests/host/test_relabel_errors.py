"""What goes wrong while labels are written: each error has one outcome, none is called done (promise 9)."""

from __future__ import annotations

import errno
import fcntl
import os
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from mcsd.errors import VolumeFailedError, VolumeRefusedError
from mcsd.relabel import SkipReason
from tests.host.relabel_child import Child
from tests.host.relabel_stages import child as child
from tests.host.relabel_stages import shim as shim
from tests.host.relabel_stages import stage as stage
from tests.host.relabel_trees import ID, TARGET, Stage, carrying, grow, label_of, labels, mounted

pytestmark = pytest.mark.host

INCOMPLETE = {
    errno.ENOSPC: "no-space",
    errno.EDQUOT: "no-space",
    errno.EIO: "io-error",
    errno.EPERM: "not-permitted",
    errno.EACCES: "not-permitted",
    errno.ENOTSUP: "not-supported",
    errno.ELOOP: "loop",
    errno.ENOMEM: "io-error",
}


@pytest.mark.parametrize("work", ["relabel", "restore"])
@pytest.mark.parametrize("code", INCOMPLETE, ids=errno.errorcode.get)
def test_one_inode_that_fails_is_named_and_the_rest_is_done(
    child: Child, stage: Stage, code: int, work: str
) -> None:
    grow(stage.root)
    before = labels(stage.root)
    if work == "restore":
        stage.relabel()
    inode = (stage.root / "d1/f1").stat().st_ino
    answer = child.order(stage, work, inode=inode, code=code)
    assert not answer["complete"]
    assert answer["skipped"] == {INCOMPLETE[code]: 1}
    assert answer["examples"] == ["d1/f1"]
    assert label_of(stage.root) == before[os.fsencode(stage.root)]  # promise 4, or restored first
    stage.engine = stage.fresh()
    assert stage.restore().complete
    assert labels(stage.root) == before


def test_an_inode_that_vanished_does_not_make_a_walk_incomplete(child: Child, stage: Stage) -> None:
    grow(stage.root)
    inode = (stage.root / "d1/f1").stat().st_ino
    answer = child.order(stage, "relabel", inode=inode, code=errno.ENOENT)
    assert answer["complete"]
    assert answer["skipped"] == {"vanished": 1}


def test_the_root_that_fails_leaves_the_walk_incomplete(child: Child, stage: Stage) -> None:
    grow(stage.root)
    answer = child.order(stage, "relabel", inode=stage.root.stat().st_ino, code=errno.EIO)
    assert not answer["complete"]
    assert answer["skipped"] == {"io-error": 1}
    assert stage.fresh().volumes()[0].state == "labelling"


def test_a_mount_that_turns_read_only_ends_the_walk(child: Child, stage: Stage) -> None:
    grow(stage.root, directories=100)
    answer = child.order(stage, "relabel", inode=1, code=errno.EROFS)
    assert not answer["complete"]
    assert answer["changed"] == 0
    assert 0 < answer["skipped"]["read-only"] <= 2 * 256


def test_a_label_that_the_policy_does_not_know_fails_the_walk(child: Child, stage: Stage) -> None:
    grow(stage.root)
    answer = child.order(stage, "relabel", inode=1, code=errno.EINVAL)
    assert answer["error"] == "VolumeFailedError"
    assert "policy does not know the label" in answer["what"]


def test_a_read_only_mount_is_refused_before_anything_is_done(stage: Stage) -> None:
    grow(stage.root)
    identity = stage.identity
    with mounted(stage.root, "--bind", "-o", "ro", str(stage.root)):
        assert not stage.engine.examine(str(stage.root)).writable
        with pytest.raises(VolumeFailedError, match="read-only") as failed:
            stage.engine.relabel(ID, str(stage.root), identity, TARGET)
        assert failed.value.hint
    assert not carrying(stage.root, TARGET)


def test_an_immutable_file_is_not_permitted(stage: Stage) -> None:
    grow(stage.root)
    with immutable(stage.root / "d1/f1"):
        walk = stage.relabel()
        assert not walk.complete
        assert walk.skipped == {SkipReason.NOT_PERMITTED: 1}
    assert stage.relabel().complete


@contextmanager
def immutable(path: Path) -> Iterator[None]:
    """`chattr +i` for the time of the block."""
    with open(path, "rb") as file:
        old = struct.unpack("l", fcntl.ioctl(file, 0x80086601, b"\0" * 8))[0]
        fcntl.ioctl(file, 0x40086602, struct.pack("l", old | 0x10))
        try:
            yield
        finally:
            fcntl.ioctl(file, 0x40086602, struct.pack("l", old))


@contextmanager
def small_disk(base: Path) -> Iterator[Path]:
    """A full file system: inodes without room for a label, and no block left to put one in."""
    image, point = base / "image", base / "disk"
    with image.open("wb") as file:
        file.truncate(4 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-I", "128", "-O", "^has_journal", image], check=True)
    point.mkdir()
    with mounted(point, "-o", "loop", str(image)):
        yield point


def fill(disk: Path) -> None:
    """Take every block that can be had, the ones reserved for root too."""
    for number in range(8):
        with (disk / f"filler{number}").open("wb", buffering=0) as filler, suppress(OSError):
            while True:
                filler.write(bytes(1024))
                os.fsync(filler)


def test_a_full_disk_is_no_space_and_undo_is_exact_all_the_same(stage: Stage) -> None:
    with small_disk(stage.base) as disk:
        stage.root = disk / "volume"
        stage.root.mkdir()
        for number in range(40):  # without labels: ext4 would share the block of an equal one
            (stage.root / f"f{number}").touch()
        before = labels(stage.root)
        fill(disk)
        walk = stage.relabel()
        assert not walk.complete
        assert walk.skipped[SkipReason.NO_SPACE]
        for filler in disk.glob("filler*"):
            filler.unlink()
        assert stage.restore().complete
        assert labels(stage.root) == before


def test_a_full_store_changes_nothing(stage: Stage) -> None:
    """Promise 3."""
    grow(stage.root)
    stage.store.rmdir()
    stage.store.mkdir()
    before = labels(stage.root)
    with mounted(stage.store, "-t", "tmpfs", "-o", "size=4k", "none"):
        (stage.store / "filler").write_bytes(bytes(4096))
        with pytest.raises(VolumeFailedError, match="cannot be written") as failed:
            stage.relabel()
        assert "make room" in failed.value.hint
    assert labels(stage.root) == before


@pytest.mark.parametrize("kind", ["proc", "vfat"])
def test_a_file_system_without_labels_is_refused(stage: Stage, kind: str) -> None:
    if kind == "proc":
        with pytest.raises(VolumeRefusedError):
            stage.engine.examine("/proc/sys")
        return
    if "vfat" not in Path("/proc/filesystems").read_text(encoding="ascii").split():
        pytest.skip("this kernel does not know vfat")
    image, point = stage.base / "image", stage.base / "disk"
    with image.open("wb") as file:
        file.truncate(1 << 20)
    subprocess.run(["mkfs.vfat", image], check=True, capture_output=True)
    point.mkdir()
    with mounted(point, "-o", "loop", str(image)), pytest.raises(VolumeRefusedError) as refused:
        stage.engine.examine(str(point))
    assert refused.value.rule == "no-labels"
