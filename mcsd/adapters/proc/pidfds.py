"""Following processes with pidfd_open(2): the end of a process is noticed at once and reliably.

A pid may be reused before it is used here. So the descriptor is opened first, and the control group of that
pid is read afterwards: if it still names the container, the descriptor is that of the container's process.
"""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Callable
from pathlib import Path

from mcsd.core.containers import ContainerId
from mcsd.errors import HostError
from mcsd.ports import PidWatcher

_GONE = {errno.ENOENT, errno.ESRCH}


class PidFds:
    """`mcsd.ports.Lifelines`. Owned by the event loop's thread."""

    def __init__(self, proc: str | os.PathLike[str] = "/proc") -> None:
        self._proc = Path(proc)

    def follow(self, pid: int, container: ContainerId, ended: Callable[[], None]) -> PidWatcher | None:
        """See `mcsd.ports.Lifelines`."""
        try:
            descriptor = os.pidfd_open(pid)
        except ProcessLookupError:
            return None
        except OSError as exc:
            raise _unfollowed(pid, exc) from exc
        line = PidFd(descriptor)
        try:
            groups = (self._proc / str(pid) / "cgroup").read_text(encoding="utf-8", errors="replace")
        except OSError as exc:
            line.release()
            if exc.errno in _GONE:
                return None
            raise _unfollowed(pid, exc) from exc
        if container not in groups:
            line.release()
            return None
        line.watch(ended)
        return line


def _unfollowed(pid: int, exc: OSError) -> HostError:
    return HostError(
        f"process {pid} cannot be followed: {(exc.strerror or str(exc)).lower()}",
        hint="its end is known when Docker tells of it; see LimitNOFILE= and dmesg",
    )


class PidFd:
    """One descriptor, readable once its process has ended."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor: int | None = descriptor
        self._loop = asyncio.get_running_loop()

    def watch(self, ended: Callable[[], None]) -> None:
        """Call `ended` once when the process has ended."""
        if self._descriptor is not None:
            self._loop.add_reader(self._descriptor, self._end, ended)

    def _end(self, ended: Callable[[], None]) -> None:
        self.release()
        ended()

    def release(self) -> None:
        """Stop following it; idempotent."""
        if self._descriptor is not None:
            self._loop.remove_reader(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = None
