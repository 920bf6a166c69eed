"""Any history of a host ends well: thousands of steps on a host in memory, with the daemon of production.

Containers come, go and restart, with levels of their own, another's, or a reservation's; events are lost,
doubled and forged; Docker goes away; mcsd is killed between any two steps of its work; the host is rebooted
and numbers its devices anew; file systems are unmounted; the ledger fails, is lost, or is put back from an
old copy; strangers take levels. Others change the files: Docker's own `:Z`, mv, cp -a, backups, restorecon,
chcon, mounts inside, and the clock (`disk_hands.py`). After each step promises 2 and 3 hold whatever mcsd is
doing, and once it is quiet so does promise 1, and no file anywhere carries a level that is free or somebody
else's, unless a scan has shown it. In the end all is put back (promises 6 and 7).

`make test-long` runs thousands of histories; `MCSD_HISTORIES` says how many.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import PurePosixPath
from typing import Any
from unittest.mock import patch

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mcsd.control import reservations
from mcsd.core.containers import ContainerId
from mcsd.core.grants import GrantState
from mcsd.core.labels import Context, Level
from mcsd.core.processes import ProcessLevel
from mcsd.core.sharing import conflicts_of
from mcsd.core.strays import level_on
from mcsd.core.volumes import ClaimMode, ClaimState, VolumePhase
from mcsd.errors import LedgerError, McsdError, VolumeFailedError
from tests.fakes.disk import BORN, DiskVolumes, FakeDisk
from tests.fakes.world import World
from tests.properties.disk_hands import DiskHands

PATHS = ("/srv/a", "/srv/b", "/srv/b/inside", "/srv/c")


class History(DiskHands):
    """A host, and the steps that can happen on it; each takes a source of chance."""

    def __init__(self, world: World, chance: random.Random) -> None:
        self.world = world
        self.chance = chance
        self.backup = world.tables.copy()
        # Whether mcsd was ever given a ledger that is not the last it wrote: what that says of the disk may
        # be long over, and mcsd holds on to it rather than guess.
        self.outdated = False
        self.prepare(PATHS)
        self.steps: dict[str, Callable[[], Awaitable[None]]] = {
            name.removeprefix("do_"): getattr(self, name) for name in dir(self) if name.startswith("do_")
        }

    @property
    def engine(self) -> DiskVolumes:
        """The world's."""
        assert self.world.on_disk is not None
        return self.world.on_disk

    def some(self) -> Any:
        """One of the containers, or None."""
        present = sorted(self.world.docker.present)
        return self.chance.choice(present) if present else None

    async def kill(self) -> None:
        """End mcsd, with what the kernel has told it and it has not acted on."""
        await self.world.kill()
        for inode in self.disk.inodes.values():
            if inode.label != BORN and inode.identity.inode in self.followed:
                self.escaped.add(inode.identity.inode)

    async def do_create(self) -> None:
        sources = self.chance.sample(PATHS, self.chance.randrange(3))
        option = self.chance.choice(["", "", "", "z", "Z"])
        options = frozenset(filter(None, [option]))
        mounts = [self.world.mount(source, f"/m{n}", options=options) for n, source in enumerate(sources)]
        labels = (("io.mcsd.volume", "/m0:shared"),) if self.chance.random() < 0.3 else ()
        own: dict[str, Any] = {}
        if self.chance.random() < 0.2:
            own["process_label"] = f"system_u:system_r:container_t:s0:c{self.chance.randrange(4)},c900"
        name = f"n{self.chance.randrange(10**6)}"
        ident = self.world.create(name, *mounts, start=False, labels=labels, **own)
        if self.chance.random() < 0.7:
            self.start(ident)

    def start(self, ident: ContainerId) -> None:
        """Docker labels what it was told to, and then starts the process."""
        self.docker_labels(ident)
        self.world.start(ident)

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
        reserved = [one for one in self.world.mcsd.store.cache.grants() if one.reservation]
        if reserved:
            label = f"system_u:system_r:container_t:{self.chance.choice(reserved).level}"
            mount = self.world.mount(self.chance.choice(PATHS), "/m0")
            self.world.create(f"n{self.chance.randrange(10**6)}", mount, process_label=label)

    async def do_release(self) -> None:
        with suppress(McsdError):
            await self.world.mcsd.reservations.release(f"r{self.chance.randrange(3)}")

    async def do_reboot(self) -> None:
        await self.kill()
        self.world.kernel.foreign.clear()
        for ident in tuple(self.world.docker.present):
            self.world.docker.die(ident)
        self.disk.renumber()
        await self.world.boot()

    async def do_unmount(self) -> None:
        path = self.chance.choice(PATHS)
        self.engine.errors[path] = VolumeFailedError(f"volume {path!r} does not exist", hint="mount it")

    async def do_mount(self) -> None:
        self.engine.errors.clear()

    async def do_start(self) -> None:
        ident = self.some()
        if ident is not None and not self.world.docker.present[ident].running:
            self.start(ident)

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
        await self.kill()
        await self.world.boot()

    async def do_ledger_fails(self) -> None:
        self.world.ledger.failure = LedgerError("the disk is full")

    async def do_ledger_works(self) -> None:
        self.world.ledger.failure = None

    async def do_copy_ledger(self) -> None:
        self.backup = self.world.tables.copy()

    async def do_put_back(self) -> None:
        await self.kill()
        self.outdated = True
        self.world.tables = self.backup.copy()
        await self.world.boot()

    async def do_lose_ledger(self) -> None:
        await self.kill()
        self.outdated = True
        self.world.tables = type(self.world.tables)()
        await self.world.boot()

    async def do_stranger(self) -> None:
        level = Level.parse(f"s0:c{self.chance.randrange(8)},c{self.chance.randrange(8, 16)}")
        self.world.kernel.foreign.append(
            ProcessLevel(77, Context.parse(f"system_u:system_r:svirt_t:{level}"), level)
        )

    async def do_stranger_goes(self) -> None:
        self.world.kernel.foreign.clear()

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
        await self.scan()
        await self.world.quiet()
        self.check_quiet()
        self.check_files()

    def check_ends(self) -> None:
        """Nobody is there: a level is kept only where a volume has labels that mcsd cannot tell from its own:
        it was killed before it wrote down what was there, or its ledger is an old copy (promise 9)."""
        cache = self.world.mcsd.store.cache
        odd = list(self.levels())
        if self.outdated:
            odd = [path for path, inode in self.disk.inodes.items() if inode.label != BORN]
        for grant in cache.grants():
            assert grant.state is GrantState.QUARANTINED, f"{grant.name} is gone (promise 7)"
            volumes = [cache.volume(claim.volume) for claim in cache.claims_of(grant.id) if claim.volume]
            held = list(volumes)
            if self.outdated:
                held += [one for volume in volumes if volume for one in cache.volumes_around(volume.path)]
            # One around a stranded volume waits for it: so does what an old ledger from before a reboot has
            # inside it, although that was given back since.
            stranded = [one.path for one in held if one and one.phase is VolumePhase.STRANDED]
            assert any(PurePosixPath(path).is_relative_to(top) for path in odd for top in stranded), (
                f"nobody and nothing is at {grant.level}, and it is kept (promise 7)"
            )

    def left(self) -> dict[str, str]:
        """Return what does not carry its own label, by path; but for what somebody else has labelled, and
        what left while mcsd was away: of that a scan has shown what carries anybody's level."""
        return {
            path: inode.label
            for path, inode in self.disk.inodes.items()
            if inode.label != BORN and inode.identity.inode not in self.touched | self.escaped
        }

    # --- what must hold ----------------------------------------------------------------------------

    def check_always(self) -> None:
        cache = self.world.mcsd.store.cache
        held = {grant.level for grant in cache.grants()} | {
            Level.parse(f"s0:c{group.low},c{group.high}") for group in cache.groups()
        }
        for path, inode in tuple(self.disk.inodes.items()):
            number = inode.identity.inode
            if inode.label == BORN or number in self.touched | self.escaped | self.followed:
                continue
            around = [
                one
                for one in tuple(self.engine.kept.values())
                if PurePosixPath(path).is_relative_to(one.stored.path) or number in one.before
            ]
            assert around, f"{path} was changed, and its original is nowhere (promise 3)"
            level = level_on(inode.label)
            assert level is None or level in held, f"{path} carries {level}, which is free (2)"

    def check_ready(self) -> None:
        """What is called ready carries its label, every file of it; or mcsd says that it does not, and is
        about to put it right (promise 8)."""
        cache = self.world.mcsd.store.cache
        for volume in cache.volumes():
            ready = [one for one in cache.claims_on(volume.id) if one.state is ClaimState.READY]
            if not any((grant := cache.grant(one.grant)) and grant.state.is_living for one in ready):
                continue
            for path in self.disk.on_its_own(volume.path):
                inner = [one for one in cache.volumes_around(path) if len(one.path) > len(volume.path)]
                label = self.disk.inodes[path].label
                is_told = self.world.mcsd.state.disk.state(volume.id).is_drifting
                assert label == str(volume.target) or inner or is_told, (
                    f"{volume.path} is ready, and {path} is {label} (8)"
                )

    def check_quiet(self) -> None:
        self.check_ready()
        cache = self.world.mcsd.store.cache
        private = [
            (grant, claim)
            for grant in cache.grants()
            if grant.state.is_living
            for claim in cache.claims_of(grant.id)
            if claim.mode is ClaimMode.PRIVATE and claim.state is ClaimState.READY
        ]
        for grant, claim in private:
            assert claim.volume is not None
            volume = cache.volume(claim.volume)
            assert volume is not None
            assert Context.parse(self.world.label(volume.path)).level == grant.level, "promise 8"
            for other, theirs in private:
                if other.id != grant.id and theirs.volume == claim.volume:
                    raise AssertionError(f"{volume.path} is private to two (promise 1)")
            for other in conflicts_of(grant, cache):
                assert not (other.state.is_living and other.id < grant.id), (
                    f"{grant.name} has {volume.path} at a level that {other.name} had before (promise 1)"
                )


