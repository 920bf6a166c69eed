"""Noticing the exits of containers that the gate has started, by their processes instead of by events."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from functools import partial

from mcsd.core.containers import Container, ContainerId
from mcsd.errors import HostError
from mcsd.ports import PidWatcher, PidWatchers

PAUSE = 0.5
"""Seconds between two updates of the followed processes, so that a thousand starts need few of them."""

_Process = tuple[ContainerId, int]


class ExitWatch:
    """Follows the first process of each running container. Owned by the event loop's thread.

    `running` returns the containers as last observed; `ended` is called with a container whose process has
    ended.
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
        """Request an update, because a container may have started or ended."""
        self._awake.set()

    async def run(self) -> None:
        """Follow running containers, for ever."""
        try:
            while True:
                await self._awake.wait()
                self._awake.clear()
                self.follow()
                await asyncio.sleep(PAUSE)
        finally:
            self.close()

    def follow(self) -> None:
        """Follow the containers that run now, and no others."""
        wanted = {(one.id, one.pid) for one in self._running() if one.running and one.pid}
        for process in [one for one in self._lines if one not in wanted]:
            line = self._lines.pop(process)
            if line is not None:
                line.release()
        for container, pid in wanted - self._lines.keys():
            self._lines[container, pid] = None  # also if it has ended, which is reported once
            try:
                line = self._pid_watchers.follow(pid, container, partial(self._end, (container, pid)))
            except HostError:
                # Docker reports its end too, only later; tried again when any container starts or ends.
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
        """Stop following all processes; idempotent."""
        while self._lines:
            line = self._lines.popitem()[1]
            if line is not None:
                line.release()
