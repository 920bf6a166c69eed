"""Files in memory, each with a label of its own, and the label engine, scan and watch over the same ones.

`tests.fakes.volume_engine` has one label for each tree, which is enough for what mcsd decides. Here a file
can be moved, copied, restored from a backup or relabelled by others, so this engine follows the rules of
`mcsd.relabel.strategies`: what is recorded as an original, what counts as mcsd's own label, what is restored,
and what is left alone.
"""

from __future__ import annotations

import itertools
import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath

from mcsd.core.blocked import Blocked
from mcsd.core.exposure import Survey
from mcsd.core.labels import read_label
from mcsd.core.volumes import Identity, VolumeId
from mcsd.core.walks import Progress, Root, SkipReason, StoredVolume, Walk
from mcsd.errors import McsdError, VolumeFailedError
from mcsd.relabel.strategies import is_exclusive
from tests.fakes.files import FakeFiles

BORN = "system_u:object_r:var_t:s0"
"""What the policy has for every path of this host."""


@dataclass(eq=False)
class Inode:
    """Something on the disk; `born` rises with each that is made."""

    identity: Identity
    label: str
    is_directory: bool
    born: int = 0


class FakeDisk:
    """Files by path on one device, and on others where something is mounted. Any thread may use it."""

    def __init__(self) -> None:
        self.inodes: dict[str, Inode] = {}
        self.mounts: dict[str, dict[str, Inode]] = {}
        """What each mount hides, by where it is."""
        self.lock = threading.RLock()
        self._numbers = itertools.count(2)
        self._devices = itertools.count(1000)

    def number(self) -> int:
        """Return a number that rises with everything that is made."""
        return next(self._numbers)

    def make(self, path: str, label: str | None, *, directory: bool) -> Inode:
        """Make something; without a label it carries that of the directory above."""
        with self.lock:
            above = self.inodes.get(str(PurePosixPath(path).parent))
            chosen = label if label is not None else above.label if above else ""
            number = self.number()
            device = above.identity.device if above else 1
            inode = self.inodes[path] = Inode(Identity(device, number), chosen, directory, number)
            return inode

    def below(self, path: str) -> list[str]:
        """The path itself and what is below it, top first."""
        with self.lock:
            return sorted(one for one in self.inodes if PurePosixPath(one).is_relative_to(path))

    def on_its_own(self, path: str) -> list[str]:
        """As `below`, without what is mounted inside."""
        with self.lock:
            device = self.inodes[path].identity.device
            return [one for one in self.below(path) if self.inodes[one].identity.device == device]

    def move(self, path: str, to: str) -> None:
        """Rename."""
        with self.lock:
            for one in self.below(path):
                self.inodes[to + one.removeprefix(path)] = self.inodes.pop(one)

    def remove(self, path: str) -> None:
        """Remove something and what is below it."""
        with self.lock:
            for one in self.below(path):
                del self.inodes[one]

    def mount(self, path: str) -> None:
        """Mount an empty file system on a directory."""
        with self.lock:
            self.mounts[path] = {one: self.inodes.pop(one) for one in self.below(path)}
            number = self.number()
            self.inodes[path] = Inode(Identity(next(self._devices), number), BORN, True, number)

    def unmount(self, path: str) -> None:
        """Take a mount away, and what was on it."""
        with self.lock:
            self.remove(path)
            self.inodes.update(self.mounts.pop(path))

    def renumber(self) -> None:
        """Return every device another number, as a reboot may."""
        with self.lock:
            for inodes in (self.inodes, *self.mounts.values()):
                for inode in inodes.values():
                    inode.identity = Identity(inode.identity.device + 1, inode.identity.inode)


class DiskFiles(FakeFiles):
    """The same files, to be scanned."""

    def __init__(self, disk: FakeDisk) -> None:
        super().__init__()
        self._disk = disk
        del self.labels, self.mounted

    def __getattr__(self, name: str) -> object:
        if name == "labels":
            with self._disk.lock:
                return {path: inode.label for path, inode in self._disk.inodes.items()}
        if name == "mounted":
            with self._disk.lock:
                return ("/", *sorted(self._disk.mounts))
        raise AttributeError(name)


@dataclass
class Originals:
    """One volume's file of originals: labels by inode, and the targets that were ever written."""

    stored: StoredVolume
    created: int
    before: dict[int, str] = field(default_factory=dict)
    ours: set[str] = field(default_factory=set)
    swept: bool = False


