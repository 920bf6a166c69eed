"""The contract of `DiskWatch`, for the fake and for this machine's kernel, with real labels."""

from __future__ import annotations

import asyncio
import inspect
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from mcsd.adapters.fanotify.watch import FanotifyWatch
from mcsd.core.disk import Loss, WatchEvent, What
from mcsd.core.volumes import Identity, VolumeId
from tests.contracts.disk_watch import DiskWatchContract, World
from tests.fakes.disk import FakeDisk
from tests.fakes.disk_watch import FakeDiskWatch

MOST = 40
STORIES = [name for name, _ in inspect.getmembers(DiskWatchContract) if name.startswith("test_")]

_HANDS = """
import os, sys
for line in sys.stdin:
    todo, *words = line.rstrip("\\n").split("\\t")
    if todo == "relabel":
        os.setxattr(words[0], "security.selinux", words[1].encode() + b"\\0", follow_symlinks=False)
    elif todo == "file":
        os.close(os.open(words[0], os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    elif todo == "directory":
        os.mkdir(words[0])
    elif todo == "touch":
        os.chmod(words[0], 0o640)
    elif todo == "move":
        os.rename(*words)
    print(flush=True)
"""


class Kernel:
    """This machine's kernel, a directory on a file system with labels, and a process that changes it."""

    most = MOST

    def __init__(self, top: Path, hands: asyncio.subprocess.Process) -> None:
        self.top = str(top)
        self.watch = FanotifyWatch(most=MOST)
        self._hands = hands

    async def _do(self, *words: str) -> None:
        assert self._hands.stdin is not None
        assert self._hands.stdout is not None
        self._hands.stdin.write("\t".join(words).encode() + b"\n")
        assert await self._hands.stdout.readline(), "the hands did not do it"

    async def make(self, path: str, label: str | None = None, *, directory: bool = False) -> None:
        """Create something; without SELinux in the kernel it is labelled a moment later."""
        if label is None:
            label = os.getxattr(os.path.dirname(path), "security.selinux").rstrip(b"\0").decode()
        await self._do("directory" if directory else "file", path)
        await self._do("relabel", path, label)

    async def relabel(self, path: str, label: str) -> None:
        await self._do("relabel", path, label)

    async def touch(self, path: str) -> None:
        await self._do("touch", path)

    async def move(self, path: str, to: str) -> None:
        await self._do("move", path, to)

    async def relabel_ourselves(self, path: str, label: str) -> None:
        os.setxattr(path, "security.selinux", label.encode() + b"\0")

    def identity(self, path: str) -> Identity:
        found = os.lstat(path)
        return Identity(found.st_dev, found.st_ino)


class Fake:
    """A host in memory."""

    top = "/host"
    most = MOST

    def __init__(self) -> None:
        self._fake = FakeDiskWatch(FakeDisk(), most=MOST)
        self.watch = self._fake
        self._fake.disk.make("/host", "", directory=True)

    async def make(self, path: str, label: str | None = None, *, directory: bool = False) -> None:
        self._fake.disk.make(path, label, directory=directory)
        self._fake.made(path)

    async def relabel(self, path: str, label: str) -> None:
        self._fake.disk.inodes[path].label = label
        self._fake.relabelled(path)

    async def touch(self, path: str) -> None:
        self._fake.relabelled(path)

    async def move(self, path: str, to: str) -> None:
        self._fake.disk.move(path, to)
        self._fake.moved(path, to)

    async def relabel_ourselves(self, path: str, label: str) -> None:
        self._fake.disk.inodes[path].label = label

    def identity(self, path: str) -> Identity:
        return self._fake.disk.inodes[path].identity


@asynccontextmanager
async def a_fake(_: Path) -> AsyncIterator[World]:
    yield Fake()


@asynccontextmanager
async def a_kernel(top: Path) -> AsyncIterator[World]:
    pipe = asyncio.subprocess.PIPE
    hands = await asyncio.create_subprocess_exec(sys.executable, "-c", _HANDS, stdin=pipe, stdout=pipe)
    world = Kernel(top, hands)
    try:
        yield world
    finally:
        world.watch.close()
        assert hands.stdin is not None
        hands.stdin.close()
        await hands.wait()


@pytest.mark.parametrize("story", STORIES)
@pytest.mark.parametrize("made", [a_fake, a_kernel], ids=["fake", "kernel"])
def test_contract(made: Callable[[Path], object], story: str, tmp_path: Path) -> None:
    if made is a_kernel and os.geteuid() != 0:
        pytest.skip("needs root: labels are written")

    async def run() -> None:
        opened = a_fake(tmp_path) if made is a_fake else a_kernel(tmp_path)
        async with opened as world:
            told: Callable[[World], Awaitable[None]] = getattr(DiskWatchContract(), story)
            await told(world)

    asyncio.run(run())


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: something is mounted")
def test_what_is_mounted_and_unmounted_inside_is_told(tmp_path: Path) -> None:
    volume = VolumeId("1" * 32)
    (tmp_path / "v" / "disk").mkdir(parents=True)

    async def run() -> None:
        watch = FanotifyWatch(most=MOST)
        found = os.lstat(tmp_path / "v")
        identity = Identity(found.st_dev, found.st_ino)
        await watch.watch(
            volume, str(tmp_path / "v"), identity, "system_u:object_r:container_file_t:s0:c1,c2"
        )
        point = str(tmp_path / "v" / "disk")
        try:
            for _ in range(3):
                subprocess.run(["mount", "-t", "tmpfs", "none", point], check=True)
                async with asyncio.timeout(10):
                    assert await watch.next() == (WatchEvent(volume, What.MOUNTED, point),)
                assert watch.mounts_inside(volume) == (point,)
                subprocess.run(["umount", point], check=True)
                async with asyncio.timeout(10):
                    (gone,) = await watch.next()
                assert isinstance(gone, Loss)
                assert watch.mounts_inside(volume) == ()
        finally:
            subprocess.run(["umount", "-lq", point], check=False, stderr=subprocess.DEVNULL)
            watch.close()

    asyncio.run(run())
