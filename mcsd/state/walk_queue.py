"""Running walks: never two over the same files, cancellable by container, and visible.

A walk is blocking work of the relabel engine in its own thread. Two walks whose paths contain each other
would undo one another's labels, so the later waits for the earlier; all others run concurrently.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

from mcsd.blocking.calls import Blocking, BlockingCall
from mcsd.core.blocked import Party, Subject
from mcsd.core.snapshot import WalkProgress, Work
from mcsd.core.volumes import Identity, Volume, VolumeId, overlap
from mcsd.core.walks import Progress, Walk
from mcsd.ports import Clock, VolumeEngine


@dataclass(eq=False, slots=True)
class _Running:
    progress: WalkProgress
    owner: str
    cancelled: threading.Event = field(default_factory=threading.Event)


class WalkQueue:
    """Runs the engine's walks and knows which are running. Owned by the event loop's thread."""

    def __init__(self, engine: VolumeEngine, blocking: Blocking, clock: Clock) -> None:
        self._engine = engine
        self._blocking = blocking
        self._clock = clock
        self._running: list[_Running] = []
        self._changed = asyncio.Condition()

    def progress(self) -> tuple[WalkProgress, ...]:
        """Return the walks that are running or waiting, oldest first."""
        return tuple(running.progress for running in self._running)

    def cancel(self, owner: str) -> None:
        """Cancel the walks for a container; they end as incomplete."""
        for running in self._running:
            if running.owner == owner:
                running.cancelled.set()

    def cancel_restore(self, volume: VolumeId) -> None:
        """Cancel restoring a volume, because it is claimed again."""
        for running in self._running:
            if running.progress.volume == volume and running.progress.work == "restore":
                running.cancelled.set()

    def cancel_all(self) -> None:
        """Cancel every walk, to stop soon; the ledger knows that they are unfinished."""
        for running in self._running:
            running.cancelled.set()

    async def relabel(self, volume: Volume, owner: str) -> Walk:
        """Label a volume with its target; raises `VolumeFailedError` and `VolumeRefusedError`."""

        def work(running: _Running, call: BlockingCall) -> Walk:
            return self._engine.relabel(
                *_as_intended(volume),
                progress=self._reporter(running, call),
                cancelled=running.cancelled,
            )

        return await self._run(volume, owner, "relabel", work)

    async def restore(self, volume: Volume) -> Walk:
        """Restore a volume's originals; raises as `relabel` does."""

        def work(running: _Running, call: BlockingCall) -> Walk:
            return self._engine.restore(
                *_as_intended(volume),
                was_complete=volume.inodes > 0,
                progress=self._reporter(running, call),
                cancelled=running.cancelled,
            )

        return await self._run(volume, "", "restore", work)

    async def amend(self, volume: Volume, names: Collection[str]) -> Walk:
        """Label what is at these paths below a volume's root; raises as `relabel` does."""

        def work(running: _Running, call: BlockingCall) -> Walk:
            return self._engine.amend(
                *_as_intended(volume),
                names,
                cancelled=running.cancelled,
            )

        return await self._run(volume, "", "relabel", work)

    async def give_back(self, volume: Volume, path: str, identity: Identity) -> Walk:
        """Restore the originals of what was moved out of a volume; raises as `relabel` does."""

        def work(running: _Running, call: BlockingCall) -> Walk:
            return self._engine.give_back(volume.id, path, identity, cancelled=running.cancelled)

        return await self._run(replace(volume, path=path), "", "relabel", work)

    async def confirm(self, volume: Volume) -> Walk:
        """Verify in the background; cancelled when the volume is needed for anything else."""

        def work(running: _Running, call: BlockingCall) -> Walk:
            return self._engine.verify(
                *_as_intended(volume),
                progress=self._reporter(running, call),
                cancelled=running.cancelled,
            )

        return await self._run(volume, "", "verify", work, is_given_up=True)

    async def verify(self, volume: Volume) -> Walk:
        """Compare a volume's labels with its target without writing; raises `HostError` as well."""

        def work(call: BlockingCall) -> Walk:
            return self._engine.verify(*_as_intended(volume), progress=_Pulse(call))

        return await self._blocking.walk(_subject(volume), work, is_given_up=True)

    async def forget(self, volume: Volume) -> None:
        """Delete the originals of a restored volume; raises `HostError`."""
        await self._blocking.run(
            Subject(Party.ORIGINALS, volume.path), lambda: self._engine.forget(volume.id)
        )

    async def _run(
        self,
        volume: Volume,
        owner: str,
        name: Work,
        work: Callable[[_Running, BlockingCall], Walk],
        *,
        is_given_up: bool = False,
    ) -> Walk:
        async with self._turn(volume, owner, name) as running:
            try:
                return await self._blocking.walk(
                    _subject(volume), lambda call: work(running, call), is_given_up=is_given_up
                )
            except BaseException:
                running.cancelled.set()  # cancelled or given up: its result is not needed any more
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
    def _reporter(running: _Running, call: BlockingCall) -> Callable[[Progress], None]:
        pulse = _Pulse(call)

        def report(progress: Progress) -> None:  # called in the walk's thread; one assignment, so atomic
            pulse(progress)
            running.progress = replace(
                running.progress, seen=progress.seen, changed=progress.changed, skipped=progress.skipped
            )

        return report


class _Pulse:
    """Signals that a walk makes progress or waits its turn; a report without progress is no sign of life."""

    def __init__(self, call: BlockingCall) -> None:
        self._call = call
        self._last = (0, 0, 0)

    def __call__(self, progress: Progress) -> None:
        reached = progress.seen, progress.changed, progress.skipped
        if progress.is_queued or reached != self._last:
            self._last = reached
            self._call.alive()


def _as_intended(volume: Volume) -> tuple[VolumeId, str, Identity, str]:
    """Return which volume a walk is about, where and what it is, and the context that is meant for it."""
    return volume.id, volume.path, volume.identity, str(volume.target)


def _subject(volume: Volume) -> Subject:
    return Subject(Party.VOLUME, volume.path)
