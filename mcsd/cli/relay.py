"""Standard streams for a command in another domain, and a parent that stands for it.

When a process executes a program in another domain, the kernel closes each open file that the new domain may
not use, and puts /dev/null in its place. A pipe or a file of an administrator's is such a file, whatever the
policy's types say: its level dominates a container's. So the command gets FIFOs that carry its own label, and
mcsctl stays and copies between them and what it was started with. It passes on signals that it is sent, and
ends as the command ends.
"""

from __future__ import annotations

import os
import signal
import stat
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import NoReturn

_STREAMS = (0, 1, 2)
_CHUNK = 65536
_PASSED_ON = {
    *(signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM),
    *(signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM),
}


@dataclass(frozen=True, slots=True)
class _Stream:
    """One standard stream: the command's end of a FIFO, and ours. The command reads `number` 0."""

    number: int
    theirs: int
    ours: int


def streams_to_relay() -> tuple[int, ...]:
    """Return those of the standard streams that are pipes or files: a terminal, a device or the journal's
    socket is given to the command itself.
    """
    return tuple(number for number in _STREAMS if _is_relayed(number))


def _is_relayed(number: int) -> bool:
    try:
        mode = os.fstat(number).st_mode
    except OSError:  # it is closed, and stays so
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISREG(mode)


class Relay:
    """The FIFOs for some standard streams; raises `OSError` if there can be none."""

    def __init__(self, numbers: Sequence[int]) -> None:
        with tempfile.TemporaryDirectory(dir="/run", prefix="mcsctl-") as directory:
            self._streams = tuple(_made(number, f"{directory}/{number}") for number in numbers)

    def label(self, context: str) -> None:
        """Give the FIFOs the command's label; raises `OSError`."""
        for stream in self._streams:
            os.setxattr(stream.theirs, "security.selinux", context.encode())

    def take_over(self) -> None:
        """Make the FIFOs this process's standard streams, before it becomes the command."""
        for stream in self._streams:
            os.dup2(stream.theirs, stream.number)

    def run(self, become: Callable[[], int]) -> int:
        """Have a child become the command, and return its exit status; ends by the same signal as it does.

        `become` is called in the child, and returns a status only if that fails."""
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, {*_PASSED_ON, signal.SIGCHLD})
        child = os.fork()
        if child == 0:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            _leave(become)
        outputs = self._begin()
        status = _wait_for(child)
        for thread in outputs:
            thread.join()
        if os.WIFSIGNALED(status):
            _end_by(os.WTERMSIG(status), mask)
        return os.waitstatus_to_exitcode(status)

    def _begin(self) -> list[threading.Thread]:
        """Copy in the background; return what copies the command's output."""
        outputs = []
        for stream in self._streams:
            os.close(stream.theirs)
            ends = (stream.number, stream.ours) if stream.number == 0 else (stream.ours, stream.number)
            thread = threading.Thread(target=_copy, args=ends, daemon=True)
            thread.start()
            outputs += [thread] if stream.number else []
        return outputs


def _leave(become: Callable[[], int]) -> NoReturn:
    """End the child whatever happens: what is below on its stack is the parent's."""
    try:
        os._exit(become())
    except KeyboardInterrupt:
        os._exit(128 + signal.SIGINT)
    except BaseException:  # noqa: BLE001  the boundary: shown in full
        sys.excepthook(*sys.exc_info())
        os._exit(1)


def _made(number: int, path: str) -> _Stream:
    os.mkfifo(path, 0o600)
    # Neither end waits for the other: a reader is there first.
    reading = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    writing = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    os.set_blocking(reading, True)
    return _Stream(number, *((reading, writing) if number == 0 else (writing, reading)))


def _copy(source: int, target: int) -> None:
    """Copy until the source ends, or nobody reads the target any more."""
    with suppress(OSError):
        while data := os.read(source, _CHUNK):
            while data:
                data = data[os.write(target, data) :]
    for end in (source, target):  # so that who writes to the one learns it, and who reads the other
        with suppress(OSError):
            os.close(end)


def _wait_for(child: int) -> int:
    """Wait for a child, and pass on signals that somebody sends; a terminal's it gets by itself."""
    while True:
        told = signal.sigwaitinfo({*_PASSED_ON, signal.SIGCHLD})
        if told.si_signo != signal.SIGCHLD:
            if told.si_code <= 0:  # sent by a process, and not by the kernel
                os.kill(child, told.si_signo)
            continue
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid == child:
            return status


def _end_by(number: int, mask: set[int | signal.Signals]) -> None:
    """End by a signal, as the command did."""
    if number in {signal.SIGKILL, signal.SIGSTOP}:
        os.kill(os.getpid(), number)
    signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    os.kill(os.getpid(), number)
