"""The engine on real files: what is labelled, what is left alone, and that undo is exact."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import threading
import time
from pathlib import Path

import pytest

from mcsd.core.hints import Hint
from mcsd.core.volumes import Identity
from mcsd.errors import VolumeFailedError, VolumeRefusedError
from mcsd.relabel import Progress, SkipReason, kernel
from tests.following import follows
from tests.host.relabel_stages import stage as stage
from tests.host.relabel_trees import (
    HOME,
    ID,
    OTHER,
    SHARED,
    TARGET,
    Stage,
    carrying,
    grow,
    kept,
    label_of,
    labels,
    mounted,
    odd,
    paths,
    put_label,
)

pytestmark = pytest.mark.host


def test_everything_in_scope_carries_the_target_and_then_what_it_had(stage: Stage) -> None:
    """Promises 5 and 6: links, pipes, sockets and odd names too; what links lead to is not touched."""
    grow(stage.root)
    before, outside = labels(stage.root), label_of("/etc/passwd")
    walk = stage.relabel()
    assert walk.complete
    assert not walk.skipped
    assert walk.seen == walk.changed == len(before)
    assert carrying(stage.root, TARGET) == set(before)
    back = stage.restore()
    assert back.complete
    assert labels(stage.root) == before
    assert label_of("/etc/passwd") == outside


def test_a_second_walk_only_reads(stage: Stage) -> None:
    """Times of change do not move when there is nothing to change."""
    grow(stage.root)
    stage.relabel()
    times = {path: os.lstat(path).st_ctime_ns for path in paths(stage.root)}
    walk = stage.relabel()
    assert (walk.changed, walk.complete) == (0, True)
    assert times == {path: os.lstat(path).st_ctime_ns for path in paths(stage.root)}


def test_the_first_original_outlives_several_targets(stage: Stage) -> None:
    """Promise 6."""
    grow(stage.root)
    before = labels(stage.root)
    stage.relabel()
    stage.engine = stage.fresh()
    assert stage.relabel(OTHER).complete
    assert stage.restore().complete
    assert labels(stage.root) == before


def test_what_somebody_else_labelled_meanwhile_is_left_as_it_is(stage: Stage) -> None:
    """Promise 6: only what still carries a label that mcsd wrote is given back."""
    grow(stage.root)
    before = labels(stage.root)
    stage.relabel()
    put_label(stage.root / "d1/f1", odd("mine"))
    walk = stage.restore()
    assert walk.complete
    assert walk.skipped == {SkipReason.FOREIGN_LABEL: 1}
    assert walk.examples == ((SkipReason.FOREIGN_LABEL, "d1/f1"),)
    assert labels(stage.root) == before | {os.fsencode(stage.root / "d1/f1"): odd("mine")}


def test_a_foreign_label_from_between_two_walks_is_the_original(stage: Stage) -> None:
    """Promise 6: what the second walk overwrites is what undo puts back."""
    grow(stage.root)
    stage.relabel()
    put_label(stage.root / "d1/f1", odd("mine"))
    stage.relabel()
    stage.restore()
    assert label_of(stage.root / "d1/f1") == odd("mine")


def test_files_born_in_the_volume_get_the_policy_s_label_or_their_directory_s(stage: Stage) -> None:
    """Promise 6."""
    policy = odd("policy").decode().rstrip("\0")
    stage.default_label = lambda path, mode: policy if path.endswith("known") else None
    stage.engine = stage.fresh()
    grow(stage.root)
    put_label(stage.root / "d1/sub", odd("sub"))
    stage.relabel()
    (stage.root / "d1/sub/new/deep").mkdir(parents=True)
    born = [stage.root / "d1/sub" / name for name in ("known", "other", "new", "new/deep", "new/deep/leaf")]
    for path in born:
        if not path.exists():
            path.touch()
        put_label(path, TARGET)
    (stage.root / "top").touch()
    put_label(stage.root / "top", TARGET)
    assert stage.restore().complete
    assert label_of(born[0]) == policy.encode() + b"\0"
    assert {label_of(path) for path in born[1:]} == {odd("sub")}
    assert label_of(stage.root / "top") == HOME.encode() + b"\0"


def test_an_inode_number_used_again_does_not_get_the_old_file_s_label(stage: Stage) -> None:
    """Promise 6: told by the time of birth."""
    grow(stage.root)
    victim = stage.root / "d1/f2"
    put_label(victim, odd("secret"))
    stage.relabel()
    number = victim.stat().st_ino
    victim.unlink()
    made: list[Path] = []
    for one in range(2000):
        made.append(stage.root / f"d1/again{one}")
        made[-1].touch()
        put_label(made[-1], TARGET)
        if made[-1].stat().st_ino == number:
            break
    else:
        pytest.skip("this file system does not use inode numbers again so soon")
    assert stage.restore().complete
    assert label_of(made[-1]) != odd("secret")


def test_a_file_with_a_name_outside_is_left_alone(stage: Stage) -> None:
    """Promise 5."""
    grow(stage.root)
    outside = stage.base / "outside"
    os.link(stage.root / "d1/f1", outside)
    had = label_of(outside)
    walk = stage.relabel()
    assert walk.complete
    assert walk.skipped == {SkipReason.MULTIPLY_LINKED: 1}
    assert stage.restore().complete
    assert label_of(outside) == had


def test_a_file_whose_names_are_all_inside_is_the_volume_s(stage: Stage) -> None:
    """Promise 5."""
    grow(stage.root)
    for name in ("one", "d2/two", "d3/sub/three"):
        os.link(stage.root / "d1/f1", stage.root / name)
    before = labels(stage.root)
    walk = stage.relabel()
    assert walk.complete
    assert not walk.skipped
    assert label_of(stage.root / "one") == TARGET.encode() + b"\0"
    stage.restore()
    assert labels(stage.root) == before


def test_a_file_born_in_the_volume_does_not_keep_the_pair_for_having_a_name_outside(stage: Stage) -> None:
    """Promise 2: with the pair's categories it is this volume's, wherever else it is linked."""
    grow(stage.root)
    stage.relabel()
    (stage.root / "d1/born").touch()
    put_label(stage.root / "d1/born", TARGET)
    os.link(stage.root / "d1/born", stage.base / "outside")
    walk = stage.restore()
    assert walk.complete
    assert not walk.skipped
    assert not carrying(stage.base, TARGET)


def test_a_shared_volume_s_label_proves_nothing_about_a_file_with_a_name_outside(stage: Stage) -> None:
    """Promise 5: without categories the label may well be somebody else's."""
    shared = "system_u:object_r:container_file_t:s0"
    grow(stage.root)
    stage.relabel(shared)
    (stage.base / "outside").touch()
    put_label(stage.base / "outside", shared)
    os.link(stage.base / "outside", stage.root / "d1/stolen")
    walk = stage.restore()
    assert walk.skipped == {SkipReason.MULTIPLY_LINKED: 1}
    assert label_of(stage.base / "outside") == kept(shared)


