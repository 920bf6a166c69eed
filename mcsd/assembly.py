"""The parts wired together over ports: what runs in production and, over fakes, in the tests.

Nothing here knows an adapter. `Outside` is everything that is not mcsd; `Assembly` owns the rest, and the
order of its life: recover, look at who runs, answer, follow Docker, reclaim, stop.
"""

from __future__ import annotations

import asyncio
import os
import random
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Protocol

from mcsd import __version__
from mcsd.answers import Answers, Parts
from mcsd.booleans import Booleans, nothing_stored
from mcsd.carriers import Carriers
from mcsd.config import Config
from mcsd.confirmer import Confirmer
from mcsd.core.allocation import Allocator, Holder, HolderKind, Randomness
from mcsd.core.book import Book
from mcsd.core.containers import Container, ContainerId
from mcsd.core.gating import is_gated
from mcsd.core.ground import Move
from mcsd.core.labels import Level
from mcsd.core.modes import Rule, VolumePolicy
from mcsd.core.notices import Kind, Notice
from mcsd.core.volumes import VolumeId
from mcsd.ends import Ends
from mcsd.execute import Means
from mcsd.gatekeeper import Gatekeeper
from mcsd.ground import GroundWatch
from mcsd.herald import Herald
from mcsd.hostview import HostView
from mcsd.observe import Observer
from mcsd.ports import (
    BooleanSwitches,
    Clock,
    ContainerEngine,
    Journal,
    Ledger,
    Lifelines,
    Networks,
    PolicyNews,
    Processes,
    Selinux,
    VolumeEngine,
)
from mcsd.reclaimer import Reclaimer
from mcsd.reconcile import Reconciler
from mcsd.recovery import recover
from mcsd.relabel.values import StoredVolume
from mcsd.reservations import Reservations
from mcsd.scribe import Scribe
from mcsd.sightings import Sightings
from mcsd.starts import Starts
from mcsd.supervision import Job
from mcsd.verification import Sources, Verifier
from mcsd.walks import Lanes, Walks
from mcsd.watch import Watcher


class LabelStore(VolumeEngine, Protocol):
    """A volume engine that also knows what it has on disk."""

    def volumes(self) -> tuple[StoredVolume, ...]:
        """List the volumes whose originals are on disk."""
        ...

    def stored_bytes(self) -> int:
        """How many bytes the originals take up; raises `VolumeFailedError` where that cannot be told."""
        ...


@dataclass(frozen=True, slots=True)
class Outside:
    """Everything that is not mcsd's own. `writer` is the one thread that the ledger is called from."""

    docker: ContainerEngine
    docker_for_gate: ContainerEngine
    """The same engine over connections of its own: those of `docker` may all wait for a start to end."""
    ledger: Ledger
    volumes: LabelStore
    lanes: Lanes
    selinux: Selinux
    processes: Processes
    journal: Journal
    clock: Clock
    writer: Executor
    switches: BooleanSwitches
    lifelines: Lifelines
    news: PolicyNews
    networks: Networks
    stored_booleans: Callable[[], Mapping[str, bool]] = nothing_stored
    random: Randomness = random.SystemRandom()  # noqa: RUF009  (it has no state of ours)


def volume_policy(config: Config) -> VolumePolicy:
    """Give what the configuration says about volumes in the core's terms."""
    volumes = config.volumes
    return VolumePolicy(
        default=volumes.default.claim,
        share_on_conflict=volumes.on_conflict == "share",
        linger=volumes.linger,
        rules=tuple(Rule(rule.path, rule.mode.claim) for rule in volumes.rule),
    )


def allocator_of(config: Config, randomness: Randomness) -> Allocator:
    """Make the allocator, with what the configuration sets aside taken."""
    low, high = config.categories.bounds
    allocator = Allocator(low=low, high=high, random=randomness)
    for level in config.categories.reserved_levels:
        allocator.take(level, Holder(HolderKind.CONFIGURED, str(level)))
    return allocator


