"""Any history of a host ends well: thousands of steps on a host in memory, with the daemon of production.

Containers come, go and restart, with levels of their own, another's, or a reservation's; events are lost,
doubled and forged; Docker goes away; mcsd is killed between any two steps of its work; the host is rebooted
and numbers its devices anew; file systems are unmounted; the ledger fails, is lost, or is put back from an
old copy; strangers take levels. After each step promises 2 and 3 hold whatever mcsd is doing, and once it is
quiet so does promise 1. In the end all is put back (promises 6 and 7).

`make test-long` runs thousands of histories; `MCSD_HISTORIES` says how many.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any
from unittest.mock import patch

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mcsd import reservations
from mcsd.core.labels import Context, Level
from mcsd.core.processes import Carrier
from mcsd.core.sharing import conflicts_of
from mcsd.core.volumes import ClaimMode, ClaimState
from mcsd.errors import LedgerError, McsdError, VolumeFailedError
from tests.fakes.volume_engine import BORN
from tests.fakes.world import World

PATHS = ("/srv/a", "/srv/b", "/srv/b/inside", "/srv/c")


class History:
    """A host, and the steps that can happen on it; each takes a source of chance."""

    def __init__(self, world: World, chance: random.Random) -> None:
        self.world = world
        self.chance = chance
        self.backup = world.tables.copy()
        self.steps: dict[str, Callable[[], Awaitable[None]]] = {
            name.removeprefix("do_"): getattr(self, name) for name in dir(self) if name.startswith("do_")
        }

    def some(self) -> Any:
        """One of the containers, or None."""
        present = sorted(self.world.docker.present)
        return self.chance.choice(present) if present else None

    async def do_create(self) -> None:
        sources = self.chance.sample(PATHS, self.chance.randrange(3))
        mounts = [self.world.mount(source, f"/m{n}") for n, source in enumerate(sources)]
        labels = (("io.mcsd.volume", "/m0:shared"),) if self.chance.random() < 0.3 else ()
        own: dict[str, Any] = {}
        if self.chance.random() < 0.2:
            own["process_label"] = f"system_u:system_r:container_t:s0:c{self.chance.randrange(4)},c900"
        name = f"n{self.chance.randrange(10**6)}"
        self.world.create(name, *mounts, start=self.chance.random() < 0.7, labels=labels, **own)

    async def do_join(self) -> None:
        """`--ipc=container:X`: one level, on purpose."""
        ident = self.some()
        if ident is not None:
            other = self.world.docker.present[ident]
            self.world.create(
                f"n{self.chance.randrange(10**6)}",
                ipc_mode=f"container:{ident}",
                process_label=other.process_label,
                start=self.chance.random() < 0.7,
            )

    async def do_reserve(self) -> None:
        with suppress(McsdError), patch.object(reservations, "FIRST_LOOK", 0.01):
            await self.world.mcsd.reservations.reserve(f"r{self.chance.randrange(3)}")

    async def do_use(self) -> None:
        """A container is made with a reservation's level, whether or not another has it already."""
        reserved = [one for one in self.world.mcsd.scribe.book.grants() if one.reservation]
        if reserved:
            label = f"system_u:system_r:container_t:{self.chance.choice(reserved).level}"
            mount = self.world.mount(self.chance.choice(PATHS), "/m0")
            self.world.create(f"n{self.chance.randrange(10**6)}", mount, process_label=label)

    async def do_release(self) -> None:
        with suppress(McsdError):
            await self.world.mcsd.reservations.release(f"r{self.chance.randrange(3)}")

    async def do_reboot(self) -> None:
        await self.world.kill()
        self.world.kernel.strangers.clear()
        for ident in tuple(self.world.docker.present):
            self.world.docker.die(ident)
        self.world.volumes.renumber()
        await self.world.boot()

    async def do_unmount(self) -> None:
        tree = self.world.volumes.trees.get(self.chance.choice(PATHS))
        if tree is not None:
            tree.error = VolumeFailedError(f"volume {tree.path!r} does not exist", hint="mount it")

    async def do_mount(self) -> None:
        for tree in self.world.volumes.trees.values():
            tree.error = None

    async def do_start(self) -> None:
        ident = self.some()
        if ident is not None and not self.world.docker.present[ident].running:
            self.world.start(ident)

    async def do_die(self) -> None:
        ident = self.some()
        if ident is not None:
            self.world.docker.die(ident)

    async def do_remove(self) -> None:
        ident = self.some()
        if ident is not None:
            self.world.docker.remove(ident)

    async def do_vanish(self) -> None:
        ident = self.some()
        if ident is not None:
            self.world.docker.vanish(ident)

    async def do_lose_events(self) -> None:
        self.world.docker.drop_events(self.chance.randrange(1, 4))

    async def do_lie(self) -> None:
        action = self.chance.choice(["destroy", "die", "start", "create", "rename"])
        ident = self.some() or "0" * 64
        for _ in range(self.chance.randrange(1, 3)):
            self.world.docker.emit(ident, action)

    async def do_docker_goes(self) -> None:
        self.world.docker.go_down()

    async def do_docker_comes(self) -> None:
        self.world.docker.come_up()

    async def do_kill(self) -> None:
        await self.world.kill()
        await self.world.boot()

    async def do_ledger_fails(self) -> None:
        self.world.ledger.failure = LedgerError("the disk is full")

    async def do_ledger_works(self) -> None:
        self.world.ledger.failure = None

    async def do_back_up(self) -> None:
        self.backup = self.world.tables.copy()

    async def do_put_back(self) -> None:
        await self.world.kill()
        self.world.tables = self.backup.copy()
        await self.world.boot()

    async def do_lose_ledger(self) -> None:
        await self.world.kill()
        self.world.tables = type(self.world.tables)()
        await self.world.boot()

    async def do_stranger(self) -> None:
        level = Level.parse(f"s0:c{self.chance.randrange(8)},c{self.chance.randrange(8, 16)}")
        self.world.kernel.strangers.append(Carrier(77, f"system_u:system_r:svirt_t:{level}", level))

    async def do_stranger_goes(self) -> None:
        self.world.kernel.strangers.clear()

    async def do_time_passes(self) -> None:
        self.world.clock.advance(self.chance.choice([1, 300, 700]))
        self.world.mcsd.reclaimer.wake()

    async def do_wait(self) -> None:
        await asyncio.sleep(self.chance.choice([0, 0.001, 0.01]))

    async def do_settle(self) -> None:
        await self.do_mount()
        self.world.docker.come_up()
        self.world.ledger.failure = None
        await self.world.quiet()
        self.check_quiet()

    # --- what must hold ----------------------------------------------------------------------------

    def check_always(self) -> None:
        book = self.world.mcsd.scribe.book
        held = {grant.level for grant in book.grants()} | {
            Level.parse(f"s0:c{group.low},c{group.high}") for group in book.groups()
        }
        for tree in self.world.volumes.trees.values():
            if tree.label == BORN:
                continue
            ids = [key for key, one in self.world.volumes.originals.items() if one.path == tree.path]
            assert ids, f"{tree.path} was changed, and its original is nowhere (promise 3)"
            level = Context.parse(tree.label).level
            assert not level.categories or level in held, f"{tree.path} carries {level}, which is free (2)"

    def check_quiet(self) -> None:
        book = self.world.mcsd.scribe.book
        private = [
            (grant, claim)
            for grant in book.grants()
            if grant.state.is_living
            for claim in book.claims_of(grant.id)
            if claim.mode is ClaimMode.PRIVATE and claim.state is ClaimState.READY
        ]
        for grant, claim in private:
            assert claim.volume is not None
            volume = book.volume(claim.volume)
            assert volume is not None
            assert Context.parse(self.world.label(volume.path)).level == grant.level, "promise 8"
            for other, theirs in private:
                if other.id != grant.id and theirs.volume == claim.volume:
                    raise AssertionError(f"{volume.path} is private to two (promise 1)")
            for other in conflicts_of(grant, book):
                assert not (other.state.is_living and other.id < grant.id), (
                    f"{grant.name} has {volume.path} at a level that {other.name} had before (promise 1)"
                )


