"""A whole host in memory with mcsd on it: the assembly of production over fakes.

    with_world(test) runs `test(world)` on an event loop with the daemon's jobs running.

`world.kill()` ends the jobs as `kill -9` would, leaving ledger, labels and engine as they are;
`world.boot()` builds a new daemon on them.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from mcsd.assembly import Assembly, Outside
from mcsd.config import Config, validate
from mcsd.core.containers import ContainerId, Mount, MountKind
from mcsd.core.host import SWITCH_ON, SelinuxStatus
from mcsd.core.interfaces import Network, network_kind
from mcsd.core.labels import Context, Level
from mcsd.core.notices import Notice
from mcsd.core.picture import Sighting
from mcsd.core.processes import Carrier
from mcsd.errors import SelinuxError
from mcsd.ports import Lifeline, Lifelines
from tests.fakes.booleans import FakeBooleans
from tests.fakes.container_engine import FakeContainerEngine
from tests.fakes.ledger import MemoryLedger, Tables
from tests.fakes.netlink import FakeNews
from tests.fakes.volume_engine import FakeVolumes

T = TypeVar("T")

ENFORCING = SelinuxStatus("kernel", enabled=True, enforcing=True, mls=True, policy="targeted")


class HandClock:
    """Time that moves when told, and by `step` seconds whenever somebody has read it."""

    def __init__(self, now: float = 1_000_000.0) -> None:
        self._now = now
        self.step = 0.0

    def now(self) -> float:
        """Seconds since the epoch."""
        now = self._now
        self._now += self.step
        return now

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self._now += seconds


@dataclass
class Kernel:
    """SELinux and the processes of the fake host."""

    engine: FakeContainerEngine
    status_now: SelinuxStatus = ENFORCING
    strangers: list[Carrier] = field(default_factory=list)
    permissive: set[str] = field(default_factory=set)
    unbound: set[str] = field(default_factory=set)
    has_file_type: bool = True
    labels: dict[ContainerId, str] = field(default_factory=dict)
    """What containers' processes run as, where it is not what Docker says."""

    def status(self) -> SelinuxStatus:
        return self.status_now

    def canonical(self, context: str) -> str:
        return str(Context.parse(context))

    def file_context(self, file_type: str, level: str) -> str:
        if not self.status_now.enabled:
            raise SelinuxError("SELinux is disabled in the kernel", hint=SWITCH_ON)
        if not self.has_file_type:
            raise SelinuxError(f"the policy has no type {file_type!r}", hint="load the module that has it")
        return f"system_u:object_r:{file_type}:{Level.parse(level)}"

    def process_context(self, pid: int) -> str | None:
        for container in self.engine.present.values():
            if container.pid == pid:
                return self.labels.get(container.id, container.process_label) or None
        return None

    def is_permissive(self, context: str) -> bool:
        return Context.parse(context).type in self.permissive

    def separates(self, context: str, file_type: str) -> bool:
        self.file_context(file_type, "s0")
        return Context.parse(context).type not in self.unbound

    def close(self) -> None:
        pass

    def default_label(self, path: str, mode: int) -> str | None:
        return None

    def network_of(self, pid: int, mode: str) -> Network:
        return Network(network_kind(mode)[0])

    def carriers(self) -> tuple[Carrier, ...]:
        own = []
        for container in tuple(self.engine.present.values()):
            label = self.labels.get(container.id, container.process_label)
            if container.running and label and Context.parse(label).level.categories:
                level = Context.parse(label).level
                own.append(Carrier(container.pid or 0, label, level, container.id))
        return (*own, *self.strangers)


@dataclass
class Papers:
    """A journal that keeps what it is told."""

    notices: list[Notice] = field(default_factory=list)

    def emit(self, notice: Notice) -> None:
        self.notices.append(notice)

    def kinds(self) -> list[str]:
        """The kinds told so far, in order."""
        return [notice.kind.name for notice in self.notices]


class _Line:
    def release(self) -> None:
        pass


class AllAlive:
    """Processes that end when Docker says so."""

    def follow(self, pid: int, container: ContainerId, ended: Callable[[], None]) -> Lifeline | None:
        return _Line()


