"""What the daemon counts on the way, over a whole host in memory: what the measurements are made of."""

from __future__ import annotations

import asyncio
import time

from mcsd.errors import VolumeRefusedError
from tests.fakes.world import World, with_world


def _rules(world: World, kind: str = "VOLUME_REFUSED") -> list[object]:
    return [n.fields.get("rule") for n in world.papers.notices if n.kind.name == kind]


def test_each_refusal_is_told_with_its_rule() -> None:
    async def story(world: World) -> None:
        world.mount("/etc")
        world.volumes.trees["/etc"].error = VolumeRefusedError("no", hint="no", rule="system")
        world.create("a", world.mount("/etc"))
        await world.quiet()
        world.create("b", world.mount("/srv/one"))
        await world.quiet()
        world.create("c", world.mount("/srv/one"))
        await world.quiet()
        assert _rules(world) == ["held"]
        assert _rules(world, "VOLUME_LEFT_ALONE") == ["system"]
        event = world.mcsd.facade.recent_events()[-1]
        assert "rule" not in event.message

    with_world(story)


def test_the_lag_of_an_event_is_counted_once_and_a_look_without_one_not_at_all() -> None:
    async def story(world: World) -> None:
        world.clock.advance(time.time() - world.clock.now())  # the fake Docker stamps its events so
        await _synced(world)
        world.create("a", start=False)
        while sum(world.mcsd.watcher.lag.counts) == 0:
            await _turn()
        await world.mcsd.watcher.hints.quiet()
        before = sum(world.mcsd.watcher.lag.counts)
        await world.mcsd.watcher.resync()
        await world.mcsd.watcher.hints.quiet()
        assert sum(world.mcsd.watcher.lag.counts) == before
        figures = await world.mcsd.facade.figures()
        assert figures.event_lag == world.mcsd.watcher.lag
        assert all(count == 0 for count in figures.event_lag.counts[-1:])

    with_world(story)


def test_looks_at_everything_are_counted_by_why() -> None:
    async def story(world: World) -> None:
        await _synced(world)
        world.docker.lose_events()
        while (await world.mcsd.facade.figures()).resyncs["lost"] == 0:
            await _turn()
        assert (await world.mcsd.facade.figures()).resyncs["connected"] == 1
        world.mcsd.watcher.look_again()
        before = world.mcsd.watcher.resyncs.copy()
        while world.mcsd.watcher.resyncs == before:
            await _turn()
        assert "RESYNCED" in world.papers.kinds()

    with_world(story)


def test_the_originals_on_disk_are_measured() -> None:
    async def story(world: World) -> None:
        assert (await world.mcsd.facade.figures()).originals_bytes == 0
        world.create("a", world.mount("/srv/a"))
        await world.quiet()
        assert (await world.mcsd.facade.figures()).originals_bytes == 100

    with_world(story)


async def _synced(world: World) -> None:
    while not world.mcsd.watcher.is_synced:
        await _turn()


async def _turn() -> None:
    await asyncio.sleep(0.005)
