"""From events to observations: which volume an event is about, and what is there now.

An event names a directory by its handle, which opens that directory wherever it has been moved. So no paths
are stored or followed: the volume is found by going up from the directory to a volume's root, and is cached
for the next event. Labels are read below the directory's descriptor.

Everything here blocks, and runs in a thread; it reads, marks new directories, and writes nothing.
"""

from __future__ import annotations

import errno
import os
import stat
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from mcsd.adapters.fanotify import calls as calls
from mcsd.adapters.fanotify.calls import FanotifyEvent
from mcsd.adapters.fanotify.marks import BrokenOffError, Marking, NoRoomError
from mcsd.core.disk import Loss, WatchEvent, What
from mcsd.core.volumes import Identity, VolumeId
from mcsd.relabel import kernel
from mcsd.relabel.handles import open_on

RawHandle = tuple[int, bytes]
MOST_SIGHTS = 512
"""Observations of one volume in one reading; if there are more, the whole volume is checked instead."""
_REMEMBERED = 8192
"""Directories whose volume is cached."""
_AT_A_TIME = 0.2
"""Seconds of CPU time after which a reading ends; the next one continues."""
TOO_MUCH = "more was changed at once than is looked at one by one"
OVERFLOWN = "the kernel's queue of events was full"
NO_ROOM = "it has more directories than may be watched"


@dataclass(frozen=True, slots=True)
class Watch:
    """One watched volume. `target` is without the trailing NUL."""

    volume: VolumeId
    path: str
    identity: Identity
    target: bytes
    with_files: bool


@dataclass(frozen=True, slots=True)
class View:
    """All that is watched on one device as a reading begins; `resting` volumes are to lose their marks."""

    device: int
    roots: Mapping[Identity, Watch]
    resting: frozenset[VolumeId]
    room: int


@dataclass(slots=True)
class Reading:
    """What one reading found, and its cost: `seconds` of CPU time, `marked` directories."""

    sights: list[WatchEvent] = field(default_factory=list)
    losses: dict[VolumeId, Loss] = field(default_factory=dict)
    events: Counter[VolumeId] = field(default_factory=Counter)
    seconds: float = 0.0
    marked: Counter[VolumeId] = field(default_factory=Counter)


class FanotifyReader:
    """Reads one group. Used by one thread at a time."""

    def __init__(self, group: int) -> None:
        self._group = group
        self._volumes: dict[RawHandle, VolumeId | None] = {}
        self._stopped = threading.Event()

    def stop(self) -> None:
        """Cancel a reading."""
        self._stopped.set()

    def forget(self) -> None:
        """Drop the cache, because volumes were added or removed."""
        self._volumes.clear()

    def read(self, view: View) -> Reading:
        """Read the pending events."""
        began = time.thread_time()
        reading = Reading()
        with _mount_on(view) as mount:
            turn = _Turn(self._group, view, mount, self._volumes, self._stopped, reading)
            while not self._stopped.is_set() and time.thread_time() - began < _AT_A_TIME:
                try:
                    data = os.read(self._group, calls.LARGEST)
                except BlockingIOError:
                    break
                turn.take(calls.events(data))
        if len(self._volumes) > _REMEMBERED:
            self._volumes.clear()
        reading.seconds = time.thread_time() - began
        return reading


@contextmanager
def _mount_on(view: View) -> Iterator[int]:
    """Open something on the device, as a context manager; -1 if none of the volumes is there."""
    descriptor = -1
    for watch in view.roots.values():
        for path in (watch.path, os.path.dirname(watch.path)):
            with suppress(OSError):
                descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW)
                if kernel.stat_of(descriptor).device == view.device:
                    break
                os.close(descriptor)
                descriptor = -1
        if descriptor >= 0:
            break
    try:
        yield descriptor
    finally:
        if descriptor >= 0:
            os.close(descriptor)


