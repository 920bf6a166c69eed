"""Taking levels back: carries out `mcsd.core.reclaim`, at its time, at once under pressure, or on demand."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable
from dataclasses import replace
from typing import TypeVar

from mcsd.core.changes import Change, DropClaim, DropGroup, DropVolume, PutGrant, PutVolume
from mcsd.core.containers import ContainerId
from mcsd.core.grants import Grant, GrantEvent, GrantState
from mcsd.core.labels import Context
from mcsd.core.notices import Kind, Notice
from mcsd.core.processes import Carrier
from mcsd.core.reclaim import Forget, Moment, Prove, Restore, Step, is_hastened_by, next_due, reclaim
from mcsd.core.volumes import Claim, GrantId, Volume, VolumeId, VolumePhase
from mcsd.errors import ExhaustedError, LedgerError, SelinuxError, VolumeFailedError, VolumeRefusedError
from mcsd.execute import skipped_text
from mcsd.herald import Herald
from mcsd.ports import Clock
from mcsd.relabel.values import Walk
from mcsd.scribe import Scribe
from mcsd.walks import Walks

T = TypeVar("T")

SOON = 15.0
"""Seconds until another try when the ledger or the kernel failed, or a process still carries a level."""
RETRY = 300.0
"""Seconds between attempts to clean what could not be cleaned."""


class Reclaimer:
    """Restores volumes that nobody claims any more, and frees levels that nothing carries."""

    def __init__(
        self,
        scribe: Scribe,
        walks: Walks,
        herald: Herald,
        clock: Clock,
        linger: float,
        scan: Callable[[], Collection[Carrier]],
    ) -> None:
        self._scribe = scribe
        self._walks = walks
        self._herald = herald
        self._clock = clock
        self._linger = linger
        self._scan = scan
        self._turn = asyncio.Lock()
        self._wake = asyncio.Event()
        self._may_begin = asyncio.Event()

    async def start(self) -> None:
        """All containers have been looked at: from now on nobody's claim is overlooked."""
        self._may_begin.set()
        self._wake.set()

    @property
    def has_started(self) -> bool:
        """Whether all containers have been looked at since mcsd runs."""
        return self._may_begin.is_set()

    async def starts(self, *, within: float) -> bool:
        """Wait, so many seconds at most, until all containers have been looked at; tell whether they have."""
        try:
            async with asyncio.timeout(within):
                await self._may_begin.wait()
        except TimeoutError:
            return False
        return True

    def wake(self) -> None:
        """Look again soon: something was quarantined or released."""
        self._wake.set()

    def heed(self, changes: Iterable[Change]) -> None:
        """Look again soon if what was written down makes something due that lingers."""
        granted = (change.grant for change in changes if isinstance(change, PutGrant))
        if any(is_hastened_by(grant, self._scribe.book) for grant in granted):
            self.wake()

    async def run(self) -> None:
        """Reclaim for ever, from the first complete look at the engine on."""
        await self._may_begin.wait()
        while True:
            self._wake.clear()
            pause = await self._try()
            try:
                async with asyncio.timeout(pause):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def _try(self) -> float:
        """Reclaim once, and give the seconds until the next time."""
        try:
            moment = await self.reclaim()
        except (LedgerError, SelinuxError):
            # Told already: by the scribe, and by who watches the ground. Nothing was freed without proof.
            return SOON
        return self._pause(moment)

    def _pause(self, moment: Moment) -> float:
        """Give the seconds to wait after a moment at which nothing could be done.

        That moment, not a later one: what came due in between has been seen by nobody.
        """
        due = next_due(self._scribe.book, moment)
        if any(
            grant.state is GrantState.QUARANTINED and not self._scribe.book.claims_of(grant.id)
            for grant in self._scribe.book.grants()
        ):
            return SOON  # only a process keeps it, and processes end without a word
        return RETRY if due is None else min(max(due - moment.now, 0.05), RETRY)

    async def relieve(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """Do what takes a free pair; where none is left, clean at once what lingers, and try once more.

        Raises `ExhaustedError` where nothing could be freed. Before all containers have been looked at
        nothing is cleaned: somebody may come and claim it.
        """
        try:
            return await attempt()
        except ExhaustedError:
            if not self.has_started:
                raise
            grants = self._scribe.book.grants()
            await self.reclaim(frozenset(one.id for one in grants if one.state is GrantState.QUARANTINED))
            return await attempt()

    async def reclaim(self, urgent: frozenset[GrantId] = frozenset()) -> Moment:
        """Do everything that can be done now, and give the moment at which nothing was left to do.

        Grants in `urgent` do not linger.
        """
        async with self._turn:
            blocked: set[VolumeId] = set()
            unproven: set[GrantId] = set()
            while True:
                moment = Moment(self._clock.now(), self._linger, urgent, frozenset(blocked))
                steps = self._steps(moment, unproven)
                if not steps:
                    return moment
                for step in steps:
                    await self._carry_out(step, blocked, unproven)

    def _steps(self, moment: Moment, unproven: set[GrantId]) -> tuple[Step, ...]:
        return tuple(
            step
            for step in reclaim(self._scribe.book, moment)
            if not (isinstance(step, Prove) and step.grant in unproven)
        )

    async def _carry_out(self, step: Step, blocked: set[VolumeId], unproven: set[GrantId]) -> None:
        match step:
            case Forget(claim):
                await self._forget(claim)
            case Restore(volume_id):
                if not await self.restore(volume_id):
                    blocked.add(volume_id)
            case Prove(grant_id):
                if not await self._prove(grant_id):
                    unproven.add(grant_id)

    async def _forget(self, claim: Claim) -> None:
        async with self._scribe.deciding:
            grant, now = self._scribe.book.grant(claim.grant), self._scribe.book.claim(*claim.key)
            if now == claim and grant is not None and grant.state is GrantState.QUARANTINED:
                await self._scribe.commit([DropClaim(*claim.key)])

    async def _prove(self, grant_id: GrantId) -> bool:
        carriers = await asyncio.to_thread(self._scan)
        async with self._scribe.deciding:
            grant = self._scribe.book.grant(grant_id)
            if grant is None or grant.state is not GrantState.QUARANTINED:
                return True  # its container came back while the processes were looked at
            if self._scribe.book.claims_of(grant_id) or any(
                carrier.level == grant.level and not self._is_held(carrier) for carrier in carriers
            ):
                return False
            freed = grant.after(GrantEvent.PROVEN, self._clock.now())
            await self._scribe.commit([PutGrant(freed), *self._emptied(grant)])
        fields = {"name": grant.name, "level": str(grant.level)}
        self._herald.emit(Notice(Kind.GRANT_FREED, fields, grant.container))
        return True

    def _is_held(self, carrier: Carrier) -> bool:
        """Tell whether somebody who lives holds the level of a process by a grant: one holder that goes
        does not free the level, and one that stays does not keep the other from going."""
        holder = self._scribe.book.grant_of(ContainerId(carrier.container))
        return holder is not None and holder.state.is_living and holder.level == carrier.level

    def _emptied(self, leaving: Grant) -> list[Change]:
        """Drop a group with its last member: nothing carries its pair any more either."""
        members = [one for one in self._scribe.book.grants() if leaving.group and one.group == leaving.group]
        return [DropGroup(leaving.group)] if members == [leaving] else []

    async def restore(self, volume_id: VolumeId) -> Walk | None:
        """Put one volume's originals back; None (and a notice) where that could not be completed."""
        volume = await self._intend(volume_id)
        if volume is None:
            return None
        try:
            walk = await self._walks.restore(volume)
        except (VolumeFailedError, VolumeRefusedError) as exc:
            await self._strand(volume, exc.what, exc.hint)
            return None
        if not walk.complete:
            await self._strand(volume, skipped_text(walk) or "the walk was broken off", "see mcsctl volumes")
            return None
        await self._finish(volume, walk)
        return walk

    async def _intend(self, volume_id: VolumeId) -> Volume | None:
        async with self._scribe.deciding:
            volume = self._scribe.book.volume(volume_id)
            if volume is None or any(
                self._is_living(claim.grant) for claim in self._scribe.book.claims_on(volume_id)
            ):
                return None
            volume = replace(volume, phase=VolumePhase.RESTORING, since=self._clock.now())
            await self._scribe.commit([PutVolume(volume)])
            return volume

    def _is_living(self, grant_id: GrantId) -> bool:
        grant = self._scribe.book.grant(grant_id)
        return grant is not None and grant.state.is_living

    async def _finish(self, volume: Volume, walk: Walk) -> None:
        async with self._scribe.deciding:
            now = self._scribe.book.volume(volume.id)
            if now is None or now.phase is not VolumePhase.RESTORING:
                return  # another container has claimed it meanwhile
            drops: list[Change] = [
                DropClaim(claim.grant, claim.destination) for claim in self._scribe.book.claims_on(volume.id)
            ]
            await self._scribe.commit([*drops, DropVolume(volume.id)])
            await self._walks.forget(volume)
        fields = {
            "volume": volume.path,
            "level": str(Context.parse(volume.target).level),
            "changed": walk.changed,
            "skipped": sum(walk.skipped.values()),
            "seconds": round(walk.seconds, 3),
        }
        self._herald.emit(Notice(Kind.VOLUME_RESTORED, fields))

    async def _strand(self, volume: Volume, reason: str, hint: str) -> None:
        async with self._scribe.deciding:
            now = self._scribe.book.volume(volume.id)
            if now is None or now.phase is not VolumePhase.RESTORING:
                return
            stranded = replace(now, phase=VolumePhase.STRANDED, detail=reason, since=self._clock.now())
            await self._scribe.commit([PutVolume(stranded)])
        level = str(Context.parse(volume.target).level)
        fields = {"volume": volume.path, "level": level, "reason": reason, "hint": hint}
        self._herald.emit(Notice(Kind.VOLUME_STRANDED, fields))
