"""Noticing mounts and unmounts at once: poll(2) on mountinfo (proc_pid_mountinfo(5))."""

from __future__ import annotations

import os
import select
from collections import defaultdict
from collections.abc import Iterable
from pathlib import PurePosixPath

from mcsd.relabel.mounts import mounts


class MountNews:
    """A descriptor that is readable when this process's mounts have changed, and the mount points."""

    def __init__(self) -> None:
        self._table = os.open("/proc/self/mountinfo", os.O_RDONLY | os.O_CLOEXEC)
        self._epoll = select.epoll()
        self._epoll.register(self._table, select.EPOLLPRI)
        self.points = self._look()
        self._below = _by_parent(self.points)

    def fileno(self) -> int:
        """Return the descriptor to wait for."""
        return self._epoll.fileno()

    def look(self) -> bool:
        """Read the mounts, and tell whether they have changed since the last call; blocking."""
        before, self.points = self.points, self._look()
        if before == self.points:
            return False
        self._below = _by_parent(self.points)
        return True

    @staticmethod
    def _look() -> frozenset[PurePosixPath]:
        return frozenset(PurePosixPath(mount.point) for mount in mounts().values())

    def inside(self, path: str) -> tuple[str, ...]:
        """Return the mount points below a path, not the path itself."""
        return self._below.get(PurePosixPath(path), ())

    def close(self) -> None:
        """Stop listening."""
        self._epoll.close()
        os.close(self._table)


def _by_parent(points: Iterable[PurePosixPath]) -> dict[PurePosixPath, tuple[str, ...]]:
    """List mount points by each directory above them: a thousand volumes ask for theirs at a start."""
    found: defaultdict[PurePosixPath, list[str]] = defaultdict(list)
    for point in points:
        for parent in point.parents:
            found[parent].append(str(point))
    return {parent: tuple(sorted(below)) for parent, below in found.items()}
