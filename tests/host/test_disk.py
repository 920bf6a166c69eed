"""The disk is the truth: mcsd over a fake Docker, and real files that somebody else has his hands in.

Each situation is one that was seen on users' hosts; the hands are another process, because what mcsd itself
writes is told to nobody.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, cast

import pytest

from mcsd.adapters.fanotify.watch import FanotifyWatch
from mcsd.adapters.host.files import HostFiles
from mcsd.adapters.host.strays import StrayFile
from mcsd.core.containers import ContainerId
from mcsd.core.labels import level_of
from mcsd.core.notices import Kind
from mcsd.core.protected import ProtectionRules
from mcsd.relabel import Engine
from mcsd.relabel.passing import Effort
from tests.fakes.world import World
from tests.host.relabel_trees import HAS_SELINUX, label_of, labels

pytestmark = [
    pytest.mark.host,
    pytest.mark.skipif(HAS_SELINUX, reason="there the kernel has its say about labels; the guest shows it"),
]
VAR = "system_u:object_r:var_t:s0"
SHARED = "system_u:object_r:svirt_sandbox_file_t:s0"

_HANDS = """
import os, sys
def put(path, label):
    os.setxattr(path, "security.selinux", label.encode() + b"\\0", follow_symlinks=False)
todo, *words = sys.argv[1:]
if todo == "chcon":
    put(*words)
elif todo == "chcon -R":
    for above, directories, files in os.walk(words[0], topdown=False):
        for name in directories + files:
            put(os.path.join(above, name), words[1])
    put(*words)
elif todo == "mv":
    os.rename(*words)
elif todo == "make":
    with open(words[0], "w") as file:
        file.write("text")
    put(*words)
elif todo == "mkdir":
    os.mkdir(words[0])
    put(*words)
"""


def by_hand(*words: str | Path) -> None:
    """Do something as somebody else."""
    subprocess.run([sys.executable, "-c", _HANDS, *map(str, words)], check=True)


class Host(World):
    """A world whose files are this machine's, below `top`."""

    def __init__(self, top: Path) -> None:
        super().__init__(volumes={"linger": "1s"})
        self.top = top
        self.volumes = cast(
            Any,
            Engine(
                store=top / "store",
                rules=ProtectionRules.of(state=[str(top / "store")]),
                default_label=lambda path, mode: None,
                effort=Effort(nice=0, io_priority=-1),
            ),
        )
        self.disk_watch = cast(Any, FanotifyWatch(most=1000))
        self.files = cast(Any, HostFiles())
        self.strays = cast(Any, StrayFile(top / "strays.json"))

    @property
    def has_disk_news(self) -> bool:
        """Never: what the kernel still holds cannot be asked for. A story waits for what should follow."""
        return False

    def plant(self, name: str) -> Path:
        """Make a directory with a few files."""
        root = self.top / name
        by_hand("mkdir", root, VAR)
        by_hand("mkdir", root / "d", VAR)
        for file in (root / "f", root / "d" / "g", root / "d" / "h"):
            by_hand("make", file, VAR)
        return root

    async def run(self, name: str, root: Path, **fields: Any) -> ContainerId:
        """Have a container run on a directory, and wait until that is watched."""
        ident = self.create(name, self.mount_at(root, **fields))
        await self.quiet()
        return ident

    def mount_at(self, root: Path, **fields: Any) -> Any:
        """A bind mount of a real directory."""
        from dataclasses import replace

        from mcsd.core.containers import Mount, MountKind

        return replace(Mount(MountKind.BIND, str(root), "/data"), **fields)

    def target(self, ident: ContainerId) -> bytes:
        """What a container's volume is to carry."""
        return f"system_u:object_r:svirt_sandbox_file_t:{self.level(ident)}\0".encode()


def carries(root: Path, label: bytes | str) -> bool:
    wanted = label.encode() + b"\0" if isinstance(label, str) else label
    return set(labels(root).values()) == {wanted}


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not is_so():
            await asyncio.sleep(0.02)


def told(host: Host, kind: Kind) -> list[dict[str, object]]:
    return [dict(one.fields) for one in host.papers.notices if one.kind is kind]


def on_this_host(story: Callable[[Host], Awaitable[None]], top: Path) -> None:
    async def run() -> None:
        host = Host(top)
        await host.boot()
        try:
            await asyncio.wait_for(story(host), 60)
        finally:
            await host.kill()
            host.disk_watch.close()

    asyncio.run(run())


@pytest.mark.parametrize("letter", ["z", "Z"])
def test_a_refused_container_takes_the_volume_and_does_not_keep_it(tmp_path: Path, letter: str) -> None:
    """Situation 1: Docker relabels all the same; the originals come back at the end, with `:z` too."""

    async def story(host: Host) -> None:
        root = host.plant("x")
        before = labels(root)
        holder = await host.run("h", root)
        thief = host.create("t", host.mount_at(root, options=frozenset({letter})))
        await host.quiet()
        mount_label = next(
            one for one in host.mcsd.container_status.containers() if one.id == thief
        ).mount_label
        level = level_of(mount_label)
        by_hand("chcon -R", root, SHARED if letter == "z" else f"{SHARED.removesuffix(':s0')}:{level}")
        await until(lambda: carries(root, host.target(holder)))
        await until(lambda: bool(told(host, Kind.VOLUME_TOUCHED)))
        assert told(host, Kind.VOLUME_TOUCHED)[0]["what"] == "container t changed labels in it"
        await until(lambda: host.sighting(holder).verdict.isolated is True)
        for ident in (holder, thief):
            host.docker.remove(ident)
        await host.quiet()
        host.clock.advance(10)
        await host.quiet()
        assert labels(root) == before

    on_this_host(story, tmp_path)


