"""mcsd killed at each step of a start through the gate, and of its end, over fakes: nothing leaks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from mcsd.core.grants import GrantState
from tests.fakes.volume_engine import BORN
from tests.fakes.world import World, with_world
from tests.unit.control.test_start_admission import ask, level_of, reboot, request, start, stop


class KilledError(Exception):
    """What everything outside says to a process that is gone."""


class Steps:
    """Counts what mcsd does outside itself, before and after each; from the one ordered on it is dead."""

    def __init__(self, world: World, last: int) -> None:
        self.taken = 0
        self._last = last
        for place, name in ((world.ledger, "apply"), (world.volumes, "relabel"), (world.volumes, "restore")):
            setattr(place, name, self._counted(getattr(place, name)))

    @property
    def is_dead(self) -> bool:
        """Whether the step was reached."""
        return self.taken > self._last

    def _counted(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            self._step()
            result = real(*arguments, **named)
            self._step()
            return result

        return call

    def _step(self) -> None:
        if not self.is_dead:
            self.taken += 1
        if self.is_dead:
            raise KilledError


def disarm(world: World) -> None:
    for name in ("relabel", "restore"):
        delattr(world.volumes, name)


@pytest.mark.parametrize("level", ["fresh", "sticky"])
@pytest.mark.parametrize("step", range(9))
def test_killed_at_a_step_of_a_start(step: int, level: str) -> None:
    """Promises 2, 3, 6 and 9. The last of these starts reaches its end: there are no more steps."""

    async def story(world: World) -> None:
        await reboot(world)
        a = world.create("aa", world.mount("/srv/a"), runtime="mcsd", start=False)
        await world.quiet()
        steps = Steps(world, step)
        with suppress(KilledError, ExceptionGroup):
            await ask(world, request(world, a))
        assert steps.is_dead is (step < 8), f"{steps.taken} steps"
        await bury(world)
        await world.boot()
        await world.quiet()
        again = level_of(await start(world, a))
        await world.quiet()
        assert world.level_on("/srv/a") == again == world.level(a)
        assert world.sighting(a).verdict.isolated is True
        living = [grant for grant in world.mcsd.store.cache.grants() if grant.state.is_living]
        assert [grant.container for grant in living] == [a], "no leaked grant"
        await end(world, a)

    with_world(story, gate={"level": level})


@pytest.mark.parametrize("step", range(11))
def test_killed_at_a_step_of_the_end(step: int) -> None:
    """Promises 2 and 6."""

    async def story(world: World) -> None:
        await reboot(world)
        a = world.create("aa", world.mount("/srv/a"), runtime="mcsd", start=False)
        await start(world, a)
        await world.quiet()
        steps = Steps(world, step)
        stop(world, a)
        with suppress(KilledError, ExceptionGroup):
            await world.quiet()
            world.clock.advance(601)
            await world.quiet()
        assert steps.is_dead is (step < 10), f"{steps.taken} steps"
        await bury(world)
        await world.boot()
        await end(world, a, running=False)

    with_world(story)


async def bury(world: World) -> None:
    """End what is left of an mcsd that was killed at a step, and of nothing else."""
    try:
        await world.kill()
    except* KilledError:
        pass
    disarm(world)


async def end(world: World, ident: Any, *, running: bool = True) -> None:
    """Have the container end, and see that nothing of it is left."""
    if running:
        stop(world, ident)
    await world.quiet()
    assert {grant.state for grant in world.mcsd.store.cache.grants()} <= {GrantState.QUARANTINED}
    world.clock.advance(601)
    await world.quiet()
    await asyncio.sleep(0)
    assert world.mcsd.store.cache.grants() == () and world.label("/srv/a") == BORN
