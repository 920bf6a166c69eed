"""`restore(relabel(tree)) == tree`, byte for byte, over generated trees (promise 6)."""

from __future__ import annotations

import os
import random
import shutil
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mcsd.relabel.strategies import is_exclusive
from tests.host.relabel_stages import stage as stage
from tests.host.relabel_trees import (
    HAS_SELINUX,
    ID,
    OTHER,
    TARGET,
    Stage,
    carrying,
    label_of,
    labels,
    odd,
    paths,
    put_label,
)

POLICY = "system_u:object_r:var_t:s0"

pytestmark = pytest.mark.host

LABELS = [None, odd("odd"), odd("odd").rstrip(b"\0") + b"\0", odd("mine"), odd("secret")]
if not HAS_SELINUX:
    LABELS += [b"not a label at all", b"\0"]
NAMES = (
    st.binary(min_size=1, max_size=24)
    .filter(lambda name: b"/" not in name and b"\0" not in name)
    .filter(lambda name: name not in {b".", b".."})
)
NODES = st.lists(
    st.tuples(st.sampled_from("dddffffplh"), st.integers(0, 40), NAMES, st.integers(0, len(LABELS) - 1)),
    max_size=40,
)
CHANGES = st.lists(
    st.tuples(st.sampled_from(["create", "mkdir", "delete", "rename", "label"]), st.integers(), NAMES),
    max_size=20,
)
Node = tuple[str, int, bytes, int]
Alteration = tuple[str, int, bytes]
SETTINGS = settings(
    max_examples=10 if HAS_SELINUX else 40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


SOMEBODY_S = [odd("mine", "s0:c5"), OTHER.encode(), TARGET.encode() + b"\0", odd("odd", "s0:c65,c901")]
"""Labels that came with files from another container's volume, from a backup of one, or by `:Z`."""


def build(root: Path, nodes: list[Node], top: int, among: Sequence[bytes | None] = LABELS) -> None:
    """Make a tree; each node names its directory, its name and its label by number."""
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir()
    places, files = [os.fsencode(root)], []
    for kind, where, name, label in nodes:
        path = os.path.join(places[where % len(places)], name)
        if os.path.lexists(path) or len(path) > 3000:
            continue
        match kind:
            case "d":
                os.mkdir(path)
                places.append(path)
            case "f":
                Path(os.fsdecode(path)).touch()
                files.append(path)
            case "p":
                os.mkfifo(path)
            case "l":
                os.symlink(name, path)
            case "h" if files:
                os.link(files[where % len(files)], path)
        if os.path.lexists(path):
            put_label(path, among[label % len(among)])
    put_label(root, among[top % len(among)])


def by_inode(root: Path) -> dict[int, bytes | None]:
    """Take down labels by inode and time of birth, so that a new name is no new file."""
    return {os.lstat(path).st_ino: label_of(path) for path in paths(root)}


@given(
    nodes=NODES,
    top=st.integers(0, len(LABELS) - 1),
    targets=st.lists(st.sampled_from([TARGET, OTHER]), min_size=1, max_size=3),
)
@SETTINGS
def test_undo_is_exact(stage: Stage, nodes: list[Node], top: int, targets: list[str]) -> None:
    build(stage.root, nodes, top)
    before = labels(stage.root)
    for target in targets:
        stage.engine = stage.fresh()
        assert stage.relabel(target).complete
        assert carrying(stage.root, target) == set(before)
    stage.engine = stage.fresh()
    assert stage.restore().complete
    assert labels(stage.root) == before
    stage.engine.forget(ID)


@given(nodes=NODES, top=st.integers(0, 8), targets=st.lists(st.sampled_from([TARGET, OTHER]), min_size=1))
@SETTINGS
def test_no_original_with_categories_is_put_back(
    stage: Stage, nodes: list[Node], top: int, targets: list[str]
) -> None:
    """Promise 2: by then the pair may be anybody's. It gets the policy's label, all else its own."""
    stage.default_label = lambda path, mode: None if path.endswith("7") else POLICY
    build(stage.root, nodes, top, [*LABELS, *SOMEBODY_S])
    before = labels(stage.root)
    for target in targets:
        stage.engine = stage.fresh()
        assert stage.relabel(target).complete
    stage.engine = stage.fresh()
    assert stage.restore().complete
    for path, label in labels(stage.root).items():
        assert not is_exclusive(label)
        if not is_exclusive(before[path]):
            assert label == before[path]
    stage.engine.forget(ID)


def alter(root: Path, changes: list[Alteration]) -> set[int]:
    """Do what a container might: new files get their directory's label. Give their inodes."""
    new: set[int] = set()
    for what, which, name in changes:
        every = sorted(paths(root))
        path = every[which % len(every)]
        place = path if os.path.isdir(path) and not os.path.islink(path) else os.path.dirname(path)
        fresh = os.path.join(place, name)
        with suppress(OSError):
            match what:
                case "create" | "mkdir":
                    os.mkdir(fresh) if what == "mkdir" else os.close(
                        os.open(fresh, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
                    )
                    new.add(os.lstat(fresh).st_ino)
                    put_label(fresh, label_of(place))
                case "delete" if path != os.fsencode(root):
                    os.unlink(path) if not os.path.isdir(path) or os.path.islink(path) else os.rmdir(path)
                case "rename" if path != os.fsencode(root):
                    os.rename(path, fresh)
    return new


@given(nodes=NODES, top=st.integers(0, len(LABELS) - 1), changes=CHANGES)
@SETTINGS
def test_undo_is_exact_for_what_is_left_and_leaves_nothing_of_ours(
    stage: Stage, nodes: list[Node], top: int, changes: list[Alteration]
) -> None:
    build(stage.root, nodes, top)
    before = by_inode(stage.root)
    stage.relabel()
    new = alter(stage.root, changes)
    assert stage.restore().complete
    after = by_inode(stage.root)
    for inode, label in after.items():
        if inode not in new:
            assert label == before[inode]
    assert not carrying(stage.root, TARGET)
    stage.engine.forget(ID)


@given(nodes=NODES, top=st.integers(0, len(LABELS) - 1), seed=st.integers(0, 1 << 16))
@settings(SETTINGS, max_examples=5 if HAS_SELINUX else 15)
def test_undo_is_exact_while_others_create_delete_and_rename(
    stage: Stage, nodes: list[Node], top: int, seed: int
) -> None:
    """What is there before and after has what it had; nothing of what is born in between is ours."""
    build(stage.root, nodes, top)
    before = by_inode(stage.root)
    new: set[int] = set()
    stop = threading.Event()
    dice = random.Random(seed)

    def disturb() -> None:
        while not stop.is_set():
            what = dice.choice(["create", "mkdir", "delete", "rename"])
            name = b"n%d" % dice.randrange(50)
            with suppress(FileNotFoundError):
                new.update(alter(stage.root, [(what, dice.randrange(100), name)]))

    thread = threading.Thread(target=disturb)
    thread.start()
    try:
        stage.relabel()
        stage.restore()
        stage.relabel()
    finally:
        stop.set()
        thread.join()
    assert stage.relabel().complete
    assert stage.restore().complete
    for inode, label in by_inode(stage.root).items():
        if inode not in new:
            assert label == before[inode]
    assert not carrying(stage.root, TARGET)
    stage.engine.forget(ID)
