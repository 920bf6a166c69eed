"""File systems that several hosts can mount, and whose files keep their SELinux labels on all of them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import PurePosixPath

from mcsd.core.fleet.trees import SharedPlace
from mcsd.core.protected import LABELLED_NFS, is_unlabelled

SHARED_FILE_SYSTEMS = frozenset({"ceph", "gfs2", "ocfs2", LABELLED_NFS})
"""If they store `security.selinux`, every host that mounts them sees it."""


@dataclass(frozen=True, slots=True)
class SharedMount:
    """A mount of labelled storage that other hosts may mount, too. `source` is its server or device.

    `root` is where on the storage `point` is. `name` is what the configuration calls the storage, "" for
    nothing; then `point` is the directory that it names.
    """

    point: str
    file_system: str
    source: str
    root: str = "/"
    name: str = ""

    def place_of(self, path: str, inode: int) -> SharedPlace:
        """Return where on the storage a path below `point` is."""
        below = PurePosixPath(path).relative_to(self.point)
        return SharedPlace(self.file_system, self.name, str(PurePosixPath(self.root) / below), inode)


@dataclass(frozen=True, slots=True)
class NamedStorage:
    """A directory on storage that other hosts have as well, as the configuration has it.

    `root` is where on the storage it is, "" for where its mount says that it is.
    """

    path: str
    name: str
    root: str = ""


def root_of_source(file_system: str, source: str) -> str:
    """Return which directory of its server a mount shows, by its source; "/" for a device.

    NFS writes `server:/path`, with the directory of a bind mount (fs/nfs/super.c, nfs_show_devname). Ceph
    writes `monitors:/path`, or `user@cluster.name=/path` (mount.ceph(8)).
    """
    if file_system == LABELLED_NFS or (file_system == "ceph" and "=/" not in source):
        _, colon, path = source.partition(":/")
    elif file_system == "ceph":
        _, colon, path = source.partition("=/")
    else:
        return "/"
    return f"/{path.strip('/')}" if colon else "/"


@dataclass(frozen=True, slots=True)
class StorageUse:
    """A shared mount, and the containers that have volumes on it, by name."""

    mount: SharedMount
    containers: tuple[str, ...]


def is_shared_and_labelled(file_system: str, options: Collection[str], *, fixed_label: bool) -> bool:
    """Tell whether other hosts can see the labels of files, by the type and the options in mountinfo.

    With `context=` all files have the mount's label on this host, whatever they carry.
    """
    return file_system in SHARED_FILE_SYSTEMS and not fixed_label and not is_unlabelled(file_system, options)
