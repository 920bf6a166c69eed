"""What the daemon answers to requests: `mcsd.service.Service` over the parts that do the work."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from mcsd import __version__
from mcsd.carriers import Carriers
from mcsd.core.booleans import BooleanView
from mcsd.core.containers import ContainerId
from mcsd.core.figures import Figures
from mcsd.core.grants import Grant
from mcsd.core.ground import Ground, findings
from mcsd.core.isolation import is_at
from mcsd.core.picture import Event, ForeignHolder, PairCounts, Picture
from mcsd.core.volumes import Volume, VolumePhase
from mcsd.errors import (
    BooleanError,
    ConflictError,
    McsdError,
    NotFoundError,
    VolumeFailedError,
    VolumeRefusedError,
)
from mcsd.herald import Herald
from mcsd.hostview import HostView
from mcsd.ports import Clock, Selinux
from mcsd.reclaimer import Reclaimer
from mcsd.relabel.values import SkipReason
from mcsd.reservations import Reservations
from mcsd.scribe import Scribe
from mcsd.service import BooleanKeeper, Restoration, Verification, VolumeCheck
from mcsd.sightings import Sightings
from mcsd.walks import Walks
from mcsd.watch import Watcher


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
    selinux: Selinux
    booleans: BooleanKeeper | None = None
    ground: Callable[[], Ground] | None = None
    stored_bytes: Callable[[], int] | None = None
    """Blocking: bytes of the originals on disk."""


class Answers:
    """Owned by the event loop's thread."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def picture(self) -> Picture:
        """Give everything as it is now."""
        parts = self._parts
        return Picture(
            now=parts.clock.now(),
            version=__version__,
            started=parts.started,
            host=parts.host(),
            book=parts.scribe.book,
            engine_error=parts.watcher.error,
            engine_hint=parts.watcher.error_hint,
            synced=parts.watcher.is_synced,
            ledger_error=parts.scribe.error,
            sightings=parts.sightings.all(),
            walks=parts.walks.progress(),
            pairs=self._pairs(),
            foreign=self._strangers(),
            problems=parts.herald.problems(),
            booleans=parts.booleans.report() if parts.booleans else (),
            refusals=parts.booleans.refusals() if parts.booleans else (),
            findings=findings(parts.ground()) if parts.ground else (),
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

    # --- restore -----------------------------------------------------------------------------------

    async def restore(self, path: str) -> Restoration:
        """Put a volume's original labels back now; refused while a container still claims it."""
        volume = self._volume_at(path)
        holders = self._living_on(volume)
        if holders:
            raise ConflictError(
                f"volume {volume.path!r} is still claimed by {', '.join(holders)}",
                hint="remove the containers first, or give the volume the mode ignore in mcsd.toml",
            )
        walk = await self._parts.reclaimer.restore(volume.id)
        if walk is None:
            now = self._parts.scribe.book.volume(volume.id)
            why = now.detail if now and now.detail else "it is claimed again"
            raise VolumeFailedError(
                f"volume {volume.path!r} could not be restored: {why}",
                hint="see journalctl -u mcsd",
            )
        self._parts.reclaimer.wake()
        return Restoration(volume.path, walk.changed, sum(walk.skipped.values()), walk.complete, walk.seconds)

    def _volume_at(self, path: str) -> Volume:
        wanted = PurePosixPath(path)
        for volume in self._parts.scribe.book.volumes():
            if PurePosixPath(volume.path) == wanted:
                return volume
        raise NotFoundError(f"no volume at {path!r} is known", hint="mcsctl volumes lists them")

    def _living_on(self, volume: Volume) -> tuple[str, ...]:
        book = self._parts.scribe.book
        grants = (book.grant(claim.grant) for claim in book.claims_on(volume.id))
        return tuple(sorted({grant.name for grant in grants if grant and grant.state.is_living}))

    # --- verify ------------------------------------------------------------------------------------

    async def verify(self, target: str | None, *, repair: bool) -> Verification:
        """Compare disk, processes and ledger; with `repair`, label again what differs."""
        volumes = self._chosen(target)
        checks = tuple([await self._check(volume, repair=repair) for volume in volumes])
        return Verification(checks, await self._processes(target), await self._pairs_carried(target))

    def _chosen(self, target: str | None) -> tuple[Volume, ...]:
        book = self._parts.scribe.book
        if target is None:
            return book.volumes()
        if target.startswith("/"):
            return (self._volume_at(target),)
        grant = book.grant_of(ContainerId(target))
        if grant is None:
            return ()
        found = (book.volume(claim.volume) for claim in book.claims_of(grant.id) if claim.volume)
        return tuple(volume for volume in found if volume is not None)

    async def _check(self, volume: Volume, *, repair: bool) -> VolumeCheck:
        try:
            walk = await self._parts.walks.verify(volume)
        except (VolumeFailedError, VolumeRefusedError) as exc:
            return VolumeCheck(volume.path, volume.target, 0, 0, 0, error=str(exc))
        wrong = walk.skipped.get(SkipReason.DIFFERS, 0)
        check = VolumeCheck(
            path=volume.path,
            target=volume.target,
            seen=walk.seen,
            wrong=wrong,
            skipped=sum(walk.skipped.values()) - wrong,
            examples=tuple(f"{why}: {name}" for why, name in walk.examples),
        )
        if not (wrong and repair and volume.phase is VolumePhase.LABELLED):
            return check
        return await self._repair(volume, check)

    async def _repair(self, volume: Volume, check: VolumeCheck) -> VolumeCheck:
        try:
            walk = await self._parts.walks.relabel(volume, "")
        except McsdError as exc:
            return replace(check, error=str(exc))
        return replace(check, repaired=walk.complete)

    async def _processes(self, target: str | None) -> tuple[str, ...]:
        await self._parts.carriers.refresh()
        return await asyncio.to_thread(self._strays, target)

    def _strays(self, target: str | None) -> tuple[str, ...]:
        found = []
        for grant in self._parts.scribe.book.grants():
            container = self._parts.sightings.get(grant.container)
            if container is None or container.pid is None or target not in {None, grant.container}:
                continue
            context = self._parts.selinux.process_context(container.pid)
            if context is not None and not is_at(context, grant):
                found.append(f"container {grant.name} is granted {grant.level} and runs as {context}")
        return tuple(found)

    async def _pairs_carried(self, target: str | None) -> tuple[str, ...]:
        if target is not None:
            return ()
        return tuple(
            f"process {holder.pid} runs as {holder.context}, which mcsd has not granted"
            for holder in self._strangers()
        )
