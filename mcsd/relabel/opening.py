"""Opens a volume's root once, and identifies what was opened.

The path is the engine's: absolute and cleaned, but its components may be symbolic links, which the engine
follows when it mounts. A link is followed here only if nobody but root can have made it: it is owned by root,
and so is every directory on the way to it, none of them writable for anybody else (`/var/run`, or `/home` on
an image-based host). With any other link the volume is refused, and the hint names the link's target.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from mcsd.core.hints import Hint
from mcsd.core.volumes import Identity
from mcsd.errors import VolumeFailedError, VolumeRefusedError
from mcsd.relabel import kernel

_LINKS = 40  # as many as the kernel follows


@dataclass(frozen=True, slots=True)
class OpenRoot:
    """An opened root: `O_PATH` descriptors of it and of the directory it was found in."""

    path: str
    descriptor: int
    parent: int
    stat: kernel.Stat

    @property
    def identity(self) -> Identity:
        """The root's identity."""
        return Identity(self.stat.device, self.stat.inode)

    @property
    def is_directory(self) -> bool:
        """Whether the root is a directory."""
        return stat.S_ISDIR(self.stat.mode)


@contextmanager
def opened(path: str) -> Iterator[OpenRoot]:
    """Open a volume's root, as a context manager.

    Raises `VolumeRefusedError` for a path with links that others can change, and `VolumeFailedError` for one
    that does not exist or cannot be opened.
    """
    if not path.startswith("/") or "\0" in path:
        raise VolumeFailedError(f"volume {path!r} is not an absolute path")
    real = resolved(path)
    try:
        parent = kernel.look_at_path(os.path.dirname(real))
    except OSError as exc:
        raise _failure(path, exc) from exc
    try:
        descriptor = _last(parent, real, path)
        try:
            yield OpenRoot(real, descriptor, parent, kernel.stat_of(descriptor))
        finally:
            os.close(descriptor)
    finally:
        os.close(parent)


def _last(parent: int, real: str, path: str) -> int:
    name = os.path.basename(real) or "."
    try:  # not `look_at`, because the root itself may be a mount point
        descriptor = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    except OSError as exc:
        raise _failure(path, exc) from exc
    if stat.S_ISLNK(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise _failure(path, OSError(errno.ELOOP, ""))
    return descriptor


def resolved(path: str) -> str:
    """Return the path with root's own links followed; raises as `opened` does."""
    current = path
    for _ in range(_LINKS):
        try:
            link = _first_link(current)
        except OSError as exc:
            raise _failure(path, exc, at=current) from exc
        if link is None:
            return os.path.join("/", *_parts(current))
        if not link.is_trusted:
            raise _untrusted(path, link.path)
        current = link.leads_to()
    raise _failure(path, OSError(errno.ELOOP, ""))


@dataclass(frozen=True, slots=True)
class _Link:
    path: str
    target: str
    rest: tuple[str, ...]
    is_trusted: bool

    def leads_to(self) -> str:
        """Return the link's target; the path before it has no links, so `..` may be resolved
        textually."""
        beyond = os.path.join(os.path.dirname(self.path), self.target)
        parts = _parts(self.target)
        climbing = next((i for i, part in enumerate(parts) if part != ".."), len(parts))
        if ".." in parts[climbing:]:  # may lead out of another link: not trusted
            raise _untrusted(self.path, self.path)
        return os.path.join(os.path.normpath(beyond), *self.rest)


def _first_link(path: str) -> _Link | None:
    parts = _parts(path)
    if ".." in parts:
        raise VolumeRefusedError(
            f"volume {path!r} has '..' in its path", hint=Hint.WITHOUT_DOTS.say(), rule="symlink-in-path"
        )
    current = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    is_trusted = True
    try:
        for place, name in enumerate(parts):
            is_trusted = is_trusted and _is_roots_own(os.fstat(current))
            following = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=current)
            os.close(current)
            current = following
            found = os.fstat(current)
            if stat.S_ISLNK(found.st_mode):
                is_trusted = is_trusted and found.st_uid == 0
                target = os.readlink("", dir_fd=current)
                here = os.path.join("/", *parts[: place + 1])
                return _Link(here, target, tuple(parts[place + 1 :]), is_trusted)
    finally:
        os.close(current)
    return None


def _is_roots_own(directory: os.stat_result) -> bool:
    return directory.st_uid == 0 and not directory.st_mode & 0o022


def _parts(path: str) -> list[str]:
    return [part for part in path.split("/") if part not in {"", "."}]


def _untrusted(path: str, link: str) -> VolumeRefusedError:
    real = os.path.realpath(path)
    return VolumeRefusedError(
        f"volume {path!r} is reached through the symbolic link {link!r}, which others than root could change",
        hint=(Hint.MOUNT_ITSELF if os.path.lexists(real) else Hint.MOUNT_TARGET).say(real=real),
        rule="symlink-in-path",
    )


def _failure(path: str, exc: OSError, *, at: str = "") -> VolumeFailedError:
    reason = os.strerror(exc.errno or errno.EIO).lower()
    if exc.errno != errno.ENOENT:
        return VolumeFailedError(f"volume {path!r} cannot be opened: {reason}")
    if at and at != path:
        return VolumeFailedError(
            f"volume {path!r} is a dangling link: {at!r} does not exist", hint=Hint.MEND_LINK.say()
        )
    return VolumeFailedError(f"volume {path!r} does not exist", hint=Hint.MAKE_IT.say())
