"""What is opened is judged by what it is: on this machine's own protected places, under other names too."""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import subprocess
import tempfile
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from mcsd.adapters.docker.inspect import read_container
from mcsd.core.exposure import Weak
from mcsd.core.hints import Hint
from mcsd.core.protected import PLACES, UNLABELLED_FILE_SYSTEMS, Lift, ProtectionRules, Reach
from mcsd.core.refusals import is_left_alone
from mcsd.core.volumes import Identity, VolumeId
from mcsd.errors import VolumeFailedError, VolumeRefusedError
from mcsd.relabel import Engine, Progress, Walk, kernel
from mcsd.relabel.examining import _judge_kind
from mcsd.relabel.mounts import mounts
from mcsd.relabel.opening import opened
from mcsd.relabel.passing import Effort
from tests.fakes.docker_documents import container_document
from tests.following import follows
from tests.host.relabel_stages import stage as stage
from tests.host.relabel_trees import HOME, OTHER, Stage, grow, mounted, put_label

pytestmark = pytest.mark.host

HERE = [(rule, path) for rule in PLACES for path in rule.paths if os.path.isdir(path)]


def refusal(engine: Engine, path: str | Path, *allowed: str) -> str:
    """Return the rule that refuses a volume, "" for none."""
    try:
        engine.examine(str(path), allowed=allowed)
    except VolumeRefusedError as refused:
        assert refused.hint or is_left_alone(refused.rule)
        return refused.rule
    return ""


def test_every_protected_place_of_this_machine_is_refused(stage: Stage) -> None:
    """Promise 10."""
    for rule, path in HERE:
        for spelling in (path, path + "//", f"/.{path}/."):
            assert refusal(stage.engine, spelling), spelling
        if rule.lift is Lift.NEVER:
            assert refusal(stage.engine, path, path), path


def test_a_bind_mount_of_a_protected_place_is_that_place(stage: Stage) -> None:
    point = stage.base / "point"
    point.mkdir()
    for path in ("/etc", "/usr/bin", "/var/lib"):
        with mounted(point, "--bind", path):
            assert refusal(stage.engine, point) in {"system", "explicit", "own-state", "engine-storage"}, path


def test_a_part_of_a_protected_tree_is_known_by_its_position(stage: Stage) -> None:
    """A bind mount of a part has other ancestors than the part."""
    point = stage.base / "point"
    point.mkdir()
    inside = next(rule for rule, path in HERE if path == "/usr" and rule.reach is Reach.TREE)
    with mounted(point, "--bind", "/usr/share"):
        assert refusal(stage.engine, point) == inside.name
        (point / "man").is_dir()
        assert refusal(stage.engine, point / "man") == inside.name


def test_mcsd_s_own_state_is_refused(stage: Stage) -> None:
    assert refusal(stage.engine, stage.store) == "own-state"
    assert refusal(stage.engine, stage.base) == "own-state"


def test_devices_pseudo_files_and_linked_files_are_refused(stage: Stage) -> None:
    stage.root.mkdir()
    os.mknod(stage.root / "null", stat.S_IFCHR | 0o600, os.makedev(1, 3))
    assert refusal(stage.engine, stage.root / "null") == "device-node"
    (stage.root / "one").touch()
    os.link(stage.root / "one", stage.root / "two")
    assert refusal(stage.engine, stage.root / "one") == "multiply-linked"
    point = stage.base / "point"
    point.mkdir()
    with mounted(point, "-t", "proc", "none"):
        assert refusal(stage.engine, point) == "pseudo-file-system"


def test_a_protected_type_is_refused_and_an_ordinary_root_is_described(stage: Stage) -> None:
    grow(stage.root)
    put_label(stage.root, "system_u:object_r:bin_t:s0")
    assert refusal(stage.engine, stage.root) == "system-type"
    assert not refusal(stage.engine, stage.root, str(stage.root))
    put_label(stage.root, "system_u:object_r:shadow_t:s0")
    assert refusal(stage.engine, stage.root, str(stage.root)) == "secret-type"
    put_label(stage.root, HOME)
    root = stage.engine.examine(str(stage.root))
    assert (root.path, root.identity, root.is_directory) == (str(stage.root), stage.identity, True)
    assert (root.label, root.writable) == (HOME, True)
    assert root.file_system