def test_device_nodes_are_never_labelled(stage: Stage) -> None:
    """Promise 5."""
    grow(stage.root)
    os.mknod(stage.root / "d1/null", stat.S_IFCHR | 0o600, os.makedev(1, 3))
    before = label_of(stage.root / "d1/null")
    walk = stage.relabel()
    assert walk.complete
    assert walk.skipped == {SkipReason.DEVICE_NODE: 1}
    assert label_of(stage.root / "d1/null") == before


def test_a_mount_below_the_root_is_not_entered(stage: Stage) -> None:
    """Promise 5: another file system, and a bind mount of the same one."""
    grow(stage.root)
    grow(stage.base / "other")
    before = labels(stage.base / "other")
    with (
        mounted(stage.root / "d1", "-t", "tmpfs", "none"),
        mounted(stage.root / "d2", "--bind", str(stage.base / "other")),
    ):
        (stage.root / "d1/file").touch()
        inside = label_of(stage.root / "d1/file")
        walk = stage.relabel()
        assert walk.complete
        assert walk.skipped == {SkipReason.MOUNT_POINT: 2}
        assert label_of(stage.root / "d1/file") == inside
        assert stage.restore().complete
    assert labels(stage.base / "other") == before


def test_stolen_secrets_keep_their_labels(stage: Stage) -> None:
    grow(stage.root)
    put_label(stage.root / "d1/f1", "system_u:object_r:shadow_t:s0")
    walk = stage.relabel()
    assert walk.complete
    assert walk.skipped == {SkipReason.PROTECTED_TYPE: 1}
    assert label_of(stage.root / "d1/f1") == kept("system_u:object_r:shadow_t:s0")


