"""What a volume contains: set-user-ID programs, and what everybody may write. Nothing is changed.

The container controls the volume: directories are entered by descriptors, links are not followed, mounts are
not crossed, and the search is limited.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from dataclasses import replace

from mcsd.core.audit.facts import AuditedMount, Sort, VolumeContents

SHOWN = 5
"""Paths of each kind that are named; the others are only counted."""

_SORTS = {
    stat.S_IFDIR: Sort.DIRECTORY,
    stat.S_IFREG: Sort.FILE,
    stat.S_IFSOCK: Sort.SOCKET,
    stat.S_IFBLK: Sort.DEVICE,
    stat.S_IFCHR: Sort.DEVICE,
}
_SET_ID = stat.S_ISUID | stat.S_ISGID
_EXECUTE = stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH


def sorted_out(mount: AuditedMount) -> AuditedMount:
    """Return a mount with its resolved source and the kind of file there."""
    real = os.path.realpath(mount.source)
    try:
        mode = os.stat(real).st_mode
    except OSError:
        return mount
    return replace(mount, real=real, sort=_SORTS.get(stat.S_IFMT(mode), Sort.OTHER))


class _Search:
    def __init__(self, top: str, limit: int) -> None:
        self.top, self.limit = top, limit
        self.suid: list[str] = []
        self.writable: list[str] = []
        self.suid_count = self.writable_count = self.seen = self.unread = 0
        self.complete = True

    def look(self, path: str, found: os.stat_result) -> None:
        self.seen += 1
        if stat.S_ISREG(found.st_mode) and found.st_mode & _SET_ID and found.st_mode & _EXECUTE:
            self.suid_count += 1
            self.suid += [path] if len(self.suid) < SHOWN else []
        open_to_all = found.st_mode & stat.S_IWOTH and not stat.S_ISLNK(found.st_mode)
        if open_to_all and not found.st_mode & stat.S_ISVTX and not stat.S_ISSOCK(found.st_mode):
            self.writable_count += 1
            self.writable += [path] if len(self.writable) < SHOWN else []

    def run(self) -> None:
        top = os.stat(self.top, follow_symlinks=False)
        self.look(self.top, top)
        if not stat.S_ISDIR(top.st_mode):
            return
        for path, directories, files, descriptor in os.fwalk(self.top, onerror=self._unread):
            for name in (*directories, *files):
                if self.seen >= self.limit:
                    self.complete = False
                    return
                with suppress(FileNotFoundError):  # gone meanwhile
                    found = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
                    if found.st_dev == top.st_dev:
                        self.look(os.path.join(path, name), found)
                    elif name in directories:
                        directories.remove(name)

    def _unread(self, error: OSError) -> None:
        if not isinstance(error, FileNotFoundError):
            self.unread += 1


def search(top: str, *, limit: int) -> VolumeContents:
    """Search a volume, up to `limit` inodes."""
    found = _Search(top, limit)
    error = ""
    try:
        found.run()
    except OSError as exc:
        error = f"it cannot be looked through: {exc.strerror}"
    if found.unread and not error:
        error = f"{found.unread} of its directories cannot be read"
    return VolumeContents(
        top,
        tuple(found.suid),
        found.suid_count,
        tuple(found.writable),
        found.writable_count,
        found.seen,
        found.complete,
        error,
    )