class Threads:
    """Lanes of the fake host."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(8)

    async def run(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)

    def close(self) -> None:
        self._pool.shutdown()


class World:
    """See the module."""

    def __init__(self, *, selinux: bool = True, seed: int = 1, **config: Any) -> None:
        self.config: Config = validate(config, source="test")
        self.docker = FakeContainerEngine(selinux=selinux)
        self.tables = Tables()
        self.volumes = FakeVolumes()
        self.kernel = Kernel(self.docker)
        self.clock = HandClock()
        self.papers = Papers()
        self.booleans = FakeBooleans({})
        self.lifelines: Lifelines = AllAlive()
        self._random = random.Random(seed)
        self._pids = iter(range(5_000_000, 9_000_000))
        self._running: asyncio.Task[None] | None = None

    async def boot(self) -> None:
        """Start mcsd on what is there."""
        self.ledger = MemoryLedger(self.tables)
        self._writer = ThreadPoolExecutor(1)
        self._lanes = Threads()
        self.mcsd = Assembly(
            self.config,
            Outside(
                docker=self.docker,
                docker_for_gate=self.docker,
                ledger=self.ledger,
                volumes=self.volumes,
                lanes=self._lanes,
                selinux=self.kernel,
                processes=self.kernel,
                journal=self.papers,
                clock=self.clock,
                writer=self._writer,
                switches=self.booleans,
                lifelines=self.lifelines,
                news=FakeNews(),
                networks=self.kernel,
                random=self._random,
            ),
        )
        await self.mcsd.prepare()
        self._running = asyncio.create_task(self._run())

    async def _run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for job in self.mcsd.jobs():
                group.create_task(job())

    @property
    def is_running(self) -> bool:
        """Whether mcsd's jobs all run."""
        return self._running is not None and not self._running.done()

    async def kill(self) -> None:
        """End mcsd without letting it finish anything; raises what had ended it before."""
        if self._running is None:
            return
        self.mcsd.walks.cancel_all()
        self._running.cancel()
        await asyncio.wait([self._running])
        failure = None if self._running.cancelled() else self._running.exception()
        self._running = None
        self._lanes.close()
        self._writer.shutdown()
        if failure is not None:
            raise failure

    async def quiet(self) -> None:
        """Wait until mcsd has nothing to do."""
        for _ in range(2):
            await self.mcsd.watcher.resync()
            await self.mcsd.watcher.hints.quiet()
        await self.mcsd.reclaimer.reclaim()

    # What happens on the host

    def mount(self, source: str, destination: str = "/data", **fields: Any) -> Mount:
        """A bind mount, of a directory that is made if it is not there."""
        if source not in self.volumes.trees:
            self.volumes.make(source)
        return replace(Mount(MountKind.BIND, source, destination), **fields)

    def create(self, name: str, *mounts: Mount, start: bool = True, **fields: Any) -> ContainerId:
        """Create a container, and start it unless told."""
        ident = self.docker.create(name, mounts=mounts, **fields)
        if start:
            self.docker.start(ident, pid=next(self._pids))
        return ident

    def start(self, ident: ContainerId) -> None:
        """Start a container again."""
        self.docker.start(ident, pid=next(self._pids))

    # What mcsd says

    def level(self, ident: ContainerId) -> Level:
        """The level that a container holds."""
        grant = self.mcsd.scribe.book.grant_of(ident)
        assert grant is not None, "the container holds no level"
        return grant.level

    def label(self, path: str) -> str:
        """What a tree carries."""
        return self.volumes.trees[path].label

    def level_on(self, path: str) -> Level:
        """The level of what a tree carries."""
        return Context.parse(self.label(path)).level

    def sighting(self, ident: ContainerId) -> Sighting:
        """What mcsd says of a container."""
        return next(one for one in self.mcsd.answers.picture().sightings if one.container.id == ident)


def with_world(
    story: Callable[[World], Coroutine[Any, Any, None]], *, selinux: bool = True, **config: Any
) -> None:
    """Run a story on a host where mcsd runs; everything is gone afterwards."""

    async def run() -> None:
        world = World(selinux=selinux, **config)
        await world.boot()
        try:
            await asyncio.wait_for(story(world), 20)
        finally:
            world.volumes.gate.set()
            await world.kill()

    asyncio.run(run())