@pytest.mark.parametrize("path", ["relative", "", "/no/such/place", "/srv/\0"])
def test_what_cannot_be_opened_is_a_failure_not_a_refusal(stage: Stage, path: str) -> None:
    with pytest.raises(VolumeFailedError):
        stage.engine.examine(path)


def test_a_dangling_link_says_so(stage: Stage) -> None:
    (stage.base / "dangling").symlink_to(stage.base / "nothing")
    with pytest.raises((VolumeFailedError, VolumeRefusedError)):
        stage.engine.examine(str(stage.base / "dangling"))


def test_a_small_volume_is_done_while_large_ones_are_walked(stage: Stage) -> None:
    """Large ones wait for each other at the gate, and small ones for nobody."""
    stage.effort = Effort(batch=64, most=256, quick=500, nice=0, io_priority=-1)
    stage.engine = stage.fresh()
    grow(stage.root)
    large: list[tuple[Path, Identity]] = []
    for number in range(3):
        path = stage.base / f"large{number}"
        grow(path, directories=60)
        found = path.stat()
        large.append((path, Identity(found.st_dev, found.st_ino)))
    underway, go_on = threading.Barrier(4), threading.Event()

    def hold(progress: Progress) -> None:
        if not go_on.is_set():
            underway.wait(30)
            go_on.wait(30)

    walks: list[Walk] = []

    def walk(number: int) -> None:
        path, identity = large[number]
        volume = VolumeId(f"large{number}")
        walks.append(stage.engine.relabel(volume, str(path), identity, OTHER, progress=hold))

    threads = [threading.Thread(target=walk, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    try:
        underway.wait(30)
        assert stage.relabel().complete
        assert all(thread.is_alive() for thread in threads)
    finally:
        go_on.set()
        for thread in threads:
            thread.join()
    assert [one.complete for one in walks] == [True] * 3


def test_what_a_mount_shows_is_found_by_identity(stage: Stage) -> None:
    """A link, or a mount of it elsewhere, is the same place."""
    link = stage.base / "root"
    link.symlink_to("/")
    kinds = {one.what for one in stage.engine.survey(str(link)).shown}
    assert {Weak.HOST_ROOT, Weak.DEVICES, Weak.PROCESSES, Weak.KERNEL} <= kinds
    assert {one.what for one in stage.engine.survey("/proc").shown} == {Weak.PROCESSES, Weak.KERNEL}
    assert {one.what for one in stage.engine.survey("/sys/fs").shown} == {Weak.KERNEL}
    assert stage.engine.survey(str(stage.root)).shown == ()
    assert stage.engine.survey(str(stage.base / "nothing")).shown == ()


def test_where_a_mount_is_goes_by_identity_and_the_nearest_comes_first(stage: Stage) -> None:
    (stage.root / "deep/er").mkdir(parents=True)
    link = stage.base / "other-name"
    link.symlink_to(stage.root)
    asked = [str(stage.base), str(link), str(stage.root / "deep"), "/usr"]
    survey = stage.engine.survey(str(stage.root / "deep/er"), within=asked)
    assert survey.ruled == (str(stage.root / "deep"), str(link), str(stage.base))
    assert survey.path == str(stage.root / "deep/er")


@pytest.mark.parametrize("path", ["/dev/no-such-device", "/proc/no/such", "/usr/no-such-directory"])
def test_what_a_sandbox_hides_is_judged_by_its_name(stage: Stage, path: str) -> None:
    """mcsd's unit has devices of its own: what is in the host's /dev is not there for it."""
    assert refusal(stage.engine, path) == "system"
    with pytest.raises(VolumeFailedError):
        stage.engine.examine("/srv/no-such-directory")


# --- hints, followed to the letter ---------------------------------------------------------------------


def hint_of(engine: Engine, path: str | Path) -> str:
    """Return what is to be done about a volume that is not admitted."""
    with pytest.raises((VolumeRefusedError, VolumeFailedError)) as refused:
        engine.examine(str(path))
    return refused.value.hint


@follows(Hint.NAME_IN_RULE)
@pytest.mark.parametrize("kind", ["place", "type"])
def test_what_a_rule_names_is_admitted(stage: Stage, kind: str) -> None:
    path = Path("/srv")
    if kind == "type":
        path = stage.root
        path.mkdir()
        put_label(path, b"system_u:object_r:bin_t:s0")
    (named,) = re.findall(r"name (\S+) in a \[\[volumes\.rule\]\]", hint_of(stage.engine, path))
    assert stage.engine.examine(str(path), allowed=[named]).path == str(path)


@follows(Hint.NAME_PLACE_BELOW)
def test_a_directory_inside_an_engine_s_storage_is_admitted_by_its_own_name(tmp_path: Path) -> None:
    storage = tmp_path / "docker"
    inside = storage / "volumes/one"
    inside.mkdir(parents=True)
    rules = ProtectionRules.of(storage=[str(storage)])
    engine = Engine(store=tmp_path / "store", rules=rules, default_label=lambda path, mode: None)
    assert hint_of(engine, inside) == hint_of(engine, storage) == Hint.NAME_PLACE_BELOW.say()
    assert engine.examine(str(inside), allowed=[str(inside)]).path == str(inside)


@follows(Hint.GIVE_DEVICE)
def test_a_device_is_no_mount() -> None:
    """`docker inspect` lists what `--device` gives among the devices, not the mounts: nothing is examined."""
    document = container_document("a" * 64, "web")
    document["HostConfig"]["Devices"] = [{"PathOnHost": "/dev/null", "PathInContainer": "/dev/null"}]
    assert read_container(json.dumps(document).encode(), "web").container.mounts == ()


@follows(Hint.MOUNT_WITH_CONTEXT)
def test_a_file_system_with_one_label_is_left_alone_for_that(stage: Stage) -> None:
    """No kernel without SELinux takes `context=`: the table of mounts says it here."""
    stage.root.mkdir()
    real = mounts()[kernel.stat_path(str(stage.root)).mount]
    foreign = replace(real, file_system="nfs4", options=real.options - {"seclabel"})
    labelled = replace(foreign, told=("rw", "context=system_u:object_r:container_file_t:s0"))
    rules = {}
    for mount in (foreign, labelled):
        with opened(str(stage.root)) as root, pytest.raises(VolumeRefusedError) as refused:
            _judge_kind(root, str(stage.root), mount)
        rules[refused.value.rule] = refused.value.hint
    assert list(rules) == ["no-labels", "fixed-label"] and "context=" in rules["no-labels"]
    assert all(is_left_alone(rule) for rule in rules)


@pytest.mark.parametrize("name", [*sorted(UNLABELLED_FILE_SYSTEMS), "fuse.sshfs"])
def test_every_file_system_that_keeps_no_labels_is_left_alone(stage: Stage, name: str) -> None:
    stage.root.mkdir()
    real = mounts()[kernel.stat_path(str(stage.root)).mount]
    foreign = replace(real, file_system=name, options=real.options - {"seclabel"})
    with opened(str(stage.root)) as root, pytest.raises(VolumeRefusedError) as refused:
        _judge_kind(root, str(stage.root), foreign)
    assert refused.value.rule == "no-labels" and name in str(refused.value)


def test_nfs_that_keeps_labels_is_not_left_alone(stage: Stage) -> None:
    stage.root.mkdir()
    real = mounts()[kernel.stat_path(str(stage.root)).mount]
    with opened(str(stage.root)) as root:
        labelled = replace(real, file_system="nfs4", options=real.options | {"seclabel"})
        _judge_kind(root, str(stage.root), labelled)


@follows(Hint.REMOUNT)
def test_a_walk_goes_on_where_it_may_write_again(stage: Stage) -> None:
    stage.root.mkdir()
    with mounted(stage.root, "-t", "tmpfs", "tmpfs"):
        identity = stage.engine.examine(str(stage.root)).identity
        remount = ["mount", "-o", "remount,ro", str(stage.root)]
        subprocess.run(remount, check=True)
        with pytest.raises(VolumeFailedError) as refused:
            stage.engine.relabel(VolumeId("v"), str(stage.root), identity, OTHER)
        assert refused.value.hint == Hint.REMOUNT.say()
        subprocess.run(["mount", "-o", "remount,rw", str(stage.root)], check=True)
        assert stage.engine.relabel(VolumeId("v"), str(stage.root), identity, OTHER).complete


@follows(Hint.GIVE_COPY)
def test_a_copy_has_no_other_name(stage: Stage) -> None:
    stage.root.mkdir()
    (stage.root / "one").write_text("x")
    (stage.root / "two").hardlink_to(stage.root / "one")
    assert hint_of(stage.engine, stage.root / "one") == Hint.GIVE_COPY.say()
    shutil.copy(stage.root / "one", stage.root / "copy")
    assert not stage.engine.examine(str(stage.root / "copy")).is_directory
    assert stage.engine.examine(str(stage.root)).is_directory


@follows(Hint.MOUNT_ITSELF, Hint.MOUNT_TARGET)
def test_a_link_that_others_can_change_is_named_for_what_it_leads_to(stage: Stage) -> None:
    stage.root.mkdir()
    theirs = stage.base / "open"
    theirs.mkdir()
    theirs.chmod(0o777)
    (theirs / "link").symlink_to(stage.root)
    (real,) = re.findall(r"mount '(.+)' itself", hint_of(stage.engine, theirs / "link"))
    assert stage.engine.examine(real).path == str(stage.root)
    (theirs / "dangling").symlink_to(stage.base / "later")
    (real,) = re.findall(r"create '(.+)', and mount that itself", hint_of(stage.engine, theirs / "dangling"))
    Path(real).mkdir()
    assert stage.engine.examine(real).path == str(stage.base / "later")


@follows(Hint.MEND_LINK)
def test_a_link_of_root_s_own_leads_on_once_there_is_something(stage: Stage) -> None:
    with tempfile.TemporaryDirectory(dir="/var/lib") as own:  # where nobody but root can change a name
        link = Path(own) / "link"
        link.symlink_to(stage.base / "later")
        assert hint_of(stage.engine, link) == Hint.MEND_LINK.say()
        (stage.base / "later").mkdir()
        assert stage.engine.examine(str(link)).path == str(stage.base / "later")


@follows(Hint.MAKE_IT)
def test_what_is_made_is_found(stage: Stage) -> None:
    assert hint_of(stage.engine, stage.root) == Hint.MAKE_IT.say()
    stage.root.mkdir()
    assert stage.engine.examine(str(stage.root)).is_directory


@follows(Hint.WITHOUT_DOTS)
def test_a_path_without_dots_is_opened(stage: Stage) -> None:
    stage.root.mkdir()
    assert hint_of(stage.engine, f"{stage.base}/x/../volume") == Hint.WITHOUT_DOTS.say()
    assert stage.engine.examine(str(stage.root)).is_directory


@follows(Hint.PUT_BACK)
def test_what_was_there_is_put_back_or_what_is_there_is_taken(stage: Stage) -> None:
    stage.root.mkdir()
    identity = stage.engine.examine(str(stage.root)).identity
    away = stage.root.rename(stage.base / "away")
    stage.root.mkdir()
    with pytest.raises(VolumeFailedError) as refused:
        stage.engine.relabel(VolumeId("v"), str(stage.root), identity, OTHER)
    assert refused.value.hint == Hint.PUT_BACK.say()
    now = stage.engine.examine(str(stage.root)).identity
    assert stage.engine.relabel(VolumeId("w"), str(stage.root), now, OTHER).complete, "made again"
    stage.root.rename(stage.base / "other")
    away.rename(stage.root)
    assert stage.engine.relabel(VolumeId("v"), str(stage.root), identity, OTHER).complete, "put back"
