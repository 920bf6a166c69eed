"""What the daemon answers to requests: `mcsd.service.Service` over the parts that do the work."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace

from mcsd import __version__
from mcsd.carriers import Carriers
from mcsd.core.booleans import BooleanView
from mcsd.core.figures import Figures
from mcsd.core.grants import Grant
from mcsd.core.ground import Ground, findings
from mcsd.core.picture import Event, ForeignHolder, PairCounts, Picture
from mcsd.core.volumes import Volume, of_it
from mcsd.errors import (
    BooleanError,
    ConflictError,
    VolumeFailedError,
)
from mcsd.herald import Herald
from mcsd.hostview import HostView
from mcsd.ports import Clock
from mcsd.reclaimer import Reclaimer
from mcsd.reservations import Reservations
from mcsd.scribe import Scribe
from mcsd.service import BooleanKeeper, Restoration, Verification
from mcsd.sightings import Sightings
from mcsd.verification import Verifier, volume_at
from mcsd.walks import Walks
from mcsd.watch import Watcher

LOOKING = 5.0
"""Seconds within which somebody who claims a volume is looked at once more."""


@dataclass(frozen=True, slots=True)
class Parts:
    """Everything that answering needs."""

    clock: Clock
    started: float
    host: HostView
    herald: Herald
    scribe: Scribe
    walks: Walks
    sightings: Sightings
    carriers: Carriers
    reclaimer: Reclaimer
    reservations: Reservations
    watcher: Watcher
    verifier: Verifier
    booleans: BooleanKeeper | None = None
    ground: Callable[[], Ground] | None = None
    stored_bytes: Callable[[], int] | None = None
    """Blocking: bytes of the originals on disk."""


class Answers:
    """Owned by the event loop's thread."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._verifier = parts.verifier

    def picture(self) -> Picture:
        """Give everything as it is now."""
        parts = self._parts
        return replace(
            self.standing(),
            synced=parts.watcher.is_synced,
            sightings=parts.sightings.all(),
            walks=parts.walks.progress(),
            pairs=self._pairs(),
            foreign=self._strangers(),
            problems=parts.herald.problems(),
            booleans=parts.booleans.report() if parts.booleans else (),
            refusals=parts.booleans.refusals() if parts.booleans else (),
        )

    def standing(self) -> Picture:
        """Give the part of the picture that tells of the host and the ledger alone; quick."""
        parts = self._parts
        return Picture(
            now=parts.clock.now(),
            version=__version__,
            started=parts.started,
            host=parts.host(),
            book=parts.scribe.book,
            engine_error=parts.watcher.error,
            engine_hint=parts.watcher.error_hint,
            ledger_error=parts.scribe.error,
            findings=findings(parts.ground()) if parts.ground else (),
        )

    def _strangers(self) -> tuple[ForeignHolder, ...]:
        known = self._parts.sightings.known()
        return self._parts.carriers.foreign(lambda container: container in known)

    def _pairs(self) -> PairCounts:
        counts = self._parts.scribe.allocator.counts()
        return PairCounts(
            total=counts.total,
            free=counts.free,
            granted=counts.granted,
            reserved=counts.reserved + counts.grouped,
            quarantined=counts.quarantined,
            foreign=counts.foreign,
            configured=counts.configured,
        )

    async def figures(self) -> Figures:
        """Give what was counted, and measure what is on disk."""
        watcher = self._parts.watcher
        resyncs = {why.value: count for why, count in watcher.resyncs.items()}
        return Figures(watcher.lag, resyncs, await self._stored_bytes())

    async def _stored_bytes(self) -> int | None:
        if self._parts.stored_bytes is None:
            return None
        try:
            return await asyncio.to_thread(self._parts.stored_bytes)
        except VolumeFailedError:
            return None  # a scrape without this figure is worth more than none; walks tell of the cause

    def events(self, *, after: int | None = None) -> AsyncIterator[Event | int]:
        """Stream events; see `Herald.stream`."""
        return self._parts.herald.stream(after=after)

    def recent_events(self) -> tuple[Event, ...]:
        """The events still remembered, oldest first."""
        return self._parts.herald.recent()

    def report_bug(self, where: str, error: BaseException) -> None:
        """Tell the journal, whole, of a failure that nobody foresaw."""
        self._parts.herald.report_bug(where, error)

    async def reserve(self, name: str, *, group: str | None) -> Grant:
        """Set a level aside under a name."""
        return await self._parts.reservations.reserve(name, group=group)

    async def release(self, name: str) -> None:
        """Give a reservation up."""
        await self._parts.reservations.release(name)

    async def set_boolean(self, name: str, order: str) -> BooleanView:
        """Hold a boolean, or let it go; see `Booleans.set`."""
        if self._parts.booleans is None:
            raise BooleanError(
                "this mcsd looks after no booleans", hint="name the boolean in [booleans] and restart mcsd"
            )
        return await self._parts.booleans.set(name, order)

    async def verify(self, target: str | None, *, repair: bool) -> Verification:
        """Compare disk, processes and ledger; see `Verifier`."""
        return await self._verifier.verify(target, repair=repair)

    async def restore(self, path: str) -> Restoration:
        """Put a volume's original labels back now; refused while a container still claims it."""
        volume = volume_at(self._parts.scribe.book, path)
        if self._living_on(volume):
            await self._look_at(volume)  # one that was removed a moment ago may not have been missed yet
        self._refuse_for(volume, self._living_on(volume))
        walk = await self._parts.reclaimer.restore(volume.id)
        if walk is None:
            now = self._parts.scribe.book.volume(volume.id)
            why = now.detail if now and now.detail else "it is claimed again"
            raise VolumeFailedError(
                f"volume {volume.path!r} could not be restored: {of_it(why, volume.path)}",
                hint="mend the cause (is it mounted?), then repeat it; journalctl -u mcsd -x says more",
            )
        self._parts.reclaimer.wake()
        return Restoration(volume.path, walk.changed, sum(walk.skipped.values()), walk.complete, walk.seconds)

    async def _look_at(self, volume: Volume) -> None:
        book, hints = self._parts.scribe.book, self._parts.watcher.hints
        grants = (book.grant(claim.grant) for claim in book.claims_on(volume.id))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LOOKING):
                await hints.add([grant.container for grant in grants if grant and grant.container])
                await hints.quiet()

    def _refuse_for(self, volume: Volume, holders: tuple[Grant, ...]) -> None:
        containers = sorted({grant.name for grant in holders if grant.container})
        if containers:
            raise ConflictError(
                f"volume {volume.path!r} is still claimed by {', '.join(containers)}",
                hint="remove the containers first, or give the volume the mode ignore in mcsd.toml",
            )
        if holders:
            name = holders[0].reservation
            raise ConflictError(
                f"volume {volume.path!r} is kept for the next container of the reservation {name!r}",
                hint=f"give the reservation up first: mcsctl release {name}",
            )

    def _living_on(self, volume: Volume) -> tuple[Grant, ...]:
        book = self._parts.scribe.book
        grants = (book.grant(claim.grant) for claim in book.claims_on(volume.id))
        return tuple(grant for grant in grants if grant and grant.state.is_living)
