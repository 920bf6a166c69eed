"""What nothing was written on, or does not exist any more, is restored at once: nobody holds its pair."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from mcsd.core.volumes import Identity
from mcsd.errors import VolumeFailedError
from tests.host.relabel_stages import stage as stage
from tests.host.relabel_trees import ID, TARGET, Stage, carrying, grow, mounted

pytestmark = pytest.mark.host


@pytest.fixture
def memory(stage: Stage) -> Iterator[ExitStack]:
    """A volume in memory of its own, mounted until the stack is closed."""
    stage.root.mkdir()
    with ExitStack() as stack:
        stack.enter_context(mounted(stage.root, "-t", "tmpfs", "tmpfs"))
        yield stack


def test_a_read_only_volume_leaves_nothing_to_be_undone(stage: Stage, memory: ExitStack) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(stage.root)], check=True)
    with pytest.raises(VolumeFailedError, match="read-only"):
        stage.relabel()
    assert stage.engine.volumes() == ()
    assert stage.restore().complete


def test_what_became_read_only_with_nothing_of_ours_in_it_is_done(stage: Stage, memory: ExitStack) -> None:
    grow(stage.root / "tree")
    assert stage.relabel().complete
    assert stage.restore().complete
    assert stage.relabel().complete  # begun again, so that there is something on record
    assert stage.restore().complete
    subprocess.run(["mount", "-o", "remount,ro", str(stage.root)], check=True)
    assert stage.restore().complete


def test_what_became_read_only_with_labels_of_ours_is_held(stage: Stage, memory: ExitStack) -> None:
    """Promise 2."""
    (stage.root / "file").touch()
    assert stage.relabel().complete
    subprocess.run(["mount", "-o", "remount,ro", str(stage.root)], check=True)
    with pytest.raises(VolumeFailedError, match="read-only"):
        stage.restore()
    assert carrying(stage.root, TARGET)


def test_what_was_in_memory_is_gone_with_its_mount(stage: Stage, memory: ExitStack) -> None:
    (stage.root / "file").touch()
    identity = stage.identity
    assert stage.relabel().complete
    memory.close()
    walk = stage.engine.restore(ID, str(stage.root), identity, TARGET, was_complete=True)
    assert walk.complete and walk.gone


def test_another_one_mounted_in_its_place_is_not_it(stage: Stage, memory: ExitStack) -> None:
    (stage.root / "file").touch()
    identity = stage.identity
    assert stage.relabel().complete
    memory.close()
    with mounted(stage.root, "-t", "tmpfs", "tmpfs"):
        found = os.lstat(stage.root)  # the number of the device may be the very one
        assert stage.engine.restore(
            ID, str(stage.root), Identity(found.st_dev, identity.inode), TARGET, was_complete=True
        ).complete
        assert not carrying(stage.root, TARGET)


def test_what_is_in_memory_and_mounted_elsewhere_is_not_gone(
    stage: Stage, memory: ExitStack, tmp_path: Path
) -> None:
    """Promise 2: a bind mount of it goes on showing the labels."""
    (stage.root / "file").touch()
    identity = stage.identity
    assert stage.relabel().complete
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    with mounted(elsewhere, "--bind", str(stage.root)):
        memory.close()
        walk = stage.engine.restore(ID, str(stage.root), identity, TARGET, was_complete=True)
        assert walk.complete and not walk.gone
        assert not carrying(elsewhere, TARGET)
