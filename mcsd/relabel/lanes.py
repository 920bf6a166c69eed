"""Threads for blocking walks beside an event loop.

A small walk must never wait for a large one, so walks share no queue: each runs in a thread of its own as
soon as it is submitted, up to `limit` at a time. Cancelling the task that awaits a walk does not stop the
thread: the walk's own `cancelled` event does, and `run` waits until it has ended.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


class Lanes:
    """See the module. Belongs to one event loop."""

    def __init__(self, *, limit: int = 32) -> None:
        self._threads = ThreadPoolExecutor(limit, thread_name_prefix="walk")

    async def run(self, work: Callable[[], T]) -> T:
        """Run `work` in a thread and give its result, or raise what it raises."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    async def close(self) -> None:
        """Wait for what is running, and end the threads; what has not begun never does."""
        await asyncio.to_thread(self._threads.shutdown, wait=True, cancel_futures=True)
