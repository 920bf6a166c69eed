"""The ends of containers that the gate has started, seen by their processes: no event need tell of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from functools import partial

from mcsd.core.containers import Container, ContainerId
from mcsd.errors import HostError
from mcsd.ports import PidWatcher, PidWatchers

PAUSE = 0.5
"""Seconds between two looks at who is to be followed: a thousand starts need not be a thousand looks."""

_Process = tuple[ContainerId, int]


class ExitWatch:
    """Follows the first process of each running container. Owned by the event loop's thread.

    `running` gives the containers as last seen, `ended` is told of a container whose process has ended.
    """

    def __init__(
        self,
        running: Callable[[], Iterable[Container]],
        pid_watchers: PidWatchers,
        ended: Callable[[ContainerId], None],
    ) -> None:
        self._running = running
        self._pid_watchers = pid_watchers
        self._ended = ended
        self._lines: dict[_Process, PidWatcher | None] = {}
        self._awake = asyncio.Event()

    def wake(self) -> None:
        """Somebody may have started or ended."""
        self._awake.set()

    async def run(self) -> None:
        """Follow whoever runs, for ever."""
        try:
            while True:
                await self._awake.wait()
                self._awake.clear()
                self.follow()
                await asyncio.sleep(PAUSE)
        finally:
            self.close()

    def follow(self) -> None:
        """Follow those who run now, and nobody else."""
        wanted = {(one.id, one.pid) for one in self._running() if one.running and one.pid}
        for process in [one for one in self._lines if one not in wanted]:
            line = self._lines.pop(process)
            if line is not None:
                line.release()
        for container, pid in wanted - self._lines.keys():
            self._lines[container, pid] = None  # also where it has ended: that is told once
            try:
                line = self._pid_watchers.follow(pid, container, partial(self._end, (container, pid)))
            except HostError:
                # Docker tells of its end as well, only later; it is tried again when anybody starts or ends.
                del self._lines[container, pid]
                continue
            if line is None:
                self._ended(container)
            else:
                self._lines[container, pid] = line

    def _end(self, process: _Process) -> None:
        self._lines[process] = None
        self._ended(process[0])

    def close(self) -> None:
        """Follow nobody any more; idempotent."""
        while self._lines:
            line = self._lines.popitem()[1]
            if line is not None:
                line.release()
