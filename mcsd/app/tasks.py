"""Running the daemon's tasks together: if one fails, all end, and systemd restarts the daemon.

A signal ends them in order: no new work, running walks are cancelled (the ledger knows that they are
unfinished), then the socket and the connections.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine, Sequence

Job = Callable[[], Coroutine[None, None, None]]


async def run_until_signalled(jobs: Sequence[Job], *, stopping: Callable[[], None]) -> None:
    """Run jobs that never end until SIGTERM or SIGINT; raise what a job raises.

    `stopping` is called once, before the jobs are cancelled.
    """
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(job()) for job in jobs]
            waiting = group.create_task(stop.wait())
            await waiting
            stopping()
            for task in tasks:
                task.cancel()
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