class Assembly:
    """The daemon without its adapters. Owned by the event loop's thread.

    Raises `LedgerError` where the ledger cannot be read, and `SelinuxError` where the kernel cannot be asked.
    """

    def __init__(self, config: Config, outside: Outside) -> None:
        self._config = config
        self._outside = outside
        self._policy = volume_policy(config)
        clock, selinux = outside.clock, outside.selinux
        self.herald = Herald(outside.journal, clock)
        self.host = HostView(selinux)
        book = Book(outside.ledger.load())
        allocator = allocator_of(config, outside.random)
        self.scribe = Scribe(outside.ledger, book, allocator, self.herald, outside.writer)
        self.starts = Starts()
        self.walks = Walks(outside.volumes, outside.lanes, clock)
        self.carriers = Carriers(outside.processes, allocator, self._judge_again)
        self.sightings = Sightings(book, self.host, self.herald, self.carriers)
        self.host.listen(self._judge_again)
        self.reclaimer = Reclaimer(
            self.scribe, self.walks, self.herald, clock, config.volumes.linger, self.carriers.scan
        )
        self.reservations = Reservations(
            self.scribe, self.carriers, self.reclaimer, self.herald, clock, knows_nobody=book.next_grant == 1
        )
        self._means = Means(self.scribe.allocator, clock.now, _new_volume_id, self._file_context)
        self._observer = Observer(
            outside.docker,
            outside.volumes,
            selinux,
            self.host,
            self._policy,
            config.explicit_paths(),
            self.starts,
            config.labels.file_type,
            outside.networks,
        )
        self.reconciler = self._make_reconciler()
        self.gatekeeper = self._make_gatekeeper()
        self.watcher = Watcher(
            engine=outside.docker,
            reconciler=self.reconciler,
            walks=self.walks,
            herald=self.herald,
            resync=config.docker.resync,
            engine_is=self.host.engine_is,
            synced=self._synced,
            now=clock.now,
        )
        self.booleans = Booleans(
            config.booleans.wishes,
            outside.switches,
            self.herald,
            clock,
            containers=self._who_runs,
            lifelines=outside.lifelines,
            stored=outside.stored_booleans,
        )
        self.sightings.listen(self.booleans.wake)
        self.ends = Ends(self._gated_and_running, outside.lifelines, self._ended)
        self.sightings.listen(self.ends.wake)
        self.ground = GroundWatch(
            outside.news,
            selinux,
            self.herald,
            self._ground_moved,
            file_type=config.labels.file_type,
            pid=os.getpid(),
        )
        self.confirmer = Confirmer(
            self.scribe,
            self.walks,
            self.herald,
            clock,
            every=config.volumes.confirm,
            label_again=self.reconciler.relabel_again,
        )
        self.answers = self._make_answers()

    async def _synced(self) -> None:
        self.booleans.wake()
        await self.reclaimer.start()

    def _ended(self, container: ContainerId) -> None:
        self.starts.end(container)
        self.watcher.look_at(container)

    def _who_runs(self) -> tuple[Container, ...] | None:
        """Give the running containers; None while Docker has not told all of them yet.

        A Docker that does not answer when mcsd starts vouches for nobody: nobody is known to run then.
        """
        if not (self.watcher.is_synced or self.watcher.error):
            return None
        return tuple(container for container in self.sightings.containers() if container.running)

    def _ground_moved(self, move: Move) -> None:
        self.host.selinux_is(move.new.trusted)  # asks nobody: the kernel may be refusing to answer
        self.booleans.wake()
        if move.policy:
            # Names, types and constraints may all have changed: what was judged by them is looked at again.
            self.watcher.look_again()

    def _judge_again(self) -> None:
        self.sightings.tell_changes()

    def _make_reconciler(self) -> Reconciler:
        return Reconciler(
            observer=self._observer,
            scribe=self.scribe,
            walks=self.walks,
            reclaimer=self.reclaimer,
            sightings=self.sightings,
            herald=self.herald,
            means=self._means,
            policy=self._policy,
            carriers=self.carriers,
            starts=self.starts,
        )

    def _file_context(self, level: Level) -> str:
        return self._outside.selinux.file_context(self._config.labels.file_type, str(level))

    def _make_gatekeeper(self) -> Gatekeeper:
        return Gatekeeper(
            config=self._config.gate,
            docker=self._outside.docker_for_gate,
            observer=self._observer,
            reconciler=self.reconciler,
            reservations=self.reservations,
            reclaimer=self.reclaimer,
            scribe=self.scribe,
            sightings=self.sightings,
            starts=self.starts,
            herald=self.herald,
            host=self.host,
            means=self._means,
            look=lambda container: self.watcher.look_at(container),
            look_later=lambda container: self.watcher.look_later(container),
        )

    def _gated_and_running(self) -> tuple[Container, ...]:
        host = self.host()
        return tuple(one for one in self.sightings.containers() if one.running and is_gated(one, host))

    def _make_answers(self) -> Answers:
        clock = self._outside.clock
        return Answers(
            Parts(
                clock=clock,
                started=clock.now(),
                host=self.host,
                herald=self.herald,
                scribe=self.scribe,
                walks=self.walks,
                sightings=self.sightings,
                carriers=self.carriers,
                reclaimer=self.reclaimer,
                reservations=self.reservations,
                watcher=self.watcher,
                verifier=self._make_verifier(),
                booleans=self.booleans,
                ground=self.ground.ground,
                stored_bytes=self._outside.volumes.stored_bytes,
            )
        )

    def _make_verifier(self) -> Verifier:
        return Verifier(
            Sources(
                clock=self._outside.clock,
                docker=self._outside.docker,
                stored=self._outside.volumes.volumes,
                scribe=self.scribe,
                walks=self.walks,
                sightings=self.sightings,
                carriers=self.carriers,
                reconciler=self.reconciler,
                reclaimer=self.reclaimer,
                watcher=self.watcher,
                selinux=self._outside.selinux,
                herald=self.herald,
            )
        )

    async def prepare(self) -> None:
        """Take over what is on disk and who runs; nothing is granted before this is done."""
        stored = await asyncio.to_thread(self._outside.volumes.volumes)
        async with self.scribe.deciding:
            changes = recover(stored, self.scribe.book, self._outside.clock.now())
            await self.scribe.commit(changes)
        if changes:
            self.herald.emit(Notice(Kind.RECOVERED, {"volumes": len(stored)}))
        await self.reconciler.renumber(self.scribe.book.volumes())
        await self.carriers.refresh()
        self._greet()

    def jobs(self) -> tuple[Job, ...]:
        """What runs for ever."""
        return (
            *self.watcher.tasks(),
            self.reclaimer.run,
            self.carriers.refresh_often,
            self.ground.run,
            self.booleans.run,
            *([self.confirmer.run] if self._config.volumes.confirm else []),
            self.ends.run,
        )

    def stop(self) -> None:
        """Say so, and break off running walks; the ledger knows that they are unfinished."""
        self.herald.emit(Notice(Kind.STOPPING))
        self.walks.cancel_all()

    def _greet(self) -> None:
        book, status = self.scribe.book, self.host().selinux
        state = "enforcing" if status.enforcing else "permissive" if status.enabled else "disabled"
        counts = {"grants": len(book.grants()), "volumes": len(book.volumes())}
        self.herald.emit(Notice(Kind.STARTED, {"version": __version__, "selinux": state, **counts}))


def _new_volume_id() -> VolumeId:
    return VolumeId(uuid.uuid4().hex)
