"""The relabel engine: opens a volume, checks it against the rules, writes labels and restores them.

Theory of operation
-------------------
Every method is blocking and may be called from any thread; two walks of one volume wait for each other. A
method opens the root by descriptors (`opening`), proves that it is the intended volume (`handles`), opens its
file of originals (`originals`) and passes both to a walk. What a walk does, and in which order, is in
`mcsd.relabel.walk`; its strategy (`strategies`), in C (`native/_walk.h`) or in Python, decides about each
inode.

What always holds:

- Below the root nothing is reached by path: descriptors, one name at a time, no link followed, no mount
  crossed.
- No inode is written before its original is on disk; the root is written last, and restored first.
- Only files with a label that mcsd wrote are restored, and never to a label with categories.
- A file of originals says `complete` only after a walk that saw every inode and could label each in scope.

What a failure means: `VolumeRefusedError` comes from a rule, and nothing was written. `VolumeFailedError`
comes from the file system; what was written before it has its original on disk, and the next walk continues
from there. A `Walk` that is not complete says which inodes were skipped, and why. A process that was killed
at any instruction resumes in the same way.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from mcsd.blocking.patient import Patient
from mcsd.core.blocked import Blocked, Party, Subject
from mcsd.core.exposure import Survey
from mcsd.core.hints import Hint
from mcsd.core.protected import ProtectionRules
from mcsd.core.volumes import Identity, VolumeId
from mcsd.core.walks import (
    Cancellation,
    MayChange,
    Progress,
    RawLabel,
    Root,
    SkipReason,
    StoredVolume,
    Walk,
    asked_once,
    may_always,
)
from mcsd.errors import VolumeFailedError, VolumeRefusedError
from mcsd.relabel import kernel
from mcsd.relabel.amending import amend, give_back
from mcsd.relabel.counters import Counters
from mcsd.relabel.examining import Grounds, examined, file_system_of, require_writable
from mcsd.relabel.handles import GoneError, handle_of, open_again
from mcsd.relabel.homes import ACCOUNTS, Homes
from mcsd.relabel.index import Intervals
from mcsd.relabel.landmarks import LISTED
from mcsd.relabel.native import is_usable, native_loop, new_index, why_unusable
from mcsd.relabel.opening import OpenRoot, opened
from mcsd.relabel.originals import SUFFIX, Originals, OriginalsStore
from mcsd.relabel.passing import Effort, Gate
from mcsd.relabel.places import PathIndexes, surveyed, within
from mcsd.relabel.strategies import Relabelling, Restoring, Searching, Verifying, is_exclusive
from mcsd.relabel.sweep import python_loop
from mcsd.relabel.walk import VolumeWalk, WalkTools

DefaultLabel = Callable[[str, int], str | None]
Report = Callable[[Progress], None]
_SERVICES = {ACCOUNTS, LISTED}
_LARGE_AT_ONCE = 2
"""Large walks that write at the same time; more would only make the disk seek."""


@dataclass(slots=True)
class _Turn:
    """A volume's lock, and how many threads hold it or wait for it."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    wanted: int = 0


def label_above(root: OpenRoot) -> RawLabel:
    """Return the label of the directory above a volume's root, None if it has categories or there is none."""
    try:
        label = kernel.label_of(root.parent)
    except OSError:  # a file system without labels
        return None
    return None if is_exclusive(label) else label


