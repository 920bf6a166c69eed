"""Docker's event stream, passed from a thread of its own to the event loop.

The thread reads as fast as Docker sends, because Docker silently drops events for a slow reader. The queue
between the two is bounded. If the reader on the loop is too slow, all waiting events are replaced by a single
`LOST`, which asks for a new inspection of all containers. So nothing is lost for good (promise 7), and memory
does not grow.

Silence is normal. After some time of it, the thread pings Docker over a second connection.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NoReturn

from mcsd.adapters.docker.client import DockerClient
from mcsd.adapters.docker.inspect import read_event
from mcsd.core.containers import LOST, SUBSCRIBED, ContainerId, EngineEvent


@dataclass(frozen=True, slots=True)
class StreamLimits:
    """Limits of an event stream: seconds to open it; seconds of silence until Docker is pinged, and seconds
    that it has to answer; bytes of one event; events (2 or more) that may wait to be read."""

    open_seconds: float = 30.0
    silence: float = 15.0
    ping_seconds: float = 10.0
    line_limit: int = 4 * 2**20
    backlog: int = 1024


class EventQueue:
    """Takes events from any thread for one reader on `loop`; holds at most `backlog`."""

    def __init__(self, loop: asyncio.AbstractEventLoop, backlog: int) -> None:
        assert backlog >= 2, "there is no room for LOST and what follows it"
        self._loop = loop
        self._backlog = backlog
        self._events: collections.deque[EngineEvent] = collections.deque()
        self._lock = threading.Lock()
        self._filled = asyncio.Event()

    def put(self, event: EngineEvent) -> None:
        """Add an event; if there is no room, replace all waiting events by one `LOST`."""
        with self._lock:
            was_empty = not self._events
            if len(self._events) >= self._backlog:
                self._events.clear()
                self._events.append(_marker(LOST))
            self._events.append(event)
        if was_empty:  # once for a burst, or the loop's own queue would grow
            with contextlib.suppress(RuntimeError):  # the loop is closed, and the reader gone with it
                self._loop.call_soon_threadsafe(self.wake)

    def wake(self) -> None:
        """Wake the reader; call it on the loop."""
        self._filled.set()

    def take(self) -> EngineEvent | None:
        """Return the oldest event, None if there is none."""
        with self._lock:
            return self._events.popleft() if self._events else None

    async def filled(self) -> None:
        """Wait until the reader is woken."""
        await self._filled.wait()
        self._filled.clear()


class Subscription:
    """One event stream: a thread, two connections and a queue. Created and read on one event loop.

    It can be read until an error says that the stream broke; `end` must be called in any case.
    """

    def __init__(self, new_client: Callable[[], DockerClient], limits: StreamLimits) -> None:
        self._reader = new_client()
        self._pinger = new_client()
        self._limits = limits
        loop = asyncio.get_running_loop()
        self._queue = EventQueue(loop, limits.backlog)
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="mcsd-docker-events")
        self._running = loop.run_in_executor(self._executor, self._run)
        self._running.add_done_callback(self._ended)
        self._executor.shutdown(wait=False)  # it takes nothing else, so its thread ends with the stream

    async def next(self) -> EngineEvent:
        """Wait for the next event, `SUBSCRIBED` first; after the last one, raise the error that ended the
        stream."""
        while (event := self._queue.take()) is None:
            if self._running.done():
                self._running.result()
            await self._queue.filled()
        await asyncio.sleep(0)  # a storm of events must not block the loop
        return event

    async def end(self) -> None:
        """End the stream, and wait for its thread, which ends at once."""
        self.shut()
        await asyncio.wait({self._running})
        self.join()

    def shut(self) -> None:
        """Abort the stream; it ends with `EngineUnavailableError`."""
        self._reader.shut()
        self._pinger.shut()

    def join(self) -> None:
        """Wait until the thread of an aborted stream has ended, which is at once."""
        self._executor.shutdown()

    def _run(self) -> NoReturn:
        limits = self._limits
        with contextlib.closing(self._reader), contextlib.closing(self._pinger):
            stream = self._reader.follow(seconds=limits.open_seconds, line_limit=limits.line_limit)
            with contextlib.closing(stream):
                self._queue.put(_marker(SUBSCRIBED))
                for line in stream.lines(silence=limits.silence, still_there=self._ping):
                    if (event := read_event(line)) is not None:
                        self._queue.put(event)
        raise AssertionError("a stream of lines ends by raising")

    def _ended(self, running: asyncio.Future[NoReturn]) -> None:
        running.exception()  # a reader gets it; for anybody else it is retrieved here
        self._queue.wake()

    def _ping(self) -> None:
        self._pinger.ping(seconds=self._limits.ping_seconds)


def _marker(action: str) -> EngineEvent:
    return EngineEvent(ContainerId(""), action, time.time_ns())
