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
from typing import Any, cast

from mcsd.adapters.host.shared import MountedStorages
from mcsd.app.wiring import Assembly, FleetSide, Outside
from mcsd.blocking.calls import Blocking
from mcsd.blocking.threads import Threads
from mcsd.config import Config, validate
from mcsd.core.blocked import Subject
from mcsd.core.containers import Container, ContainerId, Mount, MountKind
from mcsd.core.host import SWITCH_ON, SelinuxStatus
from mcsd.core.interfaces import Network, network_kind
from mcsd.core.labels import Context, Label, Level, read_label, readable
from mcsd.core.notices import Notice
from mcsd.core.processes import ProcessLevel, carrier_of
from mcsd.core.runs import Run, RunRequest, RunVolume
from mcsd.core.snapshot import Sighting
from mcsd.core.volumes import Claim
from mcsd.errors import SelinuxError
from mcsd.ports import PidWatcher, PidWatchers
from tests.fakes.booleans import FakeBooleans
from tests.fakes.container_engine import FakeContainerEngine
from tests.fakes.disk import DiskFiles, DiskVolumes, FakeDisk
from tests.fakes.disk_watch import FakeDiskWatch
from tests.fakes.files import FakeFiles, FakeStrays
from tests.fakes.ledger import MemoryLedger, Tables
from tests.fakes.lives import FakeProcessLives, FakeUnitLives
from tests.fakes.netlink import FakeNews
from tests.fakes.volume_engine import FakeVolumes

RUNTIME = "system_u:system_r:dockerd_t:s0"
"""The context of a runtime's first process until it becomes the container's, in Debian's policy."""

UNCONFINED = "system_u:system_r:unconfined_service_t:s0"
"""The context of a container that its engine does not label."""

ENFORCING = SelinuxStatus("kernel", enabled=True, enforcing=True, mls=True, policy="targeted")


class HandClock:
    """A clock that is set by hand, and advances by `step` seconds whenever it is read.

    `set_back` is what an administrator, or a time server, does to the host's clock alone.
    """

    def __init__(self, now: float = 1_000_000.0) -> None:
        self._now = now
        self._steady = 1000.0
        self.step = 0.0

    def now(self) -> float:
        """Seconds since the epoch."""
        now = self._now
        self._now += self.step
        return now

    def steady(self) -> float:
        """Seconds that only go forward."""
        steady = self._steady
        self._steady += self.step
        return steady

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self._now += seconds
        self._steady += seconds

    def set_back(self, seconds: float) -> None:
        """Set the host's clock back, or forward where `seconds` is negative."""
        self._now -= seconds


