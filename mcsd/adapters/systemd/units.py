"""Starts of systemd's units as lives, from what systemd itself keeps below /run for the journal.

/run/systemd/units/invocation:NAME is a symbolic link to the id of the unit's present invocation. systemd
makes it when a service or scope is started, and removes it when the unit becomes inactive or failed
(`unit_unlink_state_files`, called by `unit_notify`). So it says more than the unit's control group, which is
also empty while a unit is active without processes (RemainAfterExit=) — and it names which start this is.

Reading it takes no D-Bus, for which mcsd's domain has no rules, and no process of systemd's has to answer.
Changes are told by inotify(7) on the directory.
"""

from __future__ import annotations

import asyncio
import ctypes
import errno
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path

from mcsd.core.lives import UnitLife
from mcsd.errors import HostError
from mcsd.ports import PidWatcher

DIRECTORY = "/run/systemd/units"

_IN_MOVED_TO, _IN_CREATE, _IN_DELETE, _IN_ONLYDIR = 0x80, 0x100, 0x200, 0x01000000
_IN_CLOEXEC, _IN_NONBLOCK = os.O_CLOEXEC, os.O_NONBLOCK
_LARGEST = 65536
"""Bytes of events per read. What they say is not used: any event is a hint to look."""
_NONE = {errno.ENOENT, errno.ENOTDIR, errno.EINVAL, errno.ENAMETOOLONG}
"""Of readlink(2); EINVAL where it is no link."""


class SystemdUnits:
    """`mcsd.ports.UnitLives`. Owned by the event loop's thread."""

    def __init__(self, directory: str | os.PathLike[str] = DIRECTORY) -> None:
        self._directory = Path(directory)
        self._lines: set[_Line] = set()
        self._news: int | None = None

    def identify(self, name: str) -> UnitLife | None:
        """See `mcsd.ports.UnitLives`."""
        try:
            return UnitLife(name, str((self._directory / f"invocation:{name}").readlink()))
        except OSError as exc:
            if exc.errno in _NONE:
                return None
            raise self._unreadable(exc) from exc

    def follow(self, life: UnitLife, ended: Callable[[], None]) -> PidWatcher | None:
        """See `mcsd.ports.UnitLives`."""
        self._listen()  # first: what changes after the look is told
        line = _Line(self, life, ended)
        self._lines.add(line)
        try:
            lasts = self.identify(life.unit) == life
        except HostError:
            self.drop(line)
            raise
        if not lasts:
            self.drop(line)
            return None
        return line

    def drop(self, line: _Line) -> None:
        """Stop following a unit, and listening with the last one."""
        self._lines.discard(line)
        if not self._lines and self._news is not None:
            descriptor, self._news = self._news, None
            asyncio.get_running_loop().remove_reader(descriptor)
            os.close(descriptor)

    def _listen(self) -> None:
        if self._news is not None:
            return
        try:
            self._news = _watching(self._directory)
        except OSError as exc:
            if exc.errno not in _NONE:
                raise self._unreadable(exc) from exc
            return  # there is no such directory, and so no such unit
        asyncio.get_running_loop().add_reader(self._news, self._look)

    def _look(self) -> None:
        assert self._news is not None, "nobody listens without it"
        try:
            os.read(self._news, _LARGEST)
        except BlockingIOError:
            return
        for line in tuple(self._lines):
            line.look()

    def _unreadable(self, exc: OSError) -> HostError:
        return HostError(
            f"systemd's units cannot be followed in {str(self._directory)!r}: "
            f"{(exc.strerror or str(exc)).lower()}",
            hint="see ausearch -m avc for denials of mcsd's own, and fs.inotify.max_user_instances",
        )


class _Line:
    """One followed start of a unit."""

    def __init__(self, units: SystemdUnits, life: UnitLife, ended: Callable[[], None]) -> None:
        self._units = units
        self._life = life
        self._ended = ended

    def look(self) -> None:
        try:
            lasts = self._units.identify(self._life.unit) == self._life
        except HostError:  # whoever follows it is told, asks for it again, and learns why
            lasts = False
        if not lasts:
            self.release()
            self._ended()

    def release(self) -> None:
        self._units.drop(self)


@cache
def _libc() -> ctypes.CDLL:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.inotify_add_watch.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_uint32)
    return libc


def _watching(directory: Path) -> int:
    """Return an inotify(7) descriptor that tells what is made and removed in a directory."""
    descriptor = _checked(_libc().inotify_init1(_IN_CLOEXEC | _IN_NONBLOCK))
    mask = _IN_MOVED_TO | _IN_CREATE | _IN_DELETE | _IN_ONLYDIR
    try:
        _checked(_libc().inotify_add_watch(descriptor, os.fsencode(directory), mask))
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result