def test_files_that_come_are_the_volume_s_and_have_their_own_label_at_the_end(tmp_path: Path) -> None:
    """Situation 5: `mv` into a running container's volume."""

    async def story(host: Host) -> None:
        root = host.plant("b")
        holder = await host.run("b", root)
        by_hand("make", host.top / "new", VAR)
        by_hand("mkdir", host.top / "dir", VAR)
        by_hand("make", host.top / "dir" / "below", VAR)
        by_hand("mv", host.top / "new", root / "new")
        by_hand("mv", host.top / "dir", root / "d" / "dir")
        await until(lambda: carries(root, host.target(holder)))
        await until(lambda: host.sighting(holder).verdict.isolated is True)
        assert not [one.sentence for one in host.papers.notices if one.kind is Kind.NOT_ISOLATED]
        host.docker.remove(holder)
        await host.quiet()
        host.clock.advance(10)
        await host.quiet()
        assert carries(root, VAR)

    on_this_host(story, tmp_path)


def test_restorecon_over_a_volume_in_use_is_undone(tmp_path: Path) -> None:
    """Situation 5, on the reference policy: the type goes and the level stays."""

    async def story(host: Host) -> None:
        root = host.plant("r")
        holder = await host.run("r", root)
        by_hand("chcon -R", root, f"system_u:object_r:var_t:{host.level(holder)}")
        await until(lambda: carries(root, host.target(holder)))
        await until(lambda: host.sighting(holder).verdict.isolated is True)

    on_this_host(story, tmp_path)


def test_files_that_leave_are_followed(tmp_path: Path) -> None:
    """Situation 4: `mv` out of the volume, of a file and of a directory, and back."""

    async def story(host: Host) -> None:
        root = host.plant("a")
        holder = await host.run("a", root)
        out = host.top / "out"
        by_hand("mkdir", out, VAR)
        by_hand("mv", root / "f", out / "f")
        by_hand("mv", root / "d", out / "d")
        await until(lambda: carries(out, VAR))
        by_hand("mv", out / "d", root / "again")
        await until(lambda: carries(root, host.target(holder)))
        assert label_of(out / "f") == VAR.encode() + b"\0"

    on_this_host(story, tmp_path)


def test_what_goes_from_one_volume_to_the_other_is_the_other_s(tmp_path: Path) -> None:
    """Situations 3 and 4: no original carries a pair."""

    async def story(host: Host) -> None:
        one, other = host.plant("one"), host.plant("other")
        first, second = await host.run("one", one), await host.run("other", other)
        by_hand("mv", one / "d", other / "came")
        await until(lambda: carries(other, host.target(second)))
        assert carries(one, host.target(first))
        for ident in (first, second):
            host.docker.remove(ident)
        await host.quiet()
        host.clock.advance(10)
        await host.quiet()
        assert carries(one, VAR)
        assert carries(other, VAR)

    on_this_host(story, tmp_path)


def test_copies_are_found_and_keep_their_level_from_everybody(tmp_path: Path) -> None:
    """Situations 3 and 4: `cp -a`."""

    async def story(host: Host) -> None:
        root = host.plant("c")
        holder = await host.run("c", root)
        level = host.level(holder)
        subprocess.run(["cp", "-a", root, host.top / "copy"], check=True)
        scanner = host.mcsd.scanner
        scanner.start(str(host.top), gently=False)
        await until(lambda: (state := scanner.catch().scan) is not None and state.finished is not None)
        (stray,) = scanner.catch().strays.values()
        assert (stray.level, stray.count) == (level, 5)
        assert all(path.startswith(str(host.top / "copy")) for path in stray.paths)
        host.docker.remove(holder)
        await host.quiet()
        host.clock.advance(10)
        await host.quiet()
        assert host.mcsd.store.allocator.holders_of(level), "the copy has it still"
        by_hand("chcon -R", host.top / "copy", VAR)
        scanner.start(str(host.top), gently=False)
        await until(lambda: not scanner.catch().strays)
        assert not host.mcsd.store.allocator.holders_of(level)

    on_this_host(story, tmp_path)


def test_a_fresh_directory_is_watched_too(tmp_path: Path) -> None:
    async def story(host: Host) -> None:
        root = host.plant("n")
        holder = await host.run("n", root)
        target = host.target(holder).rstrip(b"\0").decode()
        os.makedirs(root / "p" / "q", exist_ok=True)
        by_hand("mkdir", root / "m", target)
        by_hand("make", root / "m" / "x", target)
        await asyncio.sleep(0.3)
        by_hand("chcon", root / "m" / "x", VAR)
        await until(lambda: label_of(root / "m" / "x") == host.target(holder))

    on_this_host(story, tmp_path)