@dataclass
class Kernel:
    """SELinux and the processes of the fake host."""

    engines: tuple[FakeContainerEngine, ...]
    status_now: SelinuxStatus = ENFORCING
    foreign: list[ProcessLevel] = field(default_factory=list)
    permissive: set[str] = field(default_factory=set)
    unbound: set[str] = field(default_factory=set)
    closed: set[str] = field(default_factory=set)
    """Types of files that no container may access."""
    has_file_type: bool = True
    files_take_creators_level: bool = False
    """Whether what a process makes has the process's level, as in the reference policy."""
    labels: dict[ContainerId, str | Label] = field(default_factory=dict)
    """Contexts of containers' processes, if they differ from Docker's labels."""
    arriving: dict[int, int] = field(default_factory=dict)
    """By process: how often it will still be seen running the runtime's program."""
    asked: dict[int, str] = field(default_factory=dict)
    """Contexts that processes have set themselves for their next execve(2)."""
    host: dict[int, tuple[str, str]] = field(default_factory=dict)
    """Context and control group of processes that are in no container, by pid."""
    gone: set[int] = field(default_factory=set)
    """Processes that have ended, whatever Docker says."""

    def status(self) -> SelinuxStatus:
        return self.status_now

    def canonical(self, context: str) -> str:
        return str(Context.parse(context))

    def file_context(self, file_type: str, level: str) -> Context:
        if not self.status_now.enabled and self.status_now.backend == "kernel":
            raise SelinuxError("SELinux is disabled in the kernel", hint=SWITCH_ON)
        if not self.has_file_type:
            raise SelinuxError(f"the policy has no type {file_type!r}", hint="load the module that has it")
        return Context.parse(f"system_u:object_r:{file_type}:{level}")

    def container_domain(self, domain: str) -> Context:
        if not self.status_now.enabled and self.status_now.backend == "kernel":
            raise SelinuxError("SELinux is disabled in the kernel", hint=SWITCH_ON)
        return Context.parse(f"system_u:system_r:{domain or 'container_t'}:s0")

    def process_context(self, pid: int) -> Label | None:
        if pid in self.gone:
            return None
        if pid in self.arriving:
            self.arriving[pid] -= 1
            if self.arriving[pid] < 0:
                del self.arriving[pid]
            else:
                return Context.parse(RUNTIME)
        return self._context_of(pid)

    def next_context(self, pid: int) -> Label | None:
        if pid in self.gone:
            return None
        if pid in self.arriving:
            return self._context_of(pid)
        return read_label(self.asked[pid]) if pid in self.asked else None

    def _context_of(self, pid: int) -> Label | None:
        if pid in self.host:
            return read_label(self.host[pid][0])
        for container in self._containers():
            if container.pid == pid:
                return self._label_of(container) or Context.parse(UNCONFINED)
        return None

    def _containers(self) -> tuple[Container, ...]:
        return tuple(one for engine in self.engines for one in tuple(engine.present.values()))

    def _label_of(self, container: Container) -> Label | None:
        own = self.labels.get(container.id)
        return container.process_label if own is None else read_label(str(own))

    def is_permissive(self, context: Label) -> bool:
        return context.type in self.permissive

    def separates(self, context: Label, file_type: str) -> bool:
        self.file_context(file_type, "s0")
        return readable(context).type not in self.unbound

    def may_relabel(self, label: str) -> bool:
        return True

    def lets_in(self, context: Label, label: str, mode: int) -> bool:
        return Context.parse(label).type not in self.closed

    def close(self) -> None:
        pass

    def label_of_new(self, process: Context, directory: Context) -> Label:
        return directory.at(process.level) if self.files_take_creators_level else directory

    def default_label(self, path: str, mode: int) -> str | None:
        return None

    def network_of(self, pid: int, mode: str) -> Network:
        return Network(network_kind(mode)[0])

    def process_levels(self) -> tuple[ProcessLevel, ...]:
        own = []
        for container in self._containers():
            label = self._label_of(container)
            if container.running and isinstance(label, Context) and label.level.categories:
                own.append(ProcessLevel(container.pid or 0, label, label.level, container.id))
        for pid, (context, group) in self.host.items():
            found = carrier_of(pid, read_label(context), f"0::{group}\n")
            own += [found] if found is not None else []
        return (*own, *self.foreign)


@dataclass
class Papers:
    """A journal that keeps what it is told."""

    notices: list[Notice] = field(default_factory=list)

    def emit(self, notice: Notice) -> None:
        self.notices.append(notice)

    def kinds(self) -> list[str]:
        """The kinds told so far, in order."""
        return [notice.kind.name for notice in self.notices]


