"""Watching volumes with fanotify(7): `mcsd.ports.DiskWatch`.

There is one group for each device, because events name objects by handles of their file system, and some file
systems (btrfs) have one device for each subvolume. Closing a group drops all its marks.

Without events, nothing runs. Events are read a moment later, so that many changes of one object become one
event, and reading takes at most `share` of one processor's time in the long run. A volume with more events
than that is not watched for a while, because it would use up the other volumes' share.
"""

from __future__ import annotations

import asyncio
import errno
import os
import threading
from collections import Counter
from collections.abc import Coroutine
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace

from mcsd.adapters.fanotify import calls as calls
from mcsd.adapters.fanotify.marks import BrokenOffError, Marking, NoRoomError
from mcsd.adapters.fanotify.mounts import MountNews
from mcsd.adapters.fanotify.reading import NO_ROOM, FanotifyReader, Reading, View, Watch, words
from mcsd.blocking.threads import Threads
from mcsd.core.disk import Loss, Watched, WatchEvent, What
from mcsd.core.volumes import Identity, VolumeId, overlap
from mcsd.errors import VolumeFailedError, VolumeRefusedError
from mcsd.relabel.opening import OpenRoot, opened

MOMENT = 0.05
"""Seconds from the first event to reading."""
SHARE = 0.015
"""The fraction of one processor's time that reading may take in the long run."""
CREDIT = 0.5
"""Seconds of CPU time that may be taken in advance."""
BEHIND = 2.0
"""Seconds that reading may have to pause before the busiest volume is given up."""
BUSY = "more is changed in it all the time than may be followed"
_CANNOT = {
    errno.EINVAL: "this kernel cannot tell: it takes Linux 6.0",
    errno.ENOSYS: "this kernel cannot tell: it takes Linux 6.0 with CONFIG_FANOTIFY",
    errno.EPERM: "the sandbox of mcsd's unit forbids fanotify(7)",
    errno.EACCES: "the policy forbids mcsd to watch it",
    errno.EMFILE: "there are more file systems than may be watched (fs.fanotify.max_user_groups)",
    errno.ENOSPC: f"{NO_ROOM} (fs.fanotify.max_user_marks)",
    errno.ENOMEM: "there is no memory for it",
}
_SYSTEM_CANNOT = {errno.ENODEV, errno.EOPNOTSUPP, errno.EXDEV}


@dataclass(slots=True)
class _Group:
    """One device's marks."""

    device: int
    descriptor: int
    reader: FanotifyReader
    watches: dict[VolumeId, _Entry] = field(default_factory=dict)
    resting: set[VolumeId] = field(default_factory=set)
    leaving: dict[asyncio.Future[None], str] = field(default_factory=dict)
    """Volumes whose marks are being removed, by their paths."""
    is_read: bool = False
    is_closed: bool = False


@dataclass(slots=True)
class _Entry:
    watch: Watch
    directories: int