async def happen(names: list[str], seed: int) -> None:
    world = World(seed=seed)
    await world.boot()
    history = History(world, random.Random(seed))
    try:
        for name in names:
            await history.steps[name]()
            history.check_always()
        world.docker.come_up()
        world.ledger.failure = None
        world.kernel.strangers.clear()
        await history.do_mount()
        for ident in tuple(world.docker.present):
            world.docker.vanish(ident)
        await world.quiet()
        for grant in world.mcsd.scribe.book.grants():
            if grant.reservation:
                await world.mcsd.reservations.release(grant.reservation)
        for _ in range(4):
            await world.quiet()
            world.clock.advance(700)
        assert world.mcsd.scribe.book.grants() == ()
        assert {tree.path: tree.label for tree in world.volumes.trees.values() if tree.label != BORN} == {}
    finally:
        await world.kill()


NAMES = sorted(name.removeprefix("do_") for name in dir(History) if name.startswith("do_"))


HISTORIES = int(os.environ.get("MCSD_HISTORIES", "100"))


@settings(max_examples=HISTORIES, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.sampled_from(NAMES), min_size=5, max_size=40), st.integers(0, 2**16))
def test_any_history_ends_well(names: list[str], seed: int) -> None:
    asyncio.run(asyncio.wait_for(happen(names, seed), 60))