def is_on_a_loop() -> bool:
    """Whether this thread is the one that an event loop runs in."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


class _Blocking:
    """Blocking calls, which must not be made in an event loop's thread; `quick` ones do not block.

    Another object's methods, looked up when they are called: a test may replace them at any time.
    """

    def __init__(self, target: object, *quick: str) -> None:
        self._target = target
        self._quick = quick

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            if name not in self._quick and is_on_a_loop():
                raise AssertionError(f"{type(self._target).__name__}.{name} keeps the event loop waiting")
            return getattr(self._target, name)(*arguments, **named)

        return call


async def _idle() -> None:
    await asyncio.Event().wait()


class _Line:
    def release(self) -> None:
        pass


class AllAlive:
    """Processes that end when Docker says so."""

    def follow(self, pid: int, container: ContainerId, ended: Callable[[], None]) -> PidWatcher | None:
        return _Line()


class World:
    """See the module."""

    def __init__(
        self, *, selinux: bool = True, seed: int = 1, disk: FakeDisk | None = None, **config: Any
    ) -> None:
        """With a disk, volumes, their watch and scans are all of the files on it; else each volume is one
        label, and the watch is told what a test tells it."""
        self.config: Config = validate(config, source="test")
        self.docker = FakeContainerEngine(selinux=selinux)
        self.podman = FakeContainerEngine(selinux=selinux, kind="podman")
        engines = {"docker": self.docker, "podman": self.podman}
        self.engines = {one.name: engines[one.kind] for one in self.config.engines}
        self.tables = Tables()
        self.disk = disk
        self.volumes = FakeVolumes()
        self.on_disk = None if disk is None else DiskVolumes(disk)
        self.disk_watch = FakeDiskWatch(disk)
        self.files = FakeFiles() if disk is None else DiskFiles(disk)
        self.strays = FakeStrays()
        self.shared = MountedStorages(b"")
        self.fleet: FleetSide | None = None
        self.kernel = Kernel(tuple(self.engines.values()))
        self.clock = HandClock()
        self.papers = Papers()
        self.booleans = FakeBooleans({})
        self.pid_watchers: PidWatchers = AllAlive()
        self.lives = FakeProcessLives()
        self.units = FakeUnitLives()
        self._random = random.Random(seed)
        self.patience: Callable[[Subject], float] = lambda _: 3600.0
        """Seconds after which a call that blocks is overdue."""
        self._pids = iter(range(5_000_000, 9_000_000))
        self._running: asyncio.Task[None] | None = None

    def open_ledger(self) -> MemoryLedger:
        """Open what a former mcsd has left."""
        return MemoryLedger(self.tables)

    async def boot(self, *, following: bool = True) -> None:
        """Start mcsd on what is there; unless it is `following`, none of its jobs runs yet."""
        self.ledger = self.open_ledger()
        self._writer = ThreadPoolExecutor(1)
        if self.disk is not None:
            self.disk_watch = FakeDiskWatch(self.disk)  # the kernel's watch ends with the process
        self._blocking = Blocking(Threads(), patience=lambda subject: self.patience(subject))
        self.mcsd = Assembly(
            self.config,
            Outside(
                engines=self.engines,
                engines_for_gate=self.engines,
                ledger=self.ledger,
                volumes=cast(
                    Any, _Blocking(self.volumes if self.on_disk is None else self.on_disk, "blocked")
                ),
                blocking=self._blocking,
                disk_watch=self.disk_watch,
                files=cast(Any, _Blocking(self.files)),
                strays=cast(Any, _Blocking(self.strays)),
                selinux=cast(Any, _Blocking(self.kernel)),
                processes=cast(Any, _Blocking(self.kernel)),
                journal=self.papers,
                clock=self.clock,
                writer=self._writer,
                switches=cast(Any, _Blocking(self.booleans)),
                pid_watchers=self.pid_watchers,
                process_lives=self.lives,
                unit_lives=self.units,
                netlink=FakeNews(),
                networks=cast(Any, _Blocking(self.kernel)),
                shared_storages=cast(Any, _Blocking(self.shared)),
                random=self._random,
                fleet=self.fleet,
            ),
        )
        await self.mcsd.prepare()
        self._running = asyncio.create_task(self._run() if following else _idle())

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
        await self._blocking.close()
        self._writer.shutdown()
        if failure is not None:
            raise failure

    @property
    def has_disk_news(self) -> bool:
        """Whether the watch over files holds something that mcsd has not taken yet."""
        return self.disk_watch.has_news

    async def quiet(self) -> None:
        """Wait until mcsd has nothing to do."""
        for _ in range(2):
            await self.mcsd.watcher.resync()
            await self.mcsd.watcher.hints.quiet()
        await self.mcsd.reclaimer.reclaim()
        await self.mcsd.volume_watch.synchronise()
        while self.is_running and (self.has_disk_news or self.mcsd.volume_watch.is_at_work):
            await asyncio.sleep(0.001)
        while self.mcsd.scrubber.is_pressed:
            await self.mcsd.scrubber.confirm_next()

    # What happens on the host

    def mount(self, source: str, destination: str = "/data", **fields: Any) -> Mount:
        """A bind mount, of a directory that is made if it is not there."""
        if self.on_disk is not None:
            if source not in self.on_disk.disk.inodes:
                self.on_disk.make(source)
        elif source not in self.volumes.trees:
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

    async def ask_run(self, name: str, *volumes: RunVolume | str, **more: Any) -> Run:
        """Have mcsctl ask for a run, up to the first answer, and set the context that it is to execute in."""
        life = self.lives.begin(next(self._pids))
        self.kernel.host[life.pid] = UNCONFINED, "/user.slice/session-1.scope"
        wanted = [RunVolume(one) if isinstance(one, str) else one for one in volumes]
        for one in wanted:
            self.mount(one.path)
        request = RunRequest(name=name, volumes=tuple(wanted), **more)
        run, _ = await self.mcsd.facade.create_run(request, life.pid)
        self.kernel.asked[life.pid] = str(run.context)
        return run

    async def begin_run(self, name: str, *volumes: RunVolume | str, **more: Any) -> Run:
        """Have mcsctl start a run, and execute its command."""
        run = await self.ask_run(name, *volumes, **more)
        await self.mcsd.facade.start_run(run.id)
        self.execute(run)
        await self.mcsd.process_levels.refresh()
        await self.mcsd.reconciler.reconcile(run.id)
        return run

    def execute(self, run: Run) -> None:
        """Have a run's process execute its command."""
        self.kernel.asked.pop(run.life.pid, None)
        self.kernel.host[run.life.pid] = str(run.context), "/user.slice/session-1.scope"

    def kill_run(self, run: Run) -> None:
        """Have a run's process end, whatever it does."""
        self.kernel.host.pop(run.life.pid, None)
        self.kernel.asked.pop(run.life.pid, None)
        self.lives.end(run.life.pid)

    # What mcsd says

    def level(self, ident: ContainerId) -> Level:
        """The level that a container holds."""
        grant = self.mcsd.store.cache.grant_of(ident)
        assert grant is not None, "the container holds no level"
        return grant.level

    def claims(self, ident: ContainerId) -> tuple[Claim, ...]:
        """The claims of a container, by destination."""
        grant = self.mcsd.store.cache.grant_of(ident)
        return self.mcsd.store.cache.claims_of(grant.id) if grant else ()

    def label(self, path: str) -> str:
        """What a tree carries."""
        return (self.volumes.trees if self.on_disk is None else self.on_disk.disk.inodes)[path].label

    def level_on(self, path: str) -> Level:
        """The level of what a tree carries."""
        return Context.parse(self.label(path)).level

    def sighting(self, ident: ContainerId) -> Sighting:
        """What mcsd says of a container."""
        return next(one for one in self.mcsd.facade.snapshot().container_status if one.container.id == ident)


def with_world(
    story: Callable[[World], Coroutine[Any, Any, None]],
    *,
    selinux: bool = True,
    within: float = 20,
    **config: Any,
) -> None:
    """Run a story within `within` seconds on a host where mcsd runs; nothing is left afterwards."""

    async def run() -> None:
        world = World(selinux=selinux, **config)
        await world.boot()
        try:
            await asyncio.wait_for(story(world), within)
        finally:
            world.volumes.gate.set()
            await world.kill()

    asyncio.run(run())