class _Turn:
    """One reading, with caches for its duration."""

    def __init__(
        self,
        group: int,
        view: View,
        mount: int,
        volumes: dict[RawHandle, VolumeId | None],
        stopped: threading.Event,
        reading: Reading,
    ) -> None:
        self._group, self._view, self._mount = group, view, mount
        self._volumes, self._stopped, self._reading = volumes, stopped, reading
        self._watches = {watch.volume: watch for watch in view.roots.values()}
        self._own = os.getpid()
        self._seen: Counter[VolumeId] = Counter()

    def take(self, events: Iterator[FanotifyEvent]) -> None:
        """Examine the objects of events: first those moved out, then those moved in, then those changed."""
        changed: dict[RawHandle, dict[bytes, What]] = {}
        arrived: list[FanotifyEvent] = []
        for event in events:
            if event.mask & calls.FAN_Q_OVERFLOW:
                self._lose_all(OVERFLOWN)
            elif event.pid == self._own:
                continue
            elif event.mask & calls.FAN_RENAME:
                if self._take_rename(event):
                    arrived.append(event)
            elif event.place is not None:
                what = What.CREATED if event.mask & calls.FAN_CREATE else What.RELABELLED
                names = changed.setdefault(event.place[:2], {})
                names.setdefault(event.place.name, what)
                if what is What.CREATED and event.mask & calls.FAN_ONDIR:
                    arrived.append(event)
        for event in arrived:
            self._enter(event)
        for handle, names in changed.items():
            self._look_at_all(handle, names)

    # -- where it is

    def _volume_of(self, handle: RawHandle) -> VolumeId | None:
        if handle not in self._volumes:
            with self._opened(handle) as directory:
                self._volumes[handle] = None if directory is None else self._above(directory)
        return self._volumes[handle]

    @contextmanager
    def _opened(self, handle: RawHandle) -> Iterator[int | None]:
        try:
            descriptor = open_on(self._mount, *handle)
        except OSError:  # deleted meanwhile, or the file system is gone
            yield None
            return
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def _above(self, directory: int) -> VolumeId | None:
        """Find the innermost volume that a directory is in, by going up."""
        current, last = os.dup(directory), None
        try:
            while True:
                found = kernel.stat_of(current)
                here = Identity(found.device, found.inode)
                if here in self._view.roots:
                    return self._view.roots[here].volume
                if here == last:
                    return None
                last = here
                above = os.open("..", os.O_PATH | os.O_CLOEXEC, dir_fd=current)
                os.close(current)
                current = above
        finally:
            os.close(current)

    def _watch_of(self, handle: RawHandle) -> Watch | None:
        volume = self._volume_of(handle)
        if volume is None:  # moved out of a volume, or in one that was released
            self._let_go(handle)
            return None
        self._reading.events[volume] += 1
        if volume in self._view.resting:
            self._let_go(handle)
            return None
        return None if volume in self._reading.losses else self._watches.get(volume)

    def _let_go(self, handle: RawHandle) -> None:
        with self._opened(handle) as directory:
            if directory is not None:
                with suppress(OSError):
                    calls.unmark(self._group, directory)
                    volume = self._volumes.get(handle)
                    if volume is not None:
                        self._reading.marked[volume] -= 1

    # -- renames

    def _take_rename(self, event: FanotifyEvent) -> bool:
        """Tell whether something was moved into a volume; record what was moved out of one."""
        if event.old is not None and event.place is not None and event.old[:2] == event.place[:2]:
            return False  # renamed in place
        before = self._volume_of(event.old[:2]) if event.old else None
        if event.mask & calls.FAN_ONDIR:
            self._volumes.clear()  # what is below it may be another volume's now
        after = self._volume_of(event.place[:2]) if event.place else None
        if before == after:
            if before is not None:
                self._reading.events[before] += 1
            return False
        if event.old is not None and event.target is not None:
            watch = self._watch_of(event.old[:2])
            if watch is not None:
                self._follow(event.target, watch)
        return after is not None

    def _follow(self, target: RawHandle, watch: Watch) -> None:
        """Report what was moved out of a volume, if it still carries its label and is not back already."""
        with self._opened(target) as descriptor:
            if descriptor is None:
                return
            found = kernel.stat_of(descriptor)
            try:
                label = kernel.label_of(descriptor)
                path = kernel.path_of(descriptor)
            except OSError:
                return
            if not found.links or _bare(label) != watch.target or self._is_back(path, watch):
                return
            is_directory = stat.S_ISDIR(found.mode)
            identity = Identity(found.device, found.inode)
            self._see(
                WatchEvent(
                    watch.volume, What.MOVED_OUT, path, _text(label), identity, is_directory, found.links
                )
            )

    def _is_back(self, path: str, watch: Watch) -> bool:
        try:
            above = os.open(os.path.dirname(path), os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            return self._above(above) == watch.volume
        finally:
            os.close(above)

    # -- what came

    def _enter(self, event: FanotifyEvent) -> None:
        """Examine what was moved or created in a volume; a directory is marked with everything below it."""
        assert event.place is not None
        kind, data, name = event.place
        watch = self._watch_of((kind, data))
        if watch is None:
            return
        what = What.MOVED_IN if event.mask & calls.FAN_RENAME else What.CREATED
        with self._opened((kind, data)) as above:
            if above is None:
                return
            if event.mask & calls.FAN_ONDIR:
                self._mark_new(watch, above, name, what)
            if what is What.MOVED_IN:
                self._look(watch, above, name, what)

    def _mark_new(self, watch: Watch, above: int, name: bytes, what: What) -> None:
        def met(listing: int, entry: bytes) -> None:
            self._look(watch, listing, entry, what)

        try:
            directory = kernel.look_at(above, name)
        except OSError:
            return  # gone again, or something is mounted there
        try:
            room = self._view.room - sum(self._reading.marked.values())
            marking = Marking(self._group, watch.with_files, room, self._stopped, met)
            self._reading.marked[watch.volume] += marking.mark(directory)
        except NoRoomError:
            self._lose(watch.volume, NO_ROOM, is_watched=False)
        except BrokenOffError:
            return
        except OSError as exc:
            if exc.errno in {errno.ENOSPC, errno.ENOMEM}:
                self._lose(watch.volume, NO_ROOM, is_watched=False)
            elif exc.errno != errno.ENOTDIR:
                self._lose(watch.volume, f"a new directory in it cannot be watched: {words(exc)}")
        finally:
            os.close(directory)

    # -- what was changed

    def _look_at_all(self, handle: RawHandle, names: Mapping[bytes, What]) -> None:
        watch = self._watch_of(handle)
        if watch is None:
            return
        with self._opened(handle) as directory:
            if directory is None:
                return
            for name, what in names.items():
                if watch.volume in self._reading.losses:
                    return
                self._look(watch, directory, name, what)

    def _look(self, watch: Watch, directory: int, name: bytes, what: What) -> None:
        """Report an entry of a directory, or with b"." the directory itself, if it does not carry the
        target."""
        path = b"/proc/self/fd/%d" % directory + (b"" if name == b"." else b"/" + name)
        follow = name == b"."
        try:
            label: bytes | None = os.getxattr(path, kernel.LABEL, follow_symlinks=follow)
        except OSError as exc:
            if exc.errno != errno.ENODATA:
                return  # it is gone again
            label = None
        if _bare(label) == watch.target:
            return
        try:
            found = os.stat(path, follow_symlinks=follow)
            where = os.fsencode(kernel.path_of(directory))
        except OSError:
            return
        if found.st_dev != self._view.device:
            return  # something is mounted there
        whole = os.fsdecode(where if name == b"." else os.path.join(where, name))
        identity = Identity(found.st_dev, found.st_ino)
        is_directory = stat.S_ISDIR(found.st_mode)
        self._see(WatchEvent(watch.volume, what, whole, _text(label), identity, is_directory, found.st_nlink))

    # -- what is told

    def _see(self, sight: WatchEvent) -> None:
        self._reading.sights.append(sight)
        self._seen[sight.volume] += 1
        if self._seen[sight.volume] >= MOST_SIGHTS:
            self._lose(sight.volume, TOO_MUCH)

    def _lose(self, volume: VolumeId, why: str, *, is_watched: bool = True) -> None:
        self._reading.losses[volume] = Loss(volume, why, is_watched)

    def _lose_all(self, why: str) -> None:
        for volume in self._watches:
            if volume not in self._view.resting:
                self._reading.losses.setdefault(volume, Loss(volume, why))


def _bare(label: bytes | None) -> bytes | None:
    return None if label is None else label.rstrip(b"\0")


def _text(label: bytes | None) -> str | None:
    return None if label is None else os.fsdecode(label.rstrip(b"\0"))


def words(exc: OSError) -> str:
    """Return the kernel's error message."""
    return (exc.strerror or str(exc)).lower()
