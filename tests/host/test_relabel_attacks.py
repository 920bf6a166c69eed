"""Races against somebody who owns the tree: whatever they do, nothing outside is labelled (promise 5).

Each attack runs in threads beside a bounded number of walks. When it has stopped, the volume can be
labelled, and then be given back whole.
"""

from __future__ import annotations

import ctypes
import itertools
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from mcsd.errors import McsdError
from tests.host.relabel_stages import stage as stage
from tests.host.relabel_trees import HAS_SELINUX, ID, OTHER, TARGET, Stage, carrying, grow, labels

pytestmark = pytest.mark.host

ROUNDS = 2 if HAS_SELINUX else 6  # there the processor is emulated
AT_FDCWD, RENAME_EXCHANGE = -100, 2
LIBC = ctypes.CDLL(None, use_errno=True)


def exchange(one: Path, other: Path) -> None:
    """Swap two names in one step."""
    if LIBC.renameat2(AT_FDCWD, bytes(one), AT_FDCWD, bytes(other), RENAME_EXCHANGE) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), str(one))


@contextmanager
def attacked(*attacks: Callable[[], None]) -> Iterator[None]:
    """Repeat each attack in a thread of its own for the time of the block."""
    stop = threading.Event()

    def repeat(attack: Callable[[], None]) -> None:
        while not stop.is_set():
            with suppress(FileNotFoundError, FileExistsError, NotADirectoryError):
                attack()

    before = sys.getswitchinterval()
    sys.setswitchinterval(0.0002)
    threads = [threading.Thread(target=repeat, args=(attack,)) for attack in attacks]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()
        sys.setswitchinterval(before)


def walk_under(stage: Stage, *attacks: Callable[[], None]) -> None:
    """Label and give back, again and again, while the attacks run."""
    with attacked(*attacks):
        for target in itertools.islice(itertools.cycle([TARGET, OTHER]), ROUNDS):
            for work in (lambda target=target: stage.relabel(target), stage.restore):
                with suppress(McsdError):
                    work()


def grow_two(stage: Stage) -> Path:
    """Make the volume, and beside it a tree that nobody may touch."""
    grow(stage.root, directories=20)
    outside = stage.base / "outside"
    grow(outside, directories=10)
    return outside


def ends_well(stage: Stage) -> None:
    """After the attack: complete, verified, and nothing of ours left after undo."""
    assert stage.relabel().complete
    assert stage.verify().complete
    assert stage.restore().complete
    assert not carrying(stage.root, TARGET)
    assert not carrying(stage.root, OTHER)


def test_directories_swapped_for_links(stage: Stage) -> None:
    """CVE-2021-30465, CVE-2021-25741."""
    outside = grow_two(stage)
    before = labels(outside)
    bait = stage.base / "bait"
    bait.symlink_to(outside)
    inner = stage.base / "inner"
    inner.symlink_to(outside / "d1")
    walk_under(
        stage,
        lambda: exchange(stage.root / "d7", bait),
        lambda: exchange(stage.root / "d9/sub", inner),
    )
    for name, link in ((stage.root / "d7", bait), (stage.root / "d9/sub", inner)):
        if name.is_symlink():
            exchange(name, link)
    assert labels(outside) == before
    ends_well(stage)


def test_files_swapped_for_links(stage: Stage) -> None:
    outside = grow_two(stage)
    before = labels(outside)
    bait = stage.base / "bait"
    bait.symlink_to(outside / "d1/f1")
    walk_under(stage, lambda: exchange(stage.root / "d7/f3", bait))
    if (stage.root / "d7/f3").is_symlink():
        exchange(stage.root / "d7/f3", bait)
    assert labels(outside) == before
    ends_well(stage)


def test_hard_links_to_a_victim_that_come_and_go(stage: Stage) -> None:
    """The link count alone proves nothing while names come and go."""
    outside = grow_two(stage)
    before = labels(outside)
    names = itertools.cycle(stage.root / f"d{one}/f{two}" for one in range(20) for two in range(12))
    victim = outside / "d1/f1"

    def link_and_unlink() -> None:
        name = next(names)
        name.unlink(missing_ok=True)
        os.link(victim, name)
        name.unlink()

    walk_under(stage, link_and_unlink)
    assert labels(outside) == before
    ends_well(stage)


def test_a_victim_whose_only_name_moves_in_and_out(stage: Stage) -> None:
    """The same with renames: the victim is in the tree for a moment, with a name outside before and after."""
    outside = grow_two(stage)
    before = labels(outside)
    names = itertools.cycle(stage.root / f"d{one}/victim" for one in range(20))
    victim, spare = outside / "d1/f1", outside / "d1/spare"

    def in_and_out() -> None:
        name = next(names)
        os.link(victim, spare)
        spare.rename(name)
        name.unlink()

    walk_under(stage, in_and_out)
    spare.unlink(missing_ok=True)
    assert labels(outside) == before
    ends_well(stage)


def test_directories_renamed_across_the_root(stage: Stage) -> None:
    """A walk that is inside a directory when it leaves the volume does not label what is out there."""
    outside = grow_two(stage)
    before = labels(outside)
    away = stage.base / "away"

    def out_and_in() -> None:
        (stage.root / "d7").rename(away)
        away.rename(stage.root / "d7")

    def deeper() -> None:
        (stage.root / "d8/sub").rename(stage.root / "d9/other")
        (stage.root / "d9/other").rename(stage.root / "d8/sub")

    walk_under(stage, out_and_in, deeper)
    if away.exists():
        away.rename(stage.root / "d7")
    assert labels(outside) == before
    ends_well(stage)


def test_mounts_that_appear_below_the_root(stage: Stage) -> None:
    """A bind mount of the same file system has the same device number."""
    outside = grow_two(stage)
    before = labels(outside)
    point = stage.root / "d7"

    def mount_and_unmount() -> None:
        subprocess.run(["mount", "--bind", outside, point], check=True)
        subprocess.run(["umount", "-l", point], check=True)

    walk_under(stage, mount_and_unmount)
    assert labels(outside) == before
    ends_well(stage)


def test_the_root_itself_is_swapped(stage: Stage) -> None:
    """What was opened is judged by what it is, not by its name."""
    outside = grow_two(stage)
    before = labels(outside)
    identity = stage.identity
    with attacked(lambda: exchange(stage.root, outside)):
        for _ in range(4 * ROUNDS):
            with suppress(McsdError):
                stage.engine.relabel(ID, str(stage.root), identity, TARGET)
            with suppress(McsdError):
                stage.restore_as(identity)
    if stage.identity != identity:
        exchange(stage.root, outside)
    assert labels(outside) == before
    ends_well(stage)


def test_names_that_change_all_the_time(stage: Stage) -> None:
    """Nothing is lost and nothing hangs in a tree that is rewritten while it is walked."""
    outside = grow_two(stage)
    before = labels(outside)
    numbers = itertools.count()

    def churn() -> None:
        number = next(numbers)
        place = stage.root / f"d{number % 20}"
        (place / f"new{number % 500}").touch()
        (place / f"f{number % 12}").rename(place / f"g{number % 12}")
        (place / f"g{number % 12}").rename(place / f"f{number % 12}")
        (place / f"new{(number + 250) % 500}").unlink(missing_ok=True)

    walk_under(stage, churn)
    assert labels(outside) == before
    ends_well(stage)
