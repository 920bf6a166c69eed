"""The parts wired together by ports: in production with adapters, in tests with fakes.

Nothing here knows an adapter. `Outside` is everything outside mcsd; `Assembly` owns the rest, and the order
of its life: recover, scan processes, answer, follow Docker, reclaim, stop.
"""

from __future__ import annotations

import asyncio
import os
import random
import socket
import uuid
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from mcsd import __version__
from mcsd.api.facade import ApiFacade, Control, Parts, Questions
from mcsd.app.tasks import Job
from mcsd.blocking.calls import Blocking
from mcsd.config import Config
from mcsd.control.booleans.keeper import Booleans, nothing_stored
from mcsd.control.engine_watch import Watcher
from mcsd.control.engines import Engines
from mcsd.control.executor import DraftInputs
from mcsd.control.exit_watch import ExitWatch
from mcsd.control.fleet_claims import FleetClaims
from mcsd.control.fleet_keeper import FleetKeeper, FleetTerms
from mcsd.control.fleet_watch import FleetPlan, FleetWatch
from mcsd.control.life_watch import LifeWatch, Lives
from mcsd.control.observer import Observer, VolumeRules
from mcsd.control.reclaimer import Reclaimer
from mcsd.control.reconciler import Reconciler
from mcsd.control.recovery import recover
from mcsd.control.reservations import Reservations
from mcsd.control.run_engine import RunEngine
from mcsd.control.runs import Means as RunMeans
from mcsd.control.runs import Runs
from mcsd.control.scanner import Scanner
from mcsd.control.scrubber import Scrubber
from mcsd.control.selinux_watch import SelinuxWatch
from mcsd.control.start_admission import Preparers, StartAdmission
from mcsd.control.verifier import Repairers, Sources, Verifier
from mcsd.control.volume_watch import VolumeWatch
from mcsd.core.allocation import Allocator, Holder, HolderKind, Randomness
from mcsd.core.blocked import Blocked, Party, Subject
from mcsd.core.containers import Container, ContainerId
from mcsd.core.fleet.holding import FleetHolding
from mcsd.core.fleet.protocol import Means
from mcsd.core.gating import is_gated
from mcsd.core.labels import Level
from mcsd.core.modes import PathRule, VolumePolicy
from mcsd.core.notices import Kind, Notice
from mcsd.core.selinux_state import Move
from mcsd.core.state_cache import StateCache
from mcsd.core.volumes import VolumeId
from mcsd.core.waking import Ended, woken_by
from mcsd.core.walks import StoredVolume
from mcsd.errors import HostError, McsdError, SelinuxError
from mcsd.ports import (
    BooleanSwitches,
    Clock,
    ContainerEngine,
    DiskWatch,
    FileScanner,
    FleetStore,
    Journal,
    Ledger,
    NetlinkEvents,
    Networks,
    PidWatchers,
    Processes,
    ProcessLives,
    Selinux,
    SharedStorages,
    StrayStore,
    UnitLives,
    VolumeEngine,
)
from mcsd.state.container_status import ContainerStatus
from mcsd.state.disk import Disk
from mcsd.state.events import EventBus
from mcsd.state.host import HostStatus
from mcsd.state.process_levels import ProcessLevels
from mcsd.state.start_tracker import StartTracker
from mcsd.state.state import State
from mcsd.state.store import Store
from mcsd.state.walk_queue import WalkQueue

FIRST_LOOK = 30.0
"""Seconds that checks and watches of volumes wait at most for the first look at all containers."""
RENUMBERING = 1.0
"""Seconds that the start waits for the current device numbers of all volumes."""


class LabelStore(VolumeEngine, Protocol):
    """A volume engine that can also list what it has on disk."""

    def volumes(self) -> tuple[StoredVolume, ...]:
        """List the volumes whose originals are on disk."""
        ...

    def blocked(self) -> tuple[Blocked, ...]:
        """Return the calls about protected places that do not return."""
        ...

    def stored_bytes(self) -> int:
        """Return the size of the originals; raises `VolumeFailedError`."""
        ...


@dataclass(frozen=True, slots=True)
class FleetSide:
    """A fleet's common store, and what tells this machine from a copy of its disk elsewhere."""

    store: FleetStore
    machine: str


