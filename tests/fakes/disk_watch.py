"""A watch over files in memory: `mcsd.ports.DiskWatch`, and the operations that change the files."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import PurePosixPath

from mcsd.core.disk import Loss, Watched, WatchEvent, What
from mcsd.core.volumes import Identity, VolumeId
from tests.fakes.disk import FakeDisk


@dataclass(frozen=True)
class _Watch:
    path: str
    target: str
    with_files: bool


class FakeDiskWatch:
    """Gets its events from the operations below. `most` as in the real one."""

    def __init__(self, disk: FakeDisk | None = None, *, most: int = 1 << 30) -> None:
        self._disk = disk
        self._most = most
        self._watches: dict[VolumeId, _Watch] = {}
        self._told: asyncio.Queue[WatchEvent | Loss] = asyncio.Queue()
        self.mounted: dict[VolumeId, tuple[str, ...]] = {}
        self.refusals: dict[str, str] = {}
        """Paths that cannot be watched, and why."""

    @property
    def disk(self) -> FakeDisk:
        """The files; a watch that was made without any has everything watched, and is told what happens."""
        assert self._disk is not None
        return self._disk

    @property
    def watched(self) -> frozenset[VolumeId]:
        """What is watched."""
        return frozenset(self._watches)

    @property
    def with_files(self) -> frozenset[VolumeId]:
        """The volumes in which new files are watched."""
        return frozenset(volume for volume, watch in self._watches.items() if watch.with_files)

    # The port

    async def watch(
        self, volume: VolumeId, path: str, identity: Identity, target: str, *, with_files: bool = False
    ) -> Watched:
        """See `mcsd.ports.DiskWatch`."""
        self.release(volume)
        if path in self.refusals:
            return Watched(why=self.refusals[path])
        if self._disk is None:
            self._watches[volume] = _Watch(path, target, with_files)
            return Watched(1)
        found = self.disk.inodes.get(path)
        if found is None:
            return Watched(why=f"volume {path!r} does not exist")
        if found.identity != identity:
            return Watched(why=f"volume {path!r} is no longer the one it was")
        if not found.is_directory:
            return Watched(why="it is a single file, which only those may watch who may read it")
        count = self._count(path)
        if self.directories() + count > self._most:
            return Watched(why="it has more directories than may be watched")
        self._watches[volume] = _Watch(path, target, with_files)
        return Watched(count)

    def _count(self, path: str) -> int:
        return sum(self.disk.inodes[one].is_directory for one in self.disk.on_its_own(path)) or 1

    def release(self, volume: VolumeId) -> None:
        """See `mcsd.ports.DiskWatch`."""
        self._watches.pop(volume, None)

    async def next(self) -> tuple[WatchEvent | Loss, ...]:
        """See `mcsd.ports.DiskWatch`."""
        found = [await self._told.get()]
        while not self._told.empty():
            found.append(self._told.get_nowait())
        return tuple(found)

    def mounts_inside(self, volume: VolumeId) -> tuple[str, ...]:
        """See `mcsd.ports.DiskWatch`."""
        if self._disk is None or volume not in self._watches:
            return self.mounted.get(volume, ())
        top = self._watches[volume].path
        return tuple(one for one in self.disk.mounts if one != top and PurePosixPath(one).is_relative_to(top))

    def directories(self) -> int:
        """See `mcsd.ports.DiskWatch`."""
        if self._disk is None:
            return len(self._watches)
        return sum(self._count(watch.path) for watch in self._watches.values())

    def close(self) -> None:
        """See `mcsd.ports.DiskWatch`."""
        self._watches.clear()

    @property
    def has_news(self) -> bool:
        """Whether something was told that nobody has asked for yet."""
        return not self._told.empty()

    # The hands

    def tell(self, news: WatchEvent | Loss) -> None:
        """Have something told as it is."""
        self._told.put_nowait(news)

    def made(self, path: str) -> None:
        """Something was made."""
        inode = self.disk.inodes[path]
        volume = self._volume_of(path)
        if volume is not None and (inode.is_directory or self._watches[volume].with_files):
            self._see(volume, What.CREATED, path)

    def relabelled(self, path: str) -> None:
        """Somebody wrote a label, or changed something else about an inode."""
        volume = self._volume_of(path)
        if volume is not None:
            self._see(volume, What.RELABELLED, path)

    def moved(self, path: str, to: str) -> bool:
        """Something was renamed, and is at `to` now; say whether it left a volume that is watched."""
        before, after = self._volume_of(path), self._volume_of(to)
        if before == after:
            return before is not None
        inode = self.disk.inodes[to]
        if before is not None and inode.label == self._watches[before].target:
            self.tell(WatchEvent(before, What.MOVED_OUT, to, inode.label, inode.identity, inode.is_directory))
        if after is not None:
            for one in self.disk.below(to):
                self._see(after, What.MOVED_IN, one)
        return before is not None

    def covered(self, path: str) -> None:
        """Something was mounted in a volume."""
        volume = self._volume_of(str(PurePosixPath(path).parent))
        if volume is not None:
            self.tell(WatchEvent(volume, What.MOUNTED, path))

    def uncovered(self, path: str) -> None:
        """Something that was mounted in a volume is gone."""
        volume = self._volume_of(str(PurePosixPath(path).parent))
        if volume is not None:
            self.tell(Loss(volume, "something mounted in it is gone, and what was below it shows"))

    def _volume_of(self, path: str) -> VolumeId | None:
        around = [
            (len(watch.path), volume)
            for volume, watch in self._watches.items()
            if PurePosixPath(path).is_relative_to(watch.path) and self._is_in(path, watch.path)
        ]
        return max(around)[1] if around else None

    def _is_in(self, path: str, top: str) -> bool:
        """Tell whether no mount is between them: what is on one is not watched for the volume around it."""
        one, other = self.disk.inodes.get(path), self.disk.inodes.get(top)
        return one is None or other is None or one.identity.device == other.identity.device

    def _see(self, volume: VolumeId, what: What, path: str) -> None:
        inode = self.disk.inodes[path]
        if inode.label != self._watches[volume].target:
            self.tell(WatchEvent(volume, what, path, inode.label, inode.identity, inode.is_directory))
