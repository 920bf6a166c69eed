"""Who asks for booleans at this moment: running containers with the label, whose process is still there.

What the engine said last may be old: it may be down, and its containers may have ended meanwhile. So the
init process of each container that asks is followed by itself, and its end counts at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from mcsd.core.booleans import BooleanLease, requests_of
from mcsd.core.containers import Container, ContainerId
from mcsd.errors import HostError
from mcsd.ports import PidWatcher, PidWatchers

Containers = Callable[[], Iterable[Container] | None]
"""Gives the containers as last seen; None while nobody knows yet which there are."""

_Process = tuple[ContainerId, int]


class Leases:
    """Requests as they stand. Owned by the event loop's thread."""

    def __init__(self, containers: Containers, pid_watchers: PidWatchers, ended: Callable[[], None]) -> None:
        self._containers = containers
        self._pid_watchers = pid_watchers
        self._ended_one = ended
        self._lines: dict[_Process, PidWatcher] = {}
        self._ended: set[_Process] = set()
        self._last: tuple[BooleanLease, ...] | None = None

    def requests(self) -> tuple[BooleanLease, ...] | None:
        """Return the requests of everyone who runs; None while that is not known."""
        seen = self._containers()
        if seen is not None:
            self._last = tuple(request for container in seen for request in requests_of(container))
        if self._last is None:
            return None
        alive = tuple(request for request in self._last if self._is_alive(request))
        self._forget_others()
        return alive

    def _is_alive(self, request: BooleanLease) -> bool:
        if request.pid is None:  # the engine says that it runs, and not yet as what
            return True
        process = request.container, request.pid
        if process in self._ended:
            return False
        if process not in self._lines:
            try:
                line = self._pid_watchers.follow(request.pid, request.container, lambda: self._end(process))
            except HostError:  # who cannot be followed may have ended: it is asked again at the next look
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
        """Follow nobody any more; idempotent."""
        while self._lines:
            self._lines.popitem()[1].release()