@dataclass(frozen=True, slots=True)
class Outside:
    """Everything outside mcsd. `writer` is the single thread from which the ledger is called."""

    engines: Mapping[str, ContainerEngine]
    """By their names in the configuration."""
    engines_for_gate: Mapping[str, ContainerEngine]
    """The same over separate connections: those of `engines` may all wait for a start to end."""
    ledger: Ledger
    volumes: LabelStore
    disk_watch: DiskWatch
    files: FileScanner
    strays: StrayStore
    blocking: Blocking
    """Runs all blocking calls, except those to the ledger, which `writer` runs."""
    selinux: Selinux
    processes: Processes
    journal: Journal
    clock: Clock
    writer: Executor
    switches: BooleanSwitches
    pid_watchers: PidWatchers
    process_lives: ProcessLives
    unit_lives: UnitLives
    netlink: NetlinkEvents
    networks: Networks
    shared_storages: SharedStorages
    stored_booleans: Callable[[], Mapping[str, bool]] = nothing_stored
    fleet: FleetSide | None = None
    """None unless the configuration has a store."""
    random: Randomness = random.SystemRandom()  # noqa: RUF009  (it has no state of ours)


def volume_policy(config: Config) -> VolumePolicy:
    """Return the configuration for volumes in the core's terms."""
    volumes = config.volumes
    return VolumePolicy(
        default=volumes.default.claim,
        share_on_conflict=volumes.on_conflict == "share",
        rules=tuple(PathRule(rule.path, rule.mode.claim) for rule in volumes.rule),
    )


def allocator_of(config: Config, randomness: Randomness) -> Allocator:
    """Return the allocator, with the levels that the configuration reserves taken."""
    low, high = config.categories.bounds
    allocator = Allocator(low=low, high=high, random=randomness)
    for level in config.categories.reserved_levels:
        allocator.take(level, Holder(HolderKind.CONFIGURED, str(level)))
    return allocator


