"""One pass over everything below a volume's root: what both loops are given, and what they have in common.

The loops are `sweep.py`, plain Python, and `native.py`, which drives the C extension. They pass the same
contract tests, and differ in speed alone.
"""

from __future__ import annotations

import errno
import os
import resource
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from mcsd.errors import VolumeFailedError
from mcsd.relabel import kernel
from mcsd.relabel.opening import Opened
from mcsd.relabel.originals import Originals
from mcsd.relabel.tally import Tally, reason_for
from mcsd.relabel.treatments import Treatment
from mcsd.relabel.values import SkipReason

TICK = 20_000_000
"""Nanoseconds: two ticks of the slowest clock that stamps inodes (CONFIG_HZ=100)."""
_SPARE = 256
"""Descriptors left to everything else in the process."""
IDLE = 3 << 13
"""The idle class of ioprio_set(2)."""
LOWEST = (2 << 13) + 7
"""The lowest of the best-effort class."""


@dataclass(frozen=True, slots=True)
class Effort:
    """How hard a walk works. A walk of more than `quick` inodes is a large one: from there on it takes the
    low priority (`nice`, `io_priority`; below 0 leaves the latter alone) and a place at the gate.

    `batch` inodes are held at first, and up to `most` where flushing the originals is slow.
    """

    workers: int = 2
    quick: int = 2000
    batch: int = 512
    most: int = 8192
    nice: int = 10
    io_priority: int = IDLE

    @classmethod
    def of_this_host(cls, *, nice: int = 10, io_priority: int = IDLE) -> Effort:
        """Measure the host: its processors, and how many descriptors a process may have."""
        workers = max(1, min(4, len(os.sched_getaffinity(0))))
        most = max(16, min(8192, (_raised_limit() - _SPARE) // 2))
        return cls(workers=workers, batch=min(512, most), most=most, nice=nice, io_priority=io_priority)


def _raised_limit() -> int:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


class Gate:
    """Lets a few large walks write at a time, however many there are; small ones never come here."""

    def __init__(self, places: int) -> None:
        self._places = threading.Semaphore(places)

    def enter(self, tally: Tally) -> bool:
        """Wait for a place; False when the walk was cancelled while it waited."""
        while not tally.is_over:
            if self._places.acquire(timeout=0.1):
                return True
        return False

    def leave(self) -> None:
        """Give the place back."""
        self._places.release()


@dataclass(slots=True, eq=False)
class Pass:
    """What a loop is given. `begin` puts the intent on disk; it comes before the first record or write."""

    root: Opened
    treatment: Treatment
    originals: Originals | None
    tally: Tally
    begin: Callable[[], None]
    effort: Effort
    gate: Gate
    links_consented: bool = False
    was_disturbed: bool = False
    """Set by the loop: whether a directory changed since the pass began, so that something may be missed."""
    has_place: bool = False
    has_given_way: bool = False

    def take_place(self) -> None:
        """Wait at the gate once the walk has proved to be a large one."""
        if not self.has_place and self.tally.seen > self.effort.quick:
            self.has_place = self.gate.enter(self.tally)

    def give_way(self) -> None:
        """Take the low priority, for good, in a thread that walks a large volume itself.

        The disk's follows from it (ioprio_set(2)).
        """
        if not self.has_given_way and self.tally.seen > self.effort.quick:
            self.has_given_way = True
            with suppress(PermissionError):  # already lower, and not allowed to be raised
                os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), self.effort.nice)

    def leave_place(self) -> None:
        """Let the next large walk in."""
        if self.has_place:
            self.has_place = False
            self.gate.leave()


Names = list[tuple[int, bytes]]
"""Inode and path below the root of files that have other names too."""
Loop = Callable[[Pass], Names]
"""Walks everything below the root; ends early when the tally says so."""


def write_failure(exc: OSError, volume: str) -> SkipReason:
    """Give the reason to count for a label that was not written; raises where none ever can be."""
    if exc.errno == errno.EINVAL:
        raise VolumeFailedError(
            f"the kernel's policy does not know the label for volume {volume!r}",
            hint="check [labels] file_type against the loaded policy",
        ) from exc
    return reason_for(exc.errno)


def is_steady(before: kernel.Stat, after: kernel.Stat) -> bool:
    """Tell whether no link came or went between two looks.

    A change within the clock's last tick may not show; but one that came with new content, as in a file
    that is written to all the time, was no link. A time yet to come would have been overwritten.
    """
    if before.changed != after.changed or before.links != after.links:
        return False
    now = kernel.stamp()
    return not now - TICK <= after.changed <= now + TICK or after.changed == after.modified
