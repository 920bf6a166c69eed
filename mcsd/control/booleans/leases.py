"""Current requests for booleans: of running containers with the label, whose process still exists.

The engine's last answer may be outdated: it may be down, and its containers may have ended meanwhile. So the
init process of each such container is followed directly, and its end counts at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from mcsd.core.booleans import BooleanLease, requests_of
from mcsd.core.containers import Container, ContainerId
from mcsd.errors import HostError
from mcsd.ports import PidWatcher, PidWatchers

Containers = Callable[[], Iterable[Container] | None]
"""Returns the containers as last observed; None while they are not known yet."""

_Process = tuple[ContainerId, int]


class Leases:
    """The current requests. Owned by the event loop's thread."""

    def __init__(self, containers: Containers, pid_watchers: PidWatchers, ended: Callable[[], None]) -> None:
        self._containers = containers
        self._pid_watchers = pid_watchers
        self._ended_one = ended
        self._lines: dict[_Process, PidWatcher] = {}
        self._ended: set[_Process] = set()
        self._last: tuple[BooleanLease, ...] | None = None

    def requests(self) -> tuple[BooleanLease, ...] | None:
        """Return the requests of running containers; None while these are not known."""
        seen = self._containers()
        if seen is not None:
            self._last = tuple(request for container in seen for request in requests_of(container))
        if self._last is None:
            return None
        alive = tuple(request for request in self._last if self._is_alive(request))
        self._forget_others()
        return alive

    def _is_alive(self, request: BooleanLease) -> bool:
        if request.pid is None:  # the engine says that it runs, but not with which pid yet
            return True
        process = request.container, request.pid
        if process in self._ended:
            return False
        if process not in self._lines:
            try:
                line = self._pid_watchers.follow(request.pid, request.container, lambda: self._end(process))
            except HostError:  # it may have ended; tried again in the next pass
                return False
            if line is None:
                return False
            self._lines[process] = line
        return True

    def _end(self, process: _Process) -> None:
        self._lines.pop(process, None)
        self._ended.add(process)
        self._ended_one()

    def _forget_others(self) -> None:
        asking = {(one.container, one.pid) for one in self._last or () if one.pid is not None}
        for process in [one for one in self._lines if one not in asking]:
            self._lines.pop(process).release()
        self._ended &= asking

    def close(self) -> None:
        """Stop following all processes; idempotent."""
        while self._lines:
            self._lines.popitem()[1].release()