class FanotifyWatch:
    """Owned by the event loop's thread. `most` is how many directories may be watched in all."""

    def __init__(self, *, most: int, share: float = SHARE) -> None:
        self._most = most
        self._share = share
        self._groups: dict[int, _Group] = {}
        self._where: dict[VolumeId, _Group] = {}
        self._marking: dict[VolumeId, threading.Event] = {}
        self._mounts: MountNews | None = None
        self._mount_news = self._looks_at_mounts = False
        self._mounted: dict[VolumeId, tuple[str, ...]] = {}
        self._threads = Threads("watch", idle=1.0)
        self._found: list[WatchEvent | Loss] = []
        self._failure: Exception | None = None
        self._ready = asyncio.Event()
        self._serving: set[asyncio.Task[None]] = set()
        self._debt = 0.0
        self._paid = 0.0
        self._heavy: Counter[VolumeId] = Counter()

    # -- what is watched

    async def watch(
        self, volume: VolumeId, path: str, identity: Identity, target: str, *, with_files: bool = False
    ) -> Watched:
        """See `mcsd.ports.DiskWatch`."""
        wanted = Watch(volume, path, identity, os.fsencode(target), with_files)
        entry = self._entry(volume)
        if (
            entry is not None
            and not (self._is_resting(volume) or volume in self._marking)
            and replace(entry.watch, target=wanted.target) == wanted
        ):
            entry.watch = wanted
            return Watched(entry.directories)
        self.release(volume)
        try:
            return await self._begin(wanted)
        except (VolumeFailedError, VolumeRefusedError) as exc:
            return Watched(why=exc.what)
        except OSError as exc:
            return Watched(why=self._why(exc))

    def _is_resting(self, volume: VolumeId) -> bool:
        group = self._where.get(volume)
        return group is not None and volume in group.resting

    @staticmethod
    def _why(exc: OSError) -> str:
        if exc.errno in _SYSTEM_CANNOT:
            return "its file system tells nobody what happens in it"
        return _CANNOT.get(exc.errno or 0, f"it cannot be watched: {words(exc)}")

    async def _begin(self, wanted: Watch) -> Watched:
        self._listen_for_mounts()
        group = self._group(wanted.identity.device)
        stopped = self._marking[wanted.volume] = threading.Event()
        group.watches[wanted.volume] = entry = _Entry(wanted, directories=0)
        self._where[wanted.volume] = group
        group.reader.forget()
        done = False
        try:
            await self._wait_for_leaving(group, wanted.path)
            marking = Marking(os.dup(group.descriptor), wanted.with_files, self._room(), stopped)
            entry.directories = await self._threads.submit(lambda: _mark(wanted, marking))
            done = True
        except NoRoomError:
            return Watched(why=f"{NO_ROOM} ([watch] directories = {self._most})")
        except BrokenOffError:
            return Watched(why="it was given up meanwhile")
        finally:
            if self._marking.get(wanted.volume) is stopped:
                del self._marking[wanted.volume]
            if not done:
                stopped.set()
                self._drop(wanted.volume, entry)
        if self._mounts is not None:
            self._mounted[wanted.volume] = self._mounts.inside(wanted.path)
        return Watched(entry.directories)

    @staticmethod
    async def _wait_for_leaving(group: _Group, path: str) -> None:
        """Wait until no marks are being removed there any more: new ones would be removed as well."""
        leaving = [future for future, other in group.leaving.items() if overlap(path, other)]
        if leaving:
            await asyncio.wait(leaving)

    def _entry(self, volume: VolumeId) -> _Entry | None:
        group = self._where.get(volume)
        return group.watches.get(volume) if group is not None else None

    def _group(self, device: int) -> _Group:
        group = self._groups.get(device)
        if group is None:
            descriptor = calls.open_group()
            group = self._groups[device] = _Group(device, descriptor, FanotifyReader(descriptor))
            self._listen(group)
        return group

    def _room(self) -> int:
        return max(0, self._most - self.directories())

    def release(self, volume: VolumeId) -> None:
        """See `mcsd.ports.DiskWatch`."""
        stopped = self._marking.pop(volume, None)
        if stopped is not None:
            stopped.set()
        entry = self._entry(volume)
        if entry is not None:
            self._drop(volume, entry)

    def _drop(self, volume: VolumeId, entry: _Entry) -> None:
        """Drop a volume, and remove its marks in the background; a group without any is closed."""
        group = self._where.get(volume)
        if group is None or group.watches.get(volume) is not entry:
            return
        del group.watches[volume], self._where[volume]
        self._mounted.pop(volume, None)
        self._heavy.pop(volume, None)
        group.resting.discard(volume)
        group.reader.forget()
        if not group.watches:
            self._close(group)
        else:
            self._unmark(group, entry.watch)

    def _unmark(self, group: _Group, watch: Watch) -> None:
        if any(overlap(watch.path, other.watch.path) for other in group.watches.values()):
            return  # they share marks; unneeded ones are removed when they cause an event
        descriptor = os.dup(group.descriptor)
        leaving = self._threads.submit(lambda: _unmark(watch, descriptor))
        group.leaving[leaving] = watch.path
        leaving.add_done_callback(lambda future: group.leaving.pop(future))

    def directories(self) -> int:
        """See `mcsd.ports.DiskWatch`."""
        return sum(entry.directories for group in self._groups.values() for entry in group.watches.values())

    def mounts_inside(self, volume: VolumeId) -> tuple[str, ...]:
        """See `mcsd.ports.DiskWatch`."""
        return self._mounted.get(volume, ())

    # -- what happens

    def _listen_for_mounts(self) -> None:
        if self._mounts is None:
            self._mounts = MountNews()
            asyncio.get_running_loop().add_reader(self._mounts.fileno(), self._mounts_changed)

    def _mounts_changed(self) -> None:
        """Handle changed mounts: reading them has reset the kernel's flag, so the reader is never removed."""
        self._mount_news = True
        if not self._looks_at_mounts:
            self._looks_at_mounts = True
            self._serve(self._follow_mounts())

    async def _follow_mounts(self) -> list[WatchEvent | Loss]:
        found: list[WatchEvent | Loss] = []
        try:
            while self._mount_news:
                self._mount_news = False
                found += await self._look_at_mounts()
        finally:
            self._looks_at_mounts = False
        return found

    def _listen(self, group: _Group) -> None:
        asyncio.get_running_loop().add_reader(group.descriptor, self._hear, group)

    def _hear(self, group: _Group) -> None:
        asyncio.get_running_loop().remove_reader(group.descriptor)
        self._serve(self._read(group))

    def _serve(self, work: Coroutine[None, None, list[WatchEvent | Loss]]) -> None:
        """Read in the background: a hung file system only delays its own events."""
        task = asyncio.get_running_loop().create_task(self._collect(work))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def _collect(self, work: Coroutine[None, None, list[WatchEvent | Loss]]) -> None:
        try:
            self._found += await work
        except Exception as exc:  # noqa: BLE001  whoever waits for what happens is to hear of it
            self._failure = exc
        if self._found or self._failure is not None:
            self._ready.set()

    async def next(self) -> tuple[WatchEvent | Loss, ...]:
        """See `mcsd.ports.DiskWatch`."""
        await self._ready.wait()
        if self._failure is not None:
            raise self._failure
        self._ready.clear()
        found, self._found = tuple(self._found), []
        return found

    async def _read(self, group: _Group) -> list[WatchEvent | Loss]:
        await asyncio.sleep(max(MOMENT, self._pause()))
        if self._is_gone(group):
            return []
        entries = tuple(group.watches.values())
        view = View(
            group.device,
            {entry.watch.identity: entry.watch for entry in entries},
            frozenset(group.resting),
            self._room(),
        )
        group.is_read = True
        try:
            reading = await self._threads.submit(lambda: group.reader.read(view))
        finally:
            group.is_read = False
            if group.is_closed:
                os.close(group.descriptor)
        if self._is_gone(group):
            return []
        self._listen(group)
        for volume, number in reading.marked.items():
            entry = self._entry(volume)
            if entry is not None:
                entry.directories = max(0, entry.directories + number)
        self._pay(reading)
        losses = [loss for loss in reading.losses.values() if loss.volume in group.watches]
        for loss in losses:
            if not loss.is_watched:
                group.resting.add(loss.volume)
        sights = [sight for sight in reading.sights if sight.volume in group.watches]
        return [*sights, *losses, *self._give_up()]

    def _is_gone(self, group: _Group) -> bool:
        return self._groups.get(group.device) is not group

    async def _look_at_mounts(self) -> list[WatchEvent | Loss]:
        """Report what was mounted or unmounted inside a volume since the last call."""
        await asyncio.sleep(MOMENT)
        mounts = self._mounts
        if mounts is None:
            return []
        has_changed = await self._threads.submit(mounts.look)
        if self._mounts is not mounts:
            return []  # closed meanwhile
        if not has_changed:
            return []
        found: list[WatchEvent | Loss] = []
        for volume, group in self._where.items():
            inside = mounts.inside(group.watches[volume].watch.path)
            if inside == self._mounted.get(volume, ()):
                continue
            fresh = sorted(set(inside) - set(self._mounted.get(volume, ())))
            self._mounted[volume] = inside
            if fresh:
                found += [WatchEvent(volume, What.MOUNTED, path) for path in fresh]
            else:
                found.append(Loss(volume, "something mounted in it is gone, and what was below it shows"))
        return found

    # -- what it may cost

    def _settle(self) -> None:
        now = asyncio.get_running_loop().time()
        self._debt = max(-CREDIT, self._debt - (now - self._paid) * self._share)
        self._paid = now
        if self._debt < 0:
            self._heavy.clear()

    def _pay(self, reading: Reading) -> None:
        self._settle()
        self._debt += reading.seconds
        self._heavy.update(reading.events)

    def _pause(self) -> float:
        """Return the seconds until more may be read."""
        self._settle()
        return max(0.0, self._debt / self._share)

    def _give_up(self) -> list[Loss]:
        """Stop watching the busiest volume, if that takes more time than there is."""
        if self._pause() < BEHIND or not self._heavy:
            return []
        volume = self._heavy.most_common(1)[0][0]
        self._heavy.clear()
        group = self._where.get(volume)
        if group is None or volume in group.resting:
            return []
        group.resting.add(volume)
        return [Loss(volume, BUSY, is_watched=False)]

    # -- the end

    def _close(self, group: _Group) -> None:
        asyncio.get_running_loop().remove_reader(group.descriptor)
        group.reader.stop()
        group.is_closed = True
        del self._groups[group.device]
        if not group.is_read:
            os.close(group.descriptor)

    def close(self) -> None:
        """See `mcsd.ports.DiskWatch`."""
        for stopped in self._marking.values():
            stopped.set()
        for group in list(self._groups.values()):
            self._close(group)
        self._where.clear()
        for task in self._serving:
            task.cancel()
        if self._mounts is not None:
            asyncio.get_running_loop().remove_reader(self._mounts.fileno())
            self._mounts.close()
            self._mounts = None