class DiskVolumes:
    """`mcsd.ports.VolumeEngine` over a `FakeDisk`. Thread-safe; hands may act in the middle of a walk."""

    walks_in = "memory"

    def __init__(self, disk: FakeDisk) -> None:
        self.disk = disk
        self.kept: dict[VolumeId, Originals] = {}
        self.errors: dict[str, McsdError] = {}
        """What opening a path raises."""
        self.gate = threading.Event()
        self.gate.set()

    @property
    def originals(self) -> dict[VolumeId, StoredVolume]:
        """What is stored, by volume."""
        return {key: one.stored for key, one in self.kept.items()}

    def make(self, path: str) -> None:
        """Make a directory with a few files, and those above it that are not there."""
        with self.disk.lock:
            for above in (*reversed(PurePosixPath(path).parents), PurePosixPath(path)):
                if str(above) not in self.disk.inodes:
                    self.disk.make(str(above), BORN, directory=True)
            for name in ("f", "g"):
                self.disk.make(f"{path}/{name}", BORN, directory=False)
            self.disk.make(f"{path}/sub", BORN, directory=True)
            self.disk.make(f"{path}/sub/h", BORN, directory=False)

    # The port

    def examine(self, path: str, *, allowed: Collection[str] = (), storage: Collection[str] = ()) -> Root:
        """See `mcsd.ports.VolumeEngine`."""
        inode = self._open(path)
        return Root(path, inode.identity, inode.is_directory, inode.label, "ext4", 1, True)

    def within(self, top: str, paths: Collection[str]) -> frozenset[str]:
        """See `mcsd.ports.VolumeEngine`."""
        return frozenset(one for one in paths if PurePosixPath(one).is_relative_to(top))

    def survey(self, path: str, *, within: Sequence[str] = (), storage: Collection[str] = ()) -> Survey:
        """See `mcsd.ports.VolumeEngine`."""
        around = sorted((one for one in within if PurePosixPath(path).is_relative_to(one)), key=len)
        inode = self.disk.inodes.get(path)
        return Survey(path, tuple(reversed(around)), (), inode.label if inode else None, 0o040755)

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
        root = self._same(path, identity)
        kept = self._begin(volume, path, root, target)
        changed = seen = 0
        left: Counter[SkipReason] = Counter()
        for one in reversed(self.disk.below(path)):  # the root last
            if self._is_held(cancelled):
                return Walk(seen=seen, changed=changed, cancelled=True)
            seen += 1
            if self._is_mounted(one, root):
                left[SkipReason.MOUNT_POINT] += one in self.disk.mounts
            else:
                changed += self._label(one, target, kept)
        kept.swept = True
        kept.stored = replace(kept.stored, state="complete", count=seen)
        return Walk(seen=seen, changed=changed, skipped=left, complete=True)

    def _begin(self, volume: VolumeId, path: str, root: Inode, target: str) -> Originals:
        stored = StoredVolume(volume, path, root.identity, 1.0, read_label(target), "labelling")
        with self.disk.lock:
            kept = self.kept.setdefault(volume, Originals(stored, self.disk.number()))
            kept.stored = replace(kept.stored, target=read_label(target), state="labelling")
            kept.ours.add(target)
            return kept

    def _label(self, path: str, target: str, kept: Originals) -> bool:
        with self.disk.lock:
            inode = self.disk.inodes.get(path)
            if inode is None:
                return False
            number, had = inode.identity.inode, inode.label
            known = kept.before.get(number)
            if had in kept.ours or had.split(":", 3)[:3] == target.split(":", 3)[:3]:
                if known is None and not (kept.swept or inode.born >= kept.created):
                    kept.before[number] = had
            elif known != had:
                kept.before[number] = had
            inode.label = target
            return had != target

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
        kept = self.kept.get(volume)
        if kept is None:
            return self._without_originals(path, identity, target, was_complete)
        try:
            root = self._same(path, identity)
        except VolumeFailedError:
            found = self._by_handle(identity)
            if found is None:
                return Walk(complete=True, gone=True)
            path = found
            root = self.disk.inodes[path]
        changed = seen = 0
        for one, _ in self._walked(path, root):
            if self._is_held(cancelled):
                return Walk(seen=seen, changed=changed, cancelled=True)
            seen += 1
            changed += self._give_back(one, kept)
        kept.stored = replace(kept.stored, state="restored")
        return Walk(seen=seen, changed=changed, complete=True)

    def _by_handle(self, identity: Identity) -> str | None:
        with self.disk.lock:
            hidden = [inode for inodes in self.disk.mounts.values() for inode in inodes.values()]
            if any(inode.identity.inode == identity.inode for inode in hidden):
                raise VolumeFailedError("something is mounted over it", hint="unmount that")
            found = (p for p, one in self.disk.inodes.items() if one.identity.inode == identity.inode)
            return next(found, None)

    def _give_back(self, path: str, kept: Originals) -> bool:
        with self.disk.lock:
            inode = self.disk.inodes.get(path)
            if inode is None or inode.label not in kept.ours:
                return False
            original = kept.before.get(inode.identity.inode, BORN)
            had, inode.label = inode.label, BORN if is_exclusive(original.encode()) else original
            return had != inode.label

    def _without_originals(self, path: str, identity: Identity, target: str, was_complete: bool) -> Walk:
        try:
            root = self._same(path, identity)
        except McsdError:
            carries = was_complete
        else:
            carries = any(
                (inode.label == target and was_complete) or self._is_like(inode.label, target)
                for _, inode in self._walked(path, root)
            )
        if carries:
            raise VolumeFailedError(f"the originals of volume {path!r} are lost")
        return Walk(complete=True)

    @staticmethod
    def _is_like(label: str, target: str) -> bool:
        return is_exclusive(label.encode()) and label.split(":", 3)[:3] == target.split(":", 3)[:3]

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
        root = self._same(path, identity)
        wrong: list[str] = []
        seen = 0
        for one, inode in self._walked(path, root):
            if self._is_held(cancelled):
                return Walk(seen=seen, cancelled=True)
            seen += 1
            if inode.label != target:
                wrong.append(str(PurePosixPath(one).relative_to(path)))
        skipped = {SkipReason.DIFFERS: len(wrong)} if wrong else {}
        examples = tuple((SkipReason.DIFFERS, one) for one in wrong[:8])
        return Walk(seen=seen, skipped=skipped, examples=examples, complete=not wrong)

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
        """See `mcsd.ports.VolumeEngine`."""
        root = self._same(path, identity)
        kept = self.kept.get(volume)
        if kept is None:
            raise VolumeFailedError(f"volume {path!r} has no originals: nothing in it was labelled yet")
        changed = seen = 0
        for name in names:
            for one, _ in self._walked(str(PurePosixPath(path, name)), root):
                seen += 1
                changed += self._label(one, target, kept)
        return Walk(seen=seen, changed=changed, complete=True)

    def give_back(
        self, volume: VolumeId, path: str, identity: Identity, *, cancelled: threading.Event | None = None
    ) -> Walk:
        """See `mcsd.ports.VolumeEngine`."""
        kept = self.kept.get(volume)
        if kept is None:
            raise VolumeFailedError(f"{path!r} was moved out of a volume that has no originals any more")
        found = self.disk.inodes.get(path)
        if found is None or found.identity.inode != identity.inode:
            raise VolumeFailedError(f"{path!r} is no longer what was moved there")
        changed = sum(self._give_back(one, kept) for one, _ in self._walked(path, found))
        return Walk(seen=changed, changed=changed, complete=True)

    def forget(self, volume: VolumeId) -> None:
        """See `mcsd.ports.VolumeEngine`."""
        self.kept.pop(volume, None)

    def volumes(self) -> tuple[StoredVolume, ...]:
        """List the volumes that have originals."""
        return tuple(self.originals.values())

    def blocked(self) -> tuple[Blocked, ...]:
        """See `mcsd.app.wiring.LabelStore`."""
        return ()

    def stored_bytes(self) -> int:
        """Return the bytes of the originals: so many for each volume."""
        return 100 * len(self.kept)

    def _walked(self, path: str, root: Inode) -> Iterator[tuple[str, Inode]]:
        for one in self.disk.below(path):
            inode = self.disk.inodes.get(one)
            if inode is not None and not self._is_mounted(one, root):
                yield one, inode

    def _is_mounted(self, path: str, root: Inode) -> bool:
        inode = self.disk.inodes.get(path)
        return inode is not None and inode.identity.device != root.identity.device

    def _is_held(self, cancelled: threading.Event | None) -> bool:
        while not self.gate.wait(0.005):
            if cancelled is not None and cancelled.is_set():
                return True
        return cancelled is not None and cancelled.is_set()

    def _open(self, path: str) -> Inode:
        around = next((one for one in self.errors if PurePosixPath(path).is_relative_to(one)), None)
        if around is not None:
            raise self.errors[around]
        inode = self.disk.inodes.get(path)
        if inode is None:
            raise VolumeFailedError(f"volume {path!r} does not exist", hint="make it")
        return inode

    def _same(self, path: str, identity: Identity) -> Inode:
        inode = self._open(path)
        if inode.identity.inode != identity.inode:  # which no two have: it stands for the handle as well
            raise VolumeFailedError(f"volume {path!r} is no longer the one it was")
        return inode
