"""Reclaiming levels: carries out `mcsd.core.reclaim` when due, at once under pressure, or on demand.

Theory of operation ------------------- `reclaim(cache, moment)` returns what can be done now: delete a claim
that no longer stands for labels, restore a volume without a living claim, or prove that nothing carries a
grant's level. One round carries out all of it; rounds follow until nothing is left. Volumes are restored
concurrently, each in its own task: a hung file system only keeps its own levels from becoming free.

What always holds:

- Nothing begins before all of Docker's containers have been inspected (`start`), because one may claim it.
- The intent (RESTORING) is in the ledger before the first label is restored, and the outcome after. If the
  volume is claimed in between, the walk is cancelled and its outcome is ignored.
- A level becomes free only after a scan of all processes that began after its last claim had ended.
- Lingering is measured by a monotonic clock.

What a failure means: if the ledger or the kernel failed, nothing was freed, and it is tried again (`SOON`). A
volume that cannot be restored is STRANDED (`RETRY`): its level stays in quarantine, and `mcsctl pairs` says
why.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import TypeVar

from mcsd.blocking.calls import Blocking
from mcsd.control.executor import skipped_text
from mcsd.core.blocked import Party, Subject
from mcsd.core.changes import Change, DropClaim, DropGroup, DropVolume, PutGrant, PutVolume
from mcsd.core.containers import ContainerId
from mcsd.core.grants import Grant, GrantEvent, GrantState
from mcsd.core.labels import Level
from mcsd.core.notices import Kind, Notice
from mcsd.core.processes import ProcessLevel
from mcsd.core.reclaim import Forget, Moment, Prove, Restore, Step, is_hastened_by, next_due, reclaim
from mcsd.core.strays import Stray
from mcsd.core.volumes import Claim, GrantId, Volume, VolumeEvent, VolumeId, VolumePhase
from mcsd.core.walks import Walk
from mcsd.errors import (
    ExhaustedError,
    HostError,
    LedgerError,
    McsdError,
    SelinuxError,
    VolumeFailedError,
    VolumeRefusedError,
)
from mcsd.ports import Clock
from mcsd.state.events import EventBus
from mcsd.state.store import Store
from mcsd.state.walk_queue import WalkQueue

T = TypeVar("T")

SOON = 15.0
"""Seconds until the next try if the ledger or the kernel failed, or a process still carries a level."""
RETRY = 300.0
"""Seconds between attempts to restore a stranded volume."""
GLANCE = 1.0
"""Seconds between checks whether a restoration hangs."""

Restores = Mapping[VolumeId, "asyncio.Task[Walk | None]"]


class Reclaimer:
    """Restores volumes that are no longer claimed, and frees levels that nothing carries."""

    def __init__(
        self,
        store: Store,
        walks: WalkQueue,
        bus: EventBus,
        clock: Clock,
        linger: float,
        scan: Callable[[], Awaitable[Collection[ProcessLevel]]],
        blocking: Blocking,
        stray: Callable[[Level], Stray | None],
    ) -> None:
        self._store = store
        self._stray = stray
        self._walks = walks
        self._bus = bus
        self._clock = clock
        self._linger = linger
        self._scan = scan
        self._blocking = blocking
        self._restoring: dict[VolumeId, asyncio.Task[Walk | None]] = {}
        self._began: dict[tuple[GrantId, float], float] = {}
        self._wake = asyncio.Event()
        self._may_begin = asyncio.Event()

    async def start(self) -> None:
        """Begin reclaiming: all containers have been inspected, so no claim can be missed."""
        self._may_begin.set()
        self._wake.set()

    @property
    def has_started(self) -> bool:
        """Whether all containers have been inspected since mcsd started."""
        return self._may_begin.is_set()

    async def starts(self, *, within: float) -> bool:
        """Wait up to so many seconds until all containers have been inspected; return whether they have."""
        try:
            async with asyncio.timeout(within):
                await self._may_begin.wait()
        except TimeoutError:
            return False
        return True

    def wake(self) -> None:
        """Request a round soon: something was quarantined or released."""
        self._wake.set()

    def heed(self, changes: Iterable[Change]) -> None:
        """Request a round soon if these changes make something lingering due."""
        granted = (change.grant for change in changes if isinstance(change, PutGrant))
        if any(is_hastened_by(grant, self._store.cache) for grant in granted):
            self.wake()

    async def run(self) -> None:
        """Reclaim for ever, from the first complete inspection of the engine on."""
        try:
            await self._may_begin.wait()
            while True:
                self._wake.clear()
                pause = await self._try()
                try:
                    async with asyncio.timeout(pause):
                        await self._wake.wait()
                except TimeoutError:
                    continue
        finally:
            await self._break_off()

    async def _try(self) -> float:
        """Start what can be started without waiting for walks, and return the seconds until the next time."""
        pause = SOON
        try:
            async for moment in self._rounds(frozenset(), lambda _: False):
                pause = self._pause(moment)
        except (LedgerError, SelinuxError, HostError):
            # Reported already by the store or the watch of SELinux. Nothing was freed without proof.
            return SOON
        return pause

    async def _break_off(self) -> None:
        restoring = tuple(self._restoring.values())
        for task in restoring:
            task.cancel()
        if restoring:
            await asyncio.wait(restoring)

    def _pause(self, moment: Moment) -> float:
        """Return the seconds to wait after a moment at which nothing could be done.

        They count from that moment, not from now, because something may have become due in between.
        """
        due = next_due(self._store.cache, moment)
        if any(
            grant.state is GrantState.QUARANTINED and not self._store.cache.claims_of(grant.id)
            for grant in self._store.cache.grants()
        ):
            return SOON  # only a process holds it, and there is no event for its end
        return RETRY if due is None else min(max(due - moment.now, 0.05), RETRY)

    async def relieve(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """Do what needs a free pair; if none is left, restore lingering volumes at once, and try again.

        Raises `ExhaustedError` if nothing could be freed. Nothing is restored before all containers have been
        inspected, because one may claim it.
        """
        try:
            return await attempt()
        except ExhaustedError:
            if not self.has_started:
                raise
            grants = self._store.cache.grants()
            lingering = frozenset(one.id for one in grants if one.state is GrantState.QUARANTINED)
            async for _ in self._rounds(lingering, lambda _: True):
                try:
                    return await attempt()
                except ExhaustedError:
                    continue  # the next one freed may be suitable
            raise

    async def reclaim(self, urgent: frozenset[GrantId] = frozenset()) -> None:
        """Do everything that can be done now, without waiting for what hangs.

        Grants in `urgent` do not linger. If there are any, only their volumes, and those without a grant, are
        waited for.
        """
        claims = (claim for grant in urgent for claim in self._store.cache.claims_of(grant))
        wanted = {claim.volume for claim in claims}

        def is_wanted(volume: VolumeId) -> bool:
            return not urgent or volume in wanted or not self._store.cache.claims_on(volume)

        async for _ in self._rounds(urgent, is_wanted):
            continue

    def _lingering(self) -> dict[GrantId, float]:
        """Return since when each grant lingers, by the monotonic clock.

        The wall clock is only used once, for what lingered before mcsd started. If it was set back, that time
        counts as zero; later changes of the clock have no effect.
        """
        steady, wall = self._clock.steady(), self._clock.now()
        began: dict[tuple[GrantId, float], float] = {}
        for grant in self._store.cache.grants():
            if grant.state is GrantState.QUARANTINED:
                key = grant.id, grant.since
                lingered = min(max(wall - grant.since, 0.0), self._linger)
                began[key] = self._began.get(key, steady - lingered)
        self._began = began
        return {number: at for (number, _), at in began.items()}

    async def _rounds(
        self, urgent: frozenset[GrantId], is_wanted: Callable[[VolumeId], bool]
    ) -> AsyncIterator[Moment]:
        """Carry out rounds until nothing is left to do, yielding the moment of each.

        Restorations are waited for if they are wanted and do not hang.
        """
        blocked: set[VolumeId] = set()
        unproven: set[GrantId] = set()
        while True:
            in_hand = frozenset(blocked | self._restoring.keys())
            moment = Moment(self._clock.steady(), self._linger, urgent, in_hand, self._lingering())
            steps = self._steps(moment, unproven)
            for step in steps:
                await self._carry_out(step, unproven)
            yield moment
            if all(isinstance(step, Restore) for step in steps):
                waiting = {key: task for key, task in self._restoring.items() if is_wanted(key)}
                if not await self._one_returns(waiting, blocked):
                    return

    async def _one_returns(self, waiting: Restores, blocked: set[VolumeId]) -> bool:
        """Wait until one volume is restored, or cannot be; False if there is none left to wait for."""
        while awaited := {task for key, task in waiting.items() if not self._hangs(key)}:
            done, _ = await asyncio.wait(awaited, timeout=GLANCE, return_when=asyncio.FIRST_COMPLETED)
            if done:
                blocked |= {key for key, task in waiting.items() if task in done and task.result() is None}
                return True
        return False

    def _hangs(self, volume_id: VolumeId) -> bool:
        volume = self._store.cache.volume(volume_id)
        return volume is not None and any(
            one.subject == Subject(Party.VOLUME, volume.path) for one in self._blocking.blocked()
        )

    def _steps(self, moment: Moment, unproven: set[GrantId]) -> tuple[Step, ...]:
        return tuple(
            step
            for step in reclaim(self._store.cache, moment)
            if not (isinstance(step, Prove) and step.grant in unproven)
        )

    async def _carry_out(self, step: Step, unproven: set[GrantId]) -> None:
        match step:
            case Forget(claim):
                await self._forget(claim)
            case Restore(volume_id):
                self._begin(volume_id)
            case Prove(grant_id):
                if not await self._prove(grant_id):
                    unproven.add(grant_id)

    async def _forget(self, claim: Claim) -> None:
        async with self._store.deciding:
            grant, now = self._store.cache.grant(claim.grant), self._store.cache.claim(*claim.key)
            if now == claim and grant is not None and grant.state is GrantState.QUARANTINED:
                await self._store.commit([DropClaim(*claim.key)])

    async def _prove(self, grant_id: GrantId) -> bool:
        process_levels = await self._scan()
        async with self._store.deciding:
            grant = self._store.cache.grant(grant_id)
            if grant is None or grant.state is not GrantState.QUARANTINED:
                return True  # its container came back while the processes were scanned
            if self._store.cache.claims_of(grant_id) or any(
                process.level == grant.level and not self._is_held(process) for process in process_levels
            ):
                return False
            freed = grant.after(GrantEvent.PROVEN, self._clock.now())
            await self._store.commit([PutGrant(freed), *self._emptied(grant)])
        fields = {"name": grant.name, "level": str(grant.level)}
        stray = self._stray(grant.level)
        if stray is not None:  # the allocator avoids its level until a scan finds it gone
            fields |= {"path": stray.example, "hint": stray.remedy}
        kind = Kind.GRANT_FREED if stray is None else Kind.LEVEL_ASTRAY
        self._bus.emit(Notice(kind, fields, grant.container))
        return True

    def _is_held(self, process: ProcessLevel) -> bool:
        """Tell whether a living grant holds the process's level.

        Then the level is not free when another holder ends, and that one can still end."""
        holder = self._store.cache.grant_of(ContainerId(process.container))
        return holder is not None and holder.state.is_living and holder.level == process.level

    def _emptied(self, leaving: Grant) -> list[Change]:
        """Return the change that deletes a group with its last member: nothing carries its pair any more."""
        members = [one for one in self._store.cache.grants() if leaving.group and one.group == leaving.group]
        return [DropGroup(leaving.group)] if members == [leaving] else []

    async def restore(self, volume_id: VolumeId) -> Walk | None:
        """Restore one volume; None (and a notice) if that could not be completed.

        Raises `LedgerError`, and `HostError` if the volume's file system hangs; the walk continues all the
        same.
        """
        volume = self._store.cache.volume(volume_id)
        task = self._begin(volume_id)
        while volume is not None and not (await asyncio.wait({task}, timeout=GLANCE))[0]:
            self._blocking.require(Subject(Party.VOLUME, volume.path))
        return await asyncio.shield(task)

    def _begin(self, volume_id: VolumeId) -> asyncio.Task[Walk | None]:
        task = self._restoring.get(volume_id)
        if task is None:
            task = self._restoring[volume_id] = asyncio.create_task(self._restore(volume_id))
            task.add_done_callback(lambda task: self._restored(volume_id, task))
        return task

    def _restored(self, volume_id: VolumeId, task: asyncio.Task[Walk | None]) -> None:
        del self._restoring[volume_id]
        if task.cancelled():
            return
        error = task.exception()
        if error is None and task.result() is not None:
            self.wake()  # a level may be free
        elif isinstance(error, McsdError):
            asyncio.get_running_loop().call_later(SOON, self.wake)
        elif error is not None:
            self._bus.report_bug(f"restoring volume {volume_id}", error)

    async def _restore(self, volume_id: VolumeId) -> Walk | None:
        volume = await self._intend(volume_id)
        if volume is None:
            return None
        try:
            walk = await self._walks.restore(volume)
        except (VolumeFailedError, VolumeRefusedError, HostError) as exc:
            await self._strand(volume, exc.what, exc.hint)
            return None
        if not walk.complete:
            await self._strand(volume, skipped_text(walk) or "the walk was broken off", "see mcsctl volumes")
            return None
        await self._finish(volume, walk)
        return walk

    async def _intend(self, volume_id: VolumeId) -> Volume | None:
        async with self._store.deciding:
            volume = self._store.cache.volume(volume_id)
            if volume is None or any(
                self._is_living(claim.grant) for claim in self._store.cache.claims_on(volume_id)
            ):
                return None
            volume = replace(volume.after(VolumeEvent.RELEASED), since=self._clock.now())
            await self._store.commit([PutVolume(volume)])
            return volume

    def _is_living(self, grant_id: GrantId) -> bool:
        grant = self._store.cache.grant(grant_id)
        return grant is not None and grant.state.is_living

    async def _finish(self, volume: Volume, walk: Walk) -> None:
        async with self._store.deciding:
            now = self._store.cache.volume(volume.id)
            if now is None or now.phase is not VolumePhase.RESTORING:
                return  # another container has claimed it meanwhile
            drops: list[Change] = [
                DropClaim(claim.grant, claim.destination) for claim in self._store.cache.claims_on(volume.id)
            ]
            await self._store.commit([*drops, DropVolume(volume.id)])
        with suppress(HostError):  # shown while it lasts; the remaining file says that the volume is restored
            await self._walks.forget(volume)
        fields = {
            "volume": volume.path,
            "level": str(volume.level),
            "changed": walk.changed,
            "skipped": sum(walk.skipped.values()),
            "seconds": round(walk.seconds, 3),
        }
        self._bus.emit(Notice(Kind.VOLUME_RESTORED, fields))

    async def _strand(self, volume: Volume, reason: str, hint: str) -> None:
        async with self._store.deciding:
            now = self._store.cache.volume(volume.id)
            if now is None or now.phase is not VolumePhase.RESTORING:
                return
            stranded = replace(now.after(VolumeEvent.STUCK), detail=reason, since=self._clock.now())
            await self._store.commit([PutVolume(stranded)])
        if now.detail == reason:
            return  # reported at the first try; it is tried again and again
        level = str(volume.level)
        fields = {"volume": volume.path, "level": level, "reason": reason, "hint": hint}
        self._bus.emit(Notice(Kind.VOLUME_STRANDED, fields))
