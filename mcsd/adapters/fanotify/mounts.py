"""Noticing mounts and unmounts at once: poll(2) on mountinfo (proc_pid_mountinfo(5))."""

from __future__ import annotations

import os
import select
from pathlib import PurePosixPath

from mcsd.relabel.mounts import mounts


class MountNews:
    """A descriptor that is readable when this process's mounts have changed, and the mount points."""

    def __init__(self) -> None:
        self._table = os.open("/proc/self/mountinfo", os.O_RDONLY | os.O_CLOEXEC)
        self._epoll = select.epoll()
        self._epoll.register(self._table, select.EPOLLPRI)
        self.points = self._look()

    def fileno(self) -> int:
        """Return the descriptor to wait for."""
        return self._epoll.fileno()

    def look(self) -> bool:
        """Read the mounts, and tell whether they have changed since the last call; blocking."""
        before, self.points = self.points, self._look()
        return before != self.points

    @staticmethod
    def _look() -> frozenset[PurePosixPath]:
        return frozenset(PurePosixPath(mount.point) for mount in mounts().values())

    def inside(self, path: str) -> tuple[str, ...]:
        """Return the mount points below a path, not the path itself."""
        above = PurePosixPath(path)
        return tuple(sorted(str(one) for one in self.points if above in one.parents))

    def close(self) -> None:
        """Stop listening."""
        self._epoll.close()
        os.close(self._table)