async def happen(names: list[str], seed: int) -> None:
    world = World(seed=seed, disk=FakeDisk())
    await world.boot()
    history = History(world, random.Random(seed))
    try:
        for name in names:
            await history.steps[name]()
            history.check_always()
        world.docker.come_up()
        world.ledger.failure = None
        world.kernel.foreign.clear()
        await history.do_mount()
        for ident in tuple(world.docker.present):
            world.docker.vanish(ident)
        await world.quiet()
        for grant in world.mcsd.store.cache.grants():
            if grant.reservation:
                await world.mcsd.reservations.release(grant.reservation)
        for _ in range(4):
            await world.quiet()
            world.clock.advance(700)
        history.check_ends()
        await history.scan()
        await world.quiet()
        history.check_files()
        assert history.left() == {}
    finally:
        await world.kill()


STEPS = sorted(name.removeprefix("do_") for name in dir(History) if name.startswith("do_"))
OFTEN = ("create", "start", "settle")
"""Without these there is nothing to be changed, and nothing to be seen."""
NAMES = [*STEPS, *OFTEN * 3]

HISTORIES = int(os.environ.get("MCSD_HISTORIES", "100"))


@settings(max_examples=HISTORIES, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.sampled_from(NAMES), min_size=5, max_size=40), st.integers(0, 2**16))
def test_any_history_ends_well(names: list[str], seed: int) -> None:
    asyncio.run(asyncio.wait_for(happen(names, seed), 60))
