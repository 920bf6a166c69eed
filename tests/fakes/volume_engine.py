"""Volumes in memory: `mcsd.ports.VolumeEngine` without a file system.

A tree is a path with an identity and one label for all of it; what was there before the first write is its
original. Walks can be held, fail, or be refused on demand.
"""

from __future__ import annotations

import itertools
import threading
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from mcsd.core.blocked import Blocked
from mcsd.core.exposure import Shown, Survey
from mcsd.core.labels import read_label
from mcsd.core.volumes import Identity, VolumeId
from mcsd.core.walks import Progress, Root, SkipReason, StoredVolume, Walk
from mcsd.errors import McsdError, VolumeFailedError, VolumeRefusedError


def lies_below(path: str, root: str) -> bool:
    """Tell whether a path is a root or in it."""
    return PurePosixPath(path).is_relative_to(root)


BORN = "system_u:object_r:var_t:s0"


@dataclass
class Tree:
    """One directory of the fake host."""

    path: str
    identity: Identity
    label: str = BORN
    inodes: int = 3
    error: McsdError | None = None
    """What opening it raises."""
    below: str | None = None
    """What everything but the root carries, where that is not the root's label."""
    writable: bool = True
    partial: bool = False
    """Whether a walk over it finds something that it cannot label."""
    left_out: tuple[tuple[str, str], ...] = ()
    """What a walk over it leaves alone by rule: why, and the path below it."""


