"""Looks at complete volumes again in the background: carries out `mcsd.core.confirming`, slowly."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from mcsd.core.confirming import next_to_confirm, rest_after
from mcsd.core.labels import Context
from mcsd.core.notices import Kind, Notice
from mcsd.core.volumes import Volume, VolumeId
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

    `every` is in seconds; `label_again` walks a volume whatever its root says. Owned by the event loop.
    """

    def __init__(
        self,
        scribe: Scribe,
        walks: Walks,
        herald: Herald,
        clock: Clock,
        *,
        every: float,
        label_again: Callable[[VolumeId], Awaitable[object]],
    ) -> None:
        self._scribe = scribe
        self._walks = walks
        self._herald = herald
        self._clock = clock
        self._every = every
        self._label_again = label_again
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
        """Tell of it, and have it labelled again as a repair does it: the ledger says so first."""
        if self._scribe.book.volume(volume.id) != volume:
            return  # something was done to it during the walk
        example = next((name for why, name in walk.examples if why is SkipReason.DIFFERS), "")
        fields = {
            "volume": volume.path,
            "level": str(Context.parse(volume.target).level),
            "wrong": walk.skipped[SkipReason.DIFFERS],
            "example": example,
        }
        self._herald.emit(Notice(Kind.VOLUME_DRIFTED, fields))
        with suppress(LedgerError):  # told by the scribe; the volume comes round again
            await self._label_again(volume.id)
