"""Hosts of a fleet in memory, with one store, for the tests of what a daemon does there."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from mcsd.app.wiring import FleetSide
from mcsd.control.fleet_keeper import FleetKeeper
from mcsd.core.fleet.administration import found
from mcsd.core.fleet.protocol import View
from mcsd.core.fleet.values import Reading, Swap
from mcsd.errors import FleetError
from tests.fakes.fleet_store import MemoryStore
from tests.fakes.world import World
from tests.unit.control.test_start_admission import gated

NAMES = ("alpha", "beta")


class UnsteadyStore(MemoryStore):
    """A store that may be out of reach, and whose answers to transactions may be wrong."""

    def __init__(self) -> None:
        super().__init__()
        self.is_down = False
        self.lies = False

    def read(self) -> Reading:
        if self.is_down:
            raise FleetError("nobody answers")
        return super().read()

    def swap(self, swap: Swap) -> bool:
        if self.is_down:
            raise FleetError("nobody answers")
        done = super().swap(swap)
        if self.lies:
            raise FleetError("the answer was lost")
        return done

    def administer(self, change: Callable[[View], Swap]) -> None:
        view = View.of(self.read())
        assert view is not None
        assert super().swap(change(view))


ids = iter(f"{number:032x}" for number in range(10**9))


def new_id() -> str:
    return next(ids)


def host(store: MemoryStore, name: str = "alpha", machine: str = "dmi:a", **config: Any) -> World:
    """A host of the fleet."""
    fleet = {"name": name, "store": "unix:///run/s", "reserve": 500, "beat": "1h", **config}
    world = World(fleet=fleet, seed=ord(name[0]))
    world.fleet = FleetSide(store, machine)
    return world


def keeper(world: World) -> FleetKeeper:
    found = world.mcsd.fleet_keeper
    assert found is not None
    return found


def play(story: Callable[[UnsteadyStore], Awaitable[None]]) -> None:
    async def run() -> None:
        store = UnsteadyStore()
        store.swap(found(store.read(), NAMES, new_id))
        await asyncio.wait_for(story(store), 30)

    asyncio.run(run())


async def booted(world: World) -> World:
    await world.boot()
    await keeper(world).turn()
    return world


def gated_host(store: MemoryStore) -> World:
    world = host(store)
    gated(world)
    return world
