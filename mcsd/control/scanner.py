"""Scanning the host for strays, and holding the levels that they carry: `mcsd.core.strays`.

The results are stored on disk, so that they hold their levels right from the next start, and so is the
progress of a scan. A scan that was interrupted by a stop continues at the next start.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial

from mcsd.blocking.calls import Blocking, BlockingCall
from mcsd.core.allocation import Allocator, Holder, HolderKind
from mcsd.core.blocked import Party, Subject
from mcsd.core.labels import Level
from mcsd.core.notices import Kind, Notice
from mcsd.core.state_cache import StateCache
from mcsd.core.strays import (
    Catch,
    Looked,
    ScanState,
    Stray,
    StrayExplanation,
    is_at_or_below,
    joined,
    place_of,
)
from mcsd.errors import ConflictError, HostError
from mcsd.ports import Clock, FileScanner, StrayStore
from mcsd.state.events import EventBus

GENTLY, BRISKLY = 0.05, 0.5
"""The share of a processor that a scan takes in the background, and when somebody waits for it."""
SAVED_EVERY = 30.0
"""Seconds between two records of a scan's progress."""
STOPPING = 5.0
"""Seconds that a stop of the daemon waits for a scan to record its progress."""
_STORE = Subject(Party.ORIGINALS, "strays")
_MOUNTS = Subject(Party.MOUNTS)