class Engine:
    """See the module. `store` is created if it does not exist; `default_label` asks the host's policy.

    `may_change` tells which labels mcsd's domain may relabel a file from: files with others are left alone
    and reported, and never tried.

    With `native` False, walks use plain Python even if the extension is there.
    """

    def __init__(
        self,
        *,
        store: Path,
        rules: ProtectionRules | Callable[[], ProtectionRules],
        default_label: DefaultLabel,
        may_change: MayChange = may_always,
        effort: Effort | None = None,
        native: bool = True,
        patient: Patient | None = None,
        homes: Homes | None = None,
    ) -> None:
        is_native = native and is_usable()
        self.walks_in = "C" if is_native else f"Python, several times slower: {why_unusable() or 'as asked'}"
        """The language of the loop over a volume, and why it is not C, for people."""
        self._store = OriginalsStore(str(store), new_index if is_native else Intervals)
        patient = patient or Patient()
        self._patient = patient
        self._rules = rules if callable(rules) else lambda: rules
        self._path_indexes = PathIndexes(patient=patient)
        self._homes = homes or Homes(patient)
        self._default_label = default_label
        self._may_change = may_change
        self._means = WalkTools(
            native_loop if is_native else python_loop,
            Effort.of_this_host() if effort is None else effort,
            Gate(_LARGE_AT_ONCE),
        )
        self._guard = threading.Lock()
        self._turns: dict[VolumeId, _Turn] = {}
        store.mkdir(mode=0o700, parents=True, exist_ok=True)

    # -- looking

    def examine(self, path: str, *, allowed: Collection[str] = (), storage: Collection[str] = ()) -> Root:
        """Open a volume's root and check it against the rules.

        `allowed` are paths that an explicit rule names; each admits itself and everything below it, as far as
        the protecting rule can be lifted. `storage` are the engines' reported storage paths, in addition to
        those that the rules know. Raises `VolumeRefusedError` and `VolumeFailedError`.
        """
        with _reporting(path):
            ground = Grounds(
                self._rules(), self._path_indexes, self._homes, self._default_label, self._may_change
            )
            return examined(path, ground, allowed, storage)

    def survey(self, path: str, *, within: Sequence[str] = (), storage: Collection[str] = ()) -> Survey:
        """Find out where a mount's source is, and what it shows of the host, whether it may be labelled or
        not.

        `within` are paths to compare with, by identity: the source may be one of them or inside one;
        `storage` is as for `examine`. Raises nothing.
        """
        rules = self._rules()
        return surveyed(path, rules, within, self._path_indexes.latest(), rules.storage_places(storage))

    def within(self, top: str, paths: Collection[str]) -> frozenset[str]:
        """See `mcsd.ports.VolumeEngine`."""
        return within(top, paths, self._path_indexes.latest())

    def blocked(self) -> tuple[Blocked, ...]:
        """Return the calls about protected places that do not return."""
        return tuple(
            Blocked(Subject(Party.ACCOUNTS if source in _SERVICES else Party.PLACES, source), seconds)
            for source, seconds in self._patient.silent().items()
        )

    def identify(self, volume: VolumeId, path: str, identity: Identity) -> Identity:
        """Return the volume's identity with its device's current number, if what is at `path` is that volume;
        otherwise, or if it cannot be opened, the given identity.

        Device numbers change with a reboot (btrfs subvolumes, loop devices, disks found in another order). A
        root with the same inode number and the same file handle is the same inode.
        """
        try:
            with _reporting(path), self._root(path, identity, volume) as root:
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
    ) -> Walk:
        """Write `target`, a canonical context, on everything in scope: originals first, the root last."""
        wanted = os.fsencode(target).rstrip(b"\0") + b"\0"
        with _reporting(path), self._alone(volume), self._root(path, identity, volume) as root:
            require_writable(root, path)  # before originals are recorded: nothing will have to be undone
            originals = self._store.open(volume) or self._store.create(
                volume, root.path, identity, handle_of(root.descriptor), file_system_of(root)
            )
            try:
                tally = Counters(progress, cancelled, originals.volume.count)
                strategy = Relabelling(originals, wanted, asked_once(self._may_change))
                walk = VolumeWalk(root, strategy, tally, self._means, originals)
                complete = walk.relabel(target)
                if complete and not originals.is_at("complete", target):
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
        target: str,
        *,
        was_complete: bool,
        progress: Report | None = None,
        cancelled: Cancellation | None = None,
    ) -> Walk:
        """Restore the originals, the root first, of files whose current label is one that mcsd wrote.

        `target` is what the caller's ledger says was to be written last, `was_complete` whether all of it
        once was. They matter without originals, if nothing was ever written or the originals were lost: then
        such labels are searched for, and `VolumeFailedError` is raised for any, as nothing can be restored.

        A volume to which nothing was written after its originals were recorded is unchanged. A renamed one is
        found by its handle; one that was deleted, or was in memory and is not mounted any more, is `gone`.
        Can be interrupted and called again; `forget` deletes the originals after a complete walk.

        Originals with categories are not restored (`Originals.disbelieve`): such a file gets the policy's
        label, or else that of the directory above.
        """
        with _reporting(path), self._alone(volume):
            originals = self._store.open(volume)
            if originals is None:
                tally = Counters(progress, cancelled)
                return self._without_originals(volume, path, identity, target, tally, was_complete)
            try:
                if not originals.ours:
                    return Walk(complete=True)
                with self._root_of(originals, path, identity) as root:
                    tally = Counters(progress, cancelled, originals.volume.count)
                    return self._put_back(originals, root, path, tally)
            except GoneError:
                return Walk(complete=True, gone=True)
            finally:
                originals.close()

    def _put_back(self, originals: Originals, root: OpenRoot, path: str, tally: Counters) -> Walk:
        originals.disbelieve(is_exclusive)
        restoring = Restoring(originals, self._default_label, label_above(root))
        complete = VolumeWalk(root, restoring, tally, self._means, originals).restore()
        if not complete and not tally.changed:
            require_writable(root, path)  # not needed if nothing is left to be written
        if complete:
            self._make_lasting(root)
            originals.finish("restored", originals.target, tally.seen)
        return tally.walk(complete=complete)

    def _without_originals(
        self,
        volume: VolumeId,
        path: str,
        identity: Identity,
        target: str,
        tally: Counters,
        was_complete: bool,
    ) -> Walk:
        """Prove that no file carries a label that mcsd may have written, if there are no originals."""
        with ExitStack() as stack:
            try:
                root = stack.enter_context(self._root(path, identity, volume))
            except (VolumeFailedError, VolumeRefusedError) as exc:
                if was_complete:
                    raise _lost(path, f"it cannot be looked at: {exc.what}") from exc
                return Walk(complete=True)  # nothing was ever written, or the volume was moved away
            complete = VolumeWalk(
                root, Searching(os.fsencode(target), was_complete), tally, self._means
            ).verify()
        carrying = sum(tally.skipped[reason] for reason in (SkipReason.DIFFERS, SkipReason.MULTIPLY_LINKED))
        if carrying:
            raise _lost(path, f"{carrying} of its inodes carry labels like {target!r}")
        return tally.walk(complete=complete)

    def _make_lasting(self, root: OpenRoot) -> None:
        """Sync the labels to disk before their originals may be deleted.

        On one and the same file system that order is kept anyway: a later removal is not on disk earlier.
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
        with _reporting(path), self._root(path, identity, volume) as root:
            tally = Counters(progress, cancelled)
            strategy = Verifying(os.fsencode(target), asked_once(self._may_change))
            walk = VolumeWalk(root, strategy, tally, self._means)
            return tally.walk(complete=walk.verify())

    # -- single things

    def amend(
        self,
        volume: VolumeId,
        path: str,
        identity: Identity,
        target: str,
        names: Collection[str],
        *,
        cancelled: Cancellation | None = None,
    ) -> Walk:
        """Label what is at these paths below the root of a volume whose other files carry `target` already.

        Raises as `relabel` does; a volume without originals has to be labelled as a whole.
        """
        with _reporting(path), self._alone(volume), self._root(path, identity, volume) as root:
            originals = self._store.open(volume)
            if originals is None:
                raise VolumeFailedError(f"volume {path!r} has no originals: nothing in it was labelled yet")
            try:
                require_writable(root, path)
                was_complete = originals.is_at("complete", target)
                tally, count = Counters(cancellation=cancelled), originals.volume.count
                complete = amend(root, names, target, originals, tally, self._means, self._may_change)
                if complete and was_complete and originals.volume.state != "complete":
                    originals.finish("complete", target, count)
                return tally.walk(complete=complete)
            finally:
                originals.close()

    def give_back(
        self, volume: VolumeId, path: str, identity: Identity, *, cancelled: Cancellation | None = None
    ) -> Walk:
        """Restore the originals of something that was moved out of a volume, and is at `path` now.

        A directory is restored with everything below it. Raises as `relabel` does.
        """
        with _reporting(path), self._alone(volume):
            originals = self._store.open(volume)
            if originals is None:
                raise VolumeFailedError(f"{path!r} was moved out of a volume that has no originals any more")
            try:
                with opened(path) as found:
                    if found.identity != identity:
                        raise VolumeFailedError(f"{path!r} is no longer what was moved there")
                    require_writable(found, path)
                    tally = Counters(cancellation=cancelled)
                    originals.disbelieve(is_exclusive)
                    strategy = Restoring(originals, self._default_label, label_above(found))
                    complete = give_back(found, originals, strategy, tally, self._means)
                    return tally.walk(complete=complete)
            finally:
                originals.close()

    # -- the store

    def forget(self, volume: VolumeId) -> None:
        """Delete a volume's originals; idempotent."""
        with self._alone(volume):
            self._store.forget(volume)

    def volumes(self) -> tuple[StoredVolume, ...]:
        """List the volumes whose originals are on disk; a damaged file is listed as `damaged`."""
        found: list[StoredVolume] = []
        for file in sorted(Path(self._store.directory).glob("*" + SUFFIX)):
            volume = VolumeId(file.name.removesuffix(SUFFIX))
            try:
                stored = self._store.describe(volume)  # without the volume's lock, which a walk may hold
                if stored is not None:
                    found.append(stored)
            except VolumeFailedError:
                found.append(StoredVolume(volume, "", Identity(0, 0), 0.0, None, "damaged"))
        return tuple(found)

    def stored_bytes(self) -> int:
        """Return the total size of the files of originals; raises `VolumeFailedError`."""
        return self._store.size()

    @contextmanager
    def _alone(self, volume: VolumeId) -> Iterator[None]:
        """Exclude other walks over a volume; its lock is dropped after the last thread that wants it."""
        with self._guard:
            turn = self._turns.setdefault(volume, _Turn())
            turn.wanted += 1
        try:
            with turn.lock:
                yield
        finally:
            with self._guard:
                turn.wanted -= 1
                if not turn.wanted:
                    del self._turns[volume]

    @contextmanager
    def _root(self, path: str, identity: Identity, volume: VolumeId) -> Iterator[OpenRoot]:
        with opened(path) as root:
            if root.identity != identity and not self._is_renumbered(root, identity, volume):
                raise VolumeFailedError(
                    f"volume {path!r} is no longer the one it was: it is now inode {root.identity.inode} of "
                    f"device {root.identity.device}, and was {identity.inode} of {identity.device}",
                    hint=Hint.PUT_BACK.say(),
                )
            yield root

    def _is_renumbered(self, root: OpenRoot, identity: Identity, volume: VolumeId) -> bool:
        if root.identity.inode != identity.inode:
            return False
        handle = self._store.handle(volume)
        return handle is not None and handle == handle_of(root.descriptor)

    @contextmanager
    def _root_of(self, originals: Originals, path: str, identity: Identity) -> Iterator[OpenRoot]:
        """Open a volume's root by its path, or else by its handle; raises `GoneError` as well."""
        with ExitStack() as stack:
            try:
                root = stack.enter_context(self._root(path, identity, originals.volume.id))
            except (VolumeFailedError, VolumeRefusedError):
                handle = originals.handle
                descriptor = (
                    None if handle is None else open_again(handle, identity, path, originals.file_system)
                )
                if descriptor is None:
                    raise
                stack.callback(os.close, descriptor)
                root = OpenRoot(
                    kernel.path_of(descriptor), descriptor, descriptor, kernel.stat_of(descriptor)
                )
            yield root


@contextmanager
def _reporting(path: str) -> Iterator[None]:
    """Turn a file system error that is not about a single inode into the failure of the walk."""
    try:
        yield
    except OSError as exc:
        raise VolumeFailedError(
            f"volume {path!r} cannot be walked: {(exc.strerror or str(exc)).lower()}",
            hint=Hint.MEND_AND_RETRY.say(),
        ) from exc


def _lost(path: str, why: str) -> VolumeFailedError:
    return VolumeFailedError(
        f"the originals of volume {path!r} are lost, and {why}",
        hint=Hint.TAKE_POLICY_LABELS.say(path=path),
    )