def test_a_volume_can_be_a_file(stage: Stage) -> None:
    stage.root.touch()
    put_label(stage.root, HOME)
    assert stage.relabel().complete
    assert label_of(stage.root) == TARGET.encode() + b"\0"
    assert stage.restore().complete
    assert label_of(stage.root) == kept(HOME)


def test_verify_counts_what_differs_and_writes_nothing(stage: Stage) -> None:
    grow(stage.root)
    stage.relabel()
    assert stage.verify().complete
    put_label(stage.root / "d1/f1", HOME)
    (stage.root / "d1/new").touch()
    put_label(stage.root / "d1/new", HOME)
    walk = stage.verify()
    assert not walk.complete
    assert walk.skipped == {SkipReason.DIFFERS: 2}
    assert {path for _, path in walk.examples} == {"d1/f1", "d1/new"}
    assert label_of(stage.root / "d1/f1") == kept(HOME)


def test_progress_is_told_and_a_cancelled_walk_can_be_undone_and_taken_up_again(stage: Stage) -> None:
    """Promise 4: the root does not carry the target when the walk was broken off."""
    grow(stage.root, directories=150)
    before = labels(stage.root)
    told: list[Progress] = []
    enough = threading.Event()

    def tell(progress: Progress) -> None:
        told.append(progress)
        enough.set()

    walk = stage.relabel(progress=tell, cancelled=enough)
    assert walk.cancelled
    assert not walk.complete
    assert told
    assert label_of(stage.root) == HOME.encode() + b"\0"
    assert stage.restore().complete
    assert labels(stage.root) == before
    assert stage.relabel().complete


def test_restore_can_be_broken_off_and_goes_on(stage: Stage) -> None:
    grow(stage.root, directories=150)
    before = labels(stage.root)
    stage.relabel()
    enough = threading.Event()
    walk = stage.restore(progress=lambda progress: enough.set(), cancelled=enough)
    assert walk.cancelled
    assert label_of(stage.root) == HOME.encode() + b"\0"  # first of all
    stage.engine = stage.fresh()
    assert stage.restore().complete
    assert labels(stage.root) == before


def test_what_is_made_while_the_volume_is_walked_is_labelled_too(stage: Stage) -> None:
    """A tree that grows while it is walked."""
    grow(stage.root, directories=60)
    stop = threading.Event()

    def make() -> None:
        number = 0
        while not stop.is_set() and number < 3000:
            (stage.root / f"d{number % 60}" / f"new{number}").touch()
            number += 1
            time.sleep(0.0002)

    maker = threading.Thread(target=make)
    maker.start()
    stage.relabel()
    stop.set()
    maker.join()
    assert stage.relabel().complete
    assert stage.verify().complete


def test_a_volume_that_was_replaced_is_not_labelled(stage: Stage) -> None:
    grow(stage.root)
    with pytest.raises(VolumeFailedError, match="no longer the one it was"):
        stage.engine.relabel(ID, str(stage.root), Identity(1, 2), TARGET)
    assert not carrying(stage.root, TARGET)


def renumbered(identity: Identity) -> Identity:
    """As it was before the host was started anew, when the device had another number."""
    return Identity(identity.device + 77, identity.inode)


def test_a_volume_whose_device_has_another_number_is_known_by_its_handle(stage: Stage) -> None:
    """Promise 6: btrfs subvolumes and loop devices are numbered anew at each boot."""
    grow(stage.root)
    before = labels(stage.root)
    stage.relabel()
    old = renumbered(stage.identity)
    assert stage.engine.identify(ID, str(stage.root), old) == stage.identity
    assert stage.engine.verify(ID, str(stage.root), old, TARGET).complete
    assert stage.engine.relabel(ID, str(stage.root), old, TARGET).changed == 0
    assert stage.restore_as(old).complete
    assert labels(stage.root) == before


