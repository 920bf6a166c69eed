"""Watching the engines: events are hints, only inspecting counts.

With each engine: subscribe, then list and inspect everything, then follow the hints; again whenever the
stream breaks or reports a loss, and from time to time. Hints are a set of container ids, so a storm of events
about one container causes one reconciliation.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Collection, Coroutine, Iterable, Mapping
from enum import StrEnum

from mcsd.control.engines import Engines
from mcsd.control.reconciler import Reconciler
from mcsd.core.containers import LOST, ContainerId, EngineEvent, EngineInfo, title_of
from mcsd.core.figures import Distribution
from mcsd.core.notices import Kind, Notice
from mcsd.errors import (
    EngineNotAskedError,
    EngineProtocolError,
    EngineUnavailableError,
    McsdError,
)
from mcsd.ports import ContainerEngine
from mcsd.state.events import EventBus
from mcsd.state.walk_queue import WalkQueue

FIRST_PAUSE = 0.5
LONGEST_PAUSE = 30.0
RETRY = 15.0
LOOKERS = 8
"""Containers that are reconciled concurrently."""
WITHOUT_EVENT = 2
"""Of these, containers that no event has named, as after a start of mcsd: none is urgent, and with more of
them threads spend their time waiting for the interpreter. Events are followed beside them."""
LENGTH = 0.5
"""Seconds after which another container is reconciled beside one that takes longer."""
LAG = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0)
"""Upper bounds, in seconds, of the histogram of mcsd's lag behind Docker's events."""


class Resync(StrEnum):
    """Why all containers are inspected again."""

    CONNECTED = "connected"
    LOST = "lost"
    ASKED = "asked"
    TIMER = "timer"


_BECAUSE = {
    Resync.CONNECTED: "{engine} was reached",
    Resync.LOST: "events were lost, or {engine} has reloaded",
    Resync.ASKED: "the policy or a boolean changed, or somebody asked",
}

_TELLING = {
    *("create", "start", "die", "stop", "kill", "destroy"),
    *("restart", "pause", "unpause", "rename", "update", "oom"),
}


def is_telling(action: str) -> bool:
    """Tell whether an action may change anything relevant; `exec_…` and health checks do not."""
    return action in _TELLING


class Hints:
    """Containers to reconcile, each once however often it is named.

    Each has the time of its oldest event, in seconds since the epoch, None if there was no event.
    """

    def __init__(self) -> None:
        self._waiting: dict[ContainerId, float | None] = {}
        self._running: set[ContainerId] = set()
        self._changed = asyncio.Condition()

    async def add(self, containers: Iterable[ContainerId], *, told: float | None = None) -> None:
        """Request a reconciliation of each."""
        async with self._changed:
            for container in containers:
                earlier = self._waiting.get(container)
                self._waiting[container] = told if earlier is None else earlier
            self._changed.notify_all()

    async def take(self, *, by_event: bool = False) -> tuple[ContainerId, float | None]:
        """Wait for the next one that is not being reconciled; with `by_event`, for one of an event."""
        async with self._changed:
            while True:
                for container, told in self._waiting.items():
                    if container not in self._running and not (by_event and told is None):
                        del self._waiting[container]
                        self._running.add(container)
                        return container, told
                await self._changed.wait()

    async def done(self, container: ContainerId) -> None:
        """Note that a container is reconciled; a hint that came meanwhile becomes due."""
        async with self._changed:
            self._running.discard(container)
            self._changed.notify_all()

    def is_quiet(self, *, but: Collection[ContainerId]) -> bool:
        """Tell whether nothing is waiting or being reconciled, except these."""
        return not self._waiting and self._running <= set(but)

    async def quiet(self) -> None:
        """Wait until nothing is waiting or being reconciled."""
        async with self._changed:
            await self._changed.wait_for(lambda: not self._waiting and not self._running)


class _Stream:
    """What one engine says: its events, and whether it can be reached."""

    def __init__(self, watcher: Watcher, name: str, engine: ContainerEngine) -> None:
        self.name = name
        self.error = ""
        self.error_hint = ""
        self.has_listed = False
        """Whether the engine has listed its containers since it was last reached."""
        self._watcher = watcher
        self._engine = engine
        self._pause = FIRST_PAUSE
        self._was_reached = False

    async def follow(self) -> None:
        """Stay connected for ever, with growing pauses while the engine is down."""
        while True:
            try:
                await self._follow()
            except (EngineUnavailableError, EngineProtocolError) as exc:
                self._down(exc)
                await asyncio.sleep(self._pause)
                self._pause = min(self._pause * 2, LONGEST_PAUSE)

    async def _follow(self) -> None:
        info = await self._engine.info()
        self._watcher.engine_is(self.name, info)
        async for event in self._engine.events():
            if event.container:
                await self._watcher.hint(self.name, event)
            else:  # subscribed, or events were lost, or Docker has reloaded
                self._up(info)
                await self.resync(Resync.LOST if event.action == LOST else Resync.CONNECTED)

    async def resync(self, why: Resync) -> None:
        """Inspect the engine, which may have reloaded, and request its containers and the ledger's."""
        self._watcher.engine_is(self.name, await self._engine.info())
        await self._watcher.listed(self.name, await self._engine.containers(), why)
        self.has_listed = True

    def _up(self, info: EngineInfo) -> None:
        self._pause = FIRST_PAUSE
        if self.error or not self._was_reached:
            fields = {
                "engine": title_of(self.name),
                "version": info.server_version,
                "selinux": "yes" if info.selinux else "no",
            }
            self._watcher.emit(Notice(Kind.ENGINE_UP, fields))
        self.error, self.error_hint, self._was_reached = "", "", True

    def _down(self, exc: McsdError) -> None:
        if self.error != exc.what:
            fields = {"engine": title_of(self.name), "reason": exc.what, "hint": exc.hint}
            self._watcher.emit(Notice(Kind.ENGINE_DOWN, fields))
        self.error, self.error_hint = exc.what, exc.hint
        self.has_listed = self._was_reached = False
        self._watcher.is_synced = False