class Scanner:
    """Owned by the event loop's thread."""

    def __init__(
        self,
        *,
        files: FileScanner,
        store: StrayStore,
        allocator: Allocator,
        cache: StateCache,
        engine_roots: Callable[[], tuple[str, ...]],
        bus: EventBus,
        clock: Clock,
        blocking: Blocking,
    ) -> None:
        self._files = files
        self._store = store
        self._allocator = allocator
        self._cache = cache
        self._engine_roots = engine_roots
        self._bus = bus
        self._clock = clock
        self._blocking = blocking
        self._held: dict[Level, Holder] = {}
        self._wanted: asyncio.Queue[tuple[str, float]] = asyncio.Queue(1)
        self._is_busy = False
        self._progress: ScanState | None = None
        self._explained = StrayExplanation()
        self._catch = Catch()
        self._caught: Mapping[Level, Stray] = {}

    async def begin(self) -> None:
        """Load the earlier results, before anything is granted; raises `HostError`."""
        self._catch, self._caught = await self._blocking.run(_STORE, self._store.load)
        self._hold()
        self._allocator.hold_given(bool(self._catch.lost))

    @property
    def is_busy(self) -> bool:
        """Whether a scan runs, or is about to."""
        return self._is_busy

    def catch(self) -> Catch:
        """The results, and the progress of a running scan."""
        return replace(self._catch, scan=self._progress or self._catch.scan)

    def carries(self, level: Level) -> Stray | None:
        """Return the strays at a level."""
        return self._catch.strays.get(level)

    def start(self, top: str, *, gently: bool) -> None:
        """Start a scan of everything below a path, "" for all; raises `ConflictError` while a scan runs."""
        if self._is_busy:
            raise ConflictError(
                "a scan is under way already", hint="mcsctl scan --status shows how far it has come"
            )
        self._is_busy = True
        self._progress = ScanState(self._clock.now(), top)
        self._wanted.put_nowait((top, GENTLY if gently else BRISKLY))

    async def run(self) -> None:
        """Run requested scans for ever; first an interrupted one, or a full one if earlier results were
        lost."""
        before = self._catch.scan
        if self._catch.lost:
            self._bus.emit(Notice(Kind.STRAYS_LOST, {"reason": self._catch.lost}))
            if not self._is_busy:
                self.start("", gently=True)
        elif before is not None and before.finished is None and not self._is_busy:
            self._is_busy = True
            await self._scan(before, GENTLY)
        while True:
            top, share = await self._wanted.get()
            await self._scan(ScanState(self._clock.now(), top), share)

    async def _scan(self, state: ScanState, share: float) -> None:
        stopped = threading.Event()
        try:
            await self._scan_all(state, share, stopped)
        except HostError as exc:  # earlier results stay; the next scan finds the rest
            self._bus.emit(Notice(Kind.SCAN_INCOMPLETE, {"path": state.top or "/", "reason": exc.what}))
        finally:
            stopped.set()
            self._is_busy = False
            self._progress = None

    async def _scan_all(self, state: ScanState, share: float, stopped: threading.Event) -> None:
        found = dict(self._caught) if state.done or state.at else {}
        failed: list[str] = []
        places = await self._blocking.run(_MOUNTS, partial(self._files.places, state.top))
        for place in places:
            if place in state.done:
                continue
            self._progress = state
            await self._refresh()
            work = asyncio.ensure_future(self._scan_place(place, state, share, found, stopped))
            try:
                while not work.done():
                    await asyncio.wait({work}, timeout=SAVED_EVERY)
                    if not work.done():
                        await self._refresh()
                        await self._save(replace(self._catch, scan=self._progress), found)
            except asyncio.CancelledError:
                stopped.set()
                await asyncio.wait({work}, timeout=STOPPING)
                await self._save(replace(self._catch, scan=self._progress), found)
                raise
            if work.result():
                state = replace(self._progress, done=(*state.done, place), at="")
            else:
                failed.append(place)
                state = replace(self._progress, at="")
        await self._finish(state, found, failed)

    async def _refresh(self) -> None:
        """Update what explains a level on a file, for the scan's thread; replaced as a whole."""
        mounted = self._explained.mounted
        with suppress(HostError):  # the mounts known before still count
            mounted = await self._blocking.run(_MOUNTS, lambda: self._files.places(""))
        volumes: dict[Level, tuple[str, ...]] = {}
        for volume in self._cache.volumes():
            volumes[volume.level] = (*volumes.get(volume.level, ()), volume.path)
        granted = frozenset(grant.level for grant in self._cache.grants())
        self._explained = StrayExplanation(volumes, granted, self._engine_roots(), mounted)

    async def _scan_place(
        self, place: str, state: ScanState, share: float, found: dict[Level, Stray], stopped: threading.Event
    ) -> bool:
        """Scan one place, and return whether that was completed; the others are scanned all the same."""

        def told(path: str, seen: int, unseen: int) -> None:  # in the scan's thread: one assignment
            self._progress = replace(state, at=path, seen=state.seen + seen, unseen=state.unseen + unseen)

        def met(path: str, label: str, level: Level) -> None:
            if not self._explained.covers(path, level):
                found[level] = found.get(level, Stray(level, label)).with_path(path)

        def walk(call: BlockingCall) -> bool:
            def alive(path: str, seen: int, unseen: int) -> None:
                call.alive()
                told(path, seen, unseen)

            after = state.at if is_at_or_below(state.at, place) else ""
            return self._files.scan(place, after=after, share=share, told=alive, met=met, stopped=stopped)

        try:
            return await self._blocking.walk(Subject(Party.VOLUME, place), walk)
        except HostError as exc:
            self._bus.emit(Notice(Kind.SCAN_INCOMPLETE, {"path": place, "reason": exc.what}))
            return False

    async def _save(self, catch: Catch, caught: Mapping[Level, Stray]) -> None:
        """Store the results; raises `HostError` if that fails, and the stored ones stay."""
        kept = dict(caught)
        await self._blocking.run(_STORE, lambda: self._store.save(catch, kept))
        self._catch, self._caught = catch, kept

    def _left(self, found: Mapping[Level, Stray]) -> dict[Level, Stray]:
        """Return the strays without those explained by now, or no longer at the level; blocking."""
        left = {}
        for level, stray in found.items():
            paths = tuple(one for one in stray.paths if not self._is_gone(one, level))
            if paths:
                left[level] = replace(stray, paths=paths, count=stray.count - len(stray.paths) + len(paths))
        return left

    def _is_gone(self, path: str, level: Level) -> bool:
        """Tell whether a path is no longer a stray of a level; an inaccessible one still is; blocking."""
        if self._explained.covers(path, level):
            return True
        try:
            return self._files.level_at(path) != level
        except OSError:
            return False

    def _joined(self, found: Mapping[Level, Stray], looked: Looked) -> Catch:
        """Merge earlier results with new ones; blocking."""
        old = self._catch
        strays = joined(old, self._left(found).values(), looked, self._is_gone)
        mounted = {*self._explained.mounted, *old.places}
        paths = (path for stray in strays.values() for path in stray.paths)
        places = tuple(sorted({place_of(path, mounted) for path in paths}))
        return replace(old, strays=strays, places=places, lost="" if looked.is_whole else old.lost)

    async def _finish(self, state: ScanState, found: Mapping[Level, Stray], failed: Collection[str]) -> None:
        """Store the results of a scan; it only counts as complete if it covered everything."""
        before, now = self._catch.strays, self._clock.now()
        looked = Looked(state.top, state.done, failed)
        await self._refresh()
        catch = await self._blocking.run(_STORE, lambda: self._joined(found, looked))
        complete = state.began if looked.is_whole else catch.complete
        scan = replace(state, finished=now, at="", done=())
        await self._save(replace(catch, scan=scan, complete=complete), {})
        self._hold()
        self._allocator.hold_given(bool(self._catch.lost))
        strays = self._catch.strays
        for level, stray in strays.items():
            if level not in before:
                fields = {"level": level, "path": stray.example, "count": stray.count, "hint": stray.remedy}
                self._bus.emit(Notice(Kind.STRAY_FOUND, fields))
        counts = {"seen": state.seen, "strays": len(strays), "seconds": round(now - state.began)}
        self._bus.emit(Notice(Kind.SCAN_FINISHED, counts))

    def _hold(self) -> None:
        """Block exactly the levels that strays carry in the allocator."""
        wanted = {
            level: Holder(HolderKind.QUARANTINE, f"stray {stray.example}")
            for level, stray in self._catch.strays.items()
        }
        for level, holder in wanted.items():
            if self._held.get(level) != holder:
                self._allocator.take(level, holder)
        for level, holder in self._held.items():
            if wanted.get(level) != holder:
                self._allocator.give_back(level, holder)
        self._held = wanted
