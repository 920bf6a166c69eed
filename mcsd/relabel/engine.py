"""The relabel engine: opens a volume, judges it, writes labels and takes them back.

Every method is blocking and may be called from any thread; two walks of one volume wait for each other.
What a walk does, and in which order, is in `mcsd.relabel.walk`.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from mcsd.core.protected import ProtectionRules
from mcsd.core.volumes import Identity, VolumeId
from mcsd.errors import VolumeFailedError, VolumeRefusedError
from mcsd.relabel import kernel
from mcsd.relabel.examining import examined, label_of, require_writable
from mcsd.relabel.handles import GoneError, handle_of, open_again
from mcsd.relabel.index import Intervals
from mcsd.relabel.native import is_usable, native_loop, new_index
from mcsd.relabel.opening import Opened, opened
from mcsd.relabel.originals import SUFFIX, Originals, Store, bare
from mcsd.relabel.passing import Effort, Gate
from mcsd.relabel.places import Atlases
from mcsd.relabel.sweep import python_loop
from mcsd.relabel.tally import Tally
from mcsd.relabel.treatments import Relabelling, Restoring, Verifying, is_exclusive
from mcsd.relabel.values import Cancellation, Progress, Root, StoredVolume, Walk
from mcsd.relabel.walk import Means, VolumeWalk

DefaultLabel = Callable[[str, int], str | None]
Report = Callable[[Progress], None]
_LARGE_AT_ONCE = 2
"""Large walks that write at a time; more would only make the disk seek."""


class Engine:
    """See the module. `store` is made if it is not there; `default_label` asks the host's policy.

    `native` False walks in plain Python even where the extension is there.
    """

    def __init__(
        self,
        *,
        store: Path,
        rules: ProtectionRules,
        default_label: DefaultLabel,
        effort: Effort | None = None,
        native: bool = True,
    ) -> None:
        is_native = native and is_usable()
        self._store = Store(str(store), new_index if is_native else Intervals)
        self._rules = rules
        self._atlases = Atlases()
        self._default_label = default_label
        self._means = Means(
            native_loop if is_native else python_loop,
            Effort.of_this_host() if effort is None else effort,
            Gate(_LARGE_AT_ONCE),
        )
        self._guard = threading.Lock()
        self._locks: dict[VolumeId, threading.Lock] = {}
        store.mkdir(mode=0o700, parents=True, exist_ok=True)

    # -- looking

    def examine(self, path: str, *, allowed: Collection[str] = ()) -> Root:
        """Open a volume's root and judge what was opened.

        `allowed` are paths that an explicit rule names; each admits itself and everything below it, as far
        as the rule that is met can be lifted. Raises `VolumeRefusedError` and `VolumeFailedError`.
        """
        return examined(path, self._rules, allowed, self._atlases)

    def identify(self, volume: VolumeId, path: str, identity: Identity) -> Identity:
        """Give the identity of what is at `path` if it is that volume, under whatever number its device has
        now; the one that was given if it is not, or cannot be opened.

        Numbers of devices change when the host starts anew (btrfs subvolumes, loop devices, disks found in
        another order). A root of the same inode number and the same file handle is the same inode.
        """
        try:
            with self._root(path, identity, volume) as root:
                return root.identity
        except (VolumeFailedError, VolumeRefusedError):
            return identity

    # -- walking

    def relabel(
        self,
        volume: VolumeId,
        path: str,
        identity: Identity,
        target: str,
        *,
        progress: Report | None = None,
        cancelled: Cancellation | None = None,
        known: bool = False,
        links_consented: bool = False,
    ) -> Walk:
        """Write `target`, a canonical context, on everything in scope: originals first, the root last.

        With `known` the caller says that its ledger has the volume as complete at this target; when the
        originals' file says so too and the root carries the target, nothing else is looked at.
        """
        wanted = os.fsencode(target).rstrip(b"\0") + b"\0"
        with self._alone(volume), self._root(path, identity, volume) as root:
            is_known = known and self._store.says(volume, "complete", target)
            if is_known and bare(label_of(root, path)) == bare(wanted):
                return Walk(seen=1, already=1, complete=True, level="known")
            originals = self._store.open(volume) or self._store.create(
                volume, root.path, identity, handle_of(root.descriptor)
            )
            try:
                tally = Tally(progress, cancelled, originals.volume.count)
                require_writable(root, path)
                walk = VolumeWalk(
                    root,
                    Relabelling(originals, wanted),
                    tally,
                    self._means,
                    originals,
                    links_consented=links_consented,
                )
                complete = walk.relabel(target)
                if complete and (originals.volume.state, originals.volume.target) != ("complete", target):
                    walk.begin()
                    originals.finish("complete", target, tally.seen)
                return tally.walk(complete=complete)
            finally:
                originals.close()

    def restore(
        self,
        volume: VolumeId,
        path: str,
        identity: Identity,
        *,
        progress: Report | None = None,
        cancelled: Cancellation | None = None,
    ) -> Walk:
        """Put the originals back, the root first, where the present label is one that mcsd wrote.

        A volume without originals was never written to: there is nothing to do. One that was renamed is
        found by its handle; one that was removed is `gone`. Can be broken off and called again; `forget`
        drops the originals after a complete one.
        """
        with self._alone(volume):
            originals = self._store.open(volume)
            if originals is None:
                return Walk(complete=True, level="known")
            try:
                with self._root_of(originals, path, identity) as root:
                    tally = Tally(progress, cancelled, originals.volume.count)
                    require_writable(root, path)
                    originals.disbelieve(is_exclusive)
                    restoring = Restoring(originals, self._default_label)
                    walk = VolumeWalk(root, restoring, tally, self._means, originals)
                    complete = walk.restore()
                    if complete:
                        self._make_lasting(root)
                        originals.finish("restored", originals.volume.target, tally.seen)
                    return tally.walk(complete=complete)
            except GoneError:
                return Walk(complete=True, level="known", gone=True)
            finally:
                originals.close()

    def _make_lasting(self, root: Opened) -> None:
        """Have the labels on disk before their originals may be forgotten.

        One file system keeps that order by itself: what is removed later is not gone earlier.
        """
        if root.identity.device == os.stat(self._store.directory).st_dev:
            return
        try:
            kernel.sync_around(root.descriptor if root.is_directory else root.parent)
        except OSError as exc:
            raise VolumeFailedError(
                f"the labels of volume {root.path!r} cannot be brought to disk: "
                f"{(exc.strerror or str(exc)).lower()}",
                hint="its originals are kept; mend the file system and run mcsctl restore",
            ) from exc

    def verify(
        self,
        volume: VolumeId,
        path: str,
        identity: Identity,
        target: str,
        *,
        progress: Report | None = None,
        cancelled: Cancellation | None = None,
    ) -> Walk:
        """Count what does not carry `target` (`SkipReason.DIFFERS`), without writing anything."""
        with self._root(path, identity, volume) as root:
            tally = Tally(progress, cancelled)
            walk = VolumeWalk(root, Verifying(os.fsencode(target)), tally, self._means)
            return tally.walk(complete=walk.verify())

    # -- the store

    def forget(self, volume: VolumeId) -> None:
        """Drop a volume's originals; idempotent."""
        with self._alone(volume):
            self._store.forget(volume)
        with self._guard:
            self._locks.pop(volume, None)

    def volumes(self) -> tuple[StoredVolume, ...]:
        """List the volumes whose originals are on disk; a damaged file is listed as `damaged`."""
        found: list[StoredVolume] = []
        for file in sorted(Path(self._store.directory).glob("*" + SUFFIX)):
            volume = VolumeId(file.name.removesuffix(SUFFIX))
            try:
                with self._alone(volume):
                    originals = self._store.open(volume)
                if originals is not None:
                    found.append(originals.volume)
                    originals.close()
            except VolumeFailedError:
                found.append(StoredVolume(volume, "", Identity(0, 0), 0.0, "", "damaged"))
        return tuple(found)

    def stored_bytes(self) -> int:
        """Add up what the files of originals take up on disk; raises `VolumeFailedError`."""
        return self._store.size()

    @contextmanager
    def _alone(self, volume: VolumeId) -> Iterator[None]:
        with self._guard:
            lock = self._locks.setdefault(volume, threading.Lock())
        with lock:
            yield

    @contextmanager
    def _root(self, path: str, identity: Identity, volume: VolumeId) -> Iterator[Opened]:
        with opened(path) as root:
            if root.identity != identity and not self._is_renumbered(root, identity, volume):
                raise VolumeFailedError(
                    f"volume {path!r} is no longer the one it was: it is now inode {root.identity.inode} of "
                    f"device {root.identity.device}, and was {identity.inode} of {identity.device}",
                    hint="it was replaced, or something is mounted over it or no longer mounted",
                )
            yield root

    def _is_renumbered(self, root: Opened, identity: Identity, volume: VolumeId) -> bool:
        if root.identity.inode != identity.inode:
            return False
        handle = self._store.handle(volume)
        return handle is not None and handle == handle_of(root.descriptor)

    @contextmanager
    def _root_of(self, originals: Originals, path: str, identity: Identity) -> Iterator[Opened]:
        """Open a volume's root by its path, or else by its handle; raises `GoneError` as well."""
        with ExitStack() as stack:
            try:
                root = stack.enter_context(self._root(path, identity, originals.volume.id))
            except (VolumeFailedError, VolumeRefusedError):
                handle = originals.handle
                descriptor = None if handle is None else open_again(handle, identity, path)
                if descriptor is None:
                    raise
                stack.callback(os.close, descriptor)
                root = Opened(kernel.path_of(descriptor), descriptor, descriptor, kernel.stat_of(descriptor))
            yield root
