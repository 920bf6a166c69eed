"""Threads for blocking calls: as many as needed, so that no call waits for one that does not return.

A pool of a fixed size is shared: as many hung calls as it has threads would block all users. Here a thread is
created whenever none is idle, and an idle one ends after a while. All are daemon threads: a call that hangs
in the kernel must not keep the process from exiting.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

T = TypeVar("T")

IDLE = 10.0
"""Seconds that a thread waits for more work before it ends."""


@dataclass(slots=True, eq=False)
class _Job:
    work: Callable[[], Any]
    done: asyncio.Future[Any]
    is_last: bool


class _Worker:
    """One thread and its queue of work; None ends it."""

    def __init__(self, threads: Threads, name: str) -> None:
        self.inbox: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self.thread = threading.Thread(target=threads._work, args=(self,), name=name, daemon=True)
        self.thread.start()


class Threads:
    """See the module. Belongs to one event loop; `name` is the name of its threads."""

    def __init__(self, name: str = "blocking", *, idle: float = IDLE) -> None:
        self._name = name
        self._idle_seconds = idle
        self._lock = threading.Lock()
        self._workers: set[_Worker] = set()
        self._idle: list[_Worker] = []
        self._pending: set[asyncio.Future[Any]] = set()
        self._is_closed = False

    def submit(self, work: Callable[[], T], *, is_last: bool = False) -> asyncio.Future[T]:
        """Start `work` in a thread at once; the future gets its result or exception.

        With `is_last` the thread is new and ends with the work, which may change the thread itself, such as
        its priority. The future may be ignored. Call it on the event loop.
        """
        done: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        job = _Job(work, done, is_last)
        with self._lock:
            if self._is_closed:
                raise RuntimeError(f"the {self._name} threads are closed")
            worker = self._idle.pop() if self._idle and not is_last else _Worker(self, self._name)
            self._workers.add(worker)
        self._pending.add(done)
        done.add_done_callback(self._finished)
        worker.inbox.put(job)
        return done

    def _finished(self, done: asyncio.Future[Any]) -> None:
        self._pending.discard(done)
        if not done.cancelled():
            done.exception()  # the caller may be gone, and then nobody else retrieves it

    @property
    def busy(self) -> int:
        """The number of calls that have not returned."""
        return len(self._pending)

    async def close(self, *, within: float) -> int:
        """Accept no more work, and wait so many seconds; return how many calls have not returned."""
        with self._lock:
            self._is_closed = True
            idle, self._idle = self._idle, []
        for worker in idle:
            worker.inbox.put(None)
        if self._pending:
            await asyncio.wait(tuple(self._pending), timeout=within)
        if not self._pending:
            for worker in tuple(self._workers):
                worker.thread.join()  # each has returned its result, or was told to end
        return len(self._pending)

    def _work(self, worker: _Worker) -> None:
        while (job := self._next(worker)) is not None:
            how = _outcome(job)
            is_over = job.is_last or not self._rest(worker)
            loop = job.done.get_loop()
            del job  # an idle thread keeps nothing alive
            with suppress(RuntimeError):  # the loop is closed, so nobody waits
                loop.call_soon_threadsafe(how)
            del how
            if is_over:
                break
        with self._lock:
            self._workers.discard(worker)

    def _next(self, worker: _Worker) -> _Job | None:
        while True:
            try:
                return worker.inbox.get(timeout=self._idle_seconds)
            except queue.Empty:
                with self._lock:
                    if worker in self._idle:
                        self._idle.remove(worker)
                        return None
                # This thread was just chosen: work is about to arrive.

    def _rest(self, worker: _Worker) -> bool:
        """Mark the worker as idle before its result is published, which may bring work; False at the end."""
        with self._lock:
            if self._is_closed:
                return False
            self._idle.append(worker)
            return True


def _outcome(job: _Job) -> Callable[[], None]:
    done = job.done
    try:
        result = job.work()
    except BaseException as exc:  # noqa: BLE001 - it is raised where it is awaited
        return _telling(done, lambda error=exc: done.set_exception(error))  # type: ignore[misc]
    return _telling(done, lambda: done.set_result(result))


def _telling(done: asyncio.Future[Any], how: Callable[[], None]) -> Callable[[], None]:
    def tell() -> None:
        if not done.done():
            how()

    return tell
