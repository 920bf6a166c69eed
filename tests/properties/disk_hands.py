"""What others do to the files of a host, each by a random choice, and what must be true of every file.

The disk is in memory, and the watch hears of each thing as the kernel would tell it. What a hand sets by
itself is remembered: nobody can be asked to put that back, but it may not stay anybody's unseen.
"""

from __future__ import annotations

import asyncio
import random
from pathlib import PurePosixPath

from mcsd.core.containers import Container, ContainerId
from mcsd.core.labels import Level, level_of
from mcsd.core.strays import level_on
from tests.fakes.disk import BORN, FakeDisk
from tests.fakes.world import World

BACKUP = "/srv/bk"
KIND = "system_u:object_r:svirt_sandbox_file_t"


class DiskHands:
    """Hands over the files of a world; each takes a source of chance."""

    world: World
    chance: random.Random

    def prepare(self, paths: tuple[str, ...]) -> None:
        """Make the volumes, and the place beside them that things are moved and copied to."""
        self.paths = paths
        self.touched: set[int] = set()
        """Inodes whose label somebody else than mcsd has set."""
        self.escaped: set[int] = set()
        """Inodes that left where they were while nobody was told: a scan is to find them."""
        self.followed: set[int] = set()
        """Inodes that left a volume, of which mcsd is told: in the end they have back what they had."""
        self.archives: dict[str, dict[str, tuple[str, bool]]] = {}
        self.count = 0
        assert self.world.on_disk is not None
        for path in (*paths, BACKUP):
            if path not in self.disk.inodes:
                self.world.on_disk.make(path)

    @property
    def disk(self) -> FakeDisk:
        """The world's."""
        assert self.world.disk is not None
        return self.world.disk

    # --- what is there

    def volume(self) -> str | None:
        """Any volume that is there."""
        present = [path for path in self.paths if path in self.disk.inodes]
        return self.chance.choice(present) if present else None

    def thing(self, top: str | None) -> str | None:
        """Something below a directory that is neither a volume nor holds one, nor is mounted."""
        fixed = (*self.paths, BACKUP, *self.disk.mounts)
        below = self.disk.on_its_own(top) if top else []
        loose = [
            one
            for one in below
            if one != top and not any(PurePosixPath(kept).is_relative_to(one) for kept in fixed)
        ]
        return self.chance.choice(loose) if loose else None

    def fresh(self, top: str) -> str:
        """Return a name that is free."""
        self.count += 1
        return f"{top}/{self.count}"

    def some_level(self) -> str:
        """Return a level that is somebody's, or was, or is nobody's."""
        held = [str(grant.level) for grant in self.world.mcsd.store.cache.grants()]
        strange = f"s0:c{self.chance.randrange(4)},c{self.chance.randrange(900, 904)}"
        return self.chance.choice([*held, "s0", strange])

    def set_label(self, path: str, label: str) -> None:
        """Label as somebody else than mcsd does."""
        inode = self.disk.inodes[path]
        inode.label = label
        self.touched.add(inode.identity.inode)
        self.world.disk_watch.relabelled(path)

    def relabel_below(self, top: str, label: str) -> None:
        """Label a tree, without what is mounted in it."""
        for one in self.disk.on_its_own(top):
            self.set_label(one, label)

    # --- hands

    async def do_restorecon(self) -> None:
        """The policy's label; without force the level stays, as with the reference policy."""
        top = self.volume()
        if top is not None:
            forced = self.chance.random() < 0.5
            for one in self.disk.on_its_own(top):
                level = "s0" if forced else self.disk.inodes[one].label.split(":", 3)[3]
                self.set_label(one, f"{BORN.rsplit(':', 1)[0]}:{level}")

    async def do_chcon(self) -> None:
        """A level that is somebody's, or nobody's, on one thing or on all."""
        top = self.volume()
        if top is not None:
            label = f"{KIND}:{self.some_level()}"
            if self.chance.random() < 0.5:
                self.relabel_below(top, label)
            else:
                self.set_label(self.thing(top) or top, label)

    async def do_move_out(self) -> None:
        """A file or a directory takes its label along."""
        self._move(self.thing(self.volume()), BACKUP)

    async def do_move_in(self) -> None:
        """What lies outside, with whatever label, comes into a volume."""
        top = self.volume()
        if top is not None:
            self._move(self.thing(BACKUP), top)

    async def do_move_over(self) -> None:
        """From one volume to another."""
        top = self.volume()
        if top is not None:
            self._move(self.thing(self.volume()), top)

    def _move(self, path: str | None, to: str) -> None:
        if path is None or PurePosixPath(to).is_relative_to(path):
            return
        one, other = self.disk.inodes[path], self.disk.inodes[to]
        if one.identity.device != other.identity.device:
            return  # a copy, then
        there = self.fresh(to)
        self.disk.move(path, there)
        was_told = self.world.disk_watch.moved(path, there)
        moved = {self.disk.inodes[one].identity.inode for one in self.disk.below(there)}
        if was_told:
            self.followed |= moved
        elif not self.is_within_one(path, there):
            self.escaped |= moved

    def is_within_one(self, path: str, there: str) -> bool:
        """Tell whether two paths are in the same volume, as far as there are originals of it."""
        assert self.world.on_disk is not None
        tops = [one.stored.path for one in tuple(self.world.on_disk.kept.values())]
        return any(
            PurePosixPath(path).is_relative_to(top) and PurePosixPath(there).is_relative_to(top)
            for top in tops
        )

    async def do_copy(self) -> None:
        """`cp -a`: the label goes with it."""
        path, top = self.thing(self.volume()), self.chance.choice([self.volume(), BACKUP])
        if path is None or top is None or PurePosixPath(top).is_relative_to(path):
            return
        there = self.fresh(top)
        found = [(one, self.disk.inodes[one]) for one in self.disk.on_its_own(path)]
        for one, inode in found:
            self._make(there + one.removeprefix(path), inode.label, directory=inode.is_directory)

    def _make(self, path: str, label: str, *, directory: bool) -> None:
        """Make something as an archiver does: first it is there, and then it gets its label."""
        self.disk.make(path, None, directory=directory)
        self.world.disk_watch.made(path)
        self.set_label(path, label)

    async def do_back_up(self) -> None:
        """Keep a volume with its labels, as tar --xattrs, rsync -X, borg and restic do."""
        top = self.volume()
        if top is not None:
            self.archives[top] = {
                one.removeprefix(top): (self.disk.inodes[one].label, self.disk.inodes[one].is_directory)
                for one in self.disk.on_its_own(top)
            }

    async def do_restore_backup(self) -> None:
        """Unpack one in its place or beside: each file is made anew, and gets the label that it had."""
        if not self.archives:
            return
        top = self.chance.choice(sorted(self.archives))
        if top not in self.disk.inodes:
            return
        to = top if self.chance.random() < 0.6 else self.fresh(BACKUP)
        for name, (label, is_directory) in self.archives[top].items():
            path = to + name
            present = self.disk.inodes.get(path)
            if str(PurePosixPath(path).parent) not in self.disk.inodes:
                continue  # a file by the name of a directory is in the way
            if present is not None and (is_directory or present.is_directory):
                self.set_label(path, label)
                continue
            if present is not None:
                self.disk.remove(path)
            self._make(path, label, directory=is_directory)

    async def do_write(self) -> None:
        """Somebody makes a file or a directory: it has the label of what it is in."""
        top = self.volume()
        if top is not None:
            path = self.fresh(top)
            inode = self.disk.make(path, None, directory=self.chance.random() < 0.3)
            if self.disk.inodes[top].identity.inode in self.touched:
                self.touched.add(inode.identity.inode)
            self.world.disk_watch.made(path)

    async def do_delete(self) -> None:
        """Something goes."""
        path = self.thing(self.volume())
        if path is not None:
            self.disk.remove(path)

    async def do_mount_inside(self) -> None:
        """A file system is mounted on a directory in a volume."""
        path = self.thing(self.volume())
        if path is not None and self.disk.inodes[path].is_directory:
            self.disk.mount(path)
            self.world.disk_watch.covered(path)

    async def do_unmount_inside(self) -> None:
        """One of those goes."""
        if self.disk.mounts:
            path = self.chance.choice(sorted(self.disk.mounts))
            self.disk.unmount(path)
            self.world.disk_watch.uncovered(path)

    async def do_clock(self) -> None:
        """The host's clock is set."""
        self.world.clock.set_back(self.chance.choice([-86400, -60, 60, 3600, 10**6]))

    async def do_scan(self) -> None:
        """Somebody, or the timer, has the host scanned."""
        await self.scan(self.chance.choice(["", "", BACKUP, self.paths[0]]))

    async def scan(self, top: str = "") -> None:
        """Scan, and wait until that is done."""
        scanner = self.world.mcsd.scanner
        await self._rest()
        scanner.start(top, gently=False)
        await self._rest()

    async def _rest(self) -> None:
        async with asyncio.timeout(20):
            while self.world.mcsd.scanner.is_busy:
                await asyncio.sleep(0.001)

    def docker_labels(self, ident: ContainerId) -> None:
        """What Docker does at a start for `:Z` and `:z`, whoever else has the volume."""
        container: Container = self.world.docker.present[ident]
        for mount in container.mounts:
            if mount.source in self.disk.inodes and mount.options & {"z", "Z"}:
                level = "s0" if "z" in mount.options else level_of(container.mount_label)
                self.relabel_below(mount.source, f"{KIND}:{level}")

    # --- what must hold

    def levels(self) -> dict[str, Level]:
        """Return the level of every file that has one that is somebody's, by path."""
        return {
            path: level
            for path, inode in self.disk.inodes.items()
            if (level := level_on(inode.label)) is not None
        }

    def check_files(self) -> None:
        """No file anywhere carries a level that is free, or somebody else's; what a scan has shown is told.

        To be asked when mcsd is at rest, and everything has been scanned.
        """
        mcsd = self.world.mcsd
        strays, carried = mcsd.scanner.catch().strays, self.levels()
        for path, level in carried.items():
            if level in self._levels_around(path):
                continue
            assert level in strays, (
                f"{path} carries {level}, which is not its volume's, and nobody says so (2)"
            )
        for level in carried.values():
            assert mcsd.store.allocator.why_not(level), f"{level} is on disk, and could be granted (2)"

    def _levels_around(self, path: str) -> set[Level]:
        """Return what the volumes that a file is in are to carry."""
        device = self.disk.inodes[path].identity.device
        return {
            volume.level
            for volume in self.world.mcsd.store.cache.volumes()
            if PurePosixPath(path).is_relative_to(volume.path)
            and (root := self.disk.inodes.get(volume.path)) is not None
            and root.identity.device == device
        }
