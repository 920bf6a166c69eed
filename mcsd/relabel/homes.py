"""Homes of the owners of a volume, of the directories above it, and of files in it.

A directory service (SSSD, LDAP) can look up an account, but usually does not list all of them. So the owners
of what was opened are looked up by user id when needed.
"""

from __future__ import annotations

import os
import pwd
import time
from collections.abc import Callable, Iterable
from itertools import islice

from mcsd.blocking.patient import Patient
from mcsd.relabel import kernel
from mcsd.relabel.opening import OpenRoot

_NOBODY = {0, 65534, 2**32 - 1}
_INSIDE = 64
"""Names in a volume whose owners are looked up: a directory of homes has one early on."""
ACCOUNTS = "accounts"
"""The name of the source, for the report that it does not answer."""
_LASTS = 60.0
"""Seconds for which an account is cached."""


class Homes:
    """Thread-safe. `lookup` returns the home of a user id, None if there is no such account."""

    def __init__(self, patient: Patient, lookup: Callable[[int], str | None] | None = None) -> None:
        self._patient = patient
        self._lookup = lookup or _home_of
        self._known: dict[int, tuple[float, str | None]] = {}

    def near(self, root: OpenRoot) -> tuple[str, ...]:
        """List the homes of the owners of an opened volume, of a directory above it, or of a name in it."""
        inside = _inside(root) if root.is_directory else ()
        owners = frozenset({root.stat.uid, *_above(root.parent), *inside}) - _NOBODY
        since = time.monotonic() - _LASTS
        unknown = frozenset(one for one in owners if self._known.get(one, (since, None))[0] <= since)
        if unknown:
            # One source for all: a hung service holds one thread, and is not asked again meanwhile.
            self._patient.ask(ACCOUNTS, lambda: self._look_up(unknown), None, version=unknown, lasts=0.0)
        found = (self._known.get(owner, (since, None))[1] for owner in sorted(owners))
        return tuple(home for home in found if home)

    def _look_up(self, owners: Iterable[int]) -> None:
        for owner in owners:
            self._known[owner] = time.monotonic(), self._lookup(owner)


def _home_of(owner: int) -> str | None:
    try:
        return pwd.getpwuid(owner).pw_dir
    except KeyError:
        return None


def _above(directory: int) -> Iterable[int]:
    current = os.dup(directory)
    last = None
    try:
        while True:
            stat = kernel.stat_of(current)
            if (stat.device, stat.inode, stat.mount) == last:
                return
            yield stat.uid
            last = stat.device, stat.inode, stat.mount
            above = os.open("..", os.O_PATH | os.O_CLOEXEC, dir_fd=current)
            os.close(current)
            current = above
    finally:
        os.close(current)


def _inside(root: OpenRoot) -> Iterable[int]:
    try:
        with os.scandir(f"/proc/self/fd/{root.descriptor}") as entries:
            for entry in islice(entries, _INSIDE):
                yield entry.stat(follow_symlinks=False).st_uid
    except OSError:  # not readable, or gone: its own owner still counts
        return