class FakeVolumes:
    """Trees by path, and originals by volume. Thread-safe like the real one."""

    walks_in = "memory"

    def __init__(self) -> None:
        self.trees: dict[str, Tree] = {}
        self.originals: dict[VolumeId, StoredVolume] = {}
        self.before: dict[VolumeId, str] = {}
        self.walked: list[tuple[str, str, str]] = []
        """Walks done: what, path, label."""
        self.shown: dict[str, tuple[Shown, ...]] = {}
        """What a path shows of the host."""
        self.links: dict[str, str] = {}
        """Root's own symbolic links."""
        self.amended: list[str] = []
        """Files that were amended one by one."""
        self.outside: dict[str, str] = {}
        """What lies outside of every tree, with its label."""
        self.gate = threading.Event()
        """Walks wait for this; set unless a test clears it."""
        self.gate.set()
        self._inodes = itertools.count(2)
        self._lock = threading.Lock()

    def make(self, path: str, *, label: str = BORN) -> Tree:
        """Make a tree, or replace it by one with another identity."""
        tree = Tree(path, Identity(1, next(self._inodes)), label)
        self.trees[path] = tree
        return tree

    def renumber(self) -> None:
        """Return every device another number, as a reboot may."""
        for tree in self.trees.values():
            tree.identity = Identity(tree.identity.device + 1, tree.identity.inode)

    # The port

    def examine(self, path: str, *, allowed: Collection[str] = (), storage: Collection[str] = ()) -> Root:
        """See `mcsd.ports.VolumeEngine`."""
        real = self._resolved(path)
        if path not in allowed and any(lies_below(real, self._resolved(place)) for place in storage):
            raise VolumeRefusedError(f"volume {path!r} is an engine's storage", rule="engine-storage")
        tree = self._open(real)
        return Root(real, tree.identity, True, tree.label, "ext4", 1, tree.writable)

    def survey(self, path: str, *, within: Sequence[str] = (), storage: Collection[str] = ()) -> Survey:
        """See `mcsd.ports.VolumeEngine`."""
        real = self._resolved(path)
        around = [one for one in within if lies_below(real, self._resolved(one))]
        around.sort(key=lambda one: -len(PurePosixPath(self._resolved(one)).parts))
        tree = self.trees.get(real)
        label = tree.label if tree else None
        return Survey(real, tuple(around), self.shown.get(real, ()), label, 0o040755)

    def _resolved(self, path: str) -> str:
        """Follow the links of this host; the real one follows them by itself."""
        for link, real in self.links.items():
            if lies_below(path, link):
                return str(PurePosixPath(real) / PurePosixPath(path).relative_to(link))
        return path

    def within(self, top: str, paths: Collection[str]) -> frozenset[str]:
        """See `mcsd.ports.VolumeEngine`."""
        return frozenset(one for one in paths if lies_below(self._resolved(one), self._resolved(top)))

    def identify(self, volume: VolumeId, path: str, identity: Identity) -> Identity:
        """See `mcsd.ports.VolumeEngine`."""
        try:
            return self._same(path, identity).identity
        except McsdError:
            return identity

    def relabel(
        self,
        volume: VolumeId,
        path: str,
        identity: Identity,
        target: str,
        *,
        progress: Callable[[Progress], None] | None = None,
        cancelled: threading.Event | None = None,
    ) -> Walk:
        """See `mcsd.ports.VolumeEngine`."""
        tree = self._same(path, identity)
        stored = StoredVolume(volume, path, identity, 1.0, read_label(target), "labelling")
        with self._lock:
            self.before.setdefault(volume, tree.label)
            self.originals[volume] = stored
        if self._is_held(cancelled):
            return Walk(seen=1, cancelled=True)
        self.walked.append(("relabel", path, target))
        if tree.partial:
            return Walk(seen=tree.inodes, changed=1, skipped={SkipReason.SWAPPED: 1})
        changed = 0 if tree.label == target else tree.inodes
        tree.label = target
        if tree.below not in {None, target}:
            changed, tree.below = tree.inodes, target
        self.originals[volume] = replace(stored, state="complete", count=tree.inodes)
        missed = tuple((SkipReason(why), path) for why, path in tree.left_out)
        return Walk(
            seen=tree.inodes,
            changed=changed,
            already=tree.inodes - changed,
            skipped=Counter(why for why, _ in missed),
            examples=missed,
            complete=True,
        )

    def restore(
        self,
        volume: VolumeId,
        path: str,
        identity: Identity,
        target: str,
        *,
        was_complete: bool,
        progress: Callable[[Progress], None] | None = None,
        cancelled: threading.Event | None = None,
    ) -> Walk:
        """See `mcsd.ports.VolumeEngine`."""
        if volume not in self.before:
            return self._without_originals(path, identity, target, was_complete)
        tree = self._same(path, identity)
        if self._is_held(cancelled):
            return Walk(seen=1, cancelled=True)
        self.walked.append(("restore", path, self.before[volume]))
        tree.label, tree.below = self.before[volume], None
        self.originals[volume] = replace(self.originals[volume], state="restored")
        return Walk(seen=tree.inodes, changed=tree.inodes, complete=True)

    def _without_originals(self, path: str, identity: Identity, target: str, was_complete: bool) -> Walk:
        try:
            carries = target in {(tree := self._same(path, identity)).label, tree.below}
        except McsdError:
            carries = was_complete
        if carries:
            raise VolumeFailedError(f"the originals of volume {path!r} are lost")
        return Walk(complete=True)

    def verify(
        self,
        volume: VolumeId,
        path: str,
        identity: Identity,
        target: str,
        *,
        progress: Callable[[Progress], None] | None = None,
        cancelled: threading.Event | None = None,
    ) -> Walk:
        """See `mcsd.ports.VolumeEngine`."""
        tree = self._same(path, identity)
        if self._is_held(cancelled):
            return Walk(seen=1, cancelled=True)
        if {tree.label, tree.below or target} == {target}:
            return Walk(seen=tree.inodes, already=tree.inodes, complete=True)
        return Walk(seen=tree.inodes, skipped={SkipReason.DIFFERS: tree.inodes})

    def amend(
        self,
        volume: VolumeId,
        path: str,
        identity: Identity,
        target: str,
        names: Collection[str],
        *,
        cancelled: threading.Event | None = None,
    ) -> Walk:
        """See `mcsd.ports.VolumeEngine`; a tree is amended as a whole."""
        tree = self._same(path, identity)
        if self._is_held(cancelled):
            return Walk(cancelled=True)
        self.walked.append(("amend", path, target))
        self.amended += [f"{path}/{name}" for name in names]
        tree.label, tree.below = target, None
        return Walk(seen=len(names), changed=len(names), complete=True)

    def give_back(
        self, volume: VolumeId, path: str, identity: Identity, *, cancelled: threading.Event | None = None
    ) -> Walk:
        """See `mcsd.ports.VolumeEngine`."""
        found = self.outside.get(path)
        if found is None:
            raise VolumeFailedError(f"{path!r} is no longer what was moved there")
        self.walked.append(("give back", path, self.before.get(volume, BORN)))
        self.outside[path] = self.before.get(volume, BORN)
        return Walk(seen=1, changed=1, complete=True)

    def forget(self, volume: VolumeId) -> None:
        """See `mcsd.ports.VolumeEngine`."""
        with self._lock:
            self.originals.pop(volume, None)
            self.before.pop(volume, None)

    def volumes(self) -> tuple[StoredVolume, ...]:
        """List the volumes that have originals."""
        return tuple(self.originals.values())

    def blocked(self) -> tuple[Blocked, ...]:
        """See `mcsd.app.wiring.LabelStore`."""
        return ()

    def stored_bytes(self) -> int:
        """Return the bytes of the originals: so many for each volume."""
        return 100 * len(self.originals)

    def _is_held(self, cancelled: threading.Event | None) -> bool:
        while not self.gate.wait(0.005):
            if cancelled is not None and cancelled.is_set():
                return True
        return cancelled is not None and cancelled.is_set()

    def _open(self, path: str) -> Tree:
        tree = self.trees.get(path)
        if tree is None:
            raise VolumeFailedError(f"volume {path!r} does not exist", hint="make it")
        if tree.error is not None:
            raise tree.error
        return tree

    def _same(self, path: str, identity: Identity) -> Tree:
        tree = self._open(path)
        if tree.identity.inode != identity.inode:  # which no two trees have: it stands for the handle as well
            raise VolumeFailedError(f"volume {path!r} is no longer the one it was")
        return tree
