"""What every `DiskWatch` must do, the fake included: one suite over a world that others change.

Each method whose name begins with `test_` takes a fresh world and asserts. Nothing waits for a fixed time:
that there was no event is seen by the next one.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

from mcsd.core.disk import Loss, Watched, WatchEvent, What
from mcsd.core.volumes import Identity, VolumeId
from mcsd.ports import DiskWatch

ONE, OTHER = VolumeId("1" * 32), VolumeId("2" * 32)
TARGET = "system_u:object_r:container_file_t:s0:c1,c2"
OTHERS = "system_u:object_r:container_file_t:s0:c3,c4"
HOME = "system_u:object_r:var_t:s0"


class World(Protocol):
    """A directory `top` of a host, with room for `most` directories under watch.

    Another process makes the changes; what is created without a label gets that of the directory above.
    """

    @property
    def watch(self) -> DiskWatch: ...

    @property
    def top(self) -> str: ...

    @property
    def most(self) -> int: ...

    async def make(self, path: str, label: str | None = None, *, directory: bool = False) -> None:
        """Make a file or a directory."""
        ...

    async def relabel(self, path: str, label: str) -> None:
        """Write a label."""
        ...

    async def touch(self, path: str) -> None:
        """Change a file's mode and nothing else."""
        ...

    async def move(self, path: str, to: str) -> None:
        """Rename."""
        ...

    async def relabel_ourselves(self, path: str, label: str) -> None:
        """Write a label as mcsd does."""
        ...

    def identity(self, path: str) -> Identity:
        """What something is."""
        ...


async def prepare(world: World, name: str = "v", label: str = TARGET) -> str:
    """Make a volume with a file and a directory with a file, all at one label."""
    volume = f"{world.top}/{name}"
    await world.make(volume, label, directory=True)
    await world.make(f"{volume}/f", label)
    await world.make(f"{volume}/d", label, directory=True)
    await world.make(f"{volume}/d/g", label)
    return volume


async def watched(
    world: World, name: str = "v", volume: VolumeId = ONE, target: str = TARGET, *, with_files: bool = False
) -> str:
    """Make a volume, and have it watched."""
    path = await prepare(world, name, target)
    answer = await world.watch.watch(volume, path, world.identity(path), target, with_files=with_files)
    assert answer == Watched(2), answer
    return path


async def told(world: World) -> tuple[WatchEvent, ...]:
    """Wait for what is told next; it must be no loss."""
    async with asyncio.timeout(10):
        found = await world.watch.next()
    assert not [one for one in found if isinstance(one, Loss)], found
    return tuple(one for one in found if isinstance(one, WatchEvent))


async def only(world: World) -> WatchEvent:
    """Wait for what is told next: one thing."""
    (sight,) = await told(world)
    return sight


async def closing(world: World, path: str) -> None:
    """Check that the next event is about a change that is made now."""
    await world.make(f"{world.top}/marker", HOME)
    await world.move(f"{world.top}/marker", f"{path}/marker")
    assert (await only(world)).path == f"{path}/marker"


