"""A failing host: one blocking call of the world hangs, raises, or returns something else.

    host = Hostile(world); host.hang(call) … host.release()

The call is selected by its owner, its name, and its subject; all others are passed through.
"""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from mcsd.control.start_admission import StartLabels, StartRequest
from mcsd.core.blocked import Party, Subject
from mcsd.core.containers import ContainerId
from mcsd.core.labels import Context
from tests.fakes.world import World

GATE = "/usr/libexec/mcsd/mcsd-gate"
VICTIM = "/mnt/victim"
SOON = 0.05
"""Seconds to wait for what hangs on purpose."""


@dataclass(frozen=True)
class Call:
    """One blocking call: of which part of the world, its name, and whom it asks.

    `party` is None for one that has limits of its own. With `of_victim` only what is asked about the victim
    is meant: its volume, its process, its container.
    """

    owner: str
    method: str
    party: Party | None
    of_victim: bool = True

    def __str__(self) -> str:
        return f"{self.owner}.{self.method}"


class Hostile:
    """See the module. `victim` is whom the calls are about that do not concern all."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.victim: ContainerId | None = None
        self.is_hit = False
        """Whether the call that is meant was made."""
        self._let_go = threading.Event()
        self._party: Party | None = None
        self._wrapped: tuple[object, str] = (self, "")
        world.patience = self._patience

    def _patience(self, subject: Subject) -> float:
        return SOON if subject.party is self._party and subject.name in self._names() else 3600.0

    def _names(self) -> set[str]:
        pid = self.world.docker.present[self.victim].pid if self.victim in self.world.docker.present else 0
        mine = {key for key, stored in self.world.volumes.originals.items() if stored.path == VICTIM}
        return {"", VICTIM, str(pid), *mine}

    def _is_meant(self, call: Call, arguments: tuple[Any, ...]) -> bool:
        asked = {str(one) for one in arguments}
        return not call.of_victim or bool(asked & {*self._names(), str(self.victim)} - {""})

    def hang(self, call: Call) -> None:
        """Have a call hang until `release`."""
        self._party = call.party
        self._let_go.clear()
        self._wrap(call, lambda real: real())

    def fail(self, call: Call, make: Callable[[], BaseException]) -> None:
        """Have a call raise."""

        def instead(real: Callable[[], Any]) -> Any:
            raise make()

        self._let_go.set()
        self._wrap(call, instead)

    def give(self, call: Call, result: object) -> None:
        """Have a call give something."""
        self._let_go.set()
        self._wrap(call, lambda real: result)

    def _wrap(self, call: Call, then: Callable[[Callable[[], Any]], Any]) -> None:
        owner = getattr(self.world, call.owner)
        vars(owner).pop(call.method, None)
        real = getattr(owner, call.method)
        self.is_hit = False

        def wrapped(*arguments: Any, **named: Any) -> Any:
            if not self._is_meant(call, arguments):
                return real(*arguments, **named)
            self.is_hit = True
            self._let_go.wait()
            return then(lambda: real(*arguments, **named))

        async def wrapped_async(*arguments: Any, **named: Any) -> Any:
            meant = self._is_meant(call, arguments)
            self.is_hit = self.is_hit or meant
            while meant and not self._let_go.is_set():
                await asyncio.sleep(0.001)
            found = then(lambda: real(*arguments, **named)) if meant else real(*arguments, **named)
            return await found if inspect.isawaitable(found) else found

        setattr(owner, call.method, wrapped_async if inspect.iscoroutinefunction(real) else wrapped)
        self._wrapped = owner, call.method

    def release(self) -> None:
        """Let the call, and all that hang in it, go through."""
        owner, method = self._wrapped
        vars(owner).pop(method, None)
        self._let_go.set()
        self._party = None


async def behind_the_gate(world: World) -> None:
    """Restart mcsd on a host whose Docker starts everything through the gate."""
    info = world.docker.engine_info
    world.docker.engine_info = replace(info, default_runtime="mcsd", runtimes=(("mcsd", GATE),))
    await world.kill()
    await world.boot()
    await world.quiet()


async def start(world: World, ident: ContainerId) -> StartLabels:
    """Start a container as Docker does with the gate in between."""
    seen = world.docker.present[ident]
    process, mount = seen.process_label, seen.mount_label
    assert isinstance(process, Context) and isinstance(mount, Context), "Docker labels it"
    asked = StartRequest(ident, process, mount)
    with world.docker.starting(ident):
        admission = await world.mcsd.start_admission.create(asked)
        world.start(ident)
        world.kernel.labels[ident] = admission.process_label or process
    return admission


def end(world: World, ident: ContainerId) -> None:
    """Let a container's process end."""
    world.mcsd.start_admission.delete(ident)
    world.docker.die(ident)


async def until(is_so: Callable[[], bool], what: str = "that") -> None:
    """Let mcsd continue until a condition holds."""
    for _ in range(6000):
        if is_so():
            return
        await asyncio.sleep(0.005)
    raise AssertionError(f"it has not come to {what}")


class Load:
    """Containers that start, with a volume and without, and end and are removed, again and again."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.rounds = 0
        self._may_go = asyncio.Event()
        self._may_go.set()
        self._rests = asyncio.Event()
        self._task = asyncio.create_task(self._run())

    async def pause(self) -> None:
        """Let it come to the end of its round, and wait there."""
        self._may_go.clear()
        await self._rests.wait()

    def go(self) -> None:
        """Let it go on."""
        self._rests.clear()
        self._may_go.set()

    async def _run(self) -> None:
        number = 0
        while True:
            if not self._may_go.is_set():
                self._rests.set()
                await self._may_go.wait()
            number += 1
            plain = self.world.create(f"plain{number}", runtime="mcsd", start=False)
            mount = self.world.mount(f"/srv/load{number % 3}")
            bound = self.world.create(f"bound{number}", mount, runtime="mcsd", start=False)
            for ident in (plain, bound):
                admission = await start(self.world, ident)
                own = admission.process_label
                assert own is not None and own.level.categories, "it has a level of its own"
            assert self.world.level_on(mount.source) == self.world.level(bound), "its volume is ready"
            for ident in (plain, bound):
                end(self.world, ident)
                self.world.docker.remove(ident)
            await until(lambda ident=bound: self._is_gone(ident), "the end of a container")  # type: ignore[misc]
            self.rounds += 1

    def _is_gone(self, ident: ContainerId) -> bool:
        grant = self.world.mcsd.store.cache.grant_of(ident)
        return grant is None or not grant.state.is_living

    async def goes_on(self, rounds: int = 1) -> None:
        """Wait for so many rounds; raise what has ended it."""
        wanted = self.rounds + rounds
        while self.rounds < wanted:
            done, _ = await asyncio.wait([self._task], timeout=0.01)
            if done:
                await self._task
            assert self.world.is_running, "mcsd has ended"

    async def stop(self) -> None:
        """End it; raise what has ended it before."""
        self._task.cancel()
        await asyncio.wait([self._task])
        if not self._task.cancelled():
            await self._task
