"""The levels of processes on this host: this engine's containers and all others.

Other engines and libvirt choose levels on their own; the levels of their processes are taken as well (promise
2). One scan of `/proc` feeds the allocator, the proof that a level is free, and the reported list of foreign
holders.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress

from mcsd.blocking.calls import Blocking
from mcsd.core.allocation import Allocator, Holder, HolderKind
from mcsd.core.blocked import Party, Subject
from mcsd.core.cgroups import holder_in
from mcsd.core.containers import ContainerId
from mcsd.core.labels import Level
from mcsd.core.processes import ProcessLevel, is_overlord
from mcsd.core.runs import Run, with_runs, with_tasks
from mcsd.core.separation import Separation
from mcsd.core.snapshot import ForeignHolder
from mcsd.errors import HostError, SelinuxError
from mcsd.ports import Processes

INTERVAL = 30.0
"""Seconds between scans without a request."""


class ProcessLevels:
    """The last scan. Owned by the event loop's thread."""

    def __init__(
        self,
        processes: Processes,
        blocking: Blocking,
        allocator: Allocator,
        changed: Callable[[], None] = lambda: None,
        left: Callable[[frozenset[Level]], None] = lambda _: None,
        runs: Callable[[], Iterable[Run]] = tuple,
        is_held: Callable[[ContainerId], bool] = lambda _: False,
    ) -> None:
        """`changed` is called when the levels of other processes change, `left` with levels that are
        gone. `runs` returns the runs, whose processes are not told by their control groups; `is_held` says
        whether a container has a grant."""
        self._is_held = is_held
        self._left = left
        self._runs = runs
        self._processes = processes
        self._blocking = blocking
        self._allocator = allocator
        self._changed = changed
        self._seen: tuple[ProcessLevel, ...] = ()
        self._near: Separation[int] = Separation()
        self._scanned = float("-inf")

    async def scan(self) -> tuple[ProcessLevel, ...]:
        """Scan now, and return all processes with a level; raises `SelinuxError` and `HostError`."""
        seen = await self._blocking.run(Subject(Party.PROCESSES), self._processes.process_levels)
        return with_tasks(with_runs(seen, self._runs()), self._is_held)

    async def refresh(self, *, within: float = 0.0) -> None:
        """Scan now, and block every level found in the allocator.

        A scan of the last `within` seconds is reused, so that a thousand containers adopted together need not
        scan a thousand times. Raises as `scan`.
        """
        loop = asyncio.get_running_loop()
        if loop.time() - self._scanned < within:
            return
        began = loop.time()
        seen = await self.scan()
        if began < self._scanned:  # a later scan has come in first
            return
        self._scanned = began
        if seen != self._seen:
            self._take_over(seen)

    def _take_over(self, seen: tuple[ProcessLevel, ...]) -> None:
        self._allocator.replace_processes(
            {
                process.level: Holder(HolderKind.PROCESS, f"process {process.pid}")
                for process in reversed(seen)
                if not is_overlord(process.level)
            }
        )
        self._near = Separation()
        for number, process in enumerate(seen):
            if not is_overlord(process.level):
                self._near.put(number, process.level)
        before, self._seen = self._seen, seen
        if {(c.level, c.container) for c in before} != {(c.level, c.container) for c in seen}:
            self._changed()
        gone = frozenset(c.level for c in before) - frozenset(c.level for c in seen)
        if gone:
            self._left(gone)

    async def refresh_often(self) -> None:
        """Scan from time to time, for ever."""
        while True:
            with suppress(SelinuxError, HostError):  # reported elsewhere; the levels last seen stay blocked
                await self.refresh()
            await asyncio.sleep(INTERVAL)

    def seen(self) -> tuple[ProcessLevel, ...]:
        """Return all processes that the last scan found."""
        return self._seen

    def foreign(self, is_ours: Callable[[str], bool]) -> tuple[ForeignHolder, ...]:
        """Return one process for each level outside the containers that `is_ours` accepts."""
        return _foreign(self._seen, is_ours)

    def conflicting(self, level: Level, is_ours: Callable[[str], bool]) -> tuple[ForeignHolder, ...]:
        """Return those of `foreign` that are not separate from this level, without overlords."""
        near = sorted(self._near.comparable_to(level))
        return _foreign((self._seen[number] for number in near), is_ours)


def _foreign(
    process_levels: Iterable[ProcessLevel], is_ours: Callable[[str], bool]
) -> tuple[ForeignHolder, ...]:
    found: dict[Level, ForeignHolder] = {}
    for process in process_levels:
        if not is_ours(process.container) and process.level not in found:
            found[process.level] = ForeignHolder(
                process.level, process.context, process.pid, holder_in(process.group)
            )
    return tuple(found.values())