def test_another_inode_in_its_place_is_not_taken_for_it(stage: Stage) -> None:
    """Neither one with another number, nor one that has the number and another handle."""
    grow(stage.root)
    stage.relabel()
    old = renumbered(stage.identity)
    stage.root.rename(stage.base / "away")
    stage.root.mkdir()
    assert stage.engine.identify(ID, str(stage.root), old) == old
    taken = renumbered(stage.identity)
    assert stage.engine.identify(ID, str(stage.root), taken) == taken
    with pytest.raises(VolumeFailedError, match="no longer the one it was"):
        stage.restore_as(taken)


def test_restoring_what_was_never_labelled_does_nothing(stage: Stage) -> None:
    grow(stage.root)
    assert stage.restore().complete
    assert stage.engine.volumes() == ()


def test_a_removed_volume_is_gone_and_says_so(stage: Stage) -> None:
    """Promise 2: proof that nothing carries the pair any more."""
    stage.root.mkdir()
    (stage.root / "f").touch()
    identity = stage.identity
    stage.relabel()
    (stage.root / "f").unlink()
    stage.root.rmdir()
    walk = stage.restore_as(identity)
    assert (walk.complete, walk.gone) == (True, True)


def test_a_renamed_volume_is_found_and_given_back(stage: Stage) -> None:
    """Promise 6: also when something else has taken its name."""
    grow(stage.root)
    before = list(labels(stage.root).values())
    identity = stage.identity
    stage.relabel()
    moved = stage.base / "moved"
    stage.root.rename(moved)
    grow(stage.root, directories=1)
    other = labels(stage.root)
    walk = stage.restore_as(identity)
    assert (walk.complete, walk.gone) == (True, False)
    assert list(labels(moved).values()) == before
    assert labels(stage.root) == other


def test_a_volume_under_a_link_that_others_could_change_is_refused(stage: Stage) -> None:
    """CVE-2024-9407 and its like."""
    grow(stage.root)
    (stage.base / "open").mkdir(mode=0o777)
    (stage.base / "open").chmod(0o777)
    (stage.base / "open/link").symlink_to(stage.root)
    with pytest.raises(VolumeRefusedError) as refused:
        stage.engine.examine(str(stage.base / "open/link"))
    assert refused.value.rule == "symlink-in-path"
    assert str(stage.root) in refused.value.hint


def test_the_store_lists_what_can_be_undone_and_forgets(stage: Stage) -> None:
    grow(stage.root)
    stage.relabel()
    (stored,) = stage.fresh().volumes()
    assert (stored.id, stored.path, stored.identity) == (ID, str(stage.root), stage.identity)
    assert (str(stored.target), stored.state, stored.count) == (TARGET, "complete", len(labels(stage.root)))
    assert stage.engine.stored_bytes() == sum(file.stat().st_size for file in stage.store.iterdir()) > 0
    stage.restore()
    assert stage.engine.volumes()[0].state == "restored"
    stage.engine.forget(ID)
    stage.engine.forget(ID)
    assert stage.engine.volumes() == ()
    assert list(stage.store.iterdir()) == []


def test_damaged_originals_stop_the_walk_and_are_listed(stage: Stage) -> None:
    """Promise 9."""
    grow(stage.root)
    stage.relabel()
    (file,) = stage.store.iterdir()
    data = bytearray(file.read_bytes())
    data[40] ^= 0xFF
    file.write_bytes(data)
    with pytest.raises(VolumeFailedError, match="cannot be read"):
        stage.restore()
    assert stage.engine.volumes()[0].state == "damaged"


