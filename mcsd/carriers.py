"""Who runs at which level on this host: containers of this engine, and everybody else.

Other engines and libvirt choose levels from lists of their own; what their processes carry is taken as well
(promise 2). One scan of `/proc` feeds the allocator, the proof that a level is free, and the list of
foreign holders that people see.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress

from mcsd.core.allocation import Allocator, Holder, HolderKind
from mcsd.core.labels import Level
from mcsd.core.picture import ForeignHolder
from mcsd.core.processes import Carrier, is_overlord
from mcsd.core.separation import Separation
from mcsd.errors import SelinuxError
from mcsd.ports import Processes

INTERVAL = 30.0
"""Seconds between scans when nothing asks for one."""


class Carriers:
    """The last scan. `refresh` belongs to the event loop's thread; `scan` may be called from any."""

    def __init__(
        self, processes: Processes, allocator: Allocator, changed: Callable[[], None] = lambda: None
    ) -> None:
        self._processes = processes
        self._allocator = allocator
        self._changed = changed
        self._seen: tuple[Carrier, ...] = ()
        self._near: Separation[int] = Separation()
        self._scanned = float("-inf")

    def scan(self) -> tuple[Carrier, ...]:
        """Scan now, and give everybody who carries a level; blocking."""
        return self._processes.carriers()

    async def refresh(self, *, within: float = 0.0) -> None:
        """Scan now, and have the allocator keep off every level that is carried.

        A scan of the last `within` seconds will do: a thousand containers that are adopted together do not
        need a thousand.
        """
        loop = asyncio.get_running_loop()
        if loop.time() - self._scanned < within:
            return
        began = loop.time()
        seen = await asyncio.to_thread(self._processes.carriers)
        if began < self._scanned:  # a later scan has come in first
            return
        self._scanned = began
        if seen != self._seen:
            self._take_over(seen)

    def _take_over(self, seen: tuple[Carrier, ...]) -> None:
        self._allocator.replace_processes(
            {
                carrier.level: Holder(HolderKind.PROCESS, f"process {carrier.pid}")
                for carrier in reversed(seen)
                if not is_overlord(carrier.level)
            }
        )
        self._near = Separation()
        for number, carrier in enumerate(seen):
            if not is_overlord(carrier.level):
                self._near.put(number, carrier.level)
        before, self._seen = self._seen, seen
        if {(c.level, c.container) for c in before} != {(c.level, c.container) for c in seen}:
            self._changed()

    async def refresh_often(self) -> None:
        """Scan from time to time, for ever."""
        while True:
            with suppress(SelinuxError):  # told by who watches the ground; what was seen last stays taken
                await self.refresh()
            await asyncio.sleep(INTERVAL)

    def seen(self) -> tuple[Carrier, ...]:
        """Everybody the last scan found."""
        return self._seen

    def foreign(self, is_ours: Callable[[str], bool]) -> tuple[ForeignHolder, ...]:
        """One process for each level that is carried outside the containers that `is_ours` admits."""
        return _strangers(self._seen, is_ours)

    def intruders(self, level: Level, is_ours: Callable[[str], bool]) -> tuple[ForeignHolder, ...]:
        """Those of `foreign` that this level is not separate from, but for overlords, who read all."""
        near = sorted(self._near.comparable_to(level))
        return _strangers((self._seen[number] for number in near), is_ours)


def _strangers(carriers: Iterable[Carrier], is_ours: Callable[[str], bool]) -> tuple[ForeignHolder, ...]:
    found: dict[Level, ForeignHolder] = {}
    for carrier in carriers:
        if not is_ours(carrier.container) and carrier.level not in found:
            found[carrier.level] = ForeignHolder(str(carrier.level), carrier.context, carrier.pid)
    return tuple(found.values())