class Assembly:
    """The daemon without its adapters. Owned by the event loop's thread.

    Raises `LedgerError` if the ledger cannot be read.
    """

    def __init__(self, config: Config, outside: Outside) -> None:
        self._config = config
        self._outside = outside
        self._policy = volume_policy(config)
        self._fleet_name = config.fleet.name or socket.gethostname()
        self._make_state()
        self.fleet_keeper = self._make_fleet_keeper()
        self.fleet_claims = self._make_fleet_claims()
        self._make_control()
        self._make_watches()
        self.facade = self._make_facade()

    def _make_state(self) -> None:
        outside, clock, blocking = self._outside, self._outside.clock, self._outside.blocking
        contents = outside.ledger.load()
        cache = StateCache(contents)
        allocator = allocator_of(self._config, outside.random)
        allocator.remember(contents.turns)
        bus = EventBus(outside.journal, clock)
        disk = Disk(cache)
        host = HostStatus()
        process_levels = ProcessLevels(
            outside.processes,
            blocking,
            allocator,
            self._judge_again,
            self._levels_left,
            cache.runs,
            lambda container: cache.grant_of(container) is not None,
        )
        self.state = State(
            bus=bus,
            host=host,
            store=Store(outside.ledger, cache, allocator, bus, outside.writer, blocking, self._wake),
            walks=WalkQueue(outside.volumes, blocking, clock),
            starts=StartTracker(),
            disk=disk,
            process_levels=process_levels,
            container_status=ContainerStatus(cache, host, bus, process_levels, disk, clock.steady),
        )
        self.engines = Engines(outside.engines, RunEngine(cache), cache.engine_of)
        self.bus, self.host, self.store, self.walks = bus, host, self.state.store, self.state.walks
        self.process_levels, self.container_status = process_levels, self.state.container_status
        host.listen(self._judge_again)

    def _make_control(self) -> None:
        outside, state = self._outside, self.state
        lives = Lives(outside.process_lives, outside.unit_lives, outside.clock)
        self.reclaimer = Reclaimer(
            self.store,
            self.walks,
            self.bus,
            outside.clock,
            self._config.volumes.linger,
            self.process_levels.scan,
            outside.blocking,
            lambda level: self.scanner.carries(level),
        )
        self.reservations = Reservations(
            self.store,
            self.process_levels,
            self.reclaimer,
            self.bus,
            lives,
            knows_nobody=self.store.cache.next_grant == 1,
            engines=outside.engines,
        )
        self.life_watch = LifeWatch(lives, self.reservations.lives, self.reservations.end)
        self.reservations.listen(self.life_watch.wake)
        means = DraftInputs(self.store.allocator, outside.clock.now, _new_volume_id)
        observer = self._make_observer()
        self.reconciler = Reconciler(
            observer=observer,
            state=state,
            reclaimer=self.reclaimer,
            means=means,
            policy=self._policy,
            look=lambda container: self.watcher.look_at(container),
            look_soon=lambda container, seconds: self.watcher.look_soon(container, seconds),
            fleet_claims=self.fleet_claims,
        )
        self._make_runs(lives)
        self.start_admission = self._make_start_admission(
            Preparers(observer, self.reconciler, self.reservations, self.reclaimer, means, self._may_hold)
        )

    def _make_runs(self, lives: Lives) -> None:
        self.runs = Runs(
            self.state,
            RunMeans(self.reservations, self.reclaimer, self.reconciler, self._config.labels.file_type),
            lives,
            self._outside.selinux,
            self._outside.blocking,
            look=lambda container: self.watcher.look_at(container),
            changed=lambda: self.run_watch.wake(),
        )
        self.run_watch = LifeWatch(lives, self.runs.lives, self.runs.end)

    def _make_observer(self) -> Observer:
        outside, config = self._outside, self._config
        return Observer(
            self.engines,
            outside.volumes,
            outside.selinux,
            outside.networks,
            outside.blocking,
            self.host,
            self.state.starts,
            VolumeRules(self._policy, config.explicit_paths(), config.labels.file_type, self._storage),
        )

    def _make_start_admission(self, preparers: Preparers) -> StartAdmission:
        return StartAdmission(
            config=self._config.gate,
            engines=self._outside.engines_for_gate,
            names={one.kind.value: one.name for one in reversed(self._config.engines)},
            state=self.state,
            preparers=preparers,
            blocking=self._outside.blocking,
            look=lambda container: self.watcher.look_at(container),
            look_later=lambda container: self.watcher.look_later(container),
        )

    def _make_watches(self) -> None:
        """Create the watches, and connect them to their sources."""
        self._make_watches_of_containers()
        self.fleet_watch = self._make_fleet_watch()
        self._make_watches_of_files()
        self.selinux_watch = SelinuxWatch(
            self._outside.netlink,
            self._outside.selinux,
            self.bus,
            self._selinux_changed,
            file_type=self._config.labels.file_type,
            pid=os.getpid(),
            blocking=self._outside.blocking,
        )
        for listener in (self.booleans.wake, self.exit_watch.wake, self.volume_watch.wake_shared):
            self.container_status.listen(listener)
        self.store.listen(self.volume_watch.wake)
        self.store.listen(self.fleet_watch.wake)
        if self.fleet_keeper is not None:
            self.reservations.share(self.fleet_keeper)
            self.fleet_keeper.listen(self.fleet_watch.wake)

    def _make_watches_of_containers(self) -> None:
        outside, config, clock = self._outside, self._config, self._outside.clock
        self.watcher = Watcher(
            engines=self.engines,
            reconciler=self.reconciler,
            walks=self.walks,
            bus=self.bus,
            resync=config.docker.resync,
            engine_is=self.host.engine_is,
            synced=self._synced,
            now=clock.now,
        )
        self.booleans = Booleans(
            config.booleans.wishes,
            outside.switches,
            self.bus,
            clock,
            containers=self._who_runs,
            pid_watchers=outside.pid_watchers,
            blocking=outside.blocking,
            stored=outside.stored_booleans,
        )
        self.exit_watch = ExitWatch(self._gated_and_running, outside.pid_watchers, self._ended)

    def _make_fleet_keeper(self) -> FleetKeeper | None:
        outside, config = self._outside, self._config.fleet
        if outside.fleet is None:
            return None
        keeper = FleetKeeper(
            FleetTerms(self._fleet_name, outside.fleet.machine, config.reserve, config.beat),
            self.store,
            outside.fleet.store,
            outside.blocking,
            self.bus,
            outside.clock,
            Means(partial(_some_of, outside.random), _new_volume_id),
        )
        self.store.listen(keeper.wake_if_due)
        return keeper

    def _make_fleet_claims(self) -> FleetClaims | None:
        outside = self._outside
        if self.fleet_keeper is None:
            return None
        return FleetClaims(
            self.fleet_keeper,
            outside.shared_storages,
            self.store.cache,
            outside.blocking,
            look=lambda container: self.watcher.look_at(container),
        )

    def _may_hold(self, level: Level) -> bool:
        return self.fleet_keeper is None or self.fleet_keeper.may_hold(level)

    def _holding(self) -> FleetHolding | None:
        return None if self.fleet_keeper is None else self.fleet_keeper.holding

    def _make_fleet_watch(self) -> FleetWatch:
        config, outside = self._config, self._outside
        plan = FleetPlan(self._fleet_name, config.categories.range, config.fleet.hosts)
        return FleetWatch(
            plan,
            self.store.cache,
            outside.shared_storages,
            outside.blocking,
            self._holding,
            self.fleet_claims,
        )

    def _make_watches_of_files(self) -> None:
        outside, clock = self._outside, self._outside.clock
        self.scrubber = Scrubber(
            self.store,
            self.walks,
            self.bus,
            clock,
            disk=self.state.disk,
            every=self._config.volumes.confirm,
            label_again=self.reconciler.relabel_again,
        )
        self.volume_watch = VolumeWatch(
            watch=outside.disk_watch,
            state=self.state,
            selinux=outside.selinux,
            blocking=outside.blocking,
            clock=clock,
            label_again=self.reconciler.relabel_again,
            may_label=self.reconciler.may_label,
            look_soon=self.scrubber.look_soon,
        )
        self.scanner = Scanner(
            files=outside.files,
            store=outside.strays,
            allocator=self.store.allocator,
            cache=self.store.cache,
            engine_roots=self._engine_roots,
            bus=self.bus,
            clock=clock,
            blocking=outside.blocking,
        )

    def _storage(self) -> tuple[str, ...]:
        """Return the storage paths that engines and volume drivers report."""
        return (*self._engine_roots(), *self.container_status.driver_paths())

    async def _synced(self) -> None:
        self.booleans.wake()
        await self.reclaimer.start()

    def _ended(self, container: ContainerId) -> None:
        self.state.starts.end(container)
        self.watcher.look_at(container)

    def _who_runs(self) -> tuple[Container, ...] | None:
        """Return the running containers; None while not all of them have been inspected.

        If Docker does not answer when mcsd starts, no container is known to run.
        """
        if not (self.watcher.is_synced or self.watcher.is_down):
            return None
        return tuple(container for container in self.container_status.containers() if container.running)

    def _selinux_changed(self, move: Move) -> None:
        self.host.selinux_is(move.new.trusted)  # no query: the kernel may be refusing to answer
        self.booleans.wake()
        if move.policy:
            # Names, types and constraints may all have changed, so everything is judged again.
            self.watcher.look_again()

    def _engine_roots(self) -> tuple[str, ...]:
        return tuple(engine.root_directory for engine in self.host().engines.values())

    def _judge_again(self) -> None:
        self.container_status.tell_changes()

    def _wake(self, refused: frozenset[ContainerId]) -> None:
        """Request the containers that were refused because of a hold that has ended."""
        for container in refused:
            self.watcher.look_soon(container, 0.0)

    def _levels_left(self, levels: frozenset[Level]) -> None:
        self._wake(woken_by(Ended(levels=levels), self.store.cache))

    def _gated_and_running(self) -> tuple[Container, ...]:
        host = self.host()
        return tuple(one for one in self.container_status.containers() if one.running and is_gated(one, host))

    def _make_facade(self) -> ApiFacade:
        outside = self._outside
        control = Control(
            reclaimer=self.reclaimer,
            reservations=self.reservations,
            watcher=self.watcher,
            verifier=self._make_verifier(),
            scanner=self.scanner,
            volume_watch=self.volume_watch,
            booleans=self.booleans,
            runs=self.runs,
        )
        questions = Questions(
            blocking=outside.blocking,
            within=outside.volumes.within,
            resolve=self._where,
            selinux=self.selinux_watch.state,
            stored_bytes=outside.volumes.stored_bytes,
            fleet=self.fleet_watch.standing,
            places_blocked=outside.volumes.blocked,
        )
        return ApiFacade(Parts(outside.clock, outside.clock.now(), self.state, control, questions))

    async def _where(self, path: str) -> str:
        with suppress(HostError):  # shown while it lasts
            subject = Subject(Party.VOLUME, path)
            return (
                await self._outside.blocking.run(subject, lambda: self._outside.volumes.survey(path))
            ).path
        return path

    def _make_verifier(self) -> Verifier:
        outside = self._outside
        return Verifier(
            Sources(
                clock=outside.clock,
                engines=self.engines,
                stored=outside.volumes.volumes,
                resolve=self._where,
                selinux=outside.selinux,
                blocking=outside.blocking,
                state=self.state,
                repairers=Repairers(self.reconciler, self.reclaimer, self.watcher),
            )
        )

    def _hangs(self, blocked: Blocked, is_overdue: bool) -> None:
        subject = blocked.subject
        fields = {"reason": subject.who.rstrip(","), "hint": subject.hint, "code": subject.party}
        if is_overdue:
            self.bus.emit(Notice(Kind.BLOCKED, fields))
            return
        self.bus.emit(Notice(Kind.ANSWERED, fields))
        self.watcher.look_again()  # for what could not be observed or labelled meanwhile

    async def prepare(self) -> None:
        """Load what is on disk and scan processes; nothing is granted before this is done.

        Raises `SelinuxError` if the kernel cannot be asked, `HostError` if a disk does not answer.
        """
        blocking = self._outside.blocking
        blocking.listen(self._hangs)
        ground = await self.selinux_watch.begin()
        if ground.unreadable:
            raise SelinuxError(ground.unreadable, hint="see ausearch -m avc for denials of mcsd's own")
        self.host.selinux_is(ground.trusted)
        await self.scanner.begin()
        stored = await blocking.run(Subject(Party.ORIGINALS), self._outside.volumes.volumes)
        async with self.store.deciding:
            changes = recover(stored, self.store.cache, self._outside.clock.now())
            await self.store.commit(changes)
        if changes:
            self.bus.emit(Notice(Kind.RECOVERED, {"volumes": len(stored)}))
        await self._renumber()
        with suppress(HostError):  # shown while it lasts; no level is chosen before the scan
            await self.process_levels.refresh()
        self._greet()

    async def _renumber(self) -> None:
        """Wait briefly for current device numbers; slow ones are updated in the background."""
        renumbering = asyncio.create_task(self.reconciler.renumber(self.store.cache.volumes()))
        self._renumbering = renumbering  # the event loop keeps no strong reference
        done, _ = await asyncio.wait({renumbering}, timeout=RENUMBERING)
        if done:
            renumbering.result()
        else:
            renumbering.add_done_callback(self._renumbered)

    def _renumbered(self, task: asyncio.Task[None]) -> None:
        if task.cancelled() or (error := task.exception()) is None or isinstance(error, McsdError):
            return  # reported by the store; each observation of a container tries again
        self.bus.report_bug("finding out the numbers of devices", error)

    def jobs(self) -> tuple[Job, ...]:
        """Return the tasks that run for ever."""
        return (
            *self.watcher.tasks(),
            self.reclaimer.run,
            self.process_levels.refresh_often,
            self.selinux_watch.run,
            self.booleans.run,
            partial(self._after_the_first_look, self.scrubber.run),
            self.scanner.run,
            *(
                (
                    partial(self._after_the_first_look, self.volume_watch.keep_watched),
                    self.volume_watch.follow,
                )
                if self._config.watch.directories
                else ()
            ),
            self.exit_watch.run,
            self.life_watch.run,
            self.run_watch.run,
            self.fleet_watch.run,
            *((self.fleet_keeper.run,) if self.fleet_keeper is not None else ()),
        )

    async def _after_the_first_look(self, job: Job) -> None:
        """Run what looks at volumes by itself, for ever, but not beside the first look at all of them.

        A change meanwhile is found by it, or by the check that follows when a volume comes to be watched.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(FIRST_LOOK):
                await self.watcher.has_begun.wait()
        await job()

    def stop(self) -> None:
        """Report the stop, and cancel running walks; the ledger knows that they are unfinished."""
        self.bus.emit(Notice(Kind.STOPPING))
        self.walks.cancel_all()

    def _greet(self) -> None:
        cache, status = self.store.cache, self.host().selinux
        state = "enforcing" if status.enforcing else "permissive" if status.enabled else "disabled"
        counts = {"grants": len(cache.grants()), "volumes": len(cache.volumes())}
        fields = {"version": __version__, "selinux": state, **counts, "walks": self._outside.volumes.walks_in}
        self.bus.emit(Notice(Kind.STARTED, fields))


def _some_of(random: Randomness, blocks: Sequence[int], count: int) -> tuple[int, ...]:
    """Return so many of the blocks, drawn at random."""
    left = list(blocks)
    return tuple(left.pop(random.randrange(len(left))) for _ in range(count))


def _new_volume_id() -> VolumeId:
    return VolumeId(uuid.uuid4().hex)