def test_originals_are_kept_until_the_labels_are_on_another_disk(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Promise 6, through a loss of power: one file system keeps the order by itself, two do not."""
    synced: list[str] = []

    def fail(directory: int) -> None:
        synced.append(kernel.path_of(directory))
        raise OSError(errno.EIO, "Input/output error")

    grow(stage.root)
    before = labels(stage.root)
    stage.relabel()
    assert stage.restore().complete and not synced
    stage.engine.forget(ID)
    stage.store = stage.base / "elsewhere"
    stage.store.mkdir()
    with mounted(stage.store, "-t", "tmpfs", "none"):
        stage.engine = stage.fresh()
        stage.relabel()
        with monkeypatch.context() as broken:
            broken.setattr(kernel, "sync_around", fail)
            with pytest.raises(VolumeFailedError, match="cannot be brought to disk"):
                stage.restore()
        assert synced == [str(stage.root)]
        assert stage.engine.volumes()[0].state == "restoring"
        assert stage.restore().complete
        assert stage.engine.volumes()[0].state == "restored"
        assert labels(stage.root) == before


@follows(Hint.TAKE_POLICY_LABELS)
@pytest.mark.parametrize("lost", ["one file", "the directory", "the directory, and mcsd restarted"])
def test_restoring_without_the_originals_that_there_were_fails(stage: Stage, lost: str) -> None:
    """Promise 8: what nobody can put back is not called restored."""
    grow(stage.root)
    stage.relabel()
    if lost == "one file":
        (stage.store / f"{ID}.originals").unlink()
    else:
        shutil.rmtree(stage.store)
    if "restarted" in lost:
        stage.engine = stage.fresh()
    for was_complete in (False, True):
        with pytest.raises(VolumeFailedError, match=r"originals of volume .* are lost") as failed:
            stage.restore(was_complete=was_complete)
        assert failed.value.hint == Hint.TAKE_POLICY_LABELS.say(path=str(stage.root))
    assert label_of(stage.root) == kept(TARGET.encode() + b"\0")
    for path in paths(stage.root):  # as restorecon would
        put_label(os.fsdecode(path), HOME)
    assert stage.restore(was_complete=True).complete


def test_one_file_that_still_carries_a_level_is_found_when_originals_are_lost(stage: Stage) -> None:
    """Whatever level it is: an earlier target's pair may be somebody else's by now."""
    grow(stage.root)
    stage.relabel()
    shutil.rmtree(stage.store)
    for path in paths(stage.root):
        put_label(os.fsdecode(path), HOME)
    put_label(stage.root / "d1/f1", OTHER)
    with pytest.raises(VolumeFailedError, match="1 of its inodes"):
        stage.restore()
    put_label(stage.root / "d1/f1", HOME)
    os.link(stage.root / "d1/f1", stage.base / "outside")
    put_label(stage.root / "d1/f1", TARGET)
    with pytest.raises(VolumeFailedError, match="1 of its inodes"):
        stage.restore()


def test_a_volume_that_is_away_and_has_no_originals(stage: Stage) -> None:
    """Never completely labelled: nothing came of it. Once complete: nobody knows what it carries now."""
    grow(stage.root)
    identity = stage.identity
    shutil.rmtree(stage.root)
    assert stage.restore_as(identity, was_complete=False).complete
    with pytest.raises(VolumeFailedError, match="are lost, and it cannot be looked at"):
        stage.restore_as(identity, was_complete=True)


def test_what_an_engine_made_everybody_s_keeps_no_level_where_mcsd_never_wrote(stage: Stage) -> None:
    """`-v …:z` writes a shared volume's label itself, before a first walk that could not begin."""
    grow(stage.root)
    for path in paths(stage.root):
        put_label(os.fsdecode(path), SHARED)
    assert stage.restore_as(stage.identity, SHARED, was_complete=False).complete
    with pytest.raises(VolumeFailedError, match=r"originals of volume .* are lost"):
        stage.restore_as(stage.identity, SHARED, was_complete=True)
    put_label(stage.root / "d1/f1", TARGET)
    with pytest.raises(VolumeFailedError, match="1 of its inodes"):
        stage.restore_as(stage.identity, SHARED, was_complete=False)


def test_the_policy_is_asked_once_about_each_label(stage: Stage) -> None:
    """Asking takes longer than labelling does; what the policy forbids is left alone all the same."""
    stage.root.mkdir()
    forbidden = odd("odd")
    for number in range(20):
        (stage.root / str(number)).touch()
        put_label(stage.root / str(number), forbidden if number % 2 else odd("mine"))
    asked: list[bytes | None] = []

    def may_change(label: bytes | None) -> bool:
        asked.append(label)
        return label is None or not label.startswith(forbidden.rstrip(b"\0"))

    stage.engine = stage.fresh(may_change=may_change)
    assert stage.relabel().skipped == {SkipReason.PROTECTED_TYPE: 10}
    assert len(asked) == len(set(asked))
    asked.clear()
    assert stage.verify().skipped == {SkipReason.PROTECTED_TYPE: 10}
    assert len(asked) == len(set(asked))


def test_who_starts_mcsd_is_told_in_what_it_walks(stage: Stage) -> None:
    assert stage.engine.walks_in.partition(",")[0] == ("C" if stage.native else "Python")
