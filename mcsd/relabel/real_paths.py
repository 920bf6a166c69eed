"""The real paths and identities of many paths that share their upper directories.

Hundreds of places are located each time a volume is judged after a while. `os.path.realpath` looks at every
component of each path, so at `/etc` and `/var/lib` again and again; here each is looked at once.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from stat import S_ISLNK

from mcsd.core.volumes import Identity

_DEEPEST = 100
"""Components of a path, and links followed for one, above which `os.path.realpath` is asked."""


class _TooDeepError(Exception):
    """A path has too many components, or leads through too many links."""


class RealPaths:
    """What absolute paths lead to, as it was when each component was first looked at.

    Keep one for a moment only. Threads may share it: at worst two look at the same component. Looking
    triggers no automount at the end of a path, as lstat(2) does not.
    """

    def __init__(self) -> None:
        self._real: dict[str, str] = {"/": "/"}
        self._seen: dict[str, tuple[Identity, bool] | None] = {}

    def of(self, path: str) -> str:
        """Return the path without links and dots, as `os.path.realpath`; it need not exist."""
        try:
            return self._resolve(path, 0)
        except _TooDeepError:  # a loop of links, for example
            real = os.path.realpath(path)
            return real[1:] if real.startswith("//") else real  # POSIX lets it keep two; here it is one

    def identity(self, real: str) -> Identity | None:
        """Return what a real path leads to; None if it does not exist, or cannot be looked at."""
        seen = self._look(real)
        return None if seen is None else seen[0]

    def _resolve(self, path: str, depth: int) -> str:
        known = self._real.get(path)
        if known is not None:
            return known
        if depth > _DEEPEST:
            raise _TooDeepError
        above, _, name = path.rpartition("/")
        directory = self._resolve(above or "/", depth + 1)
        if name in {"", "."}:
            real = directory
        elif name == "..":
            real = os.path.dirname(directory)
        else:
            real = self._follow(directory, name, depth)
        self._real[path] = real
        return real

    def _follow(self, directory: str, name: str, depth: int) -> str:
        here = f"{directory.rstrip('/')}/{name}"
        seen = self._look(here)
        if seen is None or not seen[1]:
            return here
        try:
            target = os.readlink(here)  # noqa: PTH115  (hundreds of paths, and no use for objects)
        except OSError:  # replaced meanwhile
            return here
        return self._resolve(target if target.startswith("/") else f"{directory}/{target}", depth + 1)

    def _look(self, path: str) -> tuple[Identity, bool] | None:
        if path not in self._seen:
            try:
                stat = os.lstat(path)
            except (OSError, ValueError):
                self._seen[path] = None
            else:
                self._seen[path] = Identity(stat.st_dev, stat.st_ino), S_ISLNK(stat.st_mode)
        return self._seen[path]


def upwards(real: str) -> Iterator[str]:
    """List a real path, its directory, and so on up to `/`."""
    yield real
    while real != "/":
        real = real.rpartition("/")[0] or "/"
        yield real