class DiskWatchContract:
    """See the module."""

    async def test_a_label_that_somebody_changes_is_told(self, world: World) -> None:
        path = await watched(world)
        await world.relabel(f"{path}/d/g", OTHERS)
        sight = await only(world)
        here = world.identity(f"{path}/d/g")
        assert sight == WatchEvent(ONE, What.RELABELLED, f"{path}/d/g", OTHERS, here)

    async def test_the_root_s_own_label_too(self, world: World) -> None:
        path = await watched(world)
        await world.relabel(path, HOME)
        sight = await only(world)
        assert (sight.path, sight.label, sight.is_directory) == (path, HOME, True)

    async def test_a_directory_is_told_as_one(self, world: World) -> None:
        path = await watched(world)
        await world.relabel(f"{path}/d", HOME)
        assert [(one.path, one.is_directory) for one in set(await told(world))] == [(f"{path}/d", True)]

    async def test_what_carries_the_target_is_not_told(self, world: World) -> None:
        path = await watched(world)
        await world.touch(f"{path}/f")
        await world.relabel(f"{path}/d/g", TARGET)
        await closing(world, path)

    async def test_our_own_writing_is_not_told(self, world: World) -> None:
        path = await watched(world)
        await world.relabel_ourselves(f"{path}/f", HOME)
        await closing(world, path)

    async def test_what_is_moved_in_is_told(self, world: World) -> None:
        path = await watched(world)
        await world.make(f"{world.top}/x", HOME)
        await world.move(f"{world.top}/x", f"{path}/d/x")
        sight = await only(world)
        assert (sight.what, sight.path, sight.label) == (What.MOVED_IN, f"{path}/d/x", HOME)

    async def test_what_is_moved_inside_is_not_told(self, world: World) -> None:
        path = await watched(world)
        await world.move(f"{path}/f", f"{path}/d/f")
        await world.move(f"{path}/d", f"{path}/e")
        await closing(world, path)
        await world.relabel(f"{path}/e/f", HOME)
        assert (await only(world)).path == f"{path}/e/f"

    async def test_what_is_moved_out_with_the_volume_s_label_is_told(self, world: World) -> None:
        path = await watched(world)
        identity = world.identity(f"{path}/f")
        await world.move(f"{path}/f", f"{world.top}/f")
        assert await only(world) == WatchEvent(ONE, What.MOVED_OUT, f"{world.top}/f", TARGET, identity)

    async def test_a_directory_that_is_moved_out_is_followed_and_watched_no_more(self, world: World) -> None:
        path = await watched(world)
        await world.move(f"{path}/d", f"{world.top}/out")
        sight = await only(world)
        assert (sight.what, sight.path, sight.is_directory) == (What.MOVED_OUT, f"{world.top}/out", True)
        await world.relabel(f"{world.top}/out/g", HOME)
        await closing(world, path)

    async def test_what_goes_from_one_volume_to_the_other_leaves_before_it_comes(self, world: World) -> None:
        one, other = await watched(world), await watched(world, "w", OTHER, OTHERS)
        await world.move(f"{one}/d", f"{other}/e")
        sights = await told(world)
        assert [(s.volume, s.what, s.path) for s in sights[:2]] in (
            [(ONE, What.MOVED_OUT, f"{other}/e"), (OTHER, What.MOVED_IN, f"{other}/e")],
            [(ONE, What.MOVED_OUT, f"{other}/e"), (OTHER, What.MOVED_IN, f"{other}/e/g")],
        )
        await world.relabel(f"{other}/e/g", HOME)
        assert [(s.volume, s.path) for s in await told(world)] == [(OTHER, f"{other}/e/g")]

    async def test_a_new_directory_is_watched(self, world: World) -> None:
        path = await watched(world)
        await world.make(f"{path}/n", directory=True)
        await world.make(f"{path}/n/m", directory=True)
        await world.make(f"{path}/n/m/x")
        await closing(world, path)  # by then it has been taken note of
        await world.relabel(f"{path}/n/m/x", HOME)
        assert (await only(world)).path == f"{path}/n/m/x"

    async def test_a_new_directory_with_another_label_is_told(self, world: World) -> None:
        path = await watched(world)
        await world.make(f"{path}/n", OTHERS, directory=True)
        sights = set(await told(world))
        assert {(one.path, one.label) for one in sights} == {(f"{path}/n", OTHERS)}

    async def test_a_directory_that_is_moved_in_is_watched(self, world: World) -> None:
        path = await watched(world)
        await world.make(f"{world.top}/n", HOME, directory=True)
        await world.make(f"{world.top}/n/x", TARGET)
        await world.move(f"{world.top}/n", f"{path}/n")
        assert f"{path}/n" in {one.path for one in await told(world)}
        await world.relabel(f"{path}/n/x", OTHERS)
        assert (await only(world)).path == f"{path}/n/x"

    async def test_new_files_are_looked_at_where_that_is_wanted(self, world: World) -> None:
        path = await watched(world, with_files=True)
        await world.make(f"{path}/x", OTHERS)
        assert {one.path for one in await told(world)} == {f"{path}/x"}

    async def test_what_is_released_tells_nothing(self, world: World) -> None:
        one, other = await watched(world), await watched(world, "w", OTHER, OTHERS)
        world.watch.release(ONE)
        world.watch.release(ONE)
        await world.relabel(f"{one}/f", HOME)
        await closing(world, other)
        assert world.watch.directories() == 2

    async def test_what_is_watched_again_is_watched(self, world: World) -> None:
        await watched(world, "w", OTHER, OTHERS)
        path = await watched(world)
        world.watch.release(ONE)
        assert await world.watch.watch(ONE, path, world.identity(path), TARGET) == Watched(2)
        await world.relabel(f"{path}/d/g", HOME)
        assert (await only(world)).path == f"{path}/d/g"

    async def test_another_target_counts_from_the_answer_on(self, world: World) -> None:
        path = await watched(world)
        await world.watch.watch(ONE, path, world.identity(path), OTHERS)
        await world.relabel(f"{path}/f", OTHERS)
        await world.relabel(f"{path}/d/g", HOME)
        assert (await only(world)).path == f"{path}/d/g"

    async def test_a_volume_that_is_a_file_is_looked_at_in_rounds(self, world: World) -> None:
        """Watching one needs permission to read it, which mcsd's domain does not have."""
        path = f"{world.top}/conf"
        await world.make(path, TARGET)
        answer = await world.watch.watch(ONE, path, world.identity(path), TARGET)
        assert not answer.is_watched and "single file" in answer.why
        assert world.watch.directories() == 0

    async def test_what_is_another_by_now_is_not_watched(self, world: World) -> None:
        path = await prepare(world)
        was = world.identity(path)
        answer = await world.watch.watch(ONE, path, Identity(was.device, was.inode + 1), TARGET)
        assert "no longer the one it was" in answer.why
        answer = await world.watch.watch(ONE, f"{world.top}/nothing", was, TARGET)
        assert "does not exist" in answer.why
        assert world.watch.directories() == 0

    async def test_what_is_too_large_is_not_watched(self, world: World) -> None:
        path = await prepare(world)
        for number in range(world.most):
            await world.make(f"{path}/{number}", directory=True)
        answer = await world.watch.watch(ONE, path, world.identity(path), TARGET)
        assert "more directories" in answer.why
        assert not answer.is_watched
        other = await watched(world, "w", OTHER, OTHERS)
        await world.relabel(f"{path}/f", HOME)
        await closing(world, other)