class Watcher:
    """Has the containers of all engines reconciled. `tasks` lists what to run concurrently."""

    def __init__(
        self,
        *,
        engines: Engines,
        reconciler: Reconciler,
        walks: WalkQueue,
        bus: EventBus,
        resync: float,
        engine_is: Callable[[str, EngineInfo], None],
        synced: Callable[[], Awaitable[None]],
        now: Callable[[], float],
    ) -> None:
        self.hints = Hints()
        self.engine_is = engine_is
        self.is_synced = False
        self.has_begun = asyncio.Event()
        """Set when everything has been looked at once, or no engine can be reached; then for ever."""
        self.lag = Distribution.over(LAG)
        self.resyncs = dict.fromkeys(Resync, 0)
        self._now = now
        self._homes = engines
        self._streams = {name: _Stream(self, name, engine) for name, engine in engines.by_name.items()}
        self._reconciler = reconciler
        self._walks = walks
        self._bus = bus
        self._resync = resync
        self._synced = synced
        self._later: set[ContainerId] = set()
        self._soon: set[ContainerId] = set()
        self._again = asyncio.Event()
        self._hinting: set[asyncio.Task[None]] = set()

    def tasks(self) -> tuple[Callable[[], Coroutine[None, None, None]], ...]:
        """Return the tasks that run for ever: the stream, the timers, and `LOOKERS` workers."""
        follow = [stream.follow for stream in self._streams.values()]
        lookers = [*[self.look] * WITHOUT_EVENT, *[self.follow_events] * (LOOKERS - WITHOUT_EVENT)]
        return (*follow, self.resync_often, self.retry, self.settle, *lookers)

    @property
    def engines(self) -> tuple[str, ...]:
        """The names of the engines, in the configuration's order."""
        return tuple(self._streams)

    @property
    def errors(self) -> Mapping[str, tuple[str, str]]:
        """Why each engine that cannot be reached cannot be, and what to do, by the engine's name."""
        return {name: (one.error, one.error_hint) for name, one in self._streams.items() if one.error}

    @property
    def is_down(self) -> bool:
        """Whether no engine can be reached."""
        return len(self.errors) == len(self._streams)

    async def hint(self, engine: str, event: EngineEvent) -> None:
        """Follow an engine's hint."""
        self._homes.is_at(event.container, engine)
        if event.action == "destroy":
            self._walks.cancel(event.container)
        if is_telling(event.action):
            await self.hints.add([event.container], told=event.time_ns / 1e9)

    async def listed(self, engine: str, listed: Collection[ContainerId], why: Resync) -> None:
        """Request what an engine has listed, and what the ledger has and no other engine."""
        for container in listed:
            self._homes.is_at(container, engine)
        known = self._reconciler.everyone() - set(listed)
        mine = [one for one in sorted(known) if self._homes.engine_of(one) in ("", engine)]
        everyone = dict.fromkeys([*listed, *mine])
        await self.hints.add(everyone)
        self.resyncs[why] += 1
        if why is not Resync.TIMER:  # that is counted, but not reported
            reason = _BECAUSE[why].format(engine=title_of(engine))
            fields = {"containers": len(everyone), "reason": reason, "code": why.value}
            self.emit(Notice(Kind.RESYNCED, fields))

    def emit(self, notice: Notice) -> None:
        """Report something."""
        self._bus.emit(notice)

    async def resync(self, why: Resync = Resync.ASKED, *, only_reached: bool = False) -> None:
        """Inspect all engines, or those that were reached last, and request all their and the ledger's
        containers.

        Raises what the first engine raises that fails, after all were asked.
        """
        failed: McsdError | None = None
        for stream in self._streams.values():
            if only_reached and stream.error:
                continue
            try:
                await stream.resync(why)
            except (EngineUnavailableError, EngineProtocolError) as exc:
                failed = failed or exc
        if failed is not None:
            raise failed

    def look_again(self) -> None:
        """Request all containers soon: something has changed that concerns all, without an event."""
        self._again.set()

    def look_at(self, container: ContainerId) -> None:
        """Request one container now, and again after `RETRY`: the engine may lag behind."""
        self.look_later(container)
        self._keep(self.hints.add([container]))

    def _keep(self, hint: Coroutine[None, None, None]) -> None:
        hinting = asyncio.get_running_loop().create_task(hint)
        self._hinting.add(hinting)
        hinting.add_done_callback(self._hinting.discard)

    def look_soon(self, container: ContainerId, seconds: float) -> None:
        """Request one container in so many seconds, unless that is scheduled already."""
        if container in self._soon:
            return
        self._soon.add(container)

        async def hint() -> None:
            await asyncio.sleep(seconds)
            self._soon.discard(container)
            await self.hints.add([container])

        self._keep(hint())

    def look_later(self, container: ContainerId) -> None:
        """Request one container within `RETRY`."""
        self._later.add(container)

    async def resync_often(self) -> None:
        """Inspect everything when asked, and from time to time, because events can get lost."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._resync):
                    await self._again.wait()
            why = Resync.ASKED if self._again.is_set() else Resync.TIMER
            self._again.clear()
            if self.is_down:
                continue
            try:
                await self.resync(why, only_reached=True)
            except (EngineUnavailableError, EngineProtocolError):
                # Only the stream reports whether Docker is there; it pings when it is silent.
                await asyncio.sleep(RETRY)
                self._again.set()

    async def retry(self) -> None:
        """Request containers again that could not be handled, or are scheduled, when they are due."""
        while True:
            await asyncio.sleep(RETRY)
            waiting, self._later = self._later, set()
            await self.hints.add(sorted(waiting))

    async def settle(self) -> None:
        """Report whenever all hints have been handled.

        A container whose volumes are being walked counts as handled: its claims are recorded, and a walk may
        take for ever.
        """
        while True:
            is_quiet = self.hints.is_quiet(but=self._reconciler.walking())
            has_listed = all(stream.has_listed and not stream.error for stream in self._streams.values())
            if is_quiet and has_listed and not self.is_synced:
                self.is_synced = True
                await self._synced()
            if self.is_synced or self.is_down:
                self.has_begun.set()
            await asyncio.sleep(0.2)

    async def look(self) -> None:
        """Handle hints for ever; run `WITHOUT_EVENT` of these."""
        await self._handle(by_event=False)

    async def follow_events(self) -> None:
        """Handle the hints of events for ever; run the other `LOOKERS`."""
        await self._handle(by_event=True)

    async def _handle(self, *, by_event: bool) -> None:
        # If one takes long, it waits for a walk or for something that hangs, and the next one is handled
        # beside it.
        aside: set[asyncio.Task[None]] = set()
        try:
            while True:
                container, told = await self.hints.take(by_event=by_event)
                task = asyncio.create_task(self._look_once(container, told))
                aside.add(task)
                task.add_done_callback(aside.discard)
                await asyncio.wait({task}, timeout=LENGTH)
        finally:
            for task in aside:
                task.cancel()
            if aside:
                await asyncio.wait(aside)

    async def _look_once(self, container: ContainerId, told: float | None) -> None:
        try:
            await self._look(container)
            if told is not None:
                self.lag = self.lag.with_value(max(0.0, self._now() - told))
        finally:
            await self.hints.done(container)

    async def _look(self, container: ContainerId) -> None:
        try:
            if not await self._reconciler.reconcile(container):
                self.look_later(container)
        except EngineNotAskedError:
            return  # the status says so as long as it lasts; nothing of it is taken back
        except McsdError as exc:
            self.look_later(container)
            home = self._homes.engine_of(container)
            if isinstance(exc, EngineUnavailableError) and (
                home in self.errors or (not home and self.errors)
            ):
                return  # reported already, for the engine as a whole
            # One missing answer does not mean that an engine is down: it may be busy with this container.
            fields = {"name": container[:12], "reason": exc.what, "hint": exc.hint, "code": exc.problem}
            self._bus.emit(Notice(Kind.CONTAINER_FAILED, fields, container))
        except Exception as exc:  # noqa: BLE001  the boundary: a bug with one container must not stop the others
            self._bus.report_bug(f"container {container[:12]}", exc, container)
