"""What is opened is judged by what it is: on this machine's own protected places, under other names too."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest

from mcsd.core.protected import PLACES, Lift, Reach
from mcsd.core.volumes import Identity, VolumeId
from mcsd.errors import VolumeFailedError, VolumeRefusedError
from mcsd.relabel import Engine, Progress, Walk
from mcsd.relabel.passing import Effort
from tests.host.relabel_stages import stage as stage
from tests.host.relabel_trees import HOME, OTHER, Stage, grow, mounted, put_label

pytestmark = pytest.mark.host

HERE = [(rule, path) for rule in PLACES for path in rule.paths if os.path.isdir(path)]


def refusal(engine: Engine, path: str | Path, *allowed: str) -> str:
    """Give the rule that refuses a volume, "" for none."""
    try:
        engine.examine(str(path), allowed=allowed)
    except VolumeRefusedError as refused:
        assert refused.hint
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
