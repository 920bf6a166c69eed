"""Checks complete volumes again in the background: carries out `mcsd.core.scrubbing`, slowly."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import PurePosixPath

from mcsd.core.disk import Drift, Watching, What
from mcsd.core.notices import Kind, Notice
from mcsd.core.scrubbing import SHORTEST, is_confirmable, next_to_confirm, rest_after
from mcsd.core.volumes import Volume, VolumeId
from mcsd.core.walks import SkipReason, Walk
from mcsd.errors import HostError, LedgerError, VolumeFailedError, VolumeRefusedError
from mcsd.ports import Clock
from mcsd.state.disk import Disk
from mcsd.state.events import EventBus
from mcsd.state.store import Store
from mcsd.state.walk_queue import WalkQueue

LONGEST_PAUSE = 60.0
"""The most seconds until the next check whether a volume is due, because containers come and go."""
SECOND_LOOK = 1.0
"""Seconds after which a watched volume with a difference is checked again, before it is called drifted."""


class Scrubber:
    """Finds volumes with labels that differ from the ledger, and has them labelled again.

    A check may see a change before the watch's event for it has been handled, and the watch knows more about
    it: what was done, and by whom. So a watched volume is called drifted when a second check still finds a
    difference.

    `every` is in seconds; `label_again` walks a volume whatever its root says. Owned by the event loop.
    """

    def __init__(
        self,
        store: Store,
        walks: WalkQueue,
        bus: EventBus,
        clock: Clock,
        *,
        disk: Disk,
        every: float,
        label_again: Callable[[VolumeId], Awaitable[object]],
    ) -> None:
        self._store = store
        self._walks = walks
        self._bus = bus
        self._clock = clock
        self._disk = disk
        self._every = every
        self._label_again = label_again
        self._confirmed: dict[VolumeId, float] = {}
        self._urgent: dict[VolumeId, float] = {}
        self._suspects: set[VolumeId] = set()
        self._wake = asyncio.Event()

    @property
    def is_pressed(self) -> bool:
        """Whether a volume waits for a check out of turn."""
        return bool(self._urgent)

    def look_soon(self, volume: VolumeId, after: float = 0.0) -> None:
        """Request a check of a volume after so many seconds, before all others that are due."""
        due = asyncio.get_running_loop().time() + after
        self._urgent[volume] = min(due, self._urgent.get(volume, due))
        self._wake.set()

    async def run(self) -> None:
        """Check volumes for ever, one at a time."""
        while True:
            pause = await self.confirm_next() if self._is_time() else SHORTEST
            if self._urgent:
                pause = max(pause, min(self._urgent.values()) - asyncio.get_running_loop().time())
            self._wake.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._wake.wait()

    async def confirm_next(self) -> float:
        """Check the volume that is due, if there is one; return the seconds until the next time."""
        volume, wait = self._pressing(), 0.0
        if volume is None:
            volume, wait = next_to_confirm(
                self._store.cache, self._confirmed, self._clock.now(), self._every or float("inf")
            )
        if volume is None:
            return min(wait, LONGEST_PAUSE)
        walk = await self._walk(volume)
        if walk is not None and walk.cancelled:
            self.look_soon(volume.id, 1.0)
            return 1.0  # the volume was needed
        self._forget_the_gone()
        self._confirmed[volume.id] = self._clock.now()
        if walk is not None:
            await self._judge(volume, walk)
        elif volume.id in self._suspects:
            self.look_soon(volume.id, LONGEST_PAUSE)  # what was found stays until a check says otherwise
        if volume.id in self._suspects:
            return SECOND_LOOK
        return rest_after(walk.seconds if walk is not None else 0.0)

    def _forget_the_gone(self) -> None:
        """Keep nothing of volumes that the ledger does not have any more."""
        for gone in [one for one in self._confirmed if self._store.cache.volume(one) is None]:
            del self._confirmed[gone]
        self._suspects = {one for one in self._suspects if self._store.cache.volume(one) is not None}

    def _is_time(self) -> bool:
        """Tell whether a requested check is due; or none is waiting."""
        return not self._urgent or min(self._urgent.values()) <= asyncio.get_running_loop().time()

    def _pressing(self) -> Volume | None:
        """Return the first volume for a check out of turn, if it is still to be checked."""
        while self._urgent:
            key = min(self._urgent, key=lambda one: self._urgent[one])
            del self._urgent[key]
            volume = self._store.cache.volume(key)
            if volume is not None and is_confirmable(volume, self._store.cache):
                return volume
            self._suspects.discard(key)
        return None

    async def _walk(self, volume: Volume) -> Walk | None:
        try:
            return await self._walks.confirm(volume)
        except (VolumeFailedError, VolumeRefusedError, HostError):
            return None  # gone, replaced, hung: reported when its container is observed

    async def _judge(self, volume: Volume, walk: Walk) -> None:
        is_second_look = volume.id in self._suspects
        self._suspects.discard(volume.id)
        if not walk.skipped.get(SkipReason.DIFFERS):
            self._disk.seen_right(volume.id, self._clock.now())
            return
        if self._store.cache.volume(volume.id) != volume:
            return  # it was changed during the walk
        self._differs(volume, walk)
        if is_second_look or self._disk.state(volume.id).watching is not Watching.WATCHED:
            await self._drifted(volume, walk)
        else:
            self._suspects.add(volume.id)
            self.look_soon(volume.id, SECOND_LOOK)

    def _differs(self, volume: Volume, walk: Walk) -> None:
        """Record what a check of all of a volume found, instead of what was known before."""
        found = tuple(
            Drift(
                str(PurePosixPath(volume.path, name)),
                What.DIFFERS,
                reason="it does not carry the volume's label",
            )
            for why, name in walk.examples
            if why is SkipReason.DIFFERS
        )
        state = self._disk.state(volume.id).found(found, walk.skipped[SkipReason.DIFFERS])
        self._disk.put(volume.id, state)

    async def _drifted(self, volume: Volume, walk: Walk) -> None:
        """Report a drifted volume, and label it again as a repair does: the ledger first."""
        example = next((name for why, name in walk.examples if why is SkipReason.DIFFERS), "")
        fields = {
            "volume": volume.path,
            "level": str(volume.level),
            "wrong": walk.skipped[SkipReason.DIFFERS],
            "example": example,
        }
        self._bus.emit(Notice(Kind.VOLUME_DRIFTED, fields))
        with suppress(LedgerError):  # reported by the store; the volume is checked again later
            await self._label_again(volume.id)
