"""All processes with categories on this host, from one pass over `/proc`.

Most processes have no categories, and only their context is read. The others are read through a descriptor of
their own directory, so that everything belongs to one process: when it ends, reading fails, even if its pid
is reused meanwhile. A thread with a context other than its process's (`setcon` in a thread) is not
distinguished.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path

from mcsd.core.labels import read_label
from mcsd.core.processes import ProcessLevel, carrier_of, may_carry
from mcsd.errors import SelinuxError

_GONE = {errno.ENOENT, errno.ESRCH}
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_CLOEXEC
_CHUNK = 1 << 16


class ProcProcesses:
    """`mcsd.ports.Processes` from a mounted procfs."""

    def __init__(self, proc: str | os.PathLike[str] = "/proc") -> None:
        self._proc = Path(proc)

    def process_levels(self) -> tuple[ProcessLevel, ...]:
        """See `mcsd.ports.Processes`."""
        if not self._has_selinux():
            return ()
        root = os.open(self._proc, _DIRECTORY)
        try:
            numbers = sorted(int(name) for name in os.listdir(root) if name.isascii() and name.isdigit())
            found = (self._look(root, number) for number in numbers)
            return tuple(process for process in found if process is not None)
        finally:
            os.close(root)

    def level_of(self, pid: int) -> ProcessLevel | None:
        """Return one process; None if it is gone, or its level has no categories.

        Raises `SelinuxError` if its label cannot be read.
        """
        try:
            root = os.open(self._proc, _DIRECTORY)
        except OSError:
            return None
        try:
            return self._look(root, pid)
        finally:
            os.close(root)

    def _has_selinux(self) -> bool:
        # The kernel registers selinuxfs only when SELinux was not switched off at boot; under another
        # security module `attr/current` holds something that is no context.
        listing = (self._proc / "filesystems").read_text(encoding="ascii")
        return any(line.split()[-1:] == ["selinuxfs"] for line in listing.splitlines())

    def _look(self, root: int, number: int) -> ProcessLevel | None:
        try:
            if not may_carry(_read(root, f"{number}/attr/current")):
                return None
            directory = os.open(str(number), _DIRECTORY, dir_fd=root)
            try:
                context = _read(directory, "attr/current").rstrip("\0\n")
                return carrier_of(number, read_label(context), _read(directory, "cgroup"))
            finally:
                os.close(directory)
        except OSError as exc:
            if exc.errno in _GONE:
                return None
            # Leaving it out would mean that nothing carries its level.
            raise SelinuxError(
                f"process {number}: its label cannot be read: {exc.strerror}",
                hint="mcsd's domain needs getattr on the processes of all domains; see ausearch -m avc",
            ) from exc


def _read(directory: int, name: str) -> str:
    descriptor = os.open(name, _FILE, dir_fd=directory)
    try:
        content = os.read(descriptor, _CHUNK)  # the kernel returns either file as a whole, if it fits
    finally:
        os.close(descriptor)
    return content.decode("utf-8", "surrogateescape")
