"""Single things put right on real files: what others changed, moved in, or moved out of a labelled volume."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mcsd.core.volumes import Identity
from mcsd.errors import VolumeFailedError
from mcsd.relabel import SkipReason, Walk
from tests.host.relabel_stages import stage as stage
from tests.host.relabel_trees import (
    HOME,
    ID,
    OTHER,
    TARGET,
    Stage,
    carrying,
    grow,
    kept,
    label_of,
    labels,
    mounted,
    odd,
    put_label,
)

pytestmark = pytest.mark.host
SHARED = "system_u:object_r:container_file_t:s0"


def amend(stage: Stage, *names: str) -> Walk:
    return stage.engine.amend(ID, str(stage.root), stage.identity, TARGET, names)


def give_back(stage: Stage, path: Path) -> Walk:
    found = os.lstat(path)
    return stage.engine.give_back(ID, str(path), Identity(found.st_dev, found.st_ino))


def test_what_was_changed_is_labelled_again_and_gets_what_it_had_first(stage: Stage) -> None:
    """An engine's `:z` and `:Z` are no originals; the label of anybody else is one."""
    grow(stage.root)
    before = labels(stage.root)
    stage.relabel()
    put_label(stage.root / "d0" / "f1", SHARED)
    put_label(stage.root / "d1", OTHER)
    put_label(stage.root / "d1" / "f1", OTHER)
    put_label(stage.root, SHARED)
    put_label(stage.root / "d2" / "f0", odd("mine"))
    walk = amend(stage, "d0/f1", "d1", "", "d2/f0", "d3/gone")
    assert walk.complete
    assert carrying(stage.root, TARGET) == set(before)
    assert stage.relabel().changed == 0
    assert stage.restore().complete
    before[os.fsencode(stage.root / "d2" / "f0")] = kept(odd("mine"))
    assert labels(stage.root) == before


def test_a_whole_walk_over_what_an_engine_labelled_keeps_the_originals_too(stage: Stage) -> None:
    """`docker start` of a refused container with `:z` labels everything."""
    grow(stage.root)
    before = labels(stage.root)
    stage.relabel()
    for path in before:
        put_label(path, SHARED)
    assert stage.relabel().changed == len(before)
    assert stage.restore().complete
    assert labels(stage.root) == before


def test_what_engines_had_labelled_before_mcsd_came_is_an_original(stage: Stage) -> None:
    """A volume that was shared before is shared again."""
    grow(stage.root)
    for path in labels(stage.root):
        put_label(path, SHARED)
    before = labels(stage.root)
    stage.relabel()
    assert stage.restore().complete
    assert labels(stage.root) == before


def test_what_was_moved_in_is_labelled_with_all_below_it_and_gets_its_own_back(stage: Stage) -> None:
    grow(stage.root)
    stage.relabel()
    fresh = stage.base / "fresh"
    fresh.mkdir()
    (fresh / "x").touch()
    put_label(fresh, odd("odd"))
    put_label(fresh / "x", HOME)
    fresh.rename(stage.root / "fresh")
    walk = amend(stage, "fresh")
    assert (walk.complete, walk.changed) == (True, 2)
    assert carrying(stage.root, TARGET) == set(labels(stage.root))
    stage.restore()
    assert label_of(stage.root / "fresh") == kept(odd("odd"))
    assert label_of(stage.root / "fresh" / "x") == kept(HOME)


def test_the_volume_counts_as_complete_after_it_as_before(stage: Stage) -> None:
    grow(stage.root)
    stage.relabel()
    put_label(stage.root / "d0" / "f1", HOME)
    amend(stage, "d0/f1")
    (stored,) = stage.engine.volumes()
    assert (stored.state, str(stored.target)) == ("complete", TARGET)


def test_what_is_not_the_volume_s_alone_is_left_alone(stage: Stage) -> None:
    """Promise 5: no second name, no device, no link followed, no mount crossed."""
    grow(stage.root)
    stage.relabel()
    outside = stage.base / "outside"
    outside.touch()
    put_label(outside, HOME)
    os.link(outside, stage.root / "linked")
    os.mknod(stage.root / "null", 0o20666, os.makedev(1, 3))
    (stage.root / "way").symlink_to(stage.base)
    walk = amend(stage, "linked", "null", "way/outside", "../outside")
    assert walk.changed == 0
    assert walk.skipped[SkipReason.MULTIPLY_LINKED] == 1
    assert walk.skipped[SkipReason.DEVICE_NODE] == 1
    assert label_of(outside) == kept(HOME)
    with mounted(stage.root / "d0", "-t", "tmpfs", "none"):
        (stage.root / "d0" / "x").touch()
        assert amend(stage, "d0/x").skipped == {SkipReason.MOUNT_POINT: 1}


def test_what_was_moved_out_gets_its_original_back(stage: Stage) -> None:
    grow(stage.root)
    before = labels(stage.root)
    stage.relabel()
    out = stage.base / "out"
    (stage.root / "d0").rename(out)
    walk = give_back(stage, out)
    assert walk.complete
    for path, label in labels(out).items():
        inside = path.replace(os.fsencode(out), os.fsencode(stage.root / "d0"))
        assert label == before[inside]
    (stored,) = stage.engine.volumes()
    assert (stored.state, str(stored.target)) == ("complete", TARGET)
    assert carrying(stage.root, TARGET) == set(labels(stage.root))


def test_what_was_born_in_the_volume_gets_what_is_around_it(stage: Stage) -> None:
    """There is no original: the policy's own label, or else that of the directory that it is in now."""
    grow(stage.root)
    stage.relabel()
    born, place = stage.root / "born", stage.base / "place"
    born.touch()
    put_label(born, TARGET)
    place.mkdir()
    put_label(place, odd("sub"))
    born.rename(place / "born")
    assert give_back(stage, place / "born").complete
    assert label_of(place / "born") == kept(odd("sub"))


def test_what_carries_no_label_of_ours_is_not_touched_outside(stage: Stage) -> None:
    """Promise 6."""
    grow(stage.root)
    stage.relabel()
    (stage.root / "d0" / "f1").rename(stage.base / "f")
    put_label(stage.base / "f", odd("mine"))
    give_back(stage, stage.base / "f")
    assert label_of(stage.base / "f") == kept(odd("mine"))


def test_another_file_at_that_path_is_not_touched(stage: Stage) -> None:
    grow(stage.root)
    stage.relabel()
    other = stage.base / "other"
    other.touch()
    found = os.lstat(stage.root / "d0" / "f1")
    with pytest.raises(VolumeFailedError, match="no longer what was moved there"):
        stage.engine.give_back(ID, str(other), Identity(found.st_dev, found.st_ino))
