"""Running walks: never two over the same files, cancellable by whose they are, and visible.

A walk is blocking work of the relabel engine in a thread. Two walks whose paths contain each other would
undo one another's labels, so the later waits for the earlier; all others run side by side.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Protocol, TypeVar

from mcsd.core.picture import WalkProgress, Work
from mcsd.core.volumes import Volume, VolumeId, overlap
from mcsd.ports import Clock, VolumeEngine
from mcsd.relabel.values import Progress, Walk

T = TypeVar("T")


class Lanes(Protocol):
    """Threads for blocking walks, such that a small one never waits for a large one."""

    async def run(self, work: Callable[[], T]) -> T:
        """Run `work` in a thread and give its result."""
        ...


@dataclass(eq=False, slots=True)
class _Running:
    progress: WalkProgress
    owner: str
    cancelled: threading.Event = field(default_factory=threading.Event)


class Walks:
    """Runs the engine's walks and knows which are running. Owned by the event loop's thread."""

    def __init__(self, engine: VolumeEngine, lanes: Lanes, clock: Clock) -> None:
        self._engine = engine
        self._lanes = lanes
        self._clock = clock
        self._running: list[_Running] = []
        self._changed = asyncio.Condition()

    def progress(self) -> tuple[WalkProgress, ...]:
        """The walks that are running or waiting their turn, oldest first."""
        return tuple(running.progress for running in self._running)

    def cancel(self, owner: str) -> None:
        """Break off the walks that are run for a container; they end as incomplete."""
        for running in self._running:
            if running.owner == owner:
                running.cancelled.set()

    def cancel_restore(self, volume: VolumeId) -> None:
        """Break off putting a volume's originals back, because somebody claims it again."""
        for running in self._running:
            if running.progress.volume == volume and running.progress.work == "restore":
                running.cancelled.set()

    def cancel_all(self) -> None:
        """Break off every walk, to stop soon; the ledger knows that they are unfinished."""
        for running in self._running:
            running.cancelled.set()

    async def relabel(self, volume: Volume, owner: str) -> Walk:
        """Label a volume with its target; raises `VolumeFailedError` and `VolumeRefusedError`."""

        def work(running: _Running) -> Walk:
            return self._engine.relabel(
                volume.id,
                volume.path,
                volume.identity,
                volume.target,
                progress=self._reporter(running),
                cancelled=running.cancelled,
            )

        return await self._run(volume, owner, "relabel", work)

    async def restore(self, volume: Volume) -> Walk:
        """Put a volume's originals back; raises as `relabel` does."""

        def work(running: _Running) -> Walk:
            return self._engine.restore(
                volume.id,
                volume.path,
                volume.identity,
                progress=self._reporter(running),
                cancelled=running.cancelled,
            )

        return await self._run(volume, "", "restore", work)

    async def confirm(self, volume: Volume) -> Walk:
        """Do as `verify`, in the background: broken off when anything else is to be done to the volume."""

        def work(running: _Running) -> Walk:
            return self._engine.verify(
                volume.id,
                volume.path,
                volume.identity,
                volume.target,
                progress=self._reporter(running),
                cancelled=running.cancelled,
            )

        return await self._run(volume, "", "verify", work)

    async def verify(self, volume: Volume) -> Walk:
        """Compare a volume's labels with its target without writing."""
        return await self._lanes.run(
            lambda: self._engine.verify(volume.id, volume.path, volume.identity, volume.target)
        )

    async def forget(self, volume: Volume) -> None:
        """Drop the originals of a volume that has them back."""
        await self._lanes.run(lambda: self._engine.forget(volume.id))

    async def _run(self, volume: Volume, owner: str, name: Work, work: Callable[[_Running], Walk]) -> Walk:
        async with self._turn(volume, owner, name) as running:
            try:
                return await self._lanes.run(lambda: work(running))
            except asyncio.CancelledError:
                running.cancelled.set()
                raise

    @asynccontextmanager
    async def _turn(self, volume: Volume, owner: str, name: Work) -> AsyncIterator[_Running]:
        progress = WalkProgress(volume.id, volume.path, name, self._clock.now(), expected=volume.inodes)
        running = _Running(progress, owner)
        self._break_off_looking(volume.path)
        self._running.append(running)
        try:
            async with self._changed:
                await self._changed.wait_for(lambda: not self._is_blocked(running))
            yield running
        finally:
            self._running.remove(running)
            async with self._changed:
                self._changed.notify_all()

    def _break_off_looking(self, path: str) -> None:
        for running in self._running:
            if running.progress.work == "verify" and overlap(running.progress.path, path):
                running.cancelled.set()

    def _is_blocked(self, running: _Running) -> bool:
        earlier = self._running[: self._running.index(running)]
        return any(overlap(other.progress.path, running.progress.path) for other in earlier)

    @staticmethod
    def _reporter(running: _Running) -> Callable[[Progress], None]:
        def report(progress: Progress) -> None:  # called in the walk's thread; one assignment, so atomic
            running.progress = replace(
                running.progress, seen=progress.seen, changed=progress.changed, skipped=progress.skipped
            )

        return report
