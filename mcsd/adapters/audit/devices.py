"""The names of file systems in the kernel's audit records.

A record says `dev="dm-0" ino=7001`. The name is that of the file system's superblock: its block device, or
its type if it has none. An inode number alone is not unique.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import PurePosixPath

from mcsd.relabel import kernel
from mcsd.relabel.mounts import MountEntry, mounts


def names_of(path: str) -> frozenset[str]:
    """Return the names that records may have for a path's file system; raise `OSError` if it is gone."""
    device = os.lstat(path).st_dev
    names = set[str]()
    with suppress(OSError):  # no block device of its own: btrfs, and file systems in memory
        block = f"/sys/dev/block/{os.major(device)}:{os.minor(device)}"
        names.add(PurePosixPath(os.readlink(block)).name)  # noqa: PTH115
    mount = _mount_of(path)
    if mount is not None:
        is_device = mount.source.startswith("/")
        names.add(PurePosixPath(os.path.realpath(mount.source)).name if is_device else mount.file_system)
    return frozenset(names)


def _mount_of(path: str) -> MountEntry | None:
    descriptor = kernel.look_at_path(os.path.realpath(path))
    try:
        return mounts().get(kernel.stat_of(descriptor).mount)
    finally:
        os.close(descriptor)
