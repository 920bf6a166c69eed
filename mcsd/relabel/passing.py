"""One pass over everything below a volume's root: what both loops get, and what they have in common.

The loops are `sweep.py`, in plain Python, and `native`, which drives the C extension. They pass the same
contract tests, and differ only in speed.
"""

from __future__ import annotations

import errno
import os
import resource
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from mcsd.core.walks import SkipReason
from mcsd.errors import VolumeFailedError
from mcsd.relabel import kernel
from mcsd.relabel.counters import Counters, reason_for
from mcsd.relabel.opening import OpenRoot
from mcsd.relabel.originals import Originals
from mcsd.relabel.strategies import WalkStrategy

TICK = 20_000_000
"""Nanoseconds: two ticks of the slowest clock that stamps inodes (CONFIG_HZ=100)."""
_SPARE = 256
"""Descriptors reserved for everything else in the process."""
STUCK = 30.0
"""Seconds without progress after which a large walk loses its place."""
IDLE = 3 << 13
"""The idle class of ioprio_set(2)."""
LOWEST = (2 << 13) + 7
"""The lowest of the best-effort class."""


@dataclass(frozen=True, slots=True)
class Effort:
    """How many resources a walk uses. A walk of more than `quick` inodes is a large one: from then on it runs
    at low priority (`nice`, `io_priority`; a negative `io_priority` changes nothing) and needs a place at the
    gate.

    `batch` inodes are held at first, and up to `most` if flushing the originals is slow.
    """

    workers: int = 2
    quick: int = 2000
    batch: int = 512
    most: int = 8192
    nice: int = 10
    io_priority: int = IDLE

    @classmethod
    def of_this_host(cls, *, nice: int = 10, io_priority: int = IDLE) -> Effort:
        """Return the effort for this host, by its processors and its limit of descriptors."""
        workers = max(1, min(4, len(os.sched_getaffinity(0))))
        most = max(16, min(8192, (_raised_limit() - _SPARE) // 2))
        return cls(workers=workers, batch=min(512, most), most=most, nice=nice, io_priority=io_priority)


def _raised_limit() -> int:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


class Gate:
    """Limits how many large walks write at the same time; small ones never come here.

    A walk without progress for `stuck` seconds loses its place: its file system hangs, but not the others'.
    """

    def __init__(
        self, places: int, *, stuck: float = STUCK, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._places = threading.Semaphore(places)
        self._stuck = stuck
        self._clock = clock
        self._lock = threading.Lock()
        self._inside: dict[Counters, tuple[int, float]] = {}
        """The progress of each, and when it was first seen at that point."""

    def enter(self, tally: Counters) -> bool:
        """Wait for a place; False when the walk was cancelled while it waited."""
        while not tally.is_over:
            if self._places.acquire(timeout=0.1):
                with self._lock:
                    self._inside[tally] = _reached(tally), self._clock()
                return True
            tally.report(is_queued=True)  # waiting here is not a hang
            self._look_who_is_stuck()
        return False

    def leave(self, tally: Counters) -> None:
        """Release the place, if it was not lost meanwhile."""
        with self._lock:
            if self._inside.pop(tally, None) is not None:
                self._places.release()

    def _look_who_is_stuck(self) -> None:
        now = self._clock()
        with self._lock:
            for tally, (reached, since) in tuple(self._inside.items()):
                if _reached(tally) != reached:
                    self._inside[tally] = _reached(tally), now
                elif now - since >= self._stuck:
                    del self._inside[tally]
                    self._places.release()


def _reached(tally: Counters) -> int:
    return tally.seen + tally.changed


@dataclass(slots=True, eq=False)
class Pass:
    """The input of a loop. `begin` writes the intent to disk, before the first record or label."""

    root: OpenRoot
    strategy: WalkStrategy
    originals: Originals | None
    tally: Counters
    begin: Callable[[], None]
    effort: Effort
    gate: Gate
    was_disturbed: bool = False
    """Set by the loop: whether a directory changed since the pass began, so that something may have been
    missed."""
    has_place: bool = False
    has_given_way: bool = False

    def take_place(self) -> None:
        """Wait at the gate once the walk turns out to be a large one."""
        if not self.has_place and self.tally.seen > self.effort.quick:
            self.has_place = self.gate.enter(self.tally)

    def give_way(self) -> None:
        """Permanently lower the priority of a thread that walks a large volume itself.

        The I/O priority follows from it (ioprio_set(2)).
        """
        if not self.has_given_way and self.tally.seen > self.effort.quick:
            self.has_given_way = True
            with suppress(PermissionError):  # already lower, and may not be raised
                os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), self.effort.nice)

    def leave_place(self) -> None:
        """Release the place for the next large walk."""
        if self.has_place:
            self.has_place = False
            self.gate.leave(self.tally)


Names = list[tuple[int, bytes]]
"""Inode and path below the root of files with several links."""
Loop = Callable[[Pass], Names]
"""Walks everything below the root; ends early when the tally says so."""


def write_failure(exc: OSError, volume: str) -> SkipReason:
    """Return the reason for a label that could not be written; raises if no label can be."""
    if exc.errno == errno.EINVAL:
        raise VolumeFailedError(
            f"the kernel's policy does not know the label for volume {volume!r}",
            hint="check [labels] file_type against the loaded policy",
        ) from exc
    return reason_for(exc.errno)


def is_steady(before: kernel.Stat, after: kernel.Stat) -> bool:
    """Tell whether no link was added or removed between two stats.

    A change within the clock's last tick may not show. But a change together with new content, as in a file
    that is written to all the time, is not about links. A time in the future would have been overwritten.
    """
    if before.changed != after.changed or before.links != after.links:
        return False
    now = kernel.stamp()
    return not now - TICK <= after.changed <= now + TICK or after.changed == after.modified
