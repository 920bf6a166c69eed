"""Processes as lives: identified by pid, start and boot, and followed with pidfd_open(2).

The descriptor is opened first, and what identifies the process is read afterwards: if it is the same then,
the descriptor is that of the wanted process, and stays so whoever gets the pid later.
"""

from __future__ import annotations

import errno
import os
import select
from collections.abc import Callable
from pathlib import Path

from mcsd.adapters.proc.pidfds import PidFd
from mcsd.core.lives import ProcessLife
from mcsd.errors import HostError
from mcsd.ports import PidWatcher

_GONE = {errno.ENOENT, errno.ESRCH}
_NO_PROCESS = {*_GONE, errno.EINVAL}
"""Of pidfd_open(2); a thread that is not its process's first one is EINVAL, or ENOENT with newer kernels."""
_START = 22 - 3
"""The place of `starttime` in proc_pid_stat(5), counted from the state, which follows the program's name."""


class PidFdLives:
    """`mcsd.ports.ProcessLives`."""

    def __init__(self, proc: str | os.PathLike[str] = "/proc") -> None:
        self._proc = Path(proc)

    def identify(self, pid: int) -> ProcessLife | None:
        """See `mcsd.ports.ProcessLives`."""
        descriptor = _opened(pid)
        if descriptor is None:
            return None
        try:
            return None if _has_ended(descriptor) else self._read(pid)
        finally:
            os.close(descriptor)

    def follow(self, life: ProcessLife, ended: Callable[[], None]) -> PidWatcher | None:
        """See `mcsd.ports.ProcessLives`."""
        descriptor = _opened(life.pid)
        if descriptor is None:
            return None
        line = PidFd(descriptor)
        try:
            is_same = not _has_ended(descriptor) and self._read(life.pid) == life
        except HostError:
            line.release()
            raise
        if not is_same:
            line.release()
            return None
        line.watch(ended)
        return line

    def _read(self, pid: int) -> ProcessLife | None:
        """Return the process that has a pid; None if it is gone."""
        try:
            stat = (self._proc / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
            boot = (self._proc / "sys/kernel/random/boot_id").read_text(encoding="ascii")
        except OSError as exc:
            if exc.errno in _GONE:
                return None
            raise _unreadable(pid, exc) from exc
        # The name is in parentheses, and may have any characters in it.
        fields = stat.rpartition(")")[2].split()
        return ProcessLife(pid, int(fields[_START]), boot.strip())


def _opened(pid: int) -> int | None:
    try:
        return os.pidfd_open(pid)
    except OSError as exc:
        if exc.errno in _NO_PROCESS:
            return None
        raise _unreadable(pid, exc) from exc


def _has_ended(descriptor: int) -> bool:
    """Tell whether a process has ended, though its parent has not asked for its status yet."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))


def _unreadable(pid: int, exc: OSError) -> HostError:
    return HostError(
        f"process {pid} cannot be followed: {(exc.strerror or str(exc)).lower()}",
        hint="see LimitNOFILE= of mcsd.service, and dmesg",
    )
