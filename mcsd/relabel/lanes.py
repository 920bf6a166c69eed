"""Threads for blocking walks beside an event loop.

A small walk must never wait for a large one, so walks share no queue: each has a thread of its own as soon
as it is submitted, up to `limit` at a time. A thread ends with its walk, because a large walk takes a low
priority, and a thread cannot always get its old one back. Cancelling the task that awaits a walk does not
stop the thread: the walk's own `cancelled` event does, and `close` waits until it has ended.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")


class Lanes:
    """See the module. Belongs to one event loop."""

    def __init__(self, *, limit: int = 256) -> None:
        self._places = asyncio.Semaphore(limit)
        self._threads: set[threading.Thread] = set()
        self._is_closed = False

    async def run(self, work: Callable[[], T]) -> T:
        """Run `work` in a thread and give its result, or raise what it raises."""
        await self._places.acquire()
        try:
            if self._is_closed:
                raise RuntimeError("these lanes are closed")
            done: asyncio.Future[T] = asyncio.get_running_loop().create_future()
            thread = threading.Thread(target=self._work, args=(work, done), name="walk")
            thread.start()
        except BaseException:
            self._places.release()
            raise
        self._threads.add(thread)
        return await done

    def _work(self, work: Callable[[], T], done: asyncio.Future[T]) -> None:
        try:
            result = work()
        except BaseException as exc:  # noqa: BLE001 - it is raised where it is awaited
            self._tell(done, lambda error=exc: done.set_exception(error))  # type: ignore[misc]
        else:
            self._tell(done, lambda: done.set_result(result))

    def _tell(self, done: asyncio.Future[T], how: Callable[[], None]) -> None:
        thread = threading.current_thread()

        def tell() -> None:
            self._threads.discard(thread)
            self._places.release()
            if not done.done():
                how()

        with suppress(RuntimeError):  # the loop is closed, so nobody waits
            done.get_loop().call_soon_threadsafe(tell)

    async def close(self) -> None:
        """Wait for what is running; what has not begun never does."""
        self._is_closed = True
        for thread in tuple(self._threads):
            await asyncio.to_thread(thread.join)
