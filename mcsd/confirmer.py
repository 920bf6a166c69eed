"""Looks at complete volumes again in the background: carries out `mcsd.core.confirming`, slowly."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from dataclasses import replace

from mcsd.core.changes import PutVolume
from mcsd.core.confirming import next_to_confirm, rest_after
from mcsd.core.containers import ContainerId
from mcsd.core.labels import Context
from mcsd.core.notices import Kind, Notice
from mcsd.core.volumes import Volume, VolumeId, VolumePhase
from mcsd.errors import LedgerError, VolumeFailedError, VolumeRefusedError
from mcsd.herald import Herald
from mcsd.ports import Clock
from mcsd.relabel.values import SkipReason, Walk
from mcsd.scribe import Scribe
from mcsd.walks import Walks

LONGEST_PAUSE = 60.0
"""Seconds between two looks at whether a volume is due: containers come and go meanwhile."""


class Confirmer:
    """Finds volumes that do not carry everywhere what the ledger says, and has them labelled again.

    `every` is in seconds; `look` has containers looked at. Owned by the event loop's thread.
    """

    def __init__(
        self,
        scribe: Scribe,
        walks: Walks,
        herald: Herald,
        clock: Clock,
        *,
        every: float,
        look: Callable[[Collection[ContainerId]], Awaitable[None]],
    ) -> None:
        self._scribe = scribe
        self._walks = walks
        self._herald = herald
        self._clock = clock
        self._every = every
        self._look = look
        self._confirmed: dict[VolumeId, float] = {}

    async def run(self) -> None:
        """Confirm for ever, never more than one volume at a time."""
        while True:
            pause = await self.confirm_next()
            await asyncio.sleep(pause)

    async def confirm_next(self) -> float:
        """Look at the volume that is due, if there is one; give the seconds until the next time."""
        volume, wait = next_to_confirm(self._scribe.book, self._confirmed, self._clock.now(), self._every)
        if volume is None:
            return min(wait, LONGEST_PAUSE)
        walk = await self._walk(volume)
        if walk is not None and walk.cancelled:
            return 1.0  # somebody needed the volume
        self._confirmed = {one.id: self._confirmed.get(one.id, 0.0) for one in self._scribe.book.volumes()}
        self._confirmed[volume.id] = self._clock.now()
        if walk is not None and walk.skipped.get(SkipReason.DIFFERS):
            await self._drifted(volume, walk)
        return rest_after(walk.seconds if walk is not None else 0.0)

    async def _walk(self, volume: Volume) -> Walk | None:
        try:
            return await self._walks.confirm(volume)
        except (VolumeFailedError, VolumeRefusedError):
            return None  # gone or replaced: said when its container is looked at, which happens more often

    async def _drifted(self, volume: Volume, walk: Walk) -> None:
        """Write down that the volume is not complete; who looks after its containers does the rest."""
        try:
            async with self._scribe.deciding:
                if self._scribe.book.volume(volume.id) != volume:
                    return  # something was done to it during the walk
                unfinished = replace(volume, phase=VolumePhase.LABELLING, since=self._clock.now())
                await self._scribe.commit([PutVolume(unfinished)])
        except LedgerError:
            return  # told by the scribe; the volume comes round again
        example = next((name for why, name in walk.examples if why is SkipReason.DIFFERS), "")
        fields = {
            "volume": volume.path,
            "level": str(Context.parse(volume.target).level),
            "wrong": walk.skipped[SkipReason.DIFFERS],
            "example": example,
        }
        self._herald.emit(Notice(Kind.VOLUME_DRIFTED, fields))
        await self._look(self._holders(volume.id))

    def _holders(self, volume: VolumeId) -> tuple[ContainerId, ...]:
        book = self._scribe.book
        grants = (book.grant(claim.grant) for claim in book.claims_on(volume))
        return tuple(sorted({grant.container for grant in grants if grant and grant.state.is_living}))
