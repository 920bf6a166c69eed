"""Starts and ends are states of their own: nothing is said of a process that is the runtime's, or gone.

What the fakes show at those moments is what Docker and the kernel do: Docker calls a container running, and
names its process, before that has become the container's; and goes on doing so for a moment after its end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from mcsd.core.containers import ContainerId
from mcsd.core.daemon_json import NAME
from mcsd.core.isolation import Why
from mcsd.core.labels import Context
from mcsd.core.processes import FirstProcess, Stage
from mcsd.errors import HostError
from mcsd.ports import PidWatcher
from mcsd.state.container_status import PASSING
from tests.fakes.hostile import behind_the_gate, start, until
from tests.fakes.world import RUNTIME, World, with_world

CONTAINER = Context.parse("system_u:system_r:container_t:s0:c1,c2")
FORMER = Context.parse(RUNTIME)


@pytest.mark.parametrize(
    ("process", "stage"),
    [
        (FirstProcess(None), Stage.ENDING),
        (FirstProcess(None, CONTAINER), Stage.ENDING),
        (FirstProcess(CONTAINER), Stage.RUNNING),
        (FirstProcess(FORMER), Stage.RUNNING),
        (FirstProcess(FORMER, CONTAINER), Stage.STARTING),
        (FirstProcess(CONTAINER, CONTAINER), Stage.RUNNING),
    ],
)
def test_a_process_that_has_asked_for_another_label_is_not_yet_what_it_will_be(
    process: FirstProcess, stage: Stage
) -> None:
    assert process.stage is stage


def warnings(world: World) -> list[str]:
    return [notice.sentence for notice in world.papers.notices if notice.kind.value.priority <= 4]


def pid_of(world: World, ident: ContainerId) -> int:
    pid = world.docker.present[ident].pid
    assert pid is not None
    return pid


def test_a_thousand_normal_starts_and_stops_give_no_warning() -> None:
    async def life(world: World, number: int) -> None:
        mounts = [world.mount(f"/srv/{number}")] if number % 2 else []
        ident = world.create(f"n{number}", *mounts, start=False)
        world.start(ident)
        world.kernel.arriving[pid_of(world, ident)] = number % 4
        await asyncio.sleep(0.005 * (number % 5))
        world.docker.emit(ident, "kill")
        world.kernel.gone.add(pid_of(world, ident))
        await asyncio.sleep(0.005 * (number % 3))
        world.docker.die(ident)
        if number % 7:
            world.docker.change(ident, status="removing")
            world.docker.emit(ident, "stop")
            await asyncio.sleep(0)
            world.docker.remove(ident)

    async def story(world: World) -> None:
        for first in range(0, 1000, 50):
            async with asyncio.TaskGroup() as group:
                for number in range(first, first + 50):
                    group.create_task(life(world, number))
        await world.quiet()
        assert warnings(world) == []
        assert world.mcsd.facade.snapshot().problems == ()

    with_world(story)


def test_what_starts_is_shown_as_starting_and_judged_when_it_has() -> None:
    async def story(world: World) -> None:
        ident = world.create("a", start=False)
        world.start(ident)
        world.kernel.arriving[pid_of(world, ident)] = 10**9
        await world.quiet()
        seen = world.sighting(ident)
        assert (seen.verdict.isolated, seen.stage, seen.settled) == (None, Stage.STARTING, False)
        del world.kernel.arriving[pid_of(world, ident)]
        async with asyncio.timeout(15):
            while not world.sighting(ident).settled:  # nobody tells of it: mcsd looks again by itself
                await asyncio.sleep(0.01)
        assert world.sighting(ident).verdict.isolated is True
        assert warnings(world) == []

    with_world(story)


@pytest.mark.parametrize(("stays", "why"), [("starting", Why.PROCESS_LEVEL), ("ending", Why.PROCESS_UNKNOWN)])
def test_a_start_or_an_end_that_does_not_come_to_an_end_is_told(stays: str, why: Why) -> None:
    """Promise 8: nobody hides behind a state that says nothing."""

    async def story(world: World) -> None:
        ident = world.create("a", start=False)
        world.start(ident)
        if stays == "starting":
            world.kernel.arriving[pid_of(world, ident)] = 10**9
        else:
            world.kernel.gone.add(pid_of(world, ident))
        await world.quiet()
        assert world.sighting(ident).verdict.isolated is None
        world.clock.advance(PASSING)
        await world.quiet()
        verdict = world.sighting(ident).verdict
        assert verdict.isolated is False
        assert [reason.why for reason in verdict.reasons] == [why]
        assert len(warnings(world)) == 1

    with_world(story)


def test_a_process_at_the_granted_level_is_judged_whatever_it_has_asked_for() -> None:
    """Promise 8: `attr/exec` is the container's own to write."""

    async def story(world: World) -> None:
        ident = world.create("a")
        world.kernel.unbound.add("container_t")
        world.kernel.asked[pid_of(world, ident)] = RUNTIME
        await world.quiet()
        assert [reason.why for reason in world.sighting(ident).verdict.reasons] == [Why.UNBOUND_DOMAIN]

    with_world(story)


def test_a_process_of_the_runtime_gives_no_gated_container_its_level() -> None:
    async def story(world: World) -> None:
        ident = world.create("a", start=False, runtime=NAME)
        world.start(ident)
        world.kernel.arriving[pid_of(world, ident)] = 10**9
        await world.quiet()
        assert world.mcsd.store.cache.grants() == ()
        del world.kernel.arriving[pid_of(world, ident)]
        await world.quiet()
        assert str(world.level(ident)) == "s0:c0,c1"

    with_world(story)


def test_who_cannot_be_followed_ends_when_docker_says_so() -> None:
    """Promise 7: without a descriptor left there is still the engine; nothing is taken for ended before."""

    class Full:
        asked = 0

        def follow(self, pid: int, container: ContainerId, ended: Callable[[], None]) -> PidWatcher | None:
            Full.asked += 1
            raise HostError(f"process {pid} cannot be followed: too many open files", hint="wait")

    async def story(world: World) -> None:
        world.pid_watchers = Full()
        await behind_the_gate(world)
        a = world.create("a", world.mount("/srv/a"), start=False, runtime="mcsd")
        await start(world, a)
        await until(lambda: Full.asked > 0)
        await world.quiet()
        assert world.sighting(a).verdict.isolated is True
        world.docker.die(a)
        await world.quiet()
        assert world.sighting(a).container.running is False
        assert world.is_running

    with_world(story, gate={"level": "fresh"})
