"""The daemon's answers to requests: `mcsd.api.service.Service`, implemented by the parts that do the work."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from mcsd import __version__
from mcsd.api.service import BooleanKeeper
from mcsd.blocking.calls import Blocking
from mcsd.control.engine_watch import Watcher
from mcsd.control.reclaimer import Reclaimer
from mcsd.control.reservations import Reservations
from mcsd.control.runs import Runs
from mcsd.control.scanner import Scanner
from mcsd.control.verifier import Verifier, volume_at
from mcsd.control.volume_watch import VolumeWatch
from mcsd.core.audit.told import ToldAudit
from mcsd.core.blocked import Blocked, Party, Subject
from mcsd.core.booleans import BooleanView
from mcsd.core.denials.telling import Newest, ToldDenial
from mcsd.core.figures import Figures
from mcsd.core.fleet.standing import FleetStanding
from mcsd.core.grants import Grant
from mcsd.core.hints import Hint
from mcsd.core.labels import Context
from mcsd.core.lives import NO_LIFE, LifeRequest
from mcsd.core.notices import Kind, Notice
from mcsd.core.runs import Run, RunRequest
from mcsd.core.selinux_state import SelinuxState, findings
from mcsd.core.snapshot import Event, ForeignHolder, PairCounts, Snapshot
from mcsd.core.strays import Catch
from mcsd.core.verification import Restoration, Verification
from mcsd.core.volumes import Volume, of_it
from mcsd.errors import (
    ConflictError,
    HostError,
    VolumeFailedError,
)
from mcsd.ports import Clock
from mcsd.state.state import State

LOOKING = 5.0
"""Seconds that the containers with claims on a volume may take to be observed again."""


@dataclass(frozen=True, slots=True)
class Control:
    """The parts that carry out requests."""

    reclaimer: Reclaimer
    reservations: Reservations
    watcher: Watcher
    verifier: Verifier
    scanner: Scanner
    volume_watch: VolumeWatch
    booleans: BooleanKeeper
    runs: Runs


@dataclass(frozen=True, slots=True)
class Questions:
    """Questions to the host for answers."""

    blocking: Blocking
    within: Callable[[str, Collection[str]], frozenset[str]]
    """Blocking: those of the paths that lead to a place or below it."""
    resolve: Callable[[str], Awaitable[str]]
    """Resolves a path; returns the path itself if that takes too long."""
    selinux: Callable[[], SelinuxState]
    """The state of SELinux as last read."""
    stored_bytes: Callable[[], int]
    """Blocking: the size of the originals on disk."""
    fleet: Callable[[], FleetStanding]
    """How this host stands among those it shares storage with."""
    places_blocked: Callable[[], tuple[Blocked, ...]]
    """The calls about protected places that do not return."""


@dataclass(frozen=True, slots=True)
class Parts:
    """Everything that answers need. `started` is when mcsd started, in seconds since the epoch."""

    clock: Clock
    started: float
    state: State
    control: Control
    questions: Questions


class ApiFacade:
    """Owned by the event loop's thread."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._denials = Newest()
        self._audit: ToldAudit | None = None

    def snapshot(self) -> Snapshot:
        """Return everything as it is now."""
        parts = self._parts
        return replace(
            self.standing(),
            synced=parts.control.watcher.is_synced,
            container_status=parts.state.container_status.all(),
            disks={
                volume.id: parts.state.disk.state(volume.id) for volume in parts.state.store.cache.volumes()
            },
            walks=parts.state.walks.progress(),
            pairs=self._pairs(),
            foreign=self._foreign(),
            problems=parts.state.bus.problems(),
            booleans=parts.control.booleans.report(),
            refusals=parts.control.booleans.refusals(),
            denials=self._denials.all(),
            fleet=parts.questions.fleet(),
        )

    def standing(self) -> Snapshot:
        """Return only the part of the snapshot about the host and the ledger; quick."""
        parts = self._parts
        return Snapshot(
            now=parts.clock.now(),
            version=__version__,
            started=parts.started,
            host=parts.state.host(),
            cache=parts.state.store.cache,
            engines=parts.control.watcher.engines,
            engine_errors=parts.control.watcher.errors,
            ledger_error=parts.state.store.error,
            findings=findings(parts.questions.selinux()),
            blocked=(*parts.questions.blocking.blocked(), *parts.questions.places_blocked()),
        )

    async def within(self, top: str, paths: Collection[str]) -> frozenset[str]:
        """Return those of the paths that lead to `top` or below it; by name if its disk hangs."""
        with contextlib.suppress(HostError):  # shown while it lasts
            subject = Subject(Party.VOLUME, top)
            questions = self._parts.questions
            return await questions.blocking.run(subject, lambda: questions.within(top, paths))
        return frozenset(path for path in paths if PurePosixPath(path).is_relative_to(top))

    def _foreign(self) -> tuple[ForeignHolder, ...]:
        known = self._parts.state.container_status.known()
        return self._parts.state.process_levels.foreign(lambda container: container in known)

    def _pairs(self) -> PairCounts:
        counts = self._parts.state.store.allocator.counts()
        return PairCounts(
            total=counts.total,
            free=counts.free,
            granted=counts.granted,
            reserved=counts.reserved + counts.grouped,
            quarantined=counts.quarantined,
            foreign=counts.foreign,
            configured=counts.configured,
            elsewhere=counts.elsewhere,
        )

    async def figures(self) -> Figures:
        """Return what was counted, and measure what is on disk."""
        watcher = self._parts.control.watcher
        resyncs = {why.value: count for why, count in watcher.resyncs.items()}
        volumes = self._parts.control.volume_watch
        return Figures(
            watcher.lag,
            resyncs,
            await self._stored_bytes(),
            watched=volumes.counts(),
            watched_directories=volumes.directories(),
            stray_levels=len(self._parts.control.scanner.catch().strays),
        )

    async def _stored_bytes(self) -> int | None:
        try:
            return await self._parts.questions.blocking.run(
                Subject(Party.ORIGINALS), self._parts.questions.stored_bytes
            )
        except (VolumeFailedError, HostError):
            return None  # a scrape without this figure is better than none; walks report the cause

    def events(self, *, after: int | None = None) -> AsyncIterator[Event | int]:
        """Stream events; see `EventBus.stream`."""
        return self._parts.state.bus.stream(after=after)

    def recent_events(self) -> tuple[Event, ...]:
        """Return the events still kept, oldest first."""
        return self._parts.state.bus.recent()

    def report_bug(self, where: str, error: BaseException) -> None:
        """Report an unforeseen failure to the journal with all details."""
        self._parts.state.bus.report_bug(where, error)

    def strays(self) -> Catch:
        """Return the strays that scans have found, and the progress of a running scan."""
        return self._parts.control.scanner.catch()

    def scan(self, top: str, *, gently: bool) -> None:
        """Start a scan of everything below a path, "" for all."""
        self._parts.control.scanner.start(top, gently=gently)

    def denials(self) -> tuple[ToldDenial, ...]:
        """Return the denials that were reported to mcsd, the newest first."""
        return self._denials.all()

    def tell_denials(self, denials: Sequence[ToldDenial]) -> None:
        """Store denials, and report them as events."""
        for one in denials:
            self._denials.add(one)
            fields = {"name": one.name or "unknown", "rule": one.cause, "reason": one.text}
            self._parts.state.bus.emit(Notice(Kind.DENIED, fields, one.container))

    def audit(self) -> ToldAudit | None:
        """Return the latest audit that was sent to mcsd, None if there was none."""
        return self._audit

    def tell_audit(self, audit: ToldAudit) -> None:
        """Store an audit, and report it as an event."""
        self._audit = replace(audit, time=self._parts.clock.now())
        fields = {"findings": str(audit.open), "containers": str(audit.containers)}
        self._parts.state.bus.emit(Notice(Kind.AUDITED, fields))

    async def reserve(self, name: str, *, group: str | None, life: LifeRequest = NO_LIFE) -> Grant:
        """Set a level aside under a name."""
        return await self._parts.control.reservations.reserve(name, group=group, life=life)

    async def release(self, name: str) -> None:
        """Release a reservation."""
        await self._parts.control.reservations.release(name)

    async def create_run(self, wanted: RunRequest, pid: int) -> tuple[Run, Context]:
        """Give a process a run; see `Runs.create`."""
        return await self._parts.control.runs.create(wanted, pid)

    async def start_run(self, key: str) -> None:
        """Wait until a run is ready; see `Runs.start`."""
        await self._parts.control.runs.start(key)

    async def set_boolean(self, name: str, order: str) -> BooleanView:
        """Hold a boolean, or end that; see `Booleans.set`."""
        return await self._parts.control.booleans.set(name, order)

    async def verify(self, target: str | None, *, repair: bool) -> Verification:
        """Compare disk, processes and ledger; see `Verifier`."""
        return await self._parts.control.verifier.verify(target, repair=repair)

    async def restore(self, path: str) -> Restoration:
        """Restore a volume's original labels now; refused while a container still claims it."""
        real = await self._parts.questions.resolve(path)
        volume = volume_at(self._parts.state.store.cache, path, real)
        if self._living_on(volume):
            await self._look_at(volume)  # its container may just have been removed
        self._refuse_for(volume, self._living_on(volume))
        walk = await self._parts.control.reclaimer.restore(volume.id)
        if walk is None:
            now = self._parts.state.store.cache.volume(volume.id)
            why = now.detail if now and now.detail else "it is claimed again"
            raise VolumeFailedError(
                f"volume {volume.path!r} could not be restored: {of_it(why, volume.path)}",
                hint="fix the cause (is it mounted?), then repeat it; journalctl -u mcsd -x says more",
            )
        self._parts.control.reclaimer.wake()
        return Restoration(volume.path, walk.changed, sum(walk.skipped.values()), walk.complete, walk.seconds)

    async def _look_at(self, volume: Volume) -> None:
        cache, hints = self._parts.state.store.cache, self._parts.control.watcher.hints
        grants = (cache.grant(claim.grant) for claim in cache.claims_on(volume.id))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LOOKING):
                await hints.add([grant.container for grant in grants if grant and grant.container])
                await hints.quiet()

    def _refuse_for(self, volume: Volume, holders: tuple[Grant, ...]) -> None:
        containers = sorted({grant.name for grant in holders if grant.container})
        if containers:
            raise ConflictError(
                f"volume {volume.path!r} is still claimed by {', '.join(containers)}",
                hint=Hint.REMOVE_HOLDERS.say(path=volume.path),
            )
        if holders:
            name = holders[0].reservation
            raise ConflictError(
                f"volume {volume.path!r} is kept for the next container of the reservation {name!r}",
                hint=Hint.RELEASE_FIRST.say(name=name),
            )

    def _living_on(self, volume: Volume) -> tuple[Grant, ...]:
        cache = self._parts.state.store.cache
        grants = (cache.grant(claim.grant) for claim in cache.claims_on(volume.id))
        return tuple(grant for grant in grants if grant and grant.state.is_living)