def _mark(wanted: Watch, marking: Marking) -> int:
    """Mark a volume's directories; give how many there are. Closes the group's descriptor, its own.

    A single file is not marked: fanotify_mark(2) needs permission to read it, and mcsd's domain must not be
    able to read containers' files.
    """
    with ExitStack() as stack:
        stack.callback(os.close, marking.group)
        root = stack.enter_context(opened(wanted.path))
        _require_same(root, wanted)
        if not root.is_directory:
            raise VolumeFailedError("it is a single file, which only those may watch who may read it")
        return marking.mark(root.descriptor)


def _require_same(root: OpenRoot, wanted: Watch) -> None:
    if root.identity != wanted.identity:
        raise VolumeFailedError(
            f"volume {wanted.path!r} is no longer the one it was",
            hint="it was replaced, or something is mounted over it or no longer mounted",
        )


def _unmark(watch: Watch, group: int) -> None:
    """Remove a volume's marks; one that is gone has none any more. Closes the group's descriptor."""
    with ExitStack() as stack:
        stack.callback(os.close, group)
        stack.enter_context(suppress(VolumeFailedError, VolumeRefusedError, OSError, BrokenOffError))
        root = stack.enter_context(opened(watch.path))
        _require_same(root, watch)
        Marking(group, watch.with_files, 0, threading.Event()).unmark(root.descriptor)
